import assert from "node:assert/strict";
import { test } from "node:test";
import type { LinkView, PerfView } from "../src/messages.ts";
import { budget, road } from "../src/panels/badge.ts";
import { paperStore, run } from "./helpers.ts";

const bare = { overhead: null, delay: null, workerCpu: null, limits: "" } as PerfView;

test("what the training pays, as far as it is known", () => {
  assert.deepEqual(budget(null), []);
  assert.equal(budget(bare).join(""), "");
  const told = budget({ ...bare, overhead: 0.004, delay: 0.0001, workerCpu: 0.062, limits: "pictures thinned to 12/s" });
  assert.deepEqual(told, [
    "Of a step, 0.4 % goes into calls, < 0.1 % into the boundary.",
    "The monitor's threads take 6.2 % of a core beside it.",
    "To keep within the budget: pictures thinned to 12/s.",
  ]);
});

test("the road as it is: what lies between, how old the last event is, what was left out and what was lost", () => {
  const { state } = paperStore().store;
  assert.deepEqual(road(state, 1000), []);
  const link: LinkView = {
    state: "connected", kind: "kernel", address: "", since: null, quiet: null, rttMs: null,
    reconnects: 0, dropped: 0, lost: 0, message: "",
  };
  Object.assign(state, { link, run: run() });
  Object.assign(state.health, { event: 999.6, offset: 0 });
  const told = (now: number): string[] => road(state, now).filter(Boolean);
  assert.deepEqual(told(1000), ["The run is in this kernel.", "Last event just now.", "Left out on purpose: no pictures; lost: no values."]);
  assert.equal(told(1060.6)[1], "Last event 1 m 01 s ago."); // grows by itself
  state.link = { ...link, kind: "remote", address: "gpu-box:5000", rttMs: 13.6, reconnects: 1, dropped: 1, lost: 1200 };
  assert.deepEqual(told(1000), [
    "Attached to gpu-box:5000, 14 ms there and back, 1 reconnect.", "Last event just now.",
    "Left out on purpose: 1 picture; lost: 1,200 values.",
  ]);
  state.link = { ...state.link, quiet: 990 };
  state.health.offset = 2; // the kernel's clock is behind this page's
  assert.equal(told(1000)[2], "No sign of life for 8 s.");
  state.link = { ...state.link, state: "disconnected", since: 940, message: "No connection to gpu-box:5000: trying again." };
  assert.match(told(1000)[0] ?? "", /^No connection to gpu-box:5000: trying again\. Since \d\d:\d\d \(58 s\)\.$/);
});
