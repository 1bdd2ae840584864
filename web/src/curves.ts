// The curves that are held, by series: whole curves for the page's axis, and the finer window of a zoomed chart.
import { num } from "./format.ts";
import type { Axis, SeriesView } from "./messages.ts";

export type Points = { x: Float64Array; y: Float32Array };
export type Window = Points & { axis: Axis; lo: number; hi: number };

export type Curve = {
  key: string;
  name: string;
  chart: string;
  split: "train" | "val";
  kind: "step" | "epoch";
  total: number;
  last: number;
  best: number | null;
  points: Partial<Record<Axis, Points>>;
  window: Window | null;
  rev: number; // grows with every change: a chart is drawn again when the sum over its curves grew
};

export interface Curves {
  all(): Curve[];
  get(key: string): Curve | undefined;
  take(series: SeriesView[], buffers: DataView[], axis: Axis): void;
  keep(series: SeriesView[]): void;
  clear(): void;
}

export const MACHINE = "system/";

function key(series: SeriesView): string {
  return `${series.kind}|${series.split}|${series.name}`;
}

/** A buffer as numbers; a copy where the bytes are not aligned, which a comm message does not promise. */
export function float64(view: DataView): Float64Array {
  const { buffer, byteOffset, byteLength } = view;
  const length = byteLength >> 3;
  if (byteOffset % 8 === 0) return new Float64Array(buffer as ArrayBuffer, byteOffset, length);
  return new Float64Array(buffer.slice(byteOffset, byteOffset + length * 8) as ArrayBuffer);
}

export function float32(view: DataView): Float32Array {
  const { buffer, byteOffset, byteLength } = view;
  const length = byteLength >> 2;
  if (byteOffset % 4 === 0) return new Float32Array(buffer as ArrayBuffer, byteOffset, length);
  return new Float32Array(buffer.slice(byteOffset, byteOffset + length * 4) as ArrayBuffer);
}

export function createCurves(): Curves {
  let held = new Map<string, Curve>();

  function take(series: SeriesView[], buffers: DataView[], axis: Axis): void {
    for (const one of series) {
      const id = key(one);
      let curve = held.get(id);
      if (!curve) {
        curve = {
          key: id, name: one.name, chart: one.chart, split: one.split, kind: one.kind,
          total: 0, last: NaN, best: null, points: {}, window: null, rev: 0,
        };
        held.set(id, curve);
      }
      curve.chart = one.chart;
      curve.total = one.total;
      curve.last = num(one.last);
      if (one.best !== undefined) curve.best = num(one.best);
      curve.rev += 1;
      const xs = one.x === undefined ? undefined : buffers[one.x];
      const ys = one.y === undefined ? undefined : buffers[one.y];
      if (!xs || !ys) continue;
      const unit = one.axis ?? axis;
      const points = { x: float64(xs), y: float32(ys) };
      if (one.window) {
        curve.window = { ...points, axis: unit, lo: one.window[0], hi: one.window[1] };
      } else {
        curve.points[unit] = points;
      }
    }
  }

  return {
    all: () => [...held.values()],
    get: (id) => held.get(id),
    take,
    keep(series) {
      const kept = new Map<string, Curve>();
      for (const one of series) {
        const curve = held.get(key(one));
        if (curve) kept.set(curve.key, curve);
      }
      held = kept;
    },
    clear() {
      held = new Map();
    },
  };
}
