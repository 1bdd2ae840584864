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
Row = tuple[int, float, Any, bool]
"""``(step, epoch seconds, values, mean)``: what one call appends. ``values``: a dict by raw name, or a payload;
``mean``: averaged with what else came under the name within the step, else the last word counts."""

_Piece = tuple[
    list[int],
    "NDArray[np.int64]",
    "NDArray[np.float64]",
    "NDArray[np.float64]",
    "NDArray[np.bool_]",
]
"""Positions of the calls, steps, values, times, whether they are averaged."""


class Columns:
    """Builds columns, with one spelling a name and a bound on how many there are.

    ``refused`` counts the values whose name came after the bound was reached.
    """

    def __init__(self, max_names: int = MAX_NAMES) -> None:
        self.refused = 0
        self._names: dict[str, str] = {}
        # Step, sum and count of the last point by name: its step may go on in the next rows.
        self._open: dict[str, tuple[int, float, int]] = {}
        self._max = max_names

    @property
    def names(self) -> tuple[str, ...]:
        """Names of series so far."""
        return tuple(self._names.values())

    def build(self, rows: Sequence[Row]) -> tuple[Column, ...]:
        """Columns of ``rows``, in the order in which names were first seen, with one value a step each."""
        groups: dict[tuple[bool, tuple[str, ...]], tuple[list[int], list[Row]]] = {}
        for index, row in enumerate(rows):  # calls that name the same values become one table
            key = (row[3], tuple(row[2]))
            group = groups.get(key)
            if group is None:
                group = groups[key] = ([], [])
            group[0].append(index)
            group[1].append(row)
        pieces: dict[str, list[_Piece]] = {}
        for (mean, names), (order, group_rows) in groups.items():
            steps = np.array([row[0] for row in group_rows], np.int64)
            times = np.array([row[1] for row in group_rows], np.float64)
            means = np.full(len(steps), mean)
            table = _table([list(row[2].values()) for row in group_rows])
            for i, raw in enumerate(names):
                name = self.named(raw)
                if name is None:
                    self.refused += len(steps)
                    continue
                pieces.setdefault(name, []).append((order, steps, table[:, i], times, means))
        return tuple(self._column(name, parts) for name, parts in pieces.items())

    def _column(self, name: str, parts: list[_Piece]) -> Column:
        if len(parts) == 1:
            _, steps, values, times, means = parts[0]
        else:  # named beside different others, or by two spellings: back in the order of the calls
            order = np.argsort(np.concatenate([p[0] for p in parts]), kind="stable")
            steps, values, times, means = (
                np.concatenate([p[i] for p in parts])[order] for i in (1, 2, 3, 4)
            )
        step, total, count = self._open.get(name, (-1, 0.0, 0))
        if len(steps) == 1:  # what most looks find: a row each
            at, new = int(steps[0]), float(values[0])
            joins = at == step and bool(means[0])
            total, count = (total + new, count + 1) if joins else (new, 1)
            self._open[name] = (at, total, count)
            return Column(name, steps, np.array([total / count]), times)
        last = np.append(steps[1:] != steps[:-1], True)
        if not last.all() or steps[0] == step:
            values = values.copy()
            for i, (at, new, mean) in enumerate(
                zip(steps.tolist(), values.tolist(), means.tolist(), strict=True)
            ):
                if at == step and mean:
                    total, count = total + new, count + 1
                else:
                    step, total, count = at, new, 1
                values[i] = total / count
            steps, values, times = steps[last], values[last], times[last]
        else:
            total, count = float(values[-1]), 1
        self._open[name] = (int(steps[-1]), total, count)
        return Column(name, steps, np.ascontiguousarray(values), times)

    def named(self, raw: str) -> str | None:
        """Return the name that a raw one is shown by; None beyond the bound."""
        known = self._names.get(raw)
        if known is None and len(self._names) < self._max:
            known = self._names[raw] = EPOCH_SERIES if raw == EPOCH_KEY else clean(raw)
        return known


def _table(values: list[list[Any]]) -> NDArray[np.float64]:
    try:
        return np.array(values, np.float64)
    except Exception:  # a device tensor, an integer beyond float64
        return np.array([[read(v) for v in row] for row in values], np.float64)
