import assert from "node:assert/strict";
import { test } from "node:test";
import { createCurves } from "../src/curves.ts";
import { machineRows, sparkline } from "../src/panels/machine.ts";
import { noticeFor } from "../src/panels/notice.ts";
import { caption, className, facts } from "../src/panels/tile.ts";
import { sentence, standing } from "../src/standing.ts";
import { floats, frame, paperStore, run, series, tiles } from "./helpers.ts";

test("machine figures: totals beside what is used, one row for each GPU, nothing without data", () => {
  const curves = createCurves();
  const add = (name: string, last: number, total = 5): void =>
    curves.take([series(`system/${name}`, { last, total })], [], "step");
  add("cpu", 63.4);
  add("memory_mb", 1945);
  add("memory_total_mb", 7900);
  add("gpu0/percent", 91);
  add("gpu1/percent", 12);
  add("gpu1/memory_mb", 11469);
  add("gpu1/memory_total_mb", 24576);
  add("gpu2/percent", 0, 0);
  add("temperature", 71);
  curves.take([series("loss")], [], "step");
  assert.deepEqual(machineRows(curves.all()).map((row) => [row.label, row.value]), [
    ["CPU", "63 %"], ["Memory (this process)", "1.9 / 7.7 GB"], ["GPU 0", "91 %"], ["GPU 1", "12 %"],
    ["GPU 1 memory", "11.2 / 24 GB"], ["temperature", "71.00"],
  ]);
});

test("a sparkline breaks at a gap and stays in its box", () => {
  const path = sparkline([0, 50, NaN, 100, 900], 100);
  assert.equal(path.match(/M/g)?.length, 2);
  assert.ok(path.endsWith("100.0 1.0"));
});

test("words for every silence", () => {
  const { store } = paperStore();
  const { health } = store.state;
  assert.match(noticeFor(store)?.words ?? "", /Waiting/);
  store.apply(frame(1, { key: true, runs: [], run: null }), []);
  health.state = "live";
  assert.match(noticeFor(store)?.words ?? "", /No run yet/);
  assert.match(noticeFor(store)?.code?.[0] ?? "", /nbmonitor\.init/);
  store.apply(frame(2, { key: true, run: run() }), []);
  assert.match(noticeFor(store)?.words ?? "", /Nothing logged/);
  store.apply(frame(3, { series: [series("loss")] }), []);
  assert.equal(noticeFor(store), null);
  store.apply(frame(4, { run: run("r1", { state: "failed", message: "ValueError: no" }) }), []);
  assert.equal(noticeFor(store)?.words, "Failed: ValueError: no");
  health.state = "stale";
  health.silence = 4;
  assert.match(noticeFor(store)?.words ?? "", /No word from the kernel for 4 s/);
  health.state = "gone";
  health.heard = 1_700_000_000;
  assert.match(noticeFor(store)?.words ?? "", /^Kernel gone at \d\d:\d\d\. /);
  assert.deepEqual(noticeFor(store)?.code, ["%nbmonitor"]);
});

test("a run that is not heard does not look live", () => {
  const { store } = paperStore();
  const link = { kind: "process", address: "", rttMs: null, since: 1000, quiet: 1000, reconnects: 0, dropped: 0, lost: 0 } as const;
  store.apply(frame(1, { key: true, run: run() }), []);
  store.state.health.state = "live";
  assert.deepEqual(standing(store.state), { word: "Running", tone: "good", heard: true, reachable: true });
  store.apply(frame(2, { link: { ...link, state: "stale", message: "no sign of life" } }), []);
  assert.deepEqual(standing(store.state), { word: "Silent", tone: "hold", heard: false, reachable: true });
  assert.match(noticeFor(store, 1012)?.words ?? "", /^No sign of life\. Since \d\d:\d\d \(12 s\)\.$/);
  store.state.health.offset = 5; // the kernel's clock is behind
  assert.match(noticeFor(store, 1020)?.words ?? "", /\(15 s\)\.$/);
  store.apply(frame(3, { link: { ...link, state: "disconnected", message: "the connection was lost" } }), []);
  assert.deepEqual(standing(store.state), { word: "Connection lost", tone: "bad", heard: false, reachable: false });
  assert.match(noticeFor(store, 1067)?.words ?? "", /^The connection was lost\. Since \d\d:\d\d \(1 m 02 s\)\.$/);
  store.apply(frame(4, { run: run("r1", { state: "lost" }) }), []);
  assert.deepEqual(standing(store.state), { word: "Lost", tone: "bad", heard: false, reachable: false });
  assert.match(noticeFor(store)?.words ?? "", /^The run was lost: its process is gone\. The connection was lost\. Since .*\.$/);
  store.apply(frame(5, { run: run("r1", { state: "completed" }), link: { ...link, state: "connected", message: "" } }), []);
  assert.deepEqual(standing(store.state), { word: "Completed", tone: "good", heard: true, reachable: false });
  assert.deepEqual(["", "why?", "a b"].map(sentence), ["", "Why?", "A b."]);
});

test("a kernel that never says a word: after a while what to do", () => {
  const { store } = paperStore();
  store.state.health.silence = 14;
  assert.equal(noticeFor(store)?.code, undefined);
  store.state.health.silence = 15;
  assert.match(noticeFor(store)?.words ?? "", /^No word from the kernel for 15 s\..*run this in a cell:$/);
  assert.deepEqual(noticeFor(store)?.code, ["%nbmonitor"]);
});

test("where the prediction is none the truth does not stand in its place", () => {
  const words = (...given: Parameters<typeof caption>): string[] => {
    const { name, truth, sure } = caption(...given);
    return [name, truth, sure];
  };
  const names = ["dog", "cat"];
  const none = { ...tiles(1, [null], [1]), confidence: [null] };
  const nan = { ...none, right: 0, counted: 0 };
  assert.deepEqual(words(nan, 0, names, false), ["?", "is cat", ""]);
  assert.equal(caption(nan, 0, names, false).none, true);
  assert.deepEqual(words(none, 0, names, false), ["", "is cat", ""]); // no predictions were given at all
  const wrong = { ...tiles(2, [0], [1]), right: 0, counted: 1 };
  assert.deepEqual(words(wrong, 0, names, false), ["✕ dog", "is cat", "· 50%"]);
  assert.equal(caption(wrong, 0, names, false).none, false);
  assert.equal(caption(wrong, 0, names, true).when, "step 20");
});

test("a class without a name is its number, a confidence that is none a question mark", () => {
  assert.equal(className(12, ["a", "b"]), "12");
  assert.equal(className(null, ["a"]), "?");
  const one = { ...tiles(3, [1], [0]), confidence: [null], labels: ["a cat"] };
  assert.deepEqual(facts(one, 0, ["no", "yes"]).slice(0, 4), [
    ["label", "a cat"], ["predicted", "yes"], ["confidence", "?"], ["truth", "no"],
  ]);
});

test("points of a machine figure on any axis are drawn", () => {
  const curves = createCurves();
  curves.take([series("system/cpu", { x: 0, y: 1, axis: "time" })], floats([1, 2], [10, 20]), "step");
  assert.deepEqual([...(machineRows(curves.all())[0]?.line.points.time?.y ?? [])], [10, 20]);
});
