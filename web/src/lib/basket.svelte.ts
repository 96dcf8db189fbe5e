/** What the reader has put aside: codes, with the items or what is decoded from them. */
import type { Explorer } from "./explorer.svelte";
import { toBytes } from "./paint";
import type { Condition, Numbers } from "./types";

export interface Entry {
  id: number;
  name: string;
  row: number;
  code: Float32Array;
  condition: Condition;
  /** As `items` are held: bytes of a picture, or numbers. */
  values: Numbers;
}

class Basket {
  entries = $state.raw<Entry[]>([]);
  private next = 1;

  /** What is shown: the chosen item itself, or what is decoded where the code has moved. */
  add(explorer: Explorer): void {
    const { origin, moved, item, last, scene } = explorer;
    if (!origin) return;
    const pure = origin.kind !== "place" && !moved && item;
    if (!pure && !last) return;
    const values = pure ? item.slice() : scene.item.kind === "image" ? toBytes(last!.mean, scene.item) : last!.mean.slice();
    const row = origin.kind === "row" && !moved ? origin.index : -1;
    const name = row >= 0 ? `item ${row}` : pure ? "yours" : "decoded";
    this.put(explorer, { name, row, code: explorer.z.slice(), condition: explorer.condition, values });
  }

  put(explorer: Explorer, entry: Omit<Entry, "id">): void {
    this.entries = [...this.entries, { ...entry, id: this.next++ }];
    explorer.notice = `${this.entries.length} in the basket.`;
  }

  remove(id: number): void {
    this.entries = this.entries.filter((e) => e.id !== id);
  }

  clear(): void {
    this.entries = [];
  }
}

export const basket = new Basket();
