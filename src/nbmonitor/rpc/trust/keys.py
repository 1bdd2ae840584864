"""Token files: who holds which token, in what role, until when; read again when the file changes.

One token a line, ``TOKEN [role [name]] [expires=DATE]``; what follows ``#`` is for people::

    Zk3…            the first line, without more: the owner's, every role
    x81… viewer ada expires=2026-12-31
    q0F… controller expires=2026-12-31T12:00:00+01:00
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from nbmonitor.errors import ServerError, SettingError
from nbmonitor.rpc.trust.places import exposed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Role = Literal["owner", "controller", "viewer", "trainer"]
ROLES: tuple[Role, ...] = get_args(Role)

LOOK = 1.0  # seconds between two looks at a token file
HASTE = 0.1  # the same after a token that nobody holds: it may have been made a moment ago
LONGEST = 4096  # characters of a token: what a header can hold

_log = logging.getLogger("nbmonitor")


@dataclass(frozen=True, slots=True)
class Key:
    """A token's holder; the token itself is not kept, only its SHA-256.

    Parameters
    ----------
    digest
        SHA-256 of the token, 32 bytes.
    role
        What its holder may do; "owner" may do everything.
    name
        Whose it is; "" for nobody in particular.
    expires
        Seconds since 1970 after which it opens nothing; None for never.
    weak
        Whether the token has fewer than 16 characters.
    """

    digest: bytes = field(repr=False)
    role: Role
    name: str = ""
    expires: float | None = None
    weak: bool = False

    @property
    def hint(self) -> str:
        """Eight letters that tell one key from another and open nothing."""
        return self.digest.hex()[:8]

    @property
    def called(self) -> str:
        """Its name; for a nameless one that is not the owner's something that nobody else can be called."""
        return self.name or ("" if self.role == "owner" else f"{self.role}-{self.hint}")

    def expired(self, now: float) -> bool:
        """Whether its day has passed."""
        return self.expires is not None and now >= self.expires

    def until(self) -> str:
        """When it expires, for people; "" for never."""
        if self.expires is None:
            return ""
        return datetime.fromtimestamp(self.expires, UTC).strftime("%Y-%m-%d %H:%M UTC")


def new_token() -> str:
    """32 random bytes, safe in a header."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


def key(token: str, role: Role = "owner", name: str = "", expires: float | None = None) -> Key:
    """Make a key of a token; raises :class:`~nbmonitor.errors.SettingError` for an empty or unprintable one."""
    if not token or len(token) > LONGEST or not token.isascii() or not token.isprintable():
        raise SettingError(
            "A token is empty, too long, or holds characters that a header cannot carry. Expected 32 random bytes in "
            "printable ASCII; `nbmonitor token` makes one."
        )
    return Key(digest(token), role, name, expires, weak=len(token) < 16)


def read_line(line: str) -> tuple[str, Key] | None:
    """One line of a token file as token and key; None for an empty one. Raises SettingError with what is wrong."""
    words = line.split()
    words = words[: next((i for i, w in enumerate(words) if w.startswith("#")), len(words))]
    if not words:
        return None
    token, *rest = words
    when = [w for w in rest if w.startswith("expires=")]
    said = [w for w in rest if not w.startswith("expires=")]
    if len(said) > 2 or len(when) > 1:
        raise SettingError("expected TOKEN [role [name]] [expires=DATE]")
    role = next((r for r in ROLES if r == (said[0].lower() if said else "owner")), None)
    if role is None:
        raise SettingError(f"{said[0]!r} is no role; expected one of {', '.join(ROLES)}")
    name = presentable(said[1]) if len(said) > 1 else ""
    return token, key(token, role, name, _moment(when[0].partition("=")[2]) if when else None)


def read_lines(text: str) -> list[tuple[str, Key]]:
    """A token file's tokens with their keys, in order; raises SettingError with the line's number, not its words."""
    found: list[tuple[str, Key]] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            one = read_line(line)
        except SettingError as error:
            raise SettingError(f"line {number}: {error}") from None
        if one is None:
            continue
        if any(one[1].digest == k.digest for _, k in found):
            raise SettingError(f"line {number}: this token stands further up already")
        if one[1].role == "owner" and not one[1].name and found:
            raise SettingError(
                f"line {number}: only the first token may stand without a role; expected one of "
                f"{', '.join(ROLES)} behind this one"
            )
        found.append(one)
    if not found:
        raise SettingError("there is no token in it")
    return found


def read_file(path: Path) -> tuple[Key, ...]:
    """The keys of a server's token file; raises :class:`~nbmonitor.errors.ServerError` with the remedy."""
    try:
        why = exposed(path)
        text = "" if why else path.read_text(encoding="utf-8")
        keys = () if why else tuple(k for _, k in read_lines(text))
    except (OSError, UnicodeDecodeError, SettingError) as error:
        why, keys = str(error), ()
    if why:
        raise ServerError(
            f"The token file {path} cannot be used: {why}. Expected one token a line, TOKEN [role [name]] "
            "[expires=DATE], in a file that only its owner can read; `nbmonitor token` writes one."
        )
    return keys


def presentable(text: str, most: int = 64) -> str:
    """A name as it may be shown and logged: printable ASCII, in one line, at most ``most`` characters."""
    return "".join(c for c in text if c.isascii() and c.isprintable()).strip()[:most]


def _moment(text: str) -> float:
    """End of a day (UTC), or a moment with its time; seconds since 1970."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingError(
            f"{text!r} is no date; expected one such as 2026-12-31 or 2026-12-31T12:00:00+01:00"
        ) from None
    if len(text) <= 10:  # a day counts to its end
        moment += timedelta(days=1)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _among(keys: Sequence[Key], given: bytes) -> Key | None:
    found = None
    for each in keys:  # all of them, whichever is right: the time it takes tells nothing
        if hmac.compare_digest(given, each.digest):
            found = each
    return found


class Keyring:
    """The keys that a server takes: fixed ones, and those of a file that is read again when it changes.

    A file that cannot be used any more leaves the keys as they were, and that is said once: a slip of an editor must
    not lock out a training that runs for a week. To revoke a key, take out its line.

    Parameters
    ----------
    path
        The file; None for fixed keys alone.
    fixed
        Keys beside it.
    monotonic, now
        Clocks, in seconds: for how often the file is looked at, and for when a key expires.

    Raises
    ------
    ServerError
        When there is no key at all, or the file cannot be used.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        fixed: Sequence[Key] = (),
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.path = Path(path).expanduser() if path is not None else None
        self._fixed = tuple(fixed)
        self._monotonic = monotonic
        self._now = now
        self._lock = threading.Lock()
        self._looked = monotonic()
        self._stamp = self._look()
        self._keys = (*self._fixed, *(read_file(self.path) if self.path else ()))
        if not self._keys:
            raise ServerError(
                "A server without any token would be open to everybody. Expected a token or a token file: leave both "
                "out to have one made, or `nbmonitor token` writes one."
            )

    def held(self) -> tuple[Key, ...]:
        """The keys as they stand now, expired ones included."""
        return self._held(LOOK)

    def find(self, token: str) -> Key | None:
        """The key of a token, expired or not; takes as long for a wrong one as for any."""
        given = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        keys = self.held()
        found = _among(keys, given)
        if found is None:
            newer = self._held(HASTE)
            if newer is not keys:
                found = _among(newer, given)
        return found

    def expired(self, one: Key) -> bool:
        """Whether a key's day has passed."""
        return one.expired(self._now())

    def _held(self, after: float) -> tuple[Key, ...]:
        """The keys, after a look at the file where the last one is so many seconds ago."""
        if self.path is not None and self._monotonic() - self._looked >= after:
            with self._lock:
                self._again()
        return self._keys

    def _again(self) -> None:
        self._looked = self._monotonic()
        stamp = self._look()
        if stamp == self._stamp or self.path is None:
            return
        self._stamp = stamp
        try:
            keys = read_file(self.path)
        except ServerError as error:
            _log.warning("%s The tokens that were read before stay valid.", error)
            return
        self._keys = (*self._fixed, *keys)
        many = "" if len(keys) == 1 else "s"
        _log.info("%s was read again: %d token%s", self.path, len(keys), many)

    def _look(self) -> tuple[int, ...] | None:
        try:
            found = self.path.stat() if self.path else None
        except OSError:
            return None
        return (
            (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode)
            if found is not None
            else None
        )
