/** The part of the address after `#` that restores a view. */

export interface View {
  map?: string;
  colour?: string;
  tab?: string;
  row?: number;
  z?: number[];
  condition?: number | number[];
  by?: "browser" | "server";
  a?: number;
  b?: number;
}

const WORD = /^[\w .()-]{1,80}$/;
const short = (v: number) => String(Number(v.toFixed(4)));
const fits = (v: number) => Number.isFinite(Math.fround(v)); // codes are float32
const numbers = (text: string) => text.split(",").map(Number);

export function write(view: View): string {
  const parts = new URLSearchParams();
  for (const key of ["map", "colour", "tab", "by"] as const) if (view[key]) parts.set(key, view[key]);
  for (const key of ["row", "a", "b"] as const) if (view[key] !== undefined) parts.set(key, String(view[key]));
  if (view.z) parts.set("z", view.z.map(short).join(","));
  if (view.condition !== undefined) parts.set("c", [view.condition].flat().map(short).join(","));
  return parts.toString().replaceAll("%2C", ",");
}

/** The view that a hash tells; what cannot be read is left out. */
export function read(hash: string): View {
  const parts = new URLSearchParams(hash.replace(/^#/, ""));
  const view: View = {};
  for (const key of ["map", "colour", "tab"] as const) {
    const text = parts.get(key);
    if (text && WORD.test(text)) view[key] = text;
  }
  const by = parts.get("by");
  if (by === "browser" || by === "server") view.by = by;
  for (const key of ["row", "a", "b"] as const) {
    const text = parts.get(key);
    if (text && /^\d{1,9}$/.test(text)) view[key] = Number(text);
  }
  const z = parts.get("z");
  if (z && numbers(z).every(fits)) view.z = numbers(z);
  const c = parts.get("c");
  if (c && numbers(c).every(fits)) view.condition = c.includes(",") ? numbers(c) : Number(c);
  return view;
}
