"""``grpc.health.v1`` by hand: the ready-made package needs a protobuf that half of the world does not have yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from nbmonitor.rpc.limits import Refused
from nbmonitor.rpc.loop import Bell

if TYPE_CHECKING:
    from nbmonitor.rpc.limits import Call

SERVICE = "grpc.health.v1.Health"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="nbmonitor/health.proto", package="grpc.health.v1", syntax="proto3"
    )
    field = descriptor_pb2.FieldDescriptorProto
    asked = file.message_type.add(name="HealthCheckRequest")
    asked.field.add(name="service", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    told = file.message_type.add(name="HealthCheckResponse")
    states = told.enum_type.add(name="ServingStatus")
    for number, name in enumerate(("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")):
        states.value.add(name=name, number=number)
    told.field.add(
        name="status",
        number=1,
        type=field.TYPE_ENUM,
        label=field.LABEL_OPTIONAL,
        type_name=".grpc.health.v1.HealthCheckResponse.ServingStatus",
    )
    service = file.service.add(name="Health")
    for name, streams in (("Check", False), ("Watch", True)):
        service.method.add(
            name=name,
            input_type=".grpc.health.v1.HealthCheckRequest",
            output_type=".grpc.health.v1.HealthCheckResponse",
            server_streaming=streams,
        )
    return file


FILE = _file()


def _classes() -> tuple[Any, Any]:
    """Request and response classes, from a pool of their own: the user may have the real package imported."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(FILE)
    find = pool.FindMessageTypeByName
    return (
        message_factory.GetMessageClass(find("grpc.health.v1.HealthCheckRequest")),
        message_factory.GetMessageClass(find("grpc.health.v1.HealthCheckResponse")),
    )


Request, Response = _classes()


class Health:
    """Answers ``Check`` and ``Watch`` for the whole server ("") and its services, without any detail."""

    def __init__(self, services: tuple[str, ...]) -> None:
        self._services = {"", *services}
        self._serving = False
        self._bells: set[Bell] = set()

    def set(self, serving: bool) -> None:
        """Tell everyone who watches."""
        self._serving = serving
        for bell in tuple(self._bells):
            bell.ring()

    async def check(self, request: Any, _call: Call) -> Any:
        """State of a service; NOT_FOUND for one that is not ours."""
        state = self._state(request.service)
        if state == SERVICE_UNKNOWN:
            raise Refused(grpc.StatusCode.NOT_FOUND, "there is no such service here")
        return Response(status=state)

    async def watch(self, request: Any, call: Call) -> None:
        """State of a service now and at every change."""
        bell, told = Bell(), None
        self._bells.add(bell)
        try:
            while True:
                bell.still()
                state = self._state(request.service)
                if state != told:
                    told = state
                    await call.write(Response(status=state))
                await bell.wait()
        finally:
            self._bells.discard(bell)

    def _state(self, service: str) -> int:
        if service not in self._services:
            return SERVICE_UNKNOWN
        return SERVING if self._serving else NOT_SERVING

    def handler(self) -> Any:
        """For ``add_generic_rpc_handlers``."""
        kinds = {
            "request_deserializer": Request.FromString,
            "response_serializer": Response.SerializeToString,
        }
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Check": grpc.unary_unary_rpc_method_handler(self.check, **kinds),
                "Watch": grpc.unary_stream_rpc_method_handler(self.watch, **kinds),
            },
        )
