"""What the server's calls come to: how many of each RPC, how they ended, how long they took.

An interceptor in front of all others, so that what the gate refuses is counted too. The numbers lie in fixed lists
behind one lock (4 µs a call, measured, of the 300 that a call takes at least); nothing is sent anywhere (see
:mod:`nbmonitor.rpc.telemetry` for who wants that).
"""

from __future__ import annotations

import asyncio
import threading
import time
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from grpc import aio

from nbmonitor.rpc.limits import rewrapped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from nbmonitor.rpc.limits import Handler

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper bounds of the histogram's buckets, in seconds; one more bucket has what took longer."""

UNKNOWN = "(unknown)"
"""Where calls of RPCs that are not served are counted: their names are a stranger's choice, and without number."""

_CODES = {code.value[0]: code.name for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class Figures:
    """What one RPC came to.

    Parameters
    ----------
    calls
        Calls that ended, by name of their status ("OK", "UNAUTHENTICATED", …).
    active
        Calls in progress.
    buckets
        One count more than :data:`BOUNDS`: how long it took until the (first) answer; calls without one are not in it.
    seconds
        The sum of these times.
    """

    calls: Mapping[str, int]
    active: int
    buckets: tuple[int, ...]
    seconds: float

    @property
    def ended(self) -> int:
        """Calls that ended."""
        return sum(self.calls.values())

    @property
    def errors(self) -> int:
        """Calls that ended with something else than OK, or than a viewer's going away."""
        return sum(n for code, n in self.calls.items() if code not in {"OK", "CANCELLED"})

    def within(self, share: float) -> float:
        """Seconds within which ``share`` (0..1) of the answers came: the upper bound of a bucket; 0 without answers."""
        wanted, seen = share * sum(self.buckets), 0
        for count, bound in zip(self.buckets, (*BOUNDS, float("inf")), strict=True):
            seen += count
            if seen and seen >= wanted:
                return bound
        return 0.0


def told(found: Mapping[str, Figures]) -> str:
    """Figures by path, in a sentence or two."""
    ended, errors = sum(f.ended for f in found.values()), sum(f.errors for f in found.values())
    active = sum(f.active for f in found.values())
    text = f"{ended} calls so far, {errors} refused or failed, {active} in progress."
    worst = max(found.items(), key=lambda item: item[1].errors, default=None)
    if worst is not None and worst[1].errors:
        codes = ", ".join(f"{n} {c}" for c, n in worst[1].calls.items() if c != "OK")
        text += f" Most of these: {worst[0].rpartition('/')[2]} ({codes})."
    return text


@dataclass(slots=True)
class _Count:
    codes: dict[str, int] = field(default_factory=dict)
    active: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0


class Metrics(aio.ServerInterceptor):  # type: ignore[type-arg]
    """Counts calls.

    Attributes
    ----------
    on_end
        Called with (path, name of the status, seconds) when a call has ended, in the loop's thread; None for nobody.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, _Count] = {}
        self.on_end: Callable[[str, str, float], None] | None = None

    def snapshot(self) -> dict[str, Figures]:
        """Figures by path of the RPC, those that were ever called."""
        with self._lock:
            return {
                method: Figures(dict(c.codes), c.active, tuple(c.buckets), c.seconds)
                for method, c in self._counts.items()
            }

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        """Count around a handler."""
        handler = await continuation(handler_call_details)
        if handler is None:
            self._end(UNKNOWN, "UNIMPLEMENTED", self._begin(UNKNOWN))
            return None
        method = handler_call_details.method
        return rewrapped(handler, lambda inner: self.wrapped(inner, method))

    def wrapped(self, inner: Handler, method: str) -> Handler:
        """A handler that is counted."""

        async def call(request: Any, context: Any) -> Any:
            began, code = self._begin(method), ""
            first = _First(context, lambda: self._answered(method, began))
            try:
                answer = await inner(request, first)
                code = _code(context, "OK")
                if answer is not None:
                    first.answered()
                return answer
            except asyncio.CancelledError:  # nobody reads any more
                code = "CANCELLED"
                raise
            finally:
                self._end(method, code or _code(context, "UNKNOWN"), began)

        return call

    def _begin(self, method: str) -> float:
        with self._lock:
            count = self._counts.get(method)
            if count is None:
                count = self._counts[method] = _Count()
            count.active += 1
        return time.perf_counter()

    def _answered(self, method: str, began: float) -> None:
        took = time.perf_counter() - began
        with self._lock:
            count = self._counts[method]
            count.buckets[bisect_left(BOUNDS, took)] += 1
            count.seconds += took

    def _end(self, method: str, code: str, began: float) -> None:
        with self._lock:
            count = self._counts[method]
            count.active -= 1
            count.codes[code] = count.codes.get(code, 0) + 1
        if self.on_end is not None:
            self.on_end(method, code, time.perf_counter() - began)


class _First:
    """A context that tells of the first answer."""

    def __init__(self, context: Any, answered: Callable[[], None]) -> None:
        self._context = context
        self._answered: Callable[[], None] | None = answered

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def answered(self) -> None:
        if self._answered is not None:
            self._answered()
            self._answered = None

    async def write(self, answer: Any) -> None:
        await self._context.write(answer)
        self.answered()


def _code(context: Any, otherwise: str) -> str:
    """Name of the status that a handler set or aborted with."""
    code: Any = context.code()  # as it was set: one of gRPC's, or its number
    name = getattr(code, "name", None) or _CODES.get(code)
    return str(name) if code else otherwise
