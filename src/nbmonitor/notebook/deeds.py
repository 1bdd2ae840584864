"""Who did what: rows of the audit log as lines of the panel, newest first, read while a page shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbmonitor.errors import NbMonitorError
from nbmonitor.events import CommandState, LinkState
from nbmonitor.notebook.plain import text
from nbmonitor.notebook.words import DONE, WHAT, WHEEL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbmonitor.audit import AuditRow
    from nbmonitor.interfaces import Source

LINES = 100
EVERY, EVERY_FAR = 1.0, 3.0  # seconds between two looks, here and over a network
TOGETHER = 5.0  # seconds within which the same row twice is one line
_ASKED = "asked "  # begins the name of a value that the run has not taken up
_NAMES = {kind.value: word for kind, word in WHAT.items()}
_COMMANDS = _NAMES | {kind.value: word for kind, word in DONE.items()}
_OTHERS = {
    "attach": "Attached",
    "detach": "Left",
    "refused": "Turned away",
    "configuration": "Configuration",
    "serve": "Server started",
    "stop": "Server stopped",
    "log": "Audit log",
}
_MARKS = {
    CommandState.APPLIED.value: "ok",
    "done": "",
    CommandState.UNCONFIRMED.value: "warn",
    CommandState.QUEUED.value: "wait",
    CommandState.SENT.value: "wait",
    CommandState.DELIVERED.value: "wait",
}


class Deeds:
    """What the panel shows, and whether that is to be said.

    Parameters
    ----------
    source
        Asked for the rows.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._at = float("-inf")
        self._told: dict[str, Any] | None = None
        self._new: dict[str, Any] | None = None

    def look(self, wanted: bool, run_id: str | None, now: float) -> None:
        """Read the log where somebody looks and it is time. ``now``: monotonic seconds."""
        if not wanted:
            self._told = self._new = None  # who looks again is told again
            self._at = float("-inf")
        elif now >= self._at:
            self._at = now + (EVERY_FAR if self._source.address else EVERY)
            view = self._read(run_id)
            if view != self._told:
                self._told = self._new = view

    def again(self) -> None:
        """A page forgot what it was told."""
        self._new = self._told

    def take(self) -> dict[str, Any] | None:
        """What is to be said, once."""
        view, self._new = self._new, None
        return view

    @property
    def due(self) -> bool:
        """Whether there is something to be said."""
        return self._new is not None

    def _read(self, run_id: str | None) -> dict[str, Any]:
        if self._source.road is not LinkState.CONNECTED:
            if self._told is not None:
                return self._told
            return audit_view(
                (), run_id, "The log cannot be read while the server does not answer."
            )
        try:
            return audit_view(self._source.audit("", limit=LINES), run_id)
        except (NbMonitorError, OSError) as error:
            return audit_view((), run_id, f"The log cannot be read: {error}")


def audit_view(rows: Iterable[AuditRow], run_id: str | None, why: str = "") -> dict[str, Any]:
    """The ``AuditView`` of docs/frames.md.

    Parameters
    ----------
    rows
        Oldest first. Of a command with several, the last one stands.
    run_id
        Rows about other runs are left out; what concerns the whole server stays.
    why
        Why there are none, in words; "" where they were read.
    """
    lines: dict[str, dict[str, Any]] = {}
    for index, row in enumerate(rows):
        if row.run_id and row.run_id != run_id:
            continue
        line = _line(row)
        key = row.command_id or row.sha256 or f"{row.time:.6f} {row.action} {index}"
        line["id"] = f"a{text(key, 100)}"
        if not row.command_id and _again(line, next(reversed(lines.values()), {})):
            continue  # a page watches the list of runs, and one of them
        lines.pop(line["id"], None)
        lines[line["id"]] = line
    newest = list(lines.values())[-LINES:]
    return {"lines": newest[::-1], "why": text(why, 1000)}


def _again(line: dict[str, Any], last: dict[str, Any]) -> bool:
    same = all(line.get(k) == last.get(k) for k in ("text", "who", "tail", "after"))
    return same and line["time"] - last["time"] < TOGETHER


def _line(row: AuditRow) -> dict[str, Any]:
    mark = _MARKS.get(row.outcome, "no")
    kind, _, mode = row.action.partition(" ")
    what = text(row.action, 60).replace("_", " ").capitalize()
    if kind == "wheel" and mode in WHEEL:
        what = WHEEL[mode][mark == "ok"]
    elif row.command_id:
        what = _COMMANDS.get(row.action, what) if mark == "ok" else _NAMES.get(row.action, what)
    else:
        what = _OTHERS.get(row.action, what)
    asked = [text(v, 60) for k, v in row.after.items() if k.startswith(_ASKED)]
    line: dict[str, Any] = {
        "time": row.time,
        "kind": "audit",
        "mark": mark,
        "text": " ".join([what, *asked]),
        "who": text(row.actor, 60),
    }
    if row.action not in {"pause", "resume", "stop"}:  # from state to state: the words say it
        line |= _change(row)
    tail = [text(row.error, 500)] if row.error else []
    if mark == "no":
        tail.insert(0, f"{text(row.outcome, 40)}:" if row.error else text(row.outcome, 40))
    if row.peer and not row.command_id:
        tail.append(f"from {text(row.peer.removeprefix('ipv4:'), 60)}")
    return line | ({"tail": " ".join(tail)} if tail else {})


def _change(row: AuditRow) -> dict[str, str]:
    after = {k: text(v, 100) for k, v in row.after.items() if not k.startswith(_ASKED)}
    before = {k: text(row.before[k], 100) for k in after if row.before.get(k)}
    if len(after) == 1 and row.action != "configuration":
        pair = ("before", "".join(before.values())), ("after", "".join(after.values()))
        return {k: v for k, v in pair if v}
    words = [
        f"{text(k, 40)} {before[k]} \u2192 {v}" if k in before else f"{text(k, 40)} {v}"
        for k, v in after.items()
    ]
    return {"after": ", ".join(words)} if words else {}
