"""What goes out on a publisher's stream, and in which order. gRPC's own thread runs the generators."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from nbmonitor.events import Event, Heartbeat
from nbmonitor.rpc.buffer import Buffer
from nbmonitor.rpc.codec import trainer as wire
from nbmonitor.rpc.plain import Plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmonitor.events import RunInfo

NAME = (
    "nbmonitor-sending"  # of gRPC's thread while it runs a generator of ours: its CPU time is ours
)

_Work = tuple[int, "Event | Heartbeat | tuple[int, int]"]
"""What goes next: (number, event), (0, picture or heartbeat), or a gap: its first number, its last one and size."""


class Link:
    """One life of the stream.

    ``owed`` is since when (monotonic clock) the server owes an answer: a welcome, or that it has what was sent. None
    while it owes nothing.
    """

    def __init__(self) -> None:
        self.welcome: wire.Welcome | None = None
        self.owed: float | None = time.monotonic()
        self.given_up = False
        self.over = False
        self.beats: dict[int, float] = {}
        self.beat = 0


class Sender:
    """Heartbeats first, then numbered events and pictures in turn.

    ``changed`` guards everything here and is notified at every change.

    Parameters
    ----------
    most
        Bytes of numbered events kept.
    """

    def __init__(self, most: int) -> None:
        self.changed = threading.Condition()
        self.buffer = Buffer(most)
        self.beat: Heartbeat | None = None
        self.rtt: float | None = None
        self.closing = False
        self._turn = False  # whether a picture goes next
        self._last: Heartbeat | None = None  # said on the road
        self._said = 0  # lost, as of that

    def numbered(self, info: RunInfo, link: Link, secret: str) -> Iterator[bytes]:
        """Frames for a server of ours, until the end of the stream."""
        threading.current_thread().name = NAME
        self._said = 0
        yield wire.hello(info, secret, self.buffer.offered)
        while (work := self._wait(link)) is not None:
            seq, what = work
            if isinstance(what, Heartbeat):
                yield self._heartbeat(info, what, link)
            elif isinstance(what, tuple):
                yield wire.gap(info, seq, *what, "the trainer's buffer was full")
            else:
                data = wire.event(info, what, seq)
                if len(data) <= wire.SEND_BYTES:
                    yield data
                    continue
                with self.changed:
                    if not seq:
                        self.buffer.skipped += 1
                        continue
                    why = f"an event of {len(data)} bytes was too large"
                    declared = self.buffer.refuse(seq, what, why)
                yield wire.event(info, declared, seq)

    def plainly(self, info: RunInfo, link: Link) -> Iterator[bytes]:
        """The same for a server that knows only the contract."""
        threading.current_thread().name = NAME
        plain = Plain(info.run_id)
        while (work := self._wait(link)) is not None:
            seq, what = work
            if isinstance(what, Heartbeat):
                link.beat += 1
                yield wire.plain_heartbeat(info.run_id, link.beat)
            elif isinstance(what, Event) and seq == 0:
                yield plain.picture(what)
            elif isinstance(what, Event):
                with self.changed:
                    pictured = self.buffer.pictures.pop("train", None)
                yield from plain.event(what, pictured)
            with self.changed:  # the contract confirms nothing: what is sent is gone
                link.owed = None
                self.buffer.acknowledge(self.buffer.sent, keep=False)
                self.changed.notify_all()

    def _wait(self, link: Link) -> _Work | None:
        """What goes next, with its number (0: it has none); None at the end of the stream."""
        with self.changed:
            while True:
                if link.over:
                    return None
                if link.welcome is not None:
                    work = self._next()
                    if work is not None:
                        if work[0] and link.owed is None:
                            link.owed = time.monotonic()
                        return work
                    if self.closing:
                        return None
                self.changed.wait(1.0)

    def _next(self) -> _Work | None:
        buffer, beat = self.buffer, self.beat
        if beat is not None:
            self.beat = None
            return 0, beat
        gap = buffer.skip()
        if gap is not None:
            return gap[0], gap[1:]
        waits = buffer.next() is not None
        if not waits and buffer.lost != self._said and self._last is not None:
            return 0, self._last  # nothing is left to come, and more was lost than was said
        ready = buffer.sent - buffer.acked < wire.MAX_UNACKED and waits
        if buffer.pictures and (self._turn or not ready):
            self._turn = False
            return 0, buffer.pictures.pop(next(iter(buffer.pictures)))
        if not ready:
            return None
        self._turn = True
        return buffer.send()

    def _heartbeat(self, info: RunInfo, beat: Heartbeat, link: Link) -> bytes:
        buffer = self.buffer
        self._last, self._said = beat, buffer.lost
        link.beat += 1
        link.beats = {link.beat: time.monotonic()}  # an echo of an older one says nothing any more
        beat = replace(
            beat,
            queued=beat.queued + len(buffer),
            dropped=beat.dropped + buffer.skipped,
            lost=beat.lost + buffer.lost,
        )
        return wire.heartbeat(info, beat, link.beat, self.rtt)
