/** What the page fetches: the scene and its arrays. */
import type { Numbers, Scene } from "./types";
import { bytesOf, sizeOf, view } from "./wire";

export class Refused extends Error {}

async function get(url: string): Promise<Response> {
  // web spaces name no term, and browsers then take what they have of another run that was in the same place
  const answer = await fetch(url, { credentials: "same-origin", cache: "no-cache" }).catch(() => null);
  if (!answer) throw new Error("The server does not answer: start it again, and open the address that it prints.");
  if (answer.status === 401 || answer.status === 403)
    throw new Refused("This page needs the whole address that `diabolo explore` printed, token included.");
  if (!answer.ok) throw new Error(`The server answered ${answer.status} for ${url}.`);
  return answer;
}

export async function loadScene(): Promise<Scene> {
  const scene = (await (await get("data/scene.json")).json()) as Scene;
  if (scene.version !== 1)
    throw new Error(`This page reads scenes of version 1, but this one has version ${scene.version}.`);
  return scene;
}

/** One array of the scene; refused unless it has the size that the scene tells. */
export async function loadArray(scene: Scene, key: string): Promise<Numbers> {
  const info = scene.arrays[key];
  const buffer = await (await get(`data/${key}.bin`)).arrayBuffer();
  // a colour or a map that was made later is not in the list of the scene
  const dtype = info?.dtype ?? "f4";
  const size = info ? sizeOf(info.shape) : buffer.byteLength / 4;
  if (buffer.byteLength !== size * bytesOf(dtype))
    throw new Error(`data/${key}.bin has ${buffer.byteLength} bytes where the scene tells ${size * bytesOf(dtype)}.`);
  return view(buffer, 0, dtype, size);
}
