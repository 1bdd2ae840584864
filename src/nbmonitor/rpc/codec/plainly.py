"""What our own trainer says to a server that knows only the contract."""

from __future__ import annotations

import time
from dataclasses import dataclass

from nbmonitor.events import (
    Epoch,
    Event,
    Performance,
    RunState,
    Status,
)
from nbmonitor.rpc.codec.requests import put_epoch
from nbmonitor.rpc.codec.terms import STATUS
from nbmonitor.rpc.codec.values import i32, text, u32, u64
from nbmonitor.rpc.v1 import ingest_pb2 as pb


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
        put_epoch(p, out.epoch_data)
        out.epoch_data.ClearField("values")
        out.epoch_data.ClearField("split")
    elif isinstance(p, Performance):
        _put_plain_performance(p, out.performance_data)
        out.performance_data.timestamp_ms = out.timestamp_ms
    elif isinstance(p, Status):
        # STOPPING, STOPPED and INTERRUPTED came later: the nearest words of the contract
        nearest = {RunState.STOPPED: 4, RunState.INTERRUPTED: 5, RunState.STOPPING: 2}
        out.status_update.status = nearest.get(p.state) or STATUS.get(p.state, 0)  # type: ignore[assignment]
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
