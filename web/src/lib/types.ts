/** What `scene.json` (version 1) says of a run. */

export type Can = true | string;
export type Kind = "number" | "levels" | "date" | "boolean";

export interface Column {
  name: string;
  kind: Kind;
  levels: string[] | null;
  low: number | null;
  high: number | null;
  step: number | null;
  unit: string | null;
}

export interface Item {
  kind: "image" | "table" | "vector";
  height: number;
  width: number;
  channels: number;
  low: number;
  high: number;
  layout: "hw" | "hwc" | "chw" | null;
  columns: Column[];
}

export interface LatentInfo {
  index: number;
  name: string;
  rate: number | null;
  low: number;
  high: number;
  start: number;
  kind: "real" | "levels" | "direction";
  levels: number | null;
  names?: string[] | null;
}

export type ConditionInfo =
  | { kind: "label"; title: string; levels: string[]; optional?: boolean }
  | { kind: "numbers" | "columns"; names: string[]; columns?: ConditionColumn[]; optional?: boolean };

export interface ConditionColumn {
  name: string;
  kind: "levels" | "number";
  levels: string[] | null;
  low: number;
  high: number;
  start: number;
  mean?: number;
  scale?: number;
}

export interface ColourInfo {
  name: string;
  title: string;
  kind: "levels" | "number";
  levels: string[] | null;
  unit: string | null;
  state: "ready" | "later" | "failed";
  about: string;
}

export interface MapInfo {
  name: string;
  title: string;
  about: string;
  state: "ready" | "later" | "failed";
  linear: { mean: number[]; axes: number[][] } | null;
  names?: [string, string];
}

export interface ArrayInfo {
  dtype: "f4" | "u1" | "i4";
  shape: number[];
}

export interface NetInfo {
  file: string;
  output?: { dtype: string; layout: string };
}

export interface Scene {
  version: number;
  title: string;
  facts: [string, string][];
  verdict: string[];
  live: boolean;
  item: Item;
  n: number;
  code: number;
  space: "real" | "sphere" | "other";
  latents: LatentInfo[];
  /** What puts the latents in order: the rate, or the spread where some rate is not known. */
  order: "rate" | "spread";
  condition: ConditionInfo | null;
  colours: ColourInfo[];
  maps: MapInfo[];
  can: Record<"decode" | "sample" | "encode" | "score" | "impute" | "uncertainty", Can>;
  decoder: NetInfo | null;
  encoder: NetInfo | null;
  arrays: Record<string, ArrayInfo>;
  limits: { upload_bytes: number; pixels: number; batch: number; rows: number };
}

export type Numbers = Float32Array | Uint8Array | Int32Array;

/** A label's index, an array of numbers, or nothing: what a conditional model is given. */
export type Condition = number | Float32Array | null;

/** The number of elements of one item as it is held in `items`. */
export function itemSize(item: Item): number {
  return item.kind === "image" ? item.height * item.width * item.channels : item.columns.length || item.width;
}
