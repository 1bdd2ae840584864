// What happened and what was asked, newest first, each command with its before and after.
import { h, setAttr, setText, show } from "../dom.ts";
import { clock } from "../format.ts";
import type { EventView } from "../messages.ts";
import type { Store } from "../store.ts";

const SHOWN = 100;
const SIGN: Record<EventView["mark"], string> = { ok: "✓", no: "✕", wait: "…", warn: "!", "": "" };
const SPOKEN: Record<EventView["mark"], string> = { ok: "done", no: "refused", wait: "waiting", warn: "warning", "": "" };

function line(event: EventView): HTMLLIElement {
  const change = event.before !== undefined || event.after !== undefined;
  const arrow = [event.before, event.after].filter((side) => side !== undefined && side !== "").join(" → ");
  const text = h("span", { class: "nbm-what" }, event.text,
    change ? " " : null, change ? h("b", {}, arrow) : null, event.tail ? ` ${event.tail}` : null);
  const sign = h("span", { class: "nbm-sign", "data-mark": event.mark || null }, SIGN[event.mark] ?? "");
  if (SPOKEN[event.mark]) {
    sign.setAttribute("role", "img");
    sign.setAttribute("aria-label", SPOKEN[event.mark]);
  }
  return h("li", {
    "data-event": event.id, "data-command": event.command, "data-mark": event.mark, "data-kind": event.kind,
  }, h("time", { class: "nbm-quiet" }, clock(event.time)), sign, text, h("span", { class: "nbm-quiet nbm-by" }, event.who ?? ""));
}

/** A list of lines and what sets it, newest first: lines that stay keep their place, one that grew is replaced. */
export function lines(label: string): { list: HTMLOListElement; set(newest: EventView[]): void } {
  const list = h("ol", { class: "nbm-ev nbm-num", "aria-label": label, tabindex: 0 });
  const drawn = new Map<string, { event: EventView; node: HTMLLIElement }>();
  function set(newest: EventView[]): void {
    const ids = new Set(newest.map((event) => event.id));
    for (const [id, held] of drawn) {
      if (ids.has(id)) continue;
      held.node.remove();
      drawn.delete(id);
    }
    newest.forEach((event, index) => {
      let held = drawn.get(event.id);
      if (held && held.event !== event) {
        const node = line(event); // a receipt grows in place
        held.node.replaceWith(node);
        held = { event, node };
        drawn.set(event.id, held);
      }
      if (!held) {
        held = { event, node: line(event) };
        drawn.set(event.id, held);
      }
      if (list.children[index] !== held.node) list.insertBefore(held.node, list.children[index] ?? null);
    });
    setAttr(list, "data-count", newest.length);
  }
  return { list, set };
}

export function events(el: HTMLElement, store: Store): () => void {
  const { state } = store;
  const { list, set } = lines("Events, newest first");
  const more = h("span", { class: "nbm-quiet" });
  el.append(h("div", { class: "nbm-hd" }, h("h3", {}, "Events"), more), list);

  function update(): void {
    show(el, state.events.length > 0);
    const newest = [...state.events].reverse().slice(0, SHOWN);
    set(newest);
    const hidden = state.events.length - newest.length;
    setText(more, hidden > 0 ? `the latest ${newest.length} of ${state.events.length}` : "");
  }

  update();
  return store.subscribe((topics) => { if (topics.has("events")) update(); });
}
