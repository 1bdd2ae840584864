"""The monitor service: what viewers ask and what they are told."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmonitor.errors import InputError
from nbmonitor.events import (
    Command,
    CommandRecord,
    Demand,
    Event,
)
from nbmonitor.interfaces import SeriesInfo, Window
from nbmonitor.rpc.codec.batches import MAX_PIXELS
from nbmonitor.rpc.codec.events import (
    get_command,
    get_event,
    get_record,
    put_command,
    put_event,
    put_record,
)
from nbmonitor.rpc.codec.runs import get_run, put_run
from nbmonitor.rpc.codec.terms import MAX_BATCH, MAX_DIMENSION
from nbmonitor.rpc.codec.values import (
    NAME,
    maybe,
    parsed,
    put_optional,
    seconds,
    stamp,
    text,
    u32,
    u64,
)
from nbmonitor.rpc.v1 import monitor_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from nbmonitor.events import RunInfo, SeriesKind
    from nbmonitor.interfaces import Axis


@dataclass(frozen=True, slots=True)
class Watch:
    """What a viewer wants to see. ``after_seq`` None: from now on; an empty ``run_id``: the states of every run.

    ``acknowledges``: the viewer says what it received.
    """

    run_id: str = ""
    after_seq: int | None = None
    demand: Demand = field(default_factory=Demand)
    watch_id: str = ""
    acknowledges: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer of a watch.

    ``acknowledge_after``: bytes after which the viewer is to say what it received (0: it need not). ``left_out``:
    pictures, and events before a resync, that the server has left out for it so far.
    """

    events: tuple[Event, ...] = ()
    runs: tuple[RunInfo, ...] = ()
    series: tuple[SeriesInfo, ...] | None = None
    snapshot: tuple[Event, ...] | None = None
    caught_up: bool = False
    resync: bool = False
    acknowledge_after: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """What a viewer asks of series: their index, a window of each for drawing, or every point."""

    run_id: str
    tags: tuple[str, ...] = ()
    kind: SeriesKind = "step"
    axis: Axis = "step"
    lo: float | None = None
    hi: float | None = None
    max_points: int = 1000
    index_only: bool = False
    every_point: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server was set to take: streams and calls at a time, bytes of a message."""

    viewer_streams: int
    trainer_streams: int
    calls: int
    message_bytes: int


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Who answers, and what it calls whoever ``caller`` is; ``now`` is its clock. Times in epoch seconds."""

    version: str
    epoch: str
    started_at: float
    now: float = 0.0
    caller: str = ""
    reads_only: bool = False


def _events(found: Iterable[pb.Event]) -> tuple[Event, ...]:
    return tuple(e for e in map(get_event, found) if e is not None)


def server_info(
    info: ServerInfo, active: int, limits: Limits, caller: str = "", *, reads_only: bool = False
) -> bytes:
    """Answer of ``GetServerInfo``; its capabilities are the caller's."""
    out = pb.GetServerInfoResponse(
        server_id=info.epoch,
        version=info.version,
        server_epoch=info.epoch,
        capabilities=["watch", "history", *([] if reads_only else ["commands"])],
        max_message_bytes=limits.message_bytes,
        active_streams=active,
        max_streams=limits.viewer_streams + limits.trainer_streams,
        auth_required=True,
        caller=text(caller),
        limits=pb.Limits(
            **asdict(limits),
            name_characters=NAME,
            image_dimension=MAX_DIMENSION,
            image_pixels=MAX_PIXELS,
            batch_samples=MAX_BATCH,
        ),
    )
    stamp(info.started_at, out.started_at)
    stamp(time.time(), out.server_time)
    return out.SerializeToString()


def runs(found: Sequence[RunInfo]) -> bytes:
    """Answer of ``ListRuns``."""
    out = pb.ListRunsResponse()
    for info in found:
        put_run(info, out.runs.add())
    return out.SerializeToString()


def read_watch(data: bytes) -> Watch:
    """Request of ``WatchRun``."""
    r = parsed(pb.WatchRunRequest, data)
    fps = r.max_frames_per_second if r.include_images else 0.0
    demand = Demand(fps, r.max_image_dimension or 512, live=not r.idle)
    after = None if r.from_now else r.after_seq
    return Watch(r.run_id, after, demand, r.watch_id, r.acknowledges)


def event(said: Event) -> bytes:
    """An event as viewers get it."""
    out = pb.Event()
    put_event(said, out)
    return out.SerializeToString()


def seen(
    answer: Seen,
    encode: Callable[[Event], bytes] = event,
    *,
    acknowledge_after: int = 0,
    left_out: int = 0,
) -> bytes:
    """Answer of ``WatchRun``; ``encode`` gives the bytes of an event, as :func:`event` makes them.

    On the wire a message is its fields one after the other, so that bytes made for one viewer serve them all.
    """
    out = pb.WatchRunResponse(
        caught_up=answer.caught_up,
        resync=answer.resync,
        acknowledge_after=acknowledge_after,
        left_out=left_out,
    )
    for info in answer.runs:
        put_run(info, out.runs.add())
    _put_index(answer.series or (), out.series)
    parts = [out.SerializeToString()]
    for tag, events in ((_EVENTS, answer.events), (_SNAPSHOT, answer.snapshot or ())):
        for said in events:
            data = encode(said)
            parts += (tag, _varint(len(data)), data)
    return b"".join(parts)


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


_EVENTS = _varint(pb.WatchRunResponse.EVENTS_FIELD_NUMBER << 3 | 2)  # 2: bytes with their length
_SNAPSHOT = _varint(pb.WatchRunResponse.SNAPSHOT_FIELD_NUMBER << 3 | 2)


def read_adjust(data: bytes) -> tuple[str, Demand, int]:
    """Request of ``AdjustWatch``: which watch, what its viewer wants, or (above 0) how much it has received."""
    r = parsed(pb.AdjustWatchRequest, data)
    demand = Demand(r.max_frames_per_second, r.max_image_dimension or 512, live=not r.idle)
    return r.watch_id, demand, r.received_bytes


def adjusted(found: bool) -> bytes:
    """Answer of ``AdjustWatch``."""
    return pb.AdjustWatchResponse(found=found).SerializeToString()


def read_history(data: bytes) -> History:
    """Request of ``GetHistory``; raises InputError."""
    r = parsed(pb.GetHistoryRequest, data)
    axis: Any = r.axis or "step"
    kind: Any = r.kind or "step"
    if axis not in {"step", "epoch", "time"} or kind not in {"step", "epoch"}:
        raise InputError(
            f"axis {axis!r} and kind {kind!r}: expected step, epoch or time; step or epoch."
        )
    lo, hi = maybe(r, "lo"), maybe(r, "hi")
    if axis == "step":
        lo = maybe(r, "step_min") if lo is None else lo
        hi = maybe(r, "step_max") if hi is None else hi
    most = min(r.max_points or 1000, 100_000)
    return History(r.run_id, tuple(r.tags), kind, axis, lo, hi, most, r.index_only, r.every_point)


def _put_index(index: Iterable[SeriesInfo], out: Any) -> None:
    for s in index:
        out.add(
            tag=text(s.name),
            kind=s.kind,
            point_count=u64(s.count),
            last_step=u64(s.last_step),
            last=s.last,
        )


def history(
    index: Sequence[SeriesInfo] = (),
    windows: Sequence[tuple[str, str, Window]] = (),
    points: Sequence[tuple[str, NDArray[np.int64], NDArray[np.float64]]] = (),
    *,
    applied: int = 0,
) -> bytes:
    """Answer of ``GetHistory``."""
    out = pb.GetHistoryResponse(applied_max_points=applied)
    _put_index(index, out.series)
    for name, kind, w in windows:
        s = out.series.add(tag=text(name), kind=kind, point_count=u64(w.total), exact=w.exact)
        s.x.extend(w.x.tolist())
        s.y.extend(w.y.tolist())
    for name, steps, values in points:
        s = out.series.add(tag=text(name), point_count=len(steps), exact=True)
        s.steps.extend(np.clip(steps, 0, None).tolist())
        s.values.extend(values.tolist())
    return out.SerializeToString()


def read_send(data: bytes) -> Command:
    """Request of ``SendCommand``; raises InputError."""
    return get_command(parsed(pb.SendCommandRequest, data).command)


def sent(record: CommandRecord) -> bytes:
    """Answer of ``SendCommand``."""
    out = pb.SendCommandResponse()
    put_record(record, out.record)
    return out.SerializeToString()


def read_list_commands(data: bytes) -> str:
    """Request of ``ListCommands``: the run's id."""
    return str(parsed(pb.ListCommandsRequest, data).run_id)


def commands(records: Sequence[CommandRecord]) -> bytes:
    """Answer of ``ListCommands``."""
    out = pb.ListCommandsResponse()
    for record in records:
        put_record(record, out.records.add())
    return out.SerializeToString()


# --- client ----------------------------------------------------------------------------------------------------------


def read_server_info(data: bytes) -> ServerInfo:
    """Answer of ``GetServerInfo``."""
    r = parsed(pb.GetServerInfoResponse, data)
    started, now = seconds(r, "started_at") or 0.0, seconds(r, "server_time") or 0.0
    reads_only = bool(r.capabilities) and "commands" not in r.capabilities
    return ServerInfo(r.version, r.server_epoch, started, now, r.caller, reads_only)


def read_runs(data: bytes) -> tuple[RunInfo, ...]:
    """Answer of ``ListRuns``."""
    found = parsed(pb.ListRunsResponse, data).runs
    return tuple(get_run(r, origin="remote") for r in found)


def watch(wanted: Watch) -> bytes:
    """Request of ``WatchRun``."""
    return pb.WatchRunRequest(
        run_id=text(wanted.run_id),
        after_seq=u64(wanted.after_seq or 0),
        from_now=wanted.after_seq is None,
        include_images=wanted.demand.fps > 0,
        max_image_dimension=u32(wanted.demand.pixels),
        max_frames_per_second=wanted.demand.fps,
        watch_id=wanted.watch_id,
        idle=not wanted.demand.live,
        acknowledges=wanted.acknowledges,
    ).SerializeToString()


def read_seen(data: bytes) -> Seen:
    """Answer of ``WatchRun``."""
    r = parsed(pb.WatchRunResponse, data)
    return Seen(
        _events(r.events),
        tuple(get_run(info, origin="remote") for info in r.runs),
        _get_index(r.series) if r.series else None,
        _events(r.snapshot) if r.snapshot else None,
        r.caught_up,
        r.resync,
        r.acknowledge_after,
        r.left_out,
    )


def _get_index(series: Iterable[pb.Series]) -> tuple[SeriesInfo, ...]:
    return tuple(
        SeriesInfo(
            s.tag, "epoch" if s.kind == "epoch" else "step", s.point_count, s.last_step, s.last
        )
        for s in series
    )


def adjust(watch_id: str, demand: Demand) -> bytes:
    """Request of ``AdjustWatch``."""
    return pb.AdjustWatchRequest(
        watch_id=watch_id,
        max_frames_per_second=demand.fps,
        max_image_dimension=u32(demand.pixels),
        idle=not demand.live,
    ).SerializeToString()


def received(watch_id: str, total: int) -> bytes:
    """Request of ``AdjustWatch`` that says what was received: ``total`` bytes of answers of the watch so far."""
    return pb.AdjustWatchRequest(watch_id=watch_id, received_bytes=total).SerializeToString()


def ask_history(asked: History) -> bytes:
    """Request of ``GetHistory``."""
    out = pb.GetHistoryRequest(
        run_id=text(asked.run_id),
        tags=[text(t) for t in asked.tags],
        max_points=u32(asked.max_points),
        index_only=asked.index_only,
        axis=asked.axis,
        kind=asked.kind,
        every_point=asked.every_point,
    )
    put_optional(out, lo=asked.lo, hi=asked.hi)
    return out.SerializeToString()


def read_index(data: bytes) -> tuple[SeriesInfo, ...]:
    """Answer of ``GetHistory`` with ``index_only``."""
    return _get_index(parsed(pb.GetHistoryResponse, data).series)


def read_window(data: bytes) -> Window:
    """Answer of ``GetHistory`` for one series."""
    found = parsed(pb.GetHistoryResponse, data).series
    if not found:
        return Window(np.zeros(0), np.zeros(0, np.float32), 0, exact=True)
    s = found[0]
    return Window(np.array(s.x, np.float64), np.array(s.y, np.float32), s.point_count, s.exact)


def read_points(data: bytes) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Answer of ``GetHistory`` with ``every_point`` for one series."""
    found = parsed(pb.GetHistoryResponse, data).series
    if not found:
        return np.zeros(0, np.int64), np.zeros(0)
    return np.array(found[0].steps, np.int64), np.array(found[0].values, np.float64)


def send(command: Command) -> bytes:
    """Request of ``SendCommand``."""
    out = pb.SendCommandRequest()
    put_command(command, out.command)
    return out.SerializeToString()


def read_sent(data: bytes) -> CommandRecord | None:
    """Answer of ``SendCommand``."""
    return get_record(parsed(pb.SendCommandResponse, data).record)


def read_commands(data: bytes) -> tuple[CommandRecord, ...]:
    """Answer of ``ListCommands``."""
    found = map(get_record, parsed(pb.ListCommandsResponse, data).records)
    return tuple(r for r in found if r is not None)
