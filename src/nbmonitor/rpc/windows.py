"""Windows of series as a server last gave them: asked for again only when points were added, shown while it is away."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from nbmonitor.interfaces import Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmonitor.rpc.codec.viewer import History

MOST = 64  # windows kept


class Windows:
    """The newest windows by what was asked for; may be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[History, tuple[int, Window]] = OrderedDict()

    def get(self, asked: History, count: int, fetch: Callable[[History], Window | None]) -> Window:
        """Return a window of a series that has ``count`` points by now (-1: nobody knows).

        ``fetch`` asks the server; where it gives None, what was kept is returned: the link is shown as it is, and a
        chart that goes blank would only say it again.
        """
        with self._lock:
            had = self._kept.get(asked)
        if had is not None and had[0] == count:  # nothing was added since
            return had[1]
        found = fetch(asked)
        if found is None:
            return had[1] if had else Window(np.zeros(0), np.zeros(0, np.float32), 0, exact=True)
        with self._lock:
            self._kept[asked] = (count, found)
            self._kept.move_to_end(asked)
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return found
