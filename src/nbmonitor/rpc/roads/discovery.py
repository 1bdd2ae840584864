"""Which servers run on this machine: one 0600 file each, with the way to the token but never the token."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import socket as sockets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from nbmonitor import address as addresses
from nbmonitor._version import __version__
from nbmonitor.errors import AttachError
from nbmonitor.events import RunState
from nbmonitor.rpc.trust.places import keep, places
from nbmonitor.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PREFIX = "server-"
LISTED = 8  # runs of one name that a message lists


@dataclass(frozen=True, slots=True)
class Announced:
    """A run of a server, as its file tells of it."""

    run_id: str
    name: str
    state: str = "initializing"

    @property
    def alive(self) -> bool:
        """Whether it may still say something."""
        return self.state not in _OVER


_OVER = frozenset({*(str(s) for s in RunState if s.ended), str(RunState.LOST)})


def space() -> str:
    """Name of the space in which the ids of processes count; "" where there is but one."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Found:
    """A server: its ``address`` (``host:port`` or ``unix:/path``), process, file with its token, runs (newest first).

    ``machine`` is where it runs: a home folder may be shared by many machines, and their processes' ids say nothing
    here. ``space`` is where its ``pid`` counts, which within one machine differs between containers. ``fingerprint`` is
    that of its certificate, "" without TLS; ``socket`` the path of a Unix socket beside a port, or "".
    """

    address: str
    pid: int
    token_file: str
    started: float
    runs: tuple[Announced, ...] = field(default=())
    machine: str = field(default_factory=platform.node)
    space: str = field(default_factory=space)
    fingerprint: str = ""
    version: str = __version__
    socket: str = ""

    @property
    def port(self) -> int:
        """Its port; 0 for a Unix socket."""
        return addresses.parse(self.address).port or 0

    @property
    def dial(self) -> str:
        """Where somebody on the same machine reaches it, without TLS where that is possible."""
        if self.socket:
            return f"unix:{self.socket}"
        return re.sub(r"^(0\.0\.0\.0|\[::\])(?=:\d+$)", "127.0.0.1", self.address)

    @property
    def name(self) -> str:
        """Name of its file."""
        machine = "".join(c if c.isalnum() else "-" for c in self.machine)[:64]
        return f"{_PREFIX}{machine}-{self.pid}-{self.port}.json"

    @property
    def alive(self) -> bool:
        """Whether a run of it may still say something."""
        return any(r.alive for r in self.runs)


def write(
    address: str,
    token_file: str | Path,
    *,
    runs: Sequence[Announced] = (),
    started: float | None = None,
    fingerprint: str = "",
    socket: str = "",
) -> Found:
    """Announce a server of this process (again, when its runs changed)."""
    since = started if started is not None else psutil.Process().create_time()
    path = str(Path(token_file).expanduser().absolute())
    found = Found(
        address,
        os.getpid(),
        path,
        since,
        tuple(runs),
        fingerprint=fingerprint,
        socket=socket,
    )
    # Readable as it is: on another machine a few lines of sh look for the token file in it (`ssh`). Half a character
    # (a lone surrogate, as in a file's name that is no UTF-8) stands there as JSON writes it.
    told = json.dumps(asdict(found), ensure_ascii=False).encode("utf-8", "backslashreplace")
    keep(found.name, told.decode() + "\n")
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
        if found.space != space():  # nothing can be said of its process: whether it listens, counts
            if listens(found.dial):
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


def parse(text: str) -> Found | None:
    """Read an announcement; None for what is none."""
    try:
        raw = json.loads(text)
        where = addresses.parse(str(raw["address"])).target
        runs = tuple(
            Announced(str(r["run_id"]), str(r["name"]), str(r.get("state", "")))
            for r in raw.get("runs", ())
        )
        return Found(
            where,
            int(raw["pid"]),
            str(raw["token_file"]),
            float(raw["started"]),
            runs,
            str(raw.get("machine", platform.node())),
            str(raw.get("space", space())),
            str(raw.get("fingerprint", "")),
            str(raw.get("version", "")),
            str(raw.get("socket", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, AttachError):
        return None


def choose(
    found: Iterable[Found], run: str = "", *, where: str = "on this machine", prefix: str = ""
) -> tuple[Found, Announced | None]:
    """The server (and run) that is meant by the name or id of a run; without one, the newest server.

    A run that goes on is preferred to those of its name that ended, and a server that has such a run to one that has
    none. ``where`` and ``prefix`` (of an address with a run's id behind it) are for the words of a refusal.

    Raises
    ------
    AttachError
        When there is none, or several are meant; it lists them with what to say instead.
    """
    found = sorted(found, key=lambda f: (f.alive, f.started), reverse=True)
    if not found:
        raise AttachError(
            f"No nbmonitor server runs {where}. Expected a trainer: one that called nbmonitor.init(...) or "
            "`nbmonitor serve`, by the same user."
        )
    if not run:
        return found[0], None
    meant = [(f, r) for f in found for r in f.runs if r.run_id == run]
    named = [(f, r) for f in found for r in f.runs if r.name == run]
    meant = meant or [(f, r) for f, r in named if r.alive] or named
    if not meant:
        there = _listed([(f, r) for f in found for r in f.runs], prefix) or "\n    none yet"
        raise AttachError(
            f"There is no run {one_line(run, 100)!r} {where}. Expected one of:{there}"
        )
    if len(meant) == 1 or (not meant[0][1].alive and len({f.name for f, _ in meant}) == 1):
        return meant[0]  # of runs that ended side by side, the newest
    raise AttachError(
        f"{len(meant)} runs {where} are called {one_line(run, 100)!r}. Expected one: name it by its id:"
        f"{_listed(meant, prefix)}"
    )


def _listed(runs: Sequence[tuple[Found, Announced]], prefix: str) -> str:
    lines = [
        f"\n    {prefix}{one_line(r.run_id)}  {one_line(r.name, 100)}  ({one_line(r.state, 40)}; "
        f"{f.address}, pid {f.pid})"
        for f, r in runs[:LISTED]
    ]
    return "".join(lines) + (f"\n    and {len(runs) - LISTED} more" if len(runs) > LISTED else "")


def _read(path: Path) -> Found | None:
    try:
        if path.stat().st_uid != os.getuid():
            return None  # somebody else's file could send a token to somebody else's server
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _forget_token(found: Found) -> None:
    """The token of a server that is gone opens nothing any more; only files in our own folders are touched."""
    path = Path(found.token_file)
    if path.parent in places() and path.name.startswith("token-"):
        _unlink(path)


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):  # gone already, or the disk is read-only now
        path.unlink()


def listens(address: str) -> bool:
    """Whether somebody listens there, on this machine."""
    where = addresses.parse(address)
    family, place = (
        (sockets.AF_UNIX, where.path)
        if where.kind == "unix"
        else (sockets.AF_INET6 if ":" in where.host else sockets.AF_INET, (where.host, where.port))
    )
    try:
        with sockets.socket(family) as probe:
            probe.settimeout(0.2)
            probe.connect(place)
            return True
    except OSError:
        return False
