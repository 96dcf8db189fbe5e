/** The decoder and the encoder, wherever they compute. */
import type { Link } from "./link";
import type { Reads } from "./onnx.worker";
import type { Condition, Scene } from "./types";

export interface Decoded {
  mean: Float32Array;
  sd: Float32Array | null;
}

export interface Decoder {
  decode(z: Float32Array, m: number, condition: Condition): Promise<Decoded>;
}

/** The network that runs in the browser by ONNX Runtime in a worker. */
export class BrowserNets implements Decoder {
  /** Whether the decoder can answer at once. */
  ready = false;
  onready: () => void = () => {};
  private worker: Worker;
  private waiting = new Map<number, { resolve: (out: Record<string, Float32Array>) => void; reject: (e: Error) => void }>();
  private next = 1;
  private opened = new Map<string, Promise<unknown>>();

  constructor(private scene: Scene) {
    this.worker = new Worker(new URL("./onnx.worker.ts", import.meta.url), { type: "module" });
    this.worker.onmessage = (e) => {
      const { id, out, error } = e.data;
      const waiting = this.waiting.get(id);
      this.waiting.delete(id);
      if (error) waiting?.reject(new Error(`The browser could not compute the network: ${error}`));
      else waiting?.resolve(out);
    };
    this.worker.onerror = (e) => {
      for (const w of this.waiting.values()) w.reject(new Error(`The browser could not start the network: ${e.message}`));
      this.waiting.clear();
    };
  }

  private send(job: object): Promise<Record<string, Float32Array>> {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, ...job });
    });
  }

  open(net: "decoder" | "encoder"): Promise<unknown> {
    const known = this.opened.get(net);
    if (known) return known;
    const file = new URL(this.scene[net]!.file, document.baseURI).href;
    const opening = this.send({ open: { net, file } });
    this.opened.set(net, opening);
    if (net === "decoder")
      void opening.then(
        () => ((this.ready = true), this.onready()),
        () => {},
      );
    return opening;
  }

  private given(condition: Condition): { condition: number[]; reads: Reads[] } {
    const told = this.scene.condition;
    if (!told || condition === null) return { condition: [], reads: [] };
    if (told.kind === "label")
      return { condition: [condition as number], reads: [{ levels: told.levels.length, mean: 0, scale: 1 }] };
    const reads = told.names.map((_, i) => {
      const column = told.columns?.[i];
      return { levels: column?.levels?.length ?? 0, mean: column?.mean ?? 0, scale: column?.scale ?? 1 };
    });
    return { condition: Array.from(condition as Float32Array), reads };
  }

  async decode(z: Float32Array, m: number, condition: Condition): Promise<Decoded> {
    await this.open("decoder");
    const shape = [m, this.scene.code];
    const out = await this.send({ run: { net: "decoder", x: z, shape, ...this.given(condition) } });
    return { mean: out.mean, sd: out.sd ?? null };
  }

  /** The code of one item in the user's units, and its variance where the encoder tells one. */
  async encode(x: Float32Array, shape: number[], condition: Condition): Promise<{ code: Float32Array; variance: Float32Array | null }> {
    await this.open("encoder");
    const out = await this.send({ run: { net: "encoder", x, shape: [1, ...shape], ...this.given(condition) } });
    return { code: out.mean, variance: out.variance ?? null };
  }
}

/** The option that gives a condition to the server. */
export function conditionOption(condition: Condition): Record<string, unknown> {
  if (condition === null) return {};
  return { condition: typeof condition === "number" ? condition : Array.from(condition) };
}

export class ServerDecoder implements Decoder {
  constructor(private link: Link) {}

  async decode(z: Float32Array, m: number, condition: Condition, sd = false): Promise<Decoded> {
    const asked = { z: { data: z, shape: [m, z.length / m] } };
    const { arrays } = await this.link.ask("decode", asked, { ...conditionOption(condition), ...(sd ? { sd } : {}) });
    return { mean: arrays.mean.data as Float32Array, sd: (arrays.sd?.data as Float32Array) ?? null };
  }
}

/** Lets one task run at a time and keeps only the latest that waits. */
export class Newest<A> {
  private running = false;
  private waiting: { args: A } | null = null;

  constructor(private work: (args: A) => Promise<void>) {}

  async ask(args: A): Promise<void> {
    this.waiting = { args };
    if (this.running) return;
    this.running = true;
    try {
      while (this.waiting) {
        const now: A = this.waiting.args;
        this.waiting = null;
        await this.work(now);
      }
    } finally {
      this.running = false;
      this.waiting = null;
    }
  }
}
