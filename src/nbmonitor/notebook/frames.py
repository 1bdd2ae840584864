"""What crosses to the browser (docs/frames.md): from the ground's plain data to a JSON header and binary buffers. Pure.

The functions give the parts; :class:`Frame` gathers those of one tick. Headers are strict JSON: non-finite numbers are
words, text is sanitised, and nothing here is ever HTML.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmonitor.events import Batch, Performance, RunState
from nbmonitor.notebook.plain import finite, num, plain, text
from nbmonitor.series import classify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nbmonitor.events import Event, RunInfo
    from nbmonitor.interfaces import Axis, SeriesInfo, Window

VERSION = 1
ME = "you"  # as a source names whoever looks through it
TILES = 16
WRONG_BYTES = 1 << 20  # of pictures of wrong tiles in a key frame
SILENT = 10.0  # seconds without a step that are worth a word; 20 median steps where that is more


@dataclass
class Frame:
    """One comm message in the making. ``header`` holds the parts, ``buffers`` the bytes they point to by index."""

    header: dict[str, Any] = field(default_factory=dict)
    buffers: list[bytes] = field(default_factory=list)

    def attach(self, data: bytes) -> int:
        """Add a buffer; returns its index."""
        self.buffers.append(data)
        return len(self.buffers) - 1

    def stamp(
        self,
        n: int,
        t: float,
        origin: str,
        *,
        age: float | None = None,
        key: bool = False,
        to: str | None = None,
    ) -> None:
        """Say which frame this is; the parts stay as they are. ``age``: seconds since the run's last event."""
        head: dict[str, Any] = {"k": "frame", "v": VERSION, "n": n, "t": t, "origin": origin}
        head["age"] = age
        if key:
            head["key"] = True
        if to is not None:
            head["to"] = to
        self.header = head | self.header

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers."""
        return sum(map(len, self.buffers))


def run_ref(info: RunInfo) -> dict[str, Any]:
    """A run in the menu."""
    return {
        "id": info.run_id,
        "name": text(info.name, 200),
        "state": info.state.value,
        "started": info.started_at,
        "step": info.step,
    }


def run_view(info: RunInfo) -> dict[str, Any]:
    """The run that is shown."""
    controls: dict[str, Any] = {}
    for name, facts in info.controls.items():
        if name in {"pause", "stop"}:
            controls[name] = True
        elif name == "learning_rate":
            rate = num(_number(facts.get("value"), float("nan")))
            controls[name] = {"value": rate, "scheduled": bool(facts.get("scheduled", False))}
            if "pinned" in facts:
                controls[name]["pinned"] = bool(facts["pinned"])
        elif name == "batch_size":
            most = int(_number(facts.get("max"), 0))
            controls[name] = {"value": int(_number(facts.get("value"), 0)), "max": most or None}
        else:
            controls[text(name, 100)] = plain(dict(facts))
    ref = run_ref(info)
    del ref["step"]  # it changes all the time, the rest seldom
    wheel = None
    if info.wheel:
        wheel = {
            "by": text(info.wheel, 60),
            "mine": info.wheel == ME,
            "locked": info.wheel_locked,
            "since": info.wheel_since,
        }
    return ref | {
        "message": text(info.message, 1000),
        "ended": info.ended_at,
        "classNames": [text(name, 100) for name in info.class_names[:10_000]],
        "model": text(info.model),
        "dataset": text(info.dataset),
        "notes": text(info.notes, 2000),
        "config": {text(k, 100): text(v) for k, v in list(info.config.items())[:500]},
        "controls": controls,
        "steerable": info.steerable,
        "why": text(info.why),
        "wheel": wheel,
        "version": info.state_version,
        "rank": info.rank,
        "worldSize": info.world_size,
    }


def _number(value: Any, otherwise: float) -> float:
    """A fact that a client sent as a number, or should have."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return otherwise
    return found if math.isfinite(found) else otherwise


def perf_view(info: RunInfo, event: Event | None, now: float) -> dict[str, Any]:
    """The figures of the header. ``event`` carries the newest :class:`Performance`; ``now`` in epoch seconds."""
    perf = Performance()
    if event is not None and isinstance(event.payload, Performance):
        perf = event.payload
    median = finite(perf.median_step)
    return {
        "step": max(info.step, event.step if event is not None else 0),
        "split": text(perf.split, 40),
        "epoch": perf.epoch,
        "epochs": perf.epochs if perf.epochs is not None else info.total_epochs,
        "batch": perf.batch,
        "batches": perf.batches if perf.batches is not None else info.batches_per_epoch,
        "progress": finite(perf.progress),
        "eta": finite(perf.eta),
        "fps": finite(perf.fps) or 0.0,
        "fpsAverage": finite(perf.fps_average) or 0.0,
        "samplesPerSecond": finite(perf.samples_per_second),
        "stepMs": None if median is None else median * 1000,
        "overhead": finite(perf.overhead),
        "delay": finite(perf.delay),
        "workerCpu": finite(perf.worker_cpu),
        "limits": text(perf.limits, 200),
        "silent": _silent(info, median, now),
    }


def _silent(info: RunInfo, median: float | None, now: float) -> float | None:
    """Whole seconds since the last step, once that is longer than it should be."""
    if info.state is not RunState.RUNNING or info.boundary_age is None:
        return None
    age = info.boundary_age + max(0.0, now - info.last_seen if info.last_seen else 0.0)
    return float(int(age)) if age > max(SILENT, 20 * (median or 0.0)) else None


def series_view(
    frame: Frame,
    info: SeriesInfo,
    window: Window | None = None,
    *,
    axis: Axis = "step",
    span: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """One series: with the points of ``window`` on ``axis``, or what its legend says only. ``span``: a zoom's range."""
    name = text(info.name, 200)
    chart, split = classify(name)
    view: dict[str, Any] = {
        "name": name,
        "chart": chart,
        "split": split,
        "kind": info.kind,
        "total": info.count,
        "last": num(info.last),
    }
    if window is not None:
        view |= {
            "total": max(info.count, window.total),
            "x": frame.attach(np.ascontiguousarray(window.x, "<f8").tobytes()),
            "y": frame.attach(np.ascontiguousarray(window.y, "<f4").tobytes()),
            "axis": axis,
        }
        if span is not None:
            view["window"] = list(span)
    return view


def mark_views(
    marks: Iterable[dict[str, Any]], epoch_of: Callable[[Sequence[int]], Sequence[float]]
) -> list[dict[str, Any]]:
    """Markers with their place on every axis; ``epoch_of`` maps steps to fractional epochs."""
    marks = list(marks)
    epochs = epoch_of([m["step"] for m in marks]) if marks else []
    return [m | {"epoch": num(e)} for m, e in zip(marks, epochs, strict=True)]


def tiles_view(frame: Frame, event: Event, batch: Batch) -> dict[str, Any]:
    """A batch of tiles, its pictures as buffers of ``frame``."""
    count = max(0, min(TILES, batch.count))
    view: dict[str, Any] = {
        "id": event.seq,
        "step": event.step,
        "epoch": batch.epoch,
        "batch": batch.batch,
        "split": text(batch.split, 40),
        "time": event.time,
        "count": count,
        "elided": max(0, batch.total - count),
        "right": batch.right,
        "counted": batch.counted,
        "predicted": _sized(batch.predicted, count),
        "confidence": [None if c is None else finite(c) for c in _sized(batch.confidence, count)],
        "truth": _sized(batch.truth, count),
    }
    if batch.loss is not None:
        view["loss"] = num(batch.loss)
    if batch.mosaic is not None:
        m = batch.mosaic
        view["mosaic"] = {
            "buffer": frame.attach(m.data),
            "mime": text(m.mime, 60),
            "columns": m.columns,
            "rows": m.rows,
            "width": m.width,
            "height": m.height,
        }
    elif batch.pictures:
        view["images"] = [
            None if p is None or not p.data else frame.attach(p.data)
            for p in _sized(batch.pictures, count)
        ]
    if any(label is not None for label in batch.labels):
        view["labels"] = [
            None if label is None else text(label, 100) for label in _sized(batch.labels, count)
        ]
    return view


def wrong_tiles(batch: Batch) -> list[int]:
    """Indices of the tiles whose prediction is not the truth."""
    return [
        i
        for i, (p, t) in enumerate(zip(batch.predicted, batch.truth, strict=False))
        if i < min(TILES, batch.count) and p is not None and t is not None and p != t
    ]


def wrong_views(frame: Frame, wrong: Iterable[tuple[Event, int]]) -> list[dict[str, Any]]:
    """Wrong tiles as (event of their batch, index), as far as their pictures fit beside what ``frame`` holds."""
    views: dict[int, dict[str, Any]] = {}
    found = []
    for event, index in wrong:
        if event.seq not in views and isinstance(event.payload, Batch):
            if frame.nbytes + event.payload.nbytes > WRONG_BYTES:
                break
            views[event.seq] = tiles_view(frame, event, event.payload)
        found.append({"tiles": views[event.seq], "index": index})
    return found


def _sized(values: Sequence[Any], count: int) -> list[Any]:
    """Exactly ``count`` entries: what is missing is None."""
    return [*values[:count], *[None] * (count - len(values))]
