// The batch that was just trained on: sixteen pictures, what was predicted, how sure, and what was true.
import type { Send } from "../client.ts";
import { h, setAttr, setText, show } from "../dom.ts";
import { count } from "../format.ts";
import type { Crop, Picture } from "../pictures.ts";
import { type Batch, isRight, type Store, type WrongTile } from "../store.ts";
import { segments } from "./buttons.ts";
import { caption, describe, paintTile, createTile, type Tile } from "./tile.ts";
import { createZoomed } from "./zoomed.ts";

const WRONG_PERIOD = 500; // ms: the list of wrong tiles can be read only when it is not a film
const RATES = [60, 10, 2, 1];

export function tiles(el: HTMLElement, store: Store, send: Send): () => void {
  const { state } = store;
  const { pictures } = send;
  let wrongOnly = false;
  let over = false;
  let focused = false;
  let sticky = false;
  let shown: Batch | null = null;
  let shownList: WrongTile[] = [];
  let wrongAt = -Infinity;
  let wrongTimer: ReturnType<typeof setTimeout> | undefined;
  let alive = true;
  let wordsAt = -Infinity;
  let wordsNow = true;

  const title = h("h3", { class: "nbm-num" });
  const sub = h("span", { class: "nbm-quiet nbm-num" });
  const held = h("span", { class: "nbm-held nbm-num", role: "status" });
  const speed = h("select", { "aria-label": "Pictures a second at most", title: "Pictures a second at most", "data-input": "rate" },
    ...RATES.map((fps) => h("option", { value: fps }, `${fps}/s`)));
  speed.addEventListener("change", () => send.set({ fps: Number(speed.value) }));
  const mode = segments("Tiles", [
    { value: "all", text: "all", action: "all" },
    { value: "wrong", text: "wrong only", action: "wrong-only", title: "The latest 16 wrong ones, each with its step" },
  ], (value) => {
    wrongOnly = value === "wrong";
    mode.press(value);
    shown = null;
    shownList = [];
    wrongAt = -Infinity;
    update();
  });
  mode.press("all");
  const grid = h("div", { class: "nbm-grid", role: "group", "aria-label": "Tiles of the batch" });
  const none = h("p", { class: "nbm-none" }, "No wrong prediction seen yet.");
  el.append(
    h("div", { class: "nbm-hd" }, title, sub, held, h("span", { class: "nbm-push" }, speed, mode.node)),
    grid, none);
  const zoomed = createZoomed(el);
  const cells: Tile[] = [];

  const holding = (): boolean => over || focused || sticky || zoomed.open;

  function cell(index: number): Tile {
    for (let next = cells.length; next <= index; next += 1) {
      const tile = createTile(next);
      tile.node.addEventListener("click", (event) => enlarge(next, event.detail > 0));
      tile.node.tabIndex = next === 0 ? 0 : -1;
      cells.push(tile);
      grid.append(tile.node);
    }
    return cells[index] as Tile;
  }

  function enlarge(index: number, byPointer: boolean): void {
    const tile = cells[index];
    if (!tile) return;
    const from = wrongOnly ? shownList[index] : shown ? { batch: shown, index } : undefined;
    if (!from) return;
    zoomed.show(tile, from.batch.tiles, from.index, state.run?.classNames ?? [], () => {
      if (byPointer) focused = false; // the focus that comes back to the tile was never asked for
      refresh();
    });
  }

  function lay(howMany: number, width: number): void {
    cells.forEach((tile, index) => show(tile.node, index < howMany));
    setAttr(grid, "data-tiles", howMany);
    setAttr(grid, "data-small", width < 64);
    const names = state.run?.classNames ?? [];
    setAttr(grid, "data-long", names.some((name) => name.length > 3));
  }

  function fill(index: number, batch: Batch, at: number, crop: Crop | null): void {
    const tile = cell(index);
    const names = state.run?.classNames ?? [];
    setAttr(tile.node, "data-right", String(isRight(batch.tiles, at) ?? "unknown"));
    caption(tile, batch.tiles, at, names, wrongOnly);
    paintTile(tile, crop);
    if (wordsNow) describe(tile, batch.tiles, at, names);
  }

  /** The words of all tiles that stand: when the grid is held, and now and then while it moves. */
  function describeAll(): void {
    const names = state.run?.classNames ?? [];
    cells.forEach((tile, index) => {
      const from = wrongOnly ? shownList[index] : shown ? { batch: shown, index } : undefined;
      if (from && !tile.node.hidden) describe(tile, from.batch.tiles, from.index, names);
    });
  }

  function headline(batch: Batch | null): void {
    const isHeld = holding();
    setAttr(grid, "data-held", String(isHeld));
    setAttr(grid, "data-tile-step", batch?.tiles.step ?? null);
    setText(held, isHeld && batch ? `held at step ${count(batch.tiles.step)}` : "");
    show(held, held.textContent !== "");
    show(title, held.hidden); // in their place: the heading must not grow a line under the pointer
    show(sub, held.hidden);
    if (wrongOnly) {
      setText(title, "Wrong");
      setText(sub, shownList.length > 0 ? `the latest ${shownList.length}` : "");
    } else if (batch) {
      const { right, counted, elided, count: here, step, split } = batch.tiles;
      setText(title, `${split === "train" || split === "" ? "Batch" : `${split} batch`} ${count(step)}`);
      const of = right !== null && counted !== null && counted > 0 ? `${count(right)} of ${count(counted)} right` : "";
      const more = elided > 0 ? `${here} of ${count(here + elided)} shown` : "";
      setText(sub, [of, more].filter(Boolean).join(" · "));
    }
    show(speed, !wrongOnly);
  }

  function drawBatch(picture: Picture): void {
    const { batch } = picture;
    shown = batch;
    wordsNow = performance.now() - wordsAt > WRONG_PERIOD;
    if (wordsNow) wordsAt = performance.now();
    for (let index = 0; index < batch.tiles.count; index += 1) fill(index, batch, index, picture.tile(index));
    lay(batch.tiles.count, batch.tiles.mosaic?.width ?? picture.tile(0)?.width ?? 0);
    headline(batch);
    send.painted(batch.n);
    const root = el.closest(".nbm");
    setAttr(root ?? el, "data-painted", state.health.painted);
    root?.dispatchEvent(new CustomEvent("nbm-painted", { detail: { n: batch.n, t: batch.t, time: batch.tiles.time } }));
  }

  async function drawWrong(): Promise<void> {
    const list = state.wrong;
    const decoded = new Map<Batch, Picture>();
    await Promise.all([...new Set(list.map((one) => one.batch))].map(async (batch) => {
      decoded.set(batch, await pictures.decode(batch));
    }));
    if (alive && wrongOnly) {
      shownList = list;
      wordsNow = true;
      list.forEach((one, index) => {
        fill(index, one.batch, one.index, decoded.get(one.batch)?.tile(one.index) ?? null);
      });
      lay(list.length, list[0]?.batch.tiles.mosaic?.width ?? 0);
      headline(list[0]?.batch ?? null);
    }
    for (const picture of decoded.values()) picture.close();
  }

  function update(): void {
    const { batch } = state;
    show(el, batch !== null || state.wrong.length > 0);
    show(none, wrongOnly && state.wrong.length === 0);
    if (speed.value !== String(state.settings.fps)) speed.value = String(state.settings.fps);
    if (el.hidden) {
      shown = null;
      return;
    }
    if (holding() && (shown !== null || shownList.length > 0)) {
      headline(wrongOnly ? (shownList[0]?.batch ?? null) : shown);
      return;
    }
    if (wrongOnly) {
      if (state.wrong === shownList && shownList.length > 0) {
        headline(shownList[0]?.batch ?? null);
        return;
      }
      if (state.wrong.length === 0) {
        lay(0, 0);
        headline(null);
        return;
      }
      clearTimeout(wrongTimer);
      const wait = wrongAt + WRONG_PERIOD - performance.now();
      if (wait > 0) wrongTimer = setTimeout(update, wait);
      else {
        wrongAt = performance.now();
        void drawWrong();
      }
      return;
    }
    const picture = pictures.current;
    if (!picture || !batch) headline(batch);
    else if (picture.batch !== shown) drawBatch(picture);
    else headline(shown);
  }

  const refresh = (): void => {
    if (holding()) describeAll();
    headline(wrongOnly ? (shownList[0]?.batch ?? null) : shown);
    update();
  };
  grid.addEventListener("pointerenter", (event) => {
    over = event.pointerType !== "touch";
    refresh();
  });
  grid.addEventListener("pointerleave", () => {
    over = false;
    refresh();
  });
  grid.addEventListener("focusin", (event) => {
    focused = (event.target as HTMLElement).matches(":focus-visible");
    refresh();
  });
  grid.addEventListener("focusout", (event) => {
    if (grid.contains(event.relatedTarget as Node | null)) return;
    focused = false;
    refresh();
  });
  grid.addEventListener("keydown", (event) => {
    const at = cells.findIndex((tile) => tile.node === document.activeElement);
    const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
    const last = cells.filter((tile) => !tile.node.hidden).length - 1;
    const moves: Record<string, number> = {
      ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns, Home: 0, End: last,
    };
    const to = moves[event.key];
    if (event.key === " ") {
      sticky = !sticky;
      refresh();
    } else if (event.key === "Escape" && sticky) {
      sticky = false;
      refresh();
    } else if (to !== undefined && to >= 0 && to <= last) {
      cells.forEach((tile, index) => { tile.node.tabIndex = index === to ? 0 : -1; });
      cells[to]?.node.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });

  update();
  const off = store.subscribe((topics) => {
    if (["picture", "tiles", "wrong", "run", "settings"].some((topic) => topics.has(topic as never))) update();
  });
  return () => {
    alive = false;
    clearTimeout(wrongTimer);
    zoomed.dispose();
    off();
  };
}
