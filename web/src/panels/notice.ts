// What a person has to know in words: no run yet, no data yet, silence, a run that failed, a kernel that is gone.
import { h, setAttr, setText, show } from "../dom.ts";
import { clock, duration } from "../format.ts";
import { subscribeSlowly } from "../pace.ts";
import { ENDED, type Store } from "../store.ts";

type Notice = { tone: "quiet" | "hold" | "bad"; words: string; code?: string[]; big?: boolean };

/** What the kernel says in passing, as a sentence of its own. */
export function sentence(text: string): string {
  const words = text.trim();
  if (words === "") return "";
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}${/[.!?…:]$/.test(words) ? "" : "."}`;
}

const PATIENCE = 15; // s without any word from the kernel after which waiting alone is no advice

export function noticeFor(store: Store): Notice | null {
  const { health, known, run, perf, link, curves, batch } = store.state;
  if (health.state === "gone") {
    return {
      tone: "bad",
      words: `Kernel gone at ${clock(health.heard, false)}. What is shown is from then; to watch again, run`,
      code: ["%nbmonitor"],
      big: !known,
    };
  }
  if (!known) {
    if (health.state === "waiting" && health.silence >= PATIENCE) {
      return {
        tone: "hold",
        words: `No word from the kernel for ${health.silence} s. If a cell is running, the dashboard comes when it ends; `
          + "if the kernel is idle or was started anew, run this in a cell:",
        code: ["%nbmonitor"],
        big: true,
      };
    }
    return health.road === "none" && health.state !== "live"
      ? { tone: "quiet", words: "Waiting for the kernel’s first word. If a cell is running, it may come when that cell ends.", big: true }
      : { tone: "quiet", words: "Connected. Waiting for the first picture of the run.", big: true };
  }
  if (health.state === "stale") {
    return { tone: "hold", words: `No word from the kernel for ${health.silence} s.` };
  }
  if (run === null) {
    return {
      tone: "quiet",
      words: "No run yet. A training that does this appears here:",
      code: [
        "run = nbmonitor.init(\"my-run\")",
        "for x, y in run.track(loader):",
        "    loss = train_step(x, y)",
        "    run.log(loss=loss)",
      ],
      big: true,
    };
  }
  if (run.state === "lost") return { tone: "bad", words: sentence(run.message ? `Lost: ${run.message}` : "The run was lost: its process is gone") };
  if (link && link.state === "disconnected") {
    const age = link.lastEventAge === null ? "" : ` Last word ${duration(link.lastEventAge)} ago.`;
    return { tone: "bad", words: `${sentence(link.message || `The trainer${link.address ? ` at ${link.address}` : ""} cannot be reached`)}${age}` };
  }
  if (link && link.state === "stale" && !ENDED.has(run.state)) {
    const age = link.lastEventAge === null ? "" : ` for ${duration(link.lastEventAge)}`;
    return { tone: "hold", words: sentence(link.message || `No word from the trainer${age}`) };
  }
  if (run.state === "failed") return { tone: "bad", words: run.message ? `Failed: ${run.message}` : "Failed." };
  if (perf?.silent != null && run.state === "running") {
    return { tone: "hold", words: `No step for ${duration(perf.silent)}. The process lives; its loop does not move.` };
  }
  if (run.message && ENDED.has(run.state)) return { tone: "quiet", words: run.message };
  if (curves.all().length === 0 && batch === null && !ENDED.has(run.state)) {
    return { tone: "quiet", words: "Nothing logged yet. Curves and pictures come from:", code: ["run.log(loss=loss)", "run.log_batch(x, logits=logits, targets=y)"], big: true };
  }
  return null;
}

export function notice(el: HTMLElement, store: Store): () => void {
  const words = h("p");
  const code = h("pre");
  el.append(words, code);
  el.setAttribute("role", "status");

  function update(): void {
    const now = noticeFor(store);
    show(el, now !== null);
    setText(words, now?.words ?? "");
    const text = now?.code?.join("\n") ?? "";
    if (code.textContent !== text) code.textContent = text;
    show(code, text !== "");
    setAttr(el, "data-tone", now?.tone ?? null);
    setAttr(el, "data-big", now?.big ?? false);
    setAttr(el, "data-inline", text !== "" && !text.includes("\n"));
    el.closest(".nbm")?.toggleAttribute("data-dim", store.state.health.state === "gone");
  }

  update();
  return subscribeSlowly(store, ["run", "link"], ["health", "perf", "series", "tiles"], update);
}
