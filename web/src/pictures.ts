// From a batch's compressed picture to something a canvas can draw. Newest wins: one slot in front of one decoder,
// so that a slow page drops pictures instead of falling behind.
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

export function createPictures(fps: () => number, ready: () => void): Pictures {
  let current: Picture | null = null;
  let latest: Batch | null = null;
  let busy = false;
  let startedAt = -Infinity;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let disposed = false;

  function pump(): void {
    if (busy || !latest || disposed) return;
    // A little under the period: frames at the very rate asked for must not wait for the next one.
    const wait = startedAt + 850 / fps() - performance.now();
    if (fps() < 60 && wait > 0) {
      clearTimeout(timer);
      timer = setTimeout(pump, wait);
      return;
    }
    const batch = latest;
    latest = null;
    busy = true;
    startedAt = performance.now();
    void decode(batch).then((picture) => {
      busy = false;
      if (disposed) {
        picture.close();
        return;
      }
      current?.close();
      current = picture;
      ready();
      pump();
    });
  }

  return {
    get current() {
      return current;
    },
    offer(batch) {
      latest = batch;
      pump();
    },
    decode,
    dispose() {
      disposed = true;
      clearTimeout(timer);
      current?.close();
      current = null;
    },
  };
}
