"""Call metadata whose token is looked up anew at every call: a token file may change, a server may be replaced."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nbmonitor.errors import AttachError
from nbmonitor.rpc.trust import auth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Bearer:
    """What gRPC takes as ``metadata=``.

    Parameters
    ----------
    token
        The token, or what returns it, or None.
    actor
        What this client calls itself; ``user@host`` by default.
    """

    def __init__(self, token: str | Callable[[], str | None] | None, actor: str = "") -> None:
        self._token = token
        self._actor = actor

    def __iter__(self) -> Iterator[tuple[str, str]]:
        token = self._token() if callable(self._token) else self._token
        return iter(auth.metadata(token, self._actor))


class TokenFile:
    """Returns the token of a file, which is read again when it changed; an unreadable one leaves the last token.

    Raises
    ------
    AttachError
        From the constructor, when the file cannot be read or holds no token.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._token = auth.read_token(self.path)

    def __call__(self) -> str:
        """Return the token as it stands now."""
        with self._lock:
            stamp = self._look()
            if stamp is not None and stamp != self._stamp:
                with contextlib.suppress(AttachError):  # half written: look again at the next call
                    self._token, self._stamp = auth.read_token(self.path), stamp
            return self._token

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size
