import { afterEach, expect, test, vi } from "vitest";
import { Link } from "./link";

class Deaf {
  onclose = () => {};
  constructor() {
    setTimeout(() => this.onclose(), 10);
  }
}

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("who asks while the server has gone learns that it has", async () => {
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", Deaf);
  const link = new Link("ws://nowhere");
  const asked = expect(link.ask("decode")).rejects.toThrow("connection to the server is lost");
  await vi.advanceTimersByTimeAsync(60_000);
  await asked;
  expect(link.state).toBe("closed");
});
