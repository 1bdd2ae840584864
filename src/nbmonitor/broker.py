"""Stands beside whoever owns the data: orders events, keeps the state of runs, fans out, carries commands. Ground.

A broker starts no thread. It is a :class:`~nbmonitor.interfaces.Sink` for runs in this process, a
:class:`~nbmonitor.interfaces.Source` for viewers in this process, and what a server exposes to all others. History is
kept behind the :class:`~nbmonitor.interfaces.Store` alone.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nbmonitor import audit
from nbmonitor.audit import AuditRow, Trail
from nbmonitor.consequences import derived, told
from nbmonitor.errors import UnknownRunError
from nbmonitor.events import (
    Batch,
    Command,
    CommandRecord,
    CommandState,
    Demand,
    Event,
    Heartbeat,
    LinkState,
    LogLine,
    Performance,
    RunInfo,
    RunUpdate,
    SeriesKind,
    Status,
    new_id,
)
from nbmonitor.ledger import cut_off, out_of_time, refused
from nbmonitor.pulse import Pulse, reopened
from nbmonitor.steering import Steering
from nbmonitor.subscription import Recent, Subscription, most
from nbmonitor.wheel import Hand

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nbmonitor.events import Payload
    from nbmonitor.interfaces import Audit, Axis, SeriesInfo, Store, Window

CHECK_EVERY = 0.2  # seconds between two looks for stale links and expired commands


def _unheeded() -> None:
    """Nobody wants to know what viewers want."""


@dataclass(slots=True)
class _Entry:
    """What the broker knows of a run beside its description."""

    info: RunInfo
    deliver: Callable[[Command], CommandState] | None
    pulse: Pulse
    seq: int = 0
    recent: Recent = field(default_factory=Recent)
    commands: Steering = field(default_factory=Steering)
    viewers: tuple[Subscription, ...] = ()
    demanded: Callable[[], None] = _unheeded  # told when what viewers want has changed


class Broker:
    """Orders what runs say and hands it to whoever watches.

    Parameters
    ----------
    store
        Keeps the history.
    journal
        Takes the rows of the audit log; kept in memory by default.
    clock, monotonic
        Epoch seconds and a monotonic clock, in seconds.
    stale_after
        A link is stale after so many heartbeat intervals of silence (2.5: two beats may be late).
    lost_after
        Seconds without a connection after which a run that did not end is LOST.
    """

    address = ""
    problem = ""
    road = LinkState.CONNECTED
    trouble = ""

    def __init__(
        self,
        store: Store,
        *,
        journal: Audit | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        stale_after: float = 2.5,
        lost_after: float = 30.0,
    ) -> None:
        self.store = store
        self.journal: Audit = journal or Trail()
        self._clock = clock
        self._monotonic = monotonic
        self._stale_after = stale_after
        self._lost_after = lost_after
        self._lock = threading.RLock()
        self._runs: OrderedDict[str, _Entry] = OrderedDict()
        self._everywhere: tuple[Subscription, ...] = ()
        self._checked = 0.0

    # --- Sink: what runs call ----------------------------------------------------------------------

    def open(self, info: RunInfo, deliver: Callable[[Command], CommandState]) -> RunInfo:
        """Take up a run: a new one (an empty ``run_id`` gets one), or one that comes back under its id."""
        now, heard = self._clock(), self._monotonic()
        told: list[Payload] = []
        with self._lock:
            entry = self._runs.get(info.run_id) if info.run_id else None
            if entry is None:
                run_id = info.run_id or new_id()
                info = replace(
                    info, run_id=run_id, started_at=info.started_at or now, last_seen=now
                )
                entry = self._runs[run_id] = _Entry(info, deliver, Pulse(heard))
            else:
                told.extend(entry.pulse.back(heard))
                entry.deliver, entry.pulse.heard, entry.pulse.detached = deliver, heard, None
                entry.info = reopened(entry.info, info, entry.pulse, now)
            self.store.put_run(entry.info)
            opened = entry.info
        for payload in (Status(opened.state, opened.message), *told):
            self._emit(opened.run_id, payload, opened.step)
        return opened

    def publish(self, events: Sequence[Event]) -> None:
        """Take events, give them their place, keep them and hand them on."""
        woken: set[Subscription] = set()
        mail: list[tuple[tuple[Subscription, ...], Event]] = []
        now, heard = self._clock(), self._monotonic()
        with self._lock:
            for event in events:
                entry = self._entry(event.run_id)
                entry.pulse.heard = heard
                for payload in (*self._ends(entry, event, now), event.payload, *derived(event)):
                    if isinstance(payload, CommandRecord) and entry.commands.over(payload):
                        continue  # a final word is said once
                    placed = self._place(entry, event, payload, now)
                    mail.append((entry.viewers, placed))
                    if isinstance(payload, Status | RunUpdate) and self._everywhere:
                        mail.append((self._everywhere, placed))
            for viewers, placed in mail:
                for viewer in viewers:
                    viewer.put(placed)
                    woken.add(viewer)

    def heartbeat(self, beat: Heartbeat) -> None:
        """Take a sign of life; a run that was silent or lost is back."""
        with self._lock:
            entry = self._entry(beat.run_id)
            entry.info, back = entry.pulse.beat(entry.info, beat, self._monotonic(), self._clock())
            step = entry.info.step
        for line in back:
            self._emit(beat.run_id, line, step)

    def demand(self, run_id: str) -> Demand:
        """The most that any viewer of this run wants."""
        entry = self._runs.get(run_id)
        if entry is None or not entry.viewers:
            return _NOBODY
        return most(entry.viewers)

    def held(self, run_id: str) -> int:  # noqa: ARG002 - nothing is ever on its way
        """Bytes that wait: none."""
        return 0

    def heed(self, run_id: str, changed: Callable[[], None]) -> None:
        """Call ``changed`` when a viewer of this run comes, goes, or wants something else."""
        self._entry(run_id).demanded = changed

    def history(self, run_id: str, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Every point kept of a series as (steps, values); the epoch series where there is no per-step one."""
        steps, values, _ = self.store.points(run_id, name, "step")
        if len(steps) == 0:
            steps, values, _ = self.store.points(run_id, name, "epoch")
        return steps, values

    def detach(self, run_id: str) -> None:
        """The stream of a run was torn: that is not an end. It is LOST when it does not come back in time.

        What was given to :meth:`heed` is let go of.
        """
        with self._lock:
            entry = self._entry(run_id)
            entry.demanded = _unheeded
            if entry.info.state.ended or entry.pulse.detached is not None:
                return
            entry.pulse.detached = self._monotonic()
            entry.info = replace(entry.info, link=LinkState.DISCONNECTED)
            info = entry.info
        for payload in (
            Status(info.state, info.message),
            LogLine("The connection to the trainer was lost", "warning"),
        ):
            self._emit(run_id, payload, info.step)

    def measured(self, run_id: str, rtt: float) -> None:
        """Take the round trip to a run's process, in seconds."""
        with self._lock:
            entry = self._entry(run_id)
            entry.info = replace(entry.info, link_rtt=rtt)

    # --- Source: what viewers call -----------------------------------------------------------------

    def runs(self) -> Sequence[RunInfo]:
        """All runs, newest first."""
        self.check()
        with self._lock:
            return [e.info for e in reversed(self._runs.values())]

    def run(self, run_id: str) -> RunInfo:
        """One run as it stands; raises :class:`~nbmonitor.errors.UnknownRunError`."""
        self.check()
        with self._lock:
            return self._entry(run_id).info

    def subscribe(
        self,
        run_id: str | None,
        *,
        after_seq: int | None = None,
        notify: Callable[[], None] | None = None,
    ) -> Subscription:
        """Open a mailbox; see :meth:`nbmonitor.interfaces.Source.subscribe`."""
        if run_id is None:
            box = Subscription(run_id, notify=notify, on_close=self._drop)
            with self._lock:
                self._everywhere = (*self._everywhere, box)
            return box
        with self._lock:
            entry = self._entry(run_id)
            box = Subscription(
                run_id,
                notify=notify,
                on_close=self._drop,
                on_demand=lambda: entry.demanded(),  # noqa: PLW0108 (the one of that moment)
            )
            entry.viewers = (*entry.viewers, box)
            if after_seq is not None and after_seq < entry.seq:
                entry.recent.hand(box, after_seq)
        entry.demanded()
        return box

    def series(self, run_id: str) -> Sequence[SeriesInfo]:
        """The series of a run."""
        return self.store.series(run_id)

    def window(
        self,
        run_id: str,
        name: str,
        kind: SeriesKind = "step",
        *,
        axis: Axis = "step",
        lo: float | None = None,
        hi: float | None = None,
        max_points: int = 1000,
        wait: bool = True,  # noqa: ARG002 - it is here
    ) -> Window:
        """Points of a series for drawing."""
        return self.store.window(run_id, name, kind, axis=axis, lo=lo, hi=hi, max_points=max_points)

    def events(self, run_id: str, *, limit: int = 200) -> Sequence[Event]:
        """The latest sparse events, oldest first."""
        return self.store.events(run_id, limit=limit)

    def latest(self, run_id: str) -> Sequence[Event]:
        """The newest Performance and Batch events."""
        return self.store.latest(run_id)

    def send(self, command: Command) -> CommandRecord:
        """Post a command to its run, once by id. The record says how far it got; the rest comes as events."""
        self.check()
        with self._lock:
            entry = self._runs.get(command.run_id)
            if entry is None:
                return self.refuse(command, f"there is no run {command.run_id!r:.100}")
            known = entry.commands.get(command.command_id)
            if known is not None:
                return known
            hand = Hand(command.actor, not command.peer, self._viewers(entry))
            now, monotonic = self._clock(), self._monotonic()
            why = entry.commands.overcrowded(command, monotonic)
            if why:
                return self.refuse(command, why)
            record, entry.info = entry.commands.take(entry.info, command, hand, now, monotonic)
            deliver, step = entry.deliver, entry.info.step
            if not record.state.final:
                self.journal.record(audit.of_command(record, now))
            if record.state.final or deliver is None:
                self._emit(command.run_id, record, step)
                return record
        reached = deliver(command)
        with self._lock:  # the run may have answered already: its word stands
            current = entry.commands.get(command.command_id) or record
            if current.state is CommandState.QUEUED:
                current = replace(record, state=reached)
            if not current.state.final:
                self._emit(command.run_id, current, step)
        return current

    def refuse(self, command: Command, why: str) -> CommandRecord:
        """Answer a command that does not get as far as a run; it is written down."""
        record = refused(command, why, self._clock())
        self.journal.record(audit.of_command(record, self._clock()))
        return record

    def audit(self, run_id: str = "", limit: int = 200) -> Sequence[AuditRow]:
        """The newest rows of the audit log, newest last."""
        return self.journal.rows(run_id, limit)

    def commands(self, run_id: str) -> Sequence[CommandRecord]:
        """The records of a run's commands, oldest first."""
        with self._lock:
            return self._entry(run_id).commands.all()

    def flush(self, timeout: float = 5.0) -> bool:  # noqa: ARG002 - nothing is ever on its way
        """Everything published is kept already."""
        return True

    def close(self) -> None:
        """Close every mailbox, the store and the audit log."""
        with self._lock:
            boxes = [*self._everywhere, *(v for e in self._runs.values() for v in e.viewers)]
        for box in boxes:
            box.close()
        self.store.close()
        self.journal.close()

    # --- time --------------------------------------------------------------------------------------

    def check(self) -> None:
        """Look for stale links, lost runs and expired commands. Called by whoever reads; cheap when nothing is due."""
        now = self._monotonic()
        if now - self._checked < CHECK_EVERY:
            return
        self._checked = now
        out: list[tuple[str, Payload, int]] = []
        with self._lock:
            for run_id, entry in self._runs.items():
                said: list[Payload] = []
                if not entry.info.state.ended:
                    entry.info, said = entry.pulse.look(
                        entry.info, now, self._stale_after, self._lost_after
                    )
                    entry.info, left = entry.commands.unlocked(
                        entry.info, self._viewers(entry), now
                    )
                    said += left
                said += [out_of_time(r, self._clock()) for r in entry.commands.overdue(now)]
                out.extend((run_id, payload, entry.info.step) for payload in said)
        for run_id, payload, step in out:
            self._emit(run_id, payload, step)

    def _viewers(self, entry: _Entry) -> set[str]:
        """Names of those elsewhere who watch this run, or all runs."""
        return {v.viewer for v in (*entry.viewers, *self._everywhere) if v.viewer}

    # --- inside ------------------------------------------------------------------------------------

    def _entry(self, run_id: str) -> _Entry:
        entry = self._runs.get(run_id)
        if entry is None:
            raise UnknownRunError(run_id, tuple(e.info.name for e in self._runs.values()))
        return entry

    def _emit(self, run_id: str, payload: Payload, step: int) -> None:
        """Publish something of the broker's own; does not count as a sign of life of the run."""
        with self._lock:
            entry = self._entry(run_id)
            heard = entry.pulse.heard
            self.publish([Event(run_id, step, self._clock(), payload)])
            entry.pulse.heard = heard

    def _ends(self, entry: _Entry, event: Event, now: float) -> Sequence[CommandRecord]:
        """What a run has not carried out when it ends, it will not."""
        over = isinstance(event.payload, Status) and event.payload.state.ended
        return [cut_off(r, now) for r in entry.commands.waiting()] if over else ()

    def _place(self, entry: _Entry, event: Event, payload: Payload, now: float) -> Event:
        if isinstance(payload, CommandRecord):
            payload = entry.commands.merge(payload)
        row = audit.of(entry.info, payload, now)
        if row is not None:
            self.journal.record(row)
        entry.seq += 1
        placed = Event(  # written out: `replace` is a tenth of what a small event costs
            event.run_id,
            event.step,
            event.time,
            payload,
            entry.seq,
            event.rank,
            event.incarnation,
            event.origin_seq,
            now,
        )
        entry.info = told(entry.info, placed)
        if isinstance(payload, Status | RunUpdate):
            self.store.put_run(entry.info)
        self.store.append(placed)
        if not isinstance(payload, Batch | Performance):
            entry.recent.keep(placed)
        return placed

    def _drop(self, box: Subscription) -> None:
        now = self._monotonic()
        with self._lock:
            self._everywhere = tuple(v for v in self._everywhere if v is not box)
            for entry in self._runs.values():
                if box.viewer and box.viewer == entry.info.wheel:
                    entry.commands.steered = now
            if box.run_id is not None and box.run_id in self._runs:
                entry = self._runs[box.run_id]
                entry.viewers = tuple(v for v in entry.viewers if v is not box)
                entry.demanded()


_NOBODY = Demand()
