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

T = TypeVar("T")

EACH = 2  # turns in a pass
YIELD = 0.001  # seconds without a call after which streams have their turns
YIELDS = 50  # how often they wait for that, at most


class Loop:
    """A loop whose thread runs while somebody has entered it."""

    def __init__(self) -> None:
        self.forked = False
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._users = 0
        threads.guard(self)

    def enter(self) -> None:
        """Have it run, until as many have left as have entered."""
        with self._lock:
            if self.forked:  # that of the parent has no thread here
                self.forked, self._loop, self._users = False, None, 0
            self._users += 1
            if self._users > 1:
                return
            # One object for good: gRPC's poller keeps those it has seen, and cannot let go of a closed one.
            self._loop = self._loop or asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=_forever, args=(self._loop,), name="nbmonitor-grpc", daemon=True
            )
            self._thread.start()

    def leave(self) -> None:
        """Need it no more; joins the thread of the last one."""
        with self._lock:
            self._users -= 1
            if self._users or self._loop is None or self.forked:
                return
            thread, self._thread = self._thread, None
            self._loop.call_soon_threadsafe(self._loop.stop)
            if thread is not None:
                thread.join(5.0)

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run something in the loop's thread and return what it returns; TimeoutError after so many seconds.

        Must not be called from that thread.
        """
        if self._loop is None:
            raise RuntimeError("nobody has entered the loop")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise


def _forever(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


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
