"""CPU time of this package's own threads in this process."""

from __future__ import annotations

import sys
import threading
import time

PREFIX = "nbmonitor-"
NOT_OURS = "nbmonitor-cell"  # the body of a `%%nbmonitor` cell is the user's


class OwnCpu:
    """Gives CPU seconds of the threads named ``nbmonitor-...`` since its first call.

    On Linux each thread's clock is read by its number (half a microsecond a thread); elsewhere the calling thread's
    alone is. Threads that gRPC itself starts in C are in neither.
    """

    def __init__(self) -> None:
        self._known: dict[int, float] | None = None
        self._total = 0.0

    def __call__(self) -> float:
        """CPU seconds so far; 0 in the first call."""
        clocks = _clocks() if sys.platform == "linux" else {0: time.thread_time()}
        known, self._known = self._known, clocks
        if known is not None:
            for thread, spent in clocks.items():
                before = known.get(thread, 0.0)
                self._total += spent - before if spent >= before else spent  # a number used again
        return self._total


def _clocks() -> dict[int, float]:
    out = {}
    for thread in threading.enumerate():
        number, name = thread.native_id, thread.name
        if number is None or not name.startswith(PREFIX) or name.startswith(NOT_OURS):
            continue
        try:
            # The kernel's own numbering of thread clocks. pthread_getcpuclockid gives the same number, but crashes for
            # a thread that ended in this moment; this one is refused.
            out[number] = time.clock_gettime(~number << 3 | 6)
        except OSError:
            continue
    return out
