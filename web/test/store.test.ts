import assert from "node:assert/strict";
import { test } from "node:test";
import { isRight } from "../src/store.ts";
import { floats, frame, paperStore, run, series, tiles } from "./helpers.ts";

test("a frame before any key frame asks for one and changes nothing", () => {
  const { store } = paperStore();
  assert.equal(store.apply(frame(5, { perf: undefined, run: run() }), []), "ask");
  assert.equal(store.state.run, null);
  assert.equal(store.apply(frame(6, { run: run() }), []), "ask");
  assert.equal(store.state.health.received, 2);
});

test("a key frame replaces what is held, a plain one adds to it", () => {
  const { store, flush } = paperStore();
  assert.equal(store.apply(frame(1, { key: true, run: run(), runs: [], series: [series("loss")] }), []), "applied");
  assert.ok(flush().includes("run"));
  assert.equal(store.apply(frame(2, { series: [series("accuracy")] }), []), "applied");
  assert.deepEqual(store.state.curves.all().map((curve) => curve.name), ["loss", "accuracy"]);
  assert.deepEqual(flush(), ["health", "series"]);
  store.apply(frame(3, { key: true, run: run(), series: [series("accuracy")] }), []);
  assert.deepEqual(store.state.curves.all().map((curve) => curve.name), ["accuracy"]);
});

test("a key frame without points keeps the points of the same run, not those of another", () => {
  const { store } = paperStore();
  const buffers = floats([1, 2, 3], [4, 5, 6]);
  store.apply(frame(1, { key: true, run: run(), series: [series("loss", { x: 0, y: 1, axis: "step" })] }), buffers);
  store.apply(frame(2, { key: true, run: run(), series: [series("loss")] }), []);
  assert.deepEqual([...(store.state.curves.all()[0]?.points.step?.y ?? [])], [4, 5, 6]);
  store.apply(frame(3, { key: true, run: run("r2"), series: [series("loss")] }), []);
  assert.equal(store.state.curves.all()[0]?.points.step, undefined);
});

test("a new origin forgets everything and asks anew", () => {
  const { store } = paperStore();
  store.apply(frame(9, { key: true, run: run(), events: [{ id: "e1", time: 1, kind: "log", mark: "", text: "a" }] }), []);
  assert.equal(store.apply(frame(1, { origin: "life-2", run: run() }), []), "ask");
  assert.equal(store.state.run, null);
  assert.equal(store.state.events.length, 0);
  assert.equal(store.state.n, 1);
  assert.equal(store.state.known, false);
});

test("a hole in the numbers is counted and asks for a key frame; the frame itself still counts", () => {
  const { store } = paperStore();
  store.apply(frame(1, { key: true, run: run() }), []);
  assert.equal(store.apply(frame(4, { run: run("r1", { state: "paused" }) }), []), "ask");
  assert.equal(store.state.health.missed, 2);
  assert.equal(store.state.run?.state, "paused");
});

test("a frame to another client is received and not applied", () => {
  const { store } = paperStore();
  store.apply(frame(1, { key: true, run: run() }), []);
  const window = series("loss", { x: 0, y: 1, axis: "step", window: [1, 2] });
  assert.equal(store.apply(frame(2, { to: "you", series: [window] }), floats([1, 2], [1, 2])), "ignored");
  assert.equal(store.state.curves.all().length, 0);
  assert.equal(store.state.n, 2);
  assert.equal(store.apply(frame(3, { to: "me", series: [window] }), floats([1, 2], [1, 2])), "applied");
  const curve = store.state.curves.all()[0];
  assert.deepEqual([curve?.window?.lo, curve?.window?.hi, curve?.points.step], [1, 2, undefined]);
});

test("another run in a plain frame clears the old one's curves and asks", () => {
  const { store } = paperStore();
  store.apply(frame(1, { key: true, run: run(), series: [series("loss")] }), []);
  assert.equal(store.apply(frame(2, { run: run("r2") }), []), "ask");
  assert.equal(store.state.curves.all().length, 0);
  assert.equal(store.state.run?.id, "r2");
});

test("the latest sixteen wrong tiles are kept, newest first, each with its own step", () => {
  const { store } = paperStore();
  store.apply(frame(1, { key: true, run: run() }), []);
  for (let id = 1; id <= 12; id += 1) {
    store.apply(frame(id + 1, { tiles: tiles(id, [1, 2, 3, null], [1, 5, 6, 6]) }), []);
  }
  const { wrong } = store.state;
  assert.equal(wrong.length, 16);
  assert.deepEqual(wrong.slice(0, 3).map((one) => [one.batch.tiles.step, one.index]), [[120, 1], [120, 2], [110, 1]]);
});

test("wrong tiles of a key frame seed the list", () => {
  const { store } = paperStore();
  const old = tiles(7, [1], [2]);
  store.apply(frame(1, { key: true, run: run(), wrong: { tiles: [{ tiles: old, index: 0 }] } }), []);
  assert.equal(store.state.wrong[0]?.batch.tiles.step, 70);
});

test("right, wrong, and not known", () => {
  const one = tiles(1, [1, 1, null, 1], [1, 2, 1, null]);
  assert.deepEqual([0, 1, 2, 3, 4].map((index) => isRight(one, index)), [true, false, null, null, null]);
});

test("a receipt grows in place and only its end answers the button", () => {
  const { store } = paperStore();
  store.apply(frame(1, { key: true, run: run() }), []);
  store.state.asked.set("c1", {
    id: "c1", kind: "pause", control: "pause", mode: "", at: 0, done: false, ok: false, words: "",
  });
  const event = { id: "cc1", time: 1, kind: "command", text: "Pause", command: "c1" } as const;
  store.apply(frame(2, { events: [{ ...event, mark: "wait", state: "queued" }] }), []);
  assert.equal(store.state.asked.get("c1")?.done, false);
  store.apply(frame(3, { events: [{ ...event, mark: "no", state: "rejected", tail: "refused: it is over" }] }), []);
  assert.deepEqual(store.state.asked.get("c1")?.words, "refused: it is over");
  assert.equal(store.state.events.length, 1);
});

test("what was asked is forgotten when the run ends, and when another is shown", () => {
  const { store } = paperStore();
  const ask = (): void => void store.state.asked.set("a", {
    id: "a", kind: "pause", control: "pause", mode: "", at: 0, done: true, ok: false, words: "refused: the run is over",
  });
  store.apply(frame(1, { key: true, run: run("r1") }), []);
  ask();
  store.apply(frame(2, { run: run("r1", { state: "paused" }) }), []);
  assert.equal(store.state.asked.size, 1);
  store.apply(frame(3, { run: run("r1", { state: "completed" }) }), []);
  assert.equal(store.state.asked.size, 0);
  ask();
  store.apply(frame(4, { key: true, run: run("r2") }), []);
  assert.equal(store.state.asked.size, 0);
});
