// Frames and models of paper.
import type { Frame, Request, RunView, SeriesView, TilesView } from "../src/messages.ts";
import { createStore, type Store, type Topic } from "../src/store.ts";

export function run(id = "r1", more: Partial<RunView> = {}): RunView {
  return {
    id, name: "digits", state: "running", message: "", started: 1000, ended: null, classNames: [], model: "", dataset: "",
    notes: "", config: {}, controls: {}, steerable: true, why: "", wheel: null, version: 1, rank: 0, worldSize: 1, ...more,
  };
}

export function frame(n: number, more: Partial<Frame> = {}): Frame {
  return { k: "frame", v: 1, n, t: 1000 + n, origin: "life-1", age: null, ...more };
}

export function series(name: string, more: Partial<SeriesView> = {}): SeriesView {
  return { name, chart: name, split: "train", kind: "step", total: 3, last: 0.5, ...more };
}

export function tiles(id: number, predicted: (number | null)[], truth: (number | null)[]): TilesView {
  return {
    id, step: id * 10, epoch: null, batch: null, split: "train", time: 0, count: predicted.length, elided: 0,
    right: null, counted: null, predicted, truth, confidence: predicted.map(() => 0.5),
  };
}

export function floats(x: number[], y: number[]): DataView[] {
  return [new DataView(new Float64Array(x).buffer), new DataView(new Float32Array(y).buffer)];
}

/** A store whose flush is called by hand; `flush` returns the topics. */
export function paperStore(client = "me"): { store: Store; flush: () => Topic[] } {
  let pending: (() => void) | undefined;
  const store = createStore(client, (act) => { pending = act; });
  let heard: Topic[] = [];
  store.subscribe((topics) => { heard = [...topics]; });
  return {
    store,
    flush() {
      heard = [];
      pending?.();
      pending = undefined;
      return heard.sort();
    },
  };
}

export function request(id: string, op: Request["op"] = "ping"): Request {
  return { id, client: "me", dashboard: "d", op };
}
