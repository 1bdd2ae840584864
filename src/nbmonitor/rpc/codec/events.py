"""Events and commands, as viewers get them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from nbmonitor.audit import outside
from nbmonitor.errors import InputError
from nbmonitor.events import (
    Batch,
    Command,
    CommandKind,
    CommandRecord,
    CommandState,
    Epoch,
    Event,
    Gap,
    LogLine,
    Performance,
    Scalars,
    Status,
)
from nbmonitor.rpc.codec.batches import get_batch, put_batch
from nbmonitor.rpc.codec.figures import get_columns, get_performance, put_columns, put_performance
from nbmonitor.rpc.codec.runs import get_change, put_change, state_number, state_of
from nbmonitor.rpc.codec.values import (
    mapping,
    maybe,
    put_optional,
    read_params,
    seconds,
    stamp,
    text,
    texts,
    u32,
    u64,
)
from nbmonitor.rpc.v1 import monitor_pb2 as pb

if TYPE_CHECKING:
    from nbmonitor.events import Payload

LONGEST = 86_400.0  # seconds that a command can wait: what was meant yesterday is not meant today

_KIND = {k: pb.CommandKind.Value(f"COMMAND_KIND_{k.name}") for k in CommandKind}
_KIND_BACK = {v: k for k, v in _KIND.items()}
_STATE = {s: pb.CommandState.Value(f"COMMAND_STATE_{s.name}") for s in CommandState}
_STATE_BACK = {v: k for k, v in _STATE.items()}


def put_event(event: Event, out: pb.Event) -> None:
    """Write an event."""
    out.run_id, out.seq, out.step = text(event.run_id), u64(event.seq), u64(event.step)
    out.rank, out.incarnation = u32(event.rank), u32(event.incarnation)
    out.origin_seq = u64(event.origin_seq)
    stamp(event.time, out.event_time)
    stamp(event.received, out.received_time)
    p = event.payload
    if isinstance(p, Scalars):
        put_columns(p, round(event.time * 1000), out.columns)
        out.columns.SetInParent()
    elif isinstance(p, Batch):
        put_batch(p, event.step, out.batch)
    elif isinstance(p, Epoch):
        out.epoch.epoch, out.epoch.split = u32(p.epoch), text(p.split)
        out.epoch.values.update({text(k): float(v) for k, v in p.values.items()})
    elif isinstance(p, Performance):
        put_performance(p, out.performance)
    elif isinstance(p, Status):
        out.status.state = state_number(p.state)  # type: ignore[assignment]
        out.status.message, out.status.error_type = text(p.message), text(p.error_type)
    elif isinstance(p, CommandRecord):
        put_record(p, out.command)
    elif isinstance(p, Gap):
        out.gap.first_seq, out.gap.last_seq = u64(p.first_seq), u64(p.last_seq)
        out.gap.reason, out.gap.count = text(p.reason), u64(p.count)
    elif isinstance(p, LogLine):
        out.log.level, out.log.text = text(p.level), text(p.text)
    else:
        put_change(p, out.change)
        out.change.SetInParent()


def get_event(e: pb.Event) -> Event | None:
    """Read an event; None for a kind of a later version."""
    when = seconds(e, "event_time") or 0.0
    payload = _payload(e, round(when * 1000))
    if payload is None:
        return None
    return Event(
        e.run_id,
        min(e.step, 2**63 - 1),
        when,
        payload,
        seq=e.seq,
        rank=e.rank,
        incarnation=e.incarnation,
        origin_seq=e.origin_seq,
        received=seconds(e, "received_time") or 0.0,
    )


def _payload(e: pb.Event, base_ms: int) -> Payload | None:
    kind = e.WhichOneof("payload")
    if kind == "columns":
        return get_columns(e.columns, base_ms)
    if kind == "batch":
        return get_batch(e.batch)
    if kind == "epoch":
        return Epoch(e.epoch.epoch, mapping(e.epoch.values), e.epoch.split or "train")
    if kind == "performance":
        return get_performance(e.performance)
    if kind == "status":
        s = e.status
        return Status(state_of(s.state), s.message, s.error_type)
    if kind == "command":
        return get_record(e.command)
    if kind == "gap":
        g = e.gap
        return Gap(g.reason, g.count, g.first_seq, g.last_seq)
    if kind == "log":
        return LogLine(e.log.text, e.log.level or "info")
    if kind == "change":
        return get_change(e.change)
    return None


def put_command(command: Command, out: pb.Command) -> None:
    """Write a command."""
    out.command_id, out.run_id = text(command.command_id), text(command.run_id)
    out.kind = _KIND[command.kind]  # type: ignore[assignment]
    out.parameters.update(
        {text(k): text(json.dumps(v, default=str)) for k, v in command.params.items()}
    )
    out.ttl.FromMilliseconds(int(command.ttl * 1000))
    out.actor, out.peer = text(outside(command.actor)), text(command.peer)
    stamp(command.asked_at, out.asked_at)
    put_optional(
        out, expected_state_version=command.expected_version, incarnation=command.incarnation
    )
    out.server_epoch = text(command.epoch)


def get_command(c: pb.Command) -> Command:
    """Read a command; raises InputError for a kind of a later version."""
    kind = _KIND_BACK.get(c.kind)
    if kind is None:
        raise InputError(
            f"Command kind {c.kind} is not known here; both ends may differ in version."
        )
    if not c.command_id:
        raise InputError("A command needs a command_id: without it a repetition could act twice.")
    return Command(
        c.run_id,
        kind,
        read_params(c.parameters),
        c.command_id,
        c.actor,
        c.peer,
        min(max(c.ttl.seconds + c.ttl.nanos / 1e9, 0.0), LONGEST) if c.HasField("ttl") else 60.0,
        seconds(c, "asked_at") or time.time(),
        maybe(c, "expected_state_version"),
        maybe(c, "incarnation"),
        c.server_epoch,
    )


def put_record(record: CommandRecord, out: pb.CommandRecord) -> None:
    """Write what became of a command."""
    put_command(record.command, out.command)
    out.state = _STATE[record.state]  # type: ignore[assignment]
    out.actor, out.peer = out.command.actor, out.command.peer
    stamp(record.command.asked_at, out.queued_at)
    stamp(record.resolved_at, out.resolved_at)
    out.before.update(texts(record.before))
    out.after.update(texts(record.after))
    out.error = text(record.error)
    if record.step is not None:
        out.applied_at_step = u64(record.step)


def get_record(r: pb.CommandRecord) -> CommandRecord | None:
    """Read what became of a command; None for a kind or state of a later version."""
    state = _STATE_BACK.get(r.state)
    if state is None or r.command.kind not in _KIND_BACK or not r.command.command_id:
        return None
    return CommandRecord(
        get_command(r.command),
        state,
        maybe(r, "applied_at_step"),
        mapping(r.before),
        mapping(r.after),
        r.error,
        seconds(r, "resolved_at"),
    )
