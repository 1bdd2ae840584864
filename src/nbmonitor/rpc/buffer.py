"""What a trainer has said and a server may not have yet: numbered events, bounded, and the newest pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmonitor.events import Batch
from nbmonitor.subscription import weight

if TYPE_CHECKING:
    from nbmonitor.events import Event

MOST = 16 << 20  # bytes of numbered events


class Buffer:
    """Not safe by itself: its owner holds a lock.

    ``first`` … ``last`` are the numbers kept (none where ``first`` is above ``last``), ``sent`` the last one on the
    road in this stream, ``acked`` the last one that the server has.

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
        self._kept: dict[int, Event] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return self.last - self.acked

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
        self.last += 1
        self._kept[self.last] = event
        self._bytes += weight(event)
        while self._bytes > self._most and self.first < self.last:
            self._forget()

    def next(self) -> tuple[int, Event] | None:
        """The next numbered event to send, or None."""
        seq = self.sent + 1
        return (seq, self._kept[seq]) if self.first <= seq <= self.last else None

    def gap(self) -> tuple[int, int] | None:
        """First and last number that can never be sent and come next, or None."""
        return (self.sent + 1, self.first - 1) if self.sent + 1 < self.first else None

    def begin(self, watermark: int) -> None:
        """A stream begins: the server has everything up to ``watermark``, and nothing after it."""
        self.sent = self.acked = min(watermark, self.last)

    def rewind(self, watermark: int) -> None:
        """The server missed what came after ``watermark``."""
        self.sent = min(self.sent, max(watermark, self.acked))

    def acknowledge(self, up_to: int, *, keep: bool) -> None:
        """The server has everything up to ``up_to``; with ``keep`` it may forget, so that it is offered again."""
        if up_to > self.sent:  # more than was ever sent: not ours
            return
        self.acked = max(self.acked, up_to)
        while not keep and self.first <= self.acked:
            self._forget()

    def kept(self) -> list[Event]:
        """The numbered events kept, oldest first."""
        return list(self._kept.values())

    def _forget(self) -> None:
        gone = self._kept.pop(self.first, None)
        if gone is not None:
            self._bytes -= weight(gone)
            self.lost += self.first > self.acked
        self.first += 1
