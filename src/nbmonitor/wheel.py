"""Who steers: the rules of the wheel. Ground, pure.

Whoever has the wheel is the only one whose commands are carried out. Others may take it from them, unless it is locked;
then it has to be released or handed over. Two things keep a lock from holding a run for ever: the notebook that the run
is in may always take the wheel, and a holder who has been gone for a minute loses the lock.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nbmonitor.audit import OWN, inside, outside
from nbmonitor.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Collection

    from nbmonitor.events import RunInfo

MODES = ("take", "give", "release", "lock", "unlock")
GONE = 60.0  # seconds without a watch after which a holder loses the lock


@dataclass(frozen=True, slots=True)
class Hand:
    """Who asks. ``own``: the notebook of this process; ``others`` are the names of those who watch the run."""

    actor: str
    own: bool = False
    others: Collection[str] = ()


def objection(info: RunInfo, hand: Hand) -> str:
    """Say why somebody's commands are not carried out now; "" when they may steer."""
    if info.wheel in ("", hand.actor):
        return ""
    if info.wheel_locked and not hand.own:
        return f"{_holds(info)} and locked it; ask them to hand it over"
    return f"{_holds(info)}; ask them to hand it over, or take it"


def turned(info: RunInfo, mode: object, to: object, hand: Hand, now: float) -> RunInfo:
    """Return a run's description after somebody did something with its wheel; ``now`` in epoch seconds.

    Raises
    ------
    CommandError
        With the reason, when they may not.
    """
    if mode not in MODES:
        raise CommandError(f"mode must be one of {', '.join(MODES)}, not {ascii(mode)[:40]}")
    holds = info.wheel == hand.actor
    if mode == "take" or (mode == "lock" and not info.wheel):
        if holds:
            raise CommandError("you have the wheel already")
        if info.wheel_locked and not hand.own:
            raise CommandError(objection(info, hand))
        return replace(info, wheel=hand.actor, wheel_locked=mode == "lock", wheel_since=now)
    if not info.wheel:
        raise CommandError("nobody has the wheel: every controller may steer")
    if not holds and not (hand.own and mode != "lock"):
        raise CommandError(objection(info, hand))
    if mode == "release":
        return replace(info, wheel="", wheel_locked=False, wheel_since=0.0)
    if mode == "give":
        return replace(info, wheel=_receiver(info, to, hand), wheel_locked=False, wheel_since=now)
    if info.wheel_locked is (mode == "lock"):
        raise CommandError("it is locked already" if info.wheel_locked else "it is not locked")
    return replace(info, wheel_locked=mode == "lock")


def words(info: RunInfo) -> str:
    """Who has the wheel, for a receipt."""
    return f"{outside(info.wheel) or 'nobody'}{', locked' if info.wheel_locked else ''}"


def _receiver(info: RunInfo, to: object, hand: Hand) -> str:
    there = sorted({*hand.others, OWN} - {info.wheel})
    if inside(to) in there:
        return str(inside(to))
    names = ", ".join(map(outside, there))
    raise CommandError(
        f"nobody here is called {ascii(to)[:60]}; the wheel can be given to {names}"
        if to
        else f"say who gets the wheel: {names}"
    )


def _holds(info: RunInfo) -> str:
    since = time.strftime("%H:%M", time.localtime(info.wheel_since))
    return f"{outside(info.wheel)} has the wheel since {since}"
