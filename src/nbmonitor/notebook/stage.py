"""The run that is shown, as a source tells it: its description, newest figures, tiles, lines, and which curves grew.

Only the dashboard's thread looks here. A source that does not answer is said in words (:attr:`Stage.trouble`) and asked
again; it never ends the show.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmonitor.errors import NbMonitorError
from nbmonitor.events import (
    EPOCH_SERIES,
    Batch,
    CommandRecord,
    Demand,
    Event,
    Performance,
    RunUpdate,
    Scalars,
    Status,
)
from nbmonitor.notebook.frames import wrong_tiles
from nbmonitor.notebook.link import Link
from nbmonitor.notebook.words import LINES, Chronicle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nbmonitor.events import RunInfo, SeriesKind
    from nbmonitor.interfaces import Source
    from nbmonitor.subscription import Subscription

WRONG = 16
RUNS_EVERY = 1.0  # seconds between two looks at the list of runs
INFO_EVERY = 0.5  # and at the run's description, whose link and silence no event tells
RETRY = 1.0  # seconds until a source that failed is asked again


class Stage:
    """What is on show.

    Parameters
    ----------
    source
        Where the data is.
    notify
        Called from any thread when there is something to look at.
    clock
        Epoch seconds.
    """

    def __init__(
        self, source: Source, notify: Callable[[], None], clock: Callable[[], float] = time.time
    ) -> None:
        self._source = source
        self._notify = notify
        self._clock = clock
        self._everywhere: Subscription | None = None
        self._box: Subscription | None = None
        self._runs_at = self._info_at = self._retry_at = float("-inf")
        self._demand = Demand()
        self._dropped = 0
        self.runs: Sequence[RunInfo] = ()
        self.info: RunInfo | None = None
        self.trouble = ""
        self.link = Link()
        self._clear()

    def _clear(self) -> None:
        self.chronicle = Chronicle()
        self.perf: Event | None = None
        self.batch: Event | None = None
        self.batch_is_new = False
        self.wrong: deque[tuple[Event, int]] = deque(maxlen=WRONG)  # newest first
        self.grown: set[tuple[str, SeriesKind]] = set()  # series with points not sent yet
        self.news: dict[str, dict[str, Any]] = {}  # lines not sent yet, by id
        self.touched = True  # something else than points and pictures may have changed

    @property
    def run_id(self) -> str | None:
        """The run on show."""
        return None if self.info is None else self.info.run_id

    @property
    def dropped(self) -> int:
        """Events that this viewer skipped on purpose."""
        return self._dropped + (self._box.dropped if self._box is not None else 0)

    # --- looking -----------------------------------------------------------------------------------------------------

    def look(self, wanted: str | None, now: float) -> bool:
        """Take in what is new. ``wanted``: a run, or None for the newest. True: all of the picture is another."""
        if now < self._retry_at:
            return False
        try:
            whole = self._look(wanted, now)
        except (NbMonitorError, OSError) as error:
            self.failed(error, now)
            return False
        back, self.trouble = bool(self.trouble), ""
        return whole or back  # after trouble, nobody knows what was missed

    def failed(self, error: Exception, now: float) -> None:
        """The source did not answer: say why, and leave it alone for a moment."""
        self.touched = self.touched or self.trouble != str(error)
        self.trouble = str(error)
        self._retry_at = now + RETRY

    def _look(self, wanted: str | None, now: float) -> bool:
        if self._everywhere is None or self._everywhere.closed:
            self._everywhere = self._source.subscribe(None, notify=self._notify)
        if self._everywhere.drain().events or now >= self._runs_at:
            self.runs = self._source.runs()
            self._runs_at = now + RUNS_EVERY
            self.touched = True
        target = wanted if wanted is not None else (self.runs[0].run_id if self.runs else None)
        if target != self.run_id or (target is not None and self._box is None):
            self._show(target)
            return True
        if self._box is None:
            return False
        if self._box.closed:
            self._show(target)
            return True
        mail = self._box.drain()
        told = False
        if mail.resync:
            self._load(target or "")
        for event in mail.events:
            told = self._take(event) or told
            if event.seq >= 0:  # said by the run; a client's own words have other numbers
                self.link.event = self._clock()
        if told or now >= self._info_at:
            self.info = self._source.run(target or "")
            self._info_at = now + INFO_EVERY
            self.touched = True
        return mail.resync

    def _show(self, run_id: str | None) -> None:
        """Put another run on; the mailbox is opened before the history is read, so that nothing falls between."""
        if self._box is not None:
            self._dropped += self._box.dropped
            self._box.close()
            self._box = None
        self.info = None
        self._clear()
        if run_id is None:
            return
        info = self._source.run(run_id)
        box = self._source.subscribe(run_id, notify=self._notify)
        try:
            self._load(run_id)
        except BaseException:
            box.close()  # half a history is none: the next look begins anew
            raise
        box.demand = self._demand
        self.info, self._box = info, box

    def _load(self, run_id: str) -> None:
        self._clear()
        said = self._source.events(run_id, limit=LINES)
        for event in said:
            self.chronicle.take(event)
        newest = self._source.latest(run_id)
        for event in newest:
            self._take(event)
        self.news.clear()
        times = [event.time for event in (*said, *newest) if event.seq >= 0]
        self.link.show(max(times, default=None), self._clock())

    def _take(self, event: Event) -> bool:
        """Take an event; whether the run's description may have changed."""
        payload = event.payload
        if isinstance(payload, Scalars):
            self.grown.update((column.name, column.kind) for column in payload.columns)
        elif isinstance(payload, Batch):
            if self.batch is None or event.seq >= self.batch.seq:
                self.batch, self.batch_is_new = event, True
            for index in reversed(wrong_tiles(payload)):
                self.wrong.appendleft((event, index))
        elif isinstance(payload, Performance):
            self.perf, self.touched = event, True
        else:
            line = self.chronicle.take(event)
            if line is not None:
                self.news[line["id"]] = line
                if len(self.news) > LINES:
                    del self.news[next(iter(self.news))]
        return isinstance(payload, Status | RunUpdate | CommandRecord)

    # --- the rest ----------------------------------------------------------------------------------------------------

    def receipt(self, record: CommandRecord, now: float) -> None:
        """Take the answer to a command of this dashboard: the button waits for it, whatever run it was for."""
        line = self.chronicle.command(record, self.info.step if self.info is not None else 0, now)
        if line is not None:
            self.news[line["id"]] = line

    def demand(self, fps: float, pixels: int) -> None:
        """Tell the run how many image frames a second are wanted, and how wide tiles need to be."""
        wanted = Demand(fps, pixels)
        if wanted != self._demand:
            self._demand = wanted
        if self._box is not None and self._box.demand is not self._demand:
            self._box.demand = self._demand

    def epochs(self, steps: Sequence[int]) -> Sequence[float]:
        """Fractional epochs at these steps; the step itself for a run that has no epochs."""
        try:
            known = self._source.window(self.run_id or "", EPOCH_SERIES, max_points=2000)
        except (NbMonitorError, OSError):
            return [float(s) for s in steps]
        if len(known.x) == 0:
            return [float(s) for s in steps]
        found: list[float] = np.interp(steps, known.x, known.y).tolist()
        return found

    def close(self) -> None:
        """Close the mailboxes."""
        for box in (self._everywhere, self._box):
            if box is not None:
                box.close()
        self._everywhere = self._box = None
