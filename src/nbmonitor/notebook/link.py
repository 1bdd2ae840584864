"""The road to the trainer, as it is: how long it is silent, since when it is cut, and what happens now. No I/O.

Ages that grow while nothing arrives are for the page to count: what is told here is *since when*, by this kernel's
clock, and stays the same while nothing changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbmonitor.events import LinkState
from nbmonitor.notebook.plain import text

if TYPE_CHECKING:
    from nbmonitor.events import RunInfo

ORDINARY = 5.0  # seconds between two signs of life that are worth no word
_KINDS = {"kernel", "process", "remote"}


class Link:
    """What two looks at a run tell together. Times are epoch seconds of this process, whatever other clocks say."""

    def __init__(self) -> None:
        self._run = ""
        self._told = 0.0  # the run's last sign of life, by the clock of whoever keeps it
        self._sign = 0.0  # the same by ours
        self._was: tuple[LinkState, str] = (LinkState.CONNECTED, "")  # and whose: "" for the road's
        self._since = 0.0
        self.event: float | None = None  # when the run last said something

    def show(self, event: float | None, now: float) -> None:
        """Another run, or the same one anew; ``event``: when it last said something, as it wrote itself."""
        self._run = ""
        self.event = None if event is None else min(event, now)

    def age(self, now: float) -> float | None:
        """Seconds since the run last said something."""
        return None if self.event is None else round(max(0.0, now - self.event), 1)

    def view(
        self,
        info: RunInfo | None,
        address: str,
        road: LinkState,
        now: float,
        *,
        dropped: int = 0,
        trouble: str = "",
    ) -> dict[str, Any]:
        """The ``LinkView`` of docs/frames.md.

        Parameters
        ----------
        info
            The run that is shown; its ``link`` is that of the whole road.
        address, road
            The source's: where it is, and the road from here to there.
        now
            Epoch seconds.
        dropped
            What this viewer skipped on purpose.
        trouble
            Why the source did not answer, in words; "" when it did.
        """
        state = road
        if info is not None and not info.state.ended and info.link is not LinkState.CONNECTED:
            state = info.link
        if trouble:
            state = LinkState.DISCONNECTED
        sign = self._look(info, now)
        ours = trouble or road is not LinkState.CONNECTED
        which = (state, "" if ours or info is None else info.run_id)
        if which != self._was:
            self._was, self._since = which, sign if state is LinkState.STALE and sign else now
        where = f"the server at {address}" if address else "the trainer"
        kind = "remote" if address else "kernel"
        if info is not None and not address and info.origin in _KINDS:
            kind = info.origin
        quiet = sign is not None and now - sign > ORDINARY and info is not None
        return {
            "state": state.value,
            "kind": kind,
            "address": text(address, 200),
            "since": _whole(None if state is LinkState.CONNECTED else self._since),
            "quiet": _whole(sign if quiet and info and not info.state.ended else None),
            "rttMs": None if info is None or info.link_rtt is None else _ms(info.link_rtt),
            "reconnects": 0 if info is None else info.reconnects,
            "dropped": dropped + (0 if info is None else info.dropped),
            "lost": 0 if info is None else info.lost,
            "message": _message(state, road, where, text(trouble, 1000)),
        }

    def _look(self, info: RunInfo | None, now: float) -> float | None:
        """When the run gave its last sign of life. A first look trusts the other clock; later ones see it move."""
        if info is None or not info.last_seen:
            return None
        if info.run_id != self._run:
            self._run, self._sign = info.run_id, min(info.last_seen, now)
        elif info.last_seen != self._told:
            self._sign = now
        self._told = info.last_seen
        return self._sign


def _message(state: LinkState, road: LinkState, where: str, trouble: str) -> str:
    """What is wrong, and what happens now."""
    if trouble:
        return f"{trouble} Trying again." if road is LinkState.DISCONNECTED else trouble
    if state is LinkState.DEGRADED:
        return "The road is slow: fewer pictures come, no number is left out."
    if road is LinkState.DISCONNECTED:
        return f"No connection to {where}: trying again."
    if road is LinkState.STALE:
        return f"No answer from {where}: waiting for it."
    if state is LinkState.DISCONNECTED:
        return "The trainer's connection was lost: it comes back by itself when it can."
    if state is LinkState.STALE:
        return "No sign of life from the trainer: waiting for it."
    return ""


def _ms(seconds: float) -> float:
    """Milliseconds with as many digits as are read."""
    return round(seconds * 1000, 1 if seconds < 0.1 else 0)


def _whole(when: float | None) -> int | None:
    return None if when is None else int(when)
