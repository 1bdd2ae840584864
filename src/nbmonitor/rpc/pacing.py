"""How much is under way to one viewer, and what gives way where its road is narrow. Pure but for its clock.

gRPC and TCP take megabytes before they push back: on a road of 1 Mbit/s a viewer would be shown what was half a
minute ago. So viewers say what they received, and no more is under way than arrives within a fraction of a second.
Pictures give way first: fewer, then smaller ones are asked of the trainer; then values go in larger blocks. Values are
never left out. The rules:

- What is under way (the window) is what arrives within twice the shortest way there and back that was seen, and
  ``SLACK``. How much arrives is measured over each round trip, as BBR does (Cardwell et al., "BBR: Congestion-Based
  Congestion Control", ACM Queue 14-5, 2016, and draft-cheng-iccrg-delivery-rate-estimation).
- While answers come in time, the window at most doubles, or gives back a tenth of what is not used. When two in a row
  come more than ``WAIT`` late, it shrinks at once: a single one may be a stall of a machine, unless it is later by
  ``SLACK``. One change a round trip.
- When answers are late for ``AGE`` on end, the road may have become longer: it is emptied once, and measured anew.
- A picture goes when it fits, or when nothing but what the viewer need not tell of yet is under way.
- When pictures waited for half of a period, fewer are asked for; where less than ``GOOD`` a second go and some wait,
  smaller ones. It goes back the other way when they did not wait, and a size that was too much is tried again later
  each time.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmonitor.events import Demand

START = 16 << 10  # bytes under way: an eighth of a second of 1 Mbit/s
LEAST = 8 << 10
MOST = 2 << 20  # below what gRPC takes before a watch has to wait for it
SLACK = 0.4  # seconds: the time between two words of a viewer, and a stall of a machine
WAIT = 0.12  # seconds that an answer may take beyond the shortest way
AGE = 30.0  # seconds of late answers after which the shortest way is forgotten: roads change
TELL = 0.2  # seconds between two words of a viewer, about
PATIENCE = 60.0  # seconds without a word of a viewer after which its watch ends

PERIOD = 1.0  # seconds between two judgements of what is asked for
GOOD = 10.0  # pictures a second below which they get smaller
FEWEST = 2.0  # a second asked for, at least
SMALLEST = 32  # pixels of a tile
TRUST = 5.0  # seconds without waiting after which larger pictures are tried, at first
TRUST_MOST = 120.0


class _Mark(NamedTuple):
    """An answer under way: where it ends, when it went, and what was known of earlier ones by then."""

    end: int
    went: float
    received: int  # bytes that had arrived
    told: float  # when the viewer said so
    last: float  # when the last of them went


class Pacing:
    """What goes to one viewer. :meth:`received` may be called from another thread than the rest.

    Parameters
    ----------
    acknowledges
        Whether the viewer says what it received; one that does not is sent everything at once.
    monotonic
        A monotonic clock, in seconds.
    """

    def __init__(
        self, *, acknowledges: bool, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.acknowledges = acknowledges
        self._clock = monotonic
        self._lock = threading.Lock()
        self._window = START
        self._sent = self._received = 0
        self._heard = self._told = self._last = self._judged = self._calm = monotonic()
        self._marks: deque[_Mark] = deque()
        self._shortest = self._way = float("inf")
        self._after = LEAST // 2
        self._levers = Levers(monotonic)

    # --- how much ----------------------------------------------------------------------------------------------------

    @property
    def after(self) -> int:
        """Bytes after which the viewer is to say what it received; 0 for one that does not."""
        return self._after if self.acknowledges else 0

    @property
    def under_way(self) -> int:
        """Bytes sent and not known to have arrived."""
        return self._sent - self._received

    @property
    def room(self) -> int:
        """Bytes that may go now."""
        return max(self._window - self.under_way, 0) if self.acknowledges else 1 << 30

    @property
    def narrow(self) -> bool:
        """Whether the road is narrow enough to save words on it."""
        return self.acknowledges and self._window < START

    @property
    def silent(self) -> float:
        """Seconds for which the viewer has owed a word."""
        return self._clock() - self._heard if self.acknowledges and not self.room else 0.0

    def sent(self, size: int) -> None:
        """An answer of ``size`` bytes goes."""
        now = self._clock()
        with self._lock:
            if self.under_way <= self._after:
                self._heard = now  # until here, it owed nothing
            self._sent += size
            if self.acknowledges:
                mark = _Mark(self._sent, now, self._received, self._told, self._last)
                self._marks.append(mark)

    def received(self, total: int) -> None:
        """The viewer has received ``total`` bytes so far."""
        now = self._clock()
        with self._lock:
            if not self._received < total <= self._sent:
                return  # an old word, or one of another watch
            mark = None
            while self._marks and self._marks[0].end <= total:
                mark = self._marks.popleft()
            self._received, self._heard, self._told = total, now, now
            if mark is None:
                return
            # What is sent or heard of all at once after a stall did not arrive that fast.
            lasted = max(now - mark.told, mark.went - mark.last, 0.02)
            rate = (total - mark.received) / lasted
            way = now - mark.went
            sure = max(min(way, self._way), way - SLACK)  # beside one stall of a machine
            self._way, self._last = way, mark.went
            if mark.went >= self._judged:  # else it was under way before the last change
                self._judge(now, way, sure, rate)
            self._after = int(min(max(rate * TELL, START // 2), self._window // 2))

    def _judge(self, now: float, way: float, sure: float, rate: float) -> None:
        self._shortest = min(way, self._shortest)
        window: float = self._window
        aim = rate * (2 * self._shortest + SLACK)
        if sure <= self._shortest + WAIT:
            self._calm, aim = now, max(aim, START)
            if aim <= window:  # a tenth of it is given back, which is no change to wait for
                self._window = int(0.9 * window + 0.1 * aim)
                return
            window = min(aim, 2 * window)
        elif now - self._calm <= AGE:
            window = min(aim, window)
        else:
            self._calm, self._shortest, window = now, float("inf"), LEAST
        self._window, self._judged = int(min(max(window, LEAST), MOST)), now

    # --- pictures ----------------------------------------------------------------------------------------------------

    def fits(self, size: int) -> bool:
        """Whether a picture of ``size`` bytes, which is due, may go now."""
        fits = size <= self.room or self.under_way <= self._after or not self.acknowledges
        if not fits:
            self._levers.waits()
        return fits

    def full(self) -> None:
        """There was no room for anything."""
        self._levers.waits()

    def pictured(self, width: int) -> None:
        """A picture goes; its tiles are ``width`` pixels wide (0: unknown)."""
        self._levers.pictured(width)

    def demand(self, wanted: Demand) -> Demand:
        """What to ask of the trainer for a viewer that wants ``wanted``."""
        return self._levers.demand(wanted) if self.acknowledges else wanted


class Levers:
    """Rate and size of the pictures that are asked for.

    Parameters
    ----------
    monotonic
        A monotonic clock, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._clock = monotonic
        self._fps = self._pixels = float("inf")
        self._width = 0
        self._shown = 0
        self._since: float | None = None  # since when a picture waits
        self._waited = 0.0
        self._began = monotonic()
        self._resized = float("-inf")
        self._trust = TRUST
        self._calm = 0.0  # seconds without waiting

    def waits(self) -> None:
        """A picture has no room."""
        if self._since is None:
            self._since = self._clock()

    def pictured(self, width: int) -> None:
        """A picture goes."""
        self._shown += 1
        self._width = width or self._width
        if self._since is not None:
            self._waited += self._clock() - max(self._since, self._began)
            self._since = None

    def demand(self, wanted: Demand) -> Demand:
        """What to ask for."""
        now = self._clock()
        if now - self._began >= PERIOD:
            self._turn(wanted, now)
        fps, pixels = min(wanted.fps, self._fps), int(min(wanted.pixels, self._pixels))
        return replace(wanted, fps=fps, pixels=pixels)

    def _turn(self, wanted: Demand, now: float) -> None:
        if wanted.fps <= 0:  # nobody looks: nothing waits
            self._began, self._shown, self._waited, self._since = now, 0, 0.0, None
            return
        lasted = now - self._began
        waited = self._waited + (now - max(self._since, self._began) if self._since else 0.0)
        shown, share = self._shown / lasted, waited / lasted
        self._began, self._shown, self._waited = now, 0, 0.0
        # What was asked for last takes its time to come.
        if share > 0.2 and shown < min(GOOD, wanted.fps) and now - self._resized > 2 * PERIOD:
            self._shrink(wanted, now)
        if share > 0.5:
            self._calm = 0.0
            self._fps = max(FEWEST, min(self._fps, 1.2 * shown + 0.5))
        elif share < 0.2:
            self._calm += lasted
            if self._fps < wanted.fps:
                self._fps = 1.25 * self._fps + 0.5
                if self._fps >= wanted.fps:
                    self._fps = float("inf")
            elif self._pixels < wanted.pixels and self._calm > self._trust:
                self._pixels *= 2
                self._resized, self._calm = now, 0.0

    def _shrink(self, wanted: Demand, now: float) -> None:
        size = min(self._pixels, wanted.pixels, self._width or wanted.pixels)
        if size <= SMALLEST:
            return
        if now - self._resized < 3 * self._trust:  # it was tried, and was too much
            self._trust = min(TRUST_MOST, 2 * self._trust)
        self._pixels, self._resized = max(SMALLEST, size // 2), now
