// What this page knows: frames go in by `apply`, panels read `state` and are told which topics changed.
// No DOM here, and no clock of its own; one store per model, shared by all its views.
import { createCurves, type Curves } from "./curves.ts";
import type {
  AuditView,
  Axis,
  EventView,
  Frame,
  LinkView,
  MarkView,
  PerfView,
  RunRef,
  RunView,
  State as RunState,
  TilesView,
} from "./messages.ts";

/** States in which nobody drives the run. */
export const ENDED: ReadonlySet<RunState> = new Set(["completed", "failed", "stopped", "interrupted", "lost"]);

export type Topic =
  | "runs" | "run" | "perf" | "link" | "series" | "marks" | "tiles" | "picture" | "wrong"
  | "events" | "commands" | "settings" | "health" | "theme" | "audit";

/** One batch as it came: its picture is still compressed. */
export type Batch = { tiles: TilesView; buffers: DataView[]; n: number; t: number };
export type WrongTile = { batch: Batch; index: number };

/** A command of this page, from the click to its receipt. */
export type Asked = {
  id: string;
  kind: string;
  control: string;
  mode: string;
  at: number;
  done: boolean;
  ok: boolean;
  words: string;
};

export type Settings = {
  axis: Axis;
  log: boolean;
  smooth: number;
  fps: number;
  zoom: Map<string, [number, number]>;
};

export type Health = {
  state: "waiting" | "live" | "stale" | "gone";
  heard: number;
  offset: number; // seconds that this page's clock is ahead of the kernel's
  event: number | null; // by this page's clock: when the run last said something
  silence: number;
  road: "control" | "comm" | "none";
  rtt: number | null;
  received: number;
  sent: number;
  missed: number;
  painted: number;
  paintedPerSecond: number;
};

export type State = {
  origin: string | null;
  n: number;
  runs: RunRef[];
  following: boolean;
  run: RunView | null;
  known: boolean;
  perf: PerfView | null;
  link: LinkView | null;
  audit: AuditView | null;
  curves: Curves;
  marks: MarkView[];
  batch: Batch | null;
  wrong: WrongTile[];
  events: EventView[];
  asked: Map<string, Asked>;
  settings: Settings;
  health: Health;
};

export type Outcome = "applied" | "ignored" | "ask";

export interface Store {
  readonly state: State;
  apply(frame: Frame, buffers: DataView[]): Outcome;
  touch(...topics: Topic[]): void;
  subscribe(listener: (topics: ReadonlySet<Topic>) => void): () => void;
}

const WRONG_KEPT = 16;
const EVENTS_KEPT = 300;
const FINAL = new Set(["applied", "rejected", "expired", "unconfirmed"]);

/** Whether a prediction is right; null where one of the two is not known. */
export function isRight(tiles: TilesView, index: number): boolean | null {
  const predicted = tiles.predicted[index];
  const truth = tiles.truth[index];
  if (predicted === null || predicted === undefined || truth === null || truth === undefined) return null;
  return predicted === truth;
}

export function createStore(client: string, schedule: (flush: () => void) => void): Store {
  const state: State = {
    origin: null,
    n: 0,
    runs: [],
    following: true,
    run: null,
    known: false,
    perf: null,
    link: null,
    audit: null,
    curves: createCurves(),
    marks: [],
    batch: null,
    wrong: [],
    events: [],
    asked: new Map(),
    settings: { axis: "step", log: false, smooth: 0.4, fps: 60, zoom: new Map() },
    health: {
      state: "waiting", heard: 0, offset: 0, event: null, silence: 0, road: "none", rtt: null,
      received: 0, sent: 0, missed: 0, painted: 0, paintedPerSecond: 0,
    },
  };
  const listeners = new Set<(topics: ReadonlySet<Topic>) => void>();
  let dirty = new Set<Topic>();
  let scheduled = false;

  function touch(...topics: Topic[]): void {
    for (const topic of topics) dirty.add(topic);
    if (scheduled) return;
    scheduled = true;
    schedule(() => {
      scheduled = false;
      const topics = dirty;
      dirty = new Set();
      for (const listener of [...listeners]) listener(topics);
    });
  }

  function forgetRun(): void {
    state.perf = null;
    state.curves.clear();
    state.marks = [];
    state.batch = null;
    state.wrong = [];
    state.events = [];
    state.audit = null;
    state.asked.clear(); // what was asked of one run is not said beside the buttons of the next
    state.settings.zoom.clear();
    touch("perf", "series", "marks", "tiles", "wrong", "events", "commands", "settings", "audit");
  }

  /** Where a run ends, or a loop takes it up again, what was asked before is over with. */
  function setRun(run: RunView | null): void {
    const before = state.run;
    state.run = run;
    if (!before || !run || before.id !== run.id || ENDED.has(before.state) === ENDED.has(run.state)) return;
    state.asked.clear();
    touch("commands");
  }

  function forgetAll(): void {
    forgetRun();
    state.runs = [];
    state.run = null;
    state.known = false;
    state.link = null;
    touch("runs", "run", "link");
  }

  function takeBatch(tiles: TilesView, frame: Frame, buffers: DataView[]): void {
    const batch = { tiles, buffers, n: frame.n, t: frame.t };
    state.batch = batch;
    touch("tiles");
    if (state.wrong.some((held) => held.batch.tiles.id === tiles.id)) return;
    const fresh: WrongTile[] = [];
    for (let index = 0; index < tiles.count; index += 1) {
      if (isRight(tiles, index) === false) fresh.push({ batch, index });
    }
    if (fresh.length > 0) {
      state.wrong = [...fresh, ...state.wrong].slice(0, WRONG_KEPT);
      touch("wrong");
    }
  }

  function takeEvents(events: EventView[]): void {
    for (const event of events) {
      const at = state.events.findIndex((held) => held.id === event.id);
      if (at >= 0) state.events[at] = event;
      else state.events.push(event);
      const asked = event.command === undefined ? undefined : state.asked.get(event.command);
      if (asked && !asked.done && (event.state === undefined || FINAL.has(event.state))) {
        asked.done = true;
        asked.ok = event.mark !== "no" && (event.state ?? "applied") === "applied";
        asked.words = asked.ok ? "" : (event.tail || event.text);
        touch("commands");
      }
    }
    state.events = state.events.slice(-EVENTS_KEPT);
    touch("events");
  }

  /** A key frame replaces what is held; curves without points keep the ones that are here already. */
  function replace(frame: Frame, buffers: DataView[]): void {
    const sameRun = (frame.run?.id ?? null) === (state.run?.id ?? null);
    if (!sameRun) forgetRun();
    state.known = true;
    state.runs = frame.runs ?? [];
    state.following = frame.following ?? true;
    setRun(frame.run ?? null);
    state.perf = frame.perf ?? null;
    state.link = frame.link ?? null;
    state.marks = frame.marks ?? [];
    state.events = [];
    state.curves.keep(frame.series ?? []);
    if (frame.wrong) {
      state.wrong = frame.wrong.tiles.slice(0, WRONG_KEPT).map(({ tiles, index }) => ({
        batch: { tiles, buffers, n: frame.n, t: frame.t },
        index,
      }));
    }
    if (!frame.tiles) state.batch = null;
    touch("runs", "run", "perf", "link", "marks", "events", "series", "tiles", "wrong");
  }

  function apply(frame: Frame, buffers: DataView[]): Outcome {
    let outcome: Outcome = "applied";
    if (frame.origin !== state.origin) {
      if (state.origin !== null) forgetAll();
      state.origin = frame.origin;
      state.n = 0;
      state.health.missed = 0;
      if (!frame.key) outcome = "ask";
    } else if (state.n > 0 && frame.n > state.n + 1) {
      state.health.missed += frame.n - state.n - 1; // lost on the way: only a key frame tells what was in them
      outcome = "ask";
    }
    state.n = Math.max(state.n, frame.n);
    state.health.received += 1;
    state.health.sent = state.n;
    touch("health");
    if (frame.to !== undefined && frame.to !== client) return "ignored";
    if (frame.key) {
      replace(frame, buffers);
      outcome = "applied";
    } else {
      if (!state.known) return "ask";
      if (frame.run !== undefined && (frame.run?.id ?? null) !== (state.run?.id ?? null)) {
        forgetRun();
        outcome = "ask";
      }
      if (frame.runs !== undefined) { state.runs = frame.runs; touch("runs"); }
      if (frame.following !== undefined) { state.following = frame.following; touch("runs"); }
      if (frame.run !== undefined) { setRun(frame.run); touch("run"); }
      if (frame.perf !== undefined) { state.perf = frame.perf; touch("perf"); }
      if (frame.link !== undefined) { state.link = frame.link; touch("link"); }
      if (frame.marks !== undefined) { state.marks = frame.marks; touch("marks"); }
    }
    if (frame.series) {
      state.curves.take(frame.series, buffers, state.settings.axis);
      touch("series");
    }
    if (frame.tiles) takeBatch(frame.tiles, frame, buffers);
    if (frame.events) takeEvents(frame.events);
    if (frame.audit) { state.audit = frame.audit; touch("audit"); }
    return outcome;
  }

  return {
    state,
    apply,
    touch,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
