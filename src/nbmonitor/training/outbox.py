"""The one thread beside the training loop: empties the lanes into a sink and sends signs of life.

What was lost is declared as a :class:`~nbmonitor.events.Gap`. A sink that fails costs what it was given,
never the loop.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from nbmonitor.events import (
    Batch,
    Demand,
    Event,
    Gap,
    Heartbeat,
    Payload,
    RunInfo,
    Scalars,
)
from nbmonitor.training.arrivals import Arrivals
from nbmonitor.training.assembly import Assembly
from nbmonitor.training.columns import EPOCH_KEY
from nbmonitor.training.cpu import OwnCpu
from nbmonitor.training.device import Device
from nbmonitor.training.governor import Figures, Governor
from nbmonitor.training.handover import HANDOVER
from nbmonitor.training.lanes import LEAST_BYTES, MAX_BYTES, ROW_BYTES, VALUE_BYTES, Lanes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nbmonitor.interfaces import Sink
    from nbmonitor.training.notices import Notices

logger = logging.getLogger("nbmonitor")

CHUNK = (
    1 << 20
)  # bytes of rows built and published at a time: no call into C holds the interpreter for a millisecond
BREATH = 50e-6  # seconds between two of them, in which the training thread has the interpreter
WATCHED = 1 / 60  # seconds between two looks while somebody watches and rows come,
ALONE = 0.5  # while nobody watches,
REST = 0.5  # and while somebody does and nothing comes: then a row wakes the worker
WEIGH = 0.1  # seconds between two thoughts of the governor's, at most


class Pulse(Protocol):
    """What the worker asks the run for, on its own thread."""

    def _due(self) -> Iterable[Payload]:
        """Payloads that are due: speed, machine figures, changed facts."""
        ...

    def _position(self) -> tuple[int, float | None]:
        """Step, and the fractional 0-based epoch at it where that is known."""
        ...

    def _heartbeat(self) -> Heartbeat:
        """A sign of life, without the outbox's own figures."""
        ...

    def _felt(self) -> tuple[float, float, float, int]:
        """Seconds that counted, those felt on the training thread, those of them that took frames; frames taken."""
        ...


class Outbox(Lanes):
    """Takes rows, payloads and frames from the training thread; hands events to the sink from its own.

    Parameters
    ----------
    encode
        Makes a :class:`~nbmonitor.events.Batch` of a frame; called on the worker with tiles' widest side in pixels.
    interval
        Seconds between two heartbeats.
    governor
        Says how often pictures are taken and values handed over, and how large tiles are.

    ``frame_interval`` and ``pixels`` are what it says, for the training thread.
    """

    def __init__(
        self,
        sink: Sink,
        info: RunInfo,
        pulse: Pulse,
        encode: Callable[[Any, int], tuple[int, float, Batch]],
        notices: Notices,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        interval: float = 2.0,
        governor: Governor | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        super().__init__(clock, max_bytes)
        self.errors = 0
        self.governor = governor or Governor()
        self.frame_interval = self.governor.interval
        self.pixels = self.governor.side
        self._demand = Demand()
        self._framed = False  # frames were made into pictures since the governor weighed them
        self._next_weighing = 0.0
        self._sink, self._pulse = sink, pulse
        self._notices = notices
        self._monotonic, self._interval = monotonic, interval
        self._cpu = OwnCpu()
        self._assembly = Assembly(info, encode, notices, self.governor, lose=self.lose, clock=clock)
        self._next_rows = 0.0
        self._road, self._least = max_bytes, min(LEAST_BYTES, max_bytes)
        self.device = Device(self.lose, notices, self._bell.ring)
        self._arrivals = Arrivals(self._assembly.columns.named, self.lose)
        self._closing = False
        self._thread: threading.Thread | None = None
        self._next_beat = 0.0
        self._troubled = False  # the sink had a problem at the last beat
        self._busy_until = 0.0
        self._gap_told = self._lost_told = (
            0  # what was lost, as declared, and as of the last heartbeat
        )

    def start(self) -> None:
        """Start the worker; idempotent, and again after :meth:`close`."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._closing = False
        self._refresh_demand()
        try:
            self._sink.heed(self.info.run_id, self._bell.ring)
        except Exception:
            self._failed("its sink could not say when viewers come")
        self._thread = threading.Thread(target=self._work, name="nbmonitor-outbox", daemon=True)
        self._thread.start()

    @property
    def info(self) -> RunInfo:
        """The run whose events they are."""
        return self._assembly.info

    @info.setter
    def info(self, info: RunInfo) -> None:
        self._assembly.info = info

    def event(self, step: int, when: float, payload: Payload) -> Event:
        """One event of the run."""
        return self._assembly.event(step, when, payload)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of series so far."""
        return self._assembly.columns.names

    @property
    def running(self) -> bool:
        """Whether the worker is there."""
        return self._thread is not None and self._thread.is_alive()

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything put in before was handed to the sink; False after ``timeout`` seconds."""
        if not self.running or threading.current_thread() is self._thread:
            return not self._rows
        done = threading.Event()
        self._rows.append((0, 0.0, done, False))
        self._urgent = True
        self._bell.ring()
        return done.wait(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Hand over what is left and end the worker; False when that took longer than ``timeout`` seconds."""
        thread = self._thread
        if thread is None:
            return True
        self._closing = self._urgent = True
        self._bell.ring()
        thread.join(timeout)
        if thread.is_alive():
            logger.warning(
                "The sink of run %r did not take the last events within %.0f s; %d rows wait and end with the process.",
                self.info.name,
                timeout,
                len(self._rows),
            )
            return False
        self._thread = None
        self._notices.log_waiting()
        return True

    # --- the worker --------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            closing = self._closing
            try:
                self._tick()
            except Exception:  # a bug of ours must not end the thread, and with it the picture
                self._failed("its worker met an error")
            if closing:
                if self._arrivals.conclude(self.device.poll, self.pixels):
                    self._urgent = True
                    continue
                HANDOVER.ask(self, False)
                return
            self._nap()

    def _nap(self) -> None:
        now = self._monotonic()
        beat = max(
            WATCHED, self._next_beat - now
        )  # never at once, should a tick have failed before it beat
        if not self._demand.watched:  # who comes to watch rings
            self._bell.wait(min(max(ALONE, self.governor.charts), beat))
        elif now < self._busy_until or self._arrivals.waiting:
            self._bell.wait(min(max(WATCHED, self.governor.charts), beat))
        else:
            self.asleep = True
            if not self._rows and not self._frames:
                self._bell.wait(min(REST, beat))
            self.asleep = False

    def _tick(self) -> None:
        self.device.poll()
        self._refresh_demand(soon=False)
        self._max_bytes = max(self._least, self._road - self._sink.held(self.info.run_id))
        now = self._monotonic()
        if not self._urgent and not self._crowd and now < self._next_rows:
            # Values wait: the governor slowed them down.
            self._publish(self._pictures(self._pulse._position()[0]))
            self._beat()
            return
        self._urgent = False
        self._next_rows = now + self.governor.charts
        # Before the rows are taken: its point on the epoch axis must not overtake theirs.
        step, epoch = self._pulse._position()
        events = self._pictures(step)
        due = list(self._pulse._due())
        if due and epoch is not None:
            self._rows.append((step, self._clock(), {EPOCH_KEY: epoch}, False))
            self.added += ROW_BYTES + VALUE_BYTES
        flushed: list[threading.Event] = []
        events.extend(self._assembly.events(self._arrivals.sift(()), step, flushed))
        left = len(self._rows) + len(self._rescued)  # what comes meanwhile waits for the next tick
        while left > 0:
            rows = self._take(CHUNK, left)
            if not rows:
                break
            left -= len(rows)
            self._busy_until = self._monotonic() + 1.0
            events.extend(self._assembly.events(self._arrivals.sift(rows), step, flushed))
            self._publish(events)
            events = []
            if left > 0 and 2 * (self.added - self.removed) < self._max_bytes:
                time.sleep(BREATH)
        if (
            flushed
        ):  # a frame that was put in before the flush, and after this tick looked for frames
            events.extend(self._pictures(step))
        events.extend(self.event(step, self._clock(), payload) for payload in due)
        lost = self.lost
        if lost > self._gap_told:
            gap = Gap(self._why_lost, lost - self._gap_told)
            events.append(self.event(step, self._clock(), gap))
        if self._publish(events):
            self._gap_told = lost
        for done in flushed:
            done.set()
        self._beat()

    def _pictures(self, step: int) -> list[Event]:
        frames = list(self._arrivals.frames(self._frames, self.pixels))
        if frames:
            self._framed = True
            self._busy_until = self._monotonic() + 1.0
        return list(self._assembly.pictures(frames, self.pixels, step))

    def _publish(self, events: Sequence[Event]) -> bool:
        if not events:
            return True
        try:
            self._sink.publish(events)
        except Exception:
            self._why_lost = "they could not be handed over"
            self.lost += sum(
                len(c.steps)
                for e in events
                if isinstance(e.payload, Scalars)
                for c in e.payload.columns
            )
            self._failed("its sink refused events")
            return False
        return True

    def _beat(self) -> None:
        now = self._monotonic()
        last_word = self._closing and self.lost != self._lost_told
        if now < self._next_beat and not last_word:
            return
        self._next_beat = now + self._interval
        self._tell_trouble(self._sink.problem)
        self._lost_told = self.lost
        beat = self._pulse._heartbeat()
        try:
            self._sink.heartbeat(
                Heartbeat(
                    beat.run_id,
                    beat.step,
                    beat.boundary_age,
                    self._interval,
                    queued=len(self._rows),
                    dropped=self.replaced,
                    lost=self.lost,
                )
            )
        except Exception:
            self._failed("its sink refused a heartbeat")

    def _tell_trouble(self, problem: str) -> None:
        """Nobody may look at a log, and curves that reach nobody are lost when the process ends: warn, once."""
        if (
            problem and self._troubled
        ):  # at two beats in a row: who comes late is not waited for in vain
            self._notices.later(
                "road",
                f"Nothing of run {self.info.name!r} is handed over: {problem} The training goes on; its numbers are "
                "kept, up to a bound, and handed over as soon as that is mended.",
            )
        self._troubled = bool(problem)

    def _refresh_demand(self, *, soon: bool = True) -> None:
        try:
            demand = self._sink.demand(self.info.run_id)
        except Exception:
            demand = Demand()
            self._failed("its sink could not say what viewers want")
        now = self._monotonic()
        if not (soon or self._framed) and demand == self._demand and now < self._next_weighing:
            return
        self._next_weighing, self._framed = now + WEIGH, False
        governor = self.governor
        governor.want(demand.fps, demand.pixels)
        governor.weigh(now, self._assembly.seen)
        if governor.due(now):
            active, felt, pictured, frames = self._pulse._felt()
            figures = Figures(
                now, active, felt, pictured, self._cpu(), self._assembly.encoded, frames
            )
            governor.look(figures, self._assembly.seen)
        self.frame_interval, self.pixels = governor.interval, governor.side
        self._demand = demand
        HANDOVER.ask(self, demand.watched)

    def _failed(self, what: str) -> None:
        self.errors += 1
        if self.errors == 1:
            logger.warning(
                "Run %r: %s; training goes on, what could not be handed over is counted as lost.",
                self.info.name,
                what,
                exc_info=True,  # noqa: LOG014
            )
