// The charts: which stand where, what is folded, what the kernel is asked to send.
import type { ChartCell } from "../charts/chart.ts";
import { createChart } from "../charts/chart.ts";
import type { Send } from "../client.ts";
import { MACHINE } from "../curves.ts";
import { h, setAttr, setText, show } from "../dom.ts";
import { groupCharts, listCharts, MANY, type Chart } from "../grouping.ts";
import type { Axis } from "../messages.ts";
import { subscribeSlowly } from "../pace.ts";
import type { Store } from "../store.ts";
import { segments } from "./buttons.ts";

type Fold = { node: HTMLElement; button: HTMLButtonElement; area: HTMLElement; label: HTMLElement };

export function curves(el: HTMLElement, store: Store, send: Send): () => void {
  const { state } = store;
  const view = {};
  const cells = new Map<string, ChartCell>();
  const folds = new Map<string, Fold>();
  const opened = new Set<string>();
  let filter = "";

  const axes = segments<Axis>("Horizontal axis", [
    { value: "step", text: "step", action: "axis-step" },
    { value: "epoch", text: "epoch", action: "axis-epoch" },
    { value: "time", text: "time", action: "axis-time" },
  ], (axis) => send.set({ axis }));
  const log = h("button", { type: "button", "data-action": "log", "aria-pressed": "false", title: "Logarithmic scale" }, "log");
  log.addEventListener("click", () => send.set({ log: !state.settings.log }));
  const slider = h("input", {
    type: "range", min: 0, max: 1, step: 0.05, "data-input": "smooth", "aria-label": "Smoothing", title: "Smoothing",
  });
  slider.addEventListener("input", () => send.set({ smooth: Number(slider.value) }));
  slider.addEventListener("keydown", (event) => event.stopPropagation());
  const box = h("input", {
    type: "search", "data-input": "filter", placeholder: "filter charts", "aria-label": "Filter charts by name",
    spellcheck: "false", autocomplete: "off",
  });
  box.addEventListener("input", () => {
    filter = box.value;
    lay();
  });
  box.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key !== "Escape") return;
    box.value = filter = "";
    lay();
  });
  const tools = h("span", { class: "nbm-push nbm-tools" },
    h("label", { class: "nbm-smooth" }, h("span", {}, "smooth"), slider), axes.node,
    h("span", { class: "nbm-seg" }, log));
  const bar = h("div", { class: "nbm-toolbar" }, box);
  const open = h("div", { class: "nbm-charts" });
  const groups = h("div", { class: "nbm-groups" });
  const nothing = h("p", { class: "nbm-none" });
  el.append(bar, open, nothing, groups);

  /** The kernel sends points only for charts that are in view, and the machine's figures. */
  function want(): void {
    const machine = state.curves.all().filter((curve) => curve.name.startsWith(MACHINE));
    const charts = [...cells].filter(([, cell]) => cell.visible).map(([name]) => name);
    send.want(view, new Set([...charts, ...machine.map((curve) => curve.chart)]));
  }

  function cellFor(chart: Chart): ChartCell {
    let cell = cells.get(chart.name);
    if (!cell) {
      cell = createChart(chart.name, store, send, want);
      cells.set(chart.name, cell);
    }
    cell.update(chart);
    return cell;
  }

  function place(area: HTMLElement, charts: Chart[]): void {
    const nodes = charts.map((chart) => cellFor(chart).node);
    nodes.forEach((node, index) => {
      if (area.children[index] !== node) area.insertBefore(node, area.children[index] ?? null);
    });
    setAttr(area, "data-count", nodes.length);
  }

  function foldFor(name: string): Fold {
    const held = folds.get(name);
    if (held) return held;
    const label = h("span", { class: "nbm-quiet" });
    const button = h("button", { type: "button", class: "nbm-fold", "data-action": "fold", "data-group": name },
      h("i", { "aria-hidden": "true" }), h("b", {}, name), label);
    const area = h("div", { class: "nbm-charts" });
    const fold = { node: h("div", { class: "nbm-group-of" }, button, area), button, area, label };
    button.addEventListener("click", () => {
      if (!opened.delete(name)) opened.add(name);
      lay();
    });
    folds.set(name, fold);
    return fold;
  }

  function lay(): void {
    const charts = listCharts(state.curves.all());
    show(el, charts.length > 0);
    const found = groupCharts(charts, charts.length > MANY ? filter : "");
    const shown = new Set<string>();
    for (const chart of found.open) shown.add(chart.name);
    for (const group of found.groups) {
      if (opened.has(group.name)) for (const chart of group.charts) shown.add(chart.name);
    }
    for (const [name, cell] of cells) {
      if (shown.has(name)) continue;
      cell.dispose();
      cells.delete(name);
    }
    place(open, found.open);
    const names = new Set(found.groups.map((group) => group.name));
    for (const [name, fold] of folds) {
      if (names.has(name)) continue;
      fold.node.remove();
      folds.delete(name);
    }
    for (const group of found.groups) {
      const fold = foldFor(group.name);
      if (!fold.node.isConnected) groups.append(fold.node);
      const isOpen = opened.has(group.name);
      setAttr(fold.button, "aria-expanded", String(isOpen));
      setText(fold.label, `${group.charts.length} chart${group.charts.length === 1 ? "" : "s"}`);
      show(fold.area, isOpen);
      if (isOpen) place(fold.area, group.charts);
    }
    show(nothing, filter !== "" && found.open.length === 0 && charts.length > MANY);
    setText(nothing, `No chart is called “${filter}”.`);
    // With one or two charts the tools stand in the first heading; with more they have a row of their own.
    const first = charts.length <= 2 ? cells.get(found.open[0]?.name ?? "")?.heading : undefined;
    const home = first ?? bar;
    if (tools.parentElement !== home) home.append(tools);
    show(bar, first === undefined);
    show(box, charts.length > MANY);
    setAttr(el, "data-many", charts.length > MANY);
    axes.press(state.settings.axis);
    setAttr(log, "aria-pressed", String(state.settings.log));
    slider.value = String(state.settings.smooth);
    want();
  }

  lay();
  const slow = subscribeSlowly(store, [], ["series"], lay);
  const off = store.subscribe((topics) => {
    if (topics.has("settings") || topics.has("run")) lay();
    if (topics.has("settings") || topics.has("marks") || topics.has("theme")) {
      for (const cell of cells.values()) cell.stale(topics.has("settings"));
    }
  });
  return () => {
    off();
    slow();
    for (const cell of cells.values()) cell.dispose();
    cells.clear();
    send.want(view, []);
  };
}
