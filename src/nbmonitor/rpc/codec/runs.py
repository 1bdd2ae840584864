"""A run's description, and what changed of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nbmonitor.audit import outside
from nbmonitor.events import (
    LinkState,
    RunInfo,
    RunState,
    RunUpdate,
)
from nbmonitor.rpc.codec.values import (
    CLASSES,
    INT64_MAX,
    WORDS,
    from_json,
    mapping,
    maybe,
    put_optional,
    seconds,
    short,
    shorts,
    stamp,
    text,
    texts,
    u32,
    u64,
)
from nbmonitor.rpc.v1 import ingest_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    out.wheel, out.wheel_locked = text(outside(info.wheel)), info.wheel_locked
    stamp(info.wheel_since, out.wheel_since)
    out.tags.extend(text(t) for t in info.tags)
    put_optional(out, boundary_age_s=info.boundary_age, link_rtt_s=info.link_rtt)
    _put_controls(info.controls, out.controls)
    _put_config(info, out.config)


def get_run(run: pb.Run, *, origin: str) -> RunInfo:
    """Read a run's description."""
    c = run.config
    return RunInfo(
        run_id=run.run_id,
        name=short(run.name),
        state=state_of(run.state),
        message=short(run.message, WORDS),
        started_at=seconds(run, "created_at") or 0.0,
        ended_at=seconds(run, "ended_at"),
        config=mapping(c.hyperparameters),
        class_names=shorts(c.class_names, CLASSES),
        model=short(c.model_name),
        dataset=short(c.dataset_name),
        notes=short(run.notes, WORDS),
        tags=shorts(run.tags),
        total_epochs=maybe(c, "total_epochs"),
        batches_per_epoch=maybe(c, "batches_per_epoch"),
        batch_size=maybe(c, "batch_size"),
        controls=_get_controls(run.controls),
        steerable=run.steerable,
        why=short(run.why, WORDS),
        rank=run.rank,
        world_size=run.world_size or 1,
        incarnation=run.incarnation,
        session_id=run.session_id,
        client_name=short(run.client_name),
        client_version=short(run.client_version),
        origin=origin,
        link=_LINK_BACK.get(run.link, LinkState.CONNECTED),
        link_rtt=maybe(run, "link_rtt_s"),
        last_seen=seconds(run, "last_seen_at") or 0.0,
        last_seq=min(run.last_seq, INT64_MAX),
        step=min(run.step, INT64_MAX),
        state_version=run.state_version,
        reconnects=run.reconnect_count,
        dropped=run.dropped_frames,
        lost=run.lost,
        boundary_age=maybe(run, "boundary_age_s"),
        wheel=run.wheel,
        wheel_locked=run.wheel_locked,
        wheel_since=seconds(run, "wheel_since") or 0.0,
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
        "name": short(change.name),
        "notes": short(change.notes, WORDS),
        "config": mapping(c.hyperparameters),
        "class_names": shorts(c.class_names, CLASSES),
        "total_epochs": maybe(c, "total_epochs"),
        "batches_per_epoch": maybe(c, "batches_per_epoch"),
        "batch_size": maybe(c, "batch_size"),
        "model": short(c.model_name),
        "dataset": short(c.dataset_name),
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
    found = {name: from_json(raw, {}) for name, raw in mapping(controls).items()}
    return {name: facts if isinstance(facts, dict) else {} for name, facts in found.items()}
