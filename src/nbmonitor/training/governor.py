"""How much of a training may be felt: pictures get fewer, then smaller, then charts slower, until bounds are kept.

Pure: figures in, levers out; time comes with the figures. Two bounds are kept. ``overhead``: what the training thread
spends in our calls and at our boundaries, as a share of a step. ``worker_cpu``: CPU of our own threads, in cores.

Two rules, one fast and one true. What a single frame cost lately bounds rate and size at once. What everything cost
since the last decision is held against the bounds every few seconds: above one, levers are pulled; well below both,
they are let go, the last one first. Between 70 and 100 % of a bound nothing moves, and a size is not tried again before
the figures say that four times the pixels would fit: that is what keeps the levers from swinging.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass

FASTEST = 60.0  # image frames a second
KEYFRAME_EVERY = 10.0  # seconds between two frames that nobody looks at, for the history
EASY = 10.0  # frames a second below which smaller pictures are better than fewer
SIDES = (32, 512)  # least and most widest side of a tile, pixels
SLOWEST_CHARTS = 1.0  # seconds between two blocks of values, at most
LOOK = 2.0  # seconds between two decisions, at least; three frames where that is longer
PATIENCE = 10.0  # seconds between two decisions, at most
HOLD = 10.0  # seconds after pictures became smaller before they may become larger
AIM, SLACK = 0.9, 0.7  # of a bound: where levers bring it to; below which they are let go
BLAME = 0.1  # of a bound: pictures that take less are not what has to give way


@dataclass(frozen=True, slots=True)
class Figures:
    """What was counted since the run began. All but ``frames`` in seconds.

    ``now`` monotonic; ``active`` time that counted (no pauses); ``felt`` in our calls and at boundaries on the training
    thread, ``pictured`` the part of it that took frames, in CPU time; ``cpu`` of our own threads, ``encoded`` the part
    of it that made pictures of frames; ``frames`` taken.
    """

    now: float
    active: float
    felt: float
    pictured: float
    cpu: float
    encoded: float
    frames: int


class Governor:
    """Keeps a run within its bounds.

    Parameters
    ----------
    overhead
        Share of a step that may be felt (0..1).
    worker_cpu
        CPU of our own threads, in cores.

    What it decides: ``interval``, seconds between two frames of a split; ``side``, widest side of a tile in pixels;
    ``charts``, seconds between two blocks of values (0: as they come). What it is told frame by frame: ``prices``, CPU
    seconds on the training thread, and ``works``, CPU seconds of making the picture. ``cpu``: cores that our threads
    took when last looked at.
    """

    def __init__(self, overhead: float = 0.02, worker_cpu: float = 0.25) -> None:
        self.prices: deque[float] = deque(maxlen=5)
        self.works: deque[float] = deque(maxlen=5)
        self.interval = KEYFRAME_EVERY
        self.side = SIDES[1]
        self.charts = 0.0
        self.cpu: float | None = None
        self._overhead, self._worker_cpu = overhead, worker_cpu
        self._wanted, self._pixels = 1.0 / KEYFRAME_EVERY, SIDES[1]
        self._most = math.inf  # frames a second, by what was measured of everything
        self._small = SIDES[1]  # side, by what was measured
        self._mark: Figures | None = None
        self._last = 0.0  # what was found at the last decision, in bounds
        self._held = -math.inf  # until then pictures do not become larger
        self._before: float | None = None  # what a frame weighed before it was made smaller
        self._guess = 1e-9  # what a frame weighs, until two of this size were taken
        self._rigid = -math.inf  # until then smaller pictures are known not to help

    def want(self, fps: float, pixels: int) -> None:
        """Say what viewers want: frames a second (0: nobody looks), and tiles up to ``pixels`` wide."""
        wanted = min(FASTEST, fps) if fps > 0 else 1.0 / KEYFRAME_EVERY
        if self._wanted <= 1.0 / KEYFRAME_EVERY < wanted:  # somebody came: what was known is old
            self._most = math.inf
        self._wanted = wanted
        self._pixels = max(16, min(SIDES[1], pixels))
        self._set()

    @property
    def limits(self) -> str:
        """What is held back at the moment, in words; "" for nothing."""
        said = []
        rate = 1.0 / self.interval
        if rate < 0.95 * self._wanted:
            said.append(f"pictures thinned to {rate:.2g}/s")
        if self.side < self._pixels:
            said.append(f"pictures shrunk to {self.side} px")
        if self.charts:
            said.append(f"charts slowed to {1.0 / self.charts:.2g}/s")
        return ", ".join(said)

    def due(self, now: float) -> bool:
        """Whether :meth:`look` would decide anything."""
        mark = self._mark
        return mark is None or now - mark.now >= max(LOOK, min(PATIENCE, 3 * self.interval))

    def look(self, figures: Figures, seen: int = SIDES[1]) -> None:
        """Decide, by what was counted since the last decision; ``seen``: widest side of the last tiles."""
        mark, self._mark = self._mark, figures
        if mark is None:
            return
        f, past = figures, figures.now - mark.now
        active = f.active - mark.active
        frames = f.frames - mark.frames
        self.cpu = (f.cpu - mark.cpu) / past
        share = (f.felt - mark.felt) / active if active > past / 10 else 0.0
        felt, worked = share / self._overhead, self.cpu / self._worker_cpu
        pictured = (f.pictured - mark.pictured) / max(active, past / 10) / self._overhead
        encoded = (f.encoded - mark.encoded) / past / self._worker_cpu
        # What a frame costs on its way out of the process is not counted apart: many of them are suspects.
        guilty = (felt > 1 and pictured >= BLAME) or (
            worked > 1 and (encoded >= BLAME or frames > past)
        )
        pressure = max(felt, worked)
        hitch, self._last = pressure > 1 and self._last < AIM, pressure  # once may be chance
        if hitch:
            pass
        elif guilty:
            self._most = min(1.0 / self.interval, frames / past) * max(AIM / pressure, 0.125)
        elif pressure > 1:
            self.charts = min(SLOWEST_CHARTS, 2 * self.charts or 0.1)
        elif pressure < SLACK:
            self._let_go(pressure, frames / past, f.now)
        if guilty and not hitch and self._most < self._easy:
            self._shrink(seen, f.now)
        self._set()

    def weigh(self, now: float, seen: int = SIDES[1]) -> None:
        """Decide, by what the last frames cost alone; cheap, for every look at the lanes."""
        weight = self._weight()
        if self._before is not None:
            if len(self.prices) > 1:
                before, self._before = self._before, None
                if weight > 0.75 * before:  # the labels, or the source, are what is dear
                    self._resize(2 * self._small)
                    self._rigid = now + 6 * HOLD
        elif 1.0 / weight < self._easy and self._shrink(seen, now):
            self._before = weight
        self._set()

    # --- levers ------------------------------------------------------------------------------------------------------

    @property
    def _easy(self) -> float:
        return min(EASY, self._wanted / 2)

    def _weight(self) -> float:
        """Seconds that should lie between two frames, by what one costs.

        CPU time, the middle of the last ones: the wall clock also counts what other threads and processes of a busy
        machine took, and would thin frames where these cost next to nothing. The first one alone says nothing: it comes
        with imports and fresh memory.
        """
        weights = [1e-9 if len(self.prices) > 1 else self._guess]
        for costs, bound in ((self.prices, self._overhead), (self.works, self._worker_cpu)):
            known = tuple(costs)
            if len(known) > 1:
                weights.append(statistics.median_low(known) / bound)
        return max(weights)

    def _set(self) -> None:
        self.side = min(self._pixels, self._small)
        rate = min(self._wanted, self._most, 1.0 / self._weight())
        self.interval = min(KEYFRAME_EVERY, 1.0 / rate)

    def _shrink(self, seen: int, now: float) -> bool:
        """Make pictures half as wide, unless they are small already or that is known not to help."""
        side = min(self.side, seen)
        if side < 2 * SIDES[0] or now < self._rigid:
            return False
        self._resize(side // 2)
        self._held = now + HOLD
        return True

    def _resize(self, side: int) -> None:
        self._guess = self._weight() * max(1.0, (side / self.side) ** 2)
        self._small = side
        self._mark = None  # what was counted is of the other size
        self.prices.clear()
        self.works.clear()

    def _let_go(self, pressure: float, rate: float, now: float) -> None:
        """Give back a little: charts first, then the size of pictures, then their rate."""
        room = 0.85 / max(pressure, 1e-3)
        if self.charts:
            if room > 2:  # it may all be theirs
                self.charts = self.charts / 2 if self.charts > 0.1 else 0.0
        elif not rate:  # no picture came: nothing was learnt of them
            return
        elif self._small < self._pixels and now >= self._held and rate * room / 4 >= 2 * self._easy:
            self._resize(min(SIDES[1], 2 * self._small))
        elif self._most < self._wanted:
            self._most *= min(room, 4.0)
        else:
            self._most = math.inf
