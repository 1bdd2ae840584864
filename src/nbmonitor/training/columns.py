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

_Piece = tuple[list[int], "NDArray[np.int64]", "NDArray[np.float64]", "NDArray[np.float64]"]
"""Positions of the calls, steps, values, times."""


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
        groups: dict[tuple[str, ...], tuple[list[int], list[Row]]] = {}
        for index, row in enumerate(rows):  # calls that name the same values become one table
            names = tuple(row[2])
            group = groups.get(names)
            if group is None:
                group = groups[names] = ([], [])
            group[0].append(index)
            group[1].append(row)
        pieces: dict[str, list[_Piece]] = {}
        for names, (order, group_rows) in groups.items():
            steps = np.array([row[0] for row in group_rows], np.int64)
            times = np.array([row[1] for row in group_rows], np.float64)
            table = _table([list(row[2].values()) for row in group_rows])
            for i, raw in enumerate(names):
                name = self._named(raw)
                if name is None:
                    self.refused += len(steps)
                    continue
                pieces.setdefault(name, []).append((order, steps, table[:, i], times))
        return tuple(_column(name, parts) for name, parts in pieces.items())

    def _named(self, raw: str) -> str | None:
        known = self._names.get(raw)
        if known is None and len(self._names) < self._max:
            known = self._names[raw] = EPOCH_SERIES if raw == EPOCH_KEY else clean(raw)
        return known


def _table(values: list[list[Any]]) -> NDArray[np.float64]:
    try:
        return np.array(values, np.float64)
    except Exception:  # a device tensor, an integer beyond float64
        return np.array([[read(v) for v in row] for row in values], np.float64)


def _column(name: str, parts: list[_Piece]) -> Column:
    if len(parts) == 1:
        _, steps, values, times = parts[0]
    else:  # named beside different others, or by two spellings: back in the order of the calls
        order = np.argsort(np.concatenate([p[0] for p in parts]), kind="stable")
        steps, values, times = (np.concatenate([p[i] for p in parts])[order] for i in (1, 2, 3))
    if len(steps) > 1:
        last = np.append(steps[1:] != steps[:-1], True)
        if not last.all():
            steps, values, times = steps[last], values[last], times[last]
    return Column(name, steps, np.ascontiguousarray(values), times)
