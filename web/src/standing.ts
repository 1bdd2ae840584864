// How the run stands, as far as this page can know it: the run's own word while it is heard, the silence when it is not.
import { clock, duration } from "./format.ts";
import type { State as RunState } from "./messages.ts";
import { ENDED, type State } from "./store.ts";

export type Tone = "good" | "hold" | "bad" | "quiet";

export const WORDS: Record<RunState, string> = {
  initializing: "Starting",
  running: "Running",
  paused: "Paused",
  stopping: "Stopping",
  completed: "Completed",
  failed: "Failed",
  stopped: "Stopped",
  interrupted: "Interrupted",
  lost: "Lost",
};

const TONE: Record<RunState, Tone> = {
  initializing: "quiet",
  running: "good",
  paused: "hold",
  stopping: "hold",
  completed: "good",
  failed: "bad",
  stopped: "quiet",
  interrupted: "hold",
  lost: "bad",
};

/**
 * `heard`: the figures are of now. `reachable`: a command could arrive; a silent trainer still finds it when it wakes,
 * one that is cut off does not.
 */
export type Standing = { word: string; tone: Tone; heard: boolean; reachable: boolean };

export function standing({ run, link, health }: Pick<State, "run" | "link" | "health">): Standing {
  if (!run) return { word: "", tone: "quiet", heard: false, reachable: false };
  const word = WORDS[run.state] ?? run.state;
  const tone = TONE[run.state] ?? "quiet";
  if (health.state === "gone") return { word: `${word}, when last seen`, tone: "quiet", heard: false, reachable: false };
  if (ENDED.has(run.state)) return { word, tone, heard: run.state !== "lost", reachable: false };
  if (link?.state === "disconnected") return { word: "Connection lost", tone: "bad", heard: false, reachable: false };
  if (link?.state === "stale") return { word: "Silent", tone: "hold", heard: false, reachable: true };
  return { word, tone, heard: true, reachable: true };
}

/** "since 14:07 (42 s)", of a time by the kernel's clock; `now` by this page's, in epoch seconds. */
export function since(kernel: number, offset: number, now: number): string {
  const here = kernel + offset;
  return `since ${clock(here, false)} (${duration(now - here)})`;
}

/** What is wrong with the road and since when; "" when nothing is. */
export function trouble({ link, health }: Pick<State, "link" | "health">, now: number): string {
  if (!link || link.message === "") return "";
  return `${sentence(link.message)}${link.since === null ? "" : ` ${sentence(since(link.since, health.offset, now))}`}`;
}

/** What the kernel says in passing, as a sentence of its own. */
export function sentence(text: string): string {
  const words = text.trim();
  if (words === "") return "";
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}${/[.!?…:]$/.test(words) ? "" : "."}`;
}
