"""What the things that commands act upon share: reading a command's number, saying what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbmonitor.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

Change = tuple[dict[str, str], dict[str, str]]
"""What a command changed, in words by control name: before, after."""


def real(params: Mapping[str, Any], what: str) -> float:
    """The number in a command's ``value``; raises CommandError with the reason where there is none."""
    value = params.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CommandError(f"{what} must be a number, not {ascii(value)[:40]}")
    try:
        return float(value)
    except OverflowError:
        raise CommandError(f"{what} must be a finite number") from None
