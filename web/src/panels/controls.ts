// The controls of the run, each present only where the run registered what it acts upon. Never optimistic: a button
// says "asked…" until the receipt of its command arrives, and a refusal stands beside it in words.
import type { Send } from "../client.ts";
import { h, setAttr, setText, show } from "../dom.ts";
import { num, plain } from "../format.ts";
import type { CommandKind } from "../messages.ts";
import { subscribeSlowly } from "../pace.ts";
import { standing } from "../standing.ts";
import { type Asked, ENDED, type Store } from "../store.ts";
import { actionButton, icons } from "./buttons.ts";
import { numberField } from "./field.ts";
import { wheelControl, wheelWords } from "./wheel.ts";

const PATIENCE = 10_000; // ms after which an unanswered button may be pressed again
const REFUSAL_SHOWN = 15_000;
const BESIDE = 48; // characters that still fit beside a button

const NAMES: Record<string, string> = { pause: "Pause", stop: "Stop", lr: "Learning rate", batch: "Batch size", wheel: "Wheel" };

export function controls(el: HTMLElement, store: Store, send: Send): () => void {
  const { state } = store;
  let steerable = false;
  let reachable = false;
  let stopping = false;
  let asking = "";

  const latest = (control: string): Asked | undefined =>
    [...state.asked.values()].filter((asked) => asked.control === control).at(-1);
  const pending = (asked: Asked | undefined): boolean => {
    if (asked === undefined || asked.done) return false;
    // The run's own state is as good a receipt, and may come a frame earlier than the line in the event list.
    const now = state.run?.state;
    if (asked.kind === "pause") return now !== "paused";
    if (asked.kind === "resume") return now === "paused";
    return true;
  };
  const waits = (control: string): boolean => {
    const asked = latest(control);
    return asked !== undefined && pending(asked) && Date.now() - asked.at < PATIENCE;
  };
  const act = (kind: CommandKind, params: Record<string, unknown>, control: string): void => {
    if (steerable && !waits(control)) send.command(kind, params, control);
  };

  /**
   * What stands beside a control: nothing, "asked…" once that takes longer than a blink, or a refusal. A long refusal
   * goes below all controls, on a line of its own: no button may move away under the pointer.
   */
  function said(control: string, node: HTMLElement, home: HTMLElement): void {
    const asked = latest(control);
    const age = asked ? Date.now() - asked.at : 0;
    let words = "";
    if (pending(asked)) words = age > 2000 ? `asked ${Math.round(age / 1000)} s ago…` : age > 200 ? "asked…" : "";
    else if (asked && !asked.ok && age < REFUSAL_SHOWN) words = asked.words;
    if (!reachable) words = ""; // over or cut off: that is said where it is said once, for all controls
    const long = words.length > BESIDE;
    setText(node, long ? `${NAMES[control] ?? ""} ${words}`.trim() : words);
    if (node.parentElement !== (long ? below : home)) (long ? below : home).append(node);
    setAttr(node, "data-tone", asked?.done ? "bad" : "quiet");
    show(node, words !== "");
  }

  const pause = actionButton("pause", "Pause", icons.pause, () => {
    const paused = state.run?.state === "paused";
    act(paused ? "resume" : "pause", {}, "pause");
  });
  pause.node.classList.add("nbm-main");
  const pauseSaid = h("span", { class: "nbm-said", role: "status" });

  const stop = actionButton("stop", "Stop", icons.stop, () => { if (steerable) askStop(true); });
  const yes = actionButton("stop-yes", "Yes", null, () => { askStop(false); act("stop", {}, "stop"); });
  const no = actionButton("stop-no", "No", null, () => askStop(false));
  const question = h("span", { class: "nbm-confirm", role: "group", "aria-label": "Stop the run?" },
    h("span", {}, "Stop?"), yes.node, no.node);
  question.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    askStop(false);
  });
  const stopSaid = h("span", { class: "nbm-said", role: "status" });

  function askStop(open: boolean, byPerson = true): void {
    const moved = stopping !== open && (byPerson || question.contains(document.activeElement));
    stopping = open;
    show(question, open);
    show(stop.node, !open);
    if (moved) (open ? no.node : stop.node).focus({ preventScroll: true });
  }

  const below = h("div", { class: "nbm-below" });

  const rate = numberField({
    label: "Learning rate", input: "lr", action: "lr-set",
    submit: (value) => act("set_learning_rate", { value, mode: "set" }, "lr"),
  });
  const scale = (factor: number) => (): void => act("set_learning_rate", { value: factor, mode: "scale" }, "lr");
  const steps = [
    actionButton("lr-div10", "÷ 10", null, scale(0.1)),
    actionButton("lr-div2", "÷ 2", null, scale(0.5)),
    actionButton("lr-mul2", "× 2", null, scale(2)),
  ];
  const names = ["Divide the learning rate by 10", "Halve the learning rate", "Double the learning rate"];
  steps.forEach((step, index) => step.node.setAttribute("aria-label", names[index] ?? ""));
  const pin = actionButton("lr-pin", "pin", null, () => {
    const value = num(state.run?.controls.learning_rate?.value);
    act("set_learning_rate", { value, mode: isPinned() ? "release" : "pin" }, "lr");
  });
  pin.node.title = "Hold the learning rate where it is, whatever the schedule says";
  rate.after.append(h("span", { class: "nbm-seg" }, ...steps.map((step) => step.node), pin.node));
  const rateSaid = h("span", { class: "nbm-said", role: "status" });

  const batch = numberField({
    label: "Batch size", input: "batch", action: "batch-set",
    submit: (value) => act("set_batch_size", { value }, "batch"),
  });
  const batchSaid = h("span", { class: "nbm-said", role: "status" });
  const wheel = wheelControl(store, send);
  const why = h("span", { class: "nbm-why", id: `${wheel.words.id}-why` });

  el.setAttribute("role", "group");
  el.setAttribute("aria-label", "Controls of the run");
  el.setAttribute("aria-describedby", `${why.id} ${wheel.words.id}`); // why nothing can be pressed
  const group = (...nodes: HTMLElement[]): HTMLElement => h("span", { class: "nbm-group" }, ...nodes);
  const homes = {
    pause: group(pause.node), stop: group(stop.node, question), lr: group(rate.node), batch: group(batch.node),
  };
  el.append(...Object.values(homes), why, wheel.node, below);

  let pinned = false; // what this page asked for last; the kernel's own word, where it says so, is above it
  const isPinned = (): boolean => state.run?.controls.learning_rate?.pinned ?? pinned;

  function update(): void {
    const { run } = state;
    show(el, run !== null);
    if (!run) return;
    const { controls: has } = run;
    // A run that is over can be opened again by its loop, not from here.
    ({ reachable } = standing(state));
    const held = run.wheel !== null && !run.wheel.mine;
    setAttr(el, "data-held", run.wheel !== null);
    const could = run.steerable && reachable;
    steerable = could && !held;
    const which = `${run.id} ${ENDED.has(run.state)}`;
    if (which !== asking) { // a question about another run, or about one that is over, is not to be answered
      asking = which;
      pinned = false;
      if (stopping) askStop(false, false);
    }
    const paused = run.state === "paused";

    show(pause.node, has.pause === true);
    setAttr(pause.node, "data-action", paused ? "resume" : "pause");
    pause.label(waits("pause") ? "asked…" : paused ? "Resume" : "Pause");
    pause.icon(paused ? icons.play : icons.pause);
    pause.enable(steerable && !waits("pause"));
    said("pause", pauseSaid, homes.pause);
    if (waits("pause")) show(pauseSaid, false); // the button itself says it

    if ((has.stop !== true || !steerable) && stopping) askStop(false, false);
    show(stop.node, has.stop === true && !stopping);
    show(question, stopping);
    stop.label(waits("stop") ? "asked…" : run.state === "stopping" ? "Stop now" : "Stop");
    stop.enable(steerable && !waits("stop"));
    said("stop", stopSaid, homes.stop);
    if (waits("stop")) show(stopSaid, false);

    const lr = has.learning_rate;
    show(rate.node, lr !== undefined);
    if (lr) {
      const asked = latest("lr");
      if (asked?.done && asked.ok && asked.kind === "set_learning_rate") pinned = asked.mode === "pin" || (pinned && asked.mode !== "release");
      rate.value(plain(num(lr.value)), steerable);
      for (const step of steps) step.enable(steerable && !waits("lr"));
      show(pin.node, lr.scheduled);
      setAttr(pin.node, "aria-pressed", String(isPinned()));
      pin.enable(steerable && !waits("lr"));
    }
    said("lr", rateSaid, homes.lr);

    const size = has.batch_size;
    show(batch.node, size !== undefined);
    if (size) batch.value(String(size.value), steerable);
    said("batch", batchSaid, homes.batch);

    const any = Object.keys(has).length > 0;
    wheel.update(could && any, waits("wheel"));
    said("wheel", wheel.said, wheel.node);
    if (waits("wheel")) show(wheel.said, false);

    // Of a run that is over the header says so; beside the buttons it would only take their room.
    const over = ENDED.has(run.state) || state.health.state === "gone";
    const reason = !run.steerable ? run.why : !reachable && !over ? "No connection: the buttons work again when it is back." : "";
    setText(why, any && !over ? reason : "");
    setAttr(el, "title", reason || (held ? wheelWords(run.wheel, state.health.offset) : null));
    show(why, why.textContent !== "");
  }

  show(question, false);
  update();
  // Time alone changes what is said: "asked 4 s ago…", a refusal that fades.
  const timer = setInterval(() => { if (state.asked.size > 0) update(); }, 250);
  const off = subscribeSlowly(store, ["run", "commands", "link"], ["health"], update);
  return () => {
    clearInterval(timer);
    off();
  };
}
