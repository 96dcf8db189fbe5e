import { expect, test } from "vitest";
import { pack, unpack } from "./wire";

test("a message comes back as it was sent, every array aligned", () => {
  const z = Float32Array.of(1, -2.5, NaN);
  const mask = Uint8Array.of(1, 0, 1, 1, 0);
  const buffer = pack({ id: 7, ask: "decode", word: "h\u00e9" }, { mask: { data: mask, shape: [1, 5] }, z: { data: z, shape: [1, 3] } });
  expect(buffer.byteLength % 4).toBe(0);
  const length = new DataView(buffer).getUint32(0, true);
  expect(length % 4).toBe(0);
  const { header, arrays } = unpack(buffer);
  expect(header).toMatchObject({ id: 7, ask: "decode", word: "h\u00e9" });
  expect(arrays.z.data).toEqual(z);
  expect(arrays.mask.data).toEqual(mask);
  expect(arrays.mask.shape).toEqual([1, 5]);
});

test("a message without arrays is its header alone", () => {
  expect(unpack(pack({ event: "bye" })).header).toMatchObject({ event: "bye" });
});
