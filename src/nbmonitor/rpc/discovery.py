"""Which servers run on this machine: one 0600 file each, with the way to the token but never the token."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import psutil

from nbmonitor.rpc.auth import runtime_dir, write_private

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PREFIX = "server-"


@dataclass(frozen=True, slots=True)
class Found:
    """A server: ``address`` as ``host:port``, its process, the file with its token, names of its runs."""

    address: str
    port: int
    pid: int
    token_file: str
    started: float
    runs: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"{_PREFIX}{self.pid}-{self.port}.json"


def write(
    address: str, token_file: str | Path, *, runs: Sequence[str] = (), started: float | None = None
) -> Found:
    """Announce a server of this process (again, when its runs changed)."""
    port = int(address.rpartition(":")[2])
    since = started if started is not None else psutil.Process().create_time()
    found = Found(address, port, os.getpid(), str(token_file), since, tuple(runs))
    write_private(runtime_dir() / found.name, json.dumps(asdict(found)) + "\n")
    return found


def remove(found: Found) -> None:
    """Take an announcement back. Idempotent."""
    (runtime_dir() / found.name).unlink(missing_ok=True)


def servers() -> list[Found]:
    """The servers that are announced, newest first; files of processes that are gone are removed."""
    out = []
    for path in runtime_dir().glob(f"{_PREFIX}*.json"):
        found = _read(path)
        if found is None:
            continue
        if psutil.pid_exists(found.pid):
            out.append(found)
        else:
            path.unlink(missing_ok=True)
            _forget_token(found)
    return sorted(out, key=lambda f: f.started, reverse=True)


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
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _forget_token(found: Found) -> None:
    """The token of a server that is gone opens nothing any more; only files in our own folder are touched."""
    from pathlib import Path

    path = Path(found.token_file)
    if path.parent == runtime_dir() and path.name.startswith("token-"):
        path.unlink(missing_ok=True)
