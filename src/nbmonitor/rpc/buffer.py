"""What a trainer has said and a server may not have yet: numbered events, bounded, and the newest pictures."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nbmonitor.events import (
    Batch,
    Column,
    Epoch,
    Gap,
    Performance,
    RunUpdate,
    Scalars,
    Status,
)
from nbmonitor.subscription import weight

if TYPE_CHECKING:
    from nbmonitor.events import Event

MOST = 16 << 20  # bytes of numbered events
# Bytes up to which what waits is put together: a message costs a server as much as 1,000 values.
BLOCK = 32 << 10
COLUMN = (
    450  # bytes that Python keeps for a column and its three arrays beside their contents: measured
)


class Buffer:
    """Not safe by itself: its owner holds a lock.

    ``first`` … ``last`` are the numbers kept (none where ``first`` is above ``last``), ``sent`` the last one on the
    road in this stream, ``acked`` the last one that the server has. ``lost`` counts values, and words that nothing else
    says. What is pushed out while it is on the road is lost when the road breaks, not when the server has it after all.

    What was never on the road is not fixed yet: values that wait are put together in blocks, and of two reports that
    follow each other the newer stays. After a long cut that is a hundredth of the messages.

    Parameters
    ----------
    most
        Bytes of numbered events at most; beyond, the oldest go: forgotten when the server has them, lost otherwise.
    """

    def __init__(self, most: int = MOST) -> None:
        self.first = 1
        self.last = 0
        self.sent = 0
        self.acked = 0
        self.lost = 0
        self.skipped = 0
        self.pictures: dict[str, Event] = {}
        self._most = most
        self._block = min(BLOCK, most // 16)
        self._offered = 0  # the highest number that was ever on the road: up to it nothing changes
        self._gone = 0  # lost, and not declared to the server as far as it said,
        self._gone_from = 0  # from this number on
        self._told = (0, 0)  # up to which number loss was declared, and how much of it
        self._road: deque[tuple[int, int]] = deque()  # pushed out on the road: number, and how much
        self._kept: dict[int, Event] = {}
        self.held = 0  # bytes of what is kept

    def __len__(self) -> int:
        return self.last - self.acked

    @property
    def offered(self) -> int:
        """The first number that can be sent or declared lost: a new server is told to begin there."""
        first = self._gone_from if self._gone else self.first
        return min(first, self._road[0][0]) if self._road else first

    @property
    def settled(self) -> bool:
        """Whether the server has everything."""
        return self.acked >= self.last and not self.pictures

    def add(self, event: Event) -> None:
        """Take an event; of pictures the newest of each split alone."""
        payload = event.payload
        if isinstance(payload, Batch):
            self.skipped += payload.split in self.pictures
            self.pictures[payload.split] = event
            return
        if not self._joined(event):
            self.last += 1
            self._kept[self.last] = event
            self.held += memory(event)
        while self.held > self._most and self.first < self.last:
            self._forget()

    def next(self) -> tuple[int, Event] | None:
        """The next numbered event to send, or None."""
        seq = self.sent + 1
        return (seq, self._kept[seq]) if self.first <= seq <= self.last else None

    def send(self) -> tuple[int, Event] | None:
        """Take the next numbered event onto the road."""
        found = self.next()
        if found is not None:
            self.sent = found[0]
            self._offered = max(self._offered, self.sent)
        return found

    def gap(self) -> tuple[int, int] | None:
        """First and last number that can never be sent and come next, or None."""
        return (self.sent + 1, self.first - 1) if self.sent + 1 < self.first else None

    def skip(self) -> tuple[int, int, int] | None:
        """Take the next gap onto the road: its first and last number, and how much was lost in it."""
        found = self.gap()
        if found is None:
            return None
        told, count = self._told
        gone = self._gone - (count if told <= self.sent else 0)
        self.sent = found[1]
        self._offered = max(self._offered, self.sent)
        self._told = (self.sent, self._gone)
        return *found, max(gone, 1)

    def begin(self, watermark: int) -> None:
        """A stream begins: the server has everything up to ``watermark``, and nothing after it."""
        self.sent = self.acked = min(watermark, self.last)
        self._torn()

    def rewind(self, watermark: int) -> None:
        """The server missed what came after ``watermark``."""
        self.sent = min(self.sent, max(watermark, self.acked))
        self._torn()

    def refuse(self, number: int, event: Event, why: str) -> Event:
        """Give up what is on the road and cannot be sent; its declaration takes its place."""
        gap = replace(event, payload=Gap(why, size(event)))
        self.lost += size(event)
        if number in self._kept:
            self._kept[number] = gap
            self.held += memory(gap) - memory(event)
        else:  # pushed out in this moment
            self._road = deque(item for item in self._road if item[0] != number)
        return gap

    def acknowledge(self, up_to: int, *, keep: bool) -> None:
        """The server has everything up to ``up_to``; with ``keep`` it may forget, so that it is offered again."""
        if up_to > self.sent:  # more than was ever sent: not ours
            return
        self.acked = max(self.acked, up_to)
        while self._road and self._road[0][0] <= self.acked:
            self._road.popleft()
        told, count = self._told
        if count and self.acked >= told:
            self._gone -= count
            self._told = (told, 0)
        while not keep and self.first <= self.acked:
            self._forget()

    def kept(self) -> list[Event]:
        """The numbered events kept, oldest first."""
        return list(self._kept.values())

    def _forget(self) -> None:
        gone = self._kept.pop(self.first, None)
        if gone is not None:
            self.held -= memory(gone)
            if self.first > self.sent:
                self._lose(self.first, size(gone))
            elif self.first > self.acked:
                self._road.append((self.first, size(gone)))
        self.first += 1

    def _torn(self) -> None:
        """What was on the road did not arrive, and what was pushed out meanwhile cannot be sent again."""
        for number, much in self._road:
            if number > self.sent:
                self._lose(number, much)
        self._road.clear()

    def _lose(self, number: int, much: int) -> None:
        if much:
            self.lost += much
            self._gone_from = min(self._gone_from, number) if self._gone else number
            self._gone += much

    def _joined(self, event: Event) -> bool:
        """Put an event together with one that waits; values may pass reports, and nothing else."""
        number = self.last
        if isinstance(event.payload, Scalars):
            while number > self._offered and self._is_report(number):
                number -= 1
        elif not isinstance(event.payload, Performance):
            return False
        if number <= self._offered or number < self.first:
            return False
        waits = self._kept[number]
        both = together(waits, event)
        if both is None or weight(both) > max(self._block, weight(event)):
            return False
        self._kept[number] = both
        self.held += memory(both) - memory(waits)
        return True

    def _is_report(self, number: int) -> bool:
        found = self._kept.get(number)
        return found is not None and isinstance(found.payload, Performance)


def size(event: Event) -> int:
    """How much is lost with an event: its values, or one; nothing of what a later one or the next Hello says anew."""
    payload = event.payload
    if isinstance(payload, Scalars):
        return sum(len(c.steps) for c in payload.columns)
    if isinstance(payload, Epoch):
        return len(payload.values)
    return 0 if isinstance(payload, Performance | Status | RunUpdate | Gap) else 1


def memory(event: Event) -> int:
    """Bytes that an event takes here."""
    payload = event.payload
    columns = len(payload.columns) if isinstance(payload, Scalars) else 0
    return weight(event) + COLUMN * columns


def together(old: Event, new: Event) -> Event | None:
    """Two events of one incarnation as one; None where both are needed."""
    if (old.rank, old.incarnation) != (new.rank, new.incarnation):
        return None
    if isinstance(old.payload, Performance) and isinstance(new.payload, Performance):
        return new if old.payload.resources is None else None  # the machine's figures are series
    if not (isinstance(old.payload, Scalars) and isinstance(new.payload, Scalars)):
        return None
    columns = {(c.name, c.kind): c for c in old.payload.columns}
    for column in new.payload.columns:
        key = column.name, column.kind
        columns[key] = _longer(columns[key], column) if key in columns else column
    return replace(new, payload=Scalars(tuple(columns.values())))


def _longer(old: Column, new: Column) -> Column:
    # Within a step of the run the last word counts, as it does where blocks are stored.
    keep = slice(
        None, -1 if len(old.steps) and len(new.steps) and old.steps[-1] == new.steps[0] else None
    )
    steps, values, times = (
        np.concatenate([getattr(old, n)[keep], getattr(new, n)])
        for n in ("steps", "values", "times")
    )
    return Column(old.name, steps, values, times, old.kind)
