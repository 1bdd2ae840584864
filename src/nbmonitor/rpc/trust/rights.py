"""One table: what each RPC needs, and what each role gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nbmonitor.rpc import codec

if TYPE_CHECKING:
    from collections.abc import Mapping

HEALTH = "/grpc.health.v1.Health/"

Right = Literal["report", "read", "steer", "ask"]
GIVES: Mapping[str, frozenset[Right]] = {
    "owner": frozenset({"report", "read", "steer", "ask"}),
    "controller": frozenset({"read", "steer", "ask"}),
    "viewer": frozenset({"read", "ask"}),
    "trainer": frozenset({"report", "ask"}),
}
"""What a role may do."""

_RIGHTS: dict[tuple[str, ...], dict[str, Right]] = {
    (codec.CONTRACT, codec.INGEST): {
        "RegisterTrainingSession": "report",
        "StreamMetrics": "report",
    },
    (codec.INGEST,): {"UploadCheckpoint": "report"},
    (codec.MONITOR,): {
        "GetServerInfo": "ask",
        "ListRuns": "read",
        "WatchRun": "read",
        "AdjustWatch": "read",
        "ReplayRun": "read",
        "GetHistory": "read",
        "GetBatch": "read",
        "ListCommands": "read",
        "ListCheckpoints": "read",
        "DownloadCheckpoint": "read",
        "ListAuditEvents": "read",
        "UpdateRun": "steer",
        "SendCommand": "steer",
        "SetNote": "steer",
        "SetSampleFlags": "steer",
    },
    ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"): {
        "ServerReflectionInfo": "ask",
    },
}
NEEDS: Mapping[str, Right] = {
    f"/{service}/{rpc}": right
    for services, rpcs in _RIGHTS.items()
    for service in services
    for rpc, right in rpcs.items()
}
"""The one table: what a call needs, by its path. What is neither in it nor of the health service is refused."""

TOKENLESS = frozenset(
    f"/{service}/{rpc}"
    for service in (codec.CONTRACT, codec.INGEST)
    for rpc in ("StreamMetrics", "RegisterTrainingSession")
)
"""What a client without a token may call, from this machine alone (as trainer of a new run)."""

WHOSE: dict[Right, str] = {
    "report": "a trainer's",
    "read": "a viewer's or controller's",
    "steer": "a controller's",
    "ask": "any",
}
"""Whose token a call needs, in words."""
