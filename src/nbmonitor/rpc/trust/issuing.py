"""Tokens for others: made, handed over in a file, taken back. What `nbmonitor token` does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from nbmonitor.errors import SettingError
from nbmonitor.rpc.trust.keys import (
    ROLES,
    new_token,
    presentable,
    read_file,
    read_line,
    read_lines,
)
from nbmonitor.rpc.trust.places import write_private

if TYPE_CHECKING:
    from nbmonitor.rpc.trust.keys import Key


def create(
    file: str | Path, role: str, name: str, *, days: float | None = None, out: str | Path
) -> Key:
    """Make a token, add it to a server's token file, and write it to a file of its own to be handed over.

    Parameters
    ----------
    file
        The server's token file; made, with an owner's token first, where there is none.
    role
        "trainer", "viewer", "controller" or "owner".
    name
        Whose it is; told in the audit log.
    days
        Days that it is good for, from now; None for ever.
    out
        The file to hand over; must not exist yet, made with mode 0600.

    Raises
    ------
    SettingError
        For a role, name or number of days that is none, or when ``out`` exists or
        a file cannot be written.
    ServerError
        When the server's file cannot be used.
    """
    file, out = Path(file).expanduser(), Path(out).expanduser()
    if (
        presentable(name) != name
        or len(name.split()) != 1
        or name.startswith(("#", "expires=", "."))
        or set("/\\") & set(name)
    ):
        raise SettingError(
            f"{name!r} cannot be a token's name. Expected one word of at most 64 printable ASCII characters without "
            "slashes, for example ada@laptop."
        )
    if role.lower() not in ROLES:
        raise SettingError(f"{role!r} is no role. Expected one of {', '.join(ROLES)}.")
    if days is not None and not 0 < days < 36_500:
        raise SettingError(
            f"days={days} was given; expected a number above 0 and below 36500, for example 30. Leave it out for a "
            "token that does not expire."
        )
    if out.exists():
        raise SettingError(f"{out} exists already. Expected a new file for the token: name another")
    before = file.read_text(encoding="utf-8") if file.exists() else f"{new_token()}\n"
    if file.exists():
        keys = read_file(file)
        names = {k.name for k in keys}
        if not any(k.role == "owner" for k in keys):
            raise SettingError(
                f"{file} holds no owner's token: it was handed over to somebody. Expected the file of a server, as "
                "`nbmonitor serve` names it."
            )
        if name in names:
            raise SettingError(
                f"{file} has a token for {name!r} already. Expected another name; or revoke that one first."
            )
    token = new_token()
    line = f"{token} {role.lower()} {name}"
    if days is not None:
        moment = datetime.now(UTC) + timedelta(days=days)
        line += f" expires={moment.isoformat(timespec='seconds')}"
    made = read_lines(line)[0][1]
    _write(out, f"{line}\n")
    try:
        _write(file, f"{before.rstrip()}\n{line}\n")
    except SettingError:
        out.unlink(missing_ok=True)  # it would open nothing
        raise
    return made


def _write(path: Path, text: str) -> None:
    try:
        write_private(path, text)
    except OSError as error:
        raise SettingError(
            f"{path} cannot be written ({error.strerror or error}). Expected a folder that is there and that this "
            "user can write to."
        ) from error


def revoke(file: str | Path, which: str) -> Key:
    """Take a key out of a token file, by its name or hint; raises SettingError where it is not exactly one."""
    file = Path(file).expanduser()
    keys = read_file(file)
    found = [k for k in keys if which and which in (k.name, k.hint)]
    if len(found) != 1:
        there = ", ".join(k.name or f"{k.hint} ({k.role})" for k in keys)
        raise SettingError(f"{which!r} is none of the tokens in {file}. Expected one of: {there}.")
    if len(keys) == 1:
        raise SettingError(
            f"{which!r} is the only token in {file}. Expected another beside it: make that first."
        )
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        one = read_line(line)
        if one is None or one[1].digest != found[0].digest:
            lines.append(line)
    _write(file, "\n".join(lines) + "\n")
    return found[0]
