// One per model and page: hears frames, keeps the store, speaks to the kernel. Views come and go; this stays.
import { createBrush, type Brush } from "./charts/brush.ts";
import type { Beat, CommandKind, Frame, Incoming, Op, Reply, Request } from "./messages.ts";
import { createPictures, type Pictures } from "./pictures.ts";
import { createRoads, uuid, type ModelLike } from "./roads.ts";
import { createStore, type Asked, type Settings, type Store } from "./store.ts";

export interface Model extends ModelLike {
  get?(name: string): unknown;
  on(name: string, callback: (...args: never[]) => void): void;
  off(name?: string | null, callback?: ((...args: never[]) => void) | null): void;
}

/** What a panel may ask for. */
export interface Send {
  (op: Op, fields?: Record<string, unknown>): Promise<Reply>;
  command(kind: CommandKind, params: Record<string, unknown>, control: string): void;
  set(change: Partial<Omit<Settings, "zoom">>): void;
  zoom(chart: string, range: [number, number] | null): void;
  want(view: object, charts: Iterable<string>): void;
  /** Whether a view shows who did what. */
  audit(view: object, open: boolean): void;
  /** How wide a view shows tiles, in pixels of the screen; 0: no more. */
  tileWidth(view: object, pixels: number): void;
  painted(n: number): void;
  readonly pictures: Pictures;
  readonly brush: Brush;
}

export interface Client {
  readonly store: Store;
  readonly send: Send;
  view(view: object, visible: boolean | null): void;
  dispose(): void;
}

const LEAST_PIXELS = 32;
const MOST_PIXELS = 512; // of a tile
const TICK = 200; // ms between acks, and between looks at the silence
const STALE = 3; // s without a word
const GONE = 10;
const LAG_KEPT = 3000; // ms over which the smallest lag is remembered

/** Ops that must arrive go by the second road too; the others are said again anyway. */
const INSIST = new Set<Op>(["hello", "command", "follow", "axis", "zoom", "rate", "want", "audit"]);
/** Commands that mean the state which the person saw: who was slower than another viewer is told so. */
const OF_A_STATE = new Set<CommandKind>(["pause", "resume", "stop"]);

function nextFrame(act: () => void): void {
  if (document.hidden) setTimeout(act, 250); // no animation frames in a hidden tab
  else requestAnimationFrame(act);
}

export function createClient(model: Model): Client {
  const client = uuid();
  const dashboard = String(model.get?.("dashboard") ?? ""); // the control channel is one for all dashboards of a kernel
  const store = createStore(client, nextFrame);
  const roads = createRoads(model);
  const { state } = store;
  const views = new Map<object, boolean>();
  const wants = new Map<object, string[]>();
  const widths = new Map<object, number>();
  const audits = new Set<object>();
  const paints: number[] = [];
  let lastPainted = -1;
  let lags: { at: number; ms: number }[] = [];
  let lastAcked = 0;
  let saidVisible: boolean | null = null;
  let saidWant: string | null = null;
  let touchedAt = 0;
  let saidPixels = MOST_PIXELS;
  let helloAt = -Infinity;
  let helloWait = 500;
  let pingAt = -Infinity;
  let wantTimer: ReturnType<typeof setTimeout> | undefined;
  const zoomTimers = new Map<string, ReturnType<typeof setTimeout>>();

  const begun = performance.now();
  const reduced = typeof matchMedia === "function" ? matchMedia("(prefers-reduced-motion: reduce)") : null;
  if (reduced?.matches) state.settings.fps = 2;

  const pictures = createPictures(() => state.settings.fps, () => store.touch("picture"));
  store.subscribe((topics) => { // before any view's: all of them show the same picture
    if (topics.has("picture") && pictures.advance()) store.touch("picture");
  });

  function ask(op: Op, fields: Record<string, unknown> = {}): Promise<Reply> {
    const request: Request = { id: uuid(), client, dashboard, op, ...fields };
    return roads.request(request, INSIST.has(op)).then((reply) => {
      const { health } = state;
      if (health.road !== roads.road || op === "ping" || health.rtt === null) {
        health.road = roads.road;
        health.rtt = roads.rtt; // refreshed with the ping only: a figure that changes five times a second is not read
        store.touch("health");
      }
      return reply;
    });
  }

  const visible = (): boolean => !document.hidden && [...views.values()].some(Boolean);
  const wanted = (): string[] => [...new Set([...wants.values()].flat())].sort();

  /** Twice what a tile takes, for the one that is enlarged; in eighths, so that a window being resized says little. */
  function pixels(): number {
    const widest = 2 * Math.max(0, ...widths.values());
    if (widest === 0) return MOST_PIXELS;
    return Math.max(LEAST_PIXELS, Math.min(MOST_PIXELS, Math.ceil(widest / 64) * 64));
  }

  function sayRate(): void {
    saidPixels = pixels();
    void ask("rate", { fps: state.settings.fps, pixels: saidPixels });
  }

  function hello(): void {
    helloAt = performance.now();
    helloWait = Math.min(5000, helloWait * 1.6);
    saidVisible = visible();
    saidWant = wanted().join("\n");
    const { axis, fps } = state.settings;
    saidPixels = pixels();
    void ask("hello", { axis, want: wanted(), fps, pixels: saidPixels, visible: saidVisible, audit: audits.size > 0 });
  }

  function sayVisible(): void {
    if (saidVisible === visible() || !state.known) return;
    saidVisible = visible();
    void ask("visible", { visible: saidVisible });
  }

  function sayWant(): void {
    clearTimeout(wantTimer);
    wantTimer = setTimeout(() => {
      const now = wanted().join("\n");
      if (now === saidWant || !state.known) return;
      saidWant = now;
      void ask("want", { want: wanted() });
    }, 120);
  }

  function hear({ t, age }: Frame | Beat): void {
    const { health } = state;
    const now = Date.now() / 1000;
    health.heard = now;
    health.offset = now - t;
    health.event = age === null ? null : now - age;
  }

  function onFrame(frame: Frame, buffers: DataView[]): void {
    hear(frame);
    const now = performance.now();
    lags.push({ at: now, ms: Date.now() - frame.t * 1000 });
    if (lags.length > 240) lags = lags.slice(-120);
    const outcome = store.apply(frame, buffers);
    if (frame.key && outcome === "applied") {
      helloWait = 500;
      sayVisible();
      sayWant();
    }
    if (outcome === "ask" && now - helloAt > helloWait) hello();
    if (outcome !== "ignored" && frame.tiles && state.batch) pictures.offer(state.batch);
  }

  function onMessage(content: Incoming, buffers: DataView[]): void {
    try {
      if (content?.k === "frame") onFrame(content, buffers ?? []);
      else if (content?.k === "beat") {
        hear(content);
        if (content.origin !== state.origin && state.origin !== null) helloAt = -Infinity;
        if (content.origin !== state.origin && performance.now() - helloAt > helloWait) hello();
      } else if (content?.k === "reply") roads.answered(content);
    } catch (error) {
      console.error("nbmonitor: a message could not be read", error); // the next frame may be sound
    }
  }

  function tick(): void {
    const now = performance.now();
    const { health } = state;
    if (state.n !== lastAcked && state.known) {
      lastAcked = state.n;
      lags = lags.filter((lag) => now - lag.at < LAG_KEPT);
      const lag = lags.reduce((least, one) => Math.min(least, one.ms), Infinity);
      void ask("ack", {
        n: state.n,
        painted: health.paintedPerSecond,
        lag: Number.isFinite(lag) ? Math.round(lag * 10) / 10 : 0,
        visible: visible(),
      });
    }
    if (!state.known && now - helloAt > helloWait) hello();
    if (now - pingAt > 5000 && !document.hidden) {
      pingAt = now;
      void ask("ping");
    }
    while (paints.length > 0 && now - (paints[0] ?? now) > 1000) paints.shift();
    const silence = Math.floor(health.heard === 0 ? (now - begun) / 1000 : Date.now() / 1000 - health.heard);
    const word =
      health.heard === 0 ? "waiting" : silence >= GONE ? "gone" : silence >= STALE ? "stale" : "live";
    if (word !== health.state || ((word === "stale" || word === "waiting") && silence !== health.silence)
      || paints.length !== health.paintedPerSecond || (now - touchedAt > 1000 && !document.hidden)) {
      touchedAt = now; // what is said of ages grows with time alone
      Object.assign(health, { state: word, silence, paintedPerSecond: paints.length });
      store.touch("health");
    }
  }

  function command(kind: CommandKind, params: Record<string, unknown>, control: string): void {
    const run = state.run;
    if (!run) return;
    for (const [id, old] of state.asked) if (old.control === control && old.done) state.asked.delete(id);
    const request: Request = { id: uuid(), client, dashboard, op: "command", run: run.id, kind, params };
    if (OF_A_STATE.has(kind)) request.version = run.version;
    const asked: Asked = {
      id: request.id, kind, control, mode: String(params.mode ?? ""), at: Date.now(), done: false, ok: false, words: "",
    };
    state.asked.set(asked.id, asked);
    store.touch("commands");
    void roads.request(request, true).then((reply) => {
      state.health.road = roads.road;
      if (!reply.ok && !asked.done) {
        asked.done = true;
        asked.words = reply.reason ?? "refused";
      }
      store.touch("commands", "health");
    });
  }

  const send: Send = Object.assign(ask, {
    pictures,
    brush: createBrush(),
    command,
    set(change: Partial<Omit<Settings, "zoom">>) {
      const { settings } = state;
      const before = { ...settings };
      Object.assign(settings, change);
      store.touch("settings");
      if (settings.axis !== before.axis) {
        for (const chart of [...settings.zoom.keys()]) send.zoom(chart, null);
        void ask("axis", { axis: settings.axis });
      }
      if (settings.fps !== before.fps) sayRate();
    },
    zoom(chart: string, range: [number, number] | null) {
      if (range) state.settings.zoom.set(chart, range);
      else state.settings.zoom.delete(chart);
      store.touch("settings");
      clearTimeout(zoomTimers.get(chart));
      zoomTimers.set(chart, setTimeout(() => {
        const at = state.settings.zoom.get(chart);
        void ask("zoom", { chart, axis: state.settings.axis, ...(at ? { lo: at[0], hi: at[1] } : {}) });
      }, 150));
    },
    want(view: object, charts: Iterable<string>) {
      const names = [...charts];
      if (names.length > 0) wants.set(view, names);
      else wants.delete(view);
      sayWant();
    },
    audit(view: object, open: boolean) {
      const before = audits.size > 0;
      if (open) audits.add(view);
      else audits.delete(view);
      if (before !== audits.size > 0) void ask("audit", { open });
    },
    tileWidth(view: object, width: number) {
      if (width > 0) widths.set(view, width);
      else widths.delete(view);
      if (pixels() !== saidPixels && state.known) sayRate();
    },
    painted(n: number) {
      if (n === lastPainted) return; // a second view of the same frame
      lastPainted = n;
      state.health.painted += 1;
      paints.push(performance.now());
    },
  });

  const onHide = (): void => void ask("bye");
  const onVisibility = (): void => sayVisible();
  const onShow = (event: PageTransitionEvent): void => { if (event.persisted) hello(); }; // back from the page cache
  model.on("msg:custom", onMessage as (...args: never[]) => void);
  document.addEventListener("visibilitychange", onVisibility);
  addEventListener("pagehide", onHide);
  addEventListener("pageshow", onShow);
  const timer = setInterval(tick, TICK);
  hello();

  return {
    store,
    send,
    view(view, seen) {
      if (seen === null) views.delete(view);
      else views.set(view, seen);
      sayVisible();
    },
    dispose() {
      onHide();
      clearInterval(timer);
      clearTimeout(wantTimer);
      for (const one of zoomTimers.values()) clearTimeout(one);
      document.removeEventListener("visibilitychange", onVisibility);
      removeEventListener("pagehide", onHide);
      removeEventListener("pageshow", onShow);
      model.off("msg:custom", onMessage as (...args: never[]) => void);
      pictures.dispose();
      roads.dispose();
    },
  };
}
