/** The report's map: every `<div class="diabolo-map" data-json="ID">` becomes a map with hover. */
import { number } from "../lib/format";
import { css, level, paintLevels, paintNumbers, range, scale } from "../lib/palette";
import { Scatter } from "../lib/scatter";
import style from "./style.css?inline";

interface Colour {
  name: string;
  title: string;
  kind: "levels" | "number";
  levels: string[] | null;
  values: string;
}

interface Told {
  points: string;
  names: [string, string];
  colours: Colour[];
  sprite: string | null;
  tile: [number, number];
  per_row: number;
  text: string[] | null;
}

function floats(text: string): Float32Array {
  return new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
}

function make<K extends keyof HTMLElementTagNameMap>(parent: Element, tag: K, kind: string, text = ""): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  made.className = kind;
  made.textContent = text;
  parent.append(made);
  return made;
}

const dark = () => {
  const theme = document.documentElement.dataset.theme;
  if (theme === "dark" || theme === "light") return theme === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
};

function valueText(colour: Colour, value: number): string {
  return colour.kind === "levels" ? (colour.levels?.[value] ?? "unknown") : number(value);
}

/** A tile of the sprite, drawn from a canvas so that no style holds an address. */
function thumbnail(told: Told): { canvas: HTMLCanvasElement; show: (i: number) => void } {
  const canvas = document.createElement("canvas");
  const [w, h] = told.tile;
  canvas.width = w;
  canvas.height = h;
  canvas.className = "diabolo-thumb";
  const zoom = 64 / Math.max(w, h);
  canvas.style.width = `${Math.round(w * zoom)}px`;
  canvas.style.height = `${Math.round(h * zoom)}px`;
  const picture = new Image();
  if (told.sprite) picture.src = told.sprite;
  const show = (i: number) => {
    const g = canvas.getContext("2d")!;
    g.clearRect(0, 0, w, h);
    if (picture.complete) g.drawImage(picture, (i % told.per_row) * w, Math.floor(i / told.per_row) * h, w, h, 0, 0, w, h);
  };
  return { canvas, show };
}

function build(host: HTMLElement, told: Told): void {
  const points = floats(told.points);
  const colours = told.colours.map((c) => ({ ...c, known: floats(c.values) }));
  host.textContent = "";
  const bar = make(host, "div", "diabolo-bar");
  const field = make(host, "div", "diabolo-field");
  const canvas = make(field, "canvas", "diabolo-canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Map of ${points.length / 2} items: ${told.names.join(" and ")}`);
  const tip = make(field, "div", "diabolo-tip");
  const legend = make(host, "div", "diabolo-legend");
  const thumb = told.sprite ? thumbnail(told) : null;
  let now = 0;
  let only = -1;

  const scatter = new Scatter(canvas, { hover: (i, x, y) => hover(i, x, y) });
  scatter.scrolls = true;

  function hover(i: number, x: number, y: number): void {
    tip.classList.toggle("on", i >= 0);
    if (i < 0) return;
    tip.textContent = "";
    if (thumb) {
      thumb.show(i);
      tip.append(thumb.canvas);
    }
    const lines = make(tip, "div", "diabolo-lines");
    make(lines, "b", "", told.text?.[i] ?? `Item ${i}`);
    for (const c of colours) make(lines, "span", "", `${c.title}: ${valueText(c, c.known[i])}`);
    tip.style.left = `${Math.max(0, Math.min(x + 14, field.clientWidth - 200))}px`;
    tip.style.top = `${Math.max(0, Math.min(y - 30, field.clientHeight - tip.offsetHeight))}px`;
  }

  function paint(): void {
    const colour = colours[now];
    legend.textContent = "";
    if (!colour) return scatter.setColours(paintLevels(new Float32Array(points.length / 2), dark()));
    if (colour.kind === "levels") {
      scatter.setColours(paintLevels(colour.known, dark(), only));
      (colour.levels ?? []).forEach((name, i) => {
        const key = make(legend, "button", "diabolo-key", name);
        key.type = "button";
        key.setAttribute("aria-pressed", String(only === i));
        const dot = document.createElement("span");
        dot.className = "diabolo-dot";
        dot.style.background = css(level(i, dark()));
        key.prepend(dot);
        key.onclick = () => {
          only = only === i ? -1 : i;
          paint();
          (legend.children[i] as HTMLElement).focus();
        };
      });
    } else {
      const ends = range(colour.known);
      scatter.setColours(paintNumbers(colour.known, ends, dark()));
      make(legend, "span", "", number(ends[0], 3));
      const ramp = make(legend, "span", "diabolo-ramp");
      const stops = Array.from({ length: 9 }, (_, i) => css(scale(i / 8, dark())));
      ramp.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
      make(legend, "span", "", `${number(ends[1], 3)} ${colour.title}`);
    }
  }

  if (colours.length > 1) {
    const label = make(bar, "label", "", "Colour ");
    const select = make(label, "select", "");
    colours.forEach((c, i) => (make(select, "option", "", c.title).value = String(i)));
    select.onchange = () => {
      now = Number(select.value);
      only = -1;
      paint();
    };
  }
  for (const [text, label, act] of [
    ["\u2212", "Zoom out", () => scatter.zoomBy(1 / 1.4)],
    ["+", "Zoom in, or the wheel with Ctrl", () => scatter.zoomBy(1.4)],
    ["All", "Show all", () => scatter.fit()],
  ] as const) {
    const button = make(bar, "button", "diabolo-button", text);
    button.type = "button";
    button.title = label;
    button.setAttribute("aria-label", label);
    button.onclick = act;
  }
  scatter.setPoints(points);
  paint();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  new MutationObserver(paint).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
}

function start(): void {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(style);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  for (const host of document.querySelectorAll<HTMLElement>("div.diabolo-map")) {
    const json = document.getElementById(host.dataset.json ?? "");
    if (json) build(host, JSON.parse(json.textContent ?? ""));
  }
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
