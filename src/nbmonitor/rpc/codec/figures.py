"""Columns of values, speed and machine figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nbmonitor.events import (
    Column,
    Device,
    Performance,
    Resources,
    Scalars,
)
from nbmonitor.rpc.codec.values import INT64_MAX, maybe, put_optional, short, text, u32

if TYPE_CHECKING:
    from nbmonitor.events import SeriesKind
    from nbmonitor.rpc.v1 import ingest_pb2 as pb


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
        steps = np.minimum(np.array(c.steps[:n], np.uint64), INT64_MAX).astype(np.int64)
        values = np.array(c.values[:n], np.float64)
        deltas = np.zeros(n)
        given = np.array(c.time_delta_ms[:n], np.float64)
        deltas[: len(given)] = given
        kind: SeriesKind = "epoch" if c.kind == "epoch" else "step"
        out.append(Column(short(c.tag), steps, values, (base_ms + deltas) / 1000.0, kind))
    return Scalars(tuple(out))


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
        delay=p.delay,
        worker_cpu=p.worker_cpu,
    )
    out.limits = text(p.limits)
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
        delay=maybe(p, "delay"),
        worker_cpu=maybe(p, "worker_cpu"),
        limits=p.limits,
        resources=resources,
    )
