"""Reading an audit log: what was asked for, whether the chain holds, a table for a spreadsheet. Changes nothing."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

from nbmonitor.audit import AuditRow, hashed, read
from nbmonitor.errors import InputError
from nbmonitor.store.audit import parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

COLUMNS = (
    "time",
    "action",
    "outcome",
    "actor",
    "peer",
    "run_id",
    "command_id",
    "before",
    "after",
    "error",
    "prev",
    "sha256",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a log: which, and the row in it (None: it is none)."""

    file: Path
    number: int
    row: AuditRow | None

    def __str__(self) -> str:
        return f"{self.file.name}, line {self.number}"


@dataclass(slots=True)
class Verdict:
    """What came of a check: ``problem`` is about the first row that is wrong ("": none), ``notes`` about the rest.

    ``rows`` counts the rows up to there, ``last`` is the hash of the last of them: noted elsewhere it proves later
    that nothing was cut off the end.
    """

    rows: int = 0
    last: str = ""
    problem: str = ""
    notes: list[str] = field(default_factory=list)


def lines(path: Path) -> Iterator[Line]:
    """Every line of a log in all its files, oldest first; an empty line is none."""
    for part in parts(path):
        with part.open(encoding="utf-8", errors="replace") as file:
            for number, text in enumerate(file, 1):
                if not text.strip():
                    continue
                try:
                    yield Line(part, number, read(text))
                except InputError:
                    yield Line(part, number, None)


def verify(found: Iterable[Line]) -> Verdict:
    """Follow the chain to the first row that breaks it."""
    out = Verdict()
    torn: Line | None = None
    for at in found:
        row = at.row
        if row is None:
            if torn is not None:
                out.problem = f"{torn} is no row"
                return out
            torn = at
            continue
        if row.sha256 != hashed(row):
            out.problem = f"{at}: the row was changed (its hash is another)"
        elif row.prev != out.last:
            out.problem = (
                f"{at}: rows before the first one are missing"
                if out.rows == 0
                else f"{at}: it does not follow the row before it (one was changed, taken out or put in)"
            )
        elif torn is not None and row.action != "log":
            out.problem = f"{torn} is no row"
        if out.problem:
            return out
        if torn is not None:
            out.notes.append(f"{torn} was cut short, as the row behind it says")
            torn = None
        out.rows, out.last = out.rows + 1, row.sha256
    if torn is not None:
        out.notes.append(f"{torn}, the last one, was cut short")
    return out


def select(
    found: Iterable[AuditRow],
    *,
    run: str = "",
    actor: str = "",
    action: str = "",
    outcome: str = "",
    since: float = 0.0,
) -> Iterator[AuditRow]:
    """Rows that were asked for. An ``action`` of one word takes all that begin with it; ``since`` in epoch seconds."""
    for row in found:
        if (
            row.time >= since
            and run in ("", row.run_id)
            and actor in ("", row.actor)
            and outcome in ("", row.outcome)
            and (action in ("", row.action) or row.action.startswith(f"{action} "))
        ):
            yield row


def when(row: AuditRow) -> str:
    """The time of a row in UTC, to the millisecond."""
    try:
        return datetime.fromtimestamp(row.time, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):  # a clock that was out of its mind
        return str(row.time)


def write_csv(rows: Iterable[AuditRow], out: IO[str]) -> int:
    """Write a table with a heading and return its number of rows; what a spreadsheet would run is quoted."""
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    count = 0
    for row in rows:
        values = {name: getattr(row, name) for name in COLUMNS}
        values |= {"time": when(row), "before": said(row.before), "after": said(row.after)}
        table.writerow([_defused(str(values[name])) for name in COLUMNS])
        count += 1
    return count


def said(values: object) -> str:
    """Values in words: ``learning rate 0.01; mode set``."""
    return "; ".join(f"{k} {v}" for k, v in values.items()) if isinstance(values, dict) else ""


def _defused(cell: str) -> str:
    # https://owasp.org/www-community/attacks/CSV_Injection
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
