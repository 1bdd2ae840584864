"""What a trainer says, as the server reads it: our own frames and those of clients of the contract."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from nbmonitor.events import (
    Batch,
    Command,
    CommandKind,
    CommandRecord,
    CommandState,
    Device,
    Epoch,
    Gap,
    Heartbeat,
    LogLine,
    Performance,
    Resources,
    RunInfo,
    RunState,
    RunUpdate,
    Status,
)
from nbmonitor.rpc.codec.batches import get_batch, picture
from nbmonitor.rpc.codec.figures import get_columns, get_devices, get_performance
from nbmonitor.rpc.codec.runs import get_change, get_run
from nbmonitor.rpc.codec.terms import (
    CRC_TAG,
    HEARTBEAT_MS,
    MAX_BATCH,
    OUTCOME_BACK,
    STALE_LAYOUT,
    STATUS_BACK,
    Frame,
    Hello,
    Session,
)
from nbmonitor.rpc.codec.values import (
    CLASSES,
    WORDS,
    mapping,
    maybe,
    parsed,
    read_params,
    short,
    shorts,
)
from nbmonitor.rpc.v1 import ingest_pb2 as pb

if TYPE_CHECKING:
    from nbmonitor.events import Payload


def read_request(data: bytes) -> Frame:
    """Read one frame. Never raises: what cannot be read comes back as a fault (gRPC would end the stream)."""
    crc: bool | None = None
    if data[-6:-4] == CRC_TAG:
        crc = zlib.crc32(data[:-6]) == struct.unpack("<I", data[-4:])[0]
    try:
        request = pb.MetricsRequest.FromString(data)
    except DecodeError:
        return Frame(kind="garbage", crc=crc, fault=f"{len(data)} bytes that are no MetricsRequest")
    if crc is False and not request.crc32:
        crc = None  # a contract client's picture happened to end like that
    try:
        return _frame(request, crc)
    except Exception as error:  # the stream of a stranger's client must survive whatever it holds
        return Frame(request.session_id, kind="garbage", crc=crc, fault=f"unreadable: {error}")


def _frame(request: pb.MetricsRequest, crc: bool | None) -> Frame:
    kind = request.WhichOneof("payload")
    frame = Frame(
        session_id=request.session_id,
        time=request.timestamp_ms / 1000.0,
        seq=request.seq,
        incarnation=request.incarnation,
        rank=request.rank,
        step=min(request.step, 2**63 - 1),
        kind=kind or "",
        crc=crc,
    )
    if kind is None:
        return replace(frame, fault="the request has no payload (no member of the oneof is set)")
    reader = _READERS.get(kind)
    if reader is None:
        return replace(frame, fault=f"{kind} is not taken by this server")
    read: Frame = reader(frame, getattr(request, kind))
    return read


def _read_batch(frame: Frame, b: pb.BatchData) -> Frame:
    if b.HasField("frame"):
        batch = get_batch(b.frame)
        return replace(frame, payloads=(batch,))
    unknown: Any = UnknownFieldSet(b)  # can be iterated, whatever its types say
    strange = {(f.field_number, f.wire_type) for f in unknown}
    if strange & STALE_LAYOUT:
        why = "client uses the pre-2025-11-27 BatchData layout; regenerate its stubs"
        return replace(frame, contract=True, number=b.batch_idx, fault=why)
    lengths = len(b.images), len(b.predictions), len(b.ground_truth)
    total = max(*lengths, b.total_samples)
    n = min(max(lengths), MAX_BATCH)
    shown = tuple(picture(i.image_bytes) for i in b.images[:n])
    batch = Batch(
        count=n,
        total=total,
        split=b.tag or "train",
        epoch=b.epoch,
        batch=b.batch_idx,
        pictures=_padded(shown, n),
        predicted=_padded((p.predicted_class for p in b.predictions[:n]), n),
        confidence=_padded((p.confidence for p in b.predictions[:n]), n),
        truth=_padded(b.ground_truth[:n], n),
        labels=_named((short(i.labels[0]) if i.labels else None for i in b.images[:n]), n),
        sample_ids=_named((short(i.sample_id) for i in b.images[:n]), n, ""),
        loss=b.batch_loss,
    )
    faults = []
    if max(lengths) > MAX_BATCH:
        faults.append(f"{max(lengths)} samples: the first {MAX_BATCH} are shown")
    if len({x for x in lengths if x}) > 1:
        names = "{} images, {} predictions, {} true classes".format(*lengths)
        faults.append(f"{names}: shown by their index")
    return replace(
        frame,
        step=min(b.step, 2**63 - 1),
        payloads=(batch,),
        contract=True,
        number=b.batch_idx,
        fault="; ".join(faults),
    )


def _padded(values: Any, n: int) -> tuple[Any, ...]:
    out = list(values)
    return tuple(out + [None] * (n - len(out)))


def _named(values: Any, n: int, nothing: str | None = None) -> tuple[Any, ...]:
    out = list(values)
    return tuple(out + [nothing] * (n - len(out))) if any(out) else ()


def _read_epoch(frame: Frame, e: pb.EpochData) -> Frame:
    values = mapping(e.values) or {
        "average_loss": e.average_loss,
        "average_accuracy": e.average_accuracy,
    }
    return replace(frame, payloads=(Epoch(e.epoch, values, e.split or "train"),))


def _read_performance(frame: Frame, p: pb.PerformanceData) -> Frame:
    if p.HasField("performance"):
        return replace(frame, payloads=(get_performance(p.performance),))
    resources = None
    if p.HasField("resource_usage"):
        r = p.resource_usage
        devices = get_devices(r.devices)
        if not devices and (r.gpu_percent or r.gpu_memory_mb):
            devices = (Device(0, "GPU", r.gpu_percent, r.gpu_memory_mb),)
        resources = Resources(r.cpu_percent, r.memory_mb, None, devices)
    told = Performance(
        fps=p.current_fps,
        fps_average=p.average_fps,
        eta=p.estimated_time_remaining_sec or None,
        median_step=p.time_per_batch_ms / 1000.0 or None,
        epoch_seconds=p.total_time_for_epoch_sec or None,
        overhead=p.overhead_percent / 100.0 if p.HasField("overhead_percent") else None,
        resources=resources,
    )
    return replace(frame, payloads=(told,))


def _read_status(frame: Frame, s: pb.StatusUpdate) -> Frame:
    payloads: list[Payload] = []
    if s.HasField("config"):
        payloads.append(_config_update(s.config))
    state = STATUS_BACK.get(s.status)
    if state is not None:
        payloads.append(Status(state, short(s.message, WORDS), short(s.error_type)))
    else:  # enums are open: show the number, keep the state
        payloads.append(
            LogLine(
                short(
                    f"status {s.status}: {s.message}" if s.message else f"status {s.status}", WORDS
                )
            )
        )
    return replace(frame, payloads=tuple(payloads))


def _config_update(c: pb.TrainingConfig) -> RunUpdate:
    return RunUpdate(
        total_epochs=c.total_epochs or None,
        batches_per_epoch=c.batches_per_epoch or None,
        batch_size=c.batch_size or None,
        model=short(c.model_name) or None,
        dataset=short(c.dataset_name) or None,
        class_names=shorts(c.class_names, CLASSES) or None,
        config=mapping(c.hyperparameters) or None,
    )


def _read_heartbeat(frame: Frame, h: pb.Heartbeat) -> Frame:
    age = maybe(h, "boundary_age_ms")
    rtt = maybe(h, "rtt_ms")
    beat = Heartbeat(
        "",
        step=min(h.step, 2**63 - 1),
        boundary_age=None if age is None else age / 1000.0,
        interval=(h.interval_ms or HEARTBEAT_MS) / 1000.0,
        queued=h.queued,
        dropped=h.dropped_total,
        lost=h.lost_total,
    )
    rtt = None if rtt is None else rtt / 1000.0
    return replace(frame, beat=beat, number=h.sequence_number, rtt=rtt)


def _read_hello(frame: Frame, h: pb.Hello) -> Frame:
    info = get_run(h.run, origin="process")
    info = replace(info, run_id=h.run_id, incarnation=frame.incarnation, rank=frame.rank)
    return replace(frame, hello=Hello(info, h.owner_secret, h.first_unacked_seq, h.protocol_major))


def _read_scalars(frame: Frame, s: pb.ScalarColumns) -> Frame:
    return replace(frame, payloads=(get_columns(s, round(frame.time * 1000)),))


def _read_result(frame: Frame, r: pb.CommandResult) -> Frame:
    try:
        kind = CommandKind(r.kind)
    except ValueError:
        kind = CommandKind.STEP  # of a later version; the broker knows the command by its id
    command = Command("", kind, read_params(r.parameters), r.command_id, r.actor or "trainer")
    state = OUTCOME_BACK.get(r.outcome)
    if state is None:
        return replace(frame, fault=f"command result {r.outcome} is not known here")
    record = CommandRecord(
        command,
        state,
        step=min(r.applied_at_step, 2**63 - 1) if state is CommandState.APPLIED else None,
        before=mapping(r.before),
        after=mapping(r.after),
        error=short(r.error, WORDS),
        resolved_at=frame.time if state.final else None,
    )
    return replace(frame, payloads=(record,))


def _read_end(frame: Frame, e: pb.RunEnd) -> Frame:
    state = STATUS_BACK.get(e.status, RunState.FAILED)
    if not state.ended:
        return replace(frame, fault=f"RunEnd with status {e.status}, which is no end")
    return replace(
        frame, payloads=(Status(state, short(e.error_message, WORDS), short(e.error_type)),)
    )


def _read_gap(frame: Frame, g: pb.Gap) -> Frame:
    count = g.count or max(g.last_seq - g.first_seq + 1, 0)
    return replace(frame, payloads=(Gap(short(g.reason, WORDS), count, g.first_seq, g.last_seq),))


def _read_log(frame: Frame, line: pb.LogLine) -> Frame:
    return replace(frame, payloads=(LogLine(short(line.text, WORDS), short(line.level) or "info"),))


def _read_change(frame: Frame, c: pb.RunChange) -> Frame:
    return replace(frame, payloads=(get_change(c),))


_READERS: dict[str, Any] = {
    "batch_data": _read_batch,
    "epoch_data": _read_epoch,
    "performance_data": _read_performance,
    "status_update": _read_status,
    "heartbeat": _read_heartbeat,
    "hello": _read_hello,
    "scalars": _read_scalars,
    "command_result": _read_result,
    "run_end": _read_end,
    "gap": _read_gap,
    "log": _read_log,
    "change": _read_change,
}


def read_session(data: bytes) -> Session:
    """Read a registration; raises InputError."""
    s = parsed(pb.SessionInfo, data)
    if s.HasField("hello"):
        info = get_run(s.hello.run, origin="process")
        return Session(s.session_id, info, ours=True)
    update = _config_update(s.config)
    info = RunInfo(
        run_id="",
        name=short(s.session_id or s.client_name or "run"),
        session_id=s.session_id,
        client_name=short(s.client_name),
        client_version=short(s.client_version),
        origin="process",
        config=update.config or {},
        class_names=update.class_names or (),
        model=update.model or "",
        dataset=update.dataset or "",
        total_epochs=update.total_epochs,
        batches_per_epoch=update.batches_per_epoch,
        batch_size=update.batch_size,
    )
    return Session(s.session_id, info, ours=False)
