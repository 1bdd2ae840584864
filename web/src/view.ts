// One view: the frame of the dashboard, its panels, its theme, whether a person can see it, and the snapshot it stands
// in for. Everything that outlives a view is in client.ts.
import type { Client, Send } from "./client.ts";
import { h, setAttr } from "./dom.ts";
import { subscribeSlowly } from "./pace.ts";
import { audit } from "./panels/audit.ts";
import { badge } from "./panels/badge.ts";
import { controls } from "./panels/controls.ts";
import { curves } from "./panels/curves.ts";
import { events } from "./panels/events.ts";
import { header } from "./panels/header.ts";
import { machine } from "./panels/machine.ts";
import { notice } from "./panels/notice.ts";
import { tiles } from "./panels/tiles.ts";
import type { Store } from "./store.ts";
import { watchTheme } from "./theme.ts";

export type Panel = (el: HTMLElement, store: Store, send: Send) => () => void;

/** The panels, in the order in which they are read; `in` names the row that holds them. */
const PANELS: { name: string; tag: "div" | "section"; in: "top" | "bar" | "body" | "foot"; panel: Panel }[] = [
  { name: "header", tag: "div", in: "top", panel: header },
  { name: "controls", tag: "div", in: "bar", panel: controls },
  { name: "badge", tag: "div", in: "bar", panel: badge },
  { name: "notice", tag: "div", in: "top", panel: notice },
  { name: "curves", tag: "section", in: "body", panel: curves },
  { name: "tiles", tag: "section", in: "body", panel: tiles },
  { name: "machine", tag: "section", in: "foot", panel: machine },
  { name: "events", tag: "section", in: "foot", panel: events },
  { name: "audit", tag: "section", in: "foot", panel: audit },
];

/** While a view is alive its output area hides the static snapshot beside it (styles.css). */
function standIn(root: HTMLElement): (alive: boolean) => void {
  let area: Element | null = null;
  return (alive) => {
    const now =
      root.closest(".jp-OutputArea") ??
      root.closest(".output_area")?.parentElement ??
      root.closest(".nbm-output") ??
      null;
    if (area !== now) area?.classList.remove("nbm-alive");
    area = now;
    if (!area) return;
    // Two views may share one output area: the last living one decides.
    const others = [...area.querySelectorAll(".nbm[data-alive]")].some((one) => one !== root);
    setAttr(root, "data-alive", alive);
    area.classList.toggle("nbm-alive", alive || others);
  };
}

export function createView(host: HTMLElement, client: Client): () => void {
  const { store, send } = client;
  const { state } = store;
  const self = {};
  const rows = {
    top: h("div", { class: "nbm-top" }),
    bar: h("div", { class: "nbm-ctl" }),
    body: h("div", { class: "nbm-body" }),
    foot: h("div", { class: "nbm-foot" }),
  };
  const head = h("div", { class: "nbm-lid" });
  const root = h("div", { class: "nbm", role: "region", "aria-label": "Training monitor" });
  root.append(head, rows.body, rows.foot);
  head.append(rows.top, rows.bar);
  host.append(root);

  const disposals: (() => void)[] = [];
  const sections: { name: string; el: HTMLElement; row: HTMLElement }[] = [];
  for (const { name, tag, in: row, panel } of PANELS) {
    const el = h(tag, { class: `nbm-panel nbm-${name}` });
    if (name === "notice") head.append(el);
    else rows[row].append(el);
    if (tag === "section") sections.push({ name, el, row: rows[row] });
    disposals.push(panel(el, store, send));
  }

  /** Which panels of a row have nothing to show. Told in an attribute: a rule with `:has` is tried at every change. */
  function lay(): void {
    for (const row of [rows.body, rows.foot]) {
      const inside = sections.filter((one) => one.row === row);
      const without = inside.filter((one) => one.el.hidden).map((one) => one.name);
      setAttr(row, "data-without", without.length === inside.length ? "all" : without.join(" ") || null);
    }
  }

  const hideSnapshot = standIn(root);
  function update(): void {
    const { health, run, perf, link } = state;
    setAttr(root, "data-state", run?.state ?? "none");
    setAttr(root, "data-run", run?.id ?? null);
    setAttr(root, "data-step", perf?.step ?? null);
    setAttr(root, "data-epoch", perf?.epoch ?? null);
    setAttr(root, "data-frames", health.received);
    setAttr(root, "data-painted", health.painted);
    setAttr(root, "data-road", health.road);
    setAttr(root, "data-link", link?.state ?? null);
    setAttr(root, "data-health", health.state);
    hideSnapshot(state.known && health.state !== "gone");
  }
  disposals.push(store.subscribe(lay)); // after the panels' own
  disposals.push(subscribeSlowly(store, ["run", "runs", "link"], ["health", "perf", "picture"], update));
  disposals.push(
    watchTheme((theme) => {
      setAttr(root, "data-theme", theme);
      store.touch("theme");
    }),
  );

  const seen = new IntersectionObserver(([entry]) => {
    client.view(self, entry?.isIntersecting ?? false);
  });
  seen.observe(root);
  disposals.push(() => seen.disconnect());
  lay();
  update();

  return () => {
    client.view(self, null);
    for (const dispose of disposals) dispose();
    hideSnapshot(false);
    root.remove();
  };
}
