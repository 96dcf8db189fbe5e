import { expect, test } from "vitest";
import { boxOf, fit, toPlane, toScreen, zoom } from "./camera";
import { Newest } from "./nets";
import { fromBytes, toBytes } from "./paint";
import { level, paintLevels, paintNumbers, range } from "./palette";
import type { Item } from "./types";

const item = (layout: Item["layout"], channels: number): Item => ({ kind: "image", height: 2, width: 3, channels, low: -1, high: 1, layout, columns: [] });

test.each([["hw", 1], ["hwc", 1], ["chw", 3], ["hwc", 3]] as const)("pixels go to values and back in %s of %i", (layout, channels) => {
  const bytes = Uint8Array.from({ length: 6 * channels }, (_, i) => (i * 37) % 256);
  const told = item(layout, channels);
  const { x, shape } = fromBytes(bytes, told);
  expect(shape.reduce((a, b) => a * b)).toBe(x.length);
  expect(Math.min(...x)).toBeGreaterThanOrEqual(-1);
  expect(toBytes(x, told)).toEqual(bytes);
});

test("channels first: the first plane is red", () => {
  const { x } = fromBytes(Uint8Array.from({ length: 18 }, (_, i) => (i % 3 ? 0 : 255)), item("chw", 3));
  expect(Array.from(x.slice(0, 6))).toEqual([1, 1, 1, 1, 1, 1]);
  expect(Math.max(...x.slice(6))).toBe(-1);
});

test("zooming leaves the place under the pointer where it is", () => {
  const camera = fit(boxOf(Float32Array.of(-2, 0, 4, 1)), 400, 300);
  const before = toPlane(camera, 100, 40);
  const near = zoom(camera, 3, 100, 40, camera.scale);
  const [x, y] = toScreen(near, ...before);
  expect(x).toBeCloseTo(100, 6);
  expect(y).toBeCloseTo(40, 6);
});

test("all points are on the first view", () => {
  const points = Float32Array.from({ length: 40 }, (_, i) => Math.sin(i * 7.3) * 9);
  const camera = fit(boxOf(points), 320, 500);
  for (let i = 0; i < points.length; i += 2) {
    const [x, y] = toScreen(camera, points[i], points[i + 1]);
    expect(x > 0 && x < 320 && y > 0 && y < 500).toBe(true);
  }
});

test("colours follow levels and numbers, the unknown is grey, the ends are robust", () => {
  const bytes = paintLevels([1, -1, NaN, 1], false);
  expect(Array.from(bytes.slice(0, 3))).toEqual(level(1, false));
  expect(bytes.slice(4, 8)).toEqual(bytes.slice(8, 12));
  const values = Array.from({ length: 1000 }, (_, i) => i / 10);
  const ends = range([...values, 1e9, NaN]);
  expect(ends[1]).toBeLessThan(100);
  const numbers = paintNumbers([0, 50, 1e9, NaN], ends, true);
  expect(numbers.slice(8, 12)).not.toEqual(numbers.slice(0, 4));
});

test("only the newest of those that wait is worked on", async () => {
  const done: (number | null)[] = [];
  let free = () => {};
  const newest = new Newest<number | null>(async (n) => {
    done.push(n);
    await new Promise<void>((resolve) => (free = resolve));
  });
  const all = newest.ask(null);
  void newest.ask(2);
  void newest.ask(3);
  while (done.length < 2) {
    free();
    await Promise.resolve();
  }
  free();
  await all;
  expect(done).toEqual([null, 3]);
});
