"""Threads of the wire: a pool whose threads never keep the interpreter from leaving, and the guard against forks."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from concurrent import futures
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE = 10.0  # seconds after which a thread without work goes


class Pool(futures.Executor):
    """Daemon threads started on demand.

    The standard executor's threads are joined when the interpreter leaves, so that one handler waiting for its client
    would keep it there forever.

    Parameters
    ----------
    most
        Number of threads at most.
    name
        Threads are called ``name-1``, ``name-2``, …
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._lock = threading.Condition()
        self._tasks: deque[tuple[futures.Future[Any], Callable[[], None]]] = deque()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._started = 0
        self._closed = False

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        """Run ``fn`` in a thread of the pool."""
        future: futures.Future[Any] = futures.Future()

        def task() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as error:  # handed to whoever asks the future
                    future.set_exception(error)

        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is closed")
            self._tasks.append((future, task))
            if len(self._tasks) > self._idle and len(self._threads) < self._most:
                self._started += 1
                thread = threading.Thread(
                    target=self._work, name=f"{self._name}-{self._started}", daemon=True
                )
                self._threads.add(thread)
                thread.start()
            else:
                self._lock.notify()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; with ``wait``, join what runs for at most a second."""
        with self._lock:
            self._closed = True
            if cancel_futures:
                for future, _ in self._tasks:  # who waits for it hears of it
                    future.cancel()
            self._lock.notify_all()
            threads = list(self._threads)
        end = time.monotonic() + 1.0
        for thread in threads if wait else ():
            if thread is not threading.current_thread():
                thread.join(max(end - time.monotonic(), 0.0))

    def _work(self) -> None:
        try:
            while (task := self._next()) is not None:
                task()
                del task
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            while not self._tasks:
                if self._closed:
                    return None
                self._idle += 1
                woken = self._lock.wait(IDLE)
                self._idle -= 1
                if not woken and not self._tasks:
                    self._threads.discard(threading.current_thread())
                    return None
            return self._tasks.popleft()[1]


# --- forks -----------------------------------------------------------------------------------------------------------


class Forkable(Protocol):
    """What must go quiet in a forked child: it has neither the threads nor the connections of its parent."""

    forked: bool


_alive: weakref.WeakSet[Any] = weakref.WeakSet()


def guard(part: Forkable) -> None:
    """Have ``part.forked`` set in every forked child (a DataLoader worker using its parent's gRPC would hang)."""
    _alive.add(part)


def _after_fork() -> None:
    for part in list(_alive):
        part.forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def back_off(
    attempt: int, random: Callable[[], float], *, least: float = 0.1, most: float = 30.0
) -> float:
    """Seconds to wait before attempt number ``attempt`` (from 0): doubling to a cap, with full jitter."""
    longest = min(most, least * 2.0 ** min(attempt, 20))
    return max(least, longest * random())
