"""History in memory: columns per series, the latest sparse events, the newest pictures."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nbmonitor.errors import UnknownRunError
from nbmonitor.events import EPOCH_SERIES, Batch, Event, Performance, RunInfo, Scalars, SeriesKind
from nbmonitor.interfaces import Axis, SeriesInfo, Window
from nbmonitor.series import Series, window

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

SPARSE_EVENTS = 5_000  # kept per run


@dataclass(slots=True)
class _History:
    info: RunInfo
    series: dict[tuple[str, SeriesKind], Series] = field(default_factory=dict)
    sparse: deque[Event] = field(default_factory=lambda: deque(maxlen=SPARSE_EVENTS))
    newest: dict[tuple[str, str], Event] = field(default_factory=dict)


class MemoryStore:
    """A :class:`~nbmonitor.interfaces.Store` that lives as long as this process."""

    volatile = True

    def __init__(self) -> None:
        self._runs: dict[str, _History] = {}
        self._lock = threading.Lock()

    def put_run(self, info: RunInfo) -> None:
        """Create or replace the description of a run."""
        with self._lock:
            known = self._runs.get(info.run_id)
            if known is None:
                self._runs[info.run_id] = _History(info)
            else:
                known.info = info

    def append(self, event: Event) -> None:
        """Keep one event: scalars as columns, the newest pictures and performance, the rest as it is."""
        payload = event.payload
        with self._lock:
            history = self._of(event.run_id)
            if isinstance(payload, Scalars):
                for column in payload.columns:
                    if len(column.steps) == 0:
                        continue
                    key = (column.name, column.kind)
                    series = history.series.get(key)
                    if series is None:
                        series = history.series[key] = Series()
                    series.extend(column.steps, column.values, column.times)
            elif isinstance(payload, Batch):
                history.newest["batch", payload.split] = event
            elif isinstance(payload, Performance):
                history.newest["performance", ""] = event
            else:
                history.sparse.append(event)

    def runs(self) -> Sequence[RunInfo]:
        """The runs kept, oldest first."""
        with self._lock:
            return [h.info for h in self._runs.values()]

    def series(self, run_id: str) -> Sequence[SeriesInfo]:
        """The series of a run, in the order in which they were first seen."""
        with self._lock:
            known = self._of(run_id).series.items()
            return [SeriesInfo(name, kind, s.count, *s.last()) for (name, kind), s in known]

    def window(
        self,
        run_id: str,
        name: str,
        kind: SeriesKind,
        *,
        axis: Axis,
        lo: float | None,
        hi: float | None,
        max_points: int,
    ) -> Window:
        """See :meth:`nbmonitor.interfaces.Source.window`."""
        with self._lock:
            history = self._of(run_id)
            series = history.series.get((name, kind)) or Series(1)
            epochs = history.series.get((EPOCH_SERIES, "step"))
            # Under the lock, so that a value replaced at the last step is never half seen: 1 M points take about 1 ms.
            return window(series, epochs, axis=axis, lo=lo, hi=hi, max_points=max_points)

    def points(
        self, run_id: str, name: str, kind: SeriesKind
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Every point kept of a series as (steps, values, times); copies."""
        with self._lock:
            series = self._of(run_id).series.get((name, kind)) or Series(1)
            steps, values, times = series.view()
            return steps.copy(), values.copy(), times.copy()

    def events(
        self, run_id: str, *, after_seq: int = 0, limit: int | None = None
    ) -> Sequence[Event]:
        """Sparse events kept, oldest first."""
        with self._lock:
            found = [e for e in self._of(run_id).sparse if e.seq > after_seq]
        return found if limit is None else found[-limit:]

    def latest(self, run_id: str) -> Sequence[Event]:
        """The newest Performance event and the newest Batch event of each split, oldest first."""
        with self._lock:
            return sorted(self._of(run_id).newest.values(), key=lambda e: e.seq)

    def close(self) -> None:
        """Nothing to flush."""

    def _of(self, run_id: str) -> _History:
        try:
            return self._runs[run_id]
        except KeyError:
            raise UnknownRunError(run_id, tuple(h.info.name for h in self._runs.values())) from None
