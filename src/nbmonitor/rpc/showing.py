"""One watch, as the server shows it: what is said when, within what the viewer's road carries."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import grpc

from nbmonitor.events import Batch, Event, Scalars, Status
from nbmonitor.rpc.buffer import together
from nbmonitor.rpc.codec import viewer as wire
from nbmonitor.rpc.limits import Refused
from nbmonitor.rpc.pacing import PATIENCE, Pacing
from nbmonitor.subscription import weight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nbmonitor.broker import Broker
    from nbmonitor.events import Demand, RunInfo
    from nbmonitor.interfaces import SeriesInfo
    from nbmonitor.rpc.encoded import Encoded
    from nbmonitor.subscription import Subscription

TICK = (
    0.5  # seconds: a watch says something at least that often, so that silence means a broken link
)
FRAMES = 60.0  # answers a second of one watch, at most
SLACK = 0.004  # seconds by which a picture may be early: the clock of a tick is no better
SPARSE = 200  # events of a first picture
REFRESH = 0.25  # seconds between two descriptions of a run, or two indexes of its series
REFRESH_SELDOM = 1.0  # the same for every run while no state changes, and on a narrow road
FEW = 16  # watches of a server up to which each is shown as fast as it can be
MERGE = 4  # blocks of values in one answer, beyond which they are put together
BLOCK = 32 << 10  # bytes of such a block
PORTION = 4 << 10  # bytes of an answer at least, if there is so much to say


class Showing:
    """Answers of one watch.

    Parameters
    ----------
    broker
        What is looked at.
    encoded
        Gives the bytes of events that every viewer is sent.
    wanted
        What the viewer asked for.
    box
        Its mailbox.
    crowd
        How many watches the server has: each leaves the others as many turns' time as there are.
    monotonic
        A monotonic clock, in seconds.
    """

    def __init__(
        self,
        broker: Broker,
        encoded: Encoded,
        wanted: wire.Watch,
        box: Subscription,
        *,
        crowd: Callable[[], int] = lambda: 1,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._encoded = encoded
        self._run_id = wanted.run_id
        self._wanted = box.demand = wanted.demand
        self._box = box
        self._crowd = crowd
        self._clock = monotonic
        self._pacing = Pacing(acknowledges=wanted.acknowledges, monotonic=monotonic)
        self._moved = threading.Event()  # the viewer said what it received
        self._waiting: deque[Event] = deque()  # numbers and words whose turn has not come
        self._joined: set[int] = set()  # numbers of those that were put together for this viewer
        self._held: dict[str, Event] = {}  # newest pictures whose turn has not come
        self._runs: dict[str, RunInfo] = {}
        self._series: tuple[SeriesInfo, ...] = ()
        self._refreshed = self._pictured = self._spoke = float("-inf")
        self._resync = False
        self._first = True
        self._left_out = 0
        self._stuck: float | None = None  # since when gRPC has not taken an answer

    # --- what others call --------------------------------------------------------------------------------------------

    def adjust(self, demand: Demand) -> None:
        """The viewer wants something else."""
        self._wanted = demand
        self._box.demand = self._pacing.demand(demand)
        self._box.wake()

    def received(self, total: int) -> None:
        """The viewer has received so many bytes."""
        self._pacing.received(total)
        self._moved.set()
        self._box.wake()

    def close(self) -> None:
        """End after what was said until now. Idempotent."""
        self._box.close()
        self._moved.set()

    @property
    def stuck(self) -> float:
        """Seconds for which gRPC has not taken an answer: its buffers are full, because nobody reads."""
        since = self._stuck
        return 0.0 if since is None else self._clock() - since

    # --- the thread of the watch -------------------------------------------------------------------------------------

    def answers(self) -> Iterator[bytes]:
        """Everything there is to say, until the mailbox is closed. Raises Refused when nobody reads."""
        box, pacing = self._box, self._pacing
        while True:
            began = self._clock()
            self._moved.clear()
            last = box.closed  # looked at before the drain: what was said before it is handed on
            box.demand = pacing.demand(self._wanted)
            answer = self._answer(began, last) if pacing.room or self._first or last else None
            if answer is not None or began - self._spoke >= TICK:
                self._spoke = self._stuck = began
                data = self._bytes(answer or wire.Seen())
                pacing.sent(len(data))
                yield data
                self._stuck = None
            if last:
                return
            if pacing.silent > PATIENCE:
                raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, _unread(pacing.silent))
            time.sleep(pause(self._clock() - began, self._crowd()))
            due = self._spoke + TICK
            if not pacing.room:
                pacing.full()
                self._moved.wait(max(due - self._clock(), 0.0))
                continue
            if self._held:
                due = min(due, self._pictured + 1.0 / max(box.demand.fps, 1e-3))
                if due <= self._clock():  # it is due and has no room: a word of the viewer wakes us
                    due = self._spoke + TICK
            if not self._waiting:
                box.wait(max(due - self._clock(), 0.0))

    def _answer(self, now: float, last: bool) -> wire.Seen | None:
        """What there is to say, None for nothing."""
        if not self._waiting or last:
            mail = self._box.drain()
            self._resync |= mail.resync
            self._sort(mail.events)
        fresh = self._facts(now, last)
        if self._run_id and (self._first or self._resync):
            fresh["snapshot"] = self._first_picture()
        events = self._portion(everything=last)
        resync, first = self._resync and not self._first, self._first
        self._first = self._resync = False
        fps = max(self._box.demand.fps, 1e-3)
        if self._held and (last or now - self._pictured >= 1.0 / fps - SLACK):
            size = sum(weight(e) for e in self._held.values())
            if last or self._pacing.fits(size + sum(weight(e) for e in events)):
                self._pictured = now
                events = sorted((*events, *self._held.values()), key=lambda e: e.seq)
                for event in self._held.values():
                    self._pacing.pictured(_width(event))
                self._held = {}
        if not (events or fresh or first or resync or last):
            return None
        return wire.Seen(tuple(events), caught_up=first, resync=resync, **fresh)

    def _sort(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event.payload, Batch):
                self._left_out += event.payload.split in self._held
                self._held[event.payload.split] = event
            else:
                self._waiting.append(event)
        if len(self._waiting) > MERGE:
            self._waiting = deque(self._merged())

    def _facts(self, now: float, last: bool) -> dict[str, Any]:
        """Runs and series, where they changed and it is time."""
        few = self._run_id and not self._pacing.narrow
        news = any(isinstance(e.payload, Status) for e in self._waiting)
        every = REFRESH if few or (self._waiting and not self._run_id) else REFRESH_SELDOM
        every *= max(self._crowd() / FEW, 1.0)
        if not (self._first or last or self._resync or news or now - self._refreshed >= every):
            return {}
        self._refreshed = now
        fresh: dict[str, Any] = {}
        found = (self._broker.run(self._run_id),) if self._run_id else self._broker.runs()
        if changed := tuple(r for r in found if self._runs.get(r.run_id) != r):
            fresh["runs"] = changed
        self._runs = {r.run_id: r for r in found}
        if self._run_id and (index := tuple(self._broker.series(self._run_id))) != self._series:
            self._series = fresh["series"] = index
        return fresh

    def _portion(self, *, everything: bool) -> list[Event]:
        """The next numbers and words, as many as there is room for."""
        room = max(self._pacing.room, PORTION)
        out: list[Event] = []
        while self._waiting and (everything or room > 0 or not out):
            event = self._waiting.popleft()
            room -= weight(event)
            out.append(event)
        return out

    def _bytes(self, answer: wire.Seen) -> bytes:
        left_out = self._left_out + self._box.dropped
        return wire.seen(
            answer, self._encode, acknowledge_after=self._pacing.after, left_out=left_out
        )

    def _encode(self, event: Event) -> bytes:
        if event.seq not in self._joined:
            return self._encoded(event)
        self._joined.discard(event.seq)
        return wire.event(event)

    def _merged(self) -> Iterator[Event]:
        """What waits, with neighbouring blocks of values put together; these have the number of the last."""
        had: Event | None = None
        for event in self._waiting:
            both = None
            if had is not None:
                if isinstance(event.payload, Scalars) and isinstance(had.payload, Scalars):
                    both = together(had, event)
                if both is not None and weight(both) <= BLOCK:
                    self._joined.discard(had.seq)
                    self._joined.add(both.seq)
                    event = both  # noqa: PLW2901 (it goes on in place of the two)
                else:
                    yield had
            had = event
        if had is not None:
            yield had

    def _first_picture(self) -> tuple[Event, ...]:
        sparse = self._broker.events(self._run_id, limit=SPARSE)
        return tuple(sorted((*sparse, *self._broker.latest(self._run_id)), key=lambda e: e.seq))


def pause(spent: float, crowd: int) -> float:
    """Seconds between two turns, of which the last took ``spent``: no faster than a screen, nor than a crowd allows."""
    return max(1.0 / FRAMES - spent, min(spent * (crowd / FEW - 1.0), TICK / 2), 0.0)


def _width(event: Event) -> int:
    payload = event.payload
    mosaic = payload.mosaic if isinstance(payload, Batch) else None
    return mosaic.width if mosaic is not None else 0


def _unread(seconds: float) -> str:
    return (
        f"this watch was not read for {seconds:.0f} s, so it was closed to make room for others; "
        "attach again when somebody looks"
    )
