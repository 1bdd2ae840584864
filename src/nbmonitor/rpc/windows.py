"""Windows of series as a server last gave them: asked for again only when points were added, shown while it is away.

A painter cannot wait for a round trip: at 60 pictures a second it would miss four in each. It is given what is here,
and what is newer is asked for beside it, one window at a time, in turn, for a quarter of the time at most.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nbmonitor.interfaces import Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmonitor.rpc.codec.viewer import History

    Note = Callable[[Window | None], None]

MOST = 64  # windows kept
SHARE = 3  # an answer that took t seconds is followed by SHARE x t without a question


class Windows:
    """The newest windows by what was asked for; may be used from any thread.

    Parameters
    ----------
    fetch
        Asks the server and waits; None where it does not answer.
    begin
        Asks the server without waiting, and has the answer noted (None for none), from any thread; False where it is
        not worth asking.
    monotonic
        A monotonic clock, in seconds.
    """

    def __init__(
        self,
        fetch: Callable[[History], Window | None],
        begin: Callable[[History, Note], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._begin = begin
        self._clock = monotonic
        self._lock = threading.Lock()
        self._kept: OrderedDict[History, tuple[int, Window]] = OrderedDict()
        self._wanted: OrderedDict[History, int] = OrderedDict()  # to be asked for, and its points
        self._asking = False
        self._free_at = 0.0

    def get(self, asked: History, count: int, *, wait: bool = True) -> Window:
        """Return a window of a series that has ``count`` points by now (-1: nobody knows).

        Where the server does not answer, what was kept is returned: the link is shown as it is, and a chart that goes
        blank would only say it again. Without ``wait`` that is returned, too, while a newer one is on its way
        (:attr:`~nbmonitor.interfaces.Window.stale`); the first one is waited for.
        """
        with self._lock:
            had = self._kept.get(asked)
        if had is not None and had[0] == count:  # nothing was added since
            return had[1]
        if had is not None and not wait:
            return replace(had[1], stale=True) if self._ask(asked, count) else had[1]
        found = self._fetch(asked)
        if found is not None:
            self._keep(asked, count, found)
            return found
        return had[1] if had else Window(np.zeros(0), np.zeros(0, np.float32), 0, exact=True)

    def _keep(self, asked: History, count: int, found: Window) -> None:
        with self._lock:
            self._kept[asked] = (count, found)
            self._kept.move_to_end(asked)
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)

    def _ask(self, asked: History, count: int) -> bool:
        """Have a window asked for in its turn; False where nobody would answer."""
        with self._lock:
            self._wanted[asked] = count
            began = self._clock()
            if self._asking or began < self._free_at:
                return True
            self._asking = True
            turn, points = self._wanted.popitem(last=False)

        def note(found: Window | None) -> None:
            if found is not None:
                self._keep(turn, points, found)
            with self._lock:
                now = self._clock()
                self._asking, self._free_at = False, now + SHARE * (now - began)

        begun = False
        try:
            begun = self._begin(turn, note)
        finally:
            if not begun:
                with self._lock:
                    self._asking = False
                    self._wanted.clear()
        return begun
