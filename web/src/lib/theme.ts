/** Light or dark: what the reader chose here before, or what the system says. */

const KEY = "diabolo-theme";
export type Theme = "light" | "dark";

export function initial(): Theme {
  try {
    const chosen = localStorage.getItem(KEY);
    if (chosen === "light" || chosen === "dark") return chosen;
  } catch {
    // storage may be forbidden
  }
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

export function apply(theme: Theme): void {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // storage may be forbidden
  }
}
