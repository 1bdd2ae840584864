"""What is written down of who did what: rows, and the chain of hashes that holds them together. Ground, pure.

A row is one action: a command (when it is asked and when it is resolved), a change of a run's configuration, a viewer
that attaches or leaves, a refusal, a server that begins or ends. Each carries the hash of the one before, so that a row
that is changed, taken out or put in later breaks the chain behind it. The chain proves order and wholeness to whoever
has noted a hash elsewhere; it does not stop the owner of the file from writing it anew from the start.
"""

from __future__ import annotations

import functools
import getpass
import hashlib
import json
import math
import os
import platform
from collections import deque
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from nbmonitor.errors import InputError
from nbmonitor.events import CommandKind, CommandRecord, RunUpdate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nbmonitor.events import Command, Payload, RunInfo

LONGEST, WORDS, FIELDS = 500, 200, 40  # characters of a value and of a name, values of a mapping
KEPT = 2_000  # rows at hand for viewers
OWN = "you"  # how commands of this process's own notebook are signed, here
NOTEBOOK = "the run's notebook"  # and what it is called elsewhere


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One action.

    ``time`` in epoch seconds, kept to the microsecond. ``action`` is the kind of a command ("pause", "wheel take"),
    "configuration", "attach", "detach", "refused", "serve", "stop" or "log" (about the log itself). ``outcome`` is the
    state of a command, else "done", "refused" or "failed". ``before`` and ``after`` are values in words. ``prev`` is
    the hash of the row before, ``sha256`` that of this row as canonical JSON with ``prev`` in it; both are empty until
    the row was written.
    """

    time: float
    action: str
    actor: str = ""
    peer: str = ""
    run_id: str = ""
    command_id: str = ""
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    outcome: str = "done"
    error: str = ""
    prev: str = ""
    sha256: str = ""


class Trail:
    """Rows of this process in memory: what a broker keeps when nobody gave it a file. Any thread may call."""

    def __init__(self, kept: int = KEPT) -> None:
        self._rows: deque[AuditRow] = deque(maxlen=kept)

    def record(self, row: AuditRow) -> None:
        """Take a row; never blocks."""
        self._rows.append(row)

    def rows(self, run_id: str = "", limit: int = 200) -> Sequence[AuditRow]:
        """The newest ``limit`` rows of a run ("": of all), newest last."""
        return newest(list(self._rows), run_id, limit)

    def close(self) -> None:
        """Nothing to write."""


def newest(rows: Sequence[AuditRow], run_id: str, limit: int) -> list[AuditRow]:
    """Return the last ``limit`` rows of a run ("": of all)."""
    found = [r for r in rows if not run_id or r.run_id == run_id]
    return found[-limit:] if limit > 0 else []


@functools.cache
def whoami() -> str:
    """Name of who runs this process, ``user@host``: for display, it proves nothing."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's number without a name
        user = str(os.getuid()) if hasattr(os, "getuid") else "somebody"
    return f"{user}@{platform.node() or 'localhost'}"


def outside(actor: str) -> str:
    """What an actor of this process is called elsewhere, where "you" is somebody else."""
    return NOTEBOOK if actor == OWN else actor


def inside(name: object) -> object:
    """The actor of that name, as this process calls them."""
    return OWN if name == NOTEBOOK else name


# --- rows ----------------------------------------------------------------------------------------------------------


def clean(value: object, longest: int = LONGEST) -> str:
    r"""Text that can do no harm in a terminal or a table: what cannot be printed as ``\x1b``, cut at ``longest``."""
    found = str(value)
    cut = len(found) > longest
    found = found[:longest]
    if not found.isprintable():
        found = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in found)
    return f"{found} …" if cut else found


def cleaned(row: AuditRow) -> AuditRow:
    """Return a row with its text cleaned and capped and its time rounded, as it is written."""
    return replace(
        row,
        time=round(float(row.time), 6) if math.isfinite(row.time) else 0.0,
        action=clean(row.action, WORDS),
        actor=clean(row.actor, WORDS),
        peer=clean(row.peer, WORDS),
        run_id=clean(row.run_id, WORDS),
        command_id=clean(row.command_id, WORDS),
        before=_words(row.before),
        after=_words(row.after),
        outcome=clean(row.outcome, WORDS),
        error=clean(row.error),
    )


def _words(values: Mapping[str, Any]) -> dict[str, str]:
    some = sorted(values.items(), key=lambda item: str(item[0]))[:FIELDS]
    out = {clean(k, WORDS): clean(v) for k, v in some}
    if len(values) > FIELDS:
        out["…"] = f"{len(values) - FIELDS} more"
    return out


def action_of(command: Command) -> str:
    """The action of a command: its kind, and for the wheel what is done with it."""
    kind = str(command.kind)
    mode = command.params.get("mode")
    return f"{kind} {mode}" if command.kind is CommandKind.WHEEL and mode else kind


def of_command(record: CommandRecord, now: float) -> AuditRow:
    """Row of a command as it stands, with what was asked until the run says what changed; ``now`` in epoch seconds."""
    command = record.command
    asked = {f"asked {k}": str(v)[:LONGEST] for k, v in command.params.items() if k != "mode"}
    if "mode" in command.params and command.kind is not CommandKind.WHEEL:
        asked["asked mode"] = str(command.params["mode"])[:LONGEST]
    own = not command.peer
    return AuditRow(
        record.resolved_at or now,
        action_of(command),
        whoami() if own and command.actor == OWN else command.actor,
        f"process {os.getpid()}" if own else command.peer,
        command.run_id,
        command.command_id,
        record.before,
        record.after or asked,
        record.state.value,
        record.error,
    )


def of(info: RunInfo, payload: Payload, now: float) -> AuditRow | None:
    """Row of what a run says, where it is worth one: a final word on a command, a change of its configuration."""
    if isinstance(payload, CommandRecord) and payload.state.final:
        return of_command(payload, now)
    return of_update(info, payload, now) if isinstance(payload, RunUpdate) else None


def of_update(info: RunInfo, update: RunUpdate, now: float) -> AuditRow | None:
    """Row of a change of a run's configuration; None where no value changed. ``now`` in epoch seconds."""
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    for name in RunUpdate.__slots__:
        new, old = getattr(update, name), getattr(info, name)
        if new is None or new == old or name == "controls":
            continue
        if name == "config":
            for key in {*new, *(old or {})}:
                if new.get(key) != old.get(key):
                    before[key], after[key] = str(old.get(key, "")), str(new.get(key, ""))
        else:
            words = name.replace("_", " ")
            before[words], after[words] = _said(old), _said(new)
    if not after:
        return None
    return AuditRow(now, "configuration", "the run", "", info.run_id, before=before, after=after)


def _said(value: Any) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


# --- the chain -----------------------------------------------------------------------------------------------------


def hashed(row: AuditRow) -> str:
    """SHA-256 of a row as canonical JSON: keys sorted, no spaces, ASCII, without its own hash."""
    return hashlib.sha256(_canonical(row).encode()).hexdigest()


def sealed(row: AuditRow, prev: str) -> AuditRow:
    """Return a row in its place in the chain, behind the row with the hash ``prev`` ("": the first one)."""
    row = replace(cleaned(row), prev=prev, sha256="")
    return replace(row, sha256=hashed(row))


def line(row: AuditRow) -> str:
    """A sealed row as one line of JSON, without the end of the line."""
    return f'{_canonical(row)[:-1]},"sha256":"{row.sha256}"}}'


def read(text: str) -> AuditRow:
    """Read a line; raises :class:`~nbmonitor.errors.InputError` where it is no row."""
    try:
        found = json.loads(text)
        row = AuditRow(**found)
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError("This line is no row of an audit log.") from error
    for f in fields(AuditRow):
        value = getattr(row, f.name)
        right = (
            isinstance(value, int | float)
            if f.name == "time"
            else isinstance(value, dict)
            if f.name in {"before", "after"}
            else isinstance(value, str)
        )
        if not right:
            raise InputError(f"This line is no row of an audit log: {f.name} is {value!r:.40}.")
    return row


def _canonical(row: AuditRow) -> str:
    # Not asdict(), which copies deeply: rows are many when an old log is checked.
    values = {name: getattr(row, name) for name in AuditRow.__slots__ if name != "sha256"}
    return json.dumps(values, sort_keys=True, separators=(",", ":"), default=dict)
