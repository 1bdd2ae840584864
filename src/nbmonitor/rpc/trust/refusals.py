"""What follows from a refusal: a line in the log once, a row in the audit log seldom, a limit on answers in full.

A stranger may share an address with the owner (loopback, a gateway), so nobody is locked out: the right token always
passes. What is bounded is what a wrong one costs us.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmonitor.rpc.trust.auth import Caller

    Refused = Callable[[Caller, str, str], None]

RATE = 5.0  # refusals a second of one host that are answered in full, and as many at once
HOOK_RATE = 20.0  # refusals a second that are told to the audit log, of all hosts together
HOSTS = 1024  # remembered
QUIET = 600.0  # seconds after which the same is worth a line again

_log = logging.getLogger("nbmonitor")


class Bucket:
    """Tokens that come back with time: ``rate`` a second, at most ``most``."""

    __slots__ = ("_left", "_most", "_rate", "_then")

    def __init__(self, rate: float, most: float, now: float) -> None:
        self._rate, self._most = rate, most
        self._left, self._then = most, now

    def take(self, now: float) -> bool:
        """Take one; False when there is none."""
        self._left = min(self._most, self._left + (now - self._then) * self._rate)
        self._then = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Refusals:
    """Counts refusals by the host that they go to.

    Parameters
    ----------
    refused
        Told of a refusal: the caller, the path of the RPC, the reason. At most 20 times a second; what was left out
        meanwhile is said in the next reason. Runs in a handler's thread and must not wait.
    monotonic
        A monotonic clock, in seconds.
    """

    def __init__(
        self,
        refused: Refused | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.refused = refused
        self.total = 0
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._hosts: OrderedDict[str, Bucket] = OrderedDict()
        self._said: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._hook = Bucket(HOOK_RATE, HOOK_RATE, monotonic())
        self._untold = 0

    def note(self, caller: Caller, method: str, why: str) -> str:
        """Take note of a refusal and return what to answer."""
        now, host = self._monotonic(), host_of(caller.peer)
        with self._lock:
            self.total += 1
            bucket = self._hosts.setdefault(host, Bucket(RATE, RATE, now))
            self._hosts.move_to_end(host)
            while len(self._hosts) > HOSTS:
                self._hosts.popitem(last=False)
            answered = bucket.take(now)
            told = answered and self._hook.take(now)
            untold, self._untold = (self._untold, 0) if told else (0, self._untold + 1)
            said = self._said.get((host, why), -QUIET)
            fresh = now - said >= QUIET
            if fresh:
                self._said[host, why] = now
                while len(self._said) > HOSTS:
                    self._said.popitem(last=False)
        if fresh:
            _log.warning("a call of %s from %s was refused: %s", method, host, why)
        if told and self.refused is not None:
            more = f" (and {untold} more refusals before it)" if untold else ""
            try:
                self.refused(caller, method, why + more)
            except Exception:  # whoever writes it down must not open or close the door
                _log.exception("a refusal could not be written down")
        if answered:
            return why
        return f"{why}; there were more than {RATE:.0f} refusals a second from there: slow down"


def host_of(peer: str) -> str:
    """The machine in a gRPC peer name, without its port."""
    if peer.startswith("ipv"):
        peer = peer.rpartition(":")[0]
    return peer or "an unknown peer"
