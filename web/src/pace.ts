// Panels of words and figures need not follow sixty frames a second: nobody reads that fast, and every change makes the
// browser lay out and paint anew, also the charts that stand between.
import type { Store, Topic } from "./store.ts";

const PERIOD = 125; // ms

/**
 * Call `update` when one of `topics` changed: at once for the topics in `now`, for the others at most every 125 ms
 * and a last time after the last change.
 */
export function subscribeSlowly(store: Store, now: Topic[], topics: Topic[], update: () => void): () => void {
  let last = -Infinity;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const run = (): void => {
    clearTimeout(timer);
    timer = undefined;
    last = performance.now();
    update();
  };
  const off = store.subscribe((changed) => {
    if (now.some((topic) => changed.has(topic))) run();
    else if (timer === undefined && topics.some((topic) => changed.has(topic))) {
      const wait = last + PERIOD - performance.now();
      if (wait <= 0) run();
      else timer = setTimeout(run, wait);
    }
  });
  return () => {
    clearTimeout(timer);
    off();
  };
}
