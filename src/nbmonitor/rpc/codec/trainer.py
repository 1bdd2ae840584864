"""The ingest service: frames of our own trainer and of clients of the published contract, and the answers to them."""

from __future__ import annotations

import json
import struct
import time
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from nbmonitor.errors import InputError
from nbmonitor.events import (
    Batch,
    Command,
    CommandKind,
    CommandRecord,
    CommandState,
    Demand,
    Device,
    Epoch,
    Event,
    Gap,
    Heartbeat,
    LogLine,
    Performance,
    Resources,
    RunInfo,
    RunState,
    RunUpdate,
    Scalars,
    Status,
)
from nbmonitor.rpc.codec import common
from nbmonitor.rpc.codec.common import i32, mapping, maybe, text, texts, u32, u64
from nbmonitor.rpc.v1 import ingest_pb2 as pb

if TYPE_CHECKING:
    from nbmonitor.events import Payload

PROTOCOL = (1, 0)
MAX_BATCH, MAX_DIMENSION, HEARTBEAT_MS, BUFFER = 16, 512, 2_000, 100
RECEIVE_BYTES = 16 << 20  # room for a contract client that sends 16 PNGs at once
SEND_BYTES = 8 << 20  # of one message of our own
MAX_UNACKED = 1_000

_CRC_TAG = b"\xbd\x06"  # field 103, fixed32
_STALE_LAYOUT = {
    (3, 0),
    (6, 2),
    (7, 5),
}  # field numbers and wire types of BatchData before 2025-11-27

_STATUS = {
    s: pb.TrainingStatus.Value(f"TRAINING_STATUS_{s.name}") for s in RunState if s != RunState.LOST
}
_STATUS_BACK = {v: k for k, v in _STATUS.items()}
_TYPE = {
    CommandKind.PAUSE: 1,
    CommandKind.RESUME: 2,
    CommandKind.STOP: 3,
    CommandKind.SET_BATCH_SIZE: 4,
    CommandKind.SET_LEARNING_RATE: 5,
    CommandKind.SET_HYPERPARAMETER: 100,
    CommandKind.SAVE_CHECKPOINT: 101,
    CommandKind.RESTORE_CHECKPOINT: 102,
    CommandKind.RUN_EVALUATION: 103,
    CommandKind.CANCEL_EVALUATION: 104,
    CommandKind.STEP: 105,
}
_TYPE_BACK = {v: k for k, v in _TYPE.items()}
_OUTCOME = {
    CommandState.DELIVERED: 1,
    CommandState.APPLIED: 2,
    CommandState.REJECTED: 3,
    CommandState.EXPIRED: 4,
}
_OUTCOME_BACK = {v: k for k, v in _OUTCOME.items()}

INVALID_SESSION, INVALID_DATA, BUFFER_FULL, INTERNAL_ERROR = 1, 2, 3, 4
DATA_LOSS, CRC_MISMATCH, ALREADY_EXISTS, UNSUPPORTED = 100, 101, 102, 103


@dataclass(frozen=True, slots=True)
class Hello:
    """First frame of our own trainer: which run, who owns it, where the sender's buffer starts."""

    info: RunInfo
    secret: str = ""
    first_unacked: int = 1


@dataclass(frozen=True, slots=True)
class Frame:
    """One request of a trainer's stream, in plain data.

    ``fault`` tells what is wrong with it, ``payloads`` what can be used nevertheless. ``contract`` marks a batch in the
    contract's own fields, ``crc`` is True, False (wrong) or None (none given).
    """

    session_id: str = ""
    time: float = 0.0
    seq: int = 0
    incarnation: int = 0
    rank: int = 0
    step: int = 0
    kind: str = ""
    payloads: tuple[Payload, ...] = ()
    hello: Hello | None = None
    beat: Heartbeat | None = None
    number: int = 0  # of a heartbeat, of the batch in its epoch
    rtt: float | None = None
    contract: bool = False
    crc: bool | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a server of ours tells a trainer of ours."""

    watermark: int
    epoch: str
    volatile: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a server, in plain data; ``kind`` says which fields count."""

    kind: str
    number: int = 0  # acknowledged seq, heartbeat number, error code
    ok: bool = True
    message: str = ""
    command: Command | None = None
    demand: Demand | None = None
    welcome: Welcome | None = None
    watermark: int = 0


@dataclass(frozen=True, slots=True)
class Session:
    """A registration."""

    session_id: str
    info: RunInfo
    ours: bool


# --- requests: reading (server) --------------------------------------------------------------------------------------


def read_request(data: bytes) -> Frame:
    """Read one frame. Never raises: what cannot be read comes back as a fault (gRPC would end the stream)."""
    crc: bool | None = None
    if data[-6:-4] == _CRC_TAG:
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
    return reader(frame, getattr(request, kind))


def _read_batch(frame: Frame, b: pb.BatchData) -> Frame:
    if b.HasField("frame"):
        batch = common.get_batch(b.frame)
        return replace(frame, payloads=(batch,))
    strange = {(f.field_number, f.wire_type) for f in UnknownFieldSet(b)}
    if strange & _STALE_LAYOUT:
        why = "client uses the pre-2025-11-27 BatchData layout; regenerate its stubs"
        return replace(frame, contract=True, number=b.batch_idx, fault=why)
    lengths = len(b.images), len(b.predictions), len(b.ground_truth)
    total = max(*lengths, b.total_samples)
    n = min(max(lengths), MAX_BATCH)
    shown = tuple(common.picture(i.image_bytes) for i in b.images[:n])
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


def _read_epoch(frame: Frame, e: pb.EpochData) -> Frame:
    values = mapping(e.values) or {
        "average_loss": e.average_loss,
        "average_accuracy": e.average_accuracy,
    }
    return replace(frame, payloads=(Epoch(e.epoch, values, e.split or "train"),))


def _read_performance(frame: Frame, p: pb.PerformanceData) -> Frame:
    if p.HasField("performance"):
        return replace(frame, payloads=(common.get_performance(p.performance),))
    resources = None
    if p.HasField("resource_usage"):
        r = p.resource_usage
        devices = common.get_devices(r.devices)
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
    state = _STATUS_BACK.get(s.status)
    if state is not None:
        payloads.append(Status(state, s.message, s.error_type))
    else:  # enums are open: show the number, keep the state
        payloads.append(
            LogLine(f"status {s.status}: {s.message}" if s.message else f"status {s.status}")
        )
    return replace(frame, payloads=tuple(payloads))


def _config_update(c: pb.TrainingConfig) -> RunUpdate:
    return RunUpdate(
        total_epochs=c.total_epochs or None,
        batches_per_epoch=c.batches_per_epoch or None,
        batch_size=c.batch_size or None,
        model=c.model_name or None,
        dataset=c.dataset_name or None,
        class_names=tuple(c.class_names) or None,
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
    info = common.get_run(h.run, origin="process")
    info = replace(info, run_id=h.run_id, incarnation=frame.incarnation, rank=frame.rank)
    return replace(frame, hello=Hello(info, h.owner_secret, h.first_unacked_seq))


def _read_scalars(frame: Frame, s: pb.ScalarColumns) -> Frame:
    return replace(frame, payloads=(common.get_columns(s, round(frame.time * 1000)),))


def _read_result(frame: Frame, r: pb.CommandResult) -> Frame:
    try:
        kind = CommandKind(r.kind)
    except ValueError:
        kind = CommandKind.STEP  # of a later version; the broker knows the command by its id
    command = Command("", kind, _params(r.parameters), r.command_id, r.actor or "trainer")
    state = _OUTCOME_BACK.get(r.outcome)
    if state is None:
        return replace(frame, fault=f"command result {r.outcome} is not known here")
    record = CommandRecord(
        command,
        state,
        step=min(r.applied_at_step, 2**63 - 1) if state is CommandState.APPLIED else None,
        before=mapping(r.before),
        after=mapping(r.after),
        error=r.error,
        resolved_at=frame.time if state.final else None,
    )
    return replace(frame, payloads=(record,))


def _read_end(frame: Frame, e: pb.RunEnd) -> Frame:
    state = _STATUS_BACK.get(e.status, RunState.FAILED)
    if not state.ended:
        return replace(frame, fault=f"RunEnd with status {e.status}, which is no end")
    return replace(frame, payloads=(Status(state, e.error_message, e.error_type),))


def _read_gap(frame: Frame, g: pb.Gap) -> Frame:
    count = g.count or max(g.last_seq - g.first_seq + 1, 0)
    return replace(frame, payloads=(Gap(g.reason, count, g.first_seq, g.last_seq),))


def _read_log(frame: Frame, line: pb.LogLine) -> Frame:
    return replace(frame, payloads=(LogLine(line.text, line.level or "info"),))


def _read_change(frame: Frame, c: pb.RunChange) -> Frame:
    return replace(frame, payloads=(common.get_change(c),))


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
    try:
        s = pb.SessionInfo.FromString(data)
    except DecodeError as error:
        raise InputError("These bytes are no SessionInfo of the contract.") from error
    if s.HasField("hello"):
        info = common.get_run(s.hello.run, origin="process")
        return Session(s.session_id, info, ours=True)
    update = _config_update(s.config)
    info = RunInfo(
        run_id="",
        name=s.session_id or s.client_name or "run",
        session_id=s.session_id,
        client_name=s.client_name,
        client_version=s.client_version,
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


# --- answers: writing (server) ---------------------------------------------------------------------------------------


def _limits(out: pb.ServerConfig) -> None:
    out.max_batch_size, out.max_image_dimension = MAX_BATCH, MAX_DIMENSION
    out.heartbeat_interval_ms, out.buffer_size = HEARTBEAT_MS, BUFFER
    out.max_message_bytes, out.max_unacked = RECEIVE_BYTES, MAX_UNACKED


def _answer(session_id: str) -> pb.MetricsResponse:
    return pb.MetricsResponse(session_id=session_id, timestamp_ms=int(time.time() * 1000))


def session_response(session_id: str, message: str, welcome: Welcome | None) -> bytes:
    """Answer to a registration; ``welcome`` only for a trainer of ours."""
    out = pb.SessionResponse(success=True, session_id=session_id, message=message)
    _limits(out.server_config)
    if welcome is not None:
        _put_welcome(welcome, session_id, out.welcome)
    return out.SerializeToString()


def _put_welcome(welcome: Welcome, run_id: str, out: pb.Welcome) -> None:
    out.run_id, out.watermark, out.server_epoch = run_id, welcome.watermark, welcome.epoch
    out.protocol_major, out.protocol_minor = PROTOCOL
    out.volatile_store = welcome.volatile
    _limits(out.config)


def welcome(run_id: str, told: Welcome) -> bytes:
    """First answer to a Hello."""
    out = _answer(run_id)
    _put_welcome(told, run_id, out.welcome)
    return out.SerializeToString()


def acknowledge(session_id: str, batch: int, *, epoch: int = 0, ok: bool = True) -> bytes:
    """Acknowledgment of the contract: for batches alone."""
    out = _answer(session_id)
    out.ack.batch_idx, out.ack.success, out.ack.epoch = u32(batch), ok, u32(epoch)
    return out.SerializeToString()


def acknowledge_to(run_id: str, up_to: int) -> bytes:
    """Cumulative acknowledgment for our own trainer."""
    out = _answer(run_id)
    out.event_ack.up_to_seq, out.event_ack.stored = up_to, True
    return out.SerializeToString()


def echo(session_id: str, number: int) -> bytes:
    """Answer to a heartbeat of our own trainer."""
    out = _answer(session_id)
    out.heartbeat_echo.sequence_number = u32(number)
    out.heartbeat_echo.server_time_ms = int(time.time() * 1000)
    return out.SerializeToString()


def flow(run_id: str, demand: Demand) -> bytes:
    """Tell a trainer what its viewers want."""
    out = _answer(run_id)
    out.flow.max_batches_per_second = demand.fps
    out.flow.images_wanted = demand.fps > 0
    out.flow.max_image_dimension = u32(demand.pixels)
    return out.SerializeToString()


def fault(session_id: str, code: int, message: str, *, watermark: int = 0, seq: int = 0) -> bytes:
    """Error in the stream, which goes on."""
    out = _answer(session_id)
    out.error.code, out.error.message = code, text(message)  # type: ignore[assignment]
    out.error.watermark, out.error.seq = u64(watermark), u64(seq)
    return out.SerializeToString()


def goodbye(session_id: str, reason: str, retry_after: float = 1.0) -> bytes:
    """Tell a trainer of ours that the server stops on purpose."""
    out = _answer(session_id)
    out.goodbye.reason, out.goodbye.retry_after_ms = reason, int(retry_after * 1000)
    return out.SerializeToString()


def control(session_id: str, command: Command) -> bytes:
    """Send a command down.

    The contract names no keys, so a client of it gets the likely ones; ours reads ``text``, which has every parameter.
    """
    out = _answer(session_id)
    c = out.command
    c.type = _TYPE[command.kind]  # type: ignore[assignment]
    value = command.params.get("value")
    said = "" if value is None else _plain(value)
    keys = {
        CommandKind.SET_LEARNING_RATE: ("learning_rate", "lr", "value"),
        CommandKind.SET_BATCH_SIZE: ("batch_size", "value"),
    }.get(command.kind, ())
    c.parameters.update({k: said for k in keys if said})
    c.parameters["command_id"] = text(command.command_id)
    c.command_id, c.actor = text(command.command_id), text(command.actor)
    c.peer, c.mode = text(command.peer), text(command.params.get("mode", ""))
    c.ttl_ms = u32(max(command.asked_at + command.ttl - time.time(), 0.0) * 1000)
    if isinstance(value, int | float):
        c.number = float(value)
    c.text = text(json.dumps(dict(command.params), default=str))
    return out.SerializeToString()


def _plain(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


# --- requests: writing (our trainer) ---------------------------------------------------------------------------------


def _sealed(request: pb.MetricsRequest) -> bytes:
    body = request.SerializeToString()
    return body + _CRC_TAG + struct.pack("<I", zlib.crc32(body))


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
    out.supported_commands.extend(k.value for k in _TYPE)
    common.put_run(info, out.run)


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
    common.put_optional(
        h,
        boundary_age_ms=None if beat.boundary_age is None else beat.boundary_age * 1000.0,
        rtt_ms=None if rtt is None else rtt * 1000.0,
    )
    return _sealed(out)


def gap(info: RunInfo, first: int, last: int, reason: str) -> bytes:
    """Declare that some numbered events will never come."""
    out = _request(info, time.time(), seq=last)
    out.gap.first_seq, out.gap.last_seq, out.gap.reason = first, last, text(reason)
    out.gap.count = last - first + 1
    return _sealed(out)


def event(info: RunInfo, said: Event, seq: int) -> bytes:
    """One event of our own trainer; ``seq`` 0 for a picture, which may be lost."""
    out = _request(info, said.time, said.step, seq)
    out.incarnation, out.rank = u32(said.incarnation), u32(said.rank)
    p = said.payload
    if isinstance(p, Scalars):
        common.put_columns(p, out.timestamp_ms, out.scalars)
    elif isinstance(p, Batch):
        b = out.batch_data
        b.epoch, b.batch_idx = u32(p.epoch or 0), u32(p.batch or 0)
        common.put_batch(p, said.step, b.frame)
    elif isinstance(p, Epoch):
        _put_epoch(p, out.epoch_data)
        out.epoch_data.step = u64(said.step)
    elif isinstance(p, Performance):
        out.performance_data.current_fps, out.performance_data.average_fps = p.fps, p.fps_average
        common.put_performance(p, out.performance_data.performance)
    elif isinstance(p, Status):
        _put_status(p, out)
    elif isinstance(p, RunUpdate):
        common.put_change(p, out.change)
    elif isinstance(p, LogLine):
        out.log.level, out.log.text = text(p.level), text(p.text)
    elif isinstance(p, Gap):
        out.gap.count, out.gap.reason = u64(p.count), text(p.reason)  # its numbers are not ours
    else:
        _put_result(p, out.command_result)
    return _sealed(out)


def _put_epoch(e: Epoch, out: pb.EpochData) -> None:
    out.epoch, out.split = u32(e.epoch), text(e.split)
    values = {text(k): float(v) for k, v in e.values.items()}
    out.values.update(values)
    out.average_loss = _first(values, "average_loss", "train_loss", "loss")
    out.average_accuracy = _first(values, "average_accuracy", "train_accuracy", "accuracy")


def _first(values: dict[str, float], *names: str) -> float:
    return next((values[n] for n in names if n in values), 0.0)


def _put_status(s: Status, out: pb.MetricsRequest) -> None:
    if s.state.ended:
        out.run_end.status = _STATUS[s.state]  # type: ignore[assignment]
        out.run_end.error_type, out.run_end.error_message = text(s.error_type), text(s.message)
        out.run_end.last_seq = out.seq
    else:
        out.status_update.status = _STATUS.get(s.state, 0)  # type: ignore[assignment]
        out.status_update.message, out.status_update.error_type = (
            text(s.message),
            text(s.error_type),
        )


def _put_result(r: CommandRecord, out: pb.CommandResult) -> None:
    out.command_id, out.error = text(r.command.command_id), text(r.error)
    out.outcome = _OUTCOME.get(r.state, 0)  # type: ignore[assignment]
    out.applied_at_step = u64(r.step or 0)
    out.before.update(texts(r.before))
    out.after.update(texts(r.after))
    out.kind, out.actor = r.command.kind.value, text(r.command.actor)
    out.parameters.update(
        {text(k): text(json.dumps(v, default=str)) for k, v in r.command.params.items()}
    )


def _params(raw: Any) -> dict[str, Any]:
    """Parameters of a command: JSON values; anything else is taken as a plain string."""
    out: dict[str, Any] = {}
    for name, value in mapping(raw).items():
        try:
            out[name] = json.loads(value)
        except ValueError:
            out[name] = value
    return out


# --- answers: reading (our trainer) ----------------------------------------------------------------------------------


def read_session_response(data: bytes) -> tuple[bool, Welcome | None, str]:
    """``(success, welcome, message)``; no welcome from a server that knows only the contract."""
    r = pb.SessionResponse.FromString(data)
    return r.success, _get_welcome(r.welcome) if r.HasField("welcome") else None, r.message


def _get_welcome(w: pb.Welcome) -> Welcome:
    return Welcome(w.watermark, w.server_epoch, w.volatile_store)


def read_response(data: bytes, run_id: str) -> Reply:
    """Read one answer; raises DecodeError, which ends the stream (it is re-opened)."""
    r = pb.MetricsResponse.FromString(data)
    kind = r.WhichOneof("payload")
    if kind == "command":
        return Reply(kind, command=_get_command(r.command, run_id))
    if kind == "error":
        return Reply(kind, r.error.code, message=r.error.message, watermark=r.error.watermark)
    if kind == "ack":
        return Reply(kind, r.ack.batch_idx, r.ack.success)
    if kind == "event_ack":
        return Reply(kind, r.event_ack.up_to_seq)
    if kind == "heartbeat_echo":
        return Reply(kind, r.heartbeat_echo.sequence_number)
    if kind == "welcome":
        return Reply(kind, welcome=_get_welcome(r.welcome))
    if kind == "flow":
        f = r.flow
        fps = f.max_batches_per_second if f.images_wanted else 0.0
        return Reply(kind, demand=Demand(fps, f.max_image_dimension or MAX_DIMENSION))
    if kind == "goodbye":
        return Reply(kind, message=r.goodbye.reason)
    return Reply("")


def _get_command(c: pb.ControlCommand, run_id: str) -> Command | None:
    kind = _TYPE_BACK.get(c.type)
    if kind is None:
        return None
    if c.HasField("text"):
        loaded = json.loads(c.text)
        params = loaded if isinstance(loaded, dict) else {}
    else:  # a server of the contract: no key names are fixed, so take the likely ones
        params = {}
        for key in ("value", "learning_rate", "lr", "batch_size"):
            raw = c.parameters.get(key)
            if raw:
                params["value"] = _params({key: raw})[key]
                break
        if kind is CommandKind.SET_LEARNING_RATE:
            params["mode"] = "set"
    command_id = c.command_id or c.parameters.get("command_id", "")
    extra = {"command_id": command_id} if command_id else {}
    ttl = c.ttl_ms / 1000.0 if c.ttl_ms else 60.0
    return Command(
        run_id, kind, params, actor=c.actor or "the monitor", peer=c.peer, ttl=ttl, **extra
    )


# --- our trainer toward a server that knows only the contract --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlainBatch:
    """A batch in the contract's own fields."""

    epoch: int = 0
    index: int = 0
    loss: float = 0.0
    images: tuple[bytes, ...] = ()
    predicted: tuple[int | None, ...] = ()
    confidence: tuple[float | None, ...] = ()
    truth: tuple[int | None, ...] = ()


def plain_batch(session_id: str, when: float, batch: PlainBatch) -> bytes:
    """BatchData of the contract. It has no word for "unknown": -1 stands for a class that is not known."""
    out = pb.MetricsRequest(session_id=text(session_id), timestamp_ms=u64(when * 1000))
    b = out.batch_data
    b.epoch, b.batch_idx, b.batch_loss = u32(batch.epoch), u32(batch.index), batch.loss
    for data in batch.images:
        b.images.add(image_bytes=data)
    for k, predicted in enumerate(batch.predicted):
        confidence = batch.confidence[k] if k < len(batch.confidence) else None
        b.predictions.add(
            predicted_class=-1 if predicted is None else i32(predicted),
            confidence=confidence or 0.0,
        )
    b.ground_truth.extend(-1 if t is None else i32(t) for t in batch.truth)
    return out.SerializeToString()


def plain(session_id: str, said: Event) -> bytes | None:
    """An epoch, figures or a state in the contract's own fields; None for what the contract has no word for."""
    out = pb.MetricsRequest(session_id=text(session_id), timestamp_ms=u64(said.time * 1000))
    p = said.payload
    if isinstance(p, Epoch):
        _put_epoch(p, out.epoch_data)
        out.epoch_data.ClearField("values")
        out.epoch_data.ClearField("split")
    elif isinstance(p, Performance):
        _put_plain_performance(p, out.performance_data)
        out.performance_data.timestamp_ms = out.timestamp_ms
    elif isinstance(p, Status):
        # STOPPING, STOPPED and INTERRUPTED came later: the nearest words of the contract
        nearest = {RunState.STOPPED: 4, RunState.INTERRUPTED: 5, RunState.STOPPING: 2}
        out.status_update.status = nearest.get(p.state, _STATUS.get(p.state, 0))  # type: ignore[assignment]
        out.status_update.message = text(p.message)
        out.status_update.timestamp_ms = out.timestamp_ms
    else:
        return None
    return out.SerializeToString()


def plain_heartbeat(session_id: str, number: int) -> bytes:
    """Heartbeat of the contract."""
    out = pb.MetricsRequest(session_id=text(session_id), timestamp_ms=int(time.time() * 1000))
    out.heartbeat.timestamp_ms, out.heartbeat.sequence_number = out.timestamp_ms, u32(number)
    return out.SerializeToString()


def _put_plain_performance(p: Performance, out: pb.PerformanceData) -> None:
    out.time_per_batch_ms = (p.median_step or 0.0) * 1000.0
    out.total_time_for_epoch_sec = p.epoch_seconds or 0.0
    out.estimated_time_remaining_sec = p.eta or 0.0
    out.current_fps, out.average_fps = p.fps, p.fps_average
    r = p.resources
    if r is not None:
        out.resource_usage.cpu_percent, out.resource_usage.memory_mb = r.cpu_percent, r.memory_mb
        if r.devices:
            out.resource_usage.gpu_percent = r.devices[0].percent or 0.0
            out.resource_usage.gpu_memory_mb = r.devices[0].memory_mb or 0.0
