// From a batch's compressed picture to something a canvas can draw. Pictures come in bursts, for the page stalls now and
// then: a few wait, before and behind the one decoder, and are shown one an animation frame. Where they never run out the
// page is too slow for all of them: then newest wins, so that it drops pictures instead of falling behind.
import type { Batch } from "./store.ts";

export type Crop = { bitmap: ImageBitmap; x: number; y: number; width: number; height: number };

export type Picture = {
  batch: Batch;
  /** What tile `index` shows; null where its picture is missing or could not be decoded. */
  tile(index: number): Crop | null;
  close(): void;
};

export interface Pictures {
  readonly current: Picture | null;
  offer(batch: Batch): void;
  /** The next decoded picture becomes the current one; whether another waits behind it. */
  advance(): boolean;
  /** A picture of any batch, for the grid of wrong tiles; the caller closes it. */
  decode(batch: Batch): Promise<Picture>;
  dispose(): void;
}

async function bitmapOf(view: DataView | undefined, mime: string): Promise<ImageBitmap | null> {
  if (!view) return null;
  try {
    return await createImageBitmap(new Blob([view as DataView<ArrayBuffer>], { type: mime }));
  } catch {
    return null; // an undecodable picture is a placeholder, never an error
  }
}

export async function decode(batch: Batch): Promise<Picture> {
  const { tiles, buffers } = batch;
  const { mosaic, images } = tiles;
  if (mosaic) {
    const bitmap = await bitmapOf(buffers[mosaic.buffer], mosaic.mime);
    return {
      batch,
      tile(index) {
        if (!bitmap || index >= mosaic.columns * mosaic.rows) return null;
        const x = (index % mosaic.columns) * mosaic.width;
        const y = Math.floor(index / mosaic.columns) * mosaic.height;
        if (x + mosaic.width > bitmap.width || y + mosaic.height > bitmap.height) return null;
        return { bitmap, x, y, width: mosaic.width, height: mosaic.height };
      },
      close: () => bitmap?.close(),
    };
  }
  const bitmaps = await Promise.all(
    (images ?? []).map((at) => (at === null ? null : bitmapOf(buffers[at], "image/jpeg"))),
  );
  return {
    batch,
    tile(index) {
      const bitmap = bitmaps[index];
      return bitmap ? { bitmap, x: 0, y: 0, width: bitmap.width, height: bitmap.height } : null;
    },
    close: () => bitmaps.forEach((bitmap) => bitmap?.close()),
  };
}

const WAITING = 3; // pictures, before and behind the decoder
const BURST = 250; // ms within which a burst has to run out

export function createPictures(fps: () => number, ready: () => void): Pictures {
  let current: Picture | null = null;
  const waiting: Picture[] = [];
  const coming: Batch[] = [];
  let ranOut = -Infinity;
  let busy = false;
  let startedAt = -Infinity;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let disposed = false;

  function pump(): void {
    if (busy || coming.length === 0 || disposed) return;
    // A little under the period: frames at the very rate asked for must not wait for the next one.
    const wait = startedAt + 850 / fps() - performance.now();
    if (fps() < 60 && wait > 0) {
      clearTimeout(timer);
      timer = setTimeout(pump, wait);
      return;
    }
    const batch = coming.shift() as Batch;
    busy = true;
    startedAt = performance.now();
    void decode(batch).then((picture) => {
      busy = false;
      if (disposed) {
        picture.close();
        return;
      }
      waiting.push(picture);
      ready();
      pump();
    });
  }

  /** Let go of what will not be shown, the oldest first. */
  function thin(): void {
    const burst = fps() >= 60 && performance.now() - ranOut < BURST;
    const most = burst ? WAITING : 1;
    while (waiting.length + coming.length > most && waiting.length > 0) waiting.shift()?.close();
    while (coming.length > most) coming.shift();
  }

  return {
    get current() {
      return current;
    },
    offer(batch) {
      coming.push(batch);
      thin();
      pump();
    },
    advance() {
      const next = waiting.shift();
      if (next) {
        current?.close();
        current = next;
      }
      if (waiting.length + coming.length === 0) ranOut = performance.now();
      return waiting.length > 0;
    },
    decode,
    dispose() {
      disposed = true;
      clearTimeout(timer);
      for (const picture of [current, ...waiting.splice(0)]) picture?.close();
      current = null;
    },
  };
}
