"""Names and words of others, as they may be printed, logged and drawn: one line, and otherwise as they are. Ground."""

from __future__ import annotations

import re

_SPACE = re.compile(r"[\t\r\n\v\f\u0085\u2028\u2029]+")
# Control characters, lone surrogates, and the marks that turn the direction of what follows: none is ever meant.
_BAD = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(value: object, limit: int = 300) -> str:
    """Text that every terminal, JSON reader and font survives: one line, at most ``limit`` characters.

    >>> one_line("lr=0.1 *best* [a|b]")
    'lr=0.1 *best* [a|b]'
    """
    line = value if isinstance(value, str) else str(value)
    if len(line) > limit:
        line = line[: limit - 1] + "…"
    return _BAD.sub("\ufffd", _SPACE.sub(" ", line))


def harmless(value: str) -> bool:
    """Whether a text can be printed as it is."""
    return not (_SPACE.search(value) or _BAD.search(value))
