"""Reads curves for frames: those that grew and are in view, in turn, within a share of the sender's time.

A source in this process reads a curve in a millisecond: what does not fit into a tick waits for the next one, so that
images go on meanwhile. One behind a tunnel would take a round trip: it gives what it has, and is looked at again while
that is stale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbmonitor.events import EPOCH_SERIES
from nbmonitor.notebook.frames import series_view
from nbmonitor.notebook.plain import text
from nbmonitor.series import classify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nbmonitor.events import SeriesKind
    from nbmonitor.interfaces import Axis, SeriesInfo, Source, Window
    from nbmonitor.notebook.frames import Frame
    from nbmonitor.notebook.pages import Page
    from nbmonitor.notebook.stage import Stage

TICK = 0.1  # seconds between two looks at curves
SHARE = 4  # a tick that took t seconds is followed by SHARE x t without one
PATIENCE = 0.03  # seconds of reading in a tick
FIRST_PATIENCE = 0.5  # and in a key frame
TOTALS_EVERY = 1.0  # seconds between two words about series out of view
LIVE_POINTS, ALL_POINTS = 1000, 2000
FIRST_CHARTS = 8  # that a page which has not said what it sees gets with its key frame


def chart_of(name: str) -> str:
    """Chart of a series, by the name that crosses to the page."""
    return classify(text(name, 200))[0]


class Curves:
    """Which curves are due.

    Parameters
    ----------
    source
        Read.
    stage
        Tells which series grew; what was sent is taken from there.
    monotonic
        Seconds.
    """

    def __init__(self, source: Source, stage: Stage, monotonic: Callable[[], float]) -> None:
        self._source = source
        self._stage = stage
        self._monotonic = monotonic
        self._quiet: set[tuple[str, SeriesKind]] = set()  # grew out of view
        self._next: tuple[str, SeriesKind] | None = None  # whose turn it is
        self._shown: dict[tuple[str, SeriesKind, Axis, int], object] = {}  # values last sent to all
        self._totals_at = 0.0
        self.owed: set[tuple[Axis, str]] = set()  # whole curves that somebody waits for
        self.due_at = 0.0

    @property
    def due(self) -> bool:
        """Whether there is anything to read."""
        quiet = self._quiet and self._monotonic() >= self._totals_at
        return bool(self._stage.grown or self.owed or quiet)

    def all(
        self, frame: Frame, axes: Mapping[Axis, frozenset[str] | None], *, settle: bool
    ) -> list[dict[str, Any]]:
        """Every series, with points where in view, for a key frame. ``settle``: everybody gets it."""
        if settle:
            self.owed.clear()
            self._quiet.clear()
            self._shown.clear()
            self._stage.grown.clear()
        series = self._series()
        first = _first(series)
        end = self._monotonic() + FIRST_PATIENCE
        views: list[dict[str, Any]] = []
        for info in series:
            drawn = False
            chart = chart_of(info.name)
            for axis, wanted in axes.items():
                if chart not in (first if wanted is None else wanted):
                    continue
                if self._monotonic() > end:
                    self.owed.add((axis, chart))
                    continue
                window = self._window(info, axis, ALL_POINTS)
                views.append(series_view(frame, info, window, axis=axis))
                if window.stale:
                    self.owed.add((axis, chart))
                drawn = True
            if not drawn:
                views.append(series_view(frame, info))
        return views

    def grown(
        self, frame: Frame, axes: Mapping[Axis, frozenset[str] | None]
    ) -> list[dict[str, Any]]:
        """The series that grew or are waited for, as far as a tick goes."""
        stage, began = self._stage, self._monotonic()
        series = self._series()
        first = _first(series)
        keys = [(s.name, s.kind) for s in series]
        at = keys.index(self._next) if self._next in keys else 0
        left, self._next = stage.grown.copy(), None
        waiting: set[tuple[Axis, str]] = set()
        again: set[tuple[str, SeriesKind]] = set()  # a newer one is on its way
        totals = began >= self._totals_at
        views: list[dict[str, Any]] = []
        for info in series[at:] + series[:at]:
            key, chart = (info.name, info.kind), chart_of(info.name)
            due = [
                (axis, (axis, chart) in self.owed)
                for axis, wanted in axes.items()
                if chart in (first if wanted is None else wanted)
                and (key in left or (axis, chart) in self.owed)
            ]
            if due and self._monotonic() - began > PATIENCE:
                self._next = self._next or key
                waiting.update((axis, chart) for axis, owed in due if owed)
                continue
            for axis, owed in due:
                points = ALL_POINTS if owed else LIVE_POINTS
                window = self._window(info, axis, points)
                if window.stale:
                    again.add(key)
                    waiting.update({(axis, chart)} if owed else ())
                if not window.stale or self._shown.get((*key, axis, points)) is not window.y:
                    views.append(series_view(frame, info, window, axis=axis))
                self._shown[*key, axis, points] = window.y
            if not due:
                if key in left:
                    self._quiet.add(key)
                if totals and key in self._quiet:
                    views.append(series_view(frame, info))
            if due or totals:
                self._quiet.discard(key)
            left.discard(key)
        stage.grown.clear()
        if self._next is not None:  # else what is left has no series (any more)
            stage.grown.update(left)
        stage.grown.update(again)
        self.owed = waiting
        if totals:
            self._totals_at = began + TOTALS_EVERY
        self.due_at = began + max(TICK, SHARE * (self._monotonic() - began))
        return views

    def touch_zooms(self, pages: Iterable[Page]) -> None:
        """Windows on charts that grew are due again."""
        for chart in {chart_of(name) for name, _ in self._stage.grown}:
            for page in pages:
                if chart in page.zooms:
                    page.zooms[chart].due = True

    def zoomed(self, frame: Frame, page: Page) -> list[dict[str, Any]]:
        """The windows of one page that have something new in them."""
        due = {chart: z for chart, z in page.zooms.items() if z.due}
        if not due:
            return []
        views = []
        again = False
        for info in self._series():
            zoom = due.get(chart_of(info.name))
            if zoom is None:
                continue
            lo, hi = zoom.span
            window = self._source.window(
                self._stage.run_id or "",
                info.name,
                info.kind,
                axis=zoom.axis,
                lo=lo,
                hi=hi,
                max_points=ALL_POINTS,
                wait=False,
            )
            again |= window.stale
            told = (len(window.x), window.x[-1:].tobytes(), window.y[-1:].tobytes())
            if zoom.told.get((info.name, info.kind)) != told:
                zoom.told[info.name, info.kind] = told
                views.append(series_view(frame, info, window, axis=zoom.axis, span=zoom.span))
        for zoom in due.values():
            zoom.due = again
        return views

    def _series(self) -> list[SeriesInfo]:
        run_id = self._stage.run_id
        if run_id is None:
            return []
        return [s for s in self._source.series(run_id) if s.name != EPOCH_SERIES]

    def _window(self, info: SeriesInfo, axis: Axis, points: int) -> Window:
        return self._source.window(
            self._stage.run_id or "", info.name, info.kind, axis=axis, max_points=points, wait=False
        )


def _first(series: Iterable[SeriesInfo]) -> frozenset[str]:
    """What is shown first: the machine's figures and the first charts of the run."""
    names = dict.fromkeys(chart_of(s.name) for s in series)
    own = [c for c in names if not c.startswith("system/")][:FIRST_CHARTS]
    return frozenset(own) | {c for c in names if c.startswith("system/")}
