/** The arrays of a scene, each fetched once when it is first asked for. */
import { loadArray } from "./load";
import { rowOf } from "./maths";
import { itemSize, type Condition, type Numbers, type Scene } from "./types";

export class Store {
  private known = new Map<string, Promise<Numbers>>();
  private held = new Map<string, Numbers>();

  constructor(private scene: Scene) {}

  get(key: string): Promise<Numbers> {
    let wanted = this.known.get(key);
    if (!wanted) {
      wanted = loadArray(this.scene, key).then((a) => {
        this.held.set(key, a);
        return a;
      });
      wanted.catch(() => this.known.delete(key));
      this.known.set(key, wanted);
    }
    return wanted;
  }

  async floats(key: string): Promise<Float32Array> {
    const a = await this.get(key);
    return a instanceof Float32Array ? a : Float32Array.from(a);
  }

  /** What is there already. */
  now(key: string): Numbers | null {
    return this.held.get(key) ?? null;
  }

  has(key: string): boolean {
    return key in this.scene.arrays;
  }

  async code(index: number): Promise<Float32Array> {
    return rowOf(await this.floats("codes"), index, this.scene.code);
  }

  async item(index: number): Promise<Numbers | null> {
    if (!this.has("items")) return null;
    const items = await this.get("items");
    const size = itemSize(this.scene.item);
    return items.subarray(index * size, (index + 1) * size);
  }

  async condition(index: number): Promise<Condition> {
    if (!this.scene.condition || !this.has("condition")) return null;
    const all = await this.get("condition");
    if (this.scene.condition.kind === "label") return this.scene.condition.optional ? all[index] : Math.max(0, all[index]);
    const width = this.scene.condition.names.length;
    return Float32Array.from(all.subarray(index * width, (index + 1) * width));
  }

  /** A measure of one row, and its standard error, as the map's colours know them. */
  async measure(name: string, index: number): Promise<(number | null)[]> {
    const keys = [`colour.${name}`, `error.${name}`].filter((key) => this.has(key));
    const found = await Promise.all(keys.map((key) => this.floats(key)));
    return found.map((each) => (Number.isNaN(each[index]) ? null : each[index]));
  }
}
