"""Answers on their way back to a trainer."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from nbmonitor.rpc.codec import trainer as wire

if TYPE_CHECKING:
    from collections.abc import Callable

WAITING = 1_000  # answers to a client that does not read them; beyond, acknowledgments are left out


class Outgoing:
    """Answers waiting for their client. Acknowledgments give way when it does not read, commands never.

    Parameters
    ----------
    notify
        Called, from whatever thread, when there is something to send; must only set a flag.
    """

    def __init__(self, notify: Callable[[], None] = lambda: None) -> None:
        self._notify = notify
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._up_to: tuple[str, int] | None = None
        self.closed = False

    @property
    def pressing(self) -> bool:
        """Whether something waits that is more than an acknowledgment."""
        return bool(self._waiting) or self.closed

    def put(self, answer: bytes, *, dispensable: bool = False) -> None:
        """Add an answer."""
        with self._lock:
            if self.closed or (dispensable and len(self._waiting) >= WAITING):
                return
            self._waiting.append(answer)
        self._notify()

    def acknowledge_to(self, run_id: str, seq: int) -> None:
        """Acknowledge everything up to ``seq``; only the newest is sent."""
        self._up_to = (run_id, seq)
        self._notify()

    def close(self) -> None:
        """Nothing more comes; what waits is still sent."""
        self.closed = True
        self._notify()

    def take(self) -> list[bytes] | None:
        """What waits, perhaps nothing; None when closed and empty."""
        with self._lock:
            closed = self.closed
            answers = list(self._waiting)
            self._waiting.clear()
            up_to, self._up_to = self._up_to, None
        if up_to is not None:
            answers.append(wire.acknowledge_to(*up_to))
        return None if closed and not answers else answers
