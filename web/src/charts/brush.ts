// When charts are drawn: one at a time, in turn, newest state only, and never more than an eighth of the main thread. In
// a quarter of it they took the animation frames of every eighth picture.

export type Job = { draw(): void };

export interface Brush {
  /** `urgent`: a person changed something and waits to see it. */
  ask(job: Job, urgent?: boolean): void;
  forget(job: Job): void;
}

const LONGEST = 2000; // ms: on a page that crawls for other reasons the charts still move

type Clock = { now(): number; later(ms: number, act: () => void): void };

const browser: Clock = {
  now: () => performance.now(),
  // An animation frame after the wait: nothing is drawn in a hidden tab, and everything once it is seen again.
  later: (ms, act) => void setTimeout(() => requestAnimationFrame(act), ms),
};

/**
 * `share` is the part of the main thread that drawing may take. What a draw costs the browser after our call (style,
 * layout, paint) is not measured; `after` stands for it.
 */
export function createBrush(share = 1 / 8, period = 200, after = 1.4, clock: Clock = browser): Brush {
  const asked = new Set<Job>(); // in the order asked: a chart drawn just now goes to the end
  const pressing = new Set<Job>();
  const drawnAt = new WeakMap<Job, number>();
  const first = (job: Job): boolean => pressing.has(job) || !drawnAt.has(job);
  let running = false;
  let free = 0;
  let turn = 0;

  function next(mine: number): void {
    if (mine !== turn) return;
    const now = clock.now();
    let wait = free - now;
    // A chart that was never drawn is an empty place, and a zoom is waited for: neither waits for the budget, both go
    // on its account.
    let job = [...asked].find(first);
    if (!job && wait <= 0) {
      wait = Infinity;
      for (const one of asked) {
        const due = (drawnAt.get(one) ?? -Infinity) + period - now;
        if (due <= 0) {
          job = one;
          break;
        }
        wait = Math.min(wait, due);
      }
    }
    if (job) {
      asked.delete(job);
      pressing.delete(job);
      try {
        job.draw();
      } catch (error) {
        console.error("nbmonitor: a chart could not be drawn", error); // the others still are
      }
      const end = clock.now();
      drawnAt.set(job, now);
      const cost = (end - now) * after;
      free = Math.min(end + LONGEST, Math.max(free, end) + cost * (1 / share - 1));
      wait = [...asked].some(first) ? 0 : free - end;
    }
    running = asked.size > 0;
    if (running) clock.later(Math.max(0, wait), () => next(mine));
  }

  return {
    ask(job, urgent = false) {
      const known = asked.has(job) && (!urgent || first(job));
      asked.add(job);
      if (urgent) pressing.add(job);
      if (running && (known || !first(job))) return;
      turn += 1; // a turn that waits for the budget is overtaken
      running = true;
      const mine = turn;
      clock.later(first(job) ? 0 : Math.max(0, free - clock.now()), () => next(mine));
    },
    forget(job) {
      asked.delete(job);
      pressing.delete(job);
    },
  };
}
