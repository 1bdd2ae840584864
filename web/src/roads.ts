// The two roads from this page to the kernel. First the kernel's control channel, which answers in the middle of a
// running cell; after 300 ms without an answer, or where the page has no kernel object, the comm. The same id goes
// on both: the kernel acts upon an id once.
import type { Reply, Request } from "./messages.ts";

export type Road = "control" | "comm" | "none";

export interface KernelLike {
  clientId?: string;
  username?: string;
  sendControlMessage(message: unknown, expectReply: boolean, disposeOnDone: boolean): { done: Promise<unknown> };
}

export interface ModelLike {
  send(content: unknown): void;
  widget_manager?: { kernel?: unknown } | undefined;
}

export interface Roads {
  /** Ask and wait for the answer; `insist` tries the second road too, for what must not be lost. */
  request(request: Request, insist: boolean): Promise<Reply>;
  /** A reply that came over the comm. */
  answered(reply: Reply): void;
  readonly road: Road;
  readonly rtt: number | null;
  dispose(): void;
}

const PATIENCE = 300; // ms before the second road is taken
const GIVE_UP = 5000; // ms before a request counts as unanswered
const PILE = 4; // unanswered comm requests: more would only pile up behind a running cell

export function uuid(): string {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // pages without TLS have no randomUUID
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function kernelOf(model: ModelLike): KernelLike | null {
  try {
    const kernel = model.widget_manager?.kernel as KernelLike | null | undefined;
    return typeof kernel?.sendControlMessage === "function" ? kernel : null;
  } catch {
    return null; // a manager may throw when its kernel is gone
  }
}

/** A debug_request: the one control message for which JupyterLab's busy indicator does not flicker. */
async function byControl(kernel: KernelLike, request: Request): Promise<Reply> {
  const message = {
    channel: "control",
    header: {
      msg_id: uuid(),
      msg_type: "debug_request",
      session: kernel.clientId ?? "",
      username: kernel.username ?? "",
      date: new Date().toISOString(),
      version: "5.3",
    },
    parent_header: {},
    metadata: {},
    content: { seq: 1, type: "request", command: "nbmonitor", arguments: request },
    buffers: [],
  };
  const answer = (await kernel.sendControlMessage(message, true, true).done) as
    | { content?: { command?: string; success?: boolean; body?: Reply } }
    | undefined;
  const body = answer?.content?.body;
  if (answer?.content?.command !== "nbmonitor" || body?.id !== request.id) {
    throw new Error("the control channel has no listener for nbmonitor");
  }
  return body;
}

export function createRoads(model: ModelLike, now: () => number = () => performance.now()): Roads {
  const waiting = new Map<string, (reply: Reply) => void>();
  const timers = new Set<ReturnType<typeof setTimeout>>();
  let road: Road = "none";
  const trips: number[] = []; // the latest round trips: what is shown is their median, not the one odd wait
  let controlSilent = 0; // requests in a row that the control channel left unanswered
  let sentByComm = 0;

  function later(ms: number, act: () => void): () => void {
    const timer = setTimeout(() => {
      timers.delete(timer);
      act();
    }, ms);
    timers.add(timer);
    return () => {
      clearTimeout(timer);
      timers.delete(timer);
    };
  }

  function request(message: Request, insist: boolean): Promise<Reply> {
    return new Promise((resolve) => {
      const start = now();
      let open = true;
      let commSince: number | null = null;
      const cancels: (() => void)[] = [];

      const finish = (reply: Reply, by: Road, since: number): void => {
        if (by === "control") controlSilent = 0;
        if (!open) return;
        open = false;
        for (const cancel of cancels) cancel();
        waiting.delete(message.id);
        if (commSince !== null) sentByComm -= 1;
        road = by;
        if (by !== "none") trips.push(now() - since);
        if (trips.length > 9) trips.shift();
        resolve(reply);
      };

      const takeComm = (): void => {
        if (!open || commSince !== null || (!insist && sentByComm >= PILE)) return;
        commSince = now();
        sentByComm += 1;
        waiting.set(message.id, (reply) => finish(reply, "comm", commSince ?? start));
        try {
          model.send({ k: "request", ...message });
        } catch {
          // the comm is closed: the give-up below says so
        }
      };

      cancels.push(later(GIVE_UP, () => {
        finish({ id: message.id, ok: false, reason: "no answer from the kernel" }, "none", start);
      }));

      const kernel = kernelOf(model);
      if (!kernel) {
        takeComm();
        return;
      }
      const patience = controlSilent > 2 ? 0 : PATIENCE; // known to be silent: both roads at once
      if (insist || controlSilent > 0 || road !== "control") {
        cancels.push(later(patience, () => {
          controlSilent += 1;
          takeComm();
        }));
      } else {
        cancels.push(later(GIVE_UP / 2, () => { controlSilent += 1; }));
      }
      byControl(kernel, message).then(
        (reply) => finish(reply, "control", start),
        () => {
          controlSilent += 1;
          takeComm();
        },
      );
    });
  }

  return {
    request,
    answered(reply) {
      waiting.get(reply.id)?.(reply);
    },
    get road() {
      return road;
    },
    get rtt() {
      return trips.length === 0 ? null : ([...trips].sort((a, b) => a - b)[trips.length >> 1] ?? null);
    },
    dispose() {
      for (const timer of timers) clearTimeout(timer);
      timers.clear();
      waiting.clear();
    },
  };
}
