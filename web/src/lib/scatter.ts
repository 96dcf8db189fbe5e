/** A map of points that is panned, zoomed, pointed at and joined; it knows nothing of models. */
import * as view from "./camera";
import { painterFor, type Painter } from "./gl";

export type Mode = "choose" | "join" | "decode";

export interface Handlers {
  choose?: (index: number) => void;
  empty?: (x: number, y: number) => void;
  join?: (a: number, b: number) => void;
  /** While a line is drawn: from which point to where on the screen; null at its end. */
  line?: (from: number, px: number, py: number, over: number) => void;
  lineEnd?: () => void;
  hover?: (index: number, px: number, py: number) => void;
  moved?: () => void;
}

const REACH = 12; // pixels

export class Scatter {
  mode: Mode = "choose";
  /** Whether the wheel zooms only with Ctrl held: in a page that is scrolled by it. */
  scrolls = false;
  /** The chosen point, from which a drag joins. */
  handle = -1;
  camera: view.Camera;
  private places: Float32Array = new Float32Array();
  private painter: Painter;
  private home = 1;
  private touched = false;
  private frame = 0;
  private pointers = new Map<number, [number, number]>();
  private start: [number, number] | null = null;
  private from = -1;
  private dragged = false;
  private observer: ResizeObserver;

  constructor(
    private canvas: HTMLCanvasElement,
    private on: Handlers,
  ) {
    this.painter = painterFor(canvas, () => this.redraw());
    this.camera = view.fit(view.boxOf(this.places), 1, 1);
    this.resize();
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(canvas);
    canvas.addEventListener("wheel", this.wheel, { passive: false });
    canvas.addEventListener("pointerdown", this.down);
    canvas.addEventListener("pointermove", this.move);
    canvas.addEventListener("pointerup", this.up);
    canvas.addEventListener("pointercancel", this.cancel);
    canvas.addEventListener("pointerleave", () => this.on.hover?.(-1, 0, 0));
  }

  destroy(): void {
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
  }

  setPoints(places: Float32Array): void {
    this.places = places;
    this.painter.points(places);
    this.touched = false;
    this.fit();
  }

  setColours(bytes: Uint8Array): void {
    this.painter.colours(bytes);
    this.redraw();
  }

  fit(): void {
    this.camera = view.fit(view.boxOf(this.places), this.canvas.clientWidth || 1, this.canvas.clientHeight || 1);
    this.home = this.camera.scale;
    this.touched = false;
    this.redraw();
  }

  zoomBy(factor: number): void {
    this.look(view.zoom(this.camera, factor, this.camera.width / 2, this.camera.height / 2, this.home));
  }

  panBy(dx: number, dy: number): void {
    this.look(view.pan(this.camera, dx, dy));
  }

  /** Moves the view where a point would lie outside of it. */
  reveal(x: number, y: number): void {
    const [px, py] = this.screen(x, y);
    const { width, height } = this.camera;
    if (px > 8 && py > 8 && px < width - 8 && py < height - 8) return;
    this.look({ ...this.camera, x, y });
  }

  screen(x: number, y: number): [number, number] {
    return view.toScreen(this.camera, x, y);
  }

  place(index: number): [number, number] {
    return [this.places[2 * index], this.places[2 * index + 1]];
  }

  /** The nearest point within reach of a place on the screen; -1 where none is. */
  pick(px: number, py: number, reach = REACH): number {
    const [x, y] = view.toPlane(this.camera, px, py);
    let [best, at] = [(reach / this.camera.scale) ** 2, -1];
    for (let i = 0, n = this.places.length / 2; i < n; i++) {
      const [gx, gy] = [this.places[2 * i] - x, this.places[2 * i + 1] - y];
      const far = gx * gx + gy * gy;
      if (far < best) [best, at] = [far, i];
    }
    return at;
  }

  redraw(): void {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  /** Draws at once, for the first view. */
  paint(): void {
    const n = this.places.length / 2;
    const base = n > 30_000 ? 2.6 : n > 4_000 ? 3.8 : n > 1000 ? 5 : 7;
    const near = Math.max(0.7, Math.min(3, (this.camera.scale / this.home) ** 0.4));
    this.painter.draw(this.camera, base * near, this.ratio);
    this.on.moved?.();
  }

  private get ratio(): number {
    return Math.min(2, globalThis.devicePixelRatio || 1);
  }

  private look(camera: view.Camera): void {
    this.camera = camera;
    this.touched = true;
    this.redraw();
  }

  private resize(): void {
    const { canvas } = this;
    const [width, height] = [canvas.clientWidth || 1, canvas.clientHeight || 1];
    canvas.width = Math.round(width * this.ratio);
    canvas.height = Math.round(height * this.ratio);
    if (this.touched) this.camera = { ...this.camera, width, height };
    else this.fit();
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.paint();
  }

  private at(e: PointerEvent | WheelEvent): [number, number] {
    const box = this.canvas.getBoundingClientRect();
    return [e.clientX - box.left, e.clientY - box.top];
  }

  private wheel = (e: WheelEvent): void => {
    if (this.scrolls && !e.ctrlKey && !e.metaKey) return;
    e.preventDefault();
    const lines = e.deltaMode === 1 ? 16 : 1;
    this.look(view.zoom(this.camera, Math.exp(-e.deltaY * lines * 0.0018), ...this.at(e), this.home));
  };

  private down = (e: PointerEvent): void => {
    if (e.button !== 0) return;
    this.canvas.setPointerCapture(e.pointerId);
    const place = this.at(e);
    this.pointers.set(e.pointerId, place);
    if (this.pointers.size > 1) return this.lineOff();
    this.start = place;
    this.dragged = false;
    const under = this.pick(...place);
    const joins = this.mode === "join" || e.shiftKey;
    if (joins) this.from = under;
    else if (this.handle >= 0 && this.on.join) {
      const [hx, hy] = this.screen(...this.place(this.handle));
      this.from = Math.hypot(hx - place[0], hy - place[1]) <= REACH ? this.handle : -1;
    } else this.from = -1;
  };

  private move = (e: PointerEvent): void => {
    const place = this.at(e);
    const before = this.pointers.get(e.pointerId);
    if (!before) return this.on.hover?.(this.pick(...place), ...place);
    if (this.pointers.size === 2) return this.pinch(e.pointerId, before, place);
    if (!this.start) return;
    if (Math.hypot(place[0] - this.start[0], place[1] - this.start[1]) > 4) this.dragged = true;
    this.pointers.set(e.pointerId, place);
    if (!this.dragged) return;
    this.on.hover?.(-1, 0, 0);
    if (this.from >= 0) this.on.line?.(this.from, ...place, this.pick(...place));
    else if (this.mode !== "join") this.panBy(place[0] - before[0], place[1] - before[1]);
  };

  private pinch(id: number, before: [number, number], place: [number, number]): void {
    const other = [...this.pointers].find(([key]) => key !== id)![1];
    const far = (p: [number, number]) => Math.hypot(p[0] - other[0], p[1] - other[1]) || 1;
    this.dragged = true;
    this.pointers.set(id, place);
    this.look(view.zoom(this.camera, far(place) / far(before), (place[0] + other[0]) / 2, (place[1] + other[1]) / 2, this.home));
  }

  private up = (e: PointerEvent): void => {
    const alone = this.pointers.size === 1;
    this.pointers.delete(e.pointerId);
    if (!alone || !this.start) return;
    const place = this.at(e);
    this.start = null;
    const from = this.from;
    this.lineOff();
    const under = this.pick(...place);
    if (this.dragged) {
      if (from >= 0 && under >= 0 && under !== from) this.on.join?.(from, under);
    } else if (under >= 0 && this.mode !== "decode" && !e.altKey) this.on.choose?.(under);
    else this.on.empty?.(...view.toPlane(this.camera, ...place));
  };

  private cancel = (e: PointerEvent): void => {
    this.pointers.delete(e.pointerId);
    this.start = null;
    this.lineOff();
  };

  private lineOff(): void {
    if (this.from >= 0) this.on.lineEnd?.();
    this.from = -1;
  }
}
