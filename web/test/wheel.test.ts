import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventView } from "../src/messages.ts";
import { others, wheelWords } from "../src/panels/wheel.ts";
import { frame, paperStore, run } from "./helpers.ts";

const wheel = { by: "ada", mine: false, locked: false, since: 1_700_000_000 };
const line = (id: string, who: string): EventView => ({ id, time: 0, kind: "command", mark: "ok", text: "", who });

test("who has the wheel, since when by the clock of the person who looks, and whether it can be taken", () => {
  assert.equal(wheelWords(null, 0), "");
  assert.match(wheelWords(wheel, 0), /^ada has the wheel since \d\d:\d\d$/);
  assert.notEqual(wheelWords(wheel, 0), wheelWords(wheel, 60));
  assert.match(wheelWords({ ...wheel, locked: true }, 0), /^ada has the wheel since \d\d:\d\d, locked$/);
  assert.equal(wheelWords({ ...wheel, mine: true, since: 0 }, 0), "You have the wheel");
});

test("it can be handed to those who were seen here", () => {
  const { state } = paperStore().store;
  state.events = [line("1", "you · 9 ms"), line("2", "bob@laptop · 12 ms"), line("3", "")];
  state.audit = { lines: [line("4", "ada@gpu-box"), line("5", "bob@laptop")], why: "" };
  assert.deepEqual(others(state), ["ada@gpu-box", "bob@laptop"]);
});

test("what was read of the log belongs to one run", () => {
  const { store } = paperStore();
  store.apply(frame(1, { key: true, run: run("r1"), audit: { lines: [line("1", "ada")], why: "" }, following: false }), []);
  assert.equal(store.state.audit?.lines.length, 1);
  assert.equal(store.state.following, false);
  store.apply(frame(2, { audit: { lines: [], why: "no log" }, following: true }), []);
  assert.equal(store.state.audit?.why, "no log");
  assert.equal(store.state.following, true);
  store.apply(frame(3, { key: true, run: run("r2") }), []);
  assert.equal(store.state.audit, null);
});
