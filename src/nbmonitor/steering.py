"""What becomes of a command where it arrives: refused with a sentence, carried out here (the wheel), or queued. Ground.

Pure: the broker keeps the run and its ledger, and asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmonitor import wheel
from nbmonitor.audit import outside
from nbmonitor.errors import CommandError
from nbmonitor.events import CommandKind, CommandRecord, CommandState, RunState
from nbmonitor.ledger import objection, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbmonitor.events import Command, RunInfo
    from nbmonitor.wheel import Hand

_DONE = {  # what changes the state of a run, and to which
    CommandKind.PAUSE: ("paused", RunState.PAUSED),
    CommandKind.RESUME: ("resumed", RunState.RUNNING),
    CommandKind.STOP: ("stopped", RunState.STOPPING),
}


def judged(
    info: RunInfo, command: Command, hand: Hand, now: float, before: Sequence[CommandRecord] = ()
) -> tuple[CommandRecord, RunInfo]:
    """Return the record that a new command begins with, and the run's description after it.

    The record is QUEUED where the run has to carry it out, else final. ``now`` in epoch seconds; ``before`` are the
    records of earlier commands, oldest first.
    """
    if command.kind is CommandKind.WHEEL:
        return _wheel(info, command, hand, now)
    why = (
        objection(info, command) or wheel.objection(info, hand) or overtaken(info, command, before)
    )
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


def overtaken(info: RunInfo, command: Command, before: Sequence[CommandRecord]) -> str:
    """Say who was faster, where the state that the person saw is another one by now or is about to be; else ""."""
    expected = command.expected_version
    if expected is None:
        return ""
    other = next((r.command for r in reversed(before) if _counts(r)), None)
    theirs = other is not None and other.actor != command.actor
    coming = theirs and any(r.command is other and not r.state.final for r in before)
    if expected == info.state_version and not coming:
        return ""
    if other is not None and theirs:
        word, state = _DONE[other.kind]
        if coming or info.state is state:
            return f"{outside(other.actor)} was faster and {word} the run; look and press again"
    return f"the run is {info.state} by now; look and press again"


def _counts(record: CommandRecord) -> bool:
    on_its_way = not record.state.final or record.state is CommandState.APPLIED
    return record.command.kind in _DONE and on_its_way
