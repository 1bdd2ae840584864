"""Keeps a server's discovery file true while it runs."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from nbmonitor.rpc import threads
from nbmonitor.rpc.roads import discovery

if TYPE_CHECKING:
    from pathlib import Path

    from nbmonitor.broker import Broker
    from nbmonitor.rpc.roads.discovery import Announced, Found
    from nbmonitor.subscription import Subscription

RUNS = 100  # the newest, in a file
TOGETHER = 0.2  # seconds between two writes, however fast things change

_log = logging.getLogger("nbmonitor")


class Announcement:
    """A server's file, written when it starts and whenever a run begins, ends or is renamed.

    Its thread sleeps until the broker tells of a change: a home folder on a slow disk keeps nobody waiting.

    Parameters
    ----------
    broker
        Has the runs.
    address
        Where the server listens: ``host:port`` or ``unix:/path``.
    token_file
        The file with its token.
    fingerprint
        That of its certificate; "" without TLS.
    socket
        Path of its Unix socket beside a port; "" for none.
    """

    def __init__(
        self,
        broker: Broker,
        address: str,
        token_file: str | Path,
        *,
        fingerprint: str = "",
        socket: str = "",
    ) -> None:
        self.forked = False
        self._broker = broker
        self._address = address
        self._token_file = token_file
        self._fingerprint = fingerprint
        self._socket = socket
        self._found: Found | None = None
        self._box: Subscription | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        threads.guard(self)

    def start(self) -> Announcement:
        """Write the file and keep it true from now on. Idempotent."""
        if self._box is None:
            self._box = self._broker.subscribe(None)
            self._write()
            self._thread = threading.Thread(
                target=self._run, args=(self._box,), name="nbmonitor-announcement", daemon=True
            )
            self._thread.start()
        return self

    def close(self) -> None:
        """Take the file away. Idempotent."""
        box, found, thread = self._box, self._found, self._thread
        if self.forked or self._over.is_set() or box is None:
            return
        self._over.set()
        box.close()
        if thread is not None:
            thread.join(2.0)
        if found is not None:
            discovery.remove(found)

    def _run(self, box: Subscription) -> None:
        while not (self._over.is_set() or box.closed):
            box.wait()
            box.drain()
            if not self._over.is_set():
                self._write()
                self._over.wait(TOGETHER)

    def _write(self) -> None:
        runs: tuple[Announced, ...] = tuple(
            discovery.Announced(r.run_id, r.name, str(r.state)) for r in self._broker.runs()[:RUNS]
        )
        if self._found is not None and self._found.runs == runs:
            return
        try:
            self._found = discovery.write(
                self._address,
                self._token_file,
                runs=runs,
                fingerprint=self._fingerprint,
                socket=self._socket,
            )
        except OSError as error:  # the next change tries again; who has the address needs no file
            _log.debug("the discovery file was not written: %r", error)
