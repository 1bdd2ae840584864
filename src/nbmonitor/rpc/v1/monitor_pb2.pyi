from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from nbmonitor.rpc.v1 import ingest_pb2 as _ingest_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CommandKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMMAND_KIND_UNSPECIFIED: _ClassVar[CommandKind]
    COMMAND_KIND_PAUSE: _ClassVar[CommandKind]
    COMMAND_KIND_RESUME: _ClassVar[CommandKind]
    COMMAND_KIND_STOP: _ClassVar[CommandKind]
    COMMAND_KIND_SET_BATCH_SIZE: _ClassVar[CommandKind]
    COMMAND_KIND_SET_LEARNING_RATE: _ClassVar[CommandKind]
    COMMAND_KIND_SET_HYPERPARAMETER: _ClassVar[CommandKind]
    COMMAND_KIND_SAVE_CHECKPOINT: _ClassVar[CommandKind]
    COMMAND_KIND_RESTORE_CHECKPOINT: _ClassVar[CommandKind]
    COMMAND_KIND_RUN_EVALUATION: _ClassVar[CommandKind]
    COMMAND_KIND_CANCEL_EVALUATION: _ClassVar[CommandKind]
    COMMAND_KIND_STEP: _ClassVar[CommandKind]
    COMMAND_KIND_WHEEL: _ClassVar[CommandKind]

class CommandState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMMAND_STATE_UNSPECIFIED: _ClassVar[CommandState]
    COMMAND_STATE_QUEUED: _ClassVar[CommandState]
    COMMAND_STATE_SENT: _ClassVar[CommandState]
    COMMAND_STATE_DELIVERED: _ClassVar[CommandState]
    COMMAND_STATE_APPLIED: _ClassVar[CommandState]
    COMMAND_STATE_REJECTED: _ClassVar[CommandState]
    COMMAND_STATE_EXPIRED: _ClassVar[CommandState]
    COMMAND_STATE_UNCONFIRMED: _ClassVar[CommandState]

class SampleFlagAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SAMPLE_FLAG_ACTION_UNSPECIFIED: _ClassVar[SampleFlagAction]
    SAMPLE_FLAG_ACTION_ADD_TAG: _ClassVar[SampleFlagAction]
    SAMPLE_FLAG_ACTION_REMOVE_TAG: _ClassVar[SampleFlagAction]
    SAMPLE_FLAG_ACTION_DISCARD: _ClassVar[SampleFlagAction]
    SAMPLE_FLAG_ACTION_RESTORE: _ClassVar[SampleFlagAction]
COMMAND_KIND_UNSPECIFIED: CommandKind
COMMAND_KIND_PAUSE: CommandKind
COMMAND_KIND_RESUME: CommandKind
COMMAND_KIND_STOP: CommandKind
COMMAND_KIND_SET_BATCH_SIZE: CommandKind
COMMAND_KIND_SET_LEARNING_RATE: CommandKind
COMMAND_KIND_SET_HYPERPARAMETER: CommandKind
COMMAND_KIND_SAVE_CHECKPOINT: CommandKind
COMMAND_KIND_RESTORE_CHECKPOINT: CommandKind
COMMAND_KIND_RUN_EVALUATION: CommandKind
COMMAND_KIND_CANCEL_EVALUATION: CommandKind
COMMAND_KIND_STEP: CommandKind
COMMAND_KIND_WHEEL: CommandKind
COMMAND_STATE_UNSPECIFIED: CommandState
COMMAND_STATE_QUEUED: CommandState
COMMAND_STATE_SENT: CommandState
COMMAND_STATE_DELIVERED: CommandState
COMMAND_STATE_APPLIED: CommandState
COMMAND_STATE_REJECTED: CommandState
COMMAND_STATE_EXPIRED: CommandState
COMMAND_STATE_UNCONFIRMED: CommandState
SAMPLE_FLAG_ACTION_UNSPECIFIED: SampleFlagAction
SAMPLE_FLAG_ACTION_ADD_TAG: SampleFlagAction
SAMPLE_FLAG_ACTION_REMOVE_TAG: SampleFlagAction
SAMPLE_FLAG_ACTION_DISCARD: SampleFlagAction
SAMPLE_FLAG_ACTION_RESTORE: SampleFlagAction

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("server_id", "version", "capabilities", "started_at", "max_message_bytes", "active_streams", "max_streams", "auth_required", "server_time", "server_epoch", "caller", "limits")
    SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_STREAMS_FIELD_NUMBER: _ClassVar[int]
    MAX_STREAMS_FIELD_NUMBER: _ClassVar[int]
    AUTH_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    SERVER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    server_id: str
    version: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    started_at: _timestamp_pb2.Timestamp
    max_message_bytes: int
    active_streams: int
    max_streams: int
    auth_required: bool
    server_time: _timestamp_pb2.Timestamp
    server_epoch: str
    caller: str
    limits: Limits
    def __init__(self, server_id: _Optional[str] = ..., version: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ..., started_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., max_message_bytes: _Optional[int] = ..., active_streams: _Optional[int] = ..., max_streams: _Optional[int] = ..., auth_required: bool = ..., server_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., server_epoch: _Optional[str] = ..., caller: _Optional[str] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("viewer_streams", "trainer_streams", "calls", "message_bytes", "name_characters", "image_dimension", "image_pixels", "batch_samples")
    VIEWER_STREAMS_FIELD_NUMBER: _ClassVar[int]
    TRAINER_STREAMS_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    NAME_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_DIMENSION_FIELD_NUMBER: _ClassVar[int]
    IMAGE_PIXELS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    viewer_streams: int
    trainer_streams: int
    calls: int
    message_bytes: int
    name_characters: int
    image_dimension: int
    image_pixels: int
    batch_samples: int
    def __init__(self, viewer_streams: _Optional[int] = ..., trainer_streams: _Optional[int] = ..., calls: _Optional[int] = ..., message_bytes: _Optional[int] = ..., name_characters: _Optional[int] = ..., image_dimension: _Optional[int] = ..., image_pixels: _Optional[int] = ..., batch_samples: _Optional[int] = ...) -> None: ...

class ListRunsRequest(_message.Message):
    __slots__ = ("include_finished", "page_size", "page_token")
    INCLUDE_FINISHED_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    include_finished: bool
    page_size: int
    page_token: str
    def __init__(self, include_finished: bool = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRunsResponse(_message.Message):
    __slots__ = ("runs", "next_page_token")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[_ingest_pb2.Run]
    next_page_token: str
    def __init__(self, runs: _Optional[_Iterable[_Union[_ingest_pb2.Run, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateRunRequest(_message.Message):
    __slots__ = ("run_id", "name", "notes")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    name: str
    notes: str
    def __init__(self, run_id: _Optional[str] = ..., name: _Optional[str] = ..., notes: _Optional[str] = ...) -> None: ...

class UpdateRunResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _ingest_pb2.Run
    def __init__(self, run: _Optional[_Union[_ingest_pb2.Run, _Mapping]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("run_id", "seq", "event_time", "received_time", "scalars", "batch", "epoch", "performance", "status", "command", "gap", "log", "checkpoint", "evaluation", "audit", "attributes", "columns", "change", "step", "rank", "incarnation", "origin_seq")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_TIME_FIELD_NUMBER: _ClassVar[int]
    SCALARS_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    seq: int
    event_time: _timestamp_pb2.Timestamp
    received_time: _timestamp_pb2.Timestamp
    scalars: Scalars
    batch: _ingest_pb2.BatchFrame
    epoch: EpochSummary
    performance: _ingest_pb2.Performance
    status: StatusChange
    command: CommandRecord
    gap: _ingest_pb2.Gap
    log: _ingest_pb2.LogLine
    checkpoint: _ingest_pb2.Checkpoint
    evaluation: _ingest_pb2.EvaluationProgress
    audit: AuditEvent
    attributes: _ingest_pb2.Attributes
    columns: _ingest_pb2.ScalarColumns
    change: _ingest_pb2.RunChange
    step: int
    rank: int
    incarnation: int
    origin_seq: int
    def __init__(self, run_id: _Optional[str] = ..., seq: _Optional[int] = ..., event_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., received_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., scalars: _Optional[_Union[Scalars, _Mapping]] = ..., batch: _Optional[_Union[_ingest_pb2.BatchFrame, _Mapping]] = ..., epoch: _Optional[_Union[EpochSummary, _Mapping]] = ..., performance: _Optional[_Union[_ingest_pb2.Performance, _Mapping]] = ..., status: _Optional[_Union[StatusChange, _Mapping]] = ..., command: _Optional[_Union[CommandRecord, _Mapping]] = ..., gap: _Optional[_Union[_ingest_pb2.Gap, _Mapping]] = ..., log: _Optional[_Union[_ingest_pb2.LogLine, _Mapping]] = ..., checkpoint: _Optional[_Union[_ingest_pb2.Checkpoint, _Mapping]] = ..., evaluation: _Optional[_Union[_ingest_pb2.EvaluationProgress, _Mapping]] = ..., audit: _Optional[_Union[AuditEvent, _Mapping]] = ..., attributes: _Optional[_Union[_ingest_pb2.Attributes, _Mapping]] = ..., columns: _Optional[_Union[_ingest_pb2.ScalarColumns, _Mapping]] = ..., change: _Optional[_Union[_ingest_pb2.RunChange, _Mapping]] = ..., step: _Optional[int] = ..., rank: _Optional[int] = ..., incarnation: _Optional[int] = ..., origin_seq: _Optional[int] = ...) -> None: ...

class Scalars(_message.Message):
    __slots__ = ("step", "values", "split")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STEP_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    step: int
    values: _containers.ScalarMap[str, float]
    split: str
    def __init__(self, step: _Optional[int] = ..., values: _Optional[_Mapping[str, float]] = ..., split: _Optional[str] = ...) -> None: ...

class EpochSummary(_message.Message):
    __slots__ = ("epoch", "average_loss", "average_accuracy", "values", "split")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_LOSS_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    average_loss: float
    average_accuracy: float
    values: _containers.ScalarMap[str, float]
    split: str
    def __init__(self, epoch: _Optional[int] = ..., average_loss: _Optional[float] = ..., average_accuracy: _Optional[float] = ..., values: _Optional[_Mapping[str, float]] = ..., split: _Optional[str] = ...) -> None: ...

class StatusChange(_message.Message):
    __slots__ = ("state", "message", "link", "state_version", "error_type")
    STATE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    STATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    state: _ingest_pb2.RunState
    message: str
    link: _ingest_pb2.LinkState
    state_version: int
    error_type: str
    def __init__(self, state: _Optional[_Union[_ingest_pb2.RunState, str]] = ..., message: _Optional[str] = ..., link: _Optional[_Union[_ingest_pb2.LinkState, str]] = ..., state_version: _Optional[int] = ..., error_type: _Optional[str] = ...) -> None: ...

class WatchRunRequest(_message.Message):
    __slots__ = ("run_id", "after_seq", "payload_kinds", "include_images", "max_image_dimension", "max_frames_per_second", "from_now", "watch_id", "idle", "acknowledges")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_KINDS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_IMAGES_FIELD_NUMBER: _ClassVar[int]
    MAX_IMAGE_DIMENSION_FIELD_NUMBER: _ClassVar[int]
    MAX_FRAMES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    FROM_NOW_FIELD_NUMBER: _ClassVar[int]
    WATCH_ID_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGES_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    after_seq: int
    payload_kinds: _containers.RepeatedScalarFieldContainer[str]
    include_images: bool
    max_image_dimension: int
    max_frames_per_second: float
    from_now: bool
    watch_id: str
    idle: bool
    acknowledges: bool
    def __init__(self, run_id: _Optional[str] = ..., after_seq: _Optional[int] = ..., payload_kinds: _Optional[_Iterable[str]] = ..., include_images: bool = ..., max_image_dimension: _Optional[int] = ..., max_frames_per_second: _Optional[float] = ..., from_now: bool = ..., watch_id: _Optional[str] = ..., idle: bool = ..., acknowledges: bool = ...) -> None: ...

class WatchRunResponse(_message.Message):
    __slots__ = ("events", "caught_up", "resync", "runs", "series", "snapshot", "acknowledge_after", "left_out")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    RESYNC_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGE_AFTER_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    caught_up: bool
    resync: bool
    runs: _containers.RepeatedCompositeFieldContainer[_ingest_pb2.Run]
    series: _containers.RepeatedCompositeFieldContainer[Series]
    snapshot: _containers.RepeatedCompositeFieldContainer[Event]
    acknowledge_after: int
    left_out: int
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., caught_up: bool = ..., resync: bool = ..., runs: _Optional[_Iterable[_Union[_ingest_pb2.Run, _Mapping]]] = ..., series: _Optional[_Iterable[_Union[Series, _Mapping]]] = ..., snapshot: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., acknowledge_after: _Optional[int] = ..., left_out: _Optional[int] = ...) -> None: ...

class AdjustWatchRequest(_message.Message):
    __slots__ = ("watch_id", "max_frames_per_second", "max_image_dimension", "idle", "received_bytes")
    WATCH_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_FRAMES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    MAX_IMAGE_DIMENSION_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    watch_id: str
    max_frames_per_second: float
    max_image_dimension: int
    idle: bool
    received_bytes: int
    def __init__(self, watch_id: _Optional[str] = ..., max_frames_per_second: _Optional[float] = ..., max_image_dimension: _Optional[int] = ..., idle: bool = ..., received_bytes: _Optional[int] = ...) -> None: ...

class AdjustWatchResponse(_message.Message):
    __slots__ = ("found",)
    FOUND_FIELD_NUMBER: _ClassVar[int]
    found: bool
    def __init__(self, found: bool = ...) -> None: ...

class ReplayRunRequest(_message.Message):
    __slots__ = ("run_id", "from_seq", "to_seq", "speed", "include_images")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_SEQ_FIELD_NUMBER: _ClassVar[int]
    TO_SEQ_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_IMAGES_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    from_seq: int
    to_seq: int
    speed: float
    include_images: bool
    def __init__(self, run_id: _Optional[str] = ..., from_seq: _Optional[int] = ..., to_seq: _Optional[int] = ..., speed: _Optional[float] = ..., include_images: bool = ...) -> None: ...

class ReplayRunResponse(_message.Message):
    __slots__ = ("events", "end")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    end: bool
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., end: bool = ...) -> None: ...

class GetHistoryRequest(_message.Message):
    __slots__ = ("run_id", "tags", "step_min", "step_max", "max_points", "index_only", "axis", "kind", "lo", "hi", "every_point")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    STEP_MIN_FIELD_NUMBER: _ClassVar[int]
    STEP_MAX_FIELD_NUMBER: _ClassVar[int]
    MAX_POINTS_FIELD_NUMBER: _ClassVar[int]
    INDEX_ONLY_FIELD_NUMBER: _ClassVar[int]
    AXIS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LO_FIELD_NUMBER: _ClassVar[int]
    HI_FIELD_NUMBER: _ClassVar[int]
    EVERY_POINT_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    step_min: int
    step_max: int
    max_points: int
    index_only: bool
    axis: str
    kind: str
    lo: float
    hi: float
    every_point: bool
    def __init__(self, run_id: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., step_min: _Optional[int] = ..., step_max: _Optional[int] = ..., max_points: _Optional[int] = ..., index_only: bool = ..., axis: _Optional[str] = ..., kind: _Optional[str] = ..., lo: _Optional[float] = ..., hi: _Optional[float] = ..., every_point: bool = ...) -> None: ...

class GetHistoryResponse(_message.Message):
    __slots__ = ("series", "applied_max_points")
    SERIES_FIELD_NUMBER: _ClassVar[int]
    APPLIED_MAX_POINTS_FIELD_NUMBER: _ClassVar[int]
    series: _containers.RepeatedCompositeFieldContainer[Series]
    applied_max_points: int
    def __init__(self, series: _Optional[_Iterable[_Union[Series, _Mapping]]] = ..., applied_max_points: _Optional[int] = ...) -> None: ...

class Series(_message.Message):
    __slots__ = ("tag", "steps", "values", "mins", "maxs", "point_count", "first_step", "last_step", "kind", "x", "y", "exact", "last")
    TAG_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    MINS_FIELD_NUMBER: _ClassVar[int]
    MAXS_FIELD_NUMBER: _ClassVar[int]
    POINT_COUNT_FIELD_NUMBER: _ClassVar[int]
    FIRST_STEP_FIELD_NUMBER: _ClassVar[int]
    LAST_STEP_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    tag: str
    steps: _containers.RepeatedScalarFieldContainer[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    mins: _containers.RepeatedScalarFieldContainer[float]
    maxs: _containers.RepeatedScalarFieldContainer[float]
    point_count: int
    first_step: int
    last_step: int
    kind: str
    x: _containers.RepeatedScalarFieldContainer[float]
    y: _containers.RepeatedScalarFieldContainer[float]
    exact: bool
    last: float
    def __init__(self, tag: _Optional[str] = ..., steps: _Optional[_Iterable[int]] = ..., values: _Optional[_Iterable[float]] = ..., mins: _Optional[_Iterable[float]] = ..., maxs: _Optional[_Iterable[float]] = ..., point_count: _Optional[int] = ..., first_step: _Optional[int] = ..., last_step: _Optional[int] = ..., kind: _Optional[str] = ..., x: _Optional[_Iterable[float]] = ..., y: _Optional[_Iterable[float]] = ..., exact: bool = ..., last: _Optional[float] = ...) -> None: ...

class GetBatchRequest(_message.Message):
    __slots__ = ("run_id", "seq")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    seq: int
    def __init__(self, run_id: _Optional[str] = ..., seq: _Optional[int] = ...) -> None: ...

class GetBatchResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: Event
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class Command(_message.Message):
    __slots__ = ("command_id", "run_id", "kind", "parameters", "ttl", "reason", "expected_state_version", "actor", "peer", "asked_at", "incarnation", "server_epoch")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_STATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    ASKED_AT_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    SERVER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    run_id: str
    kind: CommandKind
    parameters: _containers.ScalarMap[str, str]
    ttl: _duration_pb2.Duration
    reason: str
    expected_state_version: int
    actor: str
    peer: str
    asked_at: _timestamp_pb2.Timestamp
    incarnation: int
    server_epoch: str
    def __init__(self, command_id: _Optional[str] = ..., run_id: _Optional[str] = ..., kind: _Optional[_Union[CommandKind, str]] = ..., parameters: _Optional[_Mapping[str, str]] = ..., ttl: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., reason: _Optional[str] = ..., expected_state_version: _Optional[int] = ..., actor: _Optional[str] = ..., peer: _Optional[str] = ..., asked_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., incarnation: _Optional[int] = ..., server_epoch: _Optional[str] = ...) -> None: ...

class CommandRecord(_message.Message):
    __slots__ = ("command", "state", "actor", "peer", "queued_at", "sent_at", "resolved_at", "before", "after", "error", "applied_at_step")
    class BeforeEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class AfterEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    QUEUED_AT_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_AT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    APPLIED_AT_STEP_FIELD_NUMBER: _ClassVar[int]
    command: Command
    state: CommandState
    actor: str
    peer: str
    queued_at: _timestamp_pb2.Timestamp
    sent_at: _timestamp_pb2.Timestamp
    resolved_at: _timestamp_pb2.Timestamp
    before: _containers.ScalarMap[str, str]
    after: _containers.ScalarMap[str, str]
    error: str
    applied_at_step: int
    def __init__(self, command: _Optional[_Union[Command, _Mapping]] = ..., state: _Optional[_Union[CommandState, str]] = ..., actor: _Optional[str] = ..., peer: _Optional[str] = ..., queued_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., sent_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., resolved_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., before: _Optional[_Mapping[str, str]] = ..., after: _Optional[_Mapping[str, str]] = ..., error: _Optional[str] = ..., applied_at_step: _Optional[int] = ...) -> None: ...

class SendCommandRequest(_message.Message):
    __slots__ = ("command", "wait_for_result")
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    WAIT_FOR_RESULT_FIELD_NUMBER: _ClassVar[int]
    command: Command
    wait_for_result: bool
    def __init__(self, command: _Optional[_Union[Command, _Mapping]] = ..., wait_for_result: bool = ...) -> None: ...

class SendCommandResponse(_message.Message):
    __slots__ = ("record",)
    RECORD_FIELD_NUMBER: _ClassVar[int]
    record: CommandRecord
    def __init__(self, record: _Optional[_Union[CommandRecord, _Mapping]] = ...) -> None: ...

class ListCommandsRequest(_message.Message):
    __slots__ = ("run_id", "page_size", "page_token")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    page_size: int
    page_token: str
    def __init__(self, run_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCommandsResponse(_message.Message):
    __slots__ = ("records", "next_page_token")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[CommandRecord]
    next_page_token: str
    def __init__(self, records: _Optional[_Iterable[_Union[CommandRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListCheckpointsRequest(_message.Message):
    __slots__ = ("run_id", "page_size", "page_token")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    page_size: int
    page_token: str
    def __init__(self, run_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCheckpointsResponse(_message.Message):
    __slots__ = ("checkpoints", "next_page_token")
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    checkpoints: _containers.RepeatedCompositeFieldContainer[_ingest_pb2.Checkpoint]
    next_page_token: str
    def __init__(self, checkpoints: _Optional[_Iterable[_Union[_ingest_pb2.Checkpoint, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DownloadCheckpointRequest(_message.Message):
    __slots__ = ("run_id", "checkpoint_id", "offset")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    checkpoint_id: str
    offset: int
    def __init__(self, run_id: _Optional[str] = ..., checkpoint_id: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class DownloadCheckpointResponse(_message.Message):
    __slots__ = ("data", "offset", "total_bytes", "sha256")
    DATA_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    offset: int
    total_bytes: int
    sha256: str
    def __init__(self, data: _Optional[bytes] = ..., offset: _Optional[int] = ..., total_bytes: _Optional[int] = ..., sha256: _Optional[str] = ...) -> None: ...

class AuditEvent(_message.Message):
    __slots__ = ("event_id", "time", "action", "outcome", "actor", "peer", "run_id", "command_id", "before", "after", "error", "prev_sha256", "sha256")
    class BeforeEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class AfterEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PREV_SHA256_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    time: _timestamp_pb2.Timestamp
    action: str
    outcome: str
    actor: str
    peer: str
    run_id: str
    command_id: str
    before: _containers.ScalarMap[str, str]
    after: _containers.ScalarMap[str, str]
    error: str
    prev_sha256: str
    sha256: str
    def __init__(self, event_id: _Optional[str] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., action: _Optional[str] = ..., outcome: _Optional[str] = ..., actor: _Optional[str] = ..., peer: _Optional[str] = ..., run_id: _Optional[str] = ..., command_id: _Optional[str] = ..., before: _Optional[_Mapping[str, str]] = ..., after: _Optional[_Mapping[str, str]] = ..., error: _Optional[str] = ..., prev_sha256: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class ListAuditEventsRequest(_message.Message):
    __slots__ = ("run_id", "action", "since", "page_size", "page_token", "actor", "outcome")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    action: str
    since: _timestamp_pb2.Timestamp
    page_size: int
    page_token: str
    actor: str
    outcome: str
    def __init__(self, run_id: _Optional[str] = ..., action: _Optional[str] = ..., since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., actor: _Optional[str] = ..., outcome: _Optional[str] = ...) -> None: ...

class ListAuditEventsResponse(_message.Message):
    __slots__ = ("events", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[AuditEvent]
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[AuditEvent, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SetNoteRequest(_message.Message):
    __slots__ = ("run_id", "tag", "step", "note")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    tag: str
    step: int
    note: str
    def __init__(self, run_id: _Optional[str] = ..., tag: _Optional[str] = ..., step: _Optional[int] = ..., note: _Optional[str] = ...) -> None: ...

class SetNoteResponse(_message.Message):
    __slots__ = ("audit",)
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    audit: AuditEvent
    def __init__(self, audit: _Optional[_Union[AuditEvent, _Mapping]] = ...) -> None: ...

class SetSampleFlagsRequest(_message.Message):
    __slots__ = ("run_id", "sample_ids", "action", "tag")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_IDS_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    sample_ids: _containers.RepeatedScalarFieldContainer[str]
    action: SampleFlagAction
    tag: str
    def __init__(self, run_id: _Optional[str] = ..., sample_ids: _Optional[_Iterable[str]] = ..., action: _Optional[_Union[SampleFlagAction, str]] = ..., tag: _Optional[str] = ...) -> None: ...

class SetSampleFlagsResponse(_message.Message):
    __slots__ = ("audit", "changed")
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    audit: AuditEvent
    changed: int
    def __init__(self, audit: _Optional[_Union[AuditEvent, _Mapping]] = ..., changed: _Optional[int] = ...) -> None: ...
