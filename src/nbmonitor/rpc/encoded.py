"""Events as bytes, made once for all who watch."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from nbmonitor.rpc.codec import viewer as wire

if TYPE_CHECKING:
    from nbmonitor.events import Event

MOST = 4 << 20  # bytes kept: viewers that keep up ask for the same few events within a tick


class Encoded:
    """Gives the bytes of an event; the newest are kept, because every viewer is sent the same.

    Parameters
    ----------
    most
        Bytes kept at most, beside those of the newest event.

    ``made`` counts how often an event had to be encoded.
    """

    def __init__(self, most: int = MOST) -> None:
        self.made = 0
        self._most = most
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._bytes = 0
        # Held while encoding: viewers wake together, and all but one would do the work for nothing.
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> bytes:
        """The event's bytes. Events are told apart by run and ``seq``, which a broker gives once."""
        key = event.run_id, event.seq
        with self._lock:
            data = self._kept.get(key)
            if data is None:
                data = wire.event(event)
                self.made += 1
                if event.seq:
                    self._keep(key, data)
        return data

    def _keep(self, key: tuple[str, int], data: bytes) -> None:
        self._kept[key] = data
        self._bytes += len(data)
        while self._bytes > self._most and len(self._kept) > 1:
            self._bytes -= len(self._kept.popitem(last=False)[1])
