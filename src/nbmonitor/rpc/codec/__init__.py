"""Plain data ↔ protobuf bytes: the only room that knows the generated modules.

``trainer`` is the ingest service and the published contract, ``viewer`` the monitor service; the other rooms are what
they are made of. Handlers and clients pass bytes to gRPC and see nothing but the data of :mod:`nbmonitor.events`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import message_factory

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


def message_class(name: str) -> type[Message]:
    """Class of one of our messages, for tests and tools."""
    for file in (ingest_pb2, monitor_pb2):
        if name in file.DESCRIPTOR.message_types_by_name:
            found: type[Message] = message_factory.GetMessageClass(
                file.DESCRIPTOR.message_types_by_name[name]
            )
            return found
    raise KeyError(name)
