"""The gate in front of every handler: token, number of calls at a time, errors without inner details."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbmonitor.rpc.auth import Auth

TRAINERS, VIEWERS, UNARY, WATCHES = 64, 64, 16, 8
THREADS = (
    2 * TRAINERS + VIEWERS + WATCHES + UNARY + 8
)  # a trainer's stream is read and written by two

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
        Judges tokens.
    caps
        Calls at a time by kind ("trainers", "viewers", "health watches", "calls").
    """

    def __init__(self, auth: Auth, caps: dict[str, int] | None = None) -> None:
        self._auth = auth
        self._caps = {
            "trainers": TRAINERS,
            "viewers": VIEWERS,
            "health watches": WATCHES,
            "calls": UNARY,
        } | (caps or {})
        self._lock = threading.Lock()
        self.active = dict.fromkeys(self._caps, 0)

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
            kind = "calls"
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
                self._enter(method, kind, context)
                try:
                    yield from inner(request, context)
                finally:
                    self._leave(kind)
                return
            except Exception as error:
                code, text = _status(error, method)
            context.abort(code, text)

        return call

    def _enter(self, method: str, kind: str, context: grpc.ServicerContext) -> None:
        why = self._auth.objection(method, context.peer(), context.invocation_metadata())
        if why:
            raise Refused(grpc.StatusCode.UNAUTHENTICATED, why)
        with self._lock:
            if self.active[kind] >= self._caps[kind]:
                text = (
                    f"{self._caps[kind]} {kind} at a time is the limit here; see %nbmonitor status"
                )
                raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
            self.active[kind] += 1

    def _leave(self, kind: str) -> None:
        with self._lock:
            self.active[kind] -= 1


def _status(error: Exception, method: str) -> tuple[grpc.StatusCode, str]:
    if isinstance(error, Refused):
        return error.code, error.text
    _log.error("error in %s", method, exc_info=error)
    return grpc.StatusCode.INTERNAL, "an error inside the monitor; its log has the details"
