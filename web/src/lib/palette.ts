/** Colours that people with any colour vision tell apart, on light and on dark ground. */

export type Rgb = [number, number, number];

// Wong's eight colours (Nature Methods 8, 441) without black, then three of Tol's muted scheme
const LEVELS: Rgb[] = [
  [0, 114, 178], [230, 159, 0], [0, 158, 115], [213, 94, 0], [86, 180, 233], [204, 121, 167],
  [180, 170, 30], [136, 34, 85], [102, 102, 204], [120, 130, 140], [68, 170, 153], [153, 102, 51],
];
const LEVELS_DARK: Rgb[] = [
  [64, 156, 220], [240, 175, 40], [30, 190, 145], [238, 120, 50], [130, 205, 250], [225, 150, 190],
  [240, 228, 66], [205, 95, 150], [150, 150, 240], [165, 175, 185], [100, 205, 190], [200, 150, 100],
];

// viridis at nine places
const VIRIDIS: Rgb[] = [
  [68, 1, 84], [71, 45, 123], [59, 82, 139], [44, 114, 142], [33, 145, 140], [40, 174, 128], [94, 201, 98],
  [173, 220, 48], [253, 231, 37],
];

export const unknown = (dark: boolean): Rgb => (dark ? [96, 104, 112] : [176, 182, 188]);

export function level(index: number, dark: boolean): Rgb {
  const colours = dark ? LEVELS_DARK : LEVELS;
  if (!(index >= 0)) return unknown(dark);
  return colours[index % colours.length];
}

/** A colour of the sequential scale at t in [0, 1]; the end that the ground swallows is left out. */
export function scale(t: number, dark: boolean): Rgb {
  const [from, to] = dark ? [0.18, 1] : [0, 0.9];
  const x = (from + (to - from) * Math.max(0, Math.min(1, t))) * (VIRIDIS.length - 1);
  const i = Math.min(VIRIDIS.length - 2, Math.floor(x));
  const f = x - i;
  return VIRIDIS[i].map((c, j) => Math.round(c + f * (VIRIDIS[i + 1][j] - c))) as Rgb;
}

export const css = ([r, g, b]: Rgb): string => `rgb(${r}, ${g}, ${b})`;

/** The range that the scale covers: the middle 98 of 100 known values. */
export function range(values: ArrayLike<number>): [number, number] {
  const known = Array.from(values).filter((v) => Number.isFinite(v)).sort((a, b) => a - b);
  if (!known.length) return [0, 1];
  const at = (q: number) => known[Math.round(q * (known.length - 1))];
  return [at(0.01), at(0.99)];
}

/** Every point's colour, four bytes a point; `only` leaves the points of one level and pales the rest. */
export function paintLevels(values: ArrayLike<number>, dark: boolean, only = -1): Uint8Array {
  const out = new Uint8Array(4 * values.length);
  for (let i = 0; i < values.length; i++) {
    const pale = only >= 0 && values[i] !== only;
    out.set(pale ? unknown(dark) : level(values[i], dark), 4 * i);
    out[4 * i + 3] = pale ? 60 : 230;
  }
  return out;
}

export function paintNumbers(values: ArrayLike<number>, [low, high]: [number, number], dark: boolean): Uint8Array {
  const table = Array.from({ length: 256 }, (_, i) => scale(i / 255, dark));
  const out = new Uint8Array(4 * values.length);
  for (let i = 0; i < values.length; i++) {
    const t = Math.round((255 * (values[i] - low)) / (high - low || 1));
    out.set(Number.isFinite(t) ? table[Math.max(0, Math.min(255, t))] : unknown(dark), 4 * i);
    out[4 * i + 3] = 230;
  }
  return out;
}
