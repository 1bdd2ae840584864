"""What lay in the lanes becomes events: rows become blocks of columns, frames pictures. The worker's part of a call."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from nbmonitor.events import EPOCH_SERIES, Batch, Column, Event, LogLine, Payload, RunInfo, Scalars
from nbmonitor.training.capture import one_line
from nbmonitor.training.columns import Columns
from nbmonitor.training.governor import SIDES, Governor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from nbmonitor.training.columns import Row
    from nbmonitor.training.frames import Frame
    from nbmonitor.training.notices import Notices


class Assembly:
    """Makes events; for the worker's thread alone.

    Parameters
    ----------
    encode
        Makes a :class:`~nbmonitor.events.Batch` of a frame, given tiles' widest side in pixels.
    lose
        Told how many values were left out, and why.
    clock
        Epoch seconds.

    ``info`` is the run whose events they are; ``encoded`` CPU seconds that pictures took; ``seen`` the widest side of
    the last tiles, in pixels.
    """

    def __init__(
        self,
        info: RunInfo,
        encode: Callable[[Any, int], tuple[int, float, Batch]],
        notices: Notices,
        governor: Governor,
        *,
        lose: Callable[[int, str], None],
        clock: Callable[[], float],
    ) -> None:
        self.info = info
        self.columns = Columns()
        self.encoded = 0.0
        self.seen = SIDES[1]
        self._encode, self._notices, self._governor = encode, notices, governor
        self._lose, self._clock = lose, clock
        self._epoch_step = -1
        self._told: set[str] = set()  # kinds of pictures that could not be shown

    def event(self, step: int, when: float, payload: Payload) -> Event:
        """One event of the run."""
        info = self.info
        return Event(info.run_id, step, when, payload, rank=info.rank, incarnation=info.incarnation)

    def events(self, rows: Sequence[Row], step: int, flushed: list[threading.Event]) -> list[Event]:
        """Events of ``rows``, in their order; those who wait for a flush are put into ``flushed``."""
        events: list[Event] = []
        block: list[Row] = []

        def end_block() -> None:
            if block:
                columns = self._monotone(self.columns.build(block))
                at, when, *_ = block[-1]
                if columns:
                    events.append(self.event(max(step, 0) or at, when, Scalars(columns)))
                block.clear()

        for row in rows:
            if type(row[2]) is dict:
                block.append(row)
                continue
            end_block()
            if isinstance(row[2], threading.Event):
                flushed.append(row[2])
            else:
                events.append(self.event(*row[:3]))
        end_block()
        if self.columns.refused:
            self._lose(self.columns.refused, "there are more than 100,000 names")
            self.columns.refused = 0
            self._notices.later(
                "names",
                "run.log was given more than 100,000 different names; values under further names are left out and "
                "counted. Put what varies (an index, an id) into the step or into fewer series.",
            )
        return events

    def _monotone(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """The epoch axis is interpolated: its points must go forward, and two threads write them."""
        out = []
        for column in columns:
            if column.name == EPOCH_SERIES:
                late = column.steps < self._epoch_step
                if late.any():
                    keep = ~late
                    column = Column(  # noqa: PLW2901
                        column.name, column.steps[keep], column.values[keep], column.times[keep]
                    )
                if not len(column.steps):
                    continue
                self._epoch_step = int(column.steps[-1])
            out.append(column)
        return tuple(out)

    def pictures(
        self, frames: Iterable[tuple[str, Frame]], pixels: int, step: int
    ) -> Iterator[Event]:
        """Events of frames and their splits; ``step``: of what is said where one cannot be shown."""
        for split, frame in frames:
            began = time.thread_time()
            try:
                at, when, batch = self._encode(frame, pixels)
            except Exception as error:
                kind = f"picture:{split}:{type(error).__name__}"
                if kind not in self._told:  # once: a batch like this one may come at every step
                    self._told.add(kind)
                    said = f"a batch of {split!r}: {one_line(error)}"
                    self._notices.later(kind, f"run.log_batch could not show {said}")
                    line = LogLine(f"Could not show {said} (told once)", "warning")
                    yield self.event(step, self._clock(), line)
                continue
            finally:
                work = time.thread_time() - began
                self.encoded += work
                self._governor.works.append(work)
            if batch.mosaic is not None:
                self.seen = max(batch.mosaic.width, batch.mosaic.height)
            yield self.event(at, when, batch)
