import { expect, test } from "vitest";
import { between, guess, nearest, place, seenOf, shareBelow, stepTowards, unplace, withElement, withoutHoles } from "./maths";

const length = (v: Float32Array) => Math.hypot(...v);

test("a straight line has its ends and its middle", () => {
  const [a, b] = [Float32Array.of(0, 2), Float32Array.of(4, -2)];
  expect(between(a, b, 0, "real")).toEqual(a);
  expect(between(a, b, 1, "real")).toEqual(b);
  expect(between(a, b, 0.5, "real")).toEqual(Float32Array.of(2, 0));
});

test("on the sphere the way keeps its length and its pace", () => {
  const [a, b] = [Float32Array.of(1, 0, 0), Float32Array.of(0, 1, 0)];
  for (const t of [0, 0.25, 0.5, 1]) {
    const c = between(a, b, t, "sphere");
    expect(length(c)).toBeCloseTo(1, 6);
    expect(Math.atan2(c[1], c[0])).toBeCloseTo((t * Math.PI) / 2, 6);
  }
});

test("levels change half way and take no value between", () => {
  const c = (t: number) => between(Float32Array.of(0, 3), Float32Array.of(1, 7), t, "real", [false, true])[1];
  expect([c(0.49), c(0.51)]).toEqual([3, 7]);
});

test("the linear map and its inverse agree on the plane", () => {
  const linear = { mean: [1, 2, 3], axes: [[0.6, 0.8, 0], [0, 0, 1]] };
  const [x, y] = place(unplace(2.5, -1, linear), linear);
  expect(x).toBeCloseTo(2.5, 5);
  expect(y).toBeCloseTo(-1, 5);
});

test("neighbours are those of a full sort", () => {
  const n = 200;
  const points = Float32Array.from({ length: 3 * n }, (_, i) => Math.sin(i * 12.9898) * 3);
  const to = [0.1, -0.2, 0.3];
  const all = Array.from({ length: n }, (_, i) => Math.hypot(...to.map((v, j) => points[3 * i + j] - v)));
  const order = all.map((_, i) => i).filter((i) => i !== 5).sort((i, j) => all[i] - all[j]);
  const found = nearest(points, 3, to, 7, 5);
  expect(found.index).toEqual(order.slice(0, 7));
  expect(found.distance[0]).toBeCloseTo(all[order[0]], 5);
});

test("a place where a row lies is guessed to be that row's code", () => {
  const map = Float32Array.of(0, 0, 1, 0, 0, 1, 5, 5);
  const codes = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const code = guess(1, 0, map, codes, 2);
  expect(code[0]).toBeCloseTo(3, 3);
  expect(code[1]).toBeCloseTo(4, 3);
});

test("levels are alike or not, and a guess takes those of the nearest row", () => {
  const [a, b, c] = [[0, 9, 0.5], [1, 0, 0.5], [0, 0, 2]];
  const codes = Float32Array.from([a, b, c].flat());
  const discrete = [true, true, false];
  expect(nearest(codes, 3, [0, 0, 0.5], 3, -1, discrete)).toEqual({ index: [0, 1, 2], distance: [1, 1, 1.5] });
  const guessed = guess(0.01, 0, Float32Array.of(0, 0, 1, 0, 0, 1), codes, 3, discrete);
  expect(Array.from(guessed.slice(0, 2))).toEqual([0, 9]);
});

test("an element of a direction is set and the length stays", () => {
  const code = withElement(Float32Array.of(0.6, 0.8, 0), 0, -0.5, true);
  expect(code[0]).toBeCloseTo(-0.5, 6);
  expect(length(code)).toBeCloseTo(1, 6);
  expect(withElement(Float32Array.of(1, 2), 1, 9, false)).toEqual(Float32Array.of(1, 9));
});

test("arrows find the nearest item in their direction", () => {
  const points = Float32Array.of(0, 0, 1, 0.1, -2, 0, 0, 3);
  expect(stepTowards(points, [0, 0], 1, 0, 0)).toBe(1);
  expect(stepTowards(points, [0, 0], -1, 0, 0)).toBe(2);
  expect(stepTowards(points, [0, 0], 0, 1, 0)).toBe(3);
  expect(stepTowards(points, [0, 0], 0, -1, 0)).toBe(-1);
});

test("unknown values count on neither side", () => {
  expect(shareBelow(Float32Array.of(1, 2, NaN, 3, 4), 3)).toBe(0.5);
});

test("holes are told by the mask and have no part in what is computed", () => {
  const row = Float32Array.from([1.5, NaN, -2]);
  expect([...seenOf(row)]).toEqual([1, 0, 1]);
  expect([...withoutHoles(row, true)]).toEqual([1.5, 0, -2]);
  expect(() => withoutHoles(row, false)).toThrow("whole items");
  expect([...withoutHoles(Float32Array.from([1, 2]), false)]).toEqual([1, 2]);
});
