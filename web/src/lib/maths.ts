/** Codes and places: interpolation, the linear map and its inverse, neighbours. Codes lie one after the other. */

export type Code = Float32Array;

export function rowOf(codes: Float32Array, index: number, d: number): Code {
  return codes.slice(index * d, (index + 1) * d);
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** A point between two codes: along the straight line, or along the arc and with lengths interpolated. */
export function between(a: Code, b: Code, t: number, space: string, discrete?: boolean[]): Code {
  const out = new Float32Array(a.length);
  let [p, q] = [1 - t, t];
  if (space === "sphere") {
    const [la, lb] = [Math.sqrt(dot(a, a)), Math.sqrt(dot(b, b))];
    const cos = Math.max(-1, Math.min(1, dot(a, b) / (la * lb || 1)));
    const angle = Math.acos(cos);
    const sin = Math.sin(angle);
    if (sin > 1e-5) {
      const length = la * (1 - t) + lb * t;
      [p, q] = [(Math.sin((1 - t) * angle) / sin) * (length / la), (Math.sin(t * angle) / sin) * (length / lb)];
    }
  }
  for (let i = 0; i < a.length; i++) out[i] = discrete?.[i] ? (t < 0.5 ? a[i] : b[i]) : p * a[i] + q * b[i];
  return out;
}

export interface Linear {
  mean: number[];
  axes: number[][];
}

/** Where a code lies on the linear map. */
export function place(code: Code, linear: Linear): [number, number] {
  const centred = linear.mean.map((m, i) => code[i] - m);
  return [dot(centred, linear.axes[0]), dot(centred, linear.axes[1])];
}

/** The code of the linear map's plane at a place; the axes have length one and a right angle. */
export function unplace(x: number, y: number, linear: Linear): Code {
  return Float32Array.from(linear.mean, (m, i) => m + x * linear.axes[0][i] + y * linear.axes[1][i]);
}

/**
 * The indices of the `k` nearest rows of `points` (n, d), nearest first, and their distances. The numbers of discrete
 * elements are names: two of them are alike, or 1 apart.
 */
export function nearest(
  points: Float32Array,
  d: number,
  to: ArrayLike<number>,
  k: number,
  skip = -1,
  discrete?: boolean[],
): { index: number[]; distance: number[] } {
  const index: number[] = [];
  const squared: number[] = [];
  const n = points.length / d;
  let worst = Infinity;
  for (let i = 0; i < n; i++) {
    if (i === skip) continue;
    let sum = 0;
    for (let j = 0, o = i * d; j < d && sum < worst; j++) {
      const gap = points[o + j] - to[j];
      sum += discrete?.[j] ? +(gap !== 0) : gap * gap;
    }
    if (!(sum < worst)) continue;
    let at = index.length;
    while (at > 0 && squared[at - 1] > sum) at--;
    index.splice(at, 0, i);
    squared.splice(at, 0, sum);
    if (index.length > k) {
      index.pop();
      squared.pop();
    }
    if (index.length === k) worst = squared[k - 1];
  }
  return { index, distance: squared.map(Math.sqrt) };
}

/** A code for a place on a map that has no inverse: the nearest rows' codes, weighted by closeness; levels of the nearest. */
export function guess(x: number, y: number, map: Float32Array, codes: Float32Array, d: number, discrete?: boolean[], k = 6): Code {
  const { index, distance } = nearest(map, 2, [x, y], k);
  const weight = distance.map((r) => 1 / (r + 1e-6));
  const total = weight.reduce((a, b) => a + b, 0) || 1;
  const out = new Float32Array(d);
  index.forEach((row, j) => {
    for (let i = 0; i < d; i++)
      if (!discrete?.[i]) out[i] += (weight[j] / total) * codes[row * d + i];
      else if (j === 0) out[i] = codes[row * d + i];
  });
  return out;
}

/** A place for a code on a map that is not linear: the nearest rows' places, weighted by closeness. */
export function settle(code: Code, codes: Float32Array, map: Float32Array, discrete?: boolean[], k = 6): [number, number] {
  const { index, distance } = nearest(codes, code.length, code, k, -1, discrete);
  const weight = distance.map((r) => 1 / (r + 1e-6));
  const total = weight.reduce((a, b) => a + b, 0) || 1;
  let [x, y] = [0, 0];
  index.forEach((row, j) => {
    x += (weight[j] / total) * map[2 * row];
    y += (weight[j] / total) * map[2 * row + 1];
  });
  return [x, y];
}

/** The code with one element set; where only directions count, the others keep its length. */
export function withElement(code: Code, index: number, value: number, direction: boolean): Code {
  const out = code.slice();
  if (!direction) {
    out[index] = value;
    return out;
  }
  const length = Math.sqrt(dot(code, code)) || 1;
  const v = Math.max(-length, Math.min(length, value));
  const rest = Math.sqrt(Math.max(0, dot(code, code) - code[index] * code[index]));
  const left = Math.sqrt(Math.max(0, length * length - v * v));
  const scale = rest > 1e-6 ? left / rest : 0;
  for (let i = 0; i < out.length; i++) out[i] *= scale;
  if (rest <= 1e-6 && out.length > 1) out[(index + 1) % out.length] = left;
  out[index] = v;
  return out;
}

/** The nearest row to `from` that lies in a direction (a quarter of the plane); -1 where none does. */
export function stepTowards(points: Float32Array, from: [number, number], dx: number, dy: number, skip: number): number {
  let [best, at] = [Infinity, -1];
  for (let i = 0; i < points.length / 2; i++) {
    const [gx, gy] = [points[2 * i] - from[0], points[2 * i + 1] - from[1]];
    const along = gx * dx + gy * dy;
    const across = Math.abs(gx * dy - gy * dx);
    if (i === skip || along <= 0 || across > along) continue;
    const far = along + 2 * across;
    if (far < best) [best, at] = [far, i];
  }
  return at;
}

/** The share of known values below `value`. */
export function shareBelow(values: Float32Array, value: number): number {
  let [below, known] = [0, 0];
  for (const v of values) {
    if (Number.isNaN(v)) continue;
    known++;
    if (v < value) below++;
  }
  return known ? below / known : NaN;
}

/** Where an item has a value: 1 is seen, 0 a hole. */
export function seenOf(values: Float32Array): Uint8Array {
  return Uint8Array.from(values, (v) => (Number.isNaN(v) ? 0 : 1));
}

/** An item as a network of the browser takes it, a number in each hole; refused where it reads no mask. */
export function withoutHoles(values: Float32Array, masked: boolean): Float32Array {
  if (!values.some(Number.isNaN)) return values;
  if (!masked) throw new Error("this model was fitted to whole items: give each column a value.");
  return values.map((v) => (Number.isNaN(v) ? 0 : v));
}
