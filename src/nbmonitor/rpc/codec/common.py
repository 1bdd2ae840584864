"""What a trainer's stream and a viewer's stream both carry: descriptions, batches, columns, figures."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmonitor.events import (
    Batch,
    Column,
    Device,
    LinkState,
    Mosaic,
    Performance,
    Picture,
    Resources,
    RunInfo,
    RunState,
    RunUpdate,
    Scalars,
)
from nbmonitor.rpc.v1 import ingest_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.timestamp_pb2 import Timestamp

    from nbmonitor.events import SeriesKind

MAX_TILES = 16
MAX_PIXELS = (
    512 * 512 * 64
)  # of one picture: beyond, a browser would choke on what a few bytes unpack to
_U64 = 2**63 - 1  # numpy's int64 holds no more
_U32 = 2**32 - 1


def text(value: object) -> str:
    """A string that UTF-8 can hold: lone surrogates become U+FFFD."""
    s = value if isinstance(value, str) else str(value)
    try:
        s.encode()
    except UnicodeEncodeError:
        return s.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return s


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """A mapping of sanitised strings."""
    return {text(k): text(v) for k, v in values.items()}


def mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    """A map field in the order of its names: protobuf keeps none, and what is shown must not jump about."""
    return dict(sorted(values.items()))


def u64(value: float) -> int:
    """A step or count as the wire holds it: clamped to 0 … 2⁶³-1."""
    return max(0, min(int(value), _U64))


def u32(value: float) -> int:
    """Clamped to 0 … 2³²-1."""
    return max(0, min(int(value), _U32))


def i32(value: float) -> int:
    """Clamped to the range of an int32."""
    return max(-(2**31), min(int(value), 2**31 - 1))


def stamp(when: float | None, target: Timestamp) -> None:
    """Write epoch seconds; None and 0 leave the field unset."""
    if when and math.isfinite(when):
        target.FromNanoseconds(int(when * 1e9))


def seconds(message: Any, name: str) -> float | None:
    """Read epoch seconds; None where the field is not set."""
    if not message.HasField(name):
        return None
    value = getattr(message, name)
    return float(value.seconds) + value.nanos / 1e9


def maybe(message: Any, name: str) -> Any:
    """An optional field, None where it is not set."""
    return getattr(message, name) if message.HasField(name) else None


def put_optional(message: Any, **values: float | None) -> None:
    """Set those fields whose value is not None."""
    for name, value in values.items():
        if value is not None:
            setattr(message, name, value)


# --- enums -----------------------------------------------------------------------------------------------------------

_STATE = {s: pb.RunState.Value(f"RUN_STATE_{s.name}") for s in RunState}
_STATE_BACK = {v: k for k, v in _STATE.items()}
_LINK = {s: pb.LinkState.Value(f"LINK_STATE_{s.name}") for s in LinkState}
_LINK_BACK = {v: k for k, v in _LINK.items()}


def state_number(state: RunState) -> int:
    """Number of a state on the wire."""
    return int(_STATE[state])


def state_of(number: int) -> RunState:
    """State of a number; a number of a later version reads as RUNNING (it did not end, as far as we can tell)."""
    return _STATE_BACK.get(number, RunState.RUNNING)


# --- descriptions ----------------------------------------------------------------------------------------------------


def put_run(info: RunInfo, out: pb.Run) -> None:
    """Write a run's description."""
    out.run_id, out.session_id, out.name = text(info.run_id), text(info.session_id), text(info.name)
    out.notes, out.message, out.why = text(info.notes), text(info.message), text(info.why)
    out.state, out.link = _STATE[info.state], _LINK[info.link]  # type: ignore[assignment]
    out.client_name, out.client_version = text(info.client_name), text(info.client_version)
    stamp(info.started_at, out.created_at)
    stamp(info.last_seen, out.last_seen_at)
    stamp(info.ended_at, out.ended_at)
    out.last_seq, out.step = u64(info.last_seq), u64(info.step)
    out.reconnect_count, out.dropped_frames = u32(info.reconnects), u64(info.dropped)
    out.lost, out.state_version = u64(info.lost), u64(info.state_version)
    out.rank, out.world_size = u32(info.rank), u32(info.world_size)
    out.incarnation, out.origin, out.steerable = u32(info.incarnation), info.origin, info.steerable
    out.tags.extend(text(t) for t in info.tags)
    put_optional(out, boundary_age_s=info.boundary_age, link_rtt_s=info.link_rtt)
    _put_controls(info.controls, out.controls)
    _put_config(info, out.config)


def get_run(run: pb.Run, *, origin: str) -> RunInfo:
    """Read a run's description."""
    c = run.config
    return RunInfo(
        run_id=run.run_id,
        name=run.name,
        state=state_of(run.state),
        message=run.message,
        started_at=seconds(run, "created_at") or 0.0,
        ended_at=seconds(run, "ended_at"),
        config=mapping(c.hyperparameters),
        class_names=tuple(c.class_names),
        model=c.model_name,
        dataset=c.dataset_name,
        notes=run.notes,
        tags=tuple(run.tags),
        total_epochs=maybe(c, "total_epochs"),
        batches_per_epoch=maybe(c, "batches_per_epoch"),
        batch_size=maybe(c, "batch_size"),
        controls=_get_controls(run.controls),
        steerable=run.steerable,
        why=run.why,
        rank=run.rank,
        world_size=run.world_size or 1,
        incarnation=run.incarnation,
        session_id=run.session_id,
        client_name=run.client_name,
        client_version=run.client_version,
        origin=origin,
        link=_LINK_BACK.get(run.link, LinkState.CONNECTED),
        link_rtt=maybe(run, "link_rtt_s"),
        last_seen=seconds(run, "last_seen_at") or 0.0,
        last_seq=min(run.last_seq, _U64),
        step=min(run.step, _U64),
        state_version=run.state_version,
        reconnects=run.reconnect_count,
        dropped=run.dropped_frames,
        lost=run.lost,
        boundary_age=maybe(run, "boundary_age_s"),
    )


def put_change(change: RunUpdate, out: pb.RunChange) -> None:
    """Write what changed of a description."""
    out.fields.extend(n for n in RunUpdate.__slots__ if getattr(change, n) is not None)
    out.name, out.notes = text(change.name or ""), text(change.notes or "")
    _put_config(change, out.config)
    _put_controls(change.controls or {}, out.controls)


def get_change(change: pb.RunChange) -> RunUpdate:
    """Read what changed of a description."""
    c = change.config
    there: dict[str, Any] = {
        "name": change.name,
        "notes": change.notes,
        "config": mapping(c.hyperparameters),
        "class_names": tuple(c.class_names),
        "total_epochs": maybe(c, "total_epochs"),
        "batches_per_epoch": maybe(c, "batches_per_epoch"),
        "batch_size": maybe(c, "batch_size"),
        "model": c.model_name,
        "dataset": c.dataset_name,
        "controls": _get_controls(change.controls),
    }
    return RunUpdate(**{n: there[n] for n in change.fields if n in there})


def _put_config(info: RunInfo | RunUpdate, out: pb.RunConfig) -> None:
    for name in ("total_epochs", "batches_per_epoch", "batch_size"):
        value = getattr(info, name)
        if value is not None:
            setattr(out, name, u32(value))
    out.model_name, out.dataset_name = text(info.model or ""), text(info.dataset or "")
    out.class_names.extend(text(n) for n in info.class_names or ())
    out.hyperparameters.update(texts(info.config or {}))


def _put_controls(controls: Mapping[str, Mapping[str, Any]], out: Any) -> None:
    for name, facts in controls.items():
        out[text(name)] = json.dumps(dict(facts), default=str)


def _get_controls(controls: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for name, raw in mapping(controls).items():
        try:
            facts = json.loads(raw)
        except ValueError:
            facts = {}
        out[name] = facts if isinstance(facts, dict) else {}
    return out


# --- columns ---------------------------------------------------------------------------------------------------------


def put_columns(scalars: Scalars, base_ms: int, out: pb.ScalarColumns) -> None:
    """Write columns; times become whole milliseconds relative to ``base_ms``."""
    for column in scalars.columns:
        c = out.columns.add(tag=text(column.name), kind="epoch" if column.kind == "epoch" else "")
        c.steps.extend(np.clip(column.steps, 0, None).tolist())
        c.values.extend(column.values.tolist())
        deltas = np.rint(column.times * 1000.0) - base_ms
        c.time_delta_ms.extend(np.nan_to_num(deltas).astype(np.int64).tolist())


def get_columns(columns: pb.ScalarColumns, base_ms: int) -> Scalars:
    """Read columns; what has no partner in the other lists of its column is left out."""
    out = []
    for c in columns.columns:
        n = min(len(c.steps), len(c.values))
        steps = np.minimum(np.array(c.steps[:n], np.uint64), _U64).astype(np.int64)
        values = np.array(c.values[:n], np.float64)
        deltas = np.zeros(n)
        given = np.array(c.time_delta_ms[:n], np.float64)
        deltas[: len(given)] = given
        kind: SeriesKind = "epoch" if c.kind == "epoch" else "step"
        out.append(Column(c.tag, steps, values, (base_ms + deltas) / 1000.0, kind))
    return Scalars(tuple(out))


# --- batches ---------------------------------------------------------------------------------------------------------


def put_batch(batch: Batch, step: int, out: pb.BatchFrame) -> None:
    """Write a batch with its mosaic or its separate pictures."""
    put_optional(
        out,
        epoch=None if batch.epoch is None else u32(batch.epoch),
        batch_idx=None if batch.batch is None else u32(batch.batch),
        loss=batch.loss,
        right=None if batch.right is None else u32(batch.right),
        counted=None if batch.counted is None else u32(batch.counted),
    )
    out.step, out.split, out.total_samples = u64(step), text(batch.split), u32(batch.total)
    out.images_elided = batch.total > batch.count
    if batch.mosaic is not None:
        m = batch.mosaic
        out.mosaic.image, out.mosaic.mime_type = m.data, m.mime
        out.mosaic.columns, out.mosaic.rows = u32(m.columns), u32(m.rows)
        out.mosaic.tile_width, out.mosaic.tile_height = u32(m.width), u32(m.height)
    for k in range(batch.count):
        s = out.samples.add()
        picture = _at(batch.pictures, k)
        if picture is not None:
            s.image, s.mime_type = picture.data, picture.mime
            s.width, s.height = u32(picture.width), u32(picture.height)
        predicted, truth = _at(batch.predicted, k), _at(batch.truth, k)
        put_optional(
            s,
            predicted_class=None if predicted is None else i32(predicted),
            confidence=_at(batch.confidence, k),
            ground_truth=None if truth is None else i32(truth),
        )
        s.sample_id = text(_at(batch.sample_ids, k) or "")
        label = _at(batch.labels, k)
        if label is not None:
            s.labels.append(text(label))


def get_batch(frame: pb.BatchFrame) -> Batch:
    """Read a batch; more than 16 samples are cut off."""
    samples = frame.samples[:MAX_TILES]
    m = frame.mosaic
    return Batch(
        count=len(samples),
        total=max(frame.total_samples, len(samples)),
        split=frame.split or "train",
        epoch=maybe(frame, "epoch"),
        batch=maybe(frame, "batch_idx"),
        mosaic=Mosaic(m.image, m.columns, m.rows, m.tile_width, m.tile_height, m.mime_type)
        if frame.HasField("mosaic")
        else None,
        pictures=tuple(picture(s.image) for s in samples) if any(s.image for s in samples) else (),
        predicted=tuple(maybe(s, "predicted_class") for s in samples),
        confidence=tuple(maybe(s, "confidence") for s in samples),
        truth=tuple(maybe(s, "ground_truth") for s in samples),
        labels=tuple(s.labels[0] if s.labels else None for s in samples)
        if any(s.labels for s in samples)
        else (),
        sample_ids=tuple(s.sample_id for s in samples) if any(s.sample_id for s in samples) else (),
        right=maybe(frame, "right"),
        counted=maybe(frame, "counted"),
        loss=maybe(frame, "loss"),
    )


def picture(data: bytes) -> Picture | None:
    """A picture as it came, judged by its header alone; None (a placeholder tile) when it cannot be one.

    Nothing is decoded here: a few bytes may unpack to gigabytes, so size is read from the header and capped first.
    """
    head = sniff(data)
    if head is None:
        return None
    mime, width, height = head
    if width * height > MAX_PIXELS:
        return None
    return Picture(data, mime, width, height)


def sniff(data: bytes) -> tuple[str, int, int] | None:
    """MIME type, width and height from the header of a JPEG or PNG; None for anything else."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24 and data[12:16] == b"IHDR":
        return "image/png", int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data):  # walk the segments up to the frame header
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = data[at + 5 : at + 7], data[at + 7 : at + 9]
            return "image/jpeg", int.from_bytes(width), int.from_bytes(height)
        length = int.from_bytes(data[at + 2 : at + 4])
        if length < 2:
            return None
        at += 2 + length
    return None


def _at(values: Any, k: int) -> Any:
    return values[k] if k < len(values) else None


# --- figures ---------------------------------------------------------------------------------------------------------


def put_performance(p: Performance, out: pb.Performance) -> None:
    """Write speed, progress and machine figures."""
    out.split = text(p.split)
    out.current_fps, out.average_fps = p.fps, p.fps_average
    out.time_per_batch_ms = (p.median_step or 0.0) * 1000.0
    out.epoch_seconds, out.eta_seconds = p.epoch_seconds or 0.0, p.eta or 0.0
    counts = {"epoch": p.epoch, "epochs": p.epochs, "batch": p.batch, "batches": p.batches}
    put_optional(out, **{n: None if v is None else u32(v) for n, v in counts.items()})
    put_optional(
        out,
        progress=p.progress,
        eta=p.eta,
        samples_per_second=p.samples_per_second,
        median_step=p.median_step,
        epoch_time=p.epoch_seconds,
        overhead=p.overhead,
    )
    r = p.resources
    if r is not None:
        out.cpu_percent, out.memory_mb = r.cpu_percent, r.memory_mb
        put_optional(out, memory_total_mb=r.memory_total_mb)
        put_devices(r.devices, out.devices)


def put_devices(devices: tuple[Device, ...], out: Any) -> None:
    """Write GPUs."""
    for d in devices:
        u = out.add(index=u32(d.index), name=text(d.name))
        put_optional(
            u,
            percent=d.percent,
            memory_mb=d.memory_mb,
            memory_total_mb=d.memory_total_mb,
            temperature_c=d.temperature_c,
            power_w=d.power_w,
        )


def get_devices(devices: Any) -> tuple[Device, ...]:
    """Read GPUs."""
    return tuple(
        Device(
            d.index,
            d.name,
            maybe(d, "percent"),
            maybe(d, "memory_mb"),
            maybe(d, "memory_total_mb"),
            maybe(d, "temperature_c"),
            maybe(d, "power_w"),
        )
        for d in devices
    )


def get_performance(p: pb.Performance) -> Performance:
    """Read speed, progress and machine figures."""
    resources = None
    if p.HasField("cpu_percent"):
        resources = Resources(
            p.cpu_percent, p.memory_mb, maybe(p, "memory_total_mb"), get_devices(p.devices)
        )
    return Performance(
        split=p.split or "train",
        epoch=maybe(p, "epoch"),
        epochs=maybe(p, "epochs"),
        batch=maybe(p, "batch"),
        batches=maybe(p, "batches"),
        progress=maybe(p, "progress"),
        eta=maybe(p, "eta"),
        fps=p.current_fps,
        fps_average=p.average_fps,
        samples_per_second=maybe(p, "samples_per_second"),
        median_step=maybe(p, "median_step"),
        epoch_seconds=maybe(p, "epoch_time"),
        overhead=maybe(p, "overhead"),
        resources=resources,
    )
