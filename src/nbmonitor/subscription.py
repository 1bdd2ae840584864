"""One viewer's bounded mailbox. Ground.

A viewer that does not keep up is never waited for: what is superseded is replaced (batches, performance), and when the
rest overflows the box is emptied and marked for a resynchronisation from the history.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbmonitor.events import Batch, Demand, Event, Performance, Scalars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_BYTES = 8 << 20
MAX_EVENTS = 20_000
RECENT_BYTES = 8 << 20  # of events kept per run for viewers that come back with a cursor
_SMALL = 400  # bytes charged for an event without arrays


@dataclass(slots=True)
class Mail:
    """What was in the box, in order of ``seq``. ``resync``: events were dropped, read the history again."""

    events: list[Event] = field(default_factory=list)
    resync: bool = False


def weight(event: Event) -> int:
    """Bytes that an event is charged for in a bounded buffer."""
    payload = event.payload
    if isinstance(payload, Scalars):
        return _SMALL + sum(24 * len(c.steps) for c in payload.columns)
    if isinstance(payload, Batch):
        return _SMALL + payload.nbytes
    return _SMALL


def most(boxes: Iterable[Subscription]) -> Demand:
    """The most that any owner of a mailbox wants."""
    wants = [box.demand for box in boxes]
    if not wants:
        return Demand()
    return Demand(
        max(d.fps for d in wants), max(d.pixels for d in wants), any(d.live for d in wants)
    )


class Subscription:
    """A mailbox that a broker fills and one viewer empties.

    Parameters
    ----------
    run_id
        The run whose events come here; None for the state changes of every run.
    notify
        Called from the publisher's thread when something arrived; must only set a flag.
    max_bytes, max_events
        Bounds; beyond either the box is emptied and the next :meth:`drain` says ``resync``.
    on_demand
        Called when its owner wants something else: :attr:`demand`, at first values as they come and no pictures.
    """

    def __init__(
        self,
        run_id: str | None,
        *,
        notify: Callable[[], None] | None = None,
        max_bytes: int = MAX_BYTES,
        max_events: int = MAX_EVENTS,
        on_close: Callable[[Subscription], None] | None = None,
        on_demand: Callable[[], None] | None = None,
    ) -> None:
        self.run_id = run_id
        self._demand = Demand(live=run_id is not None)
        self._on_demand = on_demand
        self.viewer = ""  # name of who looks; empty for one in this process
        self.dropped = 0
        self.closed = False
        self._notify = notify
        self._on_close = on_close
        self._max_bytes = max_bytes
        self._max_events = max_events
        self._lock = threading.Lock()
        self._arrived = threading.Event()
        self._queue: deque[Event] = deque()
        self._bytes = 0
        self._newest: dict[tuple[type, str], Event] = {}
        self._resync = False

    @property
    def demand(self) -> Demand:
        """What its owner wants."""
        return self._demand

    @demand.setter
    def demand(self, value: Demand) -> None:
        changed, self._demand = value != self._demand, value
        if changed and self._on_demand is not None:
            self._on_demand()

    def put(self, event: Event) -> None:
        """Take an event; never blocks."""
        with self._lock:
            if self.closed:
                return
            payload = event.payload
            if isinstance(payload, Batch | Performance):
                key = (type(payload), payload.split if isinstance(payload, Batch) else "")
                if isinstance(payload, Batch) and key in self._newest:
                    self.dropped += 1
                self._newest[key] = event
            else:
                self._queue.append(event)
                self._bytes += weight(event)
                if self._bytes > self._max_bytes or len(self._queue) > self._max_events:
                    self.dropped += len(self._queue)
                    self._queue.clear()
                    self._bytes = 0
                    self._resync = True
        self.wake()

    def resynchronise(self) -> None:
        """Mark the box: the viewer has to read the history again."""
        with self._lock:
            self._resync = True
        self.wake()

    def wake(self) -> None:
        """Wake whoever waits, with or without mail."""
        self._arrived.set()
        if self._notify is not None:
            self._notify()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until something arrived or the box was closed; False after ``timeout`` seconds."""
        return self._arrived.wait(timeout)

    def drain(self) -> Mail:
        """Empty the box."""
        with self._lock:
            self._arrived.clear()
            events = list(self._queue)
            if self._newest:
                events.extend(self._newest.values())
                events.sort(key=lambda e: e.seq)
            mail = Mail(events, self._resync)
            self._queue.clear()
            self._newest.clear()
            self._bytes = 0
            self._resync = False
            if self.closed:
                self._arrived.set()
        return mail

    def close(self) -> None:
        """Take nothing more; wakes whoever waits. Idempotent."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
        if self._on_close is not None:
            self._on_close(self)
        self.wake()


class Recent:
    """The newest events of a run, for viewers that come back with a cursor."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._evicted = 0  # seq of the newest event that was let go of

    def keep(self, event: Event) -> None:
        """Take an event, and let go of the oldest where there are too many."""
        self._events.append(event)
        self._bytes += weight(event)
        while self._bytes > RECENT_BYTES:
            oldest = self._events.popleft()
            self._bytes -= weight(oldest)
            self._evicted = oldest.seq

    def hand(self, box: Subscription, after_seq: int) -> None:
        """Put what came after a cursor into a mailbox; where some of it is gone, the history is to be read again."""
        if after_seq < self._evicted:
            box.resynchronise()
        for event in self._events:
            if event.seq > after_seq:
                box.put(event)
