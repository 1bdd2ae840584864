// The batch that was just trained on: sixteen pictures, what was predicted, how sure, and what was true.
import type { Send } from "../client.ts";
import { h, setAttr, setText, show } from "../dom.ts";
import { count } from "../format.ts";
import { atMost } from "../pace.ts";
import type { Picture } from "../pictures.ts";
import type { Batch, Store, WrongTile } from "../store.ts";
import { segments } from "./buttons.ts";
import { createSheet, type Drawn } from "./sheet.ts";
import { caption, createTile, describe } from "./tile.ts";
import { createZoomed } from "./zoomed.ts";

const WRONG_PERIOD = 500; // ms: the list of wrong tiles can be read only when it is not a film
const WORDS_PERIOD = 500; // ms: tooltips and what is read aloud
const HEAD_PERIOD = 125; // ms
const ROOM = 88; // px that a tile needs for its caption on one line ...
const LETTER = 16; // ... and for each letter of the two names that may be in it
const RATES = [60, 10, 2, 1];

export function tiles(el: HTMLElement, store: Store, send: Send): () => void {
  const { state } = store;
  const { pictures } = send;
  const view = {};
  let wrongOnly = false;
  let over = false;
  let focused = false;
  let sticky = false;
  let shown: Batch | null = null;
  let shownList: WrongTile[] = [];
  let alive = true;
  let wide = 0;
  let drawings = 0;

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
    drawWrong.cancel();
    setAttr(grid, "data-dated", wrongOnly);
    sheet.stale();
    refresh();
  });
  mode.press("all");
  const grid = h("div", { class: "nbm-grid", role: "group", "aria-label": "Tiles of the batch" });
  const sheet = createSheet();
  const none = h("p", { class: "nbm-none" }, "No wrong prediction seen yet.");
  el.append(
    h("div", { class: "nbm-hd" }, title, sub, held, h("span", { class: "nbm-push" }, speed, mode.node)),
    h("div", { class: "nbm-sheet" }, sheet.node, grid), none);
  const zoomed = createZoomed(el, pictures);
  const cells: HTMLButtonElement[] = [];

  const holding = (): boolean => over || focused || sticky || zoomed.open;

  function enlarge(index: number, byPointer: boolean): void {
    const from = at(index);
    const node = cells[index];
    if (!from || !node) return;
    zoomed.show(node, from.batch, from.index, names(), () => {
      if (byPointer) focused = false; // the focus that comes back to the tile was never asked for
      refresh();
    });
  }

  const names = (): string[] => state.run?.classNames ?? [];
  const at = (index: number): WrongTile | undefined =>
    wrongOnly ? shownList[index] : shown && index < shown.tiles.count ? { batch: shown, index } : undefined;

  /** Places for so many tiles. */
  function lay(howMany: number): void {
    for (let index = cells.length; index < howMany; index += 1) {
      const node = createTile(index);
      node.addEventListener("click", (event) => enlarge(index, event.detail > 0));
      node.tabIndex = index === 0 ? 0 : -1;
      cells.push(node);
      grid.append(node);
    }
    const longest = names().reduce((most, name) => Math.max(most, name.length), 1);
    const stacked = longest > 3 || (wide > 0 && wide < ROOM + LETTER * longest);
    if (grid.dataset.tiles === String(howMany) && grid.hasAttribute("data-stacked") === stacked) return;
    cells.forEach((node, index) => show(node, index < howMany));
    setAttr(grid, "data-tiles", howMany);
    setAttr(grid, "data-stacked", stacked);
    sheet.stale();
  }

  function paint(list: Drawn[]): void {
    lay(list.length);
    sheet.draw(cells.slice(0, list.length), list, grid.hasAttribute("data-stacked"));
  }

  function drawn(picture: Picture | undefined, batch: Batch, index: number): Drawn {
    return { crop: picture?.tile(index) ?? null, caption: caption(batch.tiles, index, names(), wrongOnly) };
  }

  const describeAll = atMost(WORDS_PERIOD, () => {
    cells.forEach((node, index) => {
      const from = at(index);
      if (from) describe(node, from.batch.tiles, from.index, names());
    });
  }, true);

  const headline = atMost(HEAD_PERIOD, () => {
    const batch = wrongOnly ? (shownList[0]?.batch ?? null) : (shown ?? state.batch);
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
  }, true);

  function paintBatch(picture: Picture): void {
    const { batch } = picture;
    paint(Array.from({ length: batch.tiles.count }, (_, index) => drawn(picture, batch, index)));
  }

  function drawBatch(picture: Picture): void {
    const { batch } = picture;
    drawings += 1;
    shown = batch;
    paintBatch(picture);
    headline();
    describeAll();
    send.painted(batch.n);
    el.closest(".nbm")
      ?.dispatchEvent(new CustomEvent("nbm-painted", { detail: { n: batch.n, t: batch.t, time: batch.tiles.time } }));
  }

  /** Tiles of several batches, or of one whose picture is not at hand any more. */
  async function drawList(list: WrongTile[]): Promise<void> {
    const decoded = new Map<Batch, Picture>();
    const drawing = (drawings += 1);
    await Promise.all([...new Set(list.map((one) => one.batch))].map(async (batch) => {
      decoded.set(batch, await pictures.decode(batch));
    }));
    if (alive && drawing === drawings) paint(list.map((one) => drawn(decoded.get(one.batch), one.batch, one.index)));
    for (const picture of decoded.values()) picture.close();
  }

  const drawWrong = atMost(WRONG_PERIOD, () => {
    if (!wrongOnly || !alive || holding()) return;
    shownList = state.wrong;
    void drawList(shownList);
    describeAll.now();
    headline.now();
  });

  /** What stands, at another size or in other colours. */
  function again(): void {
    sheet.stale();
    const picture = pictures.current;
    if (wrongOnly) void drawList(shownList);
    else if (shown && picture?.batch === shown) paintBatch(picture);
    else if (shown) void drawList(shown.tiles.predicted.map((_, index) => at(index)).filter((one) => one !== undefined));
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
    headline();
    if (holding() && (shown !== null || shownList.length > 0)) return;
    if (wrongOnly) {
      if (state.wrong.length === 0) lay(0);
      else if (state.wrong !== shownList) drawWrong();
      return;
    }
    const picture = pictures.current;
    if (picture && batch && picture.batch !== shown) drawBatch(picture);
  }

  const refresh = (): void => {
    update();
    describeAll.now();
    headline.now();
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
    const from = cells.findIndex((node) => node === document.activeElement);
    const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
    const last = cells.filter((node) => !node.hidden).length - 1;
    const moves: Record<string, number> = {
      ArrowRight: from + 1, ArrowLeft: from - 1, ArrowDown: from + columns, ArrowUp: from - columns, Home: 0, End: last,
    };
    const to = moves[event.key];
    if (event.key === " ") {
      sticky = !sticky;
      refresh();
    } else if (event.key === "Escape" && sticky) {
      sticky = false;
      refresh();
    } else if (to !== undefined && to >= 0 && to <= last) {
      cells.forEach((node, index) => { node.tabIndex = index === to ? 0 : -1; });
      cells[to]?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });

  const sizes = new ResizeObserver(() => {
    wide = cells[0]?.offsetWidth ?? 0;
    if (wide > 0) send.tileWidth(view, wide * devicePixelRatio);
    lay(Number(grid.dataset.tiles ?? 0));
    again();
  });
  sizes.observe(grid);

  update();
  const off = store.subscribe((topics) => {
    if (["picture", "tiles", "wrong", "run", "settings"].some((topic) => topics.has(topic as never))) update();
    if (topics.has("theme")) again();
  });
  return () => {
    alive = false;
    for (const paced of [drawWrong, describeAll, headline]) paced.cancel();
    sizes.disconnect();
    send.tileWidth(view, 0);
    zoomed.dispose();
    off();
  };
}
