/** Networks of the run computed in the browser, off the page's own thread. */
import * as ort from "onnxruntime-web/wasm";
import wasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import glue from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import { seenOf, withoutHoles } from "./maths";

/** How a condition is given to a graph: what one column of it is told to be. */
export interface Reads {
  levels: number; // one-hot over so many; 0 for a number
  mean: number;
  scale: number;
}

export interface Job {
  id: number;
  open?: { net: string; file: string };
  run?: { net: string; x: Float32Array; shape: number[]; condition: number[]; reads: Reads[] };
}

const sessions = new Map<string, ort.InferenceSession>();
ort.env.wasm.wasmPaths = { wasm: new URL(wasm, self.location.href).href, mjs: new URL(glue, self.location.href).href };
// more threads wait for one another by spinning, and are slower for networks of this size where cores are busy
ort.env.wasm.numThreads = 1;

type Told = { name: string; type?: string; shape?: readonly (number | string)[] };

/** Conditions as a graph takes them: names one-hot (all zero where they are not known), numbers standardised. */
function conditionOf(m: number, values: number[], reads: Reads[]): ort.Tensor {
  const row = values.flatMap((v, i) => {
    const { levels, mean, scale } = reads[i];
    return levels ? Array.from({ length: levels }, (_, j) => (j === v ? 1 : 0)) : [(v - mean) / scale];
  });
  return new ort.Tensor("float32", Float32Array.from({ length: m * row.length }, (_, i) => row[i % row.length]), [m, row.length]);
}

/** One input of a graph by its name: the values themselves, the condition, what was seen, or noise at its middle. */
function inputOf(told: Told, job: NonNullable<Job["run"]>, masked: boolean): ort.Tensor {
  const m = job.shape[0];
  if (told.name === "condition") return conditionOf(m, job.condition, job.reads);
  if (told.name === "mask") return new ort.Tensor("bool", seenOf(job.x), job.shape);
  if (told.name === "uniform") {
    const width = Number(told.shape?.[1] ?? 1);
    return new ort.Tensor("float32", new Float32Array(m * width).fill(0.5), [m, width]);
  }
  if (told.type === "uint8") return new ort.Tensor("uint8", Uint8Array.from(job.x, (v) => Math.round(v)), job.shape);
  return new ort.Tensor("float32", withoutHoles(job.x, masked), job.shape);
}

async function run(job: NonNullable<Job["run"]>): Promise<Record<string, Float32Array>> {
  const session = sessions.get(job.net)!;
  const feeds: Record<string, ort.Tensor> = {};
  const inputs = session.inputMetadata as unknown as Told[];
  const masked = inputs.some((told) => told.name === "mask");
  for (const told of inputs) feeds[told.name] = inputOf(told, job, masked);
  const answer = await session.run(feeds);
  const out: Record<string, Float32Array> = {};
  for (const name of session.outputNames) out[name] = Float32Array.from(answer[name].data as Float32Array);
  return out;
}

// one job after the other: a session takes no second one while it runs
let last: Promise<unknown> = Promise.resolve();
self.onmessage = (e: MessageEvent<Job>) => {
  const { id, open, run: job } = e.data;
  last = last.then(async () => {
    try {
      if (open) {
        const answer = await fetch(open.file, { cache: "no-cache" }); // as the scene that it belongs to
        if (!answer.ok) throw new Error(`The server answered ${answer.status} for ${open.file}.`);
        const net = new Uint8Array(await answer.arrayBuffer());
        sessions.set(open.net, await ort.InferenceSession.create(net, { graphOptimizationLevel: "all" }));
        self.postMessage({ id });
      } else if (job) {
        const out = await run(job);
        self.postMessage({ id, out }, { transfer: Object.values(out).map((a) => a.buffer) });
      }
    } catch (error) {
      self.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
    }
  });
};
