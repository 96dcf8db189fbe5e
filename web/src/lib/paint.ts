/** Items as pixels: one ImageData a canvas, written again and again. */
import { scale } from "./palette";
import type { Item, Numbers } from "./types";

export class Canvas {
  private context: CanvasRenderingContext2D;
  private image: ImageData;

  constructor(
    canvas: HTMLCanvasElement,
    private item: Item,
  ) {
    canvas.width = item.width;
    canvas.height = item.height;
    this.context = canvas.getContext("2d")!;
    this.image = this.context.createImageData(item.width, item.height);
    this.image.data.fill(255);
  }

  clear(): void {
    this.context.clearRect(0, 0, this.item.width, this.item.height);
  }

  /** Pixels as they are stored: bytes in (height, width, channels). */
  bytes(values: ArrayLike<number>, offset = 0): void {
    const { width, height, channels } = this.item;
    const out = this.image.data;
    for (let p = 0, n = width * height; p < n; p++)
      for (let c = 0; c < 3; c++) out[4 * p + c] = values[offset + p * channels + (channels === 1 ? 0 : c)];
    this.context.putImageData(this.image, 0, 0);
  }

  /** Decoded values in the user's units and layout. */
  values(values: ArrayLike<number>, offset = 0): void {
    const { width, height, channels, low, high, layout } = this.item;
    const out = this.image.data; // clamps and rounds
    const size = width * height;
    const gain = 255 / (high - low || 1);
    if (channels === 1) {
      for (let p = 0, q = 0; p < size; p++, q += 4)
        out[q] = out[q + 1] = out[q + 2] = (values[offset + p] - low) * gain;
    } else {
      const [step, plane] = layout === "chw" ? [1, size] : [channels, 1];
      for (let p = 0; p < size; p++)
        for (let c = 0; c < 3; c++)
          out[4 * p + c] = (values[offset + p * step + Math.min(c, channels - 1) * plane] - low) * gain;
    }
    this.context.putImageData(this.image, 0, 0);
  }

  /** Standard deviations on the sequential scale from zero to `top`; the mean over channels. */
  spread(values: ArrayLike<number>, top: number, dark: boolean): void {
    const { width, height, channels, layout } = this.item;
    const out = this.image.data;
    const size = width * height;
    const table = Array.from({ length: 64 }, (_, i) => scale(i / 63, dark));
    const [step, plane] = layout === "chw" ? [1, size] : [channels, 1];
    for (let p = 0; p < size; p++) {
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += values[p * step + c * plane];
      const rgb = table[Math.max(0, Math.min(63, Math.round((63 * sum) / channels / (top || 1))))];
      for (let c = 0; c < 3; c++) out[4 * p + c] = rgb[c];
    }
    this.context.putImageData(this.image, 0, 0);
  }
}

/** Decoded values as bytes in (height, width, channels). */
export function toBytes(values: ArrayLike<number>, item: Item): Uint8Array {
  const { width, height, channels, low, high, layout } = item;
  const size = width * height;
  const out = new Uint8ClampedArray(size * channels);
  const [step, plane] = layout === "chw" ? [1, size] : [channels, 1];
  for (let p = 0; p < size; p++)
    for (let c = 0; c < channels; c++)
      out[p * channels + c] = ((values[p * step + c * plane] - low) * 255) / (high - low || 1);
  return new Uint8Array(out.buffer);
}

/** Bytes in (height, width, channels) as values in the user's units and layout, for an encoder. */
export function fromBytes(bytes: ArrayLike<number>, item: Item): { x: Float32Array; shape: number[] } {
  const { width, height, channels, low, high, layout } = item;
  const size = width * height;
  const x = new Float32Array(size * channels);
  const [step, plane] = layout === "chw" ? [1, size] : [channels, 1];
  for (let p = 0; p < size; p++)
    for (let c = 0; c < channels; c++)
      x[p * step + c * plane] = low + (bytes[p * channels + c] / 255) * (high - low);
  const shape = { hw: [height, width], hwc: [height, width, channels], chw: [channels, height, width] }[layout ?? "hwc"];
  return { x, shape };
}

/** Lines of a vector on a canvas: the item, the reconstruction and two standard deviations around it. */
export function plot(
  canvas: HTMLCanvasElement,
  item: Numbers | null,
  mean: Numbers | null,
  sd: Numbers | null,
  colours: { item: string; mean: string; band: string; axis: string },
): void {
  const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
  const [w, h] = [canvas.clientWidth || 300, canvas.clientHeight || 120];
  if (canvas.width !== Math.round(w * ratio)) canvas.width = Math.round(w * ratio);
  if (canvas.height !== Math.round(h * ratio)) canvas.height = Math.round(h * ratio);
  const g = canvas.getContext("2d")!;
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, w, h);
  let [low, high] = [Infinity, -Infinity];
  for (const values of [item, mean])
    for (const v of values ?? []) if (Number.isFinite(v)) [low, high] = [Math.min(low, v), Math.max(high, v)];
  if (!(high > low)) [low, high] = [low - 1 || -1, low + 1 || 1];
  const n = (mean ?? item)?.length ?? 0;
  const x = (i: number) => 4 + ((w - 8) * i) / Math.max(1, n - 1);
  const y = (v: number) => h - 6 - ((h - 12) * (v - low)) / (high - low);
  g.strokeStyle = colours.axis;
  g.beginPath();
  g.moveTo(4, y(Math.max(low, Math.min(high, 0))));
  g.lineTo(w - 4, y(Math.max(low, Math.min(high, 0))));
  g.stroke();
  if (mean && sd) {
    g.fillStyle = colours.band;
    g.beginPath();
    for (let i = 0; i < n; i++) g.lineTo(x(i), y(mean[i] + 2 * sd[i]));
    for (let i = n - 1; i >= 0; i--) g.lineTo(x(i), y(mean[i] - 2 * sd[i]));
    g.fill();
  }
  for (const [values, colour, width] of [[item, colours.item, 1.5], [mean, colours.mean, 2]] as const) {
    if (!values) continue;
    g.strokeStyle = colour;
    g.lineWidth = width;
    g.beginPath();
    for (let i = 0; i < n; i++) g.lineTo(x(i), y(values[i]));
    g.stroke();
  }
}
