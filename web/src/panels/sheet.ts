// One canvas under the grid of tiles: pictures, captions and the frames of wrong ones are drawn into it, sixty times a
// second. As elements their words would make the browser lay out and paint anew for every frame, which took more than
// half of its main thread; the buttons above the canvas keep place, focus and words for those who cannot see it.
import { h } from "../dom.ts";
import type { Crop } from "../pictures.ts";
import { readVariables } from "../theme.ts";
import type { Caption } from "./tile.ts";

export type Drawn = { crop: Crop | null; caption: Caption };

export interface Sheet {
  readonly node: HTMLCanvasElement;
  /** The places or the theme may have changed: look anew before the next drawing. */
  stale(): void;
  draw(cells: HTMLElement[], tiles: Drawn[], stacked: boolean): void;
}

const PIXELATED = 64; // px: pictures narrower than this keep their pixels' edges
const PAINTS = ["soft", "ground", "quiet", "text0", "good", "bad", "hold"] as const;
const NAME = 3.2; // em that a name keeps beside a long truth
const FITTED = 4000; // texts whose width is remembered

type Place = { x: number; y: number; width: number; side: number; height: number };
type Weight = 400 | 600;
type Look = { paints: Record<(typeof PAINTS)[number], string>; size: number; pad: number; family: string };

export function createSheet(): Sheet {
  const node = h("canvas", { "aria-hidden": "true", width: 1, height: 1 });
  const context = node.getContext("2d", { alpha: false }) as CanvasRenderingContext2D;
  const widths = new Map<string, number>();
  let places: Place[] = [];
  let look: Look | null = null;
  let scale = 1;
  let face: Weight | null = null; // of the font that is set

  function measure(cells: HTMLElement[]): boolean {
    const board = node.parentElement;
    const [first] = cells;
    if (!board || !first) return false;
    scale = devicePixelRatio || 1;
    const frame = board.getBoundingClientRect();
    const width = Math.ceil(frame.width);
    const height = Math.ceil(frame.height);
    const snap = (value: number): number => Math.round(value * scale) / scale; // edges on whole pixels are sharp
    node.style.width = `${width}px`;
    node.style.height = `${height}px`;
    node.width = Math.round(width * scale); // clears it
    node.height = Math.round(height * scale);
    const caption = getComputedStyle(first.lastElementChild as Element);
    look = {
      paints: readVariables(board, PAINTS),
      size: parseFloat(caption.fontSize),
      pad: parseFloat(caption.paddingLeft),
      family: caption.fontFamily,
    };
    widths.clear();
    face = null;
    places = cells.map((cell) => {
      const box = cell.getBoundingClientRect();
      const x = snap(box.left - frame.left);
      const y = snap(box.top - frame.top);
      const side = snap((cell.firstElementChild as Element).getBoundingClientRect().height);
      return { x, y, side, width: snap(box.right - frame.left) - x, height: snap(box.bottom - frame.top) - y };
    });
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.fillStyle = look.paints.ground;
    context.fillRect(0, 0, width, height);
    context.textBaseline = "middle";
    return width > 0;
  }

  function letter(weight: Weight, { size, family }: Look): void {
    if (weight === face) return;
    face = weight;
    context.font = `${weight} ${size}px ${family}`;
  }

  function widthOf(text: string): number {
    const key = `${face}${text}`; // not context.font: reading it makes a string anew each time
    let width = widths.get(key);
    if (width === undefined) {
      if (widths.size > FITTED) widths.clear();
      width = context.measureText(text).width;
      widths.set(key, width);
    }
    return width;
  }

  /** The text, or as much of it as fits. */
  function fit(text: string, room: number): string {
    if (widthOf(text) <= room + 0.5) return text;
    const letters = [...text];
    let low = 0;
    let high = letters.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (widthOf(`${letters.slice(0, middle).join("")}…`) <= room) low = middle;
      else high = middle - 1;
    }
    return low > 0 ? `${letters.slice(0, low).join("")}…` : "";
  }

  function write(text: string, x: number, y: number, paint: string): void {
    context.fillStyle = paint;
    context.fillText(text, x, y);
  }

  function drawPicture(crop: Crop | null, at: Place, paints: Look["paints"]): void {
    const { x, y, width, side } = at;
    if (!crop) {
      context.fillStyle = paints.soft;
      context.fillRect(x, y, width, side);
      const text = fit("no picture", width - 8);
      write(text, x + (width - widthOf(text)) / 2, y + side / 2, paints.quiet);
      return;
    }
    const zoom = Math.min(width / crop.width, side / crop.height);
    const [w, h2] = [crop.width * zoom, crop.height * zoom];
    if (w < width - 0.5 || h2 < side - 0.5) {
      context.fillStyle = "#000";
      context.fillRect(x, y, width, side);
    }
    context.imageSmoothingEnabled = crop.width >= PIXELATED;
    context.drawImage(crop.bitmap, crop.x, crop.y, crop.width, crop.height,
      x + (width - w) / 2, y + (side - h2) / 2, w, h2);
  }

  /** The caption without its name; returns how the name stands, for all names are written with one font. */
  function drawCaption(caption: Caption, at: Place, stacked: boolean, now: Look): { room: number; y: number } {
    const { paints, size, pad } = now;
    const line = 1.4 * size;
    const room = at.width - 2 * pad;
    const left = at.x + pad;
    const y = at.y + at.side + (size < 11 ? 2 : 3) + line / 2;
    const below = stacked ? y + line : y;
    const sure = widthOf(caption.sure);
    const gap = caption.truth && caption.sure ? 4 : 0;
    if (caption.when) write(fit(caption.when, room), left, below + line, paints.quiet);
    if (stacked) {
      const text = fit(caption.truth, room - sure - gap);
      write(text, left, below, paints.quiet);
      write(caption.sure, left + (text ? widthOf(text) + gap : 0), below, paints.quiet);
      return { room, y };
    }
    const right = left + room;
    write(caption.sure, right - sure, y, paints.quiet);
    if (!caption.truth) return { room: room - sure - 4, y };
    const text = fit(caption.truth, Math.max(room - sure - gap - 4 - NAME * size, room * 0.3));
    const wide = widthOf(text);
    write(text, right - sure - gap - wide, y, paints.quiet);
    return { room: room - sure - gap - wide - 4, y };
  }

  return {
    node,
    stale() {
      look = null;
    },
    draw(cells, tiles, stacked) {
      if (!look && !measure(cells)) return;
      const now = look as Look | null;
      if (!now) return;
      const names: { room: number; y: number }[] = [];
      letter(400, now);
      tiles.forEach(({ crop, caption }, index) => {
        const at = places[index];
        if (!at) return;
        context.fillStyle = now.paints.soft;
        context.fillRect(at.x, at.y + at.side, at.width, at.height - at.side);
        drawPicture(crop, at, now.paints);
        names[index] = drawCaption(caption, at, stacked, now);
        if (caption.right === false) {
          context.strokeStyle = now.paints.bad;
          context.lineWidth = 2;
          context.strokeRect(at.x + 1, at.y + 1, at.width - 2, at.height - 2);
        }
      });
      letter(600, now);
      tiles.forEach(({ caption: { name, right, none } }, index) => {
        const at = places[index];
        const { room, y } = names[index] ?? {};
        if (!at || room === undefined || y === undefined) return;
        const { good, bad, hold, text0 } = now.paints;
        const paint = none ? hold : right === null ? text0 : right ? good : bad;
        write(fit(name, room), at.x + now.pad, y, paint);
      });
    },
  };
}
