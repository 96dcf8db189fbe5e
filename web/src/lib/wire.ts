/** Messages of the socket: length, header in JSON, arrays one after the other, all aligned to 4 bytes. */
import type { ArrayInfo, Numbers } from "./types";

export interface Named extends ArrayInfo {
  name: string;
}

export interface Message {
  header: Record<string, unknown>;
  arrays: Record<string, { data: Numbers; shape: number[] }>;
}

const up = (n: number) => (n + 3) & ~3;

export function bytesOf(dtype: ArrayInfo["dtype"]): number {
  return dtype === "u1" ? 1 : 4;
}

export function sizeOf(shape: number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

function dtypeOf(data: Numbers): ArrayInfo["dtype"] {
  if (data instanceof Uint8Array) return "u1";
  return data instanceof Int32Array ? "i4" : "f4";
}

export function view(buffer: ArrayBuffer, offset: number, dtype: ArrayInfo["dtype"], size: number): Numbers {
  if (dtype === "u1") return new Uint8Array(buffer, offset, size);
  if (dtype === "i4") return new Int32Array(buffer, offset, size);
  return new Float32Array(buffer, offset, size);
}

/** One message as bytes. */
export function pack(
  header: Record<string, unknown>,
  arrays: Record<string, { data: Numbers; shape: number[] }> = {},
): ArrayBuffer {
  const named = Object.entries(arrays);
  const told: Named[] = named.map(([name, a]) => ({ name, dtype: dtypeOf(a.data), shape: a.shape }));
  const text = new TextEncoder().encode(JSON.stringify({ ...header, arrays: told }));
  const length = up(text.length);
  const total = named.reduce((sum, [, a]) => sum + up(a.data.byteLength), 4 + length);
  const bytes = new Uint8Array(total);
  new DataView(bytes.buffer).setUint32(0, length, true);
  bytes.fill(32, 4, 4 + length);
  bytes.set(text, 4);
  let offset = 4 + length;
  for (const [, a] of named) {
    bytes.set(new Uint8Array(a.data.buffer, a.data.byteOffset, a.data.byteLength), offset);
    offset += up(a.data.byteLength);
  }
  return bytes.buffer;
}

/** The message that these bytes hold; its arrays are views of them. */
export function unpack(buffer: ArrayBuffer): Message {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays: Message["arrays"] = {};
  let offset = 4 + length;
  for (const { name, dtype, shape } of (header.arrays ?? []) as Named[]) {
    const size = sizeOf(shape);
    arrays[name] = { data: view(buffer, offset, dtype, size), shape };
    offset += up(size * bytesOf(dtype));
  }
  return { header, arrays };
}
