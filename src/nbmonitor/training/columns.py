"""Rows of the hot path to columns of the wire and the store: the worker's part of ``run.log``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nbmonitor.events import EPOCH_SERIES, Column
from nbmonitor.training.capture import MAX_NAMES, clean, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

EPOCH_KEY = "\0epoch"  # raw name of our own points on the epoch axis, which nothing a person logs can come upon
Row = tuple[int, float, Any]
"""``(step, epoch seconds, values)``: what one call appends. ``values``: a dict by raw name, or a payload."""


class Columns:
    """Builds columns, with one spelling a name and a bound on how many there are.

    ``refused`` counts the values whose name came after the bound was reached.
    """

    def __init__(self, max_names: int = MAX_NAMES) -> None:
        self.refused = 0
        self._names: dict[str, str] = {}
        self._max = max_names

    def build(self, rows: Sequence[Row]) -> tuple[Column, ...]:
        """Columns of ``rows``, in the order in which names were first seen; within one step the last value counts."""
        raw: dict[str, tuple[list[int], list[Any], list[float]]] = {}
        for step, when, values in rows:
            for name, value in values.items():
                held = raw.get(name)
                if held is None:
                    held = raw[name] = ([], [], [])
                held[0].append(step)
                held[1].append(value)
                held[2].append(when)
        out: dict[str, Column] = {}
        for name, (steps, values, times) in raw.items():
            known = self._names.get(name)
            if known is None:
                if len(self._names) >= self._max:
                    self.refused += len(steps)
                    continue
                known = EPOCH_SERIES if name == EPOCH_KEY else clean(name)
                self._names[name] = known
            column = _column(known, steps, values, times)
            twin = out.get(known)  # two raw names that are spelled alike once made safe
            out[known] = column if twin is None else _joined(twin, column)
        return tuple(out.values())


def _column(name: str, steps: list[int], values: list[Any], times: list[float]) -> Column:
    at = np.array(steps, np.int64)
    when = np.array(times, np.float64)
    try:
        what: NDArray[np.float64] = np.array(values, np.float64)
    except Exception:  # a device tensor, an integer beyond float64
        what = np.array([read(v) for v in values], np.float64)
    if len(at) > 1:
        last = np.append(at[1:] != at[:-1], True)
        if not last.all():
            at, what, when = at[last], what[last], when[last]
    return Column(name, at, what, when)


def _joined(a: Column, b: Column) -> Column:
    order = np.argsort(np.concatenate((a.times, b.times)), kind="stable")
    return Column(
        a.name,
        np.concatenate((a.steps, b.steps))[order],
        np.concatenate((a.values, b.values))[order],
        np.concatenate((a.times, b.times))[order],
    )
