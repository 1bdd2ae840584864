"""Roof: wires the wings together. `init`, `attach`, `serve`, `runs`, and `log` / `finish` for the active run."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmonitor import settings as _settings
from nbmonitor._version import __version__
from nbmonitor.configuration import flatten
from nbmonitor.errors import AttachError, RunError
from nbmonitor.events import Demand, RunInfo, new_id
from nbmonitor.process import process
from nbmonitor.training.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from nbmonitor.events import Command, CommandState, Event, Heartbeat
    from nbmonitor.interfaces import Sink
    from nbmonitor.rpc.client import Client
    from nbmonitor.rpc.server import Server
    from nbmonitor.settings import Settings


def init(
    name: str | None = None,
    *,
    config: object = None,
    class_names: Sequence[str] | None = None,
    notes: str = "",
    tags: Sequence[str] = (),
    address: str | None = None,
    token_file: str | os.PathLike[str] | None = None,
    serve: bool | None = None,
    overhead: float | None = None,
    worker_cpu: float | None = None,
) -> Run:
    """Begin a run.

    Parameters
    ----------
    name
        Shown on the dashboard; "run-1", "run-2", ... by default.
    config
        Hyperparameters to show: a mapping (nested ones are flattened with "/"), Namespace or dataclass.
    class_names
        Names of the classes, by index, for predictions.
    notes, tags
        Free text.
    address
        Server to report to, "host:port". Default: the kernel in which ``%load_ext nbmonitor`` ran, or
        ``NBMONITOR_ADDRESS``, or a server that this process starts for itself.
    token_file
        File with the token for ``address``; ``NBMONITOR_TOKEN_FILE`` by default.
    serve
        False: a plain script starts no server.
    overhead
        What training may feel, as a share of a step (0..1): time in our calls on its thread and at the boundary.
        ``NBMONITOR_OVERHEAD``, or 0.02, by default.
    worker_cpu
        What our own threads in this process may take beside it, in cores. ``NBMONITOR_WORKER_CPU``, or 0.25, by
        default. Where either takes more, pictures come more seldom, then smaller, then charts more slowly; numbers
        are never left out for it.

    Raises
    ------
    SettingError
        When a setting cannot be used. A server that cannot be reached is not an error: the run is kept
        and handed over when it can be.
    """
    asked = {
        "address": address,
        "token_file": str(token_file) if token_file else None,
        "overhead": overhead,
        "worker_cpu": worker_cpu,
    }
    settings = _settings.load(asked, config=_config_of_kernel())
    rank, world = _ranks()
    info = RunInfo(
        run_id=new_id(),
        name=process.name(name),
        config=flatten(config),
        class_names=tuple(str(c) for c in class_names or ()),
        notes=notes,
        tags=tuple(str(t) for t in tags),
        rank=rank,
        world_size=world,
        client_version=__version__,
    )
    if world > 1:
        why = f"this run has {world} ranks, and one rank alone cannot be steered: the others would wait for it for ever"
        info = replace(info, steerable=False, why=why)
    sink, info, announce = _sink(settings, info, serve=serve)
    if process.active is not None:
        process.active.supersede()
    run = Run(sink, info, overhead=settings.overhead, worker_cpu=settings.worker_cpu)
    run.start()
    process.active = run
    if announce:
        print(announce)
    return run


def _sink(settings: Settings, info: RunInfo, *, serve: bool | None) -> tuple[Sink, RunInfo, str]:
    """Where a run reports, its description as it will stand there, and a line to print."""
    if settings.disabled:
        return _Nowhere(), info, ""
    own = process.server is not None and settings.address == process.server.address
    if settings.address and not own:
        token = _token(settings)
        return process.publisher(settings.address, token), replace(info, origin="process"), ""
    broker = process.open_broker(settings)
    if process.in_kernel or info.rank != 0 or serve is False or process.server is not None:
        return broker, info, ""
    server = process.open_server(settings)
    line = (
        f"nbmonitor: serving {info.name!r} on {server.address} · token in {process.token_file} · "
        f"in a notebook: %nbmonitor attach {server.address}"
    )
    return broker, info, line


def attach(
    address: str,
    *,
    token_file: str | os.PathLike[str] | None = None,
    token: str | None = None,
    timeout: float = 5.0,
) -> Client:
    """Connect to a server elsewhere; show it with ``nbmonitor.Dashboard(client)``.

    Parameters
    ----------
    address
        "host:port".
    token_file, token
        The server's token, or a file with it. Default: the discovery file of a server on this machine
        that listens on the same port.
    timeout
        Seconds to wait for the server.

    Raises
    ------
    AttachError
        When there is no token, nobody answers, or the server refuses.
    """
    from nbmonitor.rpc import auth, discovery
    from nbmonitor.rpc.client import Client

    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise AttachError(
            f"{address!r} is no address: host:port was expected, such as 127.0.0.1:50051."
        )
    if token is None and token_file is not None:
        token = auth.read_token(os.fspath(token_file))
    if token is None:
        found = discovery.find(int(port))
        if found is None:
            raise AttachError(_no_token(host, port))
        token = auth.read_token(found.token_file)
    client = Client(address, token=token)
    client.connect(timeout)
    return client


def _no_token(host: str, port: str) -> str:
    away = "GPU_BOX" if host in ("127.0.0.1", "localhost", "[::1]") else host
    return (
        f"There is no token for {host}:{port}: no server of this machine listens on port {port}. For a trainer on "
        f"another machine, forward its port and bring the token file that it named when it started:\n"
        f"    ssh -N -L {port}:127.0.0.1:{port} {away} &\n"
        f"    scp {away}:TOKEN_FILE nbmonitor.token\n"
        f"    %nbmonitor attach 127.0.0.1:{port} token_file=nbmonitor.token"
    )


def serve(*, host: str | None = None, port: int | None = None) -> Server:
    """Start the server of this process, so that notebooks can attach to its runs; returns the running one if any.

    Raises
    ------
    ServerError
        When the port is taken or the interface is not a loopback one.
    """
    settings = _settings.load({"host": host, "port": port}, config=_config_of_kernel())
    return process.open_server(settings, strict=True)


def runs() -> Sequence[RunInfo]:
    """Return the runs of this process, newest first."""
    return process.broker.runs() if process.broker is not None else ()


def log(
    mapping: Mapping[str, Any] | None = None, /, *, step: int | None = None, **values: Any
) -> None:
    """Log to the active run; see :meth:`nbmonitor.Run.log`."""
    _active().log(mapping, step=step, **values)


def finish(status: str = "completed") -> None:
    """End the active run; see :meth:`nbmonitor.Run.finish`."""
    _active().finish(status)


def _active() -> Run:
    if process.active is None:
        raise RunError("There is no active run. Begin one with `run = nbmonitor.init(...)`.")
    return process.active


def _ranks() -> tuple[int, int]:
    """Rank and world size as torchrun tells them; (0, 1) outside of it."""
    try:
        return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    except ValueError:
        return 0, 1


def _token(settings: Settings) -> str | None:
    """Token for the server of the settings: the file that is named, else the one that listens there."""
    from nbmonitor.rpc import auth, discovery

    if settings.token_file:
        return auth.read_token(settings.token_file)
    port = settings.address.rpartition(":")[2]
    found = discovery.find(int(port)) if port.isdigit() else None
    return auth.read_token(found.token_file) if found is not None else None


def _config_of_kernel() -> Mapping[str, Any]:
    """Values set by ``%config NBMonitor.x``, when the extension is loaded."""
    extension = sys.modules.get("nbmonitor.extension")
    return extension.configured() if extension is not None else {}


class _Nowhere:
    """Sink of a run that is switched off: takes everything, keeps nothing."""

    def open(self, info: RunInfo, deliver: Callable[[Command], CommandState]) -> RunInfo:  # noqa: ARG002
        return info

    def publish(self, events: Sequence[Event]) -> None:
        pass

    def heartbeat(self, beat: Heartbeat) -> None:
        pass

    def demand(self, run_id: str) -> Demand:  # noqa: ARG002
        return Demand()

    def held(self, run_id: str) -> int:  # noqa: ARG002
        return 0

    def heed(self, run_id: str, changed: Callable[[], None]) -> None:
        pass

    def history(self, run_id: str, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:  # noqa: ARG002
        return np.empty(0, np.int64), np.empty(0)

    def flush(self, timeout: float = 5.0) -> bool:  # noqa: ARG002
        return True
