"""Rows of the audit log, as viewers ask for them and get them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nbmonitor.audit import KEPT, AuditRow, cleaned, hashed
from nbmonitor.rpc.codec.values import mapping, parsed, seconds, stamp, text, texts, u32
from nbmonitor.rpc.v1 import monitor_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = 200  # rows of an answer, where nothing else was asked for


@dataclass(frozen=True, slots=True)
class Asked:
    """Which rows: ``since`` in epoch seconds, ``limit`` at most, and ``before`` the one that a token names."""

    run_id: str = ""
    action: str = ""
    actor: str = ""
    outcome: str = ""
    since: float = 0.0
    limit: int = PAGE
    before: str = ""


def page(rows: Sequence[AuditRow], asked: Asked) -> tuple[list[AuditRow], str]:
    """Return the newest of these rows that were asked for, newest last, and the token for older ones ("": none)."""
    found: list[AuditRow] = []
    skip = bool(asked.before)
    for row in reversed(rows):
        if skip:
            skip = _token(row) != asked.before
        elif _asked_for(row, asked):
            if len(found) == asked.limit:
                return found[::-1], _token(found[-1])
            found.append(row)
    return found[::-1], ""


def _asked_for(row: AuditRow, asked: Asked) -> bool:
    return row.time >= asked.since and all(
        not wanted or getattr(row, name) == wanted
        for name, wanted in (
            ("run_id", asked.run_id),
            ("action", asked.action),
            ("actor", asked.actor),
            ("outcome", asked.outcome),
        )
    )


def _token(row: AuditRow) -> str:
    """What a row is known by before and after it was written."""
    return hashed(replace(cleaned(row), prev="", sha256=""))[:16]


def ask(asked: Asked) -> bytes:
    """Request of ``ListAuditEvents``."""
    out = pb.ListAuditEventsRequest(
        run_id=text(asked.run_id),
        action=text(asked.action),
        actor=text(asked.actor),
        outcome=text(asked.outcome),
        page_size=u32(asked.limit),
        page_token=text(asked.before),
    )
    stamp(asked.since, out.since)
    return out.SerializeToString()


def read_ask(data: bytes) -> Asked:
    """Request of ``ListAuditEvents``; raises InputError."""
    r = parsed(pb.ListAuditEventsRequest, data)
    limit = min(r.page_size or PAGE, KEPT)
    since = seconds(r, "since") or 0.0
    return Asked(r.run_id, r.action, r.actor, r.outcome, since, limit, r.page_token)


def answer(rows: Sequence[AuditRow], token: str = "") -> bytes:
    """Answer of ``ListAuditEvents``."""
    out = pb.ListAuditEventsResponse(next_page_token=token)
    for row in rows:
        e = out.events.add(
            event_id=_token(row),
            action=text(row.action),
            outcome=text(row.outcome),
            actor=text(row.actor),
            peer=text(row.peer),
            run_id=text(row.run_id),
            command_id=text(row.command_id),
            before=texts(row.before),
            after=texts(row.after),
            error=text(row.error),
            prev_sha256=row.prev,
            sha256=row.sha256,
        )
        stamp(row.time, e.time)
    return out.SerializeToString()


def read_answer(data: bytes) -> tuple[tuple[AuditRow, ...], str]:
    """Answer of ``ListAuditEvents``: rows, newest last, and the token for older ones; raises InputError."""
    r = parsed(pb.ListAuditEventsResponse, data)
    rows = tuple(
        AuditRow(
            round(seconds(e, "time") or 0.0, 6),
            e.action,
            e.actor,
            e.peer,
            e.run_id,
            e.command_id,
            mapping(e.before),
            mapping(e.after),
            e.outcome,
            e.error,
            e.prev_sha256,
            e.sha256,
        )
        for e in r.events
    )
    return rows, r.next_page_token
