// Every message between the kernel and this page: the mirror of `notebook/frames.py`, described in docs/frames.md.

/** A number that may be non-finite; JSON cannot carry those, so they travel as words. */
export type Num = number | "NaN" | "Infinity" | "-Infinity";

export type State =
  | "initializing"
  | "running"
  | "paused"
  | "stopping"
  | "completed"
  | "failed"
  | "stopped"
  | "interrupted"
  | "lost";

export type Axis = "step" | "epoch" | "time";

export type Frame = {
  k: "frame";
  v: 1;
  n: number;
  t: number;
  origin: string;
  age: number | null;
  key?: true;
  to?: string;
  runs?: RunRef[];
  following?: boolean;
  run?: RunView | null;
  perf?: PerfView;
  series?: SeriesView[];
  marks?: MarkView[];
  tiles?: TilesView;
  wrong?: WrongView;
  events?: EventView[];
  link?: LinkView;
  audit?: AuditView;
};

export type Beat = { k: "beat"; t: number; origin: string; age: number | null };

export type RunRef = { id: string; name: string; state: State; started: number; step: number };

export type Wheel = { by: string; mine: boolean; locked: boolean; since: number };

export type LearningRate = { value: Num; scheduled: boolean; pinned?: boolean };
export type BatchSize = { value: number; max: number | null };

export type RunView = {
  id: string;
  name: string;
  state: State;
  message: string;
  started: number;
  ended: number | null;
  classNames: string[];
  model: string;
  dataset: string;
  notes: string;
  config: Record<string, string>;
  controls: {
    pause?: true;
    stop?: true;
    learning_rate?: LearningRate;
    batch_size?: BatchSize;
    [name: string]: unknown;
  };
  steerable: boolean;
  why: string;
  wheel: Wheel | null;
  version: number;
  rank: number;
  worldSize: number;
};

export type PerfView = {
  step: number;
  split: string;
  epoch: number | null;
  epochs: number | null;
  batch: number | null;
  batches: number | null;
  progress: number | null;
  eta: number | null;
  fps: number;
  fpsAverage: number;
  samplesPerSecond: number | null;
  stepMs: number | null;
  overhead: number | null;
  delay: number | null;
  workerCpu: number | null;
  limits: string;
  silent: number | null;
};

export type LinkView = {
  state: "connected" | "degraded" | "stale" | "disconnected";
  kind: "kernel" | "process" | "remote";
  address: string;
  since: number | null;
  quiet: number | null;
  rttMs: number | null;
  reconnects: number;
  dropped: number;
  lost: number;
  message: string;
};

export type AuditView = { lines: EventView[]; why: string };

export type SeriesView = {
  name: string;
  chart: string;
  split: "train" | "val";
  kind: "step" | "epoch";
  total: number;
  last: Num;
  best?: Num;
  x?: number;
  y?: number;
  axis?: Axis;
  window?: [number, number];
};

export type MarkView = {
  id: string;
  step: number;
  time: number;
  epoch: number;
  label: string;
  kind: "command" | "gap" | "status";
};

export type Mosaic = {
  buffer: number;
  mime: string;
  columns: number;
  rows: number;
  width: number;
  height: number;
};

export type TilesView = {
  id: number;
  step: number;
  epoch: number | null;
  batch: number | null;
  split: string;
  time: number;
  count: number;
  elided: number;
  right: number | null;
  counted: number | null;
  loss?: Num;
  mosaic?: Mosaic;
  images?: (number | null)[];
  predicted: (number | null)[];
  confidence: (number | null)[];
  truth: (number | null)[];
  labels?: (string | null)[];
};

export type WrongView = { tiles: { tiles: TilesView; index: number }[] };

export type CommandState =
  | "queued"
  | "sent"
  | "delivered"
  | "applied"
  | "rejected"
  | "expired"
  | "unconfirmed";

export type EventView = {
  id: string;
  time: number;
  kind: "status" | "command" | "epoch" | "log" | "gap" | "alert" | "checkpoint" | "audit";
  mark: "ok" | "no" | "wait" | "warn" | "";
  text: string;
  before?: string;
  after?: string;
  tail?: string;
  who?: string;
  command?: string;
  state?: CommandState;
};

export type Op =
  | "hello"
  | "bye"
  | "ack"
  | "axis"
  | "want"
  | "zoom"
  | "rate"
  | "visible"
  | "follow"
  | "command"
  | "audit"
  | "ping";

export type CommandKind = "pause" | "resume" | "stop" | "set_learning_rate" | "set_batch_size" | "wheel";

export type Request = { id: string; client: string; dashboard: string; op: Op } & Record<string, unknown>;
export type Reply = { id: string; ok: boolean; reason?: string };
export type CommReply = Reply & { k: "reply" };

export type Incoming = Frame | Beat | CommReply;
