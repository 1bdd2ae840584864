// What is running and how far it is: state in words, name, progress with the time left, speed.
import type { Send } from "../client.ts";
import { chartTitle, sideOf, valueText } from "../grouping.ts";
import { h, setAttr, setText, show, svg } from "../dom.ts";
import { clock, count, duration, rate, shorten } from "../format.ts";
import type { PerfView, RunView } from "../messages.ts";
import { subscribeSlowly } from "../pace.ts";
import { standing, WORDS } from "../standing.ts";
import { ENDED, type Store } from "../store.ts";

/** A number as wide as the largest it can become, so that what stands beside it stays where it is. */
function padded(value: number, limit: number | null): string {
  const text = count(value);
  return limit === null ? text : text.padStart(count(limit).length, "\u2007");
}

/** How long ago, in one unit. */
const age = (seconds: number): string => duration(seconds).split(" ").slice(0, 2).join(" ");

function line(...parts: [string, boolean][]): HTMLElement[] {
  return parts.map(([text, strong]) => h(strong ? "b" : "span", {}, text));
}

export function header(el: HTMLElement, store: Store, send: Send): () => void {
  const { state } = store;
  const word = h("span");
  const pill = h("span", { class: "nbm-pill", role: "status", "aria-live": "polite" }, h("i"), word);
  const name = h("span", { class: "nbm-name" });
  // The list says much of each run, its face the name alone: the select lies, unseen, over the name.
  const choice = h("select", { "aria-label": "Run that is shown", "data-input": "run" });
  choice.addEventListener("change", () => void send("follow", { run: choice.value === "" ? null : choice.value }));
  choice.addEventListener("blur", () => showRuns());
  const arrow = svg("0 0 10 6", "M1 1l4 4 4-4", { fill: "none", stroke: "currentColor" });
  const pick = h("span", { class: "nbm-pick" }, name, arrow, choice);
  const progress = h("span", { class: "nbm-fact nbm-where nbm-num" });
  const facts = h("span", { class: "nbm-facts nbm-num" });
  const speed = h("b", { class: "nbm-num" });
  const unit = h("small", { class: "nbm-num" });
  const average = h("small", { class: "nbm-num nbm-average" });
  const samples = h("small", { class: "nbm-num nbm-samples" });
  const fps = h("span", { class: "nbm-fps", title: "Training batches per second" }, speed, unit, average, samples);
  const fill = h("i");
  const bar = h("div", {
    class: "nbm-bar", role: "progressbar", "aria-label": "Progress of the run",
    "aria-valuemin": 0, "aria-valuemax": 100,
  }, fill);
  const head = h("div", { class: "nbm-head" },
    h("span", { class: "nbm-who" }, pill, pick), progress, facts, fps);
  el.append(head, bar);

  function showProgress(run: RunView, perf: PerfView): void {
    const parts: [string, boolean][] = [];
    const dot = (): void => { if (parts.length > 0) parts.push([" · ", false]); };
    if (perf.epoch !== null && !(perf.epochs === null && perf.epoch === 1)) { // one pass of no known number: no epochs
      parts.push(["epoch ", false], [count(perf.epoch), true]);
      if (perf.epochs !== null) parts.push([` / ${count(perf.epochs)}`, false]);
    }
    const { heard } = standing(state);
    const validating = perf.split !== "" && perf.split !== "train";
    if (validating && !ENDED.has(run.state)) {
      dot();
      parts.push([perf.split === "val" ? "validation" : perf.split, true]);
    }
    if (perf.batch !== null && !(ENDED.has(run.state) && perf.batches === null)) {
      dot();
      parts.push(["batch ", false], [padded(perf.batch, perf.batches), true]);
      if (perf.batches !== null) parts.push([` / ${count(perf.batches)}`, false]);
    } else {
      dot();
      parts.push(["step ", false], [count(perf.step), true]);
    }
    if (ENDED.has(run.state)) {
      if (run.ended !== null) {
        dot();
        parts.push(["ran ", false], [duration(run.ended - run.started), true]);
      }
    } else if (perf.eta !== null && heard) {
      dot();
      parts.push([duration(perf.eta), true], [" left", false]);
    }
    const text = parts.map(([part]) => part).join("");
    if (progress.dataset.text !== text) {
      progress.dataset.text = text;
      progress.replaceChildren(...line(...parts));
    }
  }

  function showFacts(): void {
    const found: HTMLElement[] = [];
    for (const chart of ["loss", "accuracy"]) {
      const curves = state.curves.all().filter((curve) => curve.chart === chart);
      const curve =
        curves.find((one) => one.split === "train" && one.kind === "step") ??
        curves.find((one) => one.split === "train") ?? curves[0];
      if (!curve || (curve.total === 0 && Number.isNaN(curve.last))) continue;
      const value = valueText(chart, [curve], curve.last);
      const bad = Number.isFinite(curve.last) ? "" : "nbm-bad";
      const side = curve.split === "val" ? `${sideOf(curve)} ` : "";
      found.push(h("span", { class: "nbm-fact" }, `${side}${chartTitle(chart).toLowerCase()} `,
        h("b", { class: bad }, value)));
    }
    const text = found.map((one) => one.textContent).join("|");
    if (facts.dataset.text !== text) {
      facts.dataset.text = text;
      facts.replaceChildren(...found);
    }
  }

  function showRuns(): void {
    const { runs, run, following, health } = state;
    const several = runs.length > 1;
    for (const node of [choice, arrow]) setAttr(node, "hidden", !several);
    if (!several || choice.matches(":focus")) return; // an open list stays as it is
    const now = Date.now() / 1000 - health.offset;
    const text = ["=Always the newest", ...runs.map((one) => `${one.id}=${[
      shorten(one.name, 40), WORDS[one.state] ?? one.state, `step ${count(one.step)}`,
      `begun ${clock(one.started + health.offset, false)}, ${age(now - one.started)} ago`,
    ].join(" · ")}`)];
    if (choice.dataset.text !== text.join("\n")) {
      choice.dataset.text = text.join("\n");
      choice.replaceChildren(...text.map((one) => {
        const at = one.indexOf("=");
        return h("option", { value: one.slice(0, at) }, one.slice(at + 1));
      }));
    }
    choice.value = following ? "" : (run?.id ?? "");
  }

  function update(): void {
    const { run, perf } = state;
    show(el, run !== null);
    if (!run) return;
    const now = standing(state);
    setText(word, now.word);
    setAttr(pill, "data-tone", now.tone);
    setText(name, run.name);
    const about = [run.name, run.model && `model ${run.model}`, run.dataset && `data ${run.dataset}`, run.notes,
      ...Object.entries(run.config).slice(0, 12).map(([key, value]) => `${key} = ${value}`)];
    setAttr(name, "title", about.filter(Boolean).join("\n") || null);
    showRuns();
    showFacts();
    show(progress, perf !== null);
    show(fps, perf !== null);
    show(bar, perf !== null && perf.progress !== null);
    if (!perf) return;
    showProgress(run, perf);
    const over = ENDED.has(run.state);
    // What was measured before the silence is not the speed of now.
    setText(speed, over ? rate(perf.fpsAverage) : now.heard ? rate(perf.fps) : "–");
    setText(unit, over ? "FPS on average" : "FPS");
    setText(average, over ? "" : `· average ${rate(perf.fpsAverage)}`);
    const each = perf.samplesPerSecond;
    setText(samples, each === null || over || !now.heard ? "" : `· ${rate(each)} samples/s`);
    setAttr(head, "data-old", !now.heard);
    const share = Math.min(1, Math.max(0, perf.progress ?? 0));
    fill.style.width = `${(share * 100).toFixed(2)}%`;
    setAttr(bar, "aria-valuenow", Math.round(share * 100));
    setAttr(bar, "data-tone", now.tone === "good" ? null : now.tone);
  }

  update();
  return subscribeSlowly(store, ["run", "runs", "link"], ["perf", "series", "health"], update);
}
