// Who did what, newest first: asked for only while it is unfolded. Rows are text and nothing else.
import type { Send } from "../client.ts";
import { h, setAttr, setText, show } from "../dom.ts";
import type { Store } from "../store.ts";
import { lines } from "./events.ts";

export function audit(el: HTMLElement, store: Store, send: Send): () => void {
  const { state } = store;
  const self = {};
  let open = false;
  const { list, set } = lines("Who did what, newest first");
  const none = h("p", { class: "nbm-quiet" });
  const fold = h("button", {
    type: "button", class: "nbm-fold", "data-action": "audit", "aria-expanded": "false",
    title: "The latest rows of the audit log. All of it, checked and as a table: nbmonitor audit --csv",
  }, h("i"), "Who did what");
  fold.addEventListener("click", () => {
    open = !open;
    setAttr(fold, "aria-expanded", String(open));
    state.audit = null; // of a while ago
    send.audit(self, open);
    update();
  });
  el.append(h("h3", {}, fold), list, none);

  function update(): void {
    const told = open ? state.audit : null;
    show(el, state.runs.length > 0);
    set(told?.lines ?? []);
    show(list, (told?.lines.length ?? 0) > 0);
    setText(none, !told ? "Asking…" : told.why || "Nobody has done anything yet.");
    show(none, open && list.hidden);
  }

  update();
  const off = store.subscribe((topics) => { if (topics.has("audit") || topics.has("runs")) update(); });
  return () => {
    send.audit(self, false);
    off();
  };
}
