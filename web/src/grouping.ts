// Which charts there are, in what order, under what headings, in which colours. Pure.
import { MACHINE, type Curve } from "./curves.ts";
import { figure, percent, plain } from "./format.ts";

export type Chart = { name: string; title: string; curves: Curve[]; colour: number };
export type Group = { name: string; charts: Chart[] };

export const MANY = 8; // more charts than this are grouped and folded
const STAY_OPEN = 4; // of those without a prefix

const TITLES: Record<string, string> = {
  loss: "Loss", accuracy: "Accuracy", acc: "Accuracy", lr: "Learning rate", learning_rate: "Learning rate",
};
const FIRST = ["loss", "accuracy", "acc"];
const LAST = ["lr", "learning_rate"];

export function chartTitle(name: string): string {
  const known = TITLES[name];
  if (known) return known;
  return /^[a-z]+$/.test(name) ? name.charAt(0).toUpperCase() + name.slice(1) : name;
}

/** Accuracies that are fractions are shown in percent. */
export function isFraction(chart: string, curves: Curve[]): boolean {
  if (!/(^|[^a-z])acc(uracy)?([^a-z]|$)/i.test(chart)) return false;
  const values = curves.map((curve) => curve.last).filter(Number.isFinite);
  const most = curves.flatMap((curve) =>
    Object.values(curve.points).map((points) => points.y[points.y.length - 1] ?? 0),
  );
  return values.length > 0 && [...values, ...most].every((value) => !(value < 0 || value > 1.0001));
}

/** The newest value of a curve, as it stands beside the chart's title. */
export function valueText(chart: string, curves: Curve[], value: number): string {
  if (isFraction(chart, curves)) return percent(value);
  return isSetting(chart) ? plain(value) : figure(value);
}

/** A learning rate is set, not measured: it is neither noisy nor to be smoothed. */
export function isSetting(chart: string): boolean {
  return LAST.includes(chart.slice(chart.lastIndexOf("/") + 1)) || LAST.includes(prefixOf(chart));
}

function place(name: string): number {
  const first = FIRST.indexOf(name);
  if (first >= 0) return first - FIRST.length;
  return LAST.includes(name) ? 1 : 0;
}

/** The charts in reading order: loss, accuracy, the rest as they first came, the learning rate. */
export function listCharts(curves: Curve[]): Chart[] {
  const byName = new Map<string, Curve[]>();
  for (const curve of curves) {
    if (curve.name.startsWith(MACHINE)) continue;
    const held = byName.get(curve.chart);
    if (held) held.push(curve);
    else byName.set(curve.chart, [curve]);
  }
  const order: Record<string, number> = { train: 0, val: 1, step: 0, epoch: 1 };
  const charts = [...byName].map(([name, list]) => ({
    name,
    title: chartTitle(name),
    curves: [...list].sort(
      (a, b) => (order[a.split] ?? 0) * 2 + (order[a.kind] ?? 0) - (order[b.split] ?? 0) * 2 - (order[b.kind] ?? 0),
    ),
    colour: 0,
  }));
  charts.sort((a, b) => place(a.name) - place(b.name)); // stable: the rest keeps the order of arrival
  charts.forEach((chart, index) => { chart.colour = index % 8; });
  const titles = charts.map((chart) => chart.title);
  for (const chart of charts) { // "acc" and "accuracy" are two charts: each under its own name
    if (titles.indexOf(chart.title) !== titles.lastIndexOf(chart.title)) chart.title = chart.name;
  }
  return charts;
}

export function prefixOf(name: string): string {
  const slash = name.indexOf("/");
  return slash > 0 ? name.slice(0, slash) : "";
}

/**
 * Up to eight charts stand open; more are grouped by what is before the "/" and folded, but for the first few
 * that have no prefix (loss and accuracy among them). A filter shows what matches, unfolded.
 */
export function groupCharts(charts: Chart[], filter: string): { open: Chart[]; groups: Group[] } {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length > 0) {
    const open = charts.filter((chart) => {
      const text = [chart.name, chart.title, ...chart.curves.map((curve) => curve.name)].join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    });
    return { open, groups: [] };
  }
  if (charts.length <= MANY) return { open: charts, groups: [] };
  const open = charts.filter((chart) => prefixOf(chart.name) === "").slice(0, STAY_OPEN);
  const groups = new Map<string, Chart[]>();
  for (const chart of charts) {
    if (open.includes(chart)) continue;
    const prefix = prefixOf(chart.name);
    groups.set(prefix, [...(groups.get(prefix) ?? []), chart]);
  }
  return { open, groups: [...groups].map(([name, list]) => ({ name: name || "other", charts: list })) };
}

/** Which data a curve is of, in the word of its own name: a test set is not called validation. */
export function sideOf(curve: Curve): string {
  if (curve.split !== "val") return "train";
  const word = /^(test|eval)[/_]/i.exec(curve.name)?.[1]?.toLowerCase();
  return word ?? "validation";
}

/** Which of the curves of its split and kind this one is: the second has another colour and dash than the first. */
export function rankOf(curve: Curve, chart: Chart): number {
  return chart.curves.filter((one) => one.split === curve.split && one.kind === curve.kind).indexOf(curve);
}

/** The number of a curve's colour, 0..7. */
export function colourOf(curve: Curve, chart: Chart): number {
  return (chart.colour + 3 * rankOf(curve, chart)) % 8;
}

/** What a curve is called beside its chart's title. */
export function curveLabel(curve: Curve, chart: Chart): string {
  const side = sideOf(curve);
  if (chart.curves.length === 1) return curve.split === "val" ? side : "";
  const alike = chart.curves.filter((one) => one.kind === curve.kind && sideOf(one) === side);
  if (alike.length > 1) return curve.name;
  const both = chart.curves.some((one) => one.kind !== curve.kind && sideOf(one) === side);
  return both && curve.kind === "epoch" ? `${side}, per epoch` : side;
}
