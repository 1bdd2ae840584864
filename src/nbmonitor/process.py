"""Roof: what this process holds: one broker, one server, roads to servers elsewhere, the active run."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmonitor.audit import Trail
from nbmonitor.broker import Broker
from nbmonitor.errors import EnvironmentMissingError, ServerError, StoreError
from nbmonitor.store import open_store
from nbmonitor.store.audit import AuditLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from nbmonitor.interfaces import Audit
    from nbmonitor.rpc.publisher import Publisher
    from nbmonitor.rpc.roads.announcement import Announcement
    from nbmonitor.rpc.server import Server
    from nbmonitor.rpc.trust.tls import Tls
    from nbmonitor.settings import Settings
    from nbmonitor.training.run import Run


HAND_OVER = 5.0  # seconds for what a publisher still has, at the end


class Process:
    """What this process holds: at most one broker, one server, one active run."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.broker: Broker | None = None
        self.server: Server | None = None
        self.token_file: Path | None = None
        self._lasting = False  # the token file stays for the next server
        self.active: Run | None = None
        self.in_kernel = False  # the extension is loaded: runs report here
        self._publishers: list[Publisher] = []
        self._announced: Announcement | None = None
        self._count = 0
        self._pid = os.getpid()

    def open_broker(self, settings: Settings) -> Broker:
        """Return this process's broker, made when first asked for."""
        with self._lock:
            if self.broker is None:
                self.broker = Broker(open_store(settings.store), journal=_journal(settings))
            return self.broker

    def open_server(
        self,
        settings: Settings,
        *,
        strict: bool = False,
        token_file: Path | None = None,
        **how: Any,
    ) -> Server:
        """Return this process's server, started when first asked for, with its discovery file.

        A port that is taken is warned of, and a free one is used instead: a monitor does not end a training. With
        ``strict`` it raises :class:`~nbmonitor.errors.ServerError`. Tokens are those of ``token_file``, else of the
        settings' one, else of a new one that goes with the server. ``how`` goes before what the settings say for
        :class:`nbmonitor.rpc.server.Server`.
        """
        from nbmonitor.rpc.configured import server_options
        from nbmonitor.rpc.roads.announcement import Announcement
        from nbmonitor.rpc.trust import auth

        with self._lock:
            if self.server is None:
                how = server_options(settings) | how
                token_file = token_file or how["token_file"]
                file = token_file or auth.write_token(auth.new_token())
                how["token_file"] = file
                try:
                    server = self._start(settings, how, strict=strict)
                except BaseException:
                    if token_file is None:
                        file.unlink(missing_ok=True)
                    raise
                self.token_file, self._lasting = file, token_file is not None
                self.server = server
                beside = server.unix_socket if server.port is not None else None
                self._announced = Announcement(
                    self.open_broker(settings),
                    server.address,
                    file,
                    fingerprint=server.fingerprint,
                    socket=str(beside or ""),
                ).start()
                if settings.otel:
                    _offer(server)
            return self.server

    def _start(self, settings: Settings, how: dict[str, Any], *, strict: bool) -> Server:
        from nbmonitor.rpc.server import Server

        broker = self.open_broker(settings)
        try:
            return Server(broker, **how).start()
        except ServerError as error:
            if strict or not how["port"]:
                raise
            warnings.warn(f"{error} A free port is used instead.", stacklevel=5)
            return Server(broker, **how | {"port": 0}).start()

    def publisher(
        self,
        address: str,
        token: str | Callable[[], str | None] | None,
        tls: Tls | bool | None = None,
    ) -> Publisher:
        """Return a started road to a server elsewhere, closed with this process."""
        from nbmonitor.rpc.publisher import Publisher

        publisher = Publisher(address, token=token, tls=tls)
        publisher.start()
        with self._lock:
            self._publishers.append(publisher)
        return publisher

    def name(self, asked: str | None) -> str:
        """Name of the next run."""
        with self._lock:
            self._count += 1
            # A path or a number too: it is shown, sent and announced as text.
            return str(asked) if asked else f"run-{self._count}"

    def close(
        self,
        *,
        reason: str = "the server stops",
        retry_after: float = 1.0,
        grace: float = 1.0,
        hurried: bool = False,
    ) -> None:
        """End what runs: the active run as it stands, publishers, server, broker. Idempotent.

        ``reason``, ``retry_after`` and ``grace`` are told to those who are connected; see ``Server.close``. After a
        KeyboardInterrupt everything is ended still, but nothing is waited for any more, as with ``hurried`` from the
        beginning; it is raised again at the end.
        """
        if os.getpid() != self._pid:  # a forked child owns nothing of this
            return
        with self._lock:
            publishers, self._publishers = self._publishers, []
            server, self.server = self.server, None
            broker, self.broker = self.broker, None
            token_file, self.token_file = self.token_file, None
            run, self.active = self.active, None
            announced, self._announced = self._announced, None
        patience = _Patience(over=hurried)
        if run is not None and not hurried:
            with (
                patience
            ):  # nothing is done for one that has ended: at exit, runs end themselves first
                run.finish("interrupted")
        for publisher in publishers:
            _part(publisher, patience)
        if server is not None:
            if announced is not None:
                with patience:
                    announced.close()
            with patience:
                server.close(patience.at_most(grace), reason=reason, retry_after=retry_after)
        if token_file is not None and not self._lasting:
            token_file.unlink(missing_ok=True)
        if broker is not None:
            with patience:
                broker.close()
        if patience.interrupt is not None:
            raise patience.interrupt

    def at_exit(self) -> None:
        """End what runs because the interpreter leaves; Ctrl-C hurries it, without a traceback."""
        from nbmonitor.training import life

        with contextlib.suppress(KeyboardInterrupt):
            self.close(hurried=life.hurried())


class _Patience:
    """For ``with``: steps of an end. One that Ctrl-C ended is left, and the next ones are not waited for."""

    def __init__(self, *, over: bool) -> None:
        self.over = over
        self.interrupt: KeyboardInterrupt | None = None

    def at_most(self, seconds: float) -> float:
        return 0.0 if self.over else seconds

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _kind: object, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, KeyboardInterrupt):
            return False
        self.over, self.interrupt = True, error
        return True


def _part(publisher: Publisher, patience: _Patience) -> None:
    """Close a road to a server elsewhere, and say so where not everything went over it."""
    waited = not patience.over
    with patience:
        publisher.close(timeout=patience.at_most(HAND_OVER))
    if waited and patience.over:
        with patience:
            publisher.close(timeout=0.0)
    if publisher.flush(0.0):
        return
    there = f"the server at {publisher.address}"
    why = publisher.problem or (
        f"Ctrl-C was pressed before {there} had all of it."
        if patience.over
        else f"{there} did not confirm all of it within {HAND_OVER:.0f} s."
    )
    print(f"nbmonitor: not everything was handed over: {why}", file=sys.stderr)


def _journal(settings: Settings) -> Audit:
    """The audit log; a monitor does not end a training for want of its file."""
    if settings.audit.lower() == "off":
        return Trail()
    try:
        return AuditLog(Path(settings.audit).expanduser() if settings.audit else None).start()
    except StoreError as error:
        warnings.warn(f"{error} It is kept in memory alone.", stacklevel=5)
        return Trail()


def _offer(server: Server) -> None:
    """Offer a server's figures to OpenTelemetry; where that is not installed, the server is as good without it."""
    from nbmonitor.rpc import telemetry

    try:
        telemetry.export(server.metrics)
    except EnvironmentMissingError as error:
        warnings.warn(str(error), stacklevel=5)


process = Process()
atexit.register(process.at_exit)
