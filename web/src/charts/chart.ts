// One chart: its heading with the last values, its plot, its zoom by drag and by keyboard.
import type { Send } from "../client.ts";
import { h, setAttr, setText, show } from "../dom.ts";
import { colourOf, curveLabel, isSetting, rankOf, valueText, type Chart } from "../grouping.ts";
import type { Axis } from "../messages.ts";
import type { Store } from "../store.ts";
import { readColours } from "../theme.ts";
import { buildFigure } from "./figure.ts";
import { draw, purge, type GraphDiv } from "./plotly.ts";

export type ChartCell = {
  node: HTMLElement;
  heading: HTMLElement;
  readonly visible: boolean;
  update(chart: Chart): void;
  /** Draw again at the next turn, even if no curve changed. */
  stale(urgent: boolean): void;
  dispose(): void;
};

const CARRY = 3000; // ms between two looks at how far a setting holds

export function createChart(name: string, store: Store, send: Send, seen: () => void): ChartCell {
  const { state } = store;
  const title = h("h3");
  const keys = h("span", { class: "nbm-keys nbm-num" });
  const reset = h("button", { type: "button", class: "nbm-small", "data-action": "zoom-reset" }, "whole curve");
  const heading = h("div", { class: "nbm-hd" }, title, keys);
  const plot = h("div", { class: "nbm-plot" });
  const frame = h("div", { class: "nbm-frame", tabindex: 0, role: "group" }, plot);
  // Over the plot, not in the heading: a zoom must not make the plot smaller.
  const node = h("div", { class: "nbm-chart", "data-chart": name }, heading, frame, reset);
  let chart: Chart | null = null;
  let revision = 0;
  let drawnKey = "";
  let visible = false;
  let awaited = true; // it came into view, and its points are on their way: a person looks at an old curve, or at none
  let dragging = false;
  let listening = false;
  let size = { width: 0, height: 0 };
  let full: [number, number] | null = null;
  show(reset, false);

  /** The largest x that any curve has. */
  function newest(axis: Axis): number | null {
    let end: number | null = null;
    for (const { points } of state.curves.all()) {
      const x = points[axis]?.x;
      const last = x?.[x.length - 1];
      if (last !== undefined && (end === null || last > end)) end = last;
    }
    return end;
  }

  const zoom = (): [number, number] | null => state.settings.zoom.get(name) ?? null;
  const shift = (): number => (state.settings.axis === "time" ? (state.run?.started ?? 0) : 0);

  function job(): void {
    if (!chart || !visible || dragging || size.width < 40 || size.height < 40) return;
    const { axis, log, smooth } = state.settings;
    const made = buildFigure({
      chart, axis, log, smooth, zoom: zoom(), marks: state.marks, started: state.run?.started ?? 0,
      colours: readColours(node), ...size, revision: revision + 1, end: newest(axis),
    });
    if (!made.points && !revision) return; // axes around nothing tell nothing
    revision += 1;
    draw(plot, made.data, made.layout);
    if (!zoom()) full = (made.layout.xaxis as { range: [number, number] }).range;
    listen();
    setAttr(node, "data-points", made.points);
    setAttr(node, "data-drawn", revision);
    setAttr(node, "data-window", zoom() ? (zoom() ?? []).join(",") : null);
    setAttr(node, "data-fine", zoom() ? String(made.windowed) : null);
  }
  const turn = { draw: job };

  function listen(): void {
    if (listening) return;
    listening = true;
    const div = plot as unknown as GraphDiv;
    div.on("plotly_relayout", (event) => {
      const lo = Number(event?.["xaxis.range[0]"]);
      const hi = Number(event?.["xaxis.range[1]"]);
      if (Number.isFinite(lo) && Number.isFinite(hi) && lo < hi) send.zoom(name, [lo + shift(), hi + shift()]);
    });
    div.on("plotly_doubleclick", () => send.zoom(name, null));
  }

  function showKeys(): void {
    if (!chart) return;
    const whole = chart;
    const { name: of, curves } = whole;
    const parts = chart.curves.filter((curve) => curve.total > 0).map((curve) => {
      const label = curveLabel(curve, whole);
      const finite = Number.isFinite(curve.last);
      const value = valueText(of, curves, curve.last);
      const [dash, dots] = [curve.split === "val", curve.kind === "epoch"];
      return { label, value, finite, dash, dots, colour: colourOf(curve, whole), rank: rankOf(curve, whole) };
    });
    const text = parts.map((part) => Object.values(part).join()).join("|") + chart.colour;
    if (keys.dataset.text === text) return;
    keys.dataset.text = text;
    keys.replaceChildren(...parts.map((part) =>
      h("span", {
        class: "nbm-key", "data-dash": String(part.dash), "data-dots": String(part.dots), "data-rank": part.rank,
        style: `--c: var(--nbm-s${part.colour + 1})`,
      }, h("i"),
        part.label === "" ? null : `${part.label} `, h("b", { class: part.finite ? "" : "nbm-bad" }, part.value))));
  }

  const observer = new IntersectionObserver(([entry]) => {
    visible = entry?.isIntersecting ?? false;
    awaited ||= visible;
    seen();
    if (visible) send.brush.ask(turn);
  }, { rootMargin: "80px" });
  observer.observe(frame);
  const sizes = new ResizeObserver(([entry]) => {
    if (!entry) return;
    size = { width: Math.floor(entry.contentRect.width), height: Math.floor(entry.contentRect.height) };
    send.brush.ask(turn);
  });
  sizes.observe(frame);

  const release = (): void => {
    if (!dragging) return;
    dragging = false;
    send.brush.ask(turn);
  };
  frame.addEventListener("pointerdown", () => { dragging = true; });
  addEventListener("pointerup", release);
  addEventListener("pointercancel", release);
  reset.addEventListener("click", () => {
    send.zoom(name, null);
    frame.focus({ preventScroll: true });
  });
  frame.addEventListener("keydown", (event) => {
    const at = zoom() ?? (full ? ([full[0] + shift(), full[1] + shift()] as [number, number]) : null);
    if (!at) return;
    const span = at[1] - at[0];
    const middle = (at[0] + at[1]) / 2;
    const moves: Record<string, [number, number] | null> = {
      "+": [middle - span / 4, middle + span / 4],
      "=": [middle - span / 4, middle + span / 4],
      "-": zoom() ? [middle - span, middle + span] : null,
      ArrowLeft: [at[0] - span / 4, at[1] - span / 4],
      ArrowRight: [at[0] + span / 4, at[1] + span / 4],
      Escape: null,
      "0": null,
    };
    if (!(event.key in moves) || (!zoom() && event.key !== "+" && event.key !== "=")) return;
    let to = moves[event.key] ?? null;
    if (to && full && to[1] - to[0] >= full[1] - full[0]) to = null;
    send.zoom(name, to);
    event.preventDefault();
    event.stopPropagation();
  });

  return {
    node,
    heading,
    get visible() {
      return visible;
    },
    update(next) {
      chart = next;
      setText(title, next.title);
      setAttr(frame, "aria-label",
        `${next.title} over ${state.settings.axis}. Plus and minus zoom, arrows move, Escape shows the whole curve.`);
      showKeys();
      show(reset, zoom() !== null);
      // A setting that holds gets no new point, yet its line goes on with the run.
      const beat = isSetting(next.name) ? Math.floor(performance.now() / CARRY) : 0;
      const key = `${beat}|${next.colour}|${next.curves.map((curve) => `${curve.key}:${curve.rev}`).join()}`;
      if (key === drawnKey) return;
      drawnKey = key;
      if (!visible) return;
      send.brush.ask(turn, awaited);
      awaited = false;
    },
    stale(urgent) {
      show(reset, zoom() !== null);
      if (visible) send.brush.ask(turn, urgent);
    },
    dispose() {
      observer.disconnect();
      sizes.disconnect();
      removeEventListener("pointerup", release);
      removeEventListener("pointercancel", release);
      send.brush.forget(turn);
      purge(plot);
      node.remove();
    },
  };
}
