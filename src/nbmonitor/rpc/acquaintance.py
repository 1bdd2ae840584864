"""What a client knows of the server it talks to: its own name there, which life of it this is, its clock, how far."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from nbmonitor.audit import OWN
from nbmonitor.rpc.codec import viewer as wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmonitor.events import Command, RunInfo


READS_ONLY = "Your token only reads: ask the server's owner for a controller's."


class Acquaintance:
    """Learns from the answers to ``GetServerInfo``.

    Parameters
    ----------
    clock, monotonic
        Epoch seconds and a monotonic clock, in seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rtt: float | None = None  # seconds
        self.ahead = 0.0  # seconds by which the server's clock is ahead of this one
        self._server = wire.ServerInfo("", "", 0.0)
        self._clock, self._monotonic = clock, monotonic

    def asks(self) -> Callable[[bytes], None]:
        """Begin a round trip; hand the answer to what is returned. Raises InputError there when it is none."""
        began = self._monotonic()

        def answered(data: bytes) -> None:
            now = self._clock()
            self._server = wire.read_server_info(data)
            self.rtt = self._monotonic() - began
            if self._server.now:  # it said so half a round trip ago
                self.ahead = self._server.now - (now - self.rtt / 2)

        return answered

    def meant(self, command: Command, info: RunInfo | None) -> Command:
        """A command as it is sent: asked for by the server's clock, and meant for these lives of server and trainer.

        What was recorded on its way means nothing later: neither after its time nor after a restart.
        """
        incarnation = command.incarnation
        if incarnation is None and info is not None:
            incarnation = info.incarnation
        return replace(
            command,
            asked_at=command.asked_at + self.ahead,
            incarnation=incarnation,
            epoch=command.epoch or self._server.epoch,
        )

    def here(self, info: RunInfo) -> RunInfo:
        """A run's description where "you" is this client, who perhaps may not steer."""
        if self._server.reads_only:
            info = replace(info, steerable=False, why=READS_ONLY)
        if info.wheel and info.wheel == self._server.caller:
            return replace(info, wheel=OWN)
        return info
