// How the run stands, as far as this page can know it: the run's own word while it is heard, the silence when it is not.
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
