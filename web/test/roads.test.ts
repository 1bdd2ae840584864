import assert from "node:assert/strict";
import { test } from "node:test";
import type { Reply, Request } from "../src/messages.ts";
import { createRoads, type ModelLike } from "../src/roads.ts";
import { request } from "./helpers.ts";

type Answer = "ok" | "silent" | "foreign" | "throws";

/** A kernel that answers the control channel in one of four ways, and a comm whose messages are kept. */
function model(answer: Answer): ModelLike & { comm: Request[]; control: Request[] } {
  const comm: Request[] = [];
  const control: Request[] = [];
  const kernel = {
    clientId: "c",
    sendControlMessage(message: unknown, expectReply: boolean, disposeOnDone: boolean) {
      if (answer === "throws") throw new Error("Kernel is dead");
      assert.equal(expectReply && disposeOnDone, true);
      const { header, content } = message as { header: { msg_type: string }; content: { command: string; arguments: Request } };
      assert.equal(header.msg_type, "debug_request");
      assert.equal(content.command, "nbmonitor");
      control.push(content.arguments);
      const body: Reply = { id: content.arguments.id, ok: true };
      if (answer === "ok") return { done: Promise.resolve({ content: { command: "nbmonitor", success: true, body } }) };
      if (answer === "foreign") return { done: Promise.resolve({ content: { success: false } }) };
      return { done: new Promise(() => undefined) };
    },
  };
  return { comm, control, widget_manager: { kernel }, send: (content) => void comm.push(content as Request) };
}

test("the control channel answers: the comm is not used", async () => {
  const one = model("ok");
  const roads = createRoads(one);
  assert.equal(roads.road, "none");
  assert.deepEqual(await roads.request(request("a"), true), { id: "a", ok: true });
  assert.equal(roads.road, "control");
  assert.ok(roads.rtt !== null && roads.rtt >= 0);
  assert.equal(one.comm.length, 0);
  roads.dispose();
});

test("a silent control channel: the comm gets the same id after 300 ms", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const one = model("silent");
  const roads = createRoads(one);
  const reply = roads.request(request("a"), true);
  context.mock.timers.tick(299);
  assert.equal(one.comm.length, 0);
  context.mock.timers.tick(2);
  assert.deepEqual(one.comm.map((sent) => [sent.id, sent.op]), [["a", "ping"]]);
  assert.equal(one.control[0]?.id, "a");
  roads.answered({ id: "a", ok: false, reason: "no" });
  assert.deepEqual(await reply, { id: "a", ok: false, reason: "no" });
  assert.equal(roads.road, "comm");
  roads.dispose();
});

for (const answer of ["foreign", "throws"] as const) {
  test(`a control channel that ${answer === "foreign" ? "is not ours" : "throws"}: the comm at once`, async () => {
    const one = model(answer);
    const roads = createRoads(one);
    const reply = roads.request(request("a"), true);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(one.comm.length, 1);
    roads.answered({ id: "a", ok: true });
    assert.equal((await reply).ok, true);
    assert.equal(roads.road, "comm");
    roads.dispose();
  });
}

test("no kernel object, or a manager that throws: the comm", async () => {
  for (const manager of [undefined, {}, { get kernel(): unknown { throw new Error("disposed"); } }]) {
    const sent: Request[] = [];
    const roads = createRoads({ widget_manager: manager, send: (content) => void sent.push(content as Request) });
    const reply = roads.request(request("a"), false);
    assert.equal(sent.length, 1);
    roads.answered({ id: "a", ok: true });
    assert.equal((await reply).ok, true);
    roads.dispose();
  }
});

test("no answer on any road is an answer too, after five seconds", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const roads = createRoads(model("silent"));
  const reply = roads.request(request("a"), true);
  context.mock.timers.tick(5001);
  const said = await reply;
  assert.equal(said.ok, false);
  assert.match(said.reason ?? "", /no answer/);
  assert.equal(roads.road, "none");
  roads.dispose();
});

test("what is said again anyway does not pile up behind a blocked comm; what matters still goes", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const sent: Request[] = [];
  const roads = createRoads({ send: (content) => void sent.push(content as Request) });
  for (let k = 0; k < 20; k += 1) void roads.request(request(`ack${k}`, "ack"), false);
  assert.equal(sent.length, 4);
  void roads.request(request("stop", "command"), true);
  assert.equal(sent.at(-1)?.id, "stop");
  roads.dispose();
});
