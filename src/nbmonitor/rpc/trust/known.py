"""The certificates of servers that were pinned on first use."""

from __future__ import annotations

import base64
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbmonitor.errors import AttachError
from nbmonitor.rpc.trust.certificates import fingerprint, same_fingerprint
from nbmonitor.rpc.trust.places import lasting_dir, write_private

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pinned:
    """A server's certificate as it was first seen: its fingerprint, a name in it, and itself (DER)."""

    fingerprint: str
    name: str
    der: bytes


class Known:
    """The certificates that were pinned: a 0600 file, ``host:port FINGERPRINT NAME CERTIFICATE`` a line."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or lasting_dir() / "known-servers"

    def get(self, target: str) -> Pinned | None:
        """The certificate pinned for ``host:port``; None where there is none. A broken line is as none."""
        for line in self._lines():
            with contextlib.suppress(ValueError):
                where, told, name, coded = line.split()
                der = base64.b64decode(coded, validate=True)
                if where == target and same_fingerprint(told, fingerprint(der)):
                    return Pinned(fingerprint(der), name, der)
        return None

    def put(self, target: str, pinned: Pinned) -> None:
        """Pin a certificate, in the place of another."""
        coded = base64.b64encode(pinned.der).decode("ascii")
        self._write(target, f"{target} {pinned.fingerprint} {pinned.name} {coded}")

    def forget(self, target: str) -> bool:
        """Let go of a pinned certificate; False where there was none."""
        had = self.get(target) is not None
        if had:
            self._write(target)
        return had

    def _write(self, target: str, *more: str) -> None:
        kept = [x for x in self._lines() if x.split()[:1] != [target]]
        try:
            write_private(self.path, "".join(f"{x}\n" for x in (*kept, *more)))
        except OSError as error:
            raise AttachError(
                f"The server's certificate cannot be kept in {self.path} ({error}). Expected a folder that can be "
                "written to; or pass tls_ca= with what signed the certificate."
            ) from error

    def _lines(self) -> list[str]:
        try:
            return self.path.read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError):
            return []
