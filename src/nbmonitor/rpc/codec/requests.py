"""What our own trainer says."""

from __future__ import annotations

import json
import struct
import time
import zlib

from nbmonitor.events import (
    Batch,
    CommandRecord,
    Epoch,
    Event,
    Gap,
    Heartbeat,
    LogLine,
    Performance,
    RunInfo,
    RunUpdate,
    Scalars,
    Status,
)
from nbmonitor.rpc.codec.batches import put_batch
from nbmonitor.rpc.codec.figures import put_columns, put_performance
from nbmonitor.rpc.codec.runs import put_change, put_run
from nbmonitor.rpc.codec.terms import CRC_TAG, OUTCOME, PROTOCOL, STATUS, TYPE
from nbmonitor.rpc.codec.values import put_optional, text, texts, u32, u64
from nbmonitor.rpc.v1 import ingest_pb2 as pb


def _sealed(request: pb.MetricsRequest) -> bytes:
    body = request.SerializeToString()
    return body + CRC_TAG + struct.pack("<I", zlib.crc32(body))


def _request(info: RunInfo, when: float, step: int = 0, seq: int = 0) -> pb.MetricsRequest:
    return pb.MetricsRequest(
        session_id=text(info.run_id),
        timestamp_ms=u64(when * 1000),
        seq=seq,
        incarnation=u32(info.incarnation),
        rank=u32(info.rank),
        step=u64(step),
    )


def _put_hello(info: RunInfo, secret: str, first: int, out: pb.Hello) -> None:
    out.run_id, out.owner_secret, out.name = text(info.run_id), secret, text(info.name)
    out.client_name, out.client_version = text(info.client_name), text(info.client_version)
    out.protocol_major, out.protocol_minor = PROTOCOL
    out.world_size, out.first_unacked_seq = u32(info.world_size), first
    out.supported_commands.extend(k.value for k in TYPE)
    put_run(info, out.run)


def registration(info: RunInfo) -> bytes:
    """Registration of our own trainer. One that knows only the contract overlooks the Hello."""
    out = pb.SessionInfo(
        session_id=text(info.run_id),
        client_name=text(info.client_name),
        client_version=text(info.client_version),
        timestamp_ms=int(time.time() * 1000),
    )
    out.config.total_epochs = u32(info.total_epochs or 0)
    out.config.batches_per_epoch = u32(info.batches_per_epoch or 0)
    out.config.batch_size = u32(info.batch_size or 0)
    out.config.model_name, out.config.dataset_name = text(info.model), text(info.dataset)
    out.config.class_names.extend(text(n) for n in info.class_names)
    out.config.hyperparameters.update(texts(info.config))
    _put_hello(info, "", 1, out.hello)
    return out.SerializeToString()


def hello(info: RunInfo, secret: str, first: int) -> bytes:
    """First frame of a stream."""
    out = _request(info, time.time())
    _put_hello(info, secret, first, out.hello)
    return _sealed(out)


def heartbeat(info: RunInfo, beat: Heartbeat, number: int, rtt: float | None) -> bytes:
    """A sign of life."""
    out = _request(info, time.time(), beat.step)
    h = out.heartbeat
    h.timestamp_ms, h.sequence_number = out.timestamp_ms, u32(number)
    h.interval_ms, h.step, h.queued = u32(beat.interval * 1000), u64(beat.step), u32(beat.queued)
    h.dropped_total, h.lost_total = u64(beat.dropped), u64(beat.lost)
    put_optional(
        h,
        boundary_age_ms=None if beat.boundary_age is None else beat.boundary_age * 1000.0,
        rtt_ms=None if rtt is None else rtt * 1000.0,
    )
    return _sealed(out)


def gap(info: RunInfo, first: int, last: int, count: int, reason: str) -> bytes:
    """Declare that some numbered events will never come; ``count`` values, or other events, are lost with them."""
    out = _request(info, time.time(), seq=last)
    out.gap.first_seq, out.gap.last_seq, out.gap.reason = first, last, text(reason)
    out.gap.count = count
    return _sealed(out)


def event(info: RunInfo, said: Event, seq: int) -> bytes:
    """One event of our own trainer; ``seq`` 0 for a picture, which may be lost."""
    out = _request(info, said.time, said.step, seq)
    out.incarnation, out.rank = u32(said.incarnation), u32(said.rank)
    p = said.payload
    if isinstance(p, Scalars):
        put_columns(p, out.timestamp_ms, out.scalars)
    elif isinstance(p, Batch):
        b = out.batch_data
        b.epoch, b.batch_idx = u32(p.epoch or 0), u32(p.batch or 0)
        put_batch(p, said.step, b.frame)
    elif isinstance(p, Epoch):
        put_epoch(p, out.epoch_data)
        out.epoch_data.step = u64(said.step)
    elif isinstance(p, Performance):
        out.performance_data.current_fps, out.performance_data.average_fps = p.fps, p.fps_average
        put_performance(p, out.performance_data.performance)
    elif isinstance(p, Status):
        _put_status(p, out)
    elif isinstance(p, RunUpdate):
        put_change(p, out.change)
    elif isinstance(p, LogLine):
        out.log.level, out.log.text = text(p.level), text(p.text)
    elif isinstance(p, Gap):
        out.gap.count, out.gap.reason = u64(p.count), text(p.reason)  # its numbers are not ours
    else:
        _put_result(p, out.command_result)
    return _sealed(out)


def put_epoch(e: Epoch, out: pb.EpochData) -> None:
    """Write an epoch's summary, with the contract's two averages where they can be told."""
    out.epoch, out.split = u32(e.epoch), text(e.split)
    values = {text(k): float(v) for k, v in e.values.items()}
    out.values.update(values)
    out.average_loss = _first(values, "average_loss", "train_loss", "loss")
    out.average_accuracy = _first(values, "average_accuracy", "train_accuracy", "accuracy")


def _first(values: dict[str, float], *names: str) -> float:
    return next((values[n] for n in names if n in values), 0.0)


def _put_status(s: Status, out: pb.MetricsRequest) -> None:
    if s.state.ended:
        out.run_end.status = STATUS[s.state]  # type: ignore[assignment]
        out.run_end.error_type, out.run_end.error_message = text(s.error_type), text(s.message)
        out.run_end.last_seq = out.seq
    else:
        out.status_update.status = STATUS.get(s.state, 0)  # type: ignore[assignment]
        out.status_update.message, out.status_update.error_type = (
            text(s.message),
            text(s.error_type),
        )


def _put_result(r: CommandRecord, out: pb.CommandResult) -> None:
    out.command_id, out.error = text(r.command.command_id), text(r.error)
    out.outcome = OUTCOME.get(r.state, 0)  # type: ignore[assignment]
    out.applied_at_step = u64(r.step or 0)
    out.before.update(texts(r.before))
    out.after.update(texts(r.after))
    out.kind, out.actor = r.command.kind.value, text(r.command.actor)
    out.parameters.update(
        {text(k): text(json.dumps(v, default=str)) for k, v in r.command.params.items()}
    )
