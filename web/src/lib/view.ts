/** The view as a link tells it, and the view that a link restores. */
import type { Explorer } from "./explorer.svelte";
import type { View } from "./hash";

export function viewOf(e: Explorer): View {
  const row = e.origin?.kind === "row" ? e.origin.index : undefined;
  const away = row === undefined || e.moved;
  const condition = typeof e.condition === "number" ? e.condition : e.condition && Array.from(e.condition);
  const [a, b] = [e.ends.a?.row ?? -1, e.ends.b?.row ?? -1];
  return {
    map: e.map,
    colour: e.colour,
    tab: e.tab,
    by: e.link && e.scene.decoder ? e.by : undefined,
    row,
    z: e.origin && away ? Array.from(e.z) : undefined,
    condition: e.scene.condition && away ? (condition ?? undefined) : undefined,
    a: a >= 0 ? a : undefined,
    b: b >= 0 ? b : undefined,
  };
}

/** What this scene does not have is left out. */
export async function restore(e: Explorer, view: View): Promise<void> {
  const { scene } = e;
  if (scene.maps.some((m) => m.name === view.map && m.state === "ready")) e.map = view.map!;
  if (scene.colours.some((c) => c.name === view.colour && c.state === "ready")) e.colour = view.colour!;
  if (view.tab) e.tab = view.tab;
  if (view.by && (view.by === "browser" ? scene.decoder : e.server)) e.by = view.by;
  if (view.a !== undefined && view.a < scene.n) await e.endAt("a", view.a);
  if (view.b !== undefined && view.b < scene.n) await e.endAt("b", view.b);
  if (view.row !== undefined && view.row < scene.n) await e.choose(view.row);
  const c = view.condition;
  if (c !== undefined && scene.condition) {
    const { condition } = scene;
    if (condition.kind === "label") {
      if (typeof c === "number" && Number.isInteger(c) && c >= (condition.optional ? -1 : 0) && c < condition.levels.length) e.condition = c;
    } else if ([c].flat().length === condition.names.length) e.condition = Float32Array.from([c].flat());
  }
  if (view.z?.length !== scene.code) return;
  const code = e.snap(Float32Array.from(view.z), null);
  if (e.origin?.kind === "row") {
    e.moved = true;
    e.setCode(code);
  } else e.goTo(code, "the place of the link");
}
