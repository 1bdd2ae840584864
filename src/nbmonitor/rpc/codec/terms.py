"""What both directions of a trainer's stream agree on: limits, numbers, and the frames in plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbmonitor.events import (
    Command,
    CommandKind,
    CommandState,
    Demand,
    Heartbeat,
    RunInfo,
    RunState,
)
from nbmonitor.rpc.v1 import ingest_pb2 as pb

if TYPE_CHECKING:
    from nbmonitor.events import Payload

PROTOCOL = (1, 0)
MAX_BATCH, MAX_DIMENSION, HEARTBEAT_MS, BUFFER = 16, 512, 2_000, 100
RECEIVE_BYTES = 16 << 20  # room for a contract client that sends 16 PNGs at once
SEND_BYTES = 8 << 20  # of one message of our own
MAX_UNACKED = 1_000

CRC_TAG = b"\xbd\x06"  # field 103, fixed32
STALE_LAYOUT = {
    (3, 0),
    (6, 2),
    (7, 5),
}  # field numbers and wire types of BatchData before 2025-11-27

STATUS: dict[RunState, int] = {
    s: pb.TrainingStatus.Value(f"TRAINING_STATUS_{s.name}") for s in RunState if s != RunState.LOST
}
STATUS_BACK = {v: k for k, v in STATUS.items()}
TYPE = {
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
TYPE_BACK = {v: k for k, v in TYPE.items()}
OUTCOME = {
    CommandState.DELIVERED: 1,
    CommandState.APPLIED: 2,
    CommandState.REJECTED: 3,
    CommandState.EXPIRED: 4,
}
OUTCOME_BACK = {v: k for k, v in OUTCOME.items()}

INVALID_SESSION, INVALID_DATA, BUFFER_FULL, INTERNAL_ERROR = 1, 2, 3, 4
DATA_LOSS, CRC_MISMATCH, ALREADY_EXISTS, UNSUPPORTED = 100, 101, 102, 103


@dataclass(frozen=True, slots=True)
class Hello:
    """First frame of our own trainer: which run, who owns it, where the sender's buffer starts."""

    info: RunInfo
    secret: str = ""
    first_unacked: int = 1
    major: int = 0  # of the protocol


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
class Terms:
    """What a server takes of trainers: bytes of a message, streams at a time."""

    message_bytes: int = RECEIVE_BYTES
    streams: int = 64


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a server of ours tells a trainer of ours."""

    watermark: int
    epoch: str
    volatile: bool
    terms: Terms = Terms()


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a server, in plain data; ``kind`` says which fields count."""

    kind: str
    number: int = 0  # acknowledged seq, heartbeat number, error code
    ok: bool = True
    message: str = ""  # in words; for a command of a later version, its id
    command: Command | None = None
    demand: Demand | None = None
    welcome: Welcome | None = None
    watermark: int = 0
    retry_after: float = 0.0  # seconds that a server which stops asks to wait for


@dataclass(frozen=True, slots=True)
class Session:
    """A registration."""

    session_id: str
    info: RunInfo
    ours: bool
