/** Items of the reader's own: encoded, scored, and filled in where parts are hidden. */
import type { Explorer, Facts, Filled } from "./explorer.svelte";
import { conditionOption } from "./nets";
import { fromBytes } from "./paint";
import type { Item, Numbers } from "./types";

/** An item as the server takes it: bytes of a picture, or numbers. */
function sent(held: Numbers, item: Item): { data: Numbers; shape: number[] } {
  if (item.kind === "image") return { data: held, shape: [1, item.height, item.width, item.channels] };
  return { data: held, shape: [1, held.length] };
}

/** Whether an item can be encoded here: true, or the sentence that says why not. */
export function canEncode(explorer: Explorer): true | string {
  const { can, encoder } = explorer.scene;
  if (can.encode !== true) return can.encode;
  if (!explorer.link && !encoder) return "This saved page has no encoder: an item of your own needs the live page.";
  return true;
}

export function canImpute(explorer: Explorer): true | string {
  const { can } = explorer.scene;
  if (can.impute !== true) return can.impute;
  return explorer.link ? true : "Filling in needs the live page: run `diabolo explore`.";
}

/** Encodes an item and shows it; `held` is as items are held. */
export async function encode(explorer: Explorer, held: Numbers, name: string): Promise<void> {
  const counts = explorer.begin();
  const { item } = explorer.scene;
  let code: Float32Array;
  let facts: Facts = {};
  if (explorer.link) {
    const answer = await explorer.link.ask("encode", { x: sent(held, item) }, conditionOption(explorer.condition));
    code = Float32Array.from(answer.arrays.code.data);
    facts = answer.header as Facts;
  } else {
    const { x, shape } = item.kind === "image" ? fromBytes(held, item) : { x: Float32Array.from(held), shape: [held.length] };
    code = (await explorer.nets!.encode(x, shape, explorer.condition)).code;
  }
  if (counts()) explorer.showOwn(held, code, facts, name);
}

/** Fills in what the mask hides (0); 1 is seen. */
export async function impute(explorer: Explorer, held: Numbers, mask: Uint8Array, seed = 0): Promise<Filled> {
  const { item } = explorer.scene;
  const shape = item.kind === "image" ? [1, item.height, item.width] : [1, held.length];
  const x = item.kind === "image" ? sent(held, item) : { data: Float32Array.from(held, (v, i) => (mask[i] ? v : NaN)), shape };
  const answer = await explorer.link!.ask(
    "impute",
    { x, mask: { data: mask, shape } },
    { draws: 8, seed, ...conditionOption(explorer.condition) },
  );
  const best = answer.arrays.best.data as Float32Array;
  const draws = (answer.arrays.draws?.data as Float32Array) ?? new Float32Array();
  const size = best.length;
  return {
    best,
    draws: Array.from({ length: draws.length / size }, (_, i) => draws.slice(i * size, (i + 1) * size)),
    method: String(answer.header.method ?? ""),
    notes: (answer.header.notes as string[]) ?? [],
  };
}

const UNREADABLE = "This file is no picture that the browser can read: take a PNG or a JPEG.";

/** Width and height as a file states them, before its pixels are decoded: a small file may hold very many. */
async function sizeOfPicture(file: Blob): Promise<{ width: number; height: number }> {
  const address = URL.createObjectURL(file);
  try {
    const picture = new Image();
    await new Promise((resolve, reject) => {
      picture.onload = resolve;
      picture.onerror = () => reject(new Error(UNREADABLE));
      picture.src = address;
    });
    return { width: picture.naturalWidth, height: picture.naturalHeight };
  } finally {
    URL.revokeObjectURL(address);
  }
}

/** A picture file at the model's size, whole, its proportions kept, on the dark end of the range. */
export async function readPicture(file: Blob, item: Item, limits: { pixels: number }): Promise<Uint8Array> {
  const { width, height } = await sizeOfPicture(file);
  if (width * height > limits.pixels) throw new Error(`This picture has ${width} × ${height} pixels: make it smaller first.`);
  const picture = await createImageBitmap(file).catch(() => null);
  if (!picture) throw new Error(UNREADABLE);
  const scale = Math.min(item.width / width, item.height / height);
  const canvas = document.createElement("canvas");
  canvas.width = item.width;
  canvas.height = item.height;
  const g = canvas.getContext("2d", { willReadFrequently: true })!;
  g.imageSmoothingQuality = "high";
  g.fillRect(0, 0, item.width, item.height);
  const [w, h] = [width * scale, height * scale];
  g.drawImage(picture, (item.width - w) / 2, (item.height - h) / 2, w, h);
  picture.close();
  const data = g.getImageData(0, 0, item.width, item.height).data;
  const out = new Uint8Array(item.width * item.height * item.channels);
  for (let p = 0; p < item.width * item.height; p++) {
    const [r, b, c] = [data[4 * p], data[4 * p + 1], data[4 * p + 2]];
    if (item.channels === 1) out[p] = Math.round(0.299 * r + 0.587 * b + 0.114 * c);
    else out.set([r, b, c].slice(0, item.channels), p * item.channels);
  }
  return out;
}
