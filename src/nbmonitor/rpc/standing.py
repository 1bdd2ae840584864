"""How the road from a client to its server stands, and what that makes of the server's runs."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import grpc

from nbmonitor.errors import InputError
from nbmonitor.events import LinkState
from nbmonitor.rpc.absence import QUIET
from nbmonitor.rpc.acquaintance import Acquaintance
from nbmonitor.rpc.channel import code_of, explain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nbmonitor.events import RunInfo
    from nbmonitor.rpc.watching import Watching

SILENCE = 2.0  # seconds without an answer of a watch after which the link is stale (it speaks every half second)
SLOW = 1.5  # seconds of a round trip beyond which a link is degraded
MEASURE = 2.0  # seconds between two round trips
SILENT = {  # errors that say no more than that nobody answered
    None,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is true about the road to a server.

    Parameters
    ----------
    road
        Whether it stands.
    rtt
        The last round trip, in seconds; None before the first.
    age
        Seconds since something was last said of any run; None before.
    reconnects
        How often it was opened again.
    dropped
        Pictures and events that viewers here skipped because newer ones were there.
    problem
        What ssh says; "" when nothing is wrong, or nothing goes by ssh.
    """

    road: LinkState
    rtt: float | None
    age: float | None
    reconnects: int
    dropped: int
    problem: str


class Standing:
    """Judges the road by the watch of all runs, whose server speaks all the time, and by round trips.

    Parameters
    ----------
    monotonic
        A monotonic clock, in seconds.

    Attributes
    ----------
    watch
        The watch of all runs; None before it began, and after it ended.
    server
        What is known of who answers.
    said
        Monotonic clock of the last event of any run; 0 before.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.watch: Watching | None = None
        self.server = Acquaintance()
        self.said = 0.0
        self._monotonic = monotonic
        self._measured = 0.0

    @property
    def road(self) -> LinkState:
        """The road from here to the server."""
        watch = self.watch
        if watch is None or not watch.connected:
            return LinkState.DISCONNECTED
        return LinkState.STALE if self.silence > SILENCE else LinkState.CONNECTED

    @property
    def silence(self) -> float:
        """Seconds since the server last spoke."""
        return self._monotonic() - self.watch.heard if self.watch is not None else 0.0

    @property
    def answers(self) -> bool:
        """Whether it is worth asking: a viewer that waits for a dead server shows nothing at all."""
        return self.road is not LinkState.DISCONNECTED and self.silence < QUIET

    def trouble(self, address: str) -> str:
        """Why the server refuses, in words; "" while it answers, and while nobody does."""
        watch = self.watch
        error = watch.error if watch is not None and not watch.connected else None
        if error is None or code_of(error) in SILENT:
            return ""
        return explain(error, address)

    def facts(self, watches: Iterable[Watching], problem: str) -> Facts:
        """What is true now; ``watches`` are those of single runs, ``problem`` what ssh says."""
        return Facts(
            road=self.road,
            rtt=self.server.rtt,
            age=self._monotonic() - self.said if self.said else None,
            reconnects=self.watch.reconnects if self.watch is not None else 0,
            dropped=sum(b.dropped for w in watches for b in w.boxes),
            problem=problem,
        )

    def anew(self) -> None:
        """The stream begins again: it may be another server by now, so it is asked at once."""
        self._measured = 0.0

    def measure(self, begin: Callable[[Callable[[bytes | None], None]], object]) -> None:
        """Start a round trip now and then: ``begin`` asks, and has the answer noted when it comes."""
        now = time.monotonic()
        if now - self._measured < MEASURE:
            return
        self._measured = now
        answered = self.server.asks()

        def note(answer: bytes | None) -> None:
            with contextlib.suppress(InputError):
                if answer is not None:
                    answered(answer)

        begin(note)

    def linked(self, info: RunInfo) -> RunInfo:
        """A run with the state of the whole road: from the trainer to its server, and from there to here."""
        road, link, rtt = self.road, info.link, info.link_rtt
        if road is not LinkState.CONNECTED:
            link = road
        elif link is LinkState.CONNECTED and (self.server.rtt or 0.0) > SLOW:
            link = LinkState.DEGRADED
        if self.server.rtt is not None:
            rtt = self.server.rtt + (rtt or 0.0)
        again = self.watch.reconnects if self.watch is not None else 0
        info = replace(info, link=link, link_rtt=rtt, reconnects=info.reconnects + again)
        return self.server.here(info)
