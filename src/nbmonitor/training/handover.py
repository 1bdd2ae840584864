"""While somebody looks, threads of this process hand over the interpreter sooner.

A thread that wants the interpreter (the GIL) while a pure Python loop has it waits for Python's switch interval, 5 ms,
and on its way to a page a picture passes through four threads. With 1 ms it comes there in a third of the time. A loop
that calls into C (PyTorch, NumPy) gives the interpreter away by itself and notices nothing.
https://docs.python.org/3/library/sys.html#sys.setswitchinterval
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SOON = 0.001  # seconds


class Handover:
    """Keeps Python's switch interval short while anybody asks for it, and gives it back as it was.

    Parameters
    ----------
    read, write
        Get and set the interval, in seconds.
    """

    def __init__(
        self,
        read: Callable[[], float] = sys.getswitchinterval,
        write: Callable[[float], None] = sys.setswitchinterval,
    ) -> None:
        self._read, self._write = read, write
        self._lock = threading.Lock()
        self._asking: set[object] = set()
        self._before: float | None = None

    def ask(self, who: object, soon: bool) -> None:
        """Say whether ``who`` needs quick hand-overs now; cheap to repeat."""
        if soon == (who in self._asking):
            return
        with self._lock:
            if soon:
                self._asking.add(who)
            else:
                self._asking.discard(who)
            if self._asking and self._before is None and self._read() > SOON:
                self._before = self._read()
                self._write(SOON)
            elif not self._asking and self._before is not None:
                if (
                    abs(self._read() - SOON) < SOON / 10
                ):  # else somebody set another one meanwhile: it is theirs
                    self._write(self._before)
                self._before = None


HANDOVER = Handover()  # the interval is the process's
