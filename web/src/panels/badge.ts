// How alive the connection is, in a few words; the facts behind them in the tooltip.
import { h, setAttr, setText } from "../dom.ts";
import { count, duration, milliseconds } from "../format.ts";
import { subscribeSlowly } from "../pace.ts";
import type { PerfView } from "../messages.ts";
import { trouble } from "../standing.ts";
import type { State, Store } from "../store.ts";

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

const many = (n: number, what: string) => `${n > 0 ? count(n) : "no"} ${what}${n === 1 ? "" : "s"}`;

/** The road to the trainer, in sentences; `now` in epoch seconds of this page. */
export function road({ link, health, run }: Pick<State, "link" | "health" | "run">, now: number): string[] {
  if (!link) return [];
  const trip = link.rttMs === null ? "" : `, ${milliseconds(link.rttMs)} there and back`;
  const where = { kernel: "The run is in this kernel", process: "The trainer reports to this kernel", remote: `Attached to ${link.address}` };
  const age = health.event === null ? NaN : now - health.event;
  return [
    trouble({ link, health }, now),
    `${where[link.kind]}${trip}${link.kind === "kernel" ? "" : `, ${many(link.reconnects, "reconnect")}`}.`,
    run && Number.isFinite(age) ? `Last event ${age < 1 ? "just now" : `${duration(age)} ago`}.` : "",
    link.quiet !== null && link.state === "connected" ? `No sign of life for ${duration(now - link.quiet - health.offset)}.` : "",
    `Left out on purpose: ${many(link.dropped, "picture")}; lost: ${many(link.lost, "value")}.`,
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
    const now = Date.now() / 1000;
    if (health.state === "gone") return ["kernel gone", "bad"];
    if (health.state === "stale") return [`no word for ${health.silence} s`, "hold"];
    if (health.state === "waiting") return ["connecting", "quiet"];
    if (link && (link.state === "disconnected" || link.state === "stale")) {
      const begun = link.since === null ? "" : ` for ${duration(now - link.since - health.offset)}`;
      return link.state === "stale" ? [`silent${begun}`, "hold"] : [`no connection${begun}`, "bad"];
    }
    const parts = [link?.state === "degraded" ? "slow link" : "live"];
    const trip = link?.rttMs ?? health.rtt;
    if (trip !== null && trip !== undefined) parts.push(milliseconds(trip));
    if (health.road === "none" && health.rtt !== null) parts.push("buttons unheard");
    if (perf?.overhead !== null && perf?.overhead !== undefined) parts.push(`costs ${percent(perf.overhead)} of a step`);
    return [parts.join(" · "), link?.state === "degraded" ? "hold" : "good"];
  }

  function update(): void {
    const { health, perf } = state;
    const [say, tone] = words();
    setText(text, say);
    setAttr(body, "data-tone", tone);
    const lines = [
      ...road(state, Date.now() / 1000),
      `Buttons travel by ${ROADS[health.road]}.`,
      health.rtt === null ? "" : `The kernel answers in ${milliseconds(health.rtt)}.`,
      `Pictures painted ${health.paintedPerSecond} /s, ${count(health.painted)} in all.`,
      `Frames sent ${count(health.sent)}, received ${count(health.received)}, missed ${count(health.missed)}.`,
      ...budget(perf),
    ];
    setText(facts, lines.filter(Boolean).join("\n"));
  }

  update();
  return subscribeSlowly(store, ["link"], ["health", "perf"], update);
}
