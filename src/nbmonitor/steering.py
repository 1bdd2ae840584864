"""What becomes of a command where it arrives: refused with a sentence, carried out here (the wheel), or queued. Ground.

Pure: the broker keeps the run and its ledger, and asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmonitor import wheel
from nbmonitor.errors import CommandError
from nbmonitor.events import CommandKind, CommandRecord, CommandState
from nbmonitor.ledger import objection, refused

if TYPE_CHECKING:
    from nbmonitor.events import Command, RunInfo
    from nbmonitor.wheel import Hand


def judged(
    info: RunInfo, command: Command, hand: Hand, now: float
) -> tuple[CommandRecord, RunInfo]:
    """Return the record that a new command begins with, and the run's description after it.

    The record is QUEUED where the run has to carry it out, else final. ``now`` in epoch seconds.
    """
    if command.kind is CommandKind.WHEEL:
        return _wheel(info, command, hand, now)
    why = objection(info, command) or wheel.objection(info, hand)
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
