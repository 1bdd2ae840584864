"""Who may do what: roles by token, one table of RPCs; without a token, from this machine alone, a new run's trainer."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nbmonitor.audit import whoami
from nbmonitor.errors import AttachError, SettingError
from nbmonitor.rpc.trust import keys
from nbmonitor.rpc.trust.keys import Keyring, new_token, presentable
from nbmonitor.rpc.trust.places import keep, places, runtime_dir, write_private
from nbmonitor.rpc.trust.rights import GIVES, HEALTH, NEEDS, TOKENLESS, WHOSE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from nbmonitor.rpc.trust.keys import Key, Role
    from nbmonitor.rpc.trust.rights import Right

HEADER = "authorization"
CLIENT = "x-nbmonitor-client"  # what a client calls itself, for display


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a call comes from; worked out once a call by the gate.

    Parameters
    ----------
    role
        Of the token; "trainer" for a client of this machine that has none, "" for one that asks about health.
    name
        Proven: of the peer's certificate, else of the token; "" where neither has one.
    peer
        Where it comes from, as gRPC writes it.
    holder
        Whether it has a token.
    declared
        What it calls itself (``user@host``). For display alone: it proves nothing.
    """

    role: Role | Literal[""]
    name: str
    peer: str
    holder: bool
    declared: str = ""

    @property
    def actor(self) -> str:
        """Whom to name as the one who did something; "" where nothing is known."""
        return self.name or self.declared

    def may(self, right: Right) -> bool:
        """Whether its role gives a right."""
        return right in GIVES.get(self.role, frozenset())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a call: who it is, and why it is refused ("" when it is not).

    ``known`` tells that the refusal is for want of a role, not of a token.
    """

    caller: Caller
    why: str = ""
    known: bool = False


class Auth:
    """Judges calls.

    Parameters
    ----------
    keyring
        The tokens that are taken, or one token.
    tokenless
        Take new runs from clients of this machine that have no token.
    """

    def __init__(self, keyring: Keyring | str, *, tokenless: bool = True) -> None:
        self.keyring = Keyring(fixed=[keys.key(keyring)]) if isinstance(keyring, str) else keyring
        self._tokenless = tokenless

    def judge(
        self,
        method: str,
        peer: str,
        given: Iterable[tuple[str, str | bytes]],
        certificate: Mapping[str, Any] | None = None,
    ) -> Verdict:
        """Say whom a call comes from and whether it may go on.

        Parameters
        ----------
        method
            Path of the RPC.
        peer
            As gRPC writes it.
        given
            Metadata of the call.
        certificate
            ``auth_context()`` of the call: the peer's certificate, where there is one.
        """
        words: list[str] = []
        declared = ""
        for header, value in given:
            if header == HEADER and isinstance(value, str):
                words.append(value)
            elif header == CLIENT and isinstance(value, str):
                declared = presentable(value)
        held = [self._key(w) for w in words]
        # Two headers, of which one is wrong, are somebody who tries.
        key = held[0] if held and all(k == held[0] for k in held) else None
        expired = key is not None and self.keyring.expired(key)
        name = common_name(certificate) or (key.called if key else "")
        if key is not None and not expired:
            caller = Caller(key.role, name, peer, holder=True, declared=declared)
            return Verdict(caller, self._objection(method, caller, key), known=True)
        near = method in TOKENLESS and not words and self._tokenless and loopback(peer)
        caller = Caller("trainer" if near else "", name, peer, holder=False, declared=declared)
        if near or method.startswith(HEALTH):
            return Verdict(caller)
        if expired and key is not None:
            return Verdict(
                caller,
                f"the token expired on {key.until()}: ask for a new one (`nbmonitor token` makes it)",
            )
        if words:
            return Verdict(
                caller,
                "the token is wrong, or was taken back: read the server's token file again, it may have been "
                "restarted, or ask its owner for another",
            )
        return Verdict(caller, self._missing(method, peer))

    def objection(self, method: str, peer: str, given: Iterable[tuple[str, str | bytes]]) -> str:
        """Why a call must not be served; "" when it may."""
        return self.judge(method, peer, given).why

    def _objection(self, method: str, caller: Caller, key: Key) -> str:
        if method.startswith(HEALTH):
            return ""
        needs = NEEDS.get(method)
        rpc = method.rpartition("/")[2]
        if needs is None:
            return f"{rpc} is not served to anybody"
        if caller.may(needs):
            return ""
        whose = f"{key.role}'s" + (f" ({key.name})" if key.name else "")
        return (
            f"{rpc} needs {WHOSE[needs]} token and this is a {whose}: ask the owner of the server for one "
            "(`nbmonitor token` makes it) and pass it as token_file="
        )

    def _missing(self, method: str, peer: str) -> str:
        if method in TOKENLESS and not loopback(peer):
            return (
                "from another machine a token is needed: pass the server's token file (token_file=)"
            )
        if method in TOKENLESS:
            return (
                "a token is needed, for runs without one are turned off here (NBMONITOR_TOKENLESS=0): pass token_file= "
                "with the file that the server wrote"
            )
        return (
            "a token is needed: pass token_file= with the file that the server wrote, "
            "or run `%nbmonitor attach` on the machine where it runs"
        )

    def _key(self, value: str) -> Key | None:
        kind, _, word = value.partition(" ")
        found = self.keyring.find(word.strip())
        return found if kind.lower() == "bearer" else None


def common_name(certificate: Mapping[str, Any] | None) -> str:
    """The name in the peer's certificate, as gRPC's ``auth_context()`` tells it; "" without one."""
    for value in (certificate or {}).get("x509_common_name", ()):
        return presentable(value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
    return ""


def loopback(peer: str) -> bool:
    """Whether a gRPC peer name is of this machine."""
    return peer.startswith(("ipv4:127.", "ipv6:[::1]", "ipv6:%5B::1%5D", "unix:"))


# --- the client's side -----------------------------------------------------------------------------------------------


def write_token(token: str, name: str | None = None) -> Path:
    """Keep a token in a 0600 file of ours and return its path."""
    name = name or f"token-{os.getpid()}-{secrets.token_hex(4)}"
    return keep(name, token + "\n")


def read_token(path: str | Path) -> str:
    """Read the first token of a token file; raises :class:`~nbmonitor.errors.AttachError` with the remedy."""
    try:
        found = keys.read_lines(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        msg = (
            f"The token file {path} cannot be read ({error}). Expected the file that the server wrote: see the line "
            "`%load_ext nbmonitor` printed there, or copy that file here and pass token_file=."
        )
        raise AttachError(msg) from error
    except SettingError as error:
        raise AttachError(
            f"The token file {path} holds no token ({error}). Copy the server's token file again."
        ) from error
    token, key = found[0]
    if key.expired(time.time()):
        raise AttachError(
            f"The token in {path} expired on {key.until()}. Ask the owner of the server for a new one "
            "(`nbmonitor token` makes it)."
        )
    return token


def metadata(token: str | None, actor: str = "") -> tuple[tuple[str, str], ...]:
    """Call metadata: the token, and what this client calls itself (``user@host`` by default)."""
    declared = (CLIENT, presentable(actor or whoami()) or "somebody")
    return ((HEADER, f"Bearer {token}"), declared) if token else (declared,)


__all__ = [
    "CLIENT",
    "GIVES",
    "HEADER",
    "HEALTH",
    "NEEDS",
    "TOKENLESS",
    "Auth",
    "Caller",
    "Verdict",
    "keep",
    "loopback",
    "metadata",
    "new_token",
    "places",
    "read_token",
    "runtime_dir",
    "write_private",
    "write_token",
]
