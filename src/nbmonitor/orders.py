"""What a command may say at all, whichever run it is for, and how long it means what it says. Ground, pure.

Looked at twice: where a command arrives, and in the process of the run, which may be told things by a server it has no
reason to trust. Everything is refused with a sentence; nothing of it is ever evaluated, opened or imported.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nbmonitor.events import CommandKind

if TYPE_CHECKING:
    from nbmonitor.events import Command, RunInfo

LONGEST_ID, LONGEST_WORD, MOST_PARAMS = 64, 200, 16
LONGEST_TTL = 3600.0  # seconds
HIGHEST_RATE = 1e6  # beyond it no learning rate, and no factor of one, is meant
LARGEST_BATCH = 2**31 - 1
SLACK = 5.0  # seconds by which two clocks that were compared may be apart

_RATE_MODES = ("set", "scale", "pin", "release")


def fault(command: Command) -> str:
    """Say what is wrong with a command in itself; "" when nothing is."""
    key = command.command_id
    if not (0 < len(key) <= LONGEST_ID and key.isascii() and key.isprintable()):
        return f"its id must be 1 to {LONGEST_ID} printable ASCII characters"
    if not 0 < command.ttl <= LONGEST_TTL:  # NaN too
        return f"its time to live must be above 0 and at most {LONGEST_TTL:.0f} s"
    if len(command.params) > MOST_PARAMS:
        return f"it has more than {MOST_PARAMS} arguments"
    why = ""
    if command.kind is CommandKind.SET_LEARNING_RATE:
        why = _rate(command.params.get("mode", "set"), command.params.get("value"))
    elif command.kind is CommandKind.SET_BATCH_SIZE:
        why = _size(command.params.get("value"))
    return why or next(filter(None, (_argument(n, v) for n, v in command.params.items())), "")


def _argument(name: Any, value: Any) -> str:
    if not isinstance(name, str) or len(name) > LONGEST_WORD:
        return f"the name of an argument must be a word of at most {LONGEST_WORD} characters"
    if isinstance(value, str) and len(value) > LONGEST_WORD:
        return f"{ascii(name)[:40]} is longer than {LONGEST_WORD} characters"
    if value is not None and not isinstance(value, str | bool | int | float):
        return f"{ascii(name)[:40]} must be a number or a word, nothing nested"
    return ""


def _rate(mode: Any, value: Any) -> str:
    if mode not in _RATE_MODES:
        return f"mode must be one of {', '.join(_RATE_MODES)}, not {ascii(mode)[:40]}"
    if mode == "release":
        return ""
    what = "the factor" if mode == "scale" else "the learning rate"
    number = _number(value)
    if number is None:
        return f"{what} must be a number, not {ascii(value)[:40]}"
    if not (math.isfinite(number) and 0 < number <= HIGHEST_RATE):
        return f"{what} must be a finite number above 0, at most {HIGHEST_RATE:g}, not {number:g}"
    return ""


def _size(value: Any) -> str:
    number = _number(value)
    if number is None:
        return f"the batch size must be a number, not {ascii(value)[:40]}"
    if not (number == number // 1 and 1 <= number <= LARGEST_BATCH):
        return f"the batch size must be a whole number from 1 to {LARGEST_BATCH:,}, not {number:g}"
    return ""


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def stale(info: RunInfo, command: Command, now: float) -> str:
    """Say why a command from elsewhere does not mean this moment or this life of the run; "" when it does.

    Whoever recorded a command may send it again when nobody remembers its id any more: after its time, after a restart.
    ``now`` is this clock in epoch seconds, and ``asked_at`` was told in it (see ``Client.send``).
    """
    late = now - (command.asked_at + command.ttl)
    if late > SLACK:
        return f"it was asked for {now - command.asked_at:.0f} s ago and meant {command.ttl:.0f} s: ask again"
    if command.asked_at - now > SLACK:
        return f"it says that it was asked for in {command.asked_at - now:.0f} s: the clocks of both machines differ"
    if command.incarnation is not None and command.incarnation != info.incarnation:
        return "the trainer was restarted since: look and ask again"
    return ""
