"""Folders that are ours alone, and files that only their owner can read: tokens, certificates, announcements."""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import os
import secrets
import shutil
import tempfile
import warnings
from pathlib import Path

import platformdirs

_log = logging.getLogger("nbmonitor")


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
    found = [p for p in asked if private_folder(p)]
    return found or [_last_resort(os.getpid())]


def runtime_dir() -> Path:
    """The folder that tokens and discovery files are written to."""
    return places()[0]


def lasting_dir() -> Path:
    """The folder of what outlives a process: certificates, the fingerprints of servers."""
    state = Path(platformdirs.user_state_dir("nbmonitor", appauthor=False))
    return state if private_folder(state) else places()[0]


def private_folder(path: Path) -> bool:
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
    made = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(made, "w", encoding="utf-8") as file:
        file.write(text)
    beside.replace(path)


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


def exposed(path: Path, mask: int = 0o077) -> str:
    """Who else may reach a file that should be private, as a sentence with the remedy; "" for nobody.

    Raises OSError where there is no such file.
    """
    if os.name != "posix":
        return ""
    found = path.stat()
    if found.st_uid not in (os.getuid(), 0):
        return f"{path} belongs to another user (id {found.st_uid}): make a file of your own"
    if found.st_mode & mask:
        mode = f"{found.st_mode & 0o777:04o}"
        return f"others may read {path} (mode {mode}): `chmod 600 {path}`"
    return ""
