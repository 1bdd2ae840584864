"""Roof: ``nbmonitor serve``: a broker and a server in a process of their own, to which several trainers report.

It says what it does on stderr, as systemd's journal wants it; ends on SIGTERM or SIGINT with a word to everybody; and
keeps its port and token, so that trainers find its successor and offer what they kept.
"""

from __future__ import annotations

import gc
import logging
import os
import platform
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmonitor import settings as _settings
from nbmonitor.errors import SettingError
from nbmonitor.events import Status
from nbmonitor.process import process
from nbmonitor.text import one_line

if TYPE_CHECKING:
    import argparse

    from nbmonitor.broker import Broker
    from nbmonitor.events import RunState
    from nbmonitor.rpc.server import Server

PORT = 50051  # unless told otherwise: that of the published contract
LOOK = 0.25  # seconds between two looks at what was said, and at signals
RETRY_AFTER = 1.0  # seconds after which trainers come back: what a restart takes
GRACE = 2.0  # seconds for calls in progress

_LEVELS = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
_log = logging.getLogger("nbmonitor.serve")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--host", help="interface; a loopback address (127.0.0.1) unless with TLS")
    add("--port", type=int, help=f"port; {PORT} by default, 0 takes a free one")
    add(
        "--unix",
        metavar="PATH",
        help="listen on a Unix socket; beside the port only if --port says so",
    )
    add("--tls", action="store_true", help="with a self-signed certificate, made once")
    add("--tls-cert", metavar="FILE", help="with this certificate (PEM)")
    add("--tls-key", metavar="FILE", help="and its private key (PEM)")
    add("--tls-ca", metavar="FILE", help="clients need a certificate signed by this (PEM)")
    add("--token-file", metavar="FILE", help="the tokens that are taken; made when it is not there")


def main(options: argparse.Namespace) -> int:
    """Serve until a signal; returns the exit status."""
    _speak()
    settings = _settings.load(_asked(options))
    port: int | None = settings.port
    if settings.origin["port"] == "default":
        port = PORT
    unix = settings.unix_socket
    if options.unix and options.port is None:
        port = None
    stop = _Stop()
    token_file, made = _token_file(settings.server_token_file, unix, port)
    try:
        server = process.open_server(
            settings,
            strict=True,
            port=port,
            token_file=token_file,
            unix_socket=_socket(unix, port, tls=settings.tls),
        )
    except BaseException:
        if made:  # for a server that never was
            token_file.unlink(missing_ok=True)
        raise
    print(line(server), flush=True)
    _log.info("serving on %s, process %d", server.address, os.getpid())
    gc.freeze()  # what is there now stays, and need not be looked at again: 60 ms in which nothing is answered
    _tell(process.open_broker(settings), stop)
    stop.again()
    name = signal.Signals(stop.signal).name
    _log.info("%s: saying goodbye; trainers come back in %.0f s", name, RETRY_AFTER)
    process.close(reason=f"it was stopped ({name})", retry_after=RETRY_AFTER, grace=GRACE)
    _log.info("stopped")
    return 0


def line(server: Server) -> str:
    """What a person has to know of a server, in one line."""
    said = f"nbmonitor: serving on {server.address} · token in {process.token_file}"
    if server.fingerprint:
        said += f" · certificate {server.fingerprint}"
    where = server.address
    if server.port is not None and server.host in ("0.0.0.0", "::"):  # noqa: S104 (any of its interfaces)
        where = f"{platform.node()}:{server.port}"
    return f"{said} · in a notebook: %nbmonitor attach {shlex.quote(where)}"


class _Stop:
    """Notes the first SIGTERM or SIGINT; the second one ends the process at once, as it does where nobody listens."""

    def __init__(self) -> None:
        self.signal = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        if self.signal:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.signal = number

    def again(self) -> None:
        """From here on a signal ends the process even where Python does not get to its handlers.

        Not for the first handler to do: where both signals arrive together, the other one is on its way to a handler
        that is gone by then, and Python prints a traceback.
        """
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)


def _tell(broker: Broker, stop: _Stop) -> None:
    """Log what becomes of runs, until a signal."""
    box = broker.subscribe(None)
    known: dict[str, RunState] = {}
    while not stop.signal:
        box.wait(LOOK)
        broker.check()  # that a run is lost is found by whoever looks
        for event in box.drain().events:
            if isinstance(event.payload, Status) and known.get(event.run_id) != event.payload.state:
                known[event.run_id] = event.payload.state
                name = one_line(broker.run(event.run_id).name)
                why = f" ({one_line(event.payload.message)})" if event.payload.message else ""
                _log.info("run %s %s: %s%s", one_line(event.run_id), name, event.payload.state, why)
    box.close()


def _token_file(asked: str, unix: str, port: int | None) -> tuple[Path, bool]:
    """The file with this server's tokens, and whether it was made here. It stays for the next server on that place."""
    from nbmonitor.rpc.trust import keys, places

    if asked:
        path = Path(asked).expanduser().absolute()
    else:
        place = str(port) if port is not None else Path(unix).name
        name = "".join(c if c.isalnum() else "-" for c in place)
        path = places.runtime_dir() / f"serve-{name}.token"
    made = not path.exists()
    if made:
        try:
            places.write_private(path, f"{keys.new_token()}\n")
        except OSError as error:
            raise SettingError(
                f"The token file {path} cannot be written ({error}). Expected a folder that this user can write to: "
                "pass --token-file."
            ) from error
    return path, made


def _socket(unix: str, port: int | None, *, tls: bool) -> Path | None:
    """The Unix socket: as asked for; or, beside a port with TLS, one of ours for those who are on this machine."""
    from nbmonitor.rpc.trust import places

    if unix:
        return Path(unix).expanduser().absolute()
    if tls and os.name == "posix":
        path = places.runtime_dir() / f"serve-{port or os.getpid()}.sock"
        return path if len(str(path)) < 100 else None  # the system takes 107
    return None


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """Settings as the command line gives them; what it leaves out is None."""
    if bool(options.tls_cert) != bool(options.tls_key):
        raise SettingError(
            "Expected both --tls-cert and --tls-key, or --tls for a certificate made here."
        )
    return {
        "host": options.host,
        "port": options.port,
        "unix_socket": options.unix,
        "server_token_file": options.token_file,
        "tls": True if options.tls or options.tls_cert or options.tls_ca else None,
        "tls_cert": options.tls_cert,
        "tls_key": options.tls_key,
        "tls_ca": options.tls_ca,
        "tls_require_client": True if options.tls_ca else None,
    }


# --- log lines -------------------------------------------------------------------------------------------------------


class _Lines(logging.Formatter):
    """For the journal a level and no time, which it has itself; else both in words.

    https://www.freedesktop.org/software/systemd/man/latest/sd-daemon.html
    """

    def __init__(self, *, journal: bool) -> None:
        super().__init__("%(message)s" if journal else "%(asctime)s %(levelname)s %(message)s")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """One entry; every line of it has its level."""
        text = super().format(record)
        if not self._journal:
            return text
        level = f"<{_LEVELS.get(record.levelno, 6)}>"
        return "\n".join(f"{level}{one}" for one in text.splitlines())


def _speak() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(journal=_to_journal()))
    logger = logging.getLogger("nbmonitor")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def _to_journal() -> bool:
    """Whether stderr is the journal's."""
    asked = os.environ.get("JOURNAL_STREAM", "")
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return asked == f"{found.st_dev}:{found.st_ino}"
