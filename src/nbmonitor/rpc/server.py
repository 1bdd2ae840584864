"""The server: both service paths of the trainers, the viewers' service and health, on one port of this machine."""

from __future__ import annotations

import atexit
import ipaddress
import os
import socket
import threading
import weakref
from typing import TYPE_CHECKING, Any

import grpc

from nbmonitor.errors import ServerError
from nbmonitor.events import new_id
from nbmonitor.rpc import codec, keys, threads
from nbmonitor.rpc.auth import Auth
from nbmonitor.rpc.codec import trainer as wire
from nbmonitor.rpc.health import SERVICE as HEALTH
from nbmonitor.rpc.health import Health
from nbmonitor.rpc.ingest import Ingest
from nbmonitor.rpc.limits import THREADS, Gate
from nbmonitor.rpc.metrics import Metrics
from nbmonitor.rpc.monitor import Monitor
from nbmonitor.rpc.reflection import Reflection

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nbmonitor.broker import Broker
    from nbmonitor.rpc.auth import Caller

OPTIONS = (
    ("grpc.so_reuseport", 0),  # else a second server takes the same port, silently
    ("grpc.max_receive_message_length", wire.RECEIVE_BYTES),
    ("grpc.max_send_message_length", -1),
    # Clients may ping every 5 s without data. The name with "recv" in it, as the C header has it, does nothing.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 4_000),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.enable_http_proxy", 0),
)


class Server:
    """Exposes a broker over gRPC.

    Parameters
    ----------
    broker
        What trainers report to and viewers read from.
    host
        A loopback address or ``localhost``.
    port
        0 takes a free one.
    token
        The owner's, of 32 bytes or more in printable ASCII; without it and ``token_file``, a random one.
    token_file
        File with the tokens that are taken, read again when it changes; see :mod:`nbmonitor.rpc.keys`.
    tokenless
        Take new runs from clients of this machine that have no token.
    refused
        Told of refused calls, in place of the audit log; see :class:`nbmonitor.rpc.limits.Gate`.
    strict
        Refuse data of sessions that never registered.
    caps
        Calls at a time by kind; see :class:`nbmonitor.rpc.limits.Gate`.

    Raises
    ------
    ServerError
        From the constructor when ``host`` is not of this machine or there is no usable token, from :meth:`start` when
        the port is in use.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        token_file: str | Path | None = None,
        tokenless: bool = True,
        strict: bool = False,
        caps: dict[str, int] | None = None,
        refused: Callable[[Caller, str, str], None] | None = None,
    ) -> None:
        if not _loopback(host):
            msg = (
                f"The server was told to listen on {host!r}, which others can reach. Expected a loopback address "
                "(127.0.0.1): keep it there, and run `ssh -L PORT:127.0.0.1:PORT THIS_MACHINE` on the other machine."
            )
            raise ServerError(msg)
        self.forked = False
        self.host = host
        self.port = port
        if token is None and token_file is None:
            token = keys.new_token()
        self.token = token or ""  # those of a file stay there
        self._pool = threads.Pool(THREADS, "nbmonitor-grpc")
        fixed = [] if token is None else [keys.key(token)]
        auth = Auth(keys.Keyring(token_file, fixed), tokenless=tokenless)
        self.epoch = new_id("s")
        self.metrics = Metrics()
        self._gate = Gate(auth, caps)
        self._health = Health((codec.INGEST, codec.CONTRACT, codec.MONITOR))
        self._ingest = Ingest(broker, self._gate, self._pool, self.epoch, strict=strict)
        self._monitor = Monitor(broker, self.epoch, self._gate)
        self._gate.refusals.refused = refused or self._monitor.witness.refused
        self._grpc: grpc.Server | None = None
        self._closing = threading.Lock()
        self._leave: Callable[[], None] | None = None
        threads.guard(self)

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def start(self) -> Server:
        """Listen. Raises :class:`~nbmonitor.errors.ServerError` when the port is in use."""
        try:
            _probe(self.host, self.port)  # gRPC would first print its own account of a port in use
        except OSError as error:
            raise self._in_use() from error
        # The types ask for the standard executor and a list; gRPC itself asks for `submit` and a sequence.
        server = grpc.server(self._pool, interceptors=(self.metrics, self._gate), options=OPTIONS)  # type: ignore[arg-type]
        server.add_generic_rpc_handlers((*self._handlers(), self._health.handler(), Reflection()))
        try:
            port = server.add_insecure_port(self.address)
        except RuntimeError as error:
            server.stop(None)
            raise self._in_use() from error
        self.port = port
        server.start()
        self._grpc = server
        self._health.set(serving=True)
        self._monitor.witness.served(self.address)
        me = weakref.ref(self)

        def leave() -> None:
            server = me()
            if server is not None:
                server.close(0.5)  # viewers still hear how the runs ended

        self._leave = leave
        atexit.register(leave)
        return self

    def close(
        self,
        grace: float = 1.0,
        *,
        reason: str = "the server stops",
        retry_after: float = 1.0,
    ) -> None:
        """Say goodbye, wait at most ``grace`` seconds for calls in progress, stop. Idempotent; never hangs.

        ``retry_after`` is when trainers come back to whatever listens here then, in seconds.
        """
        with self._closing:
            server, self._grpc = self._grpc, None
        if server is None or self.forked:
            return
        if self._leave is not None:
            atexit.unregister(self._leave)
        self._health.set(serving=False)
        self._monitor.witness.stopped(self.address)
        # Viewers first: their last word of a run is how it stood, not that its trainer was sent away.
        self._monitor.close(wait=min(grace, 0.5))
        self._ingest.close(reason, retry_after)
        server.stop(grace).wait(grace + 1.0)
        self._pool.shutdown()

    def _in_use(self) -> ServerError:
        return ServerError(
            f"Port {self.port} of {self.host} is in use (or may not be opened). Expected a free one: take another "
            f"with `%config NBMonitor.port = 0` or NBMONITOR_PORT=0 (0 takes any that is free), or stop what "
            f"listens there (`ss -ltnp 'sport = :{self.port}'` names it)."
        )

    def _handlers(self) -> list[Any]:
        trainer = {
            "RegisterTrainingSession": _bytes(self._ingest.register),
            "StreamMetrics": grpc.stream_stream_rpc_method_handler(
                self._ingest.stream, request_deserializer=wire.read_request
            ),
        }
        upload = {
            "UploadCheckpoint": self._monitor.later("UploadCheckpoint", streams=(True, False))
        }
        return [
            grpc.method_handlers_generic_handler(codec.CONTRACT, trainer),
            grpc.method_handlers_generic_handler(codec.INGEST, trainer | upload),
            grpc.method_handlers_generic_handler(codec.MONITOR, self._monitor.handlers()),
        ]

    def serves(self) -> dict[str, Any]:
        """Every RPC that is served, as path → handler: for the test that holds it against the descriptors."""
        out: dict[str, Any] = {}
        for handler in (*self._handlers(), self._health.handler()):
            out |= handler._method_handlers
        return out


def _bytes(behaviour: Callable[..., bytes]) -> Any:
    return grpc.unary_unary_rpc_method_handler(behaviour)


def _probe(host: str, port: int) -> None:
    """Bind and let go; raises OSError where a server could not listen."""
    family, kind, proto, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, proto) as probe:
        if os.name == "posix":  # as gRPC does; elsewhere it would mean to share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(where)


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


__all__ = ["HEALTH", "Server"]
