"""Plain data: what a run says and what is said to it. Ground: imports nothing of the package but numpy.

Everything here is frozen; whoever needs a changed copy uses :func:`dataclasses.replace`. Times are epoch seconds
(float, UTC) and are for display; durations are measured on monotonic clocks by whoever measures them.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

SeriesKind = Literal["step", "epoch"]
"""``"step"``: one value a step, drawn as a line. ``"epoch"``: one value an epoch, drawn with markers."""

EPOCH_SERIES = "system/epoch"
"""Name of the series that maps steps to (fractional, 0-based) epochs; the epoch axis is interpolated from it."""


class RunState(StrEnum):
    """State of a run. Only an explicit end is an end: a torn stream is LOST, silence is a stale *link*."""

    INITIALIZING = "initializing"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    LOST = "lost"

    @property
    def ended(self) -> bool:
        """Whether the run said (or was found) to be over. LOST is not an end: the run may come back."""
        return self in _ENDED


_ENDED = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.STOPPED, RunState.INTERRUPTED})


class LinkState(StrEnum):
    """State of the road between a trainer and the broker."""

    CONNECTED = "connected"
    DEGRADED = "degraded"
    STALE = "stale"
    DISCONNECTED = "disconnected"


class CommandKind(StrEnum):
    """What can be asked of a run."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    SET_LEARNING_RATE = "set_learning_rate"
    SET_BATCH_SIZE = "set_batch_size"
    SET_HYPERPARAMETER = "set_hyperparameter"
    SAVE_CHECKPOINT = "save_checkpoint"
    RESTORE_CHECKPOINT = "restore_checkpoint"
    RUN_EVALUATION = "run_evaluation"
    CANCEL_EVALUATION = "cancel_evaluation"
    STEP = "step"
    WHEEL = "wheel"


CONTROL_OF = {
    CommandKind.PAUSE: "pause",
    CommandKind.RESUME: "pause",
    CommandKind.STOP: "stop",
    CommandKind.SET_LEARNING_RATE: "learning_rate",
    CommandKind.SET_BATCH_SIZE: "batch_size",
}
"""Name in :attr:`RunInfo.controls` that a run registers to be able to carry out a command."""


class CommandState(StrEnum):
    """Life of a command: queued → sent → delivered → one of the last four, which are final."""

    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    APPLIED = "applied"
    REJECTED = "rejected"
    EXPIRED = "expired"
    UNCONFIRMED = "unconfirmed"

    @property
    def final(self) -> bool:
        """Whether nothing more will be heard of the command."""
        return self in _FINAL


_FINAL = frozenset(
    {CommandState.APPLIED, CommandState.REJECTED, CommandState.EXPIRED, CommandState.UNCONFIRMED}
)


def new_id(prefix: str = "") -> str:
    """A globally unique id that sorts by time of making: 8 hex digits of seconds, 12 random ones."""
    return f"{prefix}{int(time.time()):08x}{secrets.token_hex(6)}"


# --- what a run says -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """Values of one series, oldest first.

    Parameters
    ----------
    name
        Name as the user logged it.
    steps, values, times
        1-D arrays of one length: int64 steps, float64 values (NaN and infinities as themselves), float64 epoch seconds.
    kind
        ``"step"`` or ``"epoch"``.
    """

    name: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    times: NDArray[np.float64]
    kind: SeriesKind = "step"


@dataclass(frozen=True, slots=True, eq=False)
class Scalars:
    """A block of columns: everything that was logged between two ticks of an outbox."""

    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """One encoded picture. ``width`` and ``height`` in pixels, 0 where not known (a contract client's JPEG)."""

    data: bytes
    mime: str = "image/jpeg"
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Mosaic:
    """All tiles of a batch in one picture, row by row. ``width`` and ``height`` are those of ONE tile, in pixels."""

    data: bytes
    columns: int
    rows: int
    width: int
    height: int
    mime: str = "image/jpeg"


@dataclass(frozen=True, slots=True)
class Batch:
    """The first (at most 16) samples of one batch, with predictions and truth. Latest wins: may be skipped.

    ``predicted``, ``confidence`` (0..1) and ``truth`` have one entry a tile, None where unknown. ``right`` and
    ``counted`` are over the whole batch, ``total`` is its number of samples.
    """

    count: int
    total: int
    split: str = "train"
    epoch: int | None = None
    batch: int | None = None
    mosaic: Mosaic | None = None
    pictures: tuple[Picture | None, ...] = ()
    predicted: tuple[int | None, ...] = ()
    confidence: tuple[float | None, ...] = ()
    truth: tuple[int | None, ...] = ()
    labels: tuple[str | None, ...] = ()
    sample_ids: tuple[str, ...] = ()
    right: int | None = None
    counted: int | None = None
    loss: float | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of encoded pictures."""
        alone = sum(len(p.data) for p in self.pictures if p is not None)
        return alone + (len(self.mosaic.data) if self.mosaic is not None else 0)


@dataclass(frozen=True, slots=True)
class Epoch:
    """Summary of an epoch that has ended. ``epoch`` is 1-based; ``values`` as handed to ``log_epoch``."""

    epoch: int
    values: Mapping[str, float]
    split: str = "train"


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU: use in percent, memory in MiB, temperature in °C, power in W; None where it cannot be read."""

    index: int
    name: str
    percent: float | None = None
    memory_mb: float | None = None
    memory_total_mb: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    """Machine figures: CPU of the machine in percent (0..100), resident memory of the trainer in MiB."""

    cpu_percent: float
    memory_mb: float
    memory_total_mb: float | None = None
    devices: tuple[Device, ...] = ()


@dataclass(frozen=True, slots=True)
class Performance:
    """Where a run is and how fast it goes.

    ``epoch`` is the 1-based epoch in progress of ``epochs``; ``batch`` the batches done in it of ``batches``;
    ``progress`` 0..1 of the whole run; ``eta`` and ``epoch_seconds`` seconds; ``fps`` training batches a second over
    the last second, ``fps_average`` since the start without pauses; ``overhead`` the share of a step that training
    feels (0..1): time in our calls on the training thread and at the boundary, the latter's own share in ``delay``;
    ``worker_cpu`` the CPU of our threads beside it, in cores; ``limits`` what is held back to keep these within their
    bounds, in words; ``median_step`` seconds.
    """

    split: str = "train"
    epoch: int | None = None
    epochs: int | None = None
    batch: int | None = None
    batches: int | None = None
    progress: float | None = None
    eta: float | None = None
    fps: float = 0.0
    fps_average: float = 0.0
    samples_per_second: float | None = None
    median_step: float | None = None
    epoch_seconds: float | None = None
    overhead: float | None = None
    delay: float | None = None
    worker_cpu: float | None = None
    limits: str = ""
    resources: Resources | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The run's state changed. An ended ``state`` is the explicit end of the run."""

    state: RunState
    message: str = ""
    error_type: str = ""


@dataclass(frozen=True, slots=True)
class RunUpdate:
    """Parts of a run's description that changed; None means unchanged. See :class:`RunInfo` for the meanings."""

    name: str | None = None
    config: Mapping[str, str] | None = None
    class_names: tuple[str, ...] | None = None
    total_epochs: int | None = None
    batches_per_epoch: int | None = None
    batch_size: int | None = None
    model: str | None = None
    dataset: str | None = None
    notes: str | None = None
    controls: Mapping[str, Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line for the event list. ``level``: "info", "warning", "error", "alert"."""

    text: str
    level: str = "info"


@dataclass(frozen=True, slots=True)
class Gap:
    """Declared loss: ``count`` values or events between two points are missing, and why."""

    reason: str
    count: int = 0
    first_seq: int = 0
    last_seq: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """What a person asked of a run.

    ``params``: ``value`` (number) and, for the learning rate, ``mode`` ("set", "scale", "pin", "release"). For the
    wheel ``mode`` is "take", "give" (``to``: the actor who gets it), "release", "lock" or "unlock"; the broker itself
    carries that out. ``ttl`` in seconds. ``actor`` in words ("you"), ``peer`` the address it came from. With
    ``expected_version`` the command is refused when :attr:`RunInfo.state_version` is another one by then: somebody
    else was faster. With ``incarnation`` it is meant for that life of the trainer alone, with ``epoch`` for that life
    of the server ("": whichever).
    """

    run_id: str
    kind: CommandKind
    params: Mapping[str, Any] = field(default_factory=dict)
    command_id: str = field(default_factory=lambda: new_id("c"))
    actor: str = "you"
    peer: str = ""
    ttl: float = 60.0
    asked_at: float = field(default_factory=time.time)
    expected_version: int | None = None
    incarnation: int | None = None
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """What became of a command. ``before``, ``after``: values in words (``{"learning rate": "0.008"}``)."""

    command: Command
    state: CommandState
    step: int | None = None
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    resolved_at: float | None = None


Payload = Scalars | Batch | Epoch | Performance | Status | RunUpdate | LogLine | Gap | CommandRecord


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """One thing a run said.

    ``seq`` is the viewers' cursor, given by the broker (0 until then). ``origin_seq`` is the producer's own number (0:
    it keeps none), unique within ``(run_id, rank, incarnation)``.
    """

    run_id: str
    step: int
    time: float
    payload: Payload
    seq: int = 0
    rank: int = 0
    incarnation: int = 0
    origin_seq: int = 0
    received: float = 0.0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life of a trainer's process. ``boundary_age``, seconds since the last step, is that of its loop."""

    run_id: str
    step: int = 0
    boundary_age: float | None = None
    interval: float = 2.0
    queued: int = 0
    dropped: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Demand:
    """What the viewers of a run want: ``fps`` image frames a second (0: none), tiles up to ``pixels`` wide.

    ``live``: values are wanted as they come, by somebody who may want no pictures.
    """

    fps: float = 0.0
    pixels: int = 512
    live: bool = False

    @property
    def watched(self) -> bool:
        """Whether somebody looks on, rather than a hidden page (one frame a second) or nobody."""
        return self.live or self.fps > 2.0


# --- what a run is ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Description of a run, kept by the broker.

    ``controls`` holds what the run registered, by control name, with facts for display:
    ``{"pause": {}, "learning_rate": {"value": 0.1, "scheduled": True}, "batch_size": {"value": 32, "max": 1437}}``.
    ``steerable`` False means that every command is rejected with ``why``. ``origin`` is "kernel" (in this process),
    "process" (reports over gRPC) or "remote" (seen through an attached server). ``boundary_age``: seconds since the
    last step as of the last heartbeat. ``link_rtt`` in seconds. ``wheel`` is the actor who alone may steer ("": anyone
    who may), since ``wheel_since``; a locked one cannot be taken from them.
    """

    run_id: str
    name: str
    state: RunState = RunState.INITIALIZING
    message: str = ""
    started_at: float = 0.0
    ended_at: float | None = None
    config: Mapping[str, str] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    model: str = ""
    dataset: str = ""
    notes: str = ""
    tags: tuple[str, ...] = ()
    total_epochs: int | None = None
    batches_per_epoch: int | None = None
    batch_size: int | None = None
    controls: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    steerable: bool = True
    why: str = ""
    rank: int = 0
    world_size: int = 1
    incarnation: int = 0
    session_id: str = ""
    client_name: str = "nbmonitor"
    client_version: str = ""
    origin: str = "kernel"
    link: LinkState = LinkState.CONNECTED
    link_rtt: float | None = None
    last_seen: float = 0.0
    last_seq: int = 0
    step: int = 0
    state_version: int = 0
    reconnects: int = 0
    dropped: int = 0
    lost: int = 0
    boundary_age: float | None = None
    wheel: str = ""
    wheel_locked: bool = False
    wheel_since: float = 0.0
