"""The gate in front of every handler: who calls, how many at a time, errors without inner details.

A handler is given a :class:`Call` in place of gRPC's context, whatever its kind: it is told who calls, and writes its
answers itself where there are several.
"""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

import grpc
from grpc import aio

from nbmonitor.errors import InputError
from nbmonitor.rpc.codec import viewer as wire
from nbmonitor.rpc.codec.trainer import RECEIVE_BYTES
from nbmonitor.rpc.trust.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from nbmonitor.rpc.trust.auth import Auth, Caller

    Handler = Callable[[Any, Any], Awaitable[Any]]

TRAINERS, VIEWERS, UNARY, WATCHES = 64, 64, 16, 8
ENDING = 256  # ended calls that nobody reads to their end: gRPC keeps what was written to them
AGAIN = 1.0  # seconds between two looks at the token of a stream

_log = logging.getLogger("nbmonitor")


class Refused(Exception):  # noqa: N818 (it is an answer, not a failure)
    """Raised by a handler to end a call with a status and a sentence for the caller."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Call:
    """A call in progress, as its handler sees it.

    Parameters
    ----------
    context
        gRPC's.
    caller
        Who calls.
    admit
        Asked again now and then whether it may still: raises :class:`Refused` when not.
    """

    def __init__(self, context: Any, caller: Caller, admit: Callable[[Any], object]) -> None:
        self._context = context
        self.caller = caller
        self.peer: str = caller.peer
        self._admit = admit
        self._judged = time.monotonic()

    async def write(self, answer: Any) -> None:
        """Send one answer of several; waits while the client does not read. Raises Refused where a token ended."""
        await self._context.write(answer)
        if time.monotonic() - self._judged >= AGAIN:
            self._judged = time.monotonic()
            self._admit(self._context)

    async def compress(self) -> None:
        """Have the answer compressed."""
        self._context.set_compression(grpc.Compression.Gzip)
        # Said now: a unary answer of grpc.aio (1.85) brings metadata of its own that does not know of it.
        await self._context.send_initial_metadata(())


class Gate(aio.ServerInterceptor):  # type: ignore[type-arg]
    """Wraps handlers of all four kinds, which are coroutines.

    Calls are counted by kind and the one too many is refused by name, so that streams can never take the room that
    unary calls need. Belongs to the loop: its counts are read elsewhere, and changed there alone.

    Parameters
    ----------
    auth
        Judges calls.
    caps
        Calls at a time by kind: "trainers", "viewers" (watches of a run), "run lists" (watches of all runs), "health
        watches", "words" (what viewers say of their watches: short, and many at once), "calls" (all others).
    refused
        Told of refusals, seldom enough to write them down: the caller, the path of the RPC, the reason. May be set
        later too, as ``gate.refusals.refused``.
    message_bytes
        Bytes of the largest message that is taken: gRPC sees to it, the handshake tells it.
    """

    def __init__(
        self,
        auth: Auth,
        caps: dict[str, int] | None = None,
        refused: Callable[[Caller, str, str], None] | None = None,
        message_bytes: int = RECEIVE_BYTES,
    ) -> None:
        self._auth = auth
        self.message_bytes = message_bytes
        self.refusals = Refusals(refused)
        viewers = (caps or {}).get("viewers", VIEWERS)
        self._caps = {
            "trainers": TRAINERS,
            "viewers": VIEWERS,
            "run lists": viewers,
            "words": viewers,
            "health watches": WATCHES,
            "calls": UNARY,
        } | (caps or {})
        self.active = dict.fromkeys(self._caps, 0)
        self.arrived = 0.0  # monotonic clock of the last call that was let in
        self.ending = 0  # calls that are over, and whose client has not heard of it

    @property
    def caps(self) -> Mapping[str, int]:
        """Calls at a time, by kind."""
        return self._caps

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        """Put the gate in front of a handler."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        asks, answers = handler.request_streaming, handler.response_streaming
        if not (asks or answers):
            kind = "words" if method.endswith("/AdjustWatch") else "calls"
        elif asks:
            kind = "trainers"
        else:
            kind = "health watches" if method.startswith("/grpc.health.") else "viewers"
        return rewrapped(handler, lambda inner: self.wrapped(inner, method, kind))

    def wrapped(self, inner: Handler, method: str, kind: str) -> Handler:
        """A handler of ours as one of gRPC's."""

        async def call(request: Any, context: Any) -> Any:
            place = "run lists" if kind == "viewers" and _lists_runs(method, request) else kind
            try:
                with self._place(method, place, context) as call:
                    return await inner(request, call)
            except Exception as error:
                code, text = _status(error, method)
            self.ending += 1
            try:  # what is said last waits behind what is not read, perhaps for ever
                return await context.abort(code, text)
            finally:
                self.ending -= 1

        return call

    @contextlib.contextmanager
    def _place(self, method: str, kind: str, context: Any) -> Iterator[Call]:
        def admit(context: Any) -> Caller:
            return self._admit(method, context)

        caller = admit(context)
        if self.active[kind] >= self._caps[kind]:
            text = f"{self._caps[kind]} {kind} at a time is the limit here; see %nbmonitor status"
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        if self.ending >= ENDING:
            text = (
                f"{ENDING} ended calls are not read to their end; close the connections they are on"
            )
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        self.arrived = time.monotonic()  # not before: streams do not wait for who is refused
        self.active[kind] += 1
        try:
            yield Call(context, caller, admit)
        finally:
            self.active[kind] -= 1

    def _admit(self, method: str, context: Any) -> Caller:
        verdict = self._auth.judge(
            method, context.peer(), context.invocation_metadata(), context.auth_context()
        )
        if verdict.why:
            code = (
                grpc.StatusCode.PERMISSION_DENIED
                if verdict.known
                else grpc.StatusCode.UNAUTHENTICATED
            )
            raise Refused(code, self.refusals.note(verdict.caller, method, verdict.why))
        return verdict.caller


def rewrapped(handler: Any, wrap: Callable[[Handler], Handler]) -> Any:
    """GRPC's description of a handler, with its coroutine wrapped."""
    asks, answers = handler.request_streaming, handler.response_streaming
    name = f"{'stream' if asks else 'unary'}_{'stream' if answers else 'unary'}"
    return getattr(grpc, f"{name}_rpc_method_handler")(
        wrap(getattr(handler, name)),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _lists_runs(method: str, request: bytes) -> bool:
    """Whether a watch is of all runs."""
    if not method.endswith("/WatchRun"):
        return False
    try:
        return not wire.read_watch(request).run_id
    except InputError:  # its handler says so
        return False


def _status(error: Exception, method: str) -> tuple[grpc.StatusCode, str]:
    if isinstance(error, Refused):
        return error.code, error.text
    _log.error("error in %s", method, exc_info=error)
    return grpc.StatusCode.INTERNAL, "an error inside the monitor; its log has the details"
