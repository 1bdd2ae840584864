// What a person has to know in words: no run yet, no data yet, silence, a run that failed, a kernel that is gone.
import { h, setAttr, setText, show } from "../dom.ts";
import { clock, duration } from "../format.ts";
import { subscribeSlowly } from "../pace.ts";
import { sentence, trouble } from "../standing.ts";
import { ENDED, type Store } from "../store.ts";

type Notice = { tone: "quiet" | "hold" | "bad"; words: string; code?: string[]; big?: boolean };

const PATIENCE = 15; // s without any word from the kernel after which waiting alone is no advice

export function noticeFor(store: Store, now = Date.now() / 1000): Notice | null {
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
  const away = trouble(store.state, now);
  if (run === null && link?.state === "disconnected") return { tone: "bad", words: away, big: true };
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
  if (run.state === "lost") {
    const words = sentence(run.message ? `Lost: ${run.message}` : "The run was lost: its process is gone");
    return { tone: "bad", words: link?.state === "disconnected" ? `${words} ${away}` : words };
  }
  if (away && link?.state !== "degraded") return { tone: link?.state === "stale" ? "hold" : "bad", words: away };
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
    const { health, link } = store.state;
    const root = el.closest(".nbm");
    if (root) setAttr(root, "data-dim", health.state === "gone" ? "all" : link?.state === "disconnected" ? "body" : null);
  }

  update();
  return subscribeSlowly(store, ["run", "link"], ["health", "perf", "series", "tiles"], update);
}
