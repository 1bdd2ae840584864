"""Where a server may listen: on this machine freely, elsewhere only with TLS; sockets of dead servers make room."""

from __future__ import annotations

import logging
import os
import socket
import stat
from typing import TYPE_CHECKING

from nbmonitor.address import Address
from nbmonitor.errors import ServerError

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger("nbmonitor")

LONGEST = 107  # bytes of a Unix socket's path that every Linux takes


def local(host: str) -> bool:
    """Whether only this machine reaches an interface."""
    return Address("tcp", host=host).loopback


def judge_host(host: str, *, tls: bool, weak: bool) -> None:
    """Raise :class:`~nbmonitor.errors.ServerError` where a server would be open to others.

    Parameters
    ----------
    host
        Interface that is asked for.
    tls
        Whether the port speaks TLS.
    weak
        Whether a token is short enough to be guessed.
    """
    if local(host):
        return
    if not host:
        raise ServerError(
            "The server was told to listen on '', which is no interface. Expected 127.0.0.1, or the name of one."
        )
    if not tls:
        raise ServerError(
            f"The server was told to listen on {host!r} without TLS. Whoever reaches that interface could read on the "
            "way every value and picture of the runs here, and the token that steers them. Expected a loopback address "
            "(127.0.0.1), reached from elsewhere by `%nbmonitor attach ssh://THIS_MACHINE` (or `ssh -L "
            "PORT:127.0.0.1:PORT THIS_MACHINE`); or TLS: `nbmonitor serve --tls`, NBMONITOR_TLS=1."
        )
    if weak:
        raise ServerError(
            f"The server was told to listen on {host!r} with a token of fewer than 16 characters, which can be "
            "guessed. Expected 32 random bytes: leave the token out to have one made, or `nbmonitor token` makes one."
        )


def probe(host: str, port: int) -> None:
    """Bind and let go; raises OSError where a server could not listen."""
    family, kind, proto, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, proto) as trial:
        if os.name == "posix":  # as gRPC does; elsewhere it would mean to share the port
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind(where)


def prepare_socket(path: Path) -> None:
    """Make room for a Unix socket: its folder, and away with the socket of a server that is dead.

    Raises
    ------
    ServerError
        For a path that is too long, a folder in which others could put a socket of theirs, something that is no socket,
        or a server that is alive.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise ServerError(
            "This system has no Unix sockets here. Expected a port: leave the socket out."
        )
    if not path.is_absolute() or len(os.fsencode(path)) > LONGEST:
        raise ServerError(
            f"The Unix socket {path} cannot be one: it has {len(os.fsencode(path))} bytes and the system takes "
            f"{LONGEST} of an absolute path. Expected a shorter one, for example in /run/user/ID or /tmp/FOLDER."
        )
    try:
        for made in _make(path.parent):
            _log.info("made the folder %s (mode 0700) for the Unix socket", made)
        folder = path.parent.stat()
    except OSError as error:
        raise ServerError(
            f"The folder of the Unix socket {path} cannot be made ({error}). Expected one of your own."
        ) from error
    shared = folder.st_mode & 0o022 and not folder.st_mode & stat.S_ISVTX
    if shared or folder.st_uid not in (os.getuid(), 0):
        raise ServerError(
            f"Others may write to {path.parent}, and could put a socket of theirs in the place of {path.name}. "
            f"Expected a folder of your own: `chmod 700 {path.parent}`, or name another."
        )
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ServerError(
            f"{path} exists and is no socket. Expected a path that is free: name another, or take that file away."
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(1.0)
        try:
            trial.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)  # its server is dead
            return
        except OSError as error:
            raise ServerError(
                f"{path} is a socket of somebody else's ({error}). Name another."
            ) from error
    raise ServerError(
        f"A server listens on {path} already. Expected a path that is free: attach to that server "
        f"(`%nbmonitor attach unix:{path}`), stop it, or name another."
    )


def _make(folder: Path) -> list[Path]:
    """Make a folder and those above it, for this user alone; returns which there were not."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)
    return missing[::-1]


def close_to_others(path: Path) -> None:
    """Leave a socket to its owner alone, whatever the umask was."""
    path.chmod(0o600)
