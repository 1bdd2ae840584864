"""Who may do what: a random token in a 0600 file; without it, from loopback alone, a trainer may report a new run."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hmac
import logging
import os
import secrets
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from nbmonitor.errors import AttachError

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADER = "authorization"
HEALTH = "/grpc.health.v1.Health/"
TOKENLESS = frozenset(
    f"/{service}/{rpc}"
    for service in ("metrics.MetricsService", "nbmonitor.rpc.v1.IngestService")
    for rpc in ("StreamMetrics", "RegisterTrainingSession")
)
"""What a client without a token may call, from loopback alone (as trainer of a new run)."""


_log = logging.getLogger("nbmonitor")


def new_token() -> str:
    """32 random bytes, safe in a header."""
    return secrets.token_urlsafe(32)


def places() -> list[Path]:
    """Folders for tokens and discovery files that can be used, best first; each of them ours alone, with mode 0700.

    The state folder comes first: ``XDG_RUNTIME_DIR`` often differs between a notebook server and a login shell of one
    user (JupyterHub, tmux, su, batch jobs), or names a folder that is not there.
    """
    with warnings.catch_warnings():  # no XDG_RUNTIME_DIR: it says so, and falls back to /tmp
        warnings.simplefilter("ignore")
        asked = [Path(platformdirs.user_state_dir("nbmonitor", appauthor=False)) / "run"]
        with contextlib.suppress(OSError):  # its fallback may be somebody else's
            asked.append(Path(platformdirs.user_runtime_dir("nbmonitor", appauthor=False)))
    found = [p for p in asked if _private(p)]
    return found or [_last_resort(os.getpid())]


def runtime_dir() -> Path:
    """The folder that tokens and discovery files are written to."""
    return places()[0]


def _private(path: Path) -> bool:
    """Make a folder that is ours alone; False where that cannot be."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid") and {path.stat().st_uid, path.parent.stat().st_uid} != {
            os.getuid()
        }:
            return False  # somebody else was there first, in a folder that all may write to
        if path.stat().st_mode & 0o077:
            path.chmod(0o700)
        return os.access(path, os.W_OK | os.X_OK)
    except OSError as error:
        _log.debug("%s cannot be used: %r", path, error)
        return False


@functools.cache
def _last_resort(pid: int) -> Path:
    """A folder of this process; others find no discovery file there, but the token file is named when it starts."""
    path = Path(tempfile.mkdtemp(prefix="nbmonitor-"))

    def leave() -> None:
        if os.getpid() == pid:
            shutil.rmtree(path, ignore_errors=True)

    atexit.register(leave)
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, replacing what was there in one step."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    beside.replace(path)


def write_token(token: str, name: str | None = None) -> Path:
    """Keep a token in a 0600 file of ours and return its path."""
    name = name or f"token-{os.getpid()}-{secrets.token_hex(4)}"
    return keep(name, token + "\n")


def keep(name: str, text: str) -> Path:
    """Write a private file to the first of our folders that takes it (a disk may be full) and return its path."""
    for folder in places():
        try:
            write_private(folder / name, text)
        except OSError as error:
            _log.debug("%s takes no file: %r", folder, error)
        else:
            return folder / name
    path = _last_resort(os.getpid()) / name
    write_private(path, text)
    return path


def read_token(path: str | Path) -> str:
    """Read a token file; raises :class:`~nbmonitor.errors.AttachError` with the remedy."""
    try:
        token = Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        msg = (
            f"The token file {path} cannot be read ({error}). Expected the file that the server wrote: see the line "
            "`%load_ext nbmonitor` printed there, or copy that file here and pass token_file=."
        )
        raise AttachError(msg) from error
    if not token or not token.isascii() or not token.isprintable():
        raise AttachError(
            f"The token file {path} holds no token. Copy the server's token file again."
        )
    return token


def metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    """Call metadata for a token."""
    return ((HEADER, f"Bearer {token}"),) if token else ()


def loopback(peer: str) -> bool:
    """Whether a gRPC peer name is of this machine."""
    return peer.startswith(("ipv4:127.", "ipv6:[::1]", "ipv6:%5B::1%5D", "unix:"))


class Auth:
    """Judges calls.

    Parameters
    ----------
    token
        The one token of this server.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def holds_token(self, given: Iterable[tuple[str, str | bytes]]) -> bool:
        """Whether call metadata carries the token; compared in constant time."""
        return self._judge(given) is True

    def objection(self, method: str, peer: str, given: Iterable[tuple[str, str | bytes]]) -> str:
        """Why a call must not be served; "" when it may."""
        right = self._judge(given)
        if right or method.startswith(HEALTH):
            return ""
        if right is False:
            return (
                "the token is wrong: the server may have been restarted; read its token file again"
            )
        if method in TOKENLESS:
            if loopback(peer):
                return ""
            return (
                "from another machine a token is needed: pass the server's token file (token_file=)"
            )
        return (
            "a token is needed: pass token_file= with the file that the server wrote, "
            "or run `%nbmonitor attach` on the machine where it runs"
        )

    def _judge(self, given: Iterable[tuple[str, str | bytes]]) -> bool | None:
        """True for the token, False for another, None where there is none."""
        right: bool | None = None
        for key, value in given:
            if key == HEADER and isinstance(value, str):
                kind, _, word = value.partition(" ")
                same = hmac.compare_digest(word.strip().encode(), self._token)
                right = bool(right) | (same and kind.lower() == "bearer")
        return right
