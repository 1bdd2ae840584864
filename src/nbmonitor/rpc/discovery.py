"""Which servers run on this machine: one 0600 file each, with the way to the token but never the token."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from nbmonitor.rpc.places import keep, places

if TYPE_CHECKING:
    from collections.abc import Sequence

_PREFIX = "server-"


def _space() -> str:
    """Name of the space in which the ids of processes count; "" where there is but one."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Found:
    """A server: ``address`` as ``host:port``, its process, the file with its token, names of its runs.

    ``machine`` is where it runs: a home folder may be shared by many machines, and their processes' ids say nothing
    here. ``space`` is where its ``pid`` counts, which within one machine differs between containers.
    """

    address: str
    port: int
    pid: int
    token_file: str
    started: float
    runs: tuple[str, ...] = field(default=())
    machine: str = field(default_factory=platform.node)
    space: str = field(default_factory=_space)

    @property
    def name(self) -> str:
        """Name of its file."""
        machine = "".join(c if c.isalnum() else "-" for c in self.machine)[:64]
        return f"{_PREFIX}{machine}-{self.pid}-{self.port}.json"


def write(
    address: str, token_file: str | Path, *, runs: Sequence[str] = (), started: float | None = None
) -> Found:
    """Announce a server of this process (again, when its runs changed)."""
    port = int(address.rpartition(":")[2])
    since = started if started is not None else psutil.Process().create_time()
    found = Found(address, port, os.getpid(), str(token_file), since, tuple(runs))
    keep(found.name, json.dumps(asdict(found)) + "\n")
    return found


def remove(found: Found) -> None:
    """Take an announcement back. Idempotent."""
    for folder in places():
        _unlink(folder / found.name)


def servers() -> list[Found]:
    """The servers that are announced, newest first; files of processes that are gone are removed."""
    out: dict[str, Found] = {}
    for path in (p for folder in places() for p in folder.glob(f"{_PREFIX}*.json")):
        found = _read(path)
        if found is None or found.machine != platform.node():
            continue
        if (
            found.space != _space()
        ):  # nothing can be said of its process: whether it listens, counts
            if _listens(found.port):
                out.setdefault(found.name, found)
        elif psutil.pid_exists(found.pid):
            out.setdefault(found.name, found)
        else:
            _unlink(path)
            _forget_token(found)
    return sorted(out.values(), key=lambda f: f.started, reverse=True)


def find(port: int) -> Found | None:
    """The server that listens on a port of this machine, if it announced itself."""
    return next((f for f in servers() if f.port == port), None)


def _read(path: Path) -> Found | None:
    try:
        if path.stat().st_uid != os.getuid():
            return None  # somebody else's file could send a token to somebody else's server
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Found(
            str(raw["address"]),
            int(raw["port"]),
            int(raw["pid"]),
            str(raw["token_file"]),
            float(raw["started"]),
            tuple(str(r) for r in raw.get("runs", ())),
            str(raw.get("machine", platform.node())),
            str(raw.get("space", _space())),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _forget_token(found: Found) -> None:
    """The token of a server that is gone opens nothing any more; only files in our own folders are touched."""
    path = Path(found.token_file)
    if path.parent in places() and path.name.startswith("token-"):
        _unlink(path)


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):  # gone already, or the disk is read-only now
        path.unlink()


def _listens(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return True
    except OSError:
        return False
