import assert from "node:assert/strict";
import { test } from "node:test";
import { createBrush } from "../src/charts/brush.ts";
import { buildFigure, cut, pointsFor, type FigureInput } from "../src/charts/figure.ts";
import { smooth } from "../src/charts/smoothing.ts";
import { countTicks, linearScale, logTicks, tickText, timeTicks } from "../src/charts/ticks.ts";
import { createCurves, float32, float64, type Curve } from "../src/curves.ts";
import { colourOf, curveLabel, groupCharts, isFraction, listCharts, valueText } from "../src/grouping.ts";
import type { SeriesView } from "../src/messages.ts";
import { floats, series } from "./helpers.ts";

function curvesOf(...all: SeriesView[]): Curve[] {
  const curves = createCurves();
  for (const one of all) curves.take([{ x: 0, y: 1, axis: "step", ...one }], floats([0, 1, 2, 3, 4], [1, 2, 3, 4, 5]), "step");
  return curves.all();
}

const COLOURS = {
  text: "#000", quiet: "#666", grid: "#ddd", faint: "#eee", ground: "#fff", hold: "#a60", accent: "#00f", font: "x",
  series: ["#001", "#002"],
};

function input(curves: Curve[], more: Partial<FigureInput> = {}): FigureInput {
  const chart = listCharts(curves)[0];
  assert.ok(chart);
  return {
    chart, axis: "step", log: false, smooth: 0.5, zoom: null, marks: [], started: 0, colours: COLOURS,
    width: 600, height: 200, revision: 1, end: null, ...more,
  };
}

test("smoothing starts at the first value, keeps gaps, and follows", () => {
  const y = new Float32Array(200).fill(2);
  assert.deepEqual([...smooth(y, 0.5)].map((value) => Math.round(value * 1000)), [...y].map((value) => value * 1000));
  y[50] = NaN;
  y[51] = Infinity;
  const out = smooth(y, 1);
  assert.ok(Number.isNaN(out[50]) && Number.isNaN(out[51]));
  assert.ok(Math.abs((out[52] ?? 0) - 2) < 1e-6);
  assert.deepEqual([...smooth([1, 5, 1], 0)], [1, 5, 1]);
  const fork = smooth([9, 9, NaN, 1, 1], 1, [10, 11, 5, 5, 6]);
  assert.deepEqual([...fork.slice(3)], [1, 1], "a branch remembers nothing of the one that it leaves");
});

test("buffers that are not aligned are read all the same", () => {
  const bytes = new Uint8Array(3 + 16);
  new DataView(bytes.buffer).setFloat64(3, 1.5, true);
  new DataView(bytes.buffer).setFloat64(11, -2, true);
  assert.deepEqual([...float64(new DataView(bytes.buffer, 3, 16))], [1.5, -2]);
  const four = new Uint8Array(9);
  new DataView(four.buffer).setFloat32(1, 0.5, true);
  assert.deepEqual([...float32(new DataView(four.buffer, 1, 8))], [0.5, 0]);
});

test("train and validation of one chart stand together; loss and accuracy come first, the rate last", () => {
  const all = curvesOf(series("lr"), series("grad"), series("val_loss", { chart: "loss", split: "val", kind: "epoch" }),
    series("accuracy"), series("loss"), series("system/cpu"));
  const charts = listCharts(all);
  assert.deepEqual(charts.map((chart) => chart.name), ["loss", "accuracy", "grad", "lr"]);
  assert.deepEqual(charts[0]?.curves.map((curve) => curve.name), ["loss", "val_loss"]);
  assert.deepEqual(charts[0]?.curves.map((curve) => charts[0] && curveLabel(curve, charts[0])), ["train", "validation"]);
});

test("an epoch series beside the step series says so; two of a kind go by their names", () => {
  const all = curvesOf(series("loss"), series("average_loss", { chart: "loss", kind: "epoch" }));
  const chart = listCharts(all)[0];
  assert.ok(chart);
  assert.deepEqual(chart.curves.map((curve) => curveLabel(curve, chart)), ["train", "train, per epoch"]);
  const twice = listCharts(curvesOf(series("a_loss", { chart: "loss" }), series("b_loss", { chart: "loss" })))[0];
  assert.ok(twice);
  assert.deepEqual(twice.curves.map((curve) => curveLabel(curve, twice)), ["a_loss", "b_loss"]);
});

test("a test set is called test, alone and beside a validation set; curves of one split differ in colour and dash", () => {
  const val = { chart: "accuracy", split: "val" } as const;
  const labels = (...all: SeriesView[]): string[] => {
    const chart = listCharts(curvesOf(...all))[0];
    assert.ok(chart);
    return chart.curves.map((curve) => curveLabel(curve, chart));
  };
  assert.deepEqual(labels(series("test_accuracy", val)), ["test"]);
  assert.deepEqual(labels(series("Test/accuracy", val)), ["test"]);
  assert.deepEqual(labels(series("eval_accuracy", val)), ["eval"]);
  assert.deepEqual(labels(series("valid_accuracy", val)), ["validation"]);
  assert.deepEqual(labels(series("accuracy"), series("val_accuracy", val), series("test_accuracy", val)), ["train", "validation", "test"]);
  const curves = curvesOf(series("loss"), series("train_loss", { chart: "loss" }),
    series("val_loss", { chart: "loss", split: "val" }), series("test_loss", { chart: "loss", split: "val" }));
  const { data } = buildFigure(input(curves));
  const looks = data.map(({ line }) => { const { color, dash } = line as { color: string; dash: string }; return `${color} ${dash}`; });
  assert.equal(new Set(looks).size, 4, looks.join());
  const chart = listCharts(curves)[0];
  assert.ok(chart);
  assert.equal(new Set(chart.curves.slice(0, 2).map((curve) => colourOf(curve, chart))).size, 2);
});

test("two charts whose titles would be the same go by their names", () => {
  const charts = listCharts(curvesOf(series("loss"), series("acc"), series("accuracy")));
  assert.deepEqual(charts.map((chart) => chart.title), ["Loss", "accuracy", "acc"]);
});

test("up to eight charts stand open; beyond, those with a prefix are folded, and a filter finds them", () => {
  const names = ["loss", "accuracy", ...Array.from({ length: 10 }, (_, k) => `layer${k % 2}/norm${k}`)];
  const few = listCharts(curvesOf(...names.slice(0, 8).map((name) => series(name))));
  assert.equal(groupCharts(few, "").open.length, 8);
  const many = listCharts(curvesOf(...names.map((name) => series(name))));
  const { open, groups } = groupCharts(many, "");
  assert.deepEqual(open.map((chart) => chart.name), ["loss", "accuracy"]);
  assert.deepEqual(groups.map((group) => [group.name, group.charts.length]), [["layer0", 5], ["layer1", 5]]);
  assert.deepEqual(groupCharts(many, "LAYER1 norm3").open.map((chart) => chart.name), ["layer1/norm3"]);
  assert.deepEqual(groupCharts(many, "nothing").open, []);
});

test("accuracies that are fractions are in percent, other values are not", () => {
  const curves = createCurves();
  curves.take([series("val_accuracy", { chart: "accuracy", last: 0.966, x: 0, y: 1 })], floats([0], [0.9]), "step");
  assert.equal(valueText("accuracy", curves.all(), 0.966), "96.6 %");
  curves.take([series("val_accuracy", { chart: "accuracy", last: 96.6 })], [], "step");
  assert.equal(isFraction("accuracy", curves.all()), false);
  assert.equal(isFraction("vacc_rate", curves.all()), false);
  assert.equal(valueText("lr", [], 0.0008), "0.0008");
});

test("a zoom uses the finer window where it covers the range, else the part of the whole curve", () => {
  const curves = createCurves();
  curves.take([series("loss", { x: 0, y: 1, axis: "step" })], floats([0, 10, 20, 30], [1, 2, 3, 4]), "step");
  const curve = curves.all()[0] as Curve;
  assert.deepEqual([...(pointsFor(curve, "step", [11, 19])?.points.x ?? [])], [10, 20]);
  curves.take([series("loss", { x: 0, y: 1, axis: "step", window: [11, 19] })], floats([11, 15, 19], [1, 2, 3]), "step");
  const fine = pointsFor(curve, "step", [11, 19]);
  assert.deepEqual([fine?.windowed, fine?.points.x.length], [true, 3]);
  assert.equal(pointsFor(curve, "step", [5, 19])?.windowed, false);
  assert.equal(pointsFor(curve, "time", null), null);
  assert.deepEqual([...cut({ x: new Float64Array([0, 1, 2, 3]), y: new Float32Array(4) }, 1.5, 1.6).x], [1, 2]);
});

test("a figure: raw behind smooth, validation dashed with markers, text never markup", () => {
  const long = Array.from({ length: 100 }, (_, k) => k);
  const curves = createCurves();
  curves.take([series("<b>x</b>", { chart: "loss", x: 0, y: 1, axis: "step" })], floats(long, long), "step");
  curves.take([series("val_loss", { chart: "loss", split: "val", kind: "epoch", x: 0, y: 1, axis: "step" })], floats([50], [1]), "step");
  curves.take([series("<i>y</i>", { chart: "loss", x: 0, y: 1, axis: "step" })], floats(long, long), "step");
  const mark = { id: "m", step: 60, time: 60, epoch: 1, label: "<a href='x'>lr</a>", kind: "command" } as const;
  const { data, layout, points } = buildFigure(input(curves.all(), { marks: [mark] }));
  assert.equal(points, 201);
  assert.deepEqual(data.map((trace) => trace.mode), ["lines", "lines", "lines", "lines", "lines+markers"]);
  assert.equal((data[4]?.line as { dash: string }).dash, "5px,4px");
  assert.equal(data[1]?.hoverinfo, "skip");
  const written = JSON.stringify([data, layout]);
  assert.ok(!written.includes("<i>") && !written.includes("<a href"));
  assert.ok(written.includes("&lt;a href"));
  assert.equal((layout.shapes as object[]).length, 1);
});

test("the time axis counts from the start of the run", () => {
  const curves = createCurves();
  curves.take([series("loss", { x: 0, y: 1, axis: "time" })], floats([1000, 1060], [1, 2]), "time");
  const { data, layout } = buildFigure(input(curves.all(), { axis: "time", started: 1000 }));
  assert.deepEqual([...(data[0]?.x as Float64Array)], [0, 60]);
  assert.equal((layout.xaxis as { range: number[] }).range[0], 0);
  assert.deepEqual(timeTicks(0, 130, 5), { tickvals: [0, 30, 60, 90, 120], ticktext: ["0:00", "0:30", "1:00", "1:30", "2:00"] });
  assert.deepEqual(timeTicks(3590, 3700, 2).ticktext, ["1:00:00", "1:01:00"]);
});

test("ticks of steps and epochs are round", () => {
  assert.deepEqual(countTicks(0, 2300, 5).ticktext, ["0", "500", "1,000", "1,500", "2,000"]);
  assert.deepEqual(countTicks(0.1, 1.4, 4).ticktext, ["0.5", "1.0"]);
  assert.deepEqual(countTicks(1e9, 1e9 + 40, 4).tickvals, [1e9, 1e9 + 10, 1e9 + 20, 1e9 + 30, 1e9 + 40]);
});

test("no tick's label sticks out of the chart", () => {
  const curves = createCurves();
  curves.take([series("loss", { x: 0, y: 1, axis: "step" })], floats([0, 1000], [1, 2]), "step");
  const made = buildFigure(input(curves.all(), { width: 300 }));
  const { tickvals, ticktext, range } = made.layout.xaxis as { tickvals: number[]; ticktext: string[]; range: [number, number] };
  assert.ok(tickvals.length > 0 && tickvals.length === ticktext.length);
  const { l, r } = made.layout.margin as { l: number; r: number };
  for (const [index, at] of tickvals.entries()) {
    const x = l + ((at - range[0]) / (range[1] - range[0])) * (300 - l - r);
    assert.ok(x + (ticktext[index] as string).length * 3.1 <= 300, ticktext[index]);
  }
});

test("logarithmic ticks can be told apart", () => {
  assert.deepEqual((logTicks(0.08, 2.5) as { tickvals: number[] }).tickvals.filter((v) => v >= 0.08 && v <= 2.5), [0.1, 0.2, 0.5, 1, 2]);
  assert.ok((logTicks(1e-9, 1e3) as { tickvals: number[] }).tickvals.length <= 8);
  assert.deepEqual(logTicks(1, 1.5), { nticks: 4 });
});

test("an axis shows a value that never changes, however small or large, with ticks that can be told apart", () => {
  for (const value of [1e-5, 1e8, 93.5, 0, -3, 1e-10]) {
    const { range, ticktext } = linearScale(value, value, 4, false, false);
    assert.ok(range[0] < value && value < range[1], `${value} in ${range}`);
    assert.ok(range[1] - range[0] <= Math.max(2, Math.abs(value)) * 1.101, `${value} in ${range}`);
    assert.ok(ticktext.length >= 2 && ticktext.length <= 9);
    assert.equal(new Set(ticktext).size, ticktext.length, ticktext.join());
  }
  assert.deepEqual(linearScale(1e8, 1e8, 4, false, false).ticktext, ["6e7", "8e7", "1.0e8", "1.2e8", "1.4e8"]);
  const close = linearScale(100_000_000, 100_001_000, 4, false, false).ticktext;
  assert.ok(close.length >= 3 && new Set(close).size === close.length, close.join());
  assert.deepEqual(linearScale(0, 1e-5, 4, false, true).range[0], 0);
  assert.deepEqual(linearScale(0.5, 1, 4, true, false).ticktext, ["60%", "80%", "100%"]);
  assert.deepEqual([tickText(0.5, 0.5), tickText(-2, 1), tickText(0.00005, 0.00005), tickText(0, 1e-5), tickText(1500, 500)],
    ["0.5", "−2", "5e−5", "0", "1500"]);
});

test("a long tick has a margin to stand in, a marker's label its room in the plot", () => {
  const curves = createCurves();
  curves.take([series("loss", { x: 0, y: 1, axis: "step" })], floats([0, 100], [100_000_000, 100_001_000]), "step");
  const { layout } = buildFigure(input(curves.all()));
  const { ticktext } = layout.yaxis as { ticktext: string[] };
  assert.ok((layout.margin as { l: number }).l >= 6 * Math.max(...ticktext.map((text) => text.length)));
  const mark = { id: "m", step: 50, time: 60, epoch: 1, label: "batch size 32 → 64 from the next epoch", kind: "command" } as const;
  const narrow = buildFigure(input(curves.all(), { width: 260, marks: [mark] })).layout.annotations as { text: string }[];
  assert.ok((narrow[0]?.text.length ?? 99) * 6 <= 115, narrow[0]?.text);
});

test("a learning rate that was logged once is a line to the end of the run, not a point, and is never smoothed", () => {
  const curves = createCurves();
  curves.take([series("lr", { x: 0, y: 1, axis: "step" })], floats([0], [0.1]), "step");
  const { data, layout } = buildFigure(input(curves.all(), { end: 900 }));
  assert.deepEqual([...(data[0]?.x as Float64Array)], [0, 900]);
  assert.equal((data[0]?.line as { shape: string }).shape, "hv");
  assert.ok((layout.xaxis as { range: number[] }).range[1] as number >= 900);
  assert.equal(data.length, 1);
});

test("one point and no point are drawn without a range of nothing", () => {
  const curves = createCurves();
  curves.take([series("loss", { x: 0, y: 1, axis: "step" })], floats([7], [1]), "step");
  assert.deepEqual((buildFigure(input(curves.all())).layout.xaxis as { range: number[] }).range, [6.5, 7.5]);
  curves.take([series("loss", { x: 0, y: 1, axis: "step" })], floats([], []), "step");
  assert.equal(buildFigure(input(curves.all())).points, 0);
});

test("drawing takes turns and stays within a quarter of the time", () => {
  let now = 0;
  const queue: { at: number; act: () => void }[] = [];
  const clock = { now: () => now, later: (ms: number, act: () => void) => void queue.push({ at: now + ms, act }) };
  const brush = createBrush(0.25, 100, 1, clock);
  const drawn: string[] = [];
  let spent = 0;
  const jobs = ["a", "b", "c"].map((name) => ({ draw: () => { drawn.push(name); now += 40; spent += 40; } }));
  const ask = (): void => jobs.forEach((job) => brush.ask(job));
  ask();
  while (now < 10_000) {
    const next = queue.shift();
    if (!next) break;
    now = Math.max(now, next.at);
    next.act();
    ask();
  }
  assert.ok(spent / now <= 0.26, `${spent} of ${now} ms`);
  assert.ok(spent / now >= 0.2, `${spent} of ${now} ms`);
  assert.deepEqual(drawn.slice(0, 6), ["a", "b", "c", "a", "b", "c"]);
});

test("a chart that throws does not stop the others", (context) => {
  context.mock.method(console, "error", () => undefined);
  const queue: (() => void)[] = [];
  const brush = createBrush(0.25, 0, 1, { now: () => 0, later: (_, act) => void queue.push(act) });
  let drawn = 0;
  brush.ask({ draw: () => { throw new Error("no"); } });
  brush.ask({ draw: () => { drawn += 1; } });
  for (let next = queue.shift(); next; next = queue.shift()) next();
  assert.equal(drawn, 1);
});

test("a chart that was never drawn does not wait for the budget", () => {
  let now = 0;
  const queue: { at: number; act: () => void }[] = [];
  const brush = createBrush(0.25, 100, 1, { now: () => now, later: (ms, act) => void queue.push({ at: now + ms, act }) });
  const run = (): void => {
    while (queue.length > 0) {
      queue.sort((one, other) => one.at - other.at);
      const next = queue.shift();
      now = Math.max(now, next?.at ?? 0);
      next?.act();
    }
  };
  const times: number[] = [];
  const slow = { draw: () => { now += 500; times.push(now); } };
  brush.ask(slow);
  brush.ask({ draw: () => times.push(now) });
  run();
  assert.deepEqual(times, [500, 500]);
  brush.ask(slow);
  brush.ask({ draw: () => times.push(now) });
  run();
  assert.deepEqual(times.slice(2), [500, 2500]);
  brush.ask(slow);
  brush.ask(slow, true); // a person waits for it
  run();
  assert.equal(times.at(-1), 3000);
});
