"""The event loop of the servers of this process, in a thread of its own, and a bell that any thread may ring.

One thread serves all streams: with a thread for each, 64 viewers and 32 trainers spent most of their time in handing
Python's lock to one another, and a call waited for seconds (see ``benchmarks/RESULTS_REMOTE.md``). It is never the loop
of a kernel, which stands still while a cell runs; and one for all servers, because gRPC's poller is one for the process
(https://github.com/grpc/grpc/issues/25364).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from nbmonitor.rpc import threads

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent import futures

T = TypeVar("T")

EACH = 2  # turns in a pass
ENDING = 0.5  # seconds that tasks have to end when the last user has left
YIELD = 0.001  # seconds without a call after which streams have their turns
YIELDS = 50  # how often they wait for that, at most


class Loop:
    """A loop whose thread runs while somebody has entered it."""

    def __init__(self) -> None:
        self.forked = False
        self._lock = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._users = 0
        threads.guard(self)

    def enter(self) -> None:
        """Have it run, until as many have left as have entered.

        Raises RuntimeError in a forked child of a process where it ran: gRPC's poller has no thread there.
        """
        if self.forked and self._loop is not None:
            raise RuntimeError("this process was forked from one that has a server")
        with self._lock:
            # One object for good: gRPC's poller keeps those it has seen, and cannot let go of a closed one.
            self._loop = self._loop or asyncio.new_event_loop()
            self._users += 1
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._forever, args=(self._loop,), name="nbmonitor-grpc", daemon=True
                )
                self._thread.start()

    def leave(self) -> None:
        """Need it no more; the last one waits for its thread to end (5 s at most, and not in that thread)."""
        with self._lock:
            self._users -= 1
            thread = self._thread
            if self._users or self._loop is None or thread is None:
                return
            asyncio.run_coroutine_threadsafe(self._end(self._loop), self._loop)
            if thread is threading.current_thread():
                return
            self._lock.wait_for(lambda: self._users or self._thread is not thread, 5.0)
            over = self._thread is not thread
        if over:
            thread.join(1.0)

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run something in the loop's thread and return what it returns; TimeoutError after so many seconds.

        Must not be called from that thread. What nobody waits for any more is cancelled.
        """
        future = self.begin(work)
        try:
            return future.result(timeout)
        except BaseException:  # an interrupt, too
            future.cancel()
            raise

    def begin(self, work: Coroutine[Any, Any, T]) -> futures.Future[T]:
        """Run something in the loop's thread without waiting for it."""
        if self._loop is None or not self._users:
            raise RuntimeError("nobody has entered the loop")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop, after what was cancelled has ended: a server does not wait for its handlers."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=ENDING)
        loop.stop()

    def _forever(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        while True:
            loop.run_forever()
            with self._lock:
                if not self._users:
                    self._thread = None
                self._lock.notify_all()
                if self._thread is None:  # else somebody entered before it stopped
                    return


class Bell:
    """What one coroutine waits for, and any thread may ring. To be made in the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake who waits, or who will wait next."""
        if self._rung:
            return
        self._rung = True
        if threading.get_ident() == self._thread:
            self._wake()
        else:
            with contextlib.suppress(RuntimeError):  # the loop is over, and so is who waited
                self._loop.call_soon_threadsafe(self._wake)

    def still(self) -> None:
        """Forget that it rang: to be called before looking for what it rang for."""
        self._rung = False

    async def wait(self, most: float | None = None) -> None:
        """Wait until it rings, ``most`` seconds at most; may return early, too."""
        if self._rung:
            return
        self._waiter = self._loop.create_future()
        over = None if most is None else self._loop.call_later(most, self._wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if over is not None:
                over.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Turns:
    """Streams take turns, a few in every pass of the loop, so that calls are never far from theirs.

    gRPC takes one call every second pass, and an answer is some five passes away: what a pass lasts is what decides how
    long a call waits. While calls arrive no stream has a turn at all, for a while.

    Parameters
    ----------
    quiet
        Seconds since a call last arrived.
    """

    def __init__(self, quiet: Callable[[], float]) -> None:
        self._quiet = quiet
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._granted = self._put_off = 0
        self._asked = False  # for another pass

    async def take(self) -> None:
        """Wait for a turn: it lasts until the next ``await``."""
        loop = asyncio.get_running_loop()
        if self._granted < EACH and not self._waiting:
            self._granted += 1
            self._ask(loop, 0.0)
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _ask(self, loop: asyncio.AbstractEventLoop, after: float) -> None:
        if not self._asked:
            self._asked = True
            loop.call_later(after, self._pass, loop) if after else loop.call_soon(self._pass, loop)

    def _pass(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asked = False
        if self._waiting and self._quiet() < YIELD and self._put_off < YIELDS:
            self._put_off += 1
            self._ask(loop, YIELD)
            return
        self._granted = self._put_off = 0
        while self._waiting and self._granted < EACH:
            turn = self._waiting.popleft()
            if not turn.done():  # cancelled meanwhile
                turn.set_result(None)
                self._granted += 1
        if self._granted:
            self._ask(loop, 0.0)


shared = Loop()
