"""The gate in front of every handler: who calls, how many at a time, errors without inner details.

A handler gets the gate and asks it ``gate.caller(context)``: the :class:`~nbmonitor.rpc.trust.auth.Caller` of its call.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import grpc

from nbmonitor.errors import InputError
from nbmonitor.rpc.codec import viewer as wire
from nbmonitor.rpc.codec.trainer import RECEIVE_BYTES
from nbmonitor.rpc.trust.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nbmonitor.rpc.trust.auth import Auth, Caller

TRAINERS, VIEWERS, UNARY, WATCHES = 64, 64, 16, 8
AGAIN = 1.0  # seconds between two looks at the token of a stream

_log = logging.getLogger("nbmonitor")


class Refused(Exception):  # noqa: N818 (it is an answer, not a failure)
    """Raised by a handler to end a call with a status and a sentence for the caller."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Gate(grpc.ServerInterceptor):  # type: ignore[type-arg]
    """Wraps handlers of all four kinds.

    Calls are counted by kind and the one too many is refused by name, so that streams can never take the threads
    that unary calls need.

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
        self._callers: weakref.WeakKeyDictionary[Any, Caller] = weakref.WeakKeyDictionary()
        viewers = (caps or {}).get("viewers", VIEWERS)
        self._caps = {
            "trainers": TRAINERS,
            "viewers": VIEWERS,
            "run lists": viewers,
            "words": viewers,
            "health watches": WATCHES,
            "calls": UNARY,
        } | (caps or {})
        self._lock = threading.Lock()
        self.active = dict.fromkeys(self._caps, 0)

    @property
    def threads(self) -> int:
        """How many threads a full house needs: a trainer's stream is read and written by two; eight to refuse with."""
        return sum(self._caps.values()) + self._caps["trainers"] + 8

    @property
    def caps(self) -> Mapping[str, int]:
        """Calls at a time, by kind."""
        return self._caps

    def caller(self, context: grpc.ServicerContext) -> Caller:
        """Whom a call in progress comes from."""
        with self._lock:
            return self._callers[context]

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: Any
    ) -> Any:
        """Put the gate in front of a handler."""
        handler = continuation(handler_call_details)
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
        name = {
            (False, False): "unary_unary",
            (False, True): "unary_stream",
            (True, False): "stream_unary",
            (True, True): "stream_stream",
        }[asks, answers]
        inner = getattr(handler, name)
        wrapped = (self._streaming if answers else self._single)(inner, method, kind)
        return getattr(grpc, f"{name}_rpc_method_handler")(
            wrapped,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _single(self, inner: Callable[..., Any], method: str, kind: str) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                self._enter(method, kind, context)
                try:
                    return inner(request, context)
                finally:
                    self._leave(kind)
            except Exception as error:
                code, text = _status(error, method)
            return context.abort(code, text)

        return call

    def _streaming(self, inner: Callable[..., Any], method: str, kind: str) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            try:
                place = "run lists" if kind == "viewers" and _lists_runs(method, request) else kind
                self._enter(method, place, context)
                try:
                    yield from self._while_admitted(inner(request, context), method, context)
                finally:
                    self._leave(place)
                return
            except Exception as error:
                code, text = _status(error, method)
            context.abort(code, text)

        return call

    def _while_admitted(
        self, answers: Any, method: str, context: grpc.ServicerContext
    ) -> Iterator[Any]:
        """The answers of a stream, as long as its token is good: one that was revoked or expired ends it."""
        judged = time.monotonic()
        with contextlib.closing(answers):
            for answer in answers:
                yield answer
                if time.monotonic() - judged >= AGAIN:
                    judged = time.monotonic()
                    self._admit(method, context)

    def _admit(self, method: str, context: grpc.ServicerContext) -> Caller:
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

    def _enter(self, method: str, kind: str, context: grpc.ServicerContext) -> None:
        caller = self._admit(method, context)
        with self._lock:
            self._callers[context] = caller
            if self.active[kind] >= self._caps[kind]:
                text = (
                    f"{self._caps[kind]} {kind} at a time is the limit here; see %nbmonitor status"
                )
                del self._callers[context]
                raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
            self.active[kind] += 1

    def _leave(self, kind: str) -> None:
        with self._lock:
            self.active[kind] -= 1


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
