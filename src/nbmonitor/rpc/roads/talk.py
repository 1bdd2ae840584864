"""One ssh, from its beginning to its end: what it says is read, and told to whoever started it."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import selectors
import subprocess
import time
from typing import IO, TYPE_CHECKING, Protocol

from nbmonitor.errors import AttachError
from nbmonitor.rpc.roads.shell import Listing, script

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from nbmonitor.rpc.roads.discovery import Found

PATIENCE = 20.0  # seconds for ssh to get through
_TAIL = 30  # lines of ssh's own words that are kept


class Owner(Protocol):
    """Who started it: ``over`` when it shall end, ``look`` seconds between two looks, ``problem`` in words."""

    over: threading.Event
    look: float
    problem: str

    def listed(self, found: Listing, to: Found | None) -> bool:
        """Take what runs there; False when the forward to ``to`` leads to the wrong place now."""
        ...

    def opened(self) -> bool:
        """The road is open, as far as ssh says; False when its socket is not there."""
        ...

    def explain(self, said: Sequence[str], status: int | None) -> str:
        """What ssh's last words mean, and what to do."""
        ...


class Talk:
    """One ssh: reads what it says until it ends."""

    def __init__(self, owner: Owner, process: subprocess.Popen[bytes], to: Found | None) -> None:
        if process.stdin is None or process.stdout is None:
            raise ValueError("ssh was started without pipes")
        self._owner = owner
        self._process = process
        self._to = to
        self._input: IO[bytes] = process.stdin
        self._output: IO[bytes] = process.stdout
        self._word = secrets.token_hex(8)
        self._said: list[str] = []
        self._listing: Listing | None = None
        self._through = False
        self._failed = float("-inf")  # monotonic clock of the last call that found no way through
        self._asked = time.monotonic()

    def run(self) -> None:
        """Read to the end. Raises AttachError where ssh ended without being told to, or told of no way."""
        self._send(script(self._word))
        if self._to is None:
            with contextlib.suppress(OSError):
                self._input.close()
        began, rest = time.monotonic(), b""
        os.set_blocking(self._output.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            while not self._owner.over.is_set():
                if selector.select(0.5):
                    data = self._output.read(1 << 16)
                    if data == b"":
                        break
                    *lines, rest = (rest + (data or b"")).split(b"\n")
                    if not all(self._take(line.decode("utf-8", "replace")) for line in lines):
                        return
                    rest = rest[-(1 << 20) :]
                now = time.monotonic()
                if not self._through and now - began > PATIENCE:
                    break
                if self._through and now - self._asked > self._owner.look:
                    self._ask()
        if not self._owner.over.is_set():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
            raise AttachError(self._owner.explain(self._said, self._process.poll()))

    def _take(self, line: str) -> bool:
        """Take a line; False when this ssh leads nowhere any more."""
        kind, _, what = line.removeprefix(f"{self._word} ").partition(" ")
        if not line.startswith(self._word):
            self._say(line)
            return True
        if kind == "begin":
            self._listing = Listing(what)
        elif self._listing is not None and kind != "end":
            self._listing.take(kind, what)
        elif self._listing is not None:
            listing, self._listing = self._listing, None
            return self._listed(listing)
        return True

    def _listed(self, listing: Listing) -> bool:
        try:
            right = self._owner.listed(listing, self._to)
        except AttachError as error:
            if not self._through:
                raise
            self._owner.problem = str(error)  # the server may come back: the road stays
            return True
        self._through = True
        if self._to is None or not right:
            return False
        if time.monotonic() - self._failed < self._owner.look:
            return True  # what is wrong is not cured by the same answer
        if not self._owner.opened():
            raise AttachError(self._owner.explain(self._said, None))
        return True

    def _say(self, line: str) -> None:
        said = re.sub(r"[^\x20-\x7e]", "", line).strip()[:200]
        if not said or set(said) <= {"@", " "}:
            return
        self._said = [*self._said[1 - _TAIL :], said]
        if "open failed" in said:  # the server there is gone, or another took its place
            self._failed = time.monotonic()
            self._owner.problem = self._owner.explain([said], None)
            if time.monotonic() - self._asked > 1.0:
                self._ask()

    def _ask(self) -> None:
        """Have sh look again at what runs there."""
        self._asked = time.monotonic()
        self._send("\n")

    def _send(self, text: str) -> None:
        with contextlib.suppress(OSError):  # it ended: reading tells why
            self._input.write(text.encode())
            self._input.flush()


def end(process: subprocess.Popen[bytes]) -> None:
    """End an ssh, with what it holds of us."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(1.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
