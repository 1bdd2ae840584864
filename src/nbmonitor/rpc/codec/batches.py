"""Batches with their pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbmonitor.events import (
    Batch,
    Mosaic,
    Picture,
)
from nbmonitor.rpc.codec.values import i32, maybe, put_optional, short, text, u32, u64

if TYPE_CHECKING:
    from nbmonitor.rpc.v1 import ingest_pb2 as pb

MAX_TILES = 16
MAX_PIXELS = (
    512 * 512 * 64
)  # of one picture: beyond, a browser would choke on what a few bytes unpack to


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
        labels=tuple(short(s.labels[0]) if s.labels else None for s in samples)
        if any(s.labels for s in samples)
        else (),
        sample_ids=tuple(short(s.sample_id) for s in samples)
        if any(s.sample_id for s in samples)
        else (),
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
