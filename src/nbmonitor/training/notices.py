"""Warnings that a person sees once, at their own line, and that never stop a training."""

from __future__ import annotations

import logging
import sys
import warnings
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

logger = logging.getLogger("nbmonitor")

_PACKAGE = str(Path(__file__).parents[1])


class Notices:
    """Warns once per kind of problem. What another thread finds out waits here for the next call of the user's."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[str, str]] = deque(maxlen=64)
        self._said: set[str] = set()

    def warn(self, kind: str, message: str) -> None:
        """Warn now, on the user's thread, at the line that called into the package."""
        if kind in self._said:
            return
        self._said.add(kind)
        try:
            warnings.warn(message, UserWarning, stacklevel=_depth())
        except Warning:  # `-W error`: a monitor must not be what stops the training
            logger.warning(message)

    def later(self, kind: str, message: str) -> None:
        """Leave a warning, from any thread, for the user's next call."""
        if kind not in self._said:
            self.waiting.append((kind, message))

    def say_waiting(self) -> None:
        """Give the warnings that were left; called on the user's thread."""
        while self.waiting:
            try:
                kind, message = self.waiting.popleft()
            except IndexError:  # another thread was quicker
                return
            self.warn(kind, message)

    def log_waiting(self) -> None:
        """No call will come any more: say what is left by logging."""
        while self.waiting:
            kind, message = self.waiting.popleft()
            if kind not in self._said:
                self._said.add(kind)
                logger.warning(message)


def _depth() -> int:
    """``stacklevel`` of the first frame outside of the package, as seen by `warnings.warn` in :meth:`Notices.warn`."""
    level = 1
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level += 1
        frame = frame.f_back
    return level
