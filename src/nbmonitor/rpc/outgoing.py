"""Answers on their way back to a trainer."""

from __future__ import annotations

import threading
from collections import deque

from nbmonitor.rpc.codec import trainer as wire

WAITING = 1_000  # answers to a client that does not read them; beyond, acknowledgments are left out


class Outgoing:
    """Answers waiting for their client. Acknowledgments give way when it does not read, commands never."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._up_to: tuple[str, int] | None = None
        self.closed = False

    def put(self, answer: bytes, *, dispensable: bool = False) -> None:
        """Add an answer."""
        with self._lock:
            if not self.closed and not (dispensable and len(self._waiting) >= WAITING):
                self._waiting.append(answer)
                self._lock.notify()

    def acknowledge_to(self, run_id: str, seq: int) -> None:
        """Acknowledge everything up to ``seq``; only the newest is sent."""
        with self._lock:
            self._up_to = (run_id, seq)
            self._lock.notify()

    def close(self) -> None:
        """Nothing more comes; what waits is still sent."""
        with self._lock:
            self.closed = True
            self._lock.notify_all()

    def take(self, timeout: float) -> list[bytes] | None:
        """What waits, perhaps nothing; None when closed and empty."""
        with self._lock:
            if not self._waiting and self._up_to is None and not self.closed:
                self._lock.wait(timeout)
            answers = list(self._waiting)
            self._waiting.clear()
            if self._up_to is not None:
                answers.append(wire.acknowledge_to(*self._up_to))
                self._up_to = None
            return None if self.closed and not answers else answers
