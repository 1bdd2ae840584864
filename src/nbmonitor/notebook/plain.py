"""Values as they may cross to a browser: strict JSON numbers, harmless text, figures in words. Pure."""

from __future__ import annotations

import math
from typing import Any

from nbmonitor.text import one_line

Num = float | int | str
"""A finite number, or one of ``"NaN"``, ``"Infinity"``, ``"-Infinity"``."""

text = one_line


def num(value: float) -> Num:
    """A number as JSON can carry it."""
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def finite(value: float | None) -> float | None:
    """The number, or None where there is none that can be drawn."""
    return None if value is None or not math.isfinite(value) else float(value)


def plain(value: Any, depth: int = 4) -> Any:
    """Any value as strict JSON: what is not known becomes text, what is nested too deep is left out."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return num(value)
    if depth <= 0:
        return None
    if isinstance(value, dict):
        return {text(k, 100): plain(v, depth - 1) for k, v in list(value.items())[:200]}
    if isinstance(value, list | tuple):
        return [plain(v, depth - 1) for v in value[:200]]
    return text(value)


def figure(name: str, value: float) -> str:
    """A metric's value as people write it: accuracies in percent, the rest with three digits."""
    if not math.isfinite(value):
        return str(num(value))
    if "acc" in name.lower() and 0 <= value <= 1:
        return f"{value * 100:.1f} %"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """Seconds in words: ``21 s``, ``2 m 41 s``, ``1 h 3 m``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} m {rest} s"
    return f"{minutes // 60} h {minutes % 60} m"
