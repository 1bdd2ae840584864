// A kernel that is not there: it plays a run, makes frames with real JPEGs, and obeys commands after a while.
import type {
  EventView, Frame, LinkView, MarkView, Reply, Request, RunRef, RunView, SeriesView, State, TilesView, Wheel,
} from "../src/messages.ts";
import { drawMosaic } from "./mosaic.ts";

export type Options = {
  state: string; metrics: number; hostile: boolean; size: number; fps: number; road: string; delay: number; names: string;
  runs: RunRef[]; wheel: string; locked: boolean;
};

const NO_LINK: LinkView = { state: "connected", kind: "kernel", address: "", since: null, quiet: null, rttMs: null, reconnects: 0, dropped: 0, lost: 0, message: "" };
const REMOTE: LinkView = { ...NO_LINK, kind: "remote", address: "gpu-box:50051", rttMs: 14, reconnects: 3, dropped: 120, lost: 0 };

const HOSTILE = "<img src=x onerror=alert(1)>\ud800 \u0007\u202eabc";
const NAMES: Record<string, string[]> = {
  digits: [..."0123456789"],
  fashion: ["T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"],
  few: ["zero", "one"],
};

export function createKernel(options: Options) {
  const listeners = new Set<(content: unknown, buffers: DataView[]) => void>();
  const started = Date.now() / 1000 - 151;
  const origin = Math.random().toString(36).slice(2);
  const names = options.hostile ? Array.from({ length: 10 }, (_, k) => `${HOSTILE} ${k}`) : NAMES[options.names] ?? [];
  let n = 0;
  let step = 2104;
  let lr: number = 0.0008;
  let batchSize = 16;
  let axis: "step" | "epoch" | "time" = "step";
  let cap = 60;
  let tileId = 0;
  let hello = false;
  let window: { chart: string; lo: number; hi: number; client: string } | null = null;
  const opened = Date.now() / 1000;
  let heard = opened;
  let audit = false;
  let wheel: Wheel | null = options.wheel === ""
    ? null : { by: options.wheel, mine: options.wheel === "you", locked: options.locked, since: opened - 500 };
  const ended = ["completed", "failed", "stopped", "lost", "interrupted"].includes(options.state);
  let state: State = ended || options.state === "paused" ? (options.state as State) : "running";
  const pending: { request: Request; at: number }[] = [];
  const marks: MarkView[] = options.metrics > 0
    ? [{ id: "m1", step: 1450, time: started + 95, epoch: 3.2, label: "learning rate ÷ 10", kind: "command" }] : [];
  const events: EventView[] = [
    { id: "e1", time: started + 20, kind: "epoch", mark: "", text: "Epoch 4: loss 0.131, accuracy 95.9 %" },
    { id: "e2", time: started + 60, kind: "command", mark: "no", text: "Batch size 0", tail: "refused: must be 1 to 4,096", who: "you" },
    { id: "e3", time: started + 90, kind: "command", mark: "ok", text: "Paused", tail: "at step 2,090", who: "you · 14 ms" },
    { id: "e4", time: started + 111, kind: "status", mark: "ok", text: "Resumed after 21 s", tail: "at step 2,090", who: "you" },
    { id: "e5", time: started + 125, kind: "command", mark: "ok", text: "Learning rate", before: "0.0080", after: "0.0008", tail: "at step 2,104", who: "you · 9 ms" },
  ];
  if (options.hostile) events.push({ id: "e6", time: started + 130, kind: "log", mark: "warn", text: HOSTILE, before: "<b>1</b>", after: HOSTILE, tail: HOSTILE, who: HOSTILE });

  function run(): RunView {
    const config: Record<string, string> = options.hostile ? { [HOSTILE]: HOSTILE } : { lr: "0.008", epochs: "10" };
    return {
      id: "r1", name: options.hostile ? HOSTILE : "digits-cnn", state, started, ended: ended ? started + 192 : null,
      message: options.state === "failed" ? (options.hostile ? HOSTILE : "RuntimeError: mat1 and mat2 shapes cannot be multiplied (32x512 and 256x10)") : "",
      classNames: names, model: "SmallCNN", dataset: "digits 32×32", notes: "", config,
      controls: {
        pause: true, stop: true,
        learning_rate: { value: lr, scheduled: options.state !== "failed" }, batch_size: { value: batchSize, max: 4096 },
      },
      steerable: !ended, why: ended ? "the run has ended" : "", wheel, version: 1, rank: 0, worldSize: 1,
    };
  }

  const noise = (k: number): number => { const v = Math.sin(k * 12.9898) * 43758.5453; return v - Math.floor(v) - 0.5; };
  const lossAt = (k: number): number => (2.2 * Math.exp(-k / 420) + 0.1 - (k > 1450 ? 0.03 : 0)) * (1 + noise(k) * 0.35);
  const accAt = (k: number): number => Math.min(1, 0.98 - 0.85 * Math.exp(-k / 300) + noise(k + 7) * 0.03);
  const xOf = (k: number): number => (axis === "step" ? k : axis === "epoch" ? k / 450 : started + k / 15);
  const kOf = (x: number): number => (axis === "step" ? x : axis === "epoch" ? x * 450 : (x - started) * 15);

  function series(frame: Frame, buffers: DataView[], only?: { chart: string; lo: number; hi: number }): void {
    frame.series = [];
    const add = (name: string, chart: string, split: "train" | "val", kind: "step" | "epoch", f: (k: number) => number): void => {
      if (only && only.chart !== chart) return;
      const every = kind === "epoch" ? 450 : only ? Math.max(0.25, (kOf(only.hi) - kOf(only.lo)) / 1000) : Math.max(1, step / 1000);
      const from = kind === "epoch" ? 450 : only ? Math.max(0, kOf(only.lo)) : 0;
      const to = only ? Math.min(step, kOf(only.hi)) : step;
      const xs: number[] = [];
      const ys: number[] = [];
      for (let k = from; k <= to; k += every) { xs.push(xOf(k)); ys.push(f(k)); }
      if (options.hostile && kind === "step" && ys.length > 20) { ys[10] = NaN; ys[11] = Infinity; }
      const view: SeriesView = {
        name, chart, split, kind, total: kind === "epoch" ? Math.floor(step / 450) : step,
        last: options.hostile && chart === "loss" ? "NaN" : ys.at(-1) ?? "NaN", axis, x: buffers.length, y: buffers.length + 1,
      };
      if (only) view.window = [only.lo, only.hi];
      buffers.push(new DataView(new Float64Array(xs).buffer), new DataView(new Float32Array(ys).buffer));
      frame.series?.push(view);
    };
    if (options.metrics > 0) add("loss", "loss", "train", "step", lossAt);
    if (options.metrics > 0) add("val_loss", "loss", "val", "epoch", (k) => lossAt(k) * 1.2 + 0.02);
    if (options.metrics > 1) add("accuracy", "accuracy", "train", "step", accAt);
    if (options.metrics > 1) add("val_accuracy", "accuracy", "val", "epoch", (k) => accAt(k) - 0.01);
    if (options.state === "labels") {
      add("train_loss", "loss", "train", "step", (k) => lossAt(k) * 1.4);
      add("test_loss", "loss", "val", "epoch", (k) => lossAt(k) * 1.6);
      add("acc", "acc", "train", "step", (k) => accAt(k) * 100);
      add("tiny", "tiny", "train", "step", () => 1e-5);
      add("huge", "huge", "train", "step", () => 1e8);
      add("test_f1", "f1", "val", "epoch", (k) => accAt(k));
      marks.splice(0, marks.length, { id: "m2", step: 1100, time: started + 75, epoch: 2.4, label: "batch size 32 → 64", kind: "command" });
    }
    if (options.metrics > 2) add("lr", "lr", "train", "step", (k) => (k > 1450 ? 0.0008 : 0.008));
    const groups = ["loss", "grad_norm", "layer1", "optim"];
    for (let k = 3; k < options.metrics; k += 1) {
      const name = options.hostile && k === 3 ? `${HOSTILE}/x` : `${groups[k % 4]}/part_${k}`;
      add(name, name, "train", "step", (at) => (1 + k) * Math.exp(-at / 900) + noise(at + k) * 0.2 + (k % 3) * 1000 ** (k % 2));
    }
    if (only || options.metrics === 0) return;
    const gpu = options.state !== "cpu";
    const machine: [string, (k: number) => number][] = [
      ["cpu", (k) => 63 + 12 * Math.sin(k / 90)], ["memory_mb", (k) => 1900 + 60 * Math.sin(k / 300)], ["memory_total_mb", () => 7900],
      ...(gpu ? ([["gpu0/percent", (k: number) => 91 + 6 * Math.sin(k / 50)], ["gpu0/memory_mb", () => 11469], ["gpu0/memory_total_mb", () => 24576]] as [string, (k: number) => number][]) : []),
    ];
    for (const [name, f] of machine) add(`system/${name}`, `system/${name}`, "train", "step", f);
  }

  function emit(frame: Partial<Frame>, buffers: DataView[]): void {
    n += 1;
    const whole = { k: "frame", v: 1, n, t: Date.now() / 1000, origin, age: Date.now() / 1000 - heard, ...frame } as Frame;
    for (const listener of listeners) listener(JSON.parse(JSON.stringify(whole)), buffers);
  }

  function perf(): Partial<Frame> {
    return {
      perf: {
        step, split: "train", epoch: Math.floor(step / 450) + 1, epochs: 10, batch: step % 450, batches: 450,
        progress: Math.min(1, step / 4500), eta: state === "running" ? (4500 - step) / 15 : null, fps: state === "paused" ? 0 : 58.9 + noise(step), fpsAverage: 57.2,
        samplesPerSecond: state === "paused" ? 0 : 942, stepMs: 16.9, overhead: 0.004, delay: 0.0002, workerCpu: 0.06, limits: "", silent: options.state === "silent" ? 34 : null,
      },
      link: options.state === "stale"
        ? { ...NO_LINK, state: "stale", kind: "process", since: opened - 12, quiet: opened - 12, message: "No sign of life from the trainer: waiting for it." }
        : options.state === "linkdown"
        ? { ...REMOTE, state: "disconnected", since: opened - 42, quiet: opened - 43, rttMs: null, message: "No connection to the server at gpu-box:50051: trying again." }
        : options.state === "slow" ? { ...REMOTE, state: "degraded", rttMs: 1830, since: opened - 7, message: "The road is slow: fewer pictures come, no number is left out." }
        : options.state === "remote" ? REMOTE : NO_LINK,
    };
  }

  async function tiles(frame: Partial<Frame>, buffers: DataView[]): Promise<void> {
    tileId += 1;
    const { jpeg, truth } = await drawMosaic(options.size, step, options.state === "badjpeg");
    const wrong = new Set([(step * 7) % 16, (step * 3 + 5) % 16]);
    const view: TilesView = {
      id: tileId, step, epoch: 5, batch: step % 450, split: "train", time: Date.now() / 1000, count: options.state === "three" ? 3 : 16,
      elided: 0, right: 14, counted: 16, loss: 0.0873,
      mosaic: { buffer: buffers.length, mime: "image/jpeg", columns: 4, rows: 4, width: options.size, height: options.size },
      predicted: truth.map((t, k) => (wrong.has(k) ? (t + 5) % 10 : t)),
      confidence: truth.map((_, k) => (options.hostile && k === 4 ? null : wrong.has(k) ? 0.61 : 0.91 + ((k * 37) % 9) / 100)),
      truth: truth.map((t, k) => (options.hostile && k === 5 ? null : t)),
    };
    if (options.state === "nan") Object.assign(view, { predicted: truth.map(() => null), confidence: truth.map(() => null), right: 0, counted: 0 });
    if (options.state === "images") {
      delete view.mosaic;
      Object.assign(view, { count: 3, images: [buffers.length, null, buffers.length], labels: ["cat", null, "<dog>"], right: null, counted: null });
    }
    buffers.push(jpeg);
    frame.tiles = view;
  }

  async function key(): Promise<void> {
    const buffers: DataView[] = [];
    const none = options.state === "norun";
    const frame: Partial<Frame> = { key: true, runs: none ? [] : [{ id: "r1", name: run().name, state, started, step }, ...options.runs], run: none ? null : run() };
    if (!none) {
      Object.assign(frame, perf());
      if (options.state !== "nodata") {
        series(frame as Frame, buffers);
        frame.marks = marks;
        frame.events = events;
        if (options.state !== "notiles") await tiles(frame, buffers);
      }
    }
    hello = true;
    emit(frame, buffers);
  }

  function receive(request: Request): Reply {
    const { op } = request;
    if (options.state === "mute") return { id: request.id, ok: false, reason: "not here" };
    if (op === "hello") { axis = request.axis as typeof axis; cap = Number(request.fps); void key(); }
    if (op === "axis") { axis = request.axis as typeof axis; void key(); }
    if (op === "rate") cap = Number(request.fps);
    if (op === "zoom") {
      window = "lo" in request ? { chart: String(request.chart), lo: Number(request.lo), hi: Number(request.hi), client: request.client } : null;
    }
    if (op === "audit") { audit = request.open === true; sayAudit(); }
    if (op === "command") {
      if (request.kind === "set_batch_size" && Number((request.params as { value: number }).value) < 1) {
        return { id: request.id, ok: false, reason: "refused: must be 1 to 4,096" };
      }
      pending.push({ request, at: Date.now() + options.delay });
    }
    return { id: request.id, ok: true };
  }

  function sayAudit(): void {
    const rows: EventView[] = [
      { id: "a5", time: opened - 30, kind: "audit", mark: "ok", text: "Learning rate", before: "0.0080", after: "0.0008", tail: "at step 2,104", who: "you" },
      { id: "a4", time: opened - 60, kind: "audit", mark: "no", text: "Pause", tail: "refused: ada has the wheel since 14:07", who: "bob@laptop" },
      { id: "a3", time: opened - 80, kind: "audit", mark: "ok", text: "Took the wheel", who: "ada@gpu-box" },
      { id: "a2", time: opened - 400, kind: "audit", mark: "no", text: "Refused", tail: "the token is wrong, from 10.0.0.7:51234", who: "" },
      { id: "a1", time: opened - 500, kind: "audit", mark: "", text: "Attached", tail: "from 10.0.0.4:50122", who: options.hostile ? HOSTILE : "ada@gpu-box" },
    ];
    if (audit) emit({ audit: { lines: rows, why: "" } }, []);
  }

  function obey(): void {
    while (pending[0] && pending[0].at <= Date.now()) {
      const { request } = pending.shift() as (typeof pending)[0];
      const params = request.params as { value?: number; mode?: string };
      const event: EventView = { id: `c${request.id}`, time: Date.now() / 1000, kind: "command", mark: "ok", text: "", tail: `at step ${step}`, who: "you · 9 ms", command: request.id, state: "applied" };
      if (request.kind === "pause") { state = "paused"; event.text = "Paused"; }
      if (request.kind === "resume") { state = "running"; event.text = "Resumed"; }
      if (request.kind === "wheel") {
        const mode = params.mode ?? "";
        const since = Date.now() / 1000;
        if (mode === "take") wheel = { by: "you", mine: true, locked: false, since };
        else if (mode === "give") wheel = { by: String((request.params as { to: string }).to), mine: false, locked: false, since };
        else if (mode === "release") wheel = null;
        else if (wheel) wheel = { ...wheel, locked: mode === "lock" };
        event.text = `The wheel: ${mode}`;
      }
      if (request.kind === "stop") { state = "stopping"; event.text = "Stop"; }
      if (request.kind === "set_learning_rate") {
        const before = lr;
        if (params.mode === "scale") lr *= params.value ?? 1;
        if (params.mode === "set") lr = params.value ?? lr;
        Object.assign(event, { text: "Learning rate", before: String(before), after: String(lr) });
        marks.push({ id: event.id, step, time: Date.now() / 1000, epoch: step / 450, label: `learning rate → ${lr}`, kind: "command" });
      }
      if (request.kind === "set_batch_size") { event.text = "Batch size"; event.before = String(batchSize); batchSize = params.value ?? 16; event.after = String(batchSize); }
      events.push(event);
      emit({ run: run(), events: [event], marks }, []);
    }
  }

  let charts = 0;
  let lastTiles = 0;
  async function tick(): Promise<void> {
    if (!hello || options.state === "gone" || options.state === "norun" || ended) return;
    obey();
    if (state !== "running" || options.state === "nodata") { emit(perf(), []); return; }
    step += 1;
    heard = Date.now() / 1000;
    const buffers: DataView[] = [];
    const frame = perf();
    const now = performance.now();
    if (now - lastTiles > 900 / Math.min(cap, options.fps) && options.state !== "notiles") {
      lastTiles = now;
      await tiles(frame, buffers);
    }
    if (now - charts > 100) {
      charts = now;
      series(frame as Frame, buffers);
    }
    emit(frame, buffers);
    if (window && charts === now) {
      const fine: DataView[] = [];
      const part: Partial<Frame> = { to: window.client };
      series(part as Frame, fine, window);
      emit(part, fine);
    }
  }
  setInterval(() => void tick(), 1000 / options.fps);

  const kernel = {
    clientId: "demo", username: "",
    sendControlMessage(message: { content: { arguments: Request } }) {
      if (options.road !== "control") return { done: new Promise(() => undefined) };
      const request = message.content.arguments;
      const body = receive(request);
      const reply = { content: { type: "response", command: "nbmonitor", success: true, body } };
      return { done: new Promise((resolve) => setTimeout(() => resolve(reply), 3)) };
    },
  };
  return {
    widget_manager: options.road === "nokernel" ? {} : { kernel },
    on: (_: string, listener: never) => void listeners.add(listener),
    off: () => listeners.clear(),
    send(content: Request) {
      if (options.road === "none") return;
      const reply = receive(content);
      setTimeout(() => { for (const listener of listeners) listener({ k: "reply", ...reply }, []); }, 5);
    },
  };
}
