"""Signs of life of a trainer: when its link is stale, when its run is lost, what is said of it. Ground, pure.

Times are those of a monotonic clock, in seconds. Silence is a stale link, a torn stream that stays torn is a lost run;
neither is an end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nbmonitor.events import LinkState, LogLine, RunState, Status

if TYPE_CHECKING:
    from nbmonitor.events import Heartbeat, Payload, RunInfo


@dataclass(slots=True)
class Pulse:
    """One trainer's. ``interval`` is that of its heartbeats, 0 where it never sent one."""

    heard: float
    interval: float = 0.0
    detached: float | None = None  # when its stream was torn
    silent: float | None = None  # the last sign of life before it fell silent
    before_loss: RunState | None = None

    def back(self, now: float) -> list[Payload]:
        """It is heard: say that it is back, where it was silent or away."""
        away = [t for t in (self.silent, self.detached) if t is not None]
        self.silent = None
        return [LogLine(f"The trainer is back after {now - min(away):.0f} s")] if away else []

    def beat(
        self, info: RunInfo, beat: Heartbeat, now: float, seen: float
    ) -> tuple[RunInfo, list[Payload]]:
        """A heartbeat came; ``seen`` is ``now`` in epoch seconds. Returns as :meth:`look` does."""
        said = self.back(now) if self.detached is None else []
        self.heard, self.interval = now, beat.interval
        info = replace(
            info,
            last_seen=seen,
            boundary_age=beat.boundary_age,
            dropped=beat.dropped,
            lost=beat.lost,
            link=LinkState.CONNECTED if self.detached is None else info.link,
        )
        return info, said

    def look(
        self, info: RunInfo, now: float, stale_after: float, lost_after: float
    ) -> tuple[RunInfo, list[Payload]]:
        """Return the run's description as it is by now, and what is to be said about it."""
        if self.detached is not None:
            away = now - self.detached
            if info.state is RunState.LOST or away <= lost_after:
                return info, []
            self.before_loss = info.state
            return info, [
                Status(RunState.LOST, f"no connection for {away:.0f} s and no word of an end")
            ]
        silence = now - self.heard
        if self.interval and silence > stale_after * self.interval:
            said: list[Payload] = []
            if self.silent is None:
                self.silent = self.heard
                said.append(LogLine(f"No word from the trainer for {silence:.0f} s", "warning"))
            return replace(info, link=LinkState.STALE), said
        if info.link is LinkState.STALE:
            return replace(info, link=LinkState.CONNECTED), self.back(self.heard)
        return info, []


def reopened(old: RunInfo, new: RunInfo, pulse: Pulse, now: float) -> RunInfo:
    """Description of a run that is taken up again; ``now`` in epoch seconds."""
    state, pulse.before_loss = pulse.before_loss or old.state, None
    return replace(
        new,
        started_at=old.started_at,
        state=state,
        step=max(old.step, new.step),
        last_seq=old.last_seq,
        last_seen=now,
        state_version=old.state_version,
        link=LinkState.CONNECTED,
        reconnects=old.reconnects + (1 if old.origin != "kernel" else 0),
        wheel=old.wheel,
        wheel_locked=old.wheel_locked,
        wheel_since=old.wheel_since,
    )
