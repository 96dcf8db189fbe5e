/** What part of the plane is seen: the middle and the pixels a unit takes, the same in both directions. */

export interface Camera {
  x: number;
  y: number;
  scale: number;
  width: number;
  height: number;
}

export interface Box {
  low: [number, number];
  high: [number, number];
}

export function boxOf(points: Float32Array): Box {
  const low: [number, number] = [Infinity, Infinity];
  const high: [number, number] = [-Infinity, -Infinity];
  for (let i = 0; i < points.length; i++) {
    const j = i & 1;
    if (points[i] < low[j]) low[j] = points[i];
    if (points[i] > high[j]) high[j] = points[i];
  }
  return points.length ? { low, high } : { low: [-1, -1], high: [1, 1] };
}

export function fit(box: Box, width: number, height: number, margin = 24): Camera {
  const gap = [box.high[0] - box.low[0] || 1, box.high[1] - box.low[1] || 1];
  const room = [Math.max(1, width - 2 * margin), Math.max(1, height - 2 * margin)];
  return {
    x: (box.low[0] + box.high[0]) / 2,
    y: (box.low[1] + box.high[1]) / 2,
    scale: Math.min(room[0] / gap[0], room[1] / gap[1]),
    width,
    height,
  };
}

export function toScreen(c: Camera, x: number, y: number): [number, number] {
  return [c.width / 2 + (x - c.x) * c.scale, c.height / 2 - (y - c.y) * c.scale];
}

export function toPlane(c: Camera, px: number, py: number): [number, number] {
  return [c.x + (px - c.width / 2) / c.scale, c.y - (py - c.height / 2) / c.scale];
}

/** The same camera nearer by `factor`, with the place under the pointer left where it is. */
export function zoom(c: Camera, factor: number, px: number, py: number, home: number): Camera {
  const scale = Math.max(home / 4, Math.min(home * 400, c.scale * factor));
  const [x, y] = toPlane(c, px, py);
  return { ...c, scale, x: x - (px - c.width / 2) / scale, y: y + (py - c.height / 2) / scale };
}

export function pan(c: Camera, dx: number, dy: number): Camera {
  return { ...c, x: c.x - dx / c.scale, y: c.y + dy / c.scale };
}
