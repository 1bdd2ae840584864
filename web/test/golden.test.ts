// The frames that the kernel's side wrote and keeps: what it sends is what this side reads.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Frame } from "../src/messages.ts";
import { paperStore } from "./helpers.ts";

const folder = process.env.GOLDEN ?? "";

function golden(name: string): { header: Frame; buffers: DataView[] } {
  const file = JSON.parse(readFileSync(join(folder, name), "utf8")) as { header: Frame; buffers: string[] };
  const buffers = file.buffers.map((text) => {
    const bytes = Uint8Array.from(Buffer.from(text, "base64"));
    return new DataView(bytes.buffer);
  });
  return { header: file.header, buffers };
}

test("the golden frames are there", () => {
  assert.ok(existsSync(folder), `no golden frames in ${folder}`);
  assert.ok(readdirSync(folder).length >= 4);
});

test("key frame", () => {
  const { store } = paperStore();
  const { header, buffers } = golden("key_frame.json");
  assert.equal(store.apply(header, buffers), "applied");
  const { state } = store;
  assert.equal(state.run?.name, "digits-cnn");
  assert.equal(state.runs.length, 2);
  assert.equal(state.perf?.step, 2104);
  assert.equal(state.events.length, header.events?.length);
  const loss = state.curves.all().find((curve) => curve.name === "loss");
  assert.equal(loss?.last, Infinity);
  assert.deepEqual([...(loss?.points.step?.x ?? [])], [0, 1, 2 ** 24 + 1]);
  assert.ok([...(loss?.points.step?.y ?? [])].some((value) => !Number.isFinite(value)));
  assert.ok(state.curves.all().every((curve) => curve.points.step || curve.points.epoch || curve.points.time || curve.total > 0));
});

test("usual frame and zoom frame on top of it", () => {
  const { store } = paperStore("5f0e9c1a-page");
  const key = golden("key_frame.json");
  store.apply(key.header, key.buffers);
  const usual = golden("usual_frame.json");
  assert.equal(store.apply(usual.header, usual.buffers), "applied");
  assert.equal(store.state.run?.state, "paused");
  assert.equal(store.state.batch?.tiles.count, 3);
  const zoom = golden("zoom_frame.json");
  assert.equal(store.apply(zoom.header, zoom.buffers), "applied");
  const loss = store.state.curves.all().find((curve) => curve.name === "loss");
  assert.deepEqual([loss?.window?.lo, loss?.window?.hi, loss?.window?.x.length], [110, 190.5, 5]);
});

test("empty frame", () => {
  const { store } = paperStore();
  const { header, buffers } = golden("empty_frame.json");
  assert.equal(store.apply(header, buffers), "applied");
  assert.equal(store.state.run, null);
  assert.equal(store.state.known, true);
});
