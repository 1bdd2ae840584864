"""The server: both service paths of the trainers, the viewers' service and health, on a port and a Unix socket."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
import weakref
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from grpc import aio

from nbmonitor.errors import ServerError
from nbmonitor.events import new_id
from nbmonitor.rpc import codec, loop, threads
from nbmonitor.rpc.codec import trainer as wire
from nbmonitor.rpc.health import SERVICE as HEALTH
from nbmonitor.rpc.health import Health
from nbmonitor.rpc.ingest import Ingest
from nbmonitor.rpc.limits import Gate
from nbmonitor.rpc.listening import close_to_others, judge_host, prepare_socket, probe
from nbmonitor.rpc.metrics import Metrics
from nbmonitor.rpc.monitor import Monitor
from nbmonitor.rpc.reflection import Reflection
from nbmonitor.rpc.trust import keys
from nbmonitor.rpc.trust.auth import Auth
from nbmonitor.rpc.trust.certificates import CertificateFiles, Certificates
from nbmonitor.rpc.trust.selfsigned import self_signed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nbmonitor.broker import Broker
    from nbmonitor.rpc.limits import Handler
    from nbmonitor.rpc.trust.auth import Caller

OPTIONS = (
    ("grpc.so_reuseport", 0),  # else a second server takes the same port, silently
    ("grpc.max_send_message_length", -1),
    # Clients may ping every 5 s without data. The name with "recv" in it, as the C header has it, does nothing.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 4_000),
    # And a laptop that vanished is noticed within 9 s: its place and mailboxes are wanted for others.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 4_000),
    ("grpc.http2.max_pings_without_data", 0),  # else the server stops asking after two
    ("grpc.http2.ping_timeout_ms", 4_000),  # see the channel's
    ("grpc.enable_http_proxy", 0),
)
STARTING = 10.0  # seconds that a start may take
FORKED = (
    "This process was forked from one that has a server, and gRPC does not work in such a child. Expected a process of "
    'its own: start it with multiprocessing\'s "spawn", or as a command.'
)


class Server:
    """Exposes a broker over gRPC.

    Parameters
    ----------
    broker
        What trainers report to and viewers read from.
    host
        A loopback address or ``localhost``; anything else with ``tls`` alone.
    port
        0 takes a free one, None none at all.
    unix_socket
        Path of a Unix socket to listen on as well, for its owner alone.
    tls
        The certificate of the port; True for one of our own making (extra ``tls``), kept in the state folder.
    token
        The owner's, of 32 bytes or more in printable ASCII; without it and ``token_file``, a random one.
    token_file
        File with the tokens that are taken, read again when it changes; see :mod:`nbmonitor.rpc.trust.keys`.
    tokens
        Further tokens of the owner's.
    tokenless
        Take new runs from clients of this machine that have no token.
    refused
        Told of refused calls, in place of the audit log; see :class:`nbmonitor.rpc.limits.Gate`.
    strict
        Refuse data of sessions that never registered.
    caps
        Calls at a time by kind; see :class:`nbmonitor.rpc.limits.Gate`.
    message_bytes
        Bytes of the largest message that is taken.

    Raises
    ------
    ServerError
        From the constructor when ``host`` is not of this machine and there is no TLS, when there is no usable token or
        certificate; from :meth:`start` when the port or socket is in use, and in a
        child that was forked from a process with a server.
    SettingError
        For an empty token.
    EnvironmentMissingError
        For a certificate of our own making without the extra ``tls``.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        host: str = "127.0.0.1",
        port: int | None = 0,
        unix_socket: str | Path | None = None,
        tls: CertificateFiles | bool = False,
        token: str | None = None,
        token_file: str | Path | None = None,
        tokens: Sequence[str] = (),
        tokenless: bool = True,
        strict: bool = False,
        caps: dict[str, int] | None = None,
        refused: Callable[[Caller, str, str], None] | None = None,
        message_bytes: int = wire.RECEIVE_BYTES,
    ) -> None:
        if port is None and unix_socket is None:
            raise ServerError(
                "The server was given neither a port nor a Unix socket. Expected one."
            )
        self.forked = False
        self.host = host
        self.port = port
        self.unix_socket = Path(unix_socket).expanduser() if unix_socket else None
        if token is None and token_file is None:
            token = keys.new_token()
        self.token = token or ""  # those of a file stay there
        fixed = [keys.key(t) for t in (*(() if token is None else (token,)), *tokens)]
        keyring = keys.Keyring(token_file, fixed)
        if port is not None:
            judge_host(host, tls=bool(tls), weak=any(k.weak for k in keyring.held()))
        if tls is True:
            tls = CertificateFiles(*self_signed(host))
        self._certificates = Certificates(tls) if tls else None
        self._options = (*OPTIONS, ("grpc.max_receive_message_length", message_bytes))
        auth = Auth(keyring, tokenless=tokenless)
        self.epoch = new_id("s")
        self.metrics = Metrics()
        self._gate = Gate(auth, caps, message_bytes=message_bytes)
        self._pool = threads.Pool(self._gate.caps["calls"], "nbmonitor-call")
        self._health = Health((codec.INGEST, codec.CONTRACT, codec.MONITOR))
        turns = loop.Turns(lambda: time.monotonic() - self._gate.arrived)
        self._ingest = Ingest(broker, self._gate, self.epoch, turns, strict=strict)
        self._monitor = Monitor(broker, self.epoch, self._gate, self._pool, turns)
        self._gate.refusals.refused = refused or self._monitor.witness.refused
        self._grpc: aio.Server | None = None
        self._closing = threading.Lock()
        self._leave: Callable[[], None] | None = None
        threads.guard(self)

    @property
    def address(self) -> str:
        """Where to attach: ``host:port``, or ``unix:/path`` where there is no port."""
        if self.port is None:
            return f"unix:{self.unix_socket}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, to be compared by whoever attaches; "" without TLS."""
        return self._certificates.fingerprint if self._certificates is not None else ""

    def start(self) -> Server:
        """Listen. Raises :class:`~nbmonitor.errors.ServerError` when the port or socket is in use."""
        if self.unix_socket is not None:
            prepare_socket(self.unix_socket)
        try:
            loop.shared.enter()
        except RuntimeError as error:
            raise ServerError(FORKED) from error
        try:
            if self.port is not None:
                probe(self.host, self.port)  # gRPC would first print its own account of it
            self._grpc = loop.shared.run(self._listen(), STARTING)
        except BaseException as error:
            loop.shared.leave()
            if isinstance(error, TimeoutError):
                raise ServerError(
                    f"The server did not start within {STARTING:.0f} s. Expected another server of this process to be "
                    "less busy: close it, or restart the kernel."
                ) from error
            if isinstance(error, OSError | RuntimeError):
                raise self._in_use(error) from error
            raise
        self._health.set(serving=True)
        self._monitor.witness.served(self.address)
        me = weakref.ref(self)

        def leave() -> None:
            server = me()
            if server is not None:
                # Who presses Ctrl-C now wants the end, and no traceback.
                with contextlib.suppress(KeyboardInterrupt):
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
        if self.forked:
            return
        with self._closing:
            server, self._grpc = self._grpc, None
        if server is None:
            return
        if self._leave is not None:
            atexit.unregister(self._leave)
        self._health.set(serving=False)
        self._monitor.witness.stopped(self.address)
        try:
            # Viewers first: their last word of a run is how it stood, not that its trainer was sent away.
            self._monitor.close(wait=min(grace, 0.5))
            self._ingest.close(reason, retry_after)
        finally:  # an interrupt leaves no port behind
            self._stop(server, grace)

    def _stop(self, server: aio.Server, grace: float) -> None:
        stopping = loop.shared.begin(server.stop(grace))
        try:
            futures.wait([stopping], grace + 1.0)
            self._pool.shutdown()
        finally:  # a loop that is held up stops the server later, and is needed until then
            stopping.add_done_callback(lambda _: loop.shared.leave())

    async def _listen(self) -> aio.Server:
        server = aio.server(interceptors=[self.metrics, self._gate], options=self._options)
        server.add_generic_rpc_handlers((*self._handlers(), self._health.handler(), Reflection()))
        try:
            if self.port is not None:
                self.port = self._open_port(server)
            if self.unix_socket is not None:
                server.add_insecure_port(f"unix:{self.unix_socket}")
                close_to_others(self.unix_socket)
            await server.start()
        except BaseException:
            await server.stop(None)
            raise
        return server

    def _open_port(self, server: aio.Server) -> int:
        if self._certificates is None:
            return server.add_insecure_port(self.address)
        return server.add_secure_port(self.address, self._certificates.credentials())

    def _in_use(self, error: Exception) -> ServerError:
        if self.port is None:
            return ServerError(
                f"The Unix socket {self.unix_socket} cannot be opened ({error}). Name another."
            )
        return ServerError(
            f"Port {self.port} of {self.host} is in use (or may not be opened). Expected a free one: take another "
            "with NBMONITOR_PORT=0, `--port 0` or `%config NBMonitor.port = 0` (0 takes any that is free), or stop "
            f"what listens there (`ss -ltnp 'sport = :{self.port}'` names it)."
        )

    def _handlers(self) -> list[Any]:
        trainer = {
            "RegisterTrainingSession": _bytes(self._ingest.register),
            "StreamMetrics": grpc.stream_stream_rpc_method_handler(self._ingest.stream),
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


def _bytes(behaviour: Handler) -> Any:
    return grpc.unary_unary_rpc_method_handler(behaviour)


__all__ = ["HEALTH", "Server"]
