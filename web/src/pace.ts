// Panels of words and figures need not follow sixty frames a second: nobody reads that fast, and every change makes the
// browser lay out and paint anew, also the charts that stand between.
import type { Store, Topic } from "./store.ts";

const PERIOD = 125; // ms

export interface Paced {
  /** At once where the last time is long enough ago, else when it is: the last word is always said. */
  (): void;
  now(): void;
  cancel(): void;
}

/**
 * `act`, at most once in `period` ms. `together`: at the same beat as all others, so that the browser lays out and paints
 * their changes in one frame.
 */
export function atMost(period: number, act: () => void, together = false): Paced {
  let last = -Infinity;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const cancel = (): void => {
    clearTimeout(timer);
    timer = undefined;
  };
  const now = (): void => {
    cancel();
    last = performance.now();
    act();
  };
  const soon = (): void => {
    if (timer !== undefined) return;
    const at = performance.now();
    const wait = together ? period - (at % period) : last + period - at;
    if (wait <= 0) now();
    else timer = setTimeout(now, wait);
  };
  return Object.assign(soon, { now, cancel });
}

/** Call `update` when one of `topics` changed: at once for the topics in `now`, for the others at most every 125 ms. */
export function subscribeSlowly(store: Store, now: Topic[], topics: Topic[], update: () => void): () => void {
  const paced = atMost(PERIOD, update, true);
  const off = store.subscribe((changed) => {
    if (now.some((topic) => changed.has(topic))) paced.now();
    else if (topics.some((topic) => changed.has(topic))) paced();
  });
  return () => {
    paced.cancel();
    off();
  };
}
