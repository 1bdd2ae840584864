// One tile: its canvas and its caption. The caption tells right from wrong by sign and colour together.
import { h, setAttr, setText, show } from "../dom.ts";
import { confidence, count, figure, num, percent } from "../format.ts";
import type { TilesView } from "../messages.ts";
import type { Crop } from "../pictures.ts";
import { isRight } from "../store.ts";

export type Tile = {
  node: HTMLButtonElement;
  canvas: HTMLCanvasElement;
  context: CanvasRenderingContext2D | null;
  gap: HTMLElement;
  name: HTMLElement;
  truth: HTMLElement;
  sure: HTMLElement;
  when: HTMLElement;
};

export function createTile(index: number): Tile {
  const canvas = h("canvas", { width: 32, height: 32, "aria-hidden": "true" });
  const gap = h("span", { class: "nbm-gap" }, "no picture");
  const name = h("b");
  const truth = h("span", { class: "nbm-is" });
  const sure = h("span", { class: "nbm-sure" });
  const when = h("span", { class: "nbm-when nbm-num" });
  const node = h("button", { type: "button", class: "nbm-tile", "data-tile": index },
    h("span", { class: "nbm-px" }, canvas, gap), h("span", { class: "nbm-cap nbm-num" }, name, h("span", { class: "nbm-rest" }, truth, sure)), when);
  show(gap, false);
  return { node, canvas, context: canvas.getContext("2d", { alpha: false }), gap, name, truth, sure, when };
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

export function caption(tile: Tile, tiles: TilesView, at: number, names: string[], withStep: boolean): void {
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
  setText(tile.name, [sign, what].filter(Boolean).join(" "));
  setAttr(tile.name, "data-none", none && !label);
  const is = !label && (right === false || (!known && hasTruth)) ? `is ${className(truth, names)}` : "";
  setText(tile.truth, is);
  const percent = known || (sure !== null && sure !== undefined) ? confidence(sure) : "";
  setText(tile.sure, is !== "" && percent !== "" ? `· ${percent}` : percent);
  setText(tile.when, withStep ? `step ${count(tiles.step)}` : "");
  show(tile.when, withStep);
}

/** The words of a tile, for the tooltip and for those who cannot see it: not at sixty a second. */
export function describe(tile: Tile, tiles: TilesView, at: number, names: string[]): void {
  const right = isRight(tiles, at);
  const words = facts(tiles, at, names).map(([key, value]) => `${key}: ${value}`);
  const verdict = right === null ? "" : right ? "right\n" : "wrong\n";
  setAttr(tile.node, "title", verdict + words.join("\n"));
  setAttr(tile.node, "aria-label", verdict.trim() + " " + words.join(", "));
}

export function paintTile(tile: Tile, crop: Crop | null): void {
  show(tile.gap, crop === null);
  show(tile.canvas, crop !== null);
  if (!crop) return;
  const { canvas, context } = tile;
  if (canvas.width !== crop.width) canvas.width = crop.width;
  if (canvas.height !== crop.height) canvas.height = crop.height;
  context?.drawImage(crop.bitmap, crop.x, crop.y, crop.width, crop.height, 0, 0, crop.width, crop.height);
}
