"""The two lanes between the training thread and the worker: rows in order, frames newest wins.

The hot path takes no lock: it appends one tuple and adds to a counter, which the worker reconciles. Beyond a byte bound
the oldest scalars go and are counted; words (status, receipts, epochs, ...) stay.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmonitor.events import Payload
    from nbmonitor.training.arrivals import Postponed
    from nbmonitor.training.columns import Row

MAX_BYTES = (
    24 << 20
)  # of what waits, from here to the end of the road: rows have what the sink leaves of it,
LEAST_BYTES = 8 << 20  # and this at least
CROWDED = 1 << 20  # so many bytes of rows wake a worker that naps
ROW_BYTES = 320  # what CPython keeps for a row's tuple and dict,
VALUE_BYTES = 56  # and for each value in it: measured


class Bell:
    """Wakes a thread. Unlike an Event it holds no lock while it rings: it may be rung from a signal handler."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()  # held: silent

    def ring(self) -> None:
        """Wake whoever waits, or whoever waits next."""
        if self._lock.locked():
            try:
                self._lock.release()
            except RuntimeError:  # somebody else rang in this moment
                return

    def wait(self, timeout: float) -> None:
        """Return when it rings, or after ``timeout`` seconds."""
        self._lock.acquire(timeout=timeout)


class Lanes:
    """What waits for the worker.

    ``calls`` counts calls of :meth:`put`; ``added`` and ``removed`` bytes; ``lost`` values that were dropped,
    ``replaced`` frames that a newer one replaced. ``_limit``: what a row that brings ``added`` beyond it has to ring
    for. ``_urgent``: something waits that is not to wait.
    """

    def __init__(self, clock: Callable[[], float], max_bytes: int = MAX_BYTES) -> None:
        self.calls = 0
        self.added = self.removed = 0
        self.lost = self.replaced = 0
        self._urgent = False
        self._clock = clock
        self._max_bytes = max_bytes
        self._alarm = self._limit = min(CROWDED, max_bytes)
        self._rows: deque[Row] = deque()
        self._rescued: deque[Row] = deque()  # words that stood among dropped rows
        self._frames: dict[str, Any] = {}
        self._bell = Bell()
        self._why_lost = ""

    def put(self, step: int, values: dict[str, Any], mean: bool = False) -> None:
        """Take the values of one call; ``mean``: averaged within the step. No lock, no wait."""
        self._rows.append((step, self._clock(), values, mean))
        self.calls += 1
        self.added += ROW_BYTES + VALUE_BYTES * len(values)
        if self.added > self._limit:
            self._crowded()

    def post(self, step: int, payload: Payload | Postponed) -> None:
        """Take a payload, in order with the rows, and wake the worker."""
        self._rows.append((step, self._clock(), payload, False))
        self._urgent = True
        self._bell.ring()

    def lose(self, values: int, why: str) -> None:
        """Count values that were dropped; ``why`` is how a sentence that declares them begins."""
        self.lost += values
        self._why_lost = why

    def show(self, split: str, frame: Any) -> None:
        """Take a frame; one that still waits for the worker gives way."""
        if self._frames.get(split) is not None:
            self.replaced += 1
        self._frames[split] = frame
        self._bell.ring()

    @property
    def asleep(self) -> bool:
        """Whether the worker rests, so that the next row has to ring."""
        return self._limit < 0

    @asleep.setter
    def asleep(self, rests: bool) -> None:
        self._limit = -1 if rests else self.removed + self._alarm

    @property
    def _crowd(self) -> bool:
        return self.added - self.removed > self._alarm

    def _crowded(self) -> None:
        self._bell.ring()
        while self.added - self.removed > self._max_bytes:
            try:
                row = self._rows.popleft()
            except IndexError:  # the worker has them
                return
            if isinstance(row[2], dict):
                self.removed += ROW_BYTES + VALUE_BYTES * len(row[2])
                self.lose(len(row[2]), "the outbox was full: the oldest values went")
            else:
                self._rescued.append(row)

    def _take(self, most: int, count: int) -> list[Row]:
        """Rows of about ``most`` bytes and ``count`` of them at most, oldest first; for the worker."""
        rows = [self._rescued.popleft() for _ in range(len(self._rescued))]
        pop, taken = self._rows.popleft, 0
        with contextlib.suppress(IndexError):  # the training thread dropped some meanwhile
            while taken < most and len(rows) < count:
                row = pop()
                rows.append(row)
                if isinstance(row[2], dict):
                    taken += ROW_BYTES + VALUE_BYTES * len(row[2])
        if self._rows:
            self.removed += taken
        else:
            self.added = self.removed = (
                0  # reconcile: increments from several threads may have been lost
            )
        self._limit = self.removed + self._alarm
        return rows
