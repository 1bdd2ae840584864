"""How many frames a second the browsers take: adaptive, from an ack every 200 ms. Pure but for its clock.

Every page of a model gets every frame, so the pace is that of the slowest page that is looking. A page that is hidden
or has gone quiet never holds back the others: alone, it gets a frame a second. An ack per frame would halve the pace of
a fast browser (small writes meet Nagle's algorithm in the server), no ack at all lets a slow one fall seconds behind.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CAP = 60.0  # messages a second
START = 30.0  # what a page gets until its acks tell
FLOOR = 2.0  # a slow page is not slowed further than this
BYTES = 16e6  # a second
SILENT = 3.0  # seconds without an ack after which a page no longer sets the pace
DEAD = 10.0  # seconds after which it is taken for gone
MUTE = 600.0  # the same for a page whose only road is the comm, which a running cell holds up
PILING = 0.12  # seconds beyond the shortest way seen after which frames are taken to pile up
PILE = 3  # frames: fewer are no pile, however late a busy machine lets them be
CLEAR = 0.06  # seconds beyond it within which there is room for more
KEPT = 1024  # frames whose time of sending is known
EARLY = (
    1 / CAP
)  # seconds ahead of the schedule that a frame may go: a run's own pace of 60 a second is not even
LATE = 0.05  # seconds behind the schedule after which the schedule starts anew


@dataclass(slots=True)
class Pace:
    """What is known of one page."""

    heard: float
    visible: bool = True
    menu: float = CAP  # the most image frames a second that a person asked for
    mute: bool = False
    rate: float = START
    piled: bool = False  # whether frames ever piled up there
    late: bool = False  # whether they seemed to at its last ack
    acked: int = 0
    acked_at: float = 0.0
    owing: float | None = None  # when the oldest frame that it has not acked was sent
    shortest: float = float("inf")  # seconds from a send to its ack, the least seen lately


class Flow:
    """Paces frames.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pages: dict[str, Pace] = {}
        self._n = 0
        self._next = 0.0
        self._sent = [0.0] * KEPT  # when frame n was sent, at n % KEPT

    # --- what pages say ----------------------------------------------------------------------------------------------

    def hello(
        self, client: str, *, visible: bool = True, menu: float = CAP, mute: bool = False
    ) -> None:
        """A page is there; ``mute``: it speaks over the comm alone."""
        now = self._clock()
        known = self._pages.get(client)
        rate = known.rate if known is not None else START
        self._pages[client] = Pace(now, visible, menu, mute, rate, acked=self._n, acked_at=now)

    def heard(self, client: str, *, mute: bool | None = None) -> bool:
        """A page said something; False when it is not known (any more)."""
        page = self._pages.get(client)
        if page is None:
            return False
        page.heard = self._clock()
        if mute is not None:
            page.mute = mute
        return True

    def ack(self, client: str, n: int, *, visible: bool = True) -> None:
        """A page received frame ``n``."""
        page = self._pages.get(client)
        if page is None:
            return
        now = self._clock()
        page.heard, page.visible = now, visible
        if not page.acked < n <= self._n:
            return
        taken = (n - page.acked) / max(now - page.acked_at, 0.05)
        # The first frame that it does not have yet tells a pile from a long road: how long has it been under way,
        # beyond the shortest way there and back? (The newest that it has waited for the timer of the ack.)
        way = now - self._sent[n % KEPT] if self._n - n < KEPT else float("inf")
        page.shortest = min(way, page.shortest + 0.002)
        late = 0.0
        if n < self._n:
            late = now - self._sent[(n + 1) % KEPT] - page.shortest if self._n - n < KEPT else way
        if late > PILING and self._n - n >= PILE:
            if page.late:  # twice in a row: not a stall that is over by now
                page.rate = max(FLOOR, 0.7 * page.rate, min(page.rate, taken) * 0.9)
                page.piled = True
            page.late = True
        elif late < CLEAR:
            page.late = False
            page.rate = min(CAP, page.rate * (1.05 if page.piled else 1.15) + 0.3)
        page.acked, page.acked_at = n, now
        page.owing = None if n == self._n else now

    def visible(self, client: str, visible: bool) -> None:
        """A page was hidden or shown."""
        page = self._pages.get(client)
        if page is not None:
            page.visible = visible

    def menu(self, client: str, fps: float) -> None:
        """A person chose how many image frames a second are enough."""
        page = self._pages.get(client)
        if page is not None:
            page.menu = min(CAP, max(1.0, fps))

    def bye(self, client: str) -> None:
        """A page goes away."""
        self._pages.pop(client, None)

    # --- what the sender asks ----------------------------------------------------------------------------------------

    @property
    def clients(self) -> frozenset[str]:
        """Pages that are there; those that are dead are forgotten here."""
        now = self._clock()
        for client, page in list(self._pages.items()):
            if page.owing is not None:
                silence = now - max(page.owing, page.heard)
                if silence > (MUTE if page.mute else DEAD):
                    del self._pages[client]
        return frozenset(self._pages)

    @property
    def active(self) -> frozenset[str]:
        """Pages that are looked at and keep up: the slowest of these sets the pace."""
        now = self._clock()
        return frozenset(
            client
            for client, page in self._pages.items()
            if page.visible
            and not (page.owing is not None and now - max(page.owing, page.heard) > SILENT)
        )

    @property
    def rate(self) -> float:
        """Messages a second, now; 0 when nobody is there."""
        active = self.active
        if active:
            return min(self._pages[client].rate for client in active)
        return 1.0 if self._pages else 0.0

    @property
    def images(self) -> float:
        """Image frames a second that are worth making, now; 0 when nobody is there."""
        active = self.active
        if not active:
            return self.rate
        return min(self.rate, max(self._pages[client].menu for client in active))

    def wait(self) -> float:
        """Seconds until the next frame may go (0: now); may be asked again after an ack."""
        now = self._clock()
        for client in self.active:
            page = self._pages[client]
            if self._n - page.acked >= max(6.0, 0.5 * page.rate) and page.owing is not None:
                return max(0.005, self._next - now)
        return max(0.0, self._next - EARLY - now)

    def sent(self, n: int, nbytes: int) -> None:
        """Frame ``n`` was sent."""
        now = self._clock()
        for page in self._pages.values():
            if page.owing is None:
                page.owing = now
                if page.acked == self._n:  # it was idle: that time says nothing about its pace
                    page.acked_at = now
        self._n = n
        self._sent[n % KEPT] = now
        gap = max(1.0 / max(self.rate, 1.0), nbytes / BYTES)
        self._next = (now if now - self._next > LATE else self._next) + gap
