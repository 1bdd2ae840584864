"""Rows and frames that are on their way from a device: held back on the worker, with what must not overtake them."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbmonitor.events import Status
from nbmonitor.training.device import UNFINISHED, Pending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nbmonitor.events import Payload
    from nbmonitor.training.columns import Row
    from nbmonitor.training.frames import Frame

MOST = 20_000  # rows held back: beyond them those that wait are not waited for
FRAMES = 3  # on their way at once; newer ones wait where the newest wins
MOMENT = 2000  # milliseconds for what is on its way when the run ends


@dataclass(frozen=True, slots=True)
class Postponed:
    """A payload that is made once its values are here."""

    values: Pending
    finish: Callable[[dict[str, Any]], Payload]


class Arrivals:
    """Lets rows through in order: later rows of a series wait for earlier ones, other series do not.

    Words pass too, save for the run's end and for whoever waits for a flush: they come after all values before them.

    Parameters
    ----------
    spelling
        The name that a raw name is shown by: two raw ones may be one series.
    lose
        Told how many values were lost, and why.
    """

    def __init__(
        self,
        spelling: Callable[[str], str | None],
        lose: Callable[[int, str], None],
        most: int = MOST,
    ) -> None:
        self._spelling, self._lose, self._most = spelling, lose, most
        self._held: list[Row] = []
        self._frames: deque[tuple[str, Frame]] = deque()
        self._patient = True

    @property
    def waiting(self) -> bool:
        """Whether anything is held back."""
        return bool(self._held or self._frames)

    def sift(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Rows that may go on now, of those held back and then of ``rows``."""
        if not self._held and not any(type(row[2]) in (Pending, Postponed) for row in rows):
            return rows
        queue = [*self._held, *rows]
        patient = self._patient and len(queue) <= self._most
        through: list[Row] = []
        held: list[Row] = []
        taken: set[str | None] = set()  # names of rows that are held
        for row in queue:
            content = row[2]
            late = _is_late(content)
            if late and not patient:
                values = content.values if type(content) is Postponed else content
                self._lose(values.missing, UNFINISHED)
                late = False
            names = set(map(self._spelling, content)) if isinstance(content, dict) else set()
            if late or not taken.isdisjoint(names) or (held and _is_last(content)):
                held.append(row)
                taken |= names
            elif type(content) is Pending:
                through.append((row[0], row[1], content.settle(), row[3]))
            elif type(content) is Postponed:
                through.append((row[0], row[1], content.finish(content.values.settle()), False))
            else:
                through.append(row)
        self._held = held
        return through

    def frames(self, newest: dict[str, Frame], side: int) -> Iterable[tuple[str, Frame]]:
        """Frames that are here, with their split; others of ``newest`` are sent for, a few at a time.

        ``side``: widest side of a tile, in pixels. A frame that cannot come is given too: its pictures say why.
        """
        for split in list(newest):
            if len(self._frames) >= FRAMES:
                break
            frame = newest.pop(split, None)
            if frame is not None:
                self._frames.append((split, frame))
        for _ in range(len(self._frames)):
            split, frame = self._frames.popleft()
            if frame.arrived(side):
                yield split, frame
            elif self._patient:
                self._frames.append((split, frame))

    def conclude(self, poll: Callable[[], None], side: int) -> bool:
        """At the end: give what is held back a moment, after which nothing is held; False where nothing was."""
        if not self.waiting:
            self._patient = True  # for a worker that starts again
            return False
        for _ in range(MOMENT):
            poll()
            here = [frame.arrived(side) for _, frame in self._frames]
            if all(here) and not any(_is_late(row[2]) for row in self._held):
                break
            time.sleep(0.001)
        self._patient = False
        return True


def _is_late(content: Any) -> bool:
    values = content.values if type(content) is Postponed else content
    return type(values) is Pending and not values.ready


def _is_last(content: Any) -> bool:
    """Whether it says something of all that came before it."""
    return isinstance(content, threading.Event) or (
        isinstance(content, Status) and content.state.ended
    )
