"""Server reflection (extra ``reflection``): tools such as grpcurl ask the server itself what it serves.

The descriptors come from a pool of our own, which has the contract's service too: nothing named ``metrics.*`` enters
protobuf's default pool, where it would clash with a user's own stubs. Like everything but health it needs a token.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import descriptor_pool

from nbmonitor.rpc import codec, health

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nbmonitor.rpc.limits import Call

SERVICES = ("grpc.reflection.v1alpha.ServerReflection", "grpc.reflection.v1.ServerReflection")
"""The package has the first name alone; the second is the same service (names of messages do not travel)."""

METHOD = "ServerReflectionInfo"

_log = logging.getLogger("nbmonitor")


def problem() -> str:
    """Why there is no reflection here; "" when there is."""
    try:
        import_module("grpc_reflection.v1alpha.reflection")
    except ImportError:
        return "the extra is not installed"
    except Exception as error:  # its generated code refuses a protobuf that is older than itself
        return f"grpcio-reflection does not work with the protobuf that is installed ({error})"
    return ""


class Reflection(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Answers reflection, from the first call on: what it needs is imported by then and no sooner."""

    def __init__(self) -> None:
        self._handler: Any = None
        self._tried = False

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """For ``add_generic_rpc_handlers``; None for all that is not reflection, or where it is not installed."""
        service, _, name = handler_call_details.method[1:].partition("/")
        if service not in SERVICES or name != METHOD:
            return None
        if not self._tried:
            self._tried = True
            why = problem()
            if why:
                _log.info("no server reflection: %s", why)
            else:
                self._handler = _handler()
        return self._handler


def _handler() -> Any:
    reflection = import_module("grpc_reflection.v1alpha.reflection")
    messages = import_module("grpc_reflection.v1alpha.reflection_pb2")
    pool = descriptor_pool.DescriptorPool()
    for file in (*codec.descriptors(), health.FILE):
        pool.Add(file)
    names = (codec.INGEST, codec.CONTRACT, codec.MONITOR, health.SERVICE, SERVICES[0])
    servicer = reflection.ReflectionServicer(names, pool=pool)

    async def answers(requests: AsyncIterator[Any], call: Call) -> None:
        async for request in requests:  # the one that is public reads an iterator to its end
            for answer in servicer.ServerReflectionInfo(iter((request,)), None):
                await call.write(answer)

    return grpc.stream_stream_rpc_method_handler(
        answers,
        request_deserializer=messages.ServerReflectionRequest.FromString,
        response_serializer=messages.ServerReflectionResponse.SerializeToString,
    )
