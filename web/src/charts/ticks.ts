// Ticks that can be told apart and read, whatever the size of the values: round steps, and texts as short as they can be.
import { count } from "../format.ts";

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

/** Ticks of elapsed time: "0:30", "1:05:00". */
export function timeTicks(lo: number, hi: number, most: number): { tickvals: number[]; ticktext: string[] } {
  const span = Math.max(1, hi - lo);
  const step = STEPS.find((one) => span / one <= most) ?? Math.ceil(span / most / 86400) * 86400;
  const tickvals: number[] = [];
  for (let at = Math.ceil(lo / step) * step; at <= hi; at += step) tickvals.push(at);
  const two = (value: number): string => String(value).padStart(2, "0");
  const ticktext = tickvals.map((at) => {
    const hours = Math.floor(at / 3600);
    const minutes = Math.floor((at % 3600) / 60);
    return hours > 0 ? `${hours}:${two(minutes)}:${two(at % 60)}` : `${minutes}:${two(at % 60)}`;
  });
  return { tickvals, ticktext };
}

/** Ticks of a logarithmic axis at 1, 2, 5; at 1 and 3; or at whole decades: as many as can be read. */
export function logTicks(lo: number, hi: number): object {
  const decades = Math.log10(hi / lo);
  if (!(decades >= 0.5) || !Number.isFinite(decades)) return { nticks: 4 };
  const digits = decades <= 1.6 ? [1, 2, 5] : decades <= 4 ? [1, 3] : [1];
  const every = Math.max(1, Math.ceil(decades / 7));
  const tickvals: number[] = [];
  for (let power = Math.floor(Math.log10(lo)); power <= Math.ceil(Math.log10(hi)); power += every) {
    for (const digit of digits) tickvals.push(Number(`${digit}e${power}`));
  }
  return { tickmode: "array", tickvals };
}

function roundTicks(lo: number, hi: number, most: number): { step: number; tickvals: number[] } {
  const rough = (hi - lo) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((one) => one * power >= rough * 0.999) ?? 10);
  const tickvals: number[] = [];
  for (let at = Math.ceil(lo / step - 1e-9); at * step <= hi + step * 1e-9; at += 1) tickvals.push(at * step + 0); // never −0
  return { step, tickvals };
}

/** Ticks of steps or epochs, at most `most`: "1,000", "2.5". */
export function countTicks(lo: number, hi: number, most: number): { tickvals: number[]; ticktext: string[] } {
  const { step, tickvals } = roundTicks(lo, hi, most);
  return { tickvals, ticktext: tickvals.map((at) => (step < 1 ? tickText(at, step) : count(at))) };
}

/** A tick's text with as many digits as tell it from the next one, `step` away. */
export function tickText(value: number, step: number): string {
  if (Math.abs(value) < step / 1e6) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)) + 1e-9);
  const digits = Math.max(0, size - Math.floor(Math.log10(step) + 1e-9));
  if (Math.abs(value) >= 1e6 || step < 9.9e-4) {
    return value.toExponential(Math.min(20, digits)).replace("e+", "e").replaceAll("-", "−");
  }
  return value.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9))).replaceAll("-", "−");
}

const FLAT = 1e-6; // of the size: closer together than a float32 tells apart

export type Scale = { range: [number, number]; tickvals: number[]; ticktext: string[] };

/**
 * A linear axis over low..high with about `most` ticks. Values that are all one stand in the middle of a range of their
 * own size; `fromZero`: the axis starts at zero, unless values are below it.
 */
export function linearScale(low: number, high: number, most: number, fraction: boolean, fromZero: boolean): Scale {
  let [lo, hi] = fromZero ? [Math.min(0, low), Math.max(0, high)] : [low, high];
  if (hi - lo <= Math.max(Math.abs(hi), Math.abs(lo)) * FLAT) {
    const room = Math.abs(hi) * 0.55 || 1.1;
    [lo, hi] = [lo - room, hi + room];
  } else {
    const room = (hi - lo) * 0.055;
    [lo, hi] = [lo < 0 || !fromZero ? lo - room : lo, hi + room];
  }
  const { step, tickvals } = roundTicks(lo, hi, most + 1.5);
  const text = (value: number): string => (fraction ? `${tickText(value * 100, step * 100)}%` : tickText(value, step));
  return { range: [lo, hi], tickvals, ticktext: tickvals.map(text) };
}
