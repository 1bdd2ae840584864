// One tile: the words of its caption, and the button that stands over its place on the sheet. The caption tells right
// from wrong by sign and colour together.
import { h, setAttr } from "../dom.ts";
import { clean, confidence, count, figure, num, percent } from "../format.ts";
import type { TilesView } from "../messages.ts";
import { isRight } from "../store.ts";

/** `none`: a prediction was expected and is none. `when`: its step, where tiles of several steps stand together. */
export type Caption = { name: string; truth: string; sure: string; when: string; right: boolean | null; none: boolean };

/** The button of a tile: a square for the picture, and room for the lines of the caption. */
export function createTile(index: number): HTMLButtonElement {
  return h("button", { type: "button", class: "nbm-tile", "data-tile": index },
    h("span", { class: "nbm-px" }), h("span", { class: "nbm-cap" }));
}

/** The name of a class, or its number where it has none. */
export function className(index: number | null | undefined, names: string[]): string {
  if (index === null || index === undefined) return "?";
  return names[index] ?? String(index);
}

const SIGN = { true: "✓", false: "✕", unknown: "" };

/** All that is known of a tile, one fact a line. */
export function facts(tiles: TilesView, at: number, names: string[]): [string, string][] {
  const sure = tiles.confidence[at];
  const loss = tiles.loss;
  const list: [string, string][] = [
    ["predicted", className(tiles.predicted[at], names)],
    ["confidence", sure === null || sure === undefined ? "?" : percent(Number(sure))],
    ["truth", className(tiles.truth[at], names)],
  ];
  const label = tiles.labels?.[at];
  if (label) list.unshift(["label", label]);
  list.push(["step", count(tiles.step)]);
  if (tiles.epoch !== null) list.push(["epoch", count(tiles.epoch)]);
  if (tiles.split && tiles.split !== "train") list.push(["split", tiles.split]);
  if (loss !== undefined) list.push(["batch loss", figure(num(loss))]);
  return list;
}

export function caption(tiles: TilesView, at: number, names: string[], withStep: boolean): Caption {
  const right = isRight(tiles, at);
  const sign = SIGN[String(right ?? "unknown") as keyof typeof SIGN];
  const predicted = tiles.predicted[at];
  const truth = tiles.truth[at];
  const sure = tiles.confidence[at];
  const label = tiles.labels?.[at];
  const known = predicted !== null && predicted !== undefined;
  const hasTruth = truth !== null && truth !== undefined;
  // Where predictions were given and this one is none (NaN logits), that is said: the truth never stands in its place.
  const none = !known && hasTruth && tiles.counted !== null;
  const what = label ?? (known ? className(predicted, names) : none ? "?" : "");
  const is = !label && (right === false || (!known && hasTruth)) ? `is ${className(truth, names)}` : "";
  const percent = known || (sure !== null && sure !== undefined) ? confidence(sure) : "";
  return {
    name: clean([sign, what].filter(Boolean).join(" ")),
    truth: clean(is),
    sure: is !== "" && percent !== "" ? `· ${percent}` : percent,
    when: withStep ? `step ${count(tiles.step)}` : "",
    right,
    none: none && !label,
  };
}

/** The words of a tile, for the tooltip and for those who cannot see it: not at sixty a second. */
export function describe(node: HTMLElement, tiles: TilesView, at: number, names: string[]): void {
  const right = isRight(tiles, at);
  const words = facts(tiles, at, names).map(([key, value]) => `${key}: ${value}`);
  const verdict = right === null ? "" : right ? "right\n" : "wrong\n";
  setAttr(node, "data-right", String(right ?? "unknown"));
  setAttr(node, "title", verdict + words.join("\n"));
  setAttr(node, "aria-label", verdict.trim() + " " + words.join(", "));
}
