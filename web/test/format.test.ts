import assert from "node:assert/strict";
import { test } from "node:test";
import { clean, clock, confidence, duration, figure, memory, milliseconds, num, percent, plain, rate, shorten } from "../src/format.ts";

test("figures have four significant digits and keep their width", () => {
  assert.equal(figure(0.0873), "0.08730");
  assert.equal(figure(0.11214), "0.1121");
  assert.equal(figure(12345.6), "12,346");
  assert.equal(figure(0.00001234), "1.23e−5");
  assert.equal(figure(-2.5), "−2.500");
  assert.equal(figure(0), "0");
  assert.equal(figure(NaN), "NaN");
  assert.equal(figure(num("-Infinity")), "−∞");
});

test("settings are written as a person would", () => {
  assert.equal(plain(0.0008), "0.0008");
  assert.equal(plain(0.1 + 0.2), "0.3");
  assert.equal(plain(8e-5), "8e-5");
  assert.equal(plain(512), "512");
  assert.deepEqual([plain(1e-10), plain(0.00031416), plain(0.0083647123)], ["1e-10", "0.0003142", "0.008365"]);
});

test("percent, confidence, rates", () => {
  assert.equal(percent(0.974), "97.4 %");
  assert.equal(confidence(0.914), "91%");
  assert.equal(confidence(null), "?");
  assert.equal(confidence(NaN), "?");
  assert.deepEqual([rate(0), rate(0.5), rate(58.94), rate(942), rate(12345)], ["0", "0.50", "58.9", "942", "12,345"]);
});

test("times", () => {
  assert.equal(duration(161), "2 m 41 s");
  assert.equal(duration(41.4), "41 s");
  assert.equal(duration(3900), "1 h 05 m");
  assert.equal(duration(3 * 86400 + 4 * 3600), "3 d 04 h");
  assert.match(clock(1_700_000_000), /^\d\d:\d\d:\d\d$/);
  assert.equal(clock(NaN), "–");
  assert.equal(milliseconds(0.4), "< 1 ms");
  assert.equal(milliseconds(2500), "2.5 s");
});

test("memory", () => {
  assert.equal(memory(512), "512 MB");
  assert.equal(memory(1945.6), "1.9 GB");
  assert.equal(memory(11469, 24576), "11.2 / 24 GB");
});

test("text shows control characters, half surrogates and direction marks, and is otherwise itself", () => {
  assert.equal(clean("a\u0007b"), "a␇b");
  assert.equal(clean("\ud800x\udc00"), "�x�");
  assert.equal(clean("😀"), "😀");
  assert.equal(clean("a\u202eb"), "a�b");
  assert.equal(clean("a\nb"), "a\nb");
  assert.equal(clean("<b>&amp;"), "<b>&amp;");
  assert.equal(shorten("abcdef", 4), "abc…");
  assert.equal(shorten("😀😀", 2), "😀😀");
});
