"""What a viewer says of a server that does not answer: the road in words, and which runs are lost."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from nbmonitor.events import Event, LinkState, LogLine, RunState, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nbmonitor.events import Payload, RunInfo

QUIET = 5.0  # seconds without an answer, over a connection that stands, after which that is said
OURS = -(
    1 << 40
)  # numbers of our own events begin here: never one of the server's, nobody's cursor
KEPT = 50  # events of our own kept of a run


class Absence:
    """Not safe by itself: its owner holds a lock.

    A server that is gone cannot say that its runs are lost, so its viewers do, by the rule of the broker: LOST after
    ``lost_after`` seconds without a connection, and the server's word again when it comes back.

    Parameters
    ----------
    address
        Of the server, for the words.
    lost_after
        Seconds without a connection after which runs that did not end are LOST.
    """

    def __init__(self, address: str, lost_after: float) -> None:
        self.lost: dict[str, Status] = {}  # by run_id
        self._address = address
        self._lost_after = lost_after
        self._link = LinkState.CONNECTED  # as it was last told
        self._since = 0.0  # monotonic clock of when it went
        self._said: dict[str, deque[tuple[int, Event]]] = {}
        self._seq = OURS

    def look(
        self, link: LinkState, silence: float, now: float, runs: Iterable[RunInfo]
    ) -> list[Event]:
        """Return what is to be told.

        Parameters
        ----------
        link
            The road to the server.
        silence
            Seconds since its last answer.
        now
            Monotonic clock, in seconds.
        runs
            As the server last described them.
        """
        alive = [r for r in runs if not (r.state.ended or r.state is RunState.LOST)]
        if link is LinkState.DISCONNECTED:
            return self._gone(now, alive)
        if silence > QUIET:
            if self._link is LinkState.STALE:
                return []
            self._link, self._since = LinkState.STALE, now - silence
            text = f"No word from the server at {self._address} for {silence:.0f} s"
            return [self._say(r, LogLine(text, "warning")) for r in alive]
        if self._link is LinkState.CONNECTED:
            return []
        self._link = LinkState.CONNECTED
        text = f"The server at {self._address} answers again after {now - self._since:.0f} s"
        out = []
        for info in runs:
            if info.run_id in self.lost:
                out.append(self._say(info, Status(info.state, info.message)))
            if info.run_id in self.lost or info in alive:
                out.append(self._say(info, LogLine(text)))
        self.lost.clear()
        return out

    def _gone(self, now: float, alive: Sequence[RunInfo]) -> list[Event]:
        out = []
        if self._link is not LinkState.DISCONNECTED:
            if self._link is LinkState.CONNECTED:
                self._since = now
            self._link = LinkState.DISCONNECTED
            text = f"The connection to the server at {self._address} was lost"
            out = [self._say(r, LogLine(text, "warning")) for r in alive]
        gone = now - self._since
        if gone > self._lost_after:
            status = Status(RunState.LOST, f"no connection for {gone:.0f} s and no word of an end")
            for info in alive:
                if info.run_id not in self.lost:
                    self.lost[info.run_id] = status
                    out.append(self._say(info, status))
        return out

    def merged(self, run_id: str, events: Iterable[Event]) -> list[Event]:
        """Events of the server with our own where they belong."""
        own = self._said.get(run_id, ())
        placed = [((e.seq, 0, 0), e) for e in events]
        placed += [((after, 1, e.seq), e) for after, e in own]
        return [e for _, e in sorted(placed, key=lambda p: p[0])]

    def _say(self, info: RunInfo, payload: Payload) -> Event:
        self._seq += 1
        now = time.time()
        event = Event(info.run_id, info.step, now, payload, seq=self._seq, received=now)
        own = self._said.setdefault(info.run_id, deque(maxlen=KEPT))
        own.append((info.last_seq, event))
        return event
