"""Roof: wires the wings together. `init`, `attach`, `serve`, `runs`, and `log` / `finish` for the active run."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmonitor import address as addresses
from nbmonitor import attaching
from nbmonitor import settings as _settings
from nbmonitor._version import __version__
from nbmonitor.configuration import flatten
from nbmonitor.errors import RunError, SettingError
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
    from nbmonitor.rpc.trust.tls import Tls
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
        Server to report to, ``host:port`` or ``unix:/path``. Default: the kernel in which ``%load_ext nbmonitor``
        ran, or ``NBMONITOR_ADDRESS``, or a server that this process starts for itself.
    token_file
        File with the token for ``address``; ``NBMONITOR_TOKEN_FILE`` by default.
    serve
        Whether this process serves the run. By default a plain script does (its first rank), unless it reports to a
        server elsewhere; False: no server is started. True: it does in any case, on every rank, whatever
        ``NBMONITOR_ADDRESS`` says (a run reports to one place alone, so that place hears nothing of it then), and the
        line with its address is printed in a kernel too.
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
        When a setting cannot be used, or ``address`` comes with ``serve=True``. A server that cannot be reached is not
        an error: the run is kept and handed over when it can be.
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
    if serve and settings.origin["address"] == "argument" and not own:
        raise SettingError(
            f"A run reports to one place: address={settings.address!r} and serve=True were both given. Leave one out."
        )
    if settings.address and not own and not serve:
        road = process.publisher(settings.address, _token(settings), _tls(settings))
        return road, replace(info, origin="process"), ""
    broker = process.open_broker(settings)
    there = process.server is not None
    if serve is False or (not serve and (process.in_kernel or info.rank != 0 or there)):
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
    tls: Tls | bool | None = None,
    timeout: float = 5.0,
) -> Client:
    """Connect to a server elsewhere; show it with ``nbmonitor.Dashboard(client)``.

    Parameters
    ----------
    address
        ``host:port``, ``unix:/path``, ``ssh://[user@]host[:port][/run]``, or the name or id of a run on this machine.
        For ssh the user's own ``ssh`` is called (``NBMONITOR_SSH``), which must not need to ask anything; it brings the
        token and is kept running until the client is closed.
    token_file, token
        A file with a token for that server (read again when it changes), or the token. Default: what a server on this
        machine announced for that address.
    tls
        How to check the server's certificate, see :class:`nbmonitor.rpc.trust.tls.Tls`: pinned on first use by default.
    timeout
        Seconds to wait for the server.

    Returns
    -------
    Client
        A source of runs, whose :attr:`chosen` is the id of the run that the address names, or "". Close it when done.

    Raises
    ------
    AttachError
        When there is no token, nobody answers, or the server refuses; it says what to do.
    """
    settings = _settings.load(config=_config_of_kernel())
    if tls is None and not addresses.parse(address).loopback:
        from nbmonitor.rpc.configured import client_tls

        tls = client_tls(settings, address)
    client, run = attaching.attach(
        address, token=token, token_file=token_file, tls=tls, ssh=settings.ssh, timeout=timeout
    )
    client.chosen = run
    return client


def serve(
    *,
    host: str | None = None,
    port: int | None = None,
    unix_socket: str | os.PathLike[str] | None = None,
    token_file: str | os.PathLike[str] | None = None,
    tls: bool | None = None,
) -> Server:
    """Start the server of this process, so that notebooks can attach to its runs; returns the running one if any.

    Parameters
    ----------
    host, port
        Where to listen; 127.0.0.1 and a free port by default. Another interface needs ``tls``.
    unix_socket
        Path of a Unix socket to listen on as well.
    token_file
        The tokens that are taken; a new file that goes with the server by default.
    tls
        Speak TLS, with ``NBMONITOR_TLS_CERT`` and ``_KEY`` or a certificate of our own making (extra ``tls``), whose
        fingerprint is ``server.fingerprint``.

    Raises
    ------
    ServerError
        When the port is taken, or the interface can be reached by others and there is no TLS.
    """
    asked = {
        "host": host,
        "port": port,
        "unix_socket": os.fspath(unix_socket) if unix_socket is not None else None,
        "server_token_file": os.fspath(token_file) if token_file is not None else None,
        "tls": tls,
    }
    return process.open_server(_settings.load(asked, config=_config_of_kernel()), strict=True)


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


def _token(settings: Settings) -> Callable[[], str | None] | None:
    """Token for the server of the settings: of the file that is named, else of the one that listens there."""
    from nbmonitor.rpc.roads.bearer import TokenFile

    file = settings.token_file
    if not file:
        found = attaching.listening(addresses.parse(settings.address))
        file = found.token_file if found is not None else ""
    return TokenFile(file) if file else None


def _tls(settings: Settings) -> Tls | bool | None:
    """How to check the server of the settings: one of this machine announced its certificate."""
    from nbmonitor.rpc.configured import client_tls
    from nbmonitor.rpc.trust.tls import Tls

    where = addresses.parse(settings.address)
    found = attaching.listening(where) if where.kind == "tcp" and where.loopback else None
    if found is None:
        return client_tls(settings, settings.address)
    told, cert, key = found.fingerprint, settings.tls_cert, settings.tls_key
    return Tls(cert=cert, key=key, fingerprint=told) if told else None


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

    problem = ""

    def held(self, run_id: str) -> int:  # noqa: ARG002
        return 0

    def heed(self, run_id: str, changed: Callable[[], None]) -> None:
        pass

    def history(self, run_id: str, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:  # noqa: ARG002
        return np.empty(0, np.int64), np.empty(0)

    def flush(self, timeout: float = 5.0) -> bool:  # noqa: ARG002
        return True
