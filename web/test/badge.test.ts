import assert from "node:assert/strict";
import { test } from "node:test";
import type { PerfView } from "../src/messages.ts";
import { budget } from "../src/panels/badge.ts";

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
