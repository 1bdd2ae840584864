"""What follows from an event: the run's description after it, and the series that are in it. Ground, pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nbmonitor.events import Column, Epoch, Performance, RunUpdate, Scalars, Status

if TYPE_CHECKING:
    from nbmonitor.events import Event, Payload, RunInfo, SeriesKind


def told(info: RunInfo, event: Event) -> RunInfo:
    """Return the description of a run after one more event."""
    payload = event.payload
    changes: dict[str, object] = {"last_seq": event.seq}
    if event.step > info.step:
        changes["step"] = event.step
    if isinstance(payload, Status):
        changes |= {"state": payload.state, "message": payload.message}
        changes["state_version"] = info.state_version + (payload.state is not info.state)
        changes["ended_at"] = event.time if payload.state.ended else None
    elif isinstance(payload, RunUpdate):
        for name in RunUpdate.__slots__:
            value = getattr(payload, name)
            if value is not None:
                changes[name] = value
    return replace(info, **changes)  # type: ignore[arg-type]


def derived(event: Event) -> tuple[Payload, ...]:
    """Return the series that are in an event: an epoch's values, the machine's figures."""
    payload = event.payload
    values: dict[str, float] = {}
    kind: SeriesKind = "step"
    if isinstance(payload, Epoch):
        values, kind = dict(payload.values), "epoch"
    elif isinstance(payload, Performance) and payload.resources is not None:
        r = payload.resources
        values = {"system/cpu": r.cpu_percent, "system/memory_mb": r.memory_mb}
        if r.memory_total_mb is not None:
            values["system/memory_total_mb"] = r.memory_total_mb
        for d in r.devices:
            for name in ("percent", "memory_mb", "memory_total_mb"):
                figure = getattr(d, name)
                if figure is not None:
                    values[f"system/gpu{d.index}/{name}"] = figure
    if not values:
        return ()
    step, when = np.array([event.step], np.int64), np.array([event.time])
    columns = (Column(n, step, np.array([float(v)]), when, kind) for n, v in values.items())
    return (Scalars(tuple(columns)),)
