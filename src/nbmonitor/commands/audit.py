"""Roof: ``nbmonitor audit``: who did what, whether the log is whole, a table for a spreadsheet."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nbmonitor import settings
from nbmonitor.audit import clean
from nbmonitor.errors import SettingError, StoreError
from nbmonitor.store.audit import default_path, parts
from nbmonitor.store.audit_reading import lines, said, select, verify, when, write_csv

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nbmonitor.audit import AuditRow

NAMED = 20  # actors that a message lists

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--file", type=Path, help="the log (default: this machine's)")
    parser.add_argument("--run", default="", help="rows of one run, by its id")
    parser.add_argument("--actor", default="", help="rows of one person")
    parser.add_argument(
        "--action", default="", help="pause, set_learning_rate, wheel, attach, refused, …"
    )
    parser.add_argument("--outcome", default="", help="applied, rejected, refused, …")
    parser.add_argument(
        "--since", default="", help="30m, 2h, 7d, or a moment such as 2026-12-31T14:00"
    )
    parser.add_argument(
        "--limit", type=_count, default=50, help="rows shown, the newest (default 50)"
    )
    parser.add_argument("--csv", metavar="FILE", help="write every row asked for as CSV (-: here)")


def main(options: argparse.Namespace) -> int:
    """Show rows and check the chain; returns 1 when it is broken.

    Raises
    ------
    StoreError
        When there is no log.
    SettingError
        When ``--since`` is no time.
    """
    path = _path(options.file)
    actors: set[str] = set()
    try:
        rows = select(
            _noted((at.row for at in lines(path) if at.row is not None), actors),
            run=options.run,
            actor=options.actor,
            action=options.action,
            outcome=options.outcome,
            since=_moment(options.since, time.time()),
        )
        if not _told(rows, options):
            print(_nothing(options.actor, actors), file=sys.stderr)
        return _judge(path)
    except BrokenPipeError:  # `| head`: no fault of the log's
        raise
    except OSError as error:
        raise StoreError(f"{error.filename or path} cannot be used: {error.strerror}.") from error


def _path(given: Path | None) -> Path:
    set_to = settings.load().audit
    path = given or (
        Path(set_to).expanduser() if set_to and set_to.lower() != "off" else default_path()
    )
    if not parts(path):
        raise StoreError(
            f"There is no audit log at {path}. One is begun with the first run or server on this machine; name another "
            "file with --file or NBMONITOR_AUDIT."
        )
    return path


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(
            f"expected a number of rows, 1 or more, and it is {text!r}"
        )
    return min(number, sys.maxsize)


def _noted(rows: Iterable[AuditRow], actors: set[str]) -> Iterator[AuditRow]:
    for row in rows:
        actors.add(row.actor)
        yield row


def _told(rows: Iterator[AuditRow], options: argparse.Namespace) -> int:
    """Print rows, or write them as a table; returns how many."""
    if options.csv == "-":
        return write_csv(rows, sys.stdout)
    if options.csv:
        with Path(options.csv).open("w", encoding="utf-8", newline="") as out:
            count = write_csv(rows, out)
        print(f"{count} rows written to {options.csv}")
        return count
    shown = deque(rows, maxlen=options.limit)
    for row in shown:
        print(_line(row))
    return len(shown)


def _nothing(actor: str, actors: set[str]) -> str:
    """That no row matches; and for an actor that occurs nowhere, which there are."""
    if not actor or actor in actors:
        return "No row matches."
    names = sorted(clean(a) for a in actors if a)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    there = f"{', '.join(names[:NAMED])}{more}" if names else "none"
    return f"No row matches: there is none of {clean(actor)!r}. Actors in this log: {there}."


def _judge(path: Path) -> int:
    """Say what the chain is worth, beside the table, not in it."""
    verdict = verify(lines(path))
    for note in verdict.notes:
        print(f"note: {note}", file=sys.stderr)
    if verdict.problem:
        print(f"The chain is BROKEN after {verdict.rows} rows. {verdict.problem}.", file=sys.stderr)
        return 1
    print(
        f"The chain of {verdict.rows} rows is whole. The last hash, to be noted elsewhere: {verdict.last}",
        file=sys.stderr,
    )
    return 0


def _line(row: AuditRow) -> str:
    change = said(row.after)
    if row.before and row.outcome != "rejected":
        change = f"{said(row.before)} → {change}"
    if row.action in ("refused", "attach") and row.peer:
        change = f"{change}  from {row.peer}".strip()
    words = [f"{when(row)[:19]}Z", f"{row.actor or '-':<24}", f"{row.action:<18}", row.outcome]
    return "  ".join([*words, *(w for w in (change, row.error, row.run_id) if w)])


def _moment(text: str, now: float) -> float:
    """Epoch seconds of ``2h`` (ago) or of a moment; 0 for nothing."""
    if not text:
        return 0.0
    ago = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip())
    if ago:
        return now - float(ago[1]) * _UNITS[ago[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingError(
            f"--since {text!r} is no time. Expected 30m, 2h, 7d, or a moment such as 2026-12-31T14:00 (UTC)."
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
