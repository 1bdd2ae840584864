// One tile, enlarged over the dashboard, with its facts; Escape or a click beside it closes it.
import { h, setAttr, show } from "../dom.ts";
import type { Pictures } from "../pictures.ts";
import { type Batch, isRight } from "../store.ts";
import { facts } from "./tile.ts";

export interface Zoomed {
  readonly open: boolean;
  show(from: HTMLElement, batch: Batch, at: number, names: string[], closed: () => void): void;
  dispose(): void;
}

export function createZoomed(el: HTMLElement, pictures: Pictures): Zoomed {
  const canvas = h("canvas", { "aria-hidden": "true" });
  const verdict = h("b");
  const list = h("dl", { class: "nbm-num" });
  const close = h("button", { type: "button", "data-action": "close" }, "Close");
  const box = h("div", { class: "nbm-box", role: "dialog", "aria-modal": "true", "aria-label": "One tile, enlarged" },
    canvas, h("div", {}, verdict, list, close));
  const veil = h("div", { class: "nbm-veil" }, box);
  let back: HTMLElement | null = null;
  let closed: () => void = () => undefined;
  let shown: Batch | null = null;
  show(veil, false);

  function shut(): void {
    if (veil.hidden) return;
    show(veil, false);
    veil.remove();
    back?.focus({ preventScroll: true });
    closed();
  }
  close.addEventListener("click", shut);
  veil.addEventListener("click", (event) => { if (event.target === veil) shut(); });
  veil.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape") shut();
    if (event.key === "Tab") { // one control: the focus stays on it
      event.preventDefault();
      close.focus();
    }
  });

  /** From the compressed picture: what stands on the sheet has been scaled. */
  async function paint(batch: Batch, at: number): Promise<void> {
    const picture = await pictures.decode(batch);
    const crop = picture.tile(at);
    if (crop && shown === batch) {
      canvas.width = crop.width;
      canvas.height = crop.height;
      setAttr(canvas, "data-small", crop.width < 128);
      canvas.getContext("2d")?.drawImage(crop.bitmap, crop.x, crop.y, crop.width, crop.height, 0, 0, crop.width, crop.height);
      show(canvas, true);
    }
    picture.close();
  }

  return {
    get open() {
      return !veil.hidden;
    },
    show(from, batch, at, names, whenClosed) {
      const { tiles } = batch;
      closed = whenClosed;
      back = from;
      shown = batch;
      show(canvas, false);
      void paint(batch, at);
      const right = isRight(tiles, at);
      verdict.textContent = right === null ? "" : right ? "✓ right" : "✕ wrong";
      setAttr(box, "data-right", String(right ?? "unknown"));
      list.replaceChildren(...facts(tiles, at, names).flatMap(([key, value]) => [
        h("dt", {}, key), h("dd", {}, value),
      ]));
      const root = el.closest<HTMLElement>(".nbm") ?? el;
      root.append(veil);
      show(veil, true);
      // Beside the tile, where the person looks: the dashboard may be taller than the window.
      const frame = root.getBoundingClientRect();
      const wanted = from.getBoundingClientRect().top - frame.top - 60;
      const room = frame.height - box.offsetHeight - 28;
      box.style.marginTop = `${Math.max(0, Math.min(wanted, room))}px`;
      close.focus({ preventScroll: true });
    },
    dispose() {
      veil.remove();
    },
  };
}
