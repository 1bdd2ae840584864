// How alive the connection is, in a few words; the facts behind them in the tooltip.
import { h, setAttr, setText } from "../dom.ts";
import { count, duration, milliseconds } from "../format.ts";
import { subscribeSlowly } from "../pace.ts";
import type { PerfView } from "../messages.ts";
import type { Store } from "../store.ts";

const ROADS = {
  control: "the kernel's control channel (works while a cell runs)",
  comm: "the comm (the control channel does not answer)",
  none: "none: the kernel answers no request",
};

const percent = (share: number) => (share < 0.0005 ? "< 0.1 %" : `${(share * 100).toFixed(1)} %`);

/** What the training pays, in sentences. */
export function budget(perf: PerfView | null): string[] {
  if (!perf) return [];
  const { overhead, delay, workerCpu, limits } = perf;
  return [
    overhead === null ? "" : `Of a step, ${percent(overhead - (delay ?? 0))} goes into calls, ${percent(delay ?? 0)} into the boundary.`,
    workerCpu === null ? "" : `The monitor's threads take ${percent(workerCpu)} of a core beside it.`,
    limits ? `To keep within the budget: ${limits}.` : "",
  ];
}

export function badge(el: HTMLElement, store: Store): () => void {
  const { state } = store;
  const dot = h("i");
  const text = h("span", { class: "nbm-num" });
  const facts = h("span", { class: "nbm-tip nbm-num", role: "tooltip", id: `nbm-tip-${Math.random().toString(36).slice(2)}` });
  const body = h("span", {
    class: "nbm-live", tabindex: 0, role: "note", "aria-describedby": facts.id,
  }, dot, text);
  el.append(body, facts);

  function words(): [string, string] {
    const { health, link, perf } = state;
    if (health.state === "gone") return ["kernel gone", "bad"];
    if (health.state === "stale") return [`no word for ${health.silence} s`, "hold"];
    if (health.state === "waiting") return ["connecting", "quiet"];
    if (link?.state === "disconnected") return ["trainer not connected", "bad"];
    if (link?.state === "stale") return ["trainer silent", "hold"];
    const parts = [link?.state === "degraded" ? "slow link" : "live"];
    const trip = link?.rttMs ?? health.rtt;
    if (trip !== null && trip !== undefined) parts.push(milliseconds(trip));
    if (health.road === "none" && health.rtt !== null) parts.push("buttons unheard");
    if (perf?.overhead !== null && perf?.overhead !== undefined) parts.push(`costs ${percent(perf.overhead)} of a step`);
    return [parts.join(" · "), link?.state === "degraded" ? "hold" : "good"];
  }

  function update(): void {
    const { health, link, perf } = state;
    const [say, tone] = words();
    setText(text, say);
    setAttr(body, "data-tone", tone);
    const dropped = health.missed + (link?.dropped ?? 0);
    const lines = [
      `Buttons travel by ${ROADS[health.road]}.`,
      health.rtt === null ? "" : `The kernel answers in ${milliseconds(health.rtt)}.`,
      link && link.kind !== "kernel"
        ? `Trainer: ${link.address || link.kind}${link.rttMs === null ? "" : `, ${milliseconds(link.rttMs)} away`}`
          + `${link.reconnects > 0 ? `, ${count(link.reconnects)} reconnects` : ""}.`
        : "",
      link?.lastEventAge != null && link.lastEventAge > 2 ? `Last event ${duration(link.lastEventAge)} ago.` : "",
      `Pictures painted ${health.paintedPerSecond} /s, ${count(health.painted)} in all.`,
      `Frames sent ${count(health.sent)}, received ${count(health.received)}, dropped ${count(dropped)}.`,
      link?.message ?? "",
      ...budget(perf),
    ];
    setText(facts, lines.filter(Boolean).join("\n"));
  }

  update();
  return subscribeSlowly(store, ["link"], ["health", "perf"], update);
}
