// Who alone may steer. Nobody: one quiet button. Somebody else: their name and since when, and "Take". This viewer: let
// go, lock, hand over. Never optimistic: who has the wheel is what the run's description says.
import type { Send } from "../client.ts";
import { h, setAttr, setText, show } from "../dom.ts";
import { clock } from "../format.ts";
import type { Wheel } from "../messages.ts";
import type { State, Store } from "../store.ts";
import { actionButton, icons, type ActionButton } from "./buttons.ts";

/** "ada has the wheel since 14:07"; "" where nobody has. */
export function wheelWords(wheel: Wheel | null | undefined, offset: number): string {
  if (!wheel) return "";
  const since = wheel.since > 0 ? ` since ${clock(wheel.since + offset, false)}` : "";
  return `${wheel.mine ? "You have" : `${wheel.by} has`} the wheel${since}${wheel.locked ? ", locked" : ""}`;
}

/** Who else was seen here, to be handed the wheel. */
export function others({ events, audit }: Pick<State, "events" | "audit">): string[] {
  const seen = [...events.map((event) => event.who ?? ""), ...(audit?.lines ?? []).map((line) => line.who ?? "")];
  return [...new Set(seen.map((who) => who.split(" · ")[0] ?? ""))].filter((who) => who !== "" && who !== "you").sort();
}

export type WheelControl = { node: HTMLElement; words: HTMLElement; said: HTMLElement; update(ready: boolean, waits: boolean): void };

export function wheelControl(store: Store, send: Send): WheelControl {
  const { state } = store;
  const words = h("span", { class: "nbm-said", role: "status", id: `nbm-wheel-${Math.random().toString(36).slice(2)}` });
  const said = h("span", { class: "nbm-said", role: "status" });
  const names = h("datalist", { id: `nbm-names-${Math.random().toString(36).slice(2)}` });
  const to = h("input", { type: "text", "data-input": "wheel-to", "aria-label": "Name of who gets the wheel", placeholder: "name", maxlength: 100, list: names.id });
  let busy = false;
  let giving = false;
  const ask = (mode: string, more = {}): void => {
    if (!busy) send.command("wheel", { mode, ...more }, "wheel");
  };
  const take = actionButton("wheel-take", "", icons.wheel, () => ask("take"));
  take.node.title = "Take the wheel: nobody else can steer until you let go, or they take it";
  const release = actionButton("wheel-release", "Let go", null, () => ask("release"));
  const lock = actionButton("wheel-lock", "Lock", null, () => ask(state.run?.wheel?.locked ? "unlock" : "lock"));
  lock.node.title = "A locked wheel cannot be taken, only handed over";
  const give = actionButton("wheel-give", "Hand over…", null, () => {
    if (giving && to.value.trim() !== "") ask("give", { to: to.value.trim() });
    open(!giving);
  });
  const buttons: ActionButton[] = [take, release, lock, give];

  function open(now: boolean): void {
    giving = now;
    to.value = "";
    show(to, giving);
    give.label(giving ? "Hand over" : "Hand over…");
    names.replaceChildren(...others(state).map((who) => h("option", { value: who })));
    if (giving) to.focus({ preventScroll: true });
  }
  to.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the notebook's own shortcuts must not hear what is typed here
    if (event.key === "Enter") give.node.click();
    if (event.key !== "Escape") return;
    open(false);
    give.node.focus({ preventScroll: true });
  });

  open(false);
  const node = h("span", { class: "nbm-group nbm-wheel" }, words, ...buttons.slice(0, 3).map((one) => one.node), to, give.node, names, said);
  return {
    node,
    words,
    said,
    update(ready, waits) {
      const wheel = state.run?.wheel;
      const focused = node.contains(document.activeElement) ? (document.activeElement as HTMLElement) : null;
      const mine = wheel?.mine === true;
      busy = waits || !ready;
      if (giving && !mine) open(false);
      setText(words, wheelWords(wheel, state.health.offset));
      setAttr(words, "data-tone", wheel && !mine ? "hold" : null);
      show(words, words.textContent !== "");
      // The notebook that the run reports to may take it in any case: a lock must not hold a run for ever.
      show(take.node, ready && !mine && !(wheel?.locked && state.link?.kind === "remote"));
      take.label(waits ? "asked…" : wheel ? "Take" : ""); // nobody has it: no more than a small picture
      setAttr(take.node, "aria-label", waits || wheel ? null : "Take the wheel");
      lock.label(wheel?.locked ? "Unlock" : "Lock");
      for (const one of buttons) {
        if (one !== take) show(one.node, ready && mine);
        one.enable(!waits);
      }
      // The button that was pressed goes when its wish comes true: whoever pressed it by key goes on from the next one.
      if (focused?.hidden) buttons.find((one) => !one.node.hidden)?.node.focus({ preventScroll: true });
    },
  };
}
