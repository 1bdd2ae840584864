"""The records of one run's commands: once by id, and a final word is never taken back. Ground."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from nbmonitor.events import CONTROL_OF, CommandRecord, CommandState, RunState
from nbmonitor.orders import SLACK

if TYPE_CHECKING:
    from nbmonitor.events import Command, RunInfo

KEPT = 1_000  # records of a run
WAITING = 100  # commands of a run without a final word
IDS = 20_000  # ids that are still told apart when their record is gone


class Ledger:
    """Command records of a run, oldest first. Times are those of a monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, CommandRecord] = OrderedDict()
        self._deadlines: dict[str, float] = {}
        self._ids: dict[str, float] = {}  # and until when each could come again

    def get(self, command_id: str) -> CommandRecord | None:
        """Return the record of a command, if there is one."""
        return self._records.get(command_id)

    def overcrowded(self, command: Command, now: float) -> str:
        """Say why a command that has no record is not even begun; "" when it may be.

        An id is remembered for longer than its record, for as long as the command could be sent once more.
        """
        if command.command_id in self._ids:
            return "it was asked before: a command acts once"
        if len(self._ids) >= IDS:
            self._ids = {key: until for key, until in self._ids.items() if until >= now}
            if len(self._ids) >= IDS:
                return f"{IDS:,} commands came within a short time: slow down"
        return ""

    @property
    def busy(self) -> bool:
        """Whether as many commands wait for a final word as may."""
        return len(self._deadlines) >= WAITING

    def over(self, record: CommandRecord) -> bool:
        """Whether the command of a record has had its final word."""
        known = self._records.get(record.command.command_id)
        return known is not None and known.state.final

    def all(self) -> list[CommandRecord]:
        """Return every record kept."""
        return list(self._records.values())

    def waiting(self) -> list[CommandRecord]:
        """Return the records that wait for a final word."""
        return [r for r in self._records.values() if not r.state.final]

    def overdue(self, now: float) -> list[CommandRecord]:
        """Return the records whose time is up without a final word."""
        late = [key for key, deadline in self._deadlines.items() if now > deadline]
        records = [self._records[key] for key in late if key in self._records]
        for key in late:
            del self._deadlines[key]
        return [r for r in records if not r.state.final]

    def open(self, record: CommandRecord, now: float) -> None:
        """Begin the record of a command."""
        key = record.command.command_id
        self._records[key] = record
        self._ids[key] = now + record.command.ttl + 3 * SLACK
        if not record.state.final:
            self._deadlines[key] = now + record.command.ttl
        if len(self._records) > KEPT:  # those that wait stay: they are few, see WAITING
            oldest = next((k for k, r in self._records.items() if r.state.final), key)
            if oldest != key:
                del self._records[oldest]

    def merge(self, record: CommandRecord) -> CommandRecord:
        """Take a further word on a command and return what stands: asked as it was asked, ended as it ended."""
        key = record.command.command_id
        known = self._records.get(key)
        if known is not None:
            record = known if known.state.final else replace(record, command=known.command)
        self._records[key] = record
        if record.state.final:
            self._deadlines.pop(key, None)
        return record


def objection(info: RunInfo, command: Command) -> str:
    """Say why a command cannot be carried out by this run at all; "" when it may.

    A silent run (a stale link) is no objection: it may be in a long step, and a stop is wanted then more than ever. The
    command goes on its way and is answered, at the latest when its time is up.
    """
    if info.state.ended:
        return f"the run is over ({info.state})"
    if info.state is RunState.LOST:
        return "the run is lost: nobody would receive it"
    if not info.steerable:
        return info.why or "this run cannot be steered"
    control = CONTROL_OF.get(command.kind)
    if control is None or control not in info.controls:
        what = control.replace("_", " ") if control else str(command.kind)
        return f"this run registered no control for {what}; see Run.control"
    return ""


def refused(command: Command, why: str, now: float) -> CommandRecord:
    """Record a command that nobody will carry out; ``now`` in epoch seconds."""
    return CommandRecord(command, CommandState.REJECTED, error=why, resolved_at=now)


def out_of_time(record: CommandRecord, now: float) -> CommandRecord:
    """Record that time is up: UNCONFIRMED for what was sent on a road, EXPIRED else; ``now`` in epoch seconds."""
    if record.state is CommandState.SENT:
        state, why = CommandState.UNCONFIRMED, "the trainer did not answer"
    else:
        state, why = CommandState.EXPIRED, f"no step came within {record.command.ttl:.0f} s"
    return replace(record, state=state, error=why, resolved_at=now)


def cut_off(record: CommandRecord, now: float) -> CommandRecord:
    """Record that the run ended before the command took effect; ``now`` in epoch seconds."""
    return replace(record, state=CommandState.EXPIRED, error="the run ended first", resolved_at=now)
