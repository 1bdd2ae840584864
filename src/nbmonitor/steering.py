"""What becomes of a command where it arrives: refused with a sentence, carried out here (the wheel), or queued. Ground.

The broker keeps the run, and asks under its lock; nothing here waits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nbmonitor import wheel
from nbmonitor.audit import OWN, outside
from nbmonitor.errors import CommandError
from nbmonitor.events import CommandKind, CommandRecord, CommandState, LogLine, RunState
from nbmonitor.ledger import WAITING, Ledger, objection, refused
from nbmonitor.orders import fault, stale

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from nbmonitor.events import Command, Payload, RunInfo
    from nbmonitor.wheel import Hand

_DONE = {  # what changes the state of a run, and to which
    CommandKind.PAUSE: ("paused", RunState.PAUSED),
    CommandKind.RESUME: ("resumed", RunState.RUNNING),
    CommandKind.STOP: ("stopped", RunState.STOPPING),
}


class Steering(Ledger):
    """Commands of one run, and the sign of life of who has its wheel."""

    def __init__(self) -> None:
        super().__init__()
        self.steered = 0.0  # monotonic clock of the last sign of life of who has the wheel

    def take(
        self, info: RunInfo, command: Command, hand: Hand, now: float, monotonic: float
    ) -> tuple[CommandRecord, RunInfo]:
        """Judge a new command and begin its record, to be merged; times in epoch seconds and of a monotonic clock."""
        record, info = judged(info, command, hand, now, self.all())
        if self.busy and not record.state.final:
            record = refused(command, f"{WAITING} commands wait for this run already", now)
        if record.state is CommandState.APPLIED or info.wheel == command.actor:
            self.steered = monotonic
        self.open(replace(record, state=CommandState.QUEUED), monotonic)
        return record, info

    def unlocked(
        self, info: RunInfo, viewers: Collection[str], monotonic: float
    ) -> tuple[RunInfo, list[Payload]]:
        """A lost laptop does not lock a run for ever: who is not among the viewers for a minute loses the lock."""
        if not info.wheel_locked or info.wheel == OWN:
            return info, []
        away = monotonic - self.steered
        if info.wheel in viewers:
            self.steered = monotonic
        elif away > wheel.GONE:
            text = f"{info.wheel} has been away for {away:.0f} s: the wheel is no longer locked"
            return replace(info, wheel_locked=False), [LogLine(text, "warning")]
        return info, []


def judged(
    info: RunInfo, command: Command, hand: Hand, now: float, before: Sequence[CommandRecord] = ()
) -> tuple[CommandRecord, RunInfo]:
    """Return the record that a new command begins with, and the run's description after it.

    The record is QUEUED where the run has to carry it out, else final. ``now`` in epoch seconds; ``before`` are the
    records of earlier commands, oldest first.
    """
    turns = command.kind is CommandKind.WHEEL
    why = "" if turns else objection(info, command)
    why = why or fault(command) or ("" if hand.own else stale(info, command, now))
    if turns and not why:
        return _wheel(info, command, hand, now)
    why = why or wheel.objection(info, hand) or overtaken(info, command, before, now)
    if why:
        return refused(command, why, now), info
    return CommandRecord(command, CommandState.QUEUED), info


def _wheel(
    info: RunInfo, command: Command, hand: Hand, now: float
) -> tuple[CommandRecord, RunInfo]:
    """Carry out what concerns the wheel: at once, whatever the training does."""
    if info.state.ended:
        return refused(command, f"the run is over ({info.state})", now), info
    try:
        after = wheel.turned(info, command.params.get("mode"), command.params.get("to"), hand, now)
    except CommandError as error:
        return refused(command, str(error), now), info
    record = CommandRecord(
        command,
        CommandState.APPLIED,
        info.step,
        {"wheel": wheel.words(info)},
        {"wheel": wheel.words(after)},
        resolved_at=now,
    )
    return record, after


def overtaken(info: RunInfo, command: Command, before: Sequence[CommandRecord], now: float) -> str:
    """Say who was faster, where the state that the person saw is another one by now or is about to be; else "".

    ``before`` are the records of earlier commands, oldest first; ``now`` in epoch seconds.
    """
    expected = command.expected_version
    if expected is None:
        return ""
    last = next((r for r in reversed(before) if _counts(r)), None)
    theirs = last is not None and last.command.actor != command.actor
    coming = last is not None and theirs and not last.state.final
    if expected == info.state_version and not coming:
        return ""
    if last is not None and theirs:
        word, state = _DONE[last.command.kind]
        if coming or info.state is state:
            who, since = (
                outside(last.command.actor),
                max(now - (last.resolved_at or last.command.asked_at), 0.0),
            )
            ago = f" {since:.1f} s earlier" if since < 60 else ""
            return f"{who} was faster and {word} the run{ago}; look and press again"
    return f"the run is {info.state} by now; look and press again"


def _counts(record: CommandRecord) -> bool:
    on_its_way = not record.state.final or record.state is CommandState.APPLIED
    return record.command.kind in _DONE and on_its_way
