"""Growable columns, what a series' name means, and decimation for drawing. Ground."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nbmonitor.interfaces import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nbmonitor.interfaces import Axis

tsdownsample: Any = None
with contextlib.suppress(ImportError):  # no wheel for this platform: NumPy's min-max below
    import tsdownsample

Split = Literal["train", "val"]

_VAL = (
    "validation/",
    "validation_",
    "valid/",
    "valid_",
    "val/",
    "val_",
    "test/",
    "test_",
    "eval/",
    "eval_",
)
_TRAIN = ("train/", "train_")
_MEAN = ("average_", "avg_", "mean_")


def classify(name: str) -> tuple[str, Split]:
    """Chart and split that a series belongs to, by the prefixes people use.

    >>> classify("val_loss"), classify("average_accuracy"), classify("layer1/grad")
    (('loss', 'val'), ('accuracy', 'train'), ('layer1/grad', 'train'))
    """
    split: Split = "train"
    chart = name
    for prefix in _VAL:
        if chart.lower().startswith(prefix) and len(chart) > len(prefix):
            chart, split = chart[len(prefix) :], "val"
            break
    else:
        chart = _without(chart, _TRAIN)
    return _without(chart, _MEAN), split


def _without(name: str, prefixes: tuple[str, ...]) -> str:
    for prefix in prefixes:
        if name.lower().startswith(prefix) and len(name) > len(prefix):
            return name[len(prefix) :]
    return name


class Series:
    """Three growable columns: int64 steps, float64 values, float64 times (epoch seconds). 24 bytes a point.

    One writer; readers take :meth:`view`, whose arrays never move. Appending at the last step again replaces the last
    value: within one step, the last word counts.
    """

    __slots__ = ("_steps", "_times", "_values", "count", "in_order")

    def __init__(self, capacity: int = 16) -> None:
        self._steps = np.empty(capacity, np.int64)
        self._values = np.empty(capacity, np.float64)
        self._times = np.empty(capacity, np.float64)
        self.count = 0
        self.in_order = True  # steps and times never went backwards: windows by bisection

    def extend(
        self, steps: NDArray[np.int64], values: NDArray[np.float64], times: NDArray[np.float64]
    ) -> None:
        """Append points, oldest first; the arrays have one length."""
        if len(steps) == 0:
            return
        n = self.count
        if n and steps[0] == self._steps[n - 1]:
            n -= 1
        end = n + len(steps)
        if end > len(self._steps):
            self._grow(end)
        if self.in_order:
            before = n > 0 and (steps[0] < self._steps[n - 1] or times[0] < self._times[n - 1])
            self.in_order = not (
                before
                or (
                    len(steps) > 1
                    and bool(np.any(np.diff(steps) < 0) or np.any(np.diff(times) < 0))
                )
            )
        self._steps[n:end] = steps
        self._values[n:end] = values
        self._times[n:end] = times
        self.count = end

    def _grow(self, needed: int) -> None:
        capacity = max(needed, 2 * len(self._steps))
        for name in ("_steps", "_values", "_times"):
            old = getattr(self, name)
            new = np.empty(capacity, old.dtype)
            new[: self.count] = old[: self.count]
            setattr(self, name, new)

    def last(self) -> tuple[int, float]:
        """Step and value of the last point; raises IndexError where there is none."""
        if not self.count:
            raise IndexError("an empty series has no last point")
        return int(self._steps[self.count - 1]), float(self._values[self.count - 1])

    def view(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Steps, values, times as they stand: views without a copy."""
        n = self.count
        return self._steps[:n], self._values[:n], self._times[:n]


def decimate(y: NDArray[np.float64], max_points: int) -> NDArray[np.intp] | slice:
    """Indices of at most ``max_points`` points that draw like all of ``y``; first and last are always among them.

    MinMaxLTTB (Van Der Donckt et al. 2023, https://arxiv.org/abs/2305.00332) by tsdownsample, which keeps a NaN where
    there is one; without it, the minimum and maximum of each bin.
    """
    n = len(y)
    if n <= max_points:
        return slice(None)
    if max_points < 4:
        return np.array([0, n - 1][:max_points], np.intp)
    if tsdownsample is None:
        return _min_max(y, max_points)
    finite = bool(np.isfinite(y).all())
    kind = "MinMaxLTTBDownsampler" if finite else "NaNMinMaxLTTBDownsampler"
    indices: NDArray[np.intp] = (
        getattr(tsdownsample, kind)().downsample(y, n_out=max_points).astype(np.intp)
    )
    return indices


def _min_max(y: NDArray[np.float64], max_points: int) -> NDArray[np.intp]:
    n = len(y)
    bins = (max_points - 2) // 2
    edges = np.linspace(0, n, bins + 1).astype(np.intp)
    picked = [0, n - 1]
    for lo, hi in pairwise(edges):
        part = y[lo:hi]
        if len(part) == 0:
            continue
        bad = np.isnan(part)
        if bad.all():
            picked.append(int(lo))
            continue
        picked.append(int(lo + (int(np.argmax(bad)) if bad.any() else np.nanargmin(part))))
        picked.append(int(lo + np.nanargmax(part)))
    return np.unique(np.array(picked, np.intp))[:max_points]


def window(
    series: Series,
    epochs: Series | None,
    *,
    axis: Axis = "step",
    lo: float | None = None,
    hi: float | None = None,
    max_points: int = 1000,
) -> Window:
    """Points of ``series`` within ``[lo, hi]`` of the axis, decimated, with one neighbour beyond each end.

    Where steps go backwards a NaN stands between two branches, at the place where the new one begins.

    Parameters
    ----------
    epochs
        The series that maps steps to fractional epochs, for ``axis="epoch"``; without one the step stands in.
    """
    steps, values, times = series.view()
    total = len(steps)
    if (
        axis == "epoch"
        and lo is not None
        and hi is not None
        and epochs is not None
        and epochs.count
    ):
        lo, hi = _steps_of(epochs, lo), _steps_of(epochs, hi)
    x_all = times if axis == "time" else steps
    if lo is not None or hi is not None:
        low = -np.inf if lo is None else lo
        high = np.inf if hi is None else hi
        if series.in_order:
            first = max(0, int(np.searchsorted(x_all, low, "left")) - 1)
            last = min(total, int(np.searchsorted(x_all, high, "right")) + 1)
            steps, values, x_all = steps[first:last], values[first:last], x_all[first:last]
        else:  # steps went backwards somewhere (a fork of the curve)
            inside = (x_all >= low) & (x_all <= high)
            steps, values, x_all = steps[inside], values[inside], x_all[inside]

    def drawn(most: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        picked = decimate(values, most)
        if axis == "epoch" and epochs is not None and epochs.count:
            x = epochs_of(epochs, steps[picked])
        else:
            x = x_all[picked].astype(np.float64)
        with np.errstate(over="ignore"):  # beyond float32: infinite, which it is for a chart
            return x, values[picked].astype(np.float32)

    x, y = drawn(max_points)
    exact = len(x) == len(values)
    if not series.in_order:
        back = np.flatnonzero(np.diff(x) < 0) + 1
        if len(x) + len(back) > max_points:
            x, y = drawn(max_points // 2)
            back = np.flatnonzero(np.diff(x) < 0) + 1
        # A fork: a branch that begins further left, not a line back across the chart.
        x, y = np.insert(x, back, x[back]), np.insert(y, back, np.float32(np.nan))
    return Window(x, y, total, exact)


def epochs_of(epochs: Series, steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """Fractional epochs at these steps, by linear interpolation; beyond the ends, the value at the end."""
    at, value, _ = epochs.view()
    return np.interp(steps, at, value)


def _steps_of(epochs: Series, epoch: float) -> float:
    at, value, _ = epochs.view()
    return float(np.interp(epoch, value, at))
