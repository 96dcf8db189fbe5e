/** What the page shows: the code that is decoded, what it came from, and who is told when it changes. */
import type { Link } from "./link";
import { guess, place, settle, unplace, withElement } from "./maths";
import { BrowserNets, Newest, ServerDecoder, type Decoded, type Decoder } from "./nets";
import { painted } from "./stopwatch";
import { Store } from "./store";
import { itemSize, type Condition, type Numbers, type Scene } from "./types";

export interface Facts {
  rate?: number | null;
  rate_stderr?: number | null;
  distortion?: number | null;
  distortion_stderr?: number | null;
  bound?: number | null;
  bound_stderr?: number | null;
  log_likelihood?: number | null;
  log_likelihood_stderr?: number | null;
  below?: number | null;
  below_of?: string;
}

/** Where the code came from: a row of the data, an item of the reader's own, or a place in the latent space. */
export type Origin = { kind: "row"; index: number } | { kind: "own"; name: string } | { kind: "place"; name: string };
export type End = { code: Float32Array; row: number; name: string };
export interface Filled {
  best: Float32Array;
  draws: Float32Array[];
  method: string;
  notes: string[];
}
export type Shown = Decoded & { since: number | null };

export const MEASURES = ["rate", "distortion", "bound", "log_likelihood"] as const;

function startOf(told: NonNullable<Scene["condition"]>): Condition {
  if (told.kind === "label") return 0;
  return Float32Array.from(told.names, (_, i) => told.columns?.[i]?.start ?? 0);
}

export class Explorer {
  map = $state("");
  colour = $state("");
  tab = $state("latents");
  origin = $state.raw<Origin | null>(null);
  /** Whether the code has left that of its origin. */
  moved = $state(false);
  facts = $state.raw<Facts>({});
  condition = $state.raw<Condition>(null);
  /** The item beside the reconstruction, as it is held in `items`; null at a place. */
  item = $state.raw<Numbers | null>(null);
  /** What was filled in last, for the item that is shown. */
  filled = $state.raw<Filled | null>(null);
  ends = $state.raw<{ a: End | null; b: End | null }>({ a: null, b: null });
  near = $state.raw<number[]>([]);
  /** Goes up when the whole code is replaced, so that sliders read it again. */
  version = $state(0);
  /** Whether the browser's decoder is ready. */
  loaded = $state(false);
  by = $state<"browser" | "server">("server");
  connection = $state<"none" | "connecting" | "open" | "closed">("none");
  dark = $state(false);
  /** Goes up when a later map or colour is ready. */
  arrived = $state(0);
  notice = $state("");
  error = $state("");

  z: Float32Array;
  /** Which elements of the code are levels, whose numbers are names. */
  readonly discrete: boolean[];
  /** Where the reader's own item lies. */
  own: Float32Array | null = null;
  last: Decoded | null = null;
  store: Store;
  nets: BrowserNets | null;
  server: ServerDecoder | null;
  private painters = new Set<(shown: Shown) => void>();
  private movers = new Set<() => void>();
  private newest = new Newest<number | null>((since) => this.decodeNow(since));
  private spread = 0;
  private turn = 0;

  constructor(
    readonly scene: Scene,
    readonly link: Link | null,
  ) {
    this.store = new Store(scene);
    this.z = new Float32Array(scene.code);
    this.discrete = new Array<boolean>(scene.code).fill(false);
    for (const l of scene.latents) {
      this.z[l.index] = l.start;
      this.discrete[l.index] = l.kind === "levels";
    }
    this.nets = scene.decoder || scene.encoder ? new BrowserNets(scene) : null;
    if (this.nets) this.nets.onready = () => (this.loaded = true);
    this.server = link ? new ServerDecoder(link) : null;
    this.by = scene.decoder ? "browser" : "server";
    this.map = scene.maps.find((m) => m.state === "ready")?.name ?? "";
    this.colour = scene.colours.find((c) => c.state === "ready")?.name ?? "";
    if (scene.condition) this.condition = startOf(scene.condition);
  }

  get decoder(): Decoder {
    // until the browser's network is loaded the server decodes, where there is one
    const browser = this.by === "browser" && this.scene.decoder && (this.nets?.ready || !this.server);
    const decoder = browser ? this.nets : this.server;
    if (!decoder) throw new Error("This page has no decoder: it needs the live page of `diabolo explore`.");
    return decoder;
  }

  /** Tells every decoded item; the last one at once. */
  onpaint(painter: (shown: Shown) => void): () => void {
    this.painters.add(painter);
    if (this.last) painter({ ...this.last, since: null });
    return () => this.painters.delete(painter);
  }

  /** Tells that the code has moved. */
  onmove(mover: () => void): () => void {
    this.movers.add(mover);
    return () => this.movers.delete(mover);
  }

  fail(error: unknown): void {
    this.error = error instanceof Error ? error.message : String(error);
  }

  refresh(since: number | null = null): void {
    this.newest.ask(since).catch((e) => this.fail(e));
    for (const mover of this.movers) mover();
  }

  private async decodeNow(since: number | null): Promise<void> {
    if (this.scene.can.decode !== true) return;
    this.show(await this.decoder.decode(this.z.slice(), 1, this.condition), since);
    // the spread is asked for once the hand rests
    clearTimeout(this.spread);
    if (this.server && this.scene.can.uncertainty === true)
      this.spread = window.setTimeout(() => void this.askSpread(), 120);
  }

  private async askSpread(): Promise<void> {
    const turn = this.turn;
    const z = this.z.slice();
    const decoded = await this.server!.decode(z, 1, this.condition, true).catch(() => null);
    if (decoded && turn === this.turn && z.every((v, i) => v === this.z[i])) this.show(decoded, null);
  }

  private show(decoded: Decoded, since: number | null): void {
    this.last = decoded;
    for (const painter of this.painters) painter({ ...decoded, since });
    painted(since);
  }

  /** One element of the code, by hand. */
  setElement(index: number, value: number, since: number | null): void {
    const direction = this.scene.latents.find((l) => l.index === index)?.kind === "direction";
    this.z = withElement(this.z, index, value, direction);
    if (direction) this.version++;
    if (!this.moved) this.moved = true;
    this.refresh(since);
  }

  /** The whole code. */
  setCode(code: Float32Array, since: number | null = null): void {
    this.z = code;
    this.version++;
    this.refresh(since);
  }

  setCondition(condition: Condition, since: number | null): void {
    this.condition = condition;
    this.moved = true;
    this.refresh(since);
  }

  reset(): void {
    const origin = this.origin;
    if (origin?.kind === "row") void this.choose(origin.index);
    else {
      const z = new Float32Array(this.scene.code);
      for (const l of this.scene.latents) z[l.index] = l.start;
      this.goTo(z, "the middle of the latent space");
    }
  }

  /** A row of the data. */
  async choose(index: number, since: number | null = null): Promise<void> {
    if (index < 0 || index >= this.scene.n) return;
    const turn = ++this.turn;
    try {
      const there = this.store.now("items") ? this.store.item(index) : null;
      const [code, condition, held] = await Promise.all([this.store.code(index), this.store.condition(index), there]);
      if (turn !== this.turn) return;
      this.origin = { kind: "row", index };
      this.item = held; // never that of the row before
      this.filled = null;
      this.condition = condition;
      this.moved = false;
      this.setCode(code, since);
      const names = MEASURES.filter((name) => this.scene.colours.some((c) => c.name === name && c.state === "ready"));
      const [item, ...measures] = await Promise.all([
        this.store.item(index),
        ...names.map((name) => this.store.measure(name, index)),
      ]);
      if (turn !== this.turn) return;
      this.item = item;
      this.facts = Object.fromEntries(
        names.flatMap((name, i) => [[name, measures[i][0]], [`${name}_stderr`, measures[i][1]]]),
      );
      // what the map does not know yet the server measures for this row
      if (this.link && MEASURES.some((name) => !names.includes(name) && this.scene.colours.some((c) => c.name === name))) {
        const { header } = await this.link.ask("row", {}, { index });
        if (turn === this.turn) this.facts = { ...(header as Facts), ...this.facts };
      }
      this.notice = `Item ${index} chosen.`;
    } catch (e) {
      this.fail(e);
    }
  }

  /** A code that no item has. */
  goTo(code: Float32Array, name: string, since: number | null = null): void {
    this.turn++;
    this.origin = { kind: "place", name };
    this.filled = null;
    this.item = null;
    this.facts = {};
    this.moved = false;
    this.setCode(code, since);
    this.notice = `Decoded at ${name}.`;
  }

  /** The code as the model takes it: whole levels, and directions of length one. */
  snap(code: Float32Array, levels: Float32Array | null): Float32Array {
    let length = 0;
    for (const v of code) length += v * v;
    if (this.scene.space === "sphere" && length > 0) code = code.map((v) => v / Math.sqrt(length));
    for (const l of this.scene.latents)
      if (l.kind === "levels") {
        const v = Math.round(levels ? levels[l.index] : code[l.index]);
        code[l.index] = Math.max(0, Math.min((l.levels ?? 1) - 1, v));
      }
    return code;
  }

  /** A place on the map where no item lies; what the map does not show of a code stays as it is. */
  async goToPlace(x: number, y: number, since: number | null = null): Promise<void> {
    try {
      const told = this.scene.maps.find((m) => m.name === this.map);
      if (told?.linear) return this.goTo(this.snap(unplace(x, y, told.linear), this.z), "a place on the map", since);
      const [map, codes] = await Promise.all([this.store.floats(`map.${this.map}`), this.store.floats("codes")]);
      this.goTo(this.snap(guess(x, y, map, codes, this.scene.code, this.discrete), null), "about this place (this map has no inverse)", since);
    } catch (e) {
      this.fail(e);
    }
  }

  /** Where a code lies on the map that is shown; null until the map is there. */
  whereIs(code: Float32Array): [number, number] | null {
    const told = this.scene.maps.find((m) => m.name === this.map);
    if (told?.linear) return place(code, told.linear);
    const map = this.store.now(`map.${this.map}`);
    const codes = this.store.now("codes");
    return map && codes ? settle(code, codes as Float32Array, map as Float32Array, this.discrete) : null;
  }

  setEnd(which: "a" | "b", end: End | null): void {
    this.ends = { ...this.ends, [which]: end };
  }

  async endAt(which: "a" | "b", row: number): Promise<void> {
    this.setEnd(which, { code: await this.store.code(row), row, name: `item ${row}` });
  }

  /** The code that is shown, as an end. */
  here(): End {
    const row = this.origin?.kind === "row" && !this.moved ? this.origin.index : -1;
    return { code: this.z.slice(), row, name: row >= 0 ? `item ${row}` : "a code" };
  }

  async join(a: number, b: number): Promise<void> {
    await Promise.all([this.endAt("a", a), this.endAt("b", b)]);
    this.tab = "between";
    this.notice = `From item ${a} to item ${b}.`;
  }

  /** Begins something that a later choice makes void; tells whether it still counts. */
  begin(): () => boolean {
    const turn = ++this.turn;
    return () => turn === this.turn;
  }

  /** The reader's own item with its code. */
  showOwn(held: Numbers, code: Float32Array, facts: Facts, name: string): void {
    this.own = code;
    this.filled = null;
    this.origin = { kind: "own", name };
    this.item = held;
    this.facts = facts;
    this.moved = false;
    this.setCode(code.slice());
    this.notice = `${name} encoded.`;
  }

  get itemSize(): number {
    return itemSize(this.scene.item);
  }
}
