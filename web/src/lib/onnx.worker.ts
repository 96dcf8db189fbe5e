/** Networks of the run computed in the browser, off the page's own thread. */
import * as ort from "onnxruntime-web/wasm";
import wasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import glue from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";

export interface Job {
  id: number;
  open?: { net: string; file: string; threads: number };
  run?: { net: string; x: Float32Array; shape: number[]; condition: number | Float32Array | null; levels: number };
}

const sessions = new Map<string, ort.InferenceSession>();
ort.env.wasm.wasmPaths = { wasm: new URL(wasm, self.location.href).href, mjs: new URL(glue, self.location.href).href };

type Told = { name: string; isTensor: boolean; type?: string; shape?: readonly (number | string)[] };

/** The condition as the graph takes it: indices, one element hot, or the numbers themselves. */
function conditionOf(told: Told, m: number, condition: number | Float32Array | null, levels: number): ort.Tensor {
  if (typeof condition !== "number") {
    const width = condition?.length ?? 0;
    const rows = new Float32Array(m * width);
    for (let i = 0; i < m; i++) rows.set(condition ?? [], i * width);
    return new ort.Tensor("float32", rows, [m, width]);
  }
  if (told.type === "int64") {
    const shape = told.shape?.length === 2 ? [m, 1] : [m];
    return new ort.Tensor("int64", new BigInt64Array(m).fill(BigInt(condition)), shape);
  }
  if (told.shape?.length === 1) return new ort.Tensor("float32", new Float32Array(m).fill(condition), [m]);
  const hot = new Float32Array(m * levels);
  for (let i = 0; i < m; i++) hot[i * levels + condition] = 1;
  return new ort.Tensor("float32", hot, [m, levels]);
}

async function run(job: NonNullable<Job["run"]>): Promise<Record<string, Float32Array>> {
  const session = sessions.get(job.net)!;
  const [first, second] = session.inputMetadata as unknown as Told[];
  const feeds: Record<string, ort.Tensor> = { [first.name]: new ort.Tensor("float32", job.x, job.shape) };
  if (second) feeds[second.name] = conditionOf(second, job.shape[0], job.condition, job.levels);
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
        ort.env.wasm.numThreads = open.threads;
        sessions.set(open.net, await ort.InferenceSession.create(open.file, { graphOptimizationLevel: "all" }));
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
