"""Settings and where each value came from. Ground.

Falling precedence: argument, ``%config NBMonitor.x``, ``NBMONITOR_X``, a ``GRPC_*`` alias, default.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from nbmonitor.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

ALIASES = {"host": "GRPC_BACKEND_HOST", "port": "GRPC_BACKEND_PORT"}
"""Names that other gRPC trainers use for the same thing."""


@dataclass(frozen=True)
class Settings:
    """What can be set. ``origin`` tells by name where a value came from.

    Parameters
    ----------
    host
        Interface of the server: a loopback address.
    port
        Port of the server; 0 takes a free one.
    address
        Server that runs of this process report to ("" : none).
    token_file
        File with the token for ``address``.
    store
        URL of the history: ``memory:``.
    audit
        File of the audit log ("": ``audit-MACHINE.jsonl`` in the folder for state; "off": memory alone).
    disabled
        Turn runs into no-ops.
    takeover
        Answer a page reload in the middle of a running cell from another thread (private ipykernel paths).
    overhead
        What a training may feel of a run: time in our calls on its thread and at the boundary, as a share of a step.
    worker_cpu
        What our own threads may take beside it, in cores.
    otel
        Offer the server's figures to OpenTelemetry (extra ``otel``).
    ssh
        How ssh is called for ``ssh://`` addresses: a command line, such as ``ssh -F my_config``.
    """

    host: str = "127.0.0.1"
    port: int = 0
    address: str = ""
    token_file: str = ""
    store: str = "memory:"
    audit: str = ""
    disabled: bool = False
    takeover: bool = True
    overhead: float = 0.02
    worker_cpu: float = 0.25
    otel: bool = False
    ssh: str = "ssh"
    origin: Mapping[str, str] = field(default_factory=dict, compare=False)


def load(
    arguments: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Settle every setting.

    Parameters
    ----------
    arguments
        Given in code; a value of None means "not given".
    config
        Set by ``%config NBMonitor.x = ...``.
    environ
        Environment variables; ``os.environ`` by default.

    Raises
    ------
    SettingError
        When a value cannot be read as what it should be.
    """
    env = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for f in fields(Settings):
        if f.name == "origin":
            continue
        for raw, where in (
            ((arguments or {}).get(f.name), "argument"),
            ((config or {}).get(f.name), f"%config NBMonitor.{f.name}"),
            (env.get(f"NBMONITOR_{f.name.upper()}"), f"NBMONITOR_{f.name.upper()}"),
            (env.get(ALIASES.get(f.name, "")), ALIASES.get(f.name, "")),
        ):
            if raw is not None and raw != "":
                values[f.name] = _read(f.name, raw, type(f.default), where)
                origin[f.name] = where
                break
        else:
            origin[f.name] = "default"
    return Settings(**values, origin=origin)


_RANGES = {
    "port": "a port number from 0 to 65535",
    "overhead": "a share of a step, above 0 and at most 1, say 0.02,",
    "worker_cpu": "a number of cores above 0, say 0.25,",
}


_BOUNDS = {"port": (0, 65535), "overhead": (1e-6, 1.0), "worker_cpu": (1e-3, 1e3)}


def _in_range(name: str, value: Any) -> bool:
    least, most = _BOUNDS.get(name, (None, None))
    return least is None or bool(least <= value <= most)


def _read(name: str, raw: Any, kind: type, where: str) -> Any:
    try:
        if kind is bool and isinstance(raw, str):
            return {"1": True, "true": True, "yes": True, "on": True}.get(raw.lower(), False)
        value = kind(raw)
    except (TypeError, ValueError):
        value = None
    if value is None or not _in_range(name, value):
        wanted = _RANGES.get(name, f"a value of type {kind.__name__}")
        msg = f"Setting {name} has the value {raw!r} (from {where}), but {wanted} was expected."
        raise SettingError(msg)
    return value
