/** Files that the basket gives away. */
import type { Entry } from "./basket.svelte";
import { exact, written } from "./format";
import { Canvas, plot } from "./paint";
import type { Item, Scene } from "./types";

/** A field of a CSV file; one that a spreadsheet would take for a formula is kept a text. */
export function field(text: string): string {
  const safe = /^[=+@\t\r]/.test(text) || /^-(?!\d)/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function conditionText(entry: Entry, scene: Scene): string {
  if (entry.condition === null || !scene.condition) return "";
  if (typeof entry.condition !== "number") return Array.from(entry.condition).join(" ");
  return scene.condition.kind === "label" ? (scene.condition.levels[entry.condition] ?? "") : "";
}

/** One line an entry: where it comes from, its condition, its code, and for tables and vectors its values. */
export function csv(entries: Entry[], scene: Scene): string {
  const { item } = scene;
  const columns = item.kind === "image" ? [] : item.columns.map((c) => c.name);
  const width = item.kind === "image" ? 0 : (entries[0]?.values.length ?? 0);
  const named = columns.length ? columns : Array.from({ length: width }, (_, i) => `x${i}`);
  const codes = Array.from({ length: scene.code }, (_, i) => `z${i}`);
  const head = ["name", "row", ...(scene.condition ? ["condition"] : []), ...codes, ...named];
  const lines = entries.map((e) => [
    e.name,
    e.row >= 0 ? String(e.row) : "",
    ...(scene.condition ? [conditionText(e, scene)] : []),
    ...Array.from(e.code, exact),
    ...named.map((_, i) => (item.columns[i] ? written(e.values[i], item.columns[i]) : exact(e.values[i]))),
  ]);
  return [head, ...lines].map((line) => line.map(field).join(",")).join("\n") + "\n";
}

/** All pictures on one sheet, enlarged by whole pixels. */
export function sheet(entries: Entry[], item: Item, inks: Parameters<typeof plot>[4]): HTMLCanvasElement {
  const picture = item.kind === "image";
  const zoom = picture ? Math.max(1, Math.round(96 / Math.max(item.width, item.height))) : 1;
  const [w, h] = picture ? [item.width * zoom, item.height * zoom] : [300, 150];
  const across = Math.ceil(Math.sqrt(entries.length));
  const gap = 4;
  const out = document.createElement("canvas");
  out.width = across * (w + gap) + gap;
  out.height = Math.ceil(entries.length / across) * (h + gap) + gap;
  const g = out.getContext("2d")!;
  g.fillStyle = "#ffffff";
  g.fillRect(0, 0, out.width, out.height);
  g.imageSmoothingEnabled = false;
  const one = document.createElement("canvas");
  entries.forEach((entry, i) => {
    if (picture) new Canvas(one, item).bytes(entry.values);
    else plot(one, null, entry.values, null, inks);
    g.drawImage(one, gap + (i % across) * (w + gap), gap + Math.floor(i / across) * (h + gap), w, h);
  });
  return out;
}

export function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
