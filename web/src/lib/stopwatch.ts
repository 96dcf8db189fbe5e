/** How long the page took, for whoever measures it: `window.__diabolo`. */

export interface Stopwatch {
  /** Milliseconds from an input event to the pixels that show it. */
  latencies: number[];
  /** Milliseconds from the start of the page's request to the first map. */
  firstView: number | null;
}

export const stopwatch: Stopwatch = { latencies: [], firstView: null };

/** When an event happened, on the clock of `performance.now()`. */
export function timeOf(e: Event): number {
  return e.isTrusted && e.timeStamp > 0 ? e.timeStamp : performance.now();
}

export function painted(since: number | null): void {
  if (since === null) return;
  stopwatch.latencies.push(performance.now() - since);
  if (stopwatch.latencies.length > 10_000) stopwatch.latencies.shift();
}
