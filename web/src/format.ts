// Numbers, times and names as words. Pure; every value from a run goes through here on its way to the page.
import type { Num } from "./messages.ts";

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** The float behind a `Num`. */
export function num(value: Num | null | undefined): number {
  return value === null || value === undefined ? NaN : Number(value);
}

function nonFinite(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  return value > 0 ? "∞" : "−∞";
}

function minus(text: string): string {
  return text.replaceAll("-", "−");
}

/** Four significant digits, trailing zeros kept so that a live figure does not change its width. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return nonFinite(value);
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return minus(value.toExponential(2).replace("e+", "e"));
  if (size >= 9999.5) return minus(grouped.format(value));
  return minus(value.toPrecision(4));
}

/** As few digits as tell the value: for settings that a person types ("0.0008", not "0.0008000"). */
export function plain(value: number): string {
  if (!Number.isFinite(value)) return nonFinite(value);
  const short = Number(value.toPrecision(4));
  const size = Math.abs(short);
  if (short !== 0 && (size < 1e-4 || size >= 1e7)) return short.toExponential().replace("e+", "e");
  return String(short);
}

export function count(value: number): string {
  return Number.isFinite(value) ? minus(grouped.format(value)) : nonFinite(value);
}

/** 0.974 → "97.4 %". */
export function percent(fraction: number, digits = 1): string {
  if (!Number.isFinite(fraction)) return nonFinite(fraction);
  return `${minus((fraction * 100).toFixed(digits))} %`;
}

/** Confidence under a tile: "91%", "?" where there is none or it is no number. */
export function confidence(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(Number(value))) return "?";
  return `${Math.round(Number(value) * 100)}%`;
}

export function rate(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  return value >= 999.5 ? count(value) : value.toFixed(value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2);
}

/** Seconds in two units: "41 s", "2 m 41 s", "1 h 05 m", "3 d 04 h". */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const s = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, "0");
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m ${two(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} m`;
  return `${Math.floor(s / 86400)} d ${two(Math.floor((s % 86400) / 3600))} h`;
}

/** Wall clock of epoch seconds, in the zone of the person who looks. */
export function clock(seconds: number, withSeconds = true): string {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return "–";
  const parts = [date.getHours(), date.getMinutes(), ...(withSeconds ? [date.getSeconds()] : [])];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

/** Megabytes: "512 MB", "1.9 GB"; with a total "11.2 / 24 GB". */
export function memory(mb: number, total?: number): string {
  const of = total !== undefined && Number.isFinite(total) && total > 0 ? total : undefined;
  const inGb = (of ?? mb) >= 1000;
  const show = (value: number): string => {
    if (!inGb) return count(value);
    const gb = value / 1024;
    return gb >= 99.95 ? count(gb) : gb.toFixed(1).replace(/\.0$/, "");
  };
  const unit = inGb ? "GB" : "MB";
  return of === undefined ? `${show(mb)} ${unit}` : `${show(mb)} / ${show(of)} ${unit}`;
}

export function milliseconds(ms: number): string {
  if (!Number.isFinite(ms)) return "–";
  return ms < 1 ? "< 1 ms" : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

// Control characters and the marks that turn the direction of what follows.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const HALF = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** Text that shows what it holds: control characters as their pictures, half surrogates as �. */
export function clean(text: string): string {
  return text.replace(HALF, "\ufffd").replace(UNSEEN, (char) => {
    const code = char.charCodeAt(0);
    if (code === 10 || code === 9) return char; // white space: the page folds it
    if (code < 32) return String.fromCharCode(0x2400 + code);
    return code === 127 ? "\u2421" : "\ufffd";
  });
}

export function shorten(text: string, length: number): string {
  const points = Array.from(text);
  return points.length <= length ? text : `${points.slice(0, length - 1).join("")}…`;
}
