"""Plain data ↔ protobuf bytes: the only room that knows the generated modules.

``trainer`` is the ingest service and the published contract, ``viewer`` the monitor service; the other rooms are what
they are made of. Handlers and clients pass bytes to gRPC and see nothing but the data of :mod:`nbmonitor.events`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, message_factory

from nbmonitor.rpc.v1 import ingest_pb2, monitor_pb2

if TYPE_CHECKING:
    from google.protobuf.message import Message

INGEST = "nbmonitor.rpc.v1.IngestService"
CONTRACT = "metrics.MetricsService"
MONITOR = "nbmonitor.rpc.v1.MonitorService"


def methods(service: str) -> dict[str, tuple[bool, bool]]:
    """The RPCs of a service as name → (client streams, server streams), read off the descriptor."""
    file = monitor_pb2 if service == MONITOR else ingest_pb2
    name = "IngestService" if service == CONTRACT else service.rpartition(".")[2]
    found = file.DESCRIPTOR.services_by_name[name]
    out = {m.name: (m.client_streaming, m.server_streaming) for m in found.methods}
    if service == CONTRACT:
        del out["UploadCheckpoint"]  # not in the contract
    return out


def descriptors() -> tuple[descriptor_pb2.FileDescriptorProto, ...]:
    """Everything that describes our services, each file after those it imports, the contract's service last."""
    out: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(file: Any) -> None:
        for needed in file.dependencies:
            add(needed)
        if file.name not in out:
            out[file.name] = copy = descriptor_pb2.FileDescriptorProto()
            file.CopyToProto(copy)

    add(monitor_pb2.DESCRIPTOR)
    package, _, service = CONTRACT.partition(".")
    contract = descriptor_pb2.FileDescriptorProto(
        name="nbmonitor/contract.proto", package=package, syntax="proto3"
    )
    contract.dependency.append(ingest_pb2.DESCRIPTOR.name)
    made = contract.service.add(name=service)
    for method in out[ingest_pb2.DESCRIPTOR.name].service[0].method:
        if method.name in methods(CONTRACT):
            made.method.add().CopyFrom(method)
    return (*out.values(), contract)


def message_class(name: str) -> type[Message]:
    """Class of one of our messages, for tests and tools."""
    for file in (ingest_pb2, monitor_pb2):
        if name in file.DESCRIPTOR.message_types_by_name:
            found: type[Message] = message_factory.GetMessageClass(
                file.DESCRIPTOR.message_types_by_name[name]
            )
            return found
    raise KeyError(name)
