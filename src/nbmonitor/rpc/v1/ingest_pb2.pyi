from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TrainingStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRAINING_STATUS_UNKNOWN: _ClassVar[TrainingStatus]
    TRAINING_STATUS_INITIALIZING: _ClassVar[TrainingStatus]
    TRAINING_STATUS_RUNNING: _ClassVar[TrainingStatus]
    TRAINING_STATUS_PAUSED: _ClassVar[TrainingStatus]
    TRAINING_STATUS_COMPLETED: _ClassVar[TrainingStatus]
    TRAINING_STATUS_FAILED: _ClassVar[TrainingStatus]
    TRAINING_STATUS_STOPPING: _ClassVar[TrainingStatus]
    TRAINING_STATUS_STOPPED: _ClassVar[TrainingStatus]
    TRAINING_STATUS_INTERRUPTED: _ClassVar[TrainingStatus]

class CommandOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMMAND_OUTCOME_UNSPECIFIED: _ClassVar[CommandOutcome]
    COMMAND_OUTCOME_DELIVERED: _ClassVar[CommandOutcome]
    COMMAND_OUTCOME_APPLIED: _ClassVar[CommandOutcome]
    COMMAND_OUTCOME_REJECTED: _ClassVar[CommandOutcome]
    COMMAND_OUTCOME_EXPIRED: _ClassVar[CommandOutcome]

class RunState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STATE_UNSPECIFIED: _ClassVar[RunState]
    RUN_STATE_INITIALIZING: _ClassVar[RunState]
    RUN_STATE_RUNNING: _ClassVar[RunState]
    RUN_STATE_PAUSED: _ClassVar[RunState]
    RUN_STATE_COMPLETED: _ClassVar[RunState]
    RUN_STATE_FAILED: _ClassVar[RunState]
    RUN_STATE_STOPPING: _ClassVar[RunState]
    RUN_STATE_LOST: _ClassVar[RunState]
    RUN_STATE_STOPPED: _ClassVar[RunState]
    RUN_STATE_INTERRUPTED: _ClassVar[RunState]

class LinkState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LINK_STATE_UNSPECIFIED: _ClassVar[LinkState]
    LINK_STATE_CONNECTED: _ClassVar[LinkState]
    LINK_STATE_DEGRADED: _ClassVar[LinkState]
    LINK_STATE_STALE: _ClassVar[LinkState]
    LINK_STATE_DISCONNECTED: _ClassVar[LinkState]
TRAINING_STATUS_UNKNOWN: TrainingStatus
TRAINING_STATUS_INITIALIZING: TrainingStatus
TRAINING_STATUS_RUNNING: TrainingStatus
TRAINING_STATUS_PAUSED: TrainingStatus
TRAINING_STATUS_COMPLETED: TrainingStatus
TRAINING_STATUS_FAILED: TrainingStatus
TRAINING_STATUS_STOPPING: TrainingStatus
TRAINING_STATUS_STOPPED: TrainingStatus
TRAINING_STATUS_INTERRUPTED: TrainingStatus
COMMAND_OUTCOME_UNSPECIFIED: CommandOutcome
COMMAND_OUTCOME_DELIVERED: CommandOutcome
COMMAND_OUTCOME_APPLIED: CommandOutcome
COMMAND_OUTCOME_REJECTED: CommandOutcome
COMMAND_OUTCOME_EXPIRED: CommandOutcome
RUN_STATE_UNSPECIFIED: RunState
RUN_STATE_INITIALIZING: RunState
RUN_STATE_RUNNING: RunState
RUN_STATE_PAUSED: RunState
RUN_STATE_COMPLETED: RunState
RUN_STATE_FAILED: RunState
RUN_STATE_STOPPING: RunState
RUN_STATE_LOST: RunState
RUN_STATE_STOPPED: RunState
RUN_STATE_INTERRUPTED: RunState
LINK_STATE_UNSPECIFIED: LinkState
LINK_STATE_CONNECTED: LinkState
LINK_STATE_DEGRADED: LinkState
LINK_STATE_STALE: LinkState
LINK_STATE_DISCONNECTED: LinkState

class BatchData(_message.Message):
    __slots__ = ("epoch", "batch_idx", "images", "predictions", "ground_truth", "batch_loss", "step", "tag", "total_samples", "images_elided", "frame")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    BATCH_IDX_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    GROUND_TRUTH_FIELD_NUMBER: _ClassVar[int]
    BATCH_LOSS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    IMAGES_ELIDED_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    batch_idx: int
    images: _containers.RepeatedCompositeFieldContainer[ImageData]
    predictions: _containers.RepeatedCompositeFieldContainer[Prediction]
    ground_truth: _containers.RepeatedScalarFieldContainer[int]
    batch_loss: float
    step: int
    tag: str
    total_samples: int
    images_elided: bool
    frame: BatchFrame
    def __init__(self, epoch: _Optional[int] = ..., batch_idx: _Optional[int] = ..., images: _Optional[_Iterable[_Union[ImageData, _Mapping]]] = ..., predictions: _Optional[_Iterable[_Union[Prediction, _Mapping]]] = ..., ground_truth: _Optional[_Iterable[int]] = ..., batch_loss: _Optional[float] = ..., step: _Optional[int] = ..., tag: _Optional[str] = ..., total_samples: _Optional[int] = ..., images_elided: bool = ..., frame: _Optional[_Union[BatchFrame, _Mapping]] = ...) -> None: ...

class ImageData(_message.Message):
    __slots__ = ("image_bytes", "mime_type", "width", "height", "sample_id", "labels")
    IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MIME_TYPE_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    image_bytes: bytes
    mime_type: str
    width: int
    height: int
    sample_id: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, image_bytes: _Optional[bytes] = ..., mime_type: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., sample_id: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ...) -> None: ...

class Prediction(_message.Message):
    __slots__ = ("predicted_class", "confidence")
    PREDICTED_CLASS_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    predicted_class: int
    confidence: float
    def __init__(self, predicted_class: _Optional[int] = ..., confidence: _Optional[float] = ...) -> None: ...

class EpochData(_message.Message):
    __slots__ = ("epoch", "average_loss", "average_accuracy", "step", "split", "values")
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
    STEP_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    average_loss: float
    average_accuracy: float
    step: int
    split: str
    values: _containers.ScalarMap[str, float]
    def __init__(self, epoch: _Optional[int] = ..., average_loss: _Optional[float] = ..., average_accuracy: _Optional[float] = ..., step: _Optional[int] = ..., split: _Optional[str] = ..., values: _Optional[_Mapping[str, float]] = ...) -> None: ...

class PerformanceData(_message.Message):
    __slots__ = ("time_per_batch_ms", "total_time_for_epoch_sec", "estimated_time_remaining_sec", "current_fps", "average_fps", "resource_usage", "timestamp_ms", "step", "data_ms", "forward_ms", "backward_ms", "overhead_percent", "performance")
    TIME_PER_BATCH_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TIME_FOR_EPOCH_SEC_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_TIME_REMAINING_SEC_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FPS_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_FPS_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_USAGE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    DATA_MS_FIELD_NUMBER: _ClassVar[int]
    FORWARD_MS_FIELD_NUMBER: _ClassVar[int]
    BACKWARD_MS_FIELD_NUMBER: _ClassVar[int]
    OVERHEAD_PERCENT_FIELD_NUMBER: _ClassVar[int]
    PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    time_per_batch_ms: float
    total_time_for_epoch_sec: float
    estimated_time_remaining_sec: float
    current_fps: float
    average_fps: float
    resource_usage: ResourceUsage
    timestamp_ms: int
    step: int
    data_ms: float
    forward_ms: float
    backward_ms: float
    overhead_percent: float
    performance: Performance
    def __init__(self, time_per_batch_ms: _Optional[float] = ..., total_time_for_epoch_sec: _Optional[float] = ..., estimated_time_remaining_sec: _Optional[float] = ..., current_fps: _Optional[float] = ..., average_fps: _Optional[float] = ..., resource_usage: _Optional[_Union[ResourceUsage, _Mapping]] = ..., timestamp_ms: _Optional[int] = ..., step: _Optional[int] = ..., data_ms: _Optional[float] = ..., forward_ms: _Optional[float] = ..., backward_ms: _Optional[float] = ..., overhead_percent: _Optional[float] = ..., performance: _Optional[_Union[Performance, _Mapping]] = ...) -> None: ...

class ResourceUsage(_message.Message):
    __slots__ = ("cpu_percent", "memory_mb", "gpu_percent", "gpu_memory_mb", "devices")
    CPU_PERCENT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MB_FIELD_NUMBER: _ClassVar[int]
    GPU_PERCENT_FIELD_NUMBER: _ClassVar[int]
    GPU_MEMORY_MB_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    cpu_percent: float
    memory_mb: float
    gpu_percent: float
    gpu_memory_mb: float
    devices: _containers.RepeatedCompositeFieldContainer[DeviceUsage]
    def __init__(self, cpu_percent: _Optional[float] = ..., memory_mb: _Optional[float] = ..., gpu_percent: _Optional[float] = ..., gpu_memory_mb: _Optional[float] = ..., devices: _Optional[_Iterable[_Union[DeviceUsage, _Mapping]]] = ...) -> None: ...

class StatusUpdate(_message.Message):
    __slots__ = ("status", "message", "config", "timestamp_ms", "step", "state_version", "error_type")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    STATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    status: TrainingStatus
    message: str
    config: TrainingConfig
    timestamp_ms: int
    step: int
    state_version: int
    error_type: str
    def __init__(self, status: _Optional[_Union[TrainingStatus, str]] = ..., message: _Optional[str] = ..., config: _Optional[_Union[TrainingConfig, _Mapping]] = ..., timestamp_ms: _Optional[int] = ..., step: _Optional[int] = ..., state_version: _Optional[int] = ..., error_type: _Optional[str] = ...) -> None: ...

class TrainingConfig(_message.Message):
    __slots__ = ("total_epochs", "batches_per_epoch", "batch_size", "model_name", "dataset_name", "class_names", "hyperparameters")
    class HyperparametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOTAL_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    BATCHES_PER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    DATASET_NAME_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAMES_FIELD_NUMBER: _ClassVar[int]
    HYPERPARAMETERS_FIELD_NUMBER: _ClassVar[int]
    total_epochs: int
    batches_per_epoch: int
    batch_size: int
    model_name: str
    dataset_name: str
    class_names: _containers.RepeatedScalarFieldContainer[str]
    hyperparameters: _containers.ScalarMap[str, str]
    def __init__(self, total_epochs: _Optional[int] = ..., batches_per_epoch: _Optional[int] = ..., batch_size: _Optional[int] = ..., model_name: _Optional[str] = ..., dataset_name: _Optional[str] = ..., class_names: _Optional[_Iterable[str]] = ..., hyperparameters: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SessionInfo(_message.Message):
    __slots__ = ("session_id", "client_name", "client_version", "config", "timestamp_ms", "hello")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    CLIENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    client_name: str
    client_version: str
    config: TrainingConfig
    timestamp_ms: int
    hello: Hello
    def __init__(self, session_id: _Optional[str] = ..., client_name: _Optional[str] = ..., client_version: _Optional[str] = ..., config: _Optional[_Union[TrainingConfig, _Mapping]] = ..., timestamp_ms: _Optional[int] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ...) -> None: ...

class SessionResponse(_message.Message):
    __slots__ = ("success", "session_id", "message", "server_config", "welcome")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SERVER_CONFIG_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    success: bool
    session_id: str
    message: str
    server_config: ServerConfig
    welcome: Welcome
    def __init__(self, success: bool = ..., session_id: _Optional[str] = ..., message: _Optional[str] = ..., server_config: _Optional[_Union[ServerConfig, _Mapping]] = ..., welcome: _Optional[_Union[Welcome, _Mapping]] = ...) -> None: ...

class ServerConfig(_message.Message):
    __slots__ = ("max_batch_size", "max_image_dimension", "heartbeat_interval_ms", "buffer_size", "max_message_bytes", "max_unacked", "max_name_characters", "max_streams")
    MAX_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_IMAGE_DIMENSION_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    BUFFER_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_UNACKED_FIELD_NUMBER: _ClassVar[int]
    MAX_NAME_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    MAX_STREAMS_FIELD_NUMBER: _ClassVar[int]
    max_batch_size: int
    max_image_dimension: int
    heartbeat_interval_ms: int
    buffer_size: int
    max_message_bytes: int
    max_unacked: int
    max_name_characters: int
    max_streams: int
    def __init__(self, max_batch_size: _Optional[int] = ..., max_image_dimension: _Optional[int] = ..., heartbeat_interval_ms: _Optional[int] = ..., buffer_size: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., max_unacked: _Optional[int] = ..., max_name_characters: _Optional[int] = ..., max_streams: _Optional[int] = ...) -> None: ...

class MetricsRequest(_message.Message):
    __slots__ = ("session_id", "timestamp_ms", "batch_data", "epoch_data", "performance_data", "status_update", "heartbeat", "hello", "scalars", "command_result", "run_end", "gap", "checkpoint", "log", "attributes", "evaluation", "change", "seq", "incarnation", "rank", "crc32", "step")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    BATCH_DATA_FIELD_NUMBER: _ClassVar[int]
    EPOCH_DATA_FIELD_NUMBER: _ClassVar[int]
    PERFORMANCE_DATA_FIELD_NUMBER: _ClassVar[int]
    STATUS_UPDATE_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    SCALARS_FIELD_NUMBER: _ClassVar[int]
    COMMAND_RESULT_FIELD_NUMBER: _ClassVar[int]
    RUN_END_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    CRC32_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    timestamp_ms: int
    batch_data: BatchData
    epoch_data: EpochData
    performance_data: PerformanceData
    status_update: StatusUpdate
    heartbeat: Heartbeat
    hello: Hello
    scalars: ScalarColumns
    command_result: CommandResult
    run_end: RunEnd
    gap: Gap
    checkpoint: Checkpoint
    log: LogLine
    attributes: Attributes
    evaluation: EvaluationProgress
    change: RunChange
    seq: int
    incarnation: int
    rank: int
    crc32: int
    step: int
    def __init__(self, session_id: _Optional[str] = ..., timestamp_ms: _Optional[int] = ..., batch_data: _Optional[_Union[BatchData, _Mapping]] = ..., epoch_data: _Optional[_Union[EpochData, _Mapping]] = ..., performance_data: _Optional[_Union[PerformanceData, _Mapping]] = ..., status_update: _Optional[_Union[StatusUpdate, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., scalars: _Optional[_Union[ScalarColumns, _Mapping]] = ..., command_result: _Optional[_Union[CommandResult, _Mapping]] = ..., run_end: _Optional[_Union[RunEnd, _Mapping]] = ..., gap: _Optional[_Union[Gap, _Mapping]] = ..., checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ..., log: _Optional[_Union[LogLine, _Mapping]] = ..., attributes: _Optional[_Union[Attributes, _Mapping]] = ..., evaluation: _Optional[_Union[EvaluationProgress, _Mapping]] = ..., change: _Optional[_Union[RunChange, _Mapping]] = ..., seq: _Optional[int] = ..., incarnation: _Optional[int] = ..., rank: _Optional[int] = ..., crc32: _Optional[int] = ..., step: _Optional[int] = ...) -> None: ...

class MetricsResponse(_message.Message):
    __slots__ = ("session_id", "timestamp_ms", "ack", "command", "error", "welcome", "event_ack", "heartbeat_echo", "flow", "goodbye")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    EVENT_ACK_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_ECHO_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    timestamp_ms: int
    ack: Acknowledgment
    command: ControlCommand
    error: ErrorResponse
    welcome: Welcome
    event_ack: EventAck
    heartbeat_echo: HeartbeatEcho
    flow: FlowControl
    goodbye: Goodbye
    def __init__(self, session_id: _Optional[str] = ..., timestamp_ms: _Optional[int] = ..., ack: _Optional[_Union[Acknowledgment, _Mapping]] = ..., command: _Optional[_Union[ControlCommand, _Mapping]] = ..., error: _Optional[_Union[ErrorResponse, _Mapping]] = ..., welcome: _Optional[_Union[Welcome, _Mapping]] = ..., event_ack: _Optional[_Union[EventAck, _Mapping]] = ..., heartbeat_echo: _Optional[_Union[HeartbeatEcho, _Mapping]] = ..., flow: _Optional[_Union[FlowControl, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("timestamp_ms", "sequence_number", "interval_ms", "step", "queued", "dropped_total", "oldest_age_ms", "boundary_age_ms", "rtt_ms", "lost_total")
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    DROPPED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    OLDEST_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    BOUNDARY_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    RTT_MS_FIELD_NUMBER: _ClassVar[int]
    LOST_TOTAL_FIELD_NUMBER: _ClassVar[int]
    timestamp_ms: int
    sequence_number: int
    interval_ms: int
    step: int
    queued: int
    dropped_total: int
    oldest_age_ms: float
    boundary_age_ms: float
    rtt_ms: float
    lost_total: int
    def __init__(self, timestamp_ms: _Optional[int] = ..., sequence_number: _Optional[int] = ..., interval_ms: _Optional[int] = ..., step: _Optional[int] = ..., queued: _Optional[int] = ..., dropped_total: _Optional[int] = ..., oldest_age_ms: _Optional[float] = ..., boundary_age_ms: _Optional[float] = ..., rtt_ms: _Optional[float] = ..., lost_total: _Optional[int] = ...) -> None: ...

class Acknowledgment(_message.Message):
    __slots__ = ("batch_idx", "success", "epoch", "seq")
    BATCH_IDX_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    batch_idx: int
    success: bool
    epoch: int
    seq: int
    def __init__(self, batch_idx: _Optional[int] = ..., success: bool = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ...) -> None: ...

class ControlCommand(_message.Message):
    __slots__ = ("type", "parameters", "command_id", "ttl_ms", "incarnation", "expected_state_version", "target", "mode", "number", "integer", "text", "actor", "peer")
    class CommandType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        COMMAND_TYPE_UNKNOWN_COMMAND: _ClassVar[ControlCommand.CommandType]
        COMMAND_TYPE_PAUSE_TRAINING: _ClassVar[ControlCommand.CommandType]
        COMMAND_TYPE_RESUME_TRAINING: _ClassVar[ControlCommand.CommandType]
        COMMAND_TYPE_STOP_TRAINING: _ClassVar[ControlCommand.CommandType]
        COMMAND_TYPE_ADJUST_BATCH_SIZE: _ClassVar[ControlCommand.CommandType]
        COMMAND_TYPE_CHANGE_LEARNING_RATE: _ClassVar[ControlCommand.CommandType]
        COMMAND_TYPE_SET_HYPERPARAMETER: _ClassVar[ControlCommand.CommandType]
        COMMAND_TYPE_SAVE_CHECKPOINT: _ClassVar[ControlCommand.CommandType]
        COMMAND_TYPE_RESTORE_CHECKPOINT: _ClassVar[ControlCommand.CommandType]
        COMMAND_TYPE_RUN_EVALUATION: _ClassVar[ControlCommand.CommandType]
        COMMAND_TYPE_CANCEL_EVALUATION: _ClassVar[ControlCommand.CommandType]
        COMMAND_TYPE_STEP: _ClassVar[ControlCommand.CommandType]
    COMMAND_TYPE_UNKNOWN_COMMAND: ControlCommand.CommandType
    COMMAND_TYPE_PAUSE_TRAINING: ControlCommand.CommandType
    COMMAND_TYPE_RESUME_TRAINING: ControlCommand.CommandType
    COMMAND_TYPE_STOP_TRAINING: ControlCommand.CommandType
    COMMAND_TYPE_ADJUST_BATCH_SIZE: ControlCommand.CommandType
    COMMAND_TYPE_CHANGE_LEARNING_RATE: ControlCommand.CommandType
    COMMAND_TYPE_SET_HYPERPARAMETER: ControlCommand.CommandType
    COMMAND_TYPE_SAVE_CHECKPOINT: ControlCommand.CommandType
    COMMAND_TYPE_RESTORE_CHECKPOINT: ControlCommand.CommandType
    COMMAND_TYPE_RUN_EVALUATION: ControlCommand.CommandType
    COMMAND_TYPE_CANCEL_EVALUATION: ControlCommand.CommandType
    COMMAND_TYPE_STEP: ControlCommand.CommandType
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_STATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    type: ControlCommand.CommandType
    parameters: _containers.ScalarMap[str, str]
    command_id: str
    ttl_ms: int
    incarnation: int
    expected_state_version: int
    target: str
    mode: str
    number: float
    integer: int
    text: str
    actor: str
    peer: str
    def __init__(self, type: _Optional[_Union[ControlCommand.CommandType, str]] = ..., parameters: _Optional[_Mapping[str, str]] = ..., command_id: _Optional[str] = ..., ttl_ms: _Optional[int] = ..., incarnation: _Optional[int] = ..., expected_state_version: _Optional[int] = ..., target: _Optional[str] = ..., mode: _Optional[str] = ..., number: _Optional[float] = ..., integer: _Optional[int] = ..., text: _Optional[str] = ..., actor: _Optional[str] = ..., peer: _Optional[str] = ...) -> None: ...

class ErrorResponse(_message.Message):
    __slots__ = ("code", "message", "watermark", "seq")
    class ErrorCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ERROR_CODE_UNKNOWN_ERROR: _ClassVar[ErrorResponse.ErrorCode]
        ERROR_CODE_INVALID_SESSION: _ClassVar[ErrorResponse.ErrorCode]
        ERROR_CODE_INVALID_DATA: _ClassVar[ErrorResponse.ErrorCode]
        ERROR_CODE_BUFFER_FULL: _ClassVar[ErrorResponse.ErrorCode]
        ERROR_CODE_INTERNAL_ERROR: _ClassVar[ErrorResponse.ErrorCode]
        ERROR_CODE_DATA_LOSS: _ClassVar[ErrorResponse.ErrorCode]
        ERROR_CODE_CRC_MISMATCH: _ClassVar[ErrorResponse.ErrorCode]
        ERROR_CODE_ALREADY_EXISTS: _ClassVar[ErrorResponse.ErrorCode]
        ERROR_CODE_UNSUPPORTED: _ClassVar[ErrorResponse.ErrorCode]
    ERROR_CODE_UNKNOWN_ERROR: ErrorResponse.ErrorCode
    ERROR_CODE_INVALID_SESSION: ErrorResponse.ErrorCode
    ERROR_CODE_INVALID_DATA: ErrorResponse.ErrorCode
    ERROR_CODE_BUFFER_FULL: ErrorResponse.ErrorCode
    ERROR_CODE_INTERNAL_ERROR: ErrorResponse.ErrorCode
    ERROR_CODE_DATA_LOSS: ErrorResponse.ErrorCode
    ERROR_CODE_CRC_MISMATCH: ErrorResponse.ErrorCode
    ERROR_CODE_ALREADY_EXISTS: ErrorResponse.ErrorCode
    ERROR_CODE_UNSUPPORTED: ErrorResponse.ErrorCode
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    code: ErrorResponse.ErrorCode
    message: str
    watermark: int
    seq: int
    def __init__(self, code: _Optional[_Union[ErrorResponse.ErrorCode, str]] = ..., message: _Optional[str] = ..., watermark: _Optional[int] = ..., seq: _Optional[int] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("run_id", "owner_secret", "client_name", "client_version", "protocol_major", "protocol_minor", "world_size", "config", "attributes", "supported_commands", "first_unacked_seq", "monotonic_ms", "name", "run")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_SECRET_FIELD_NUMBER: _ClassVar[int]
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    CLIENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MAJOR_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MINOR_FIELD_NUMBER: _ClassVar[int]
    WORLD_SIZE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    SUPPORTED_COMMANDS_FIELD_NUMBER: _ClassVar[int]
    FIRST_UNACKED_SEQ_FIELD_NUMBER: _ClassVar[int]
    MONOTONIC_MS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    owner_secret: str
    client_name: str
    client_version: str
    protocol_major: int
    protocol_minor: int
    world_size: int
    config: TrainingConfig
    attributes: _containers.ScalarMap[str, str]
    supported_commands: _containers.RepeatedScalarFieldContainer[str]
    first_unacked_seq: int
    monotonic_ms: int
    name: str
    run: Run
    def __init__(self, run_id: _Optional[str] = ..., owner_secret: _Optional[str] = ..., client_name: _Optional[str] = ..., client_version: _Optional[str] = ..., protocol_major: _Optional[int] = ..., protocol_minor: _Optional[int] = ..., world_size: _Optional[int] = ..., config: _Optional[_Union[TrainingConfig, _Mapping]] = ..., attributes: _Optional[_Mapping[str, str]] = ..., supported_commands: _Optional[_Iterable[str]] = ..., first_unacked_seq: _Optional[int] = ..., monotonic_ms: _Optional[int] = ..., name: _Optional[str] = ..., run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("run_id", "watermark", "server_epoch", "protocol_major", "protocol_minor", "config", "capabilities", "volatile_store")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    SERVER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MAJOR_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MINOR_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    VOLATILE_STORE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    watermark: int
    server_epoch: str
    protocol_major: int
    protocol_minor: int
    config: ServerConfig
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    volatile_store: bool
    def __init__(self, run_id: _Optional[str] = ..., watermark: _Optional[int] = ..., server_epoch: _Optional[str] = ..., protocol_major: _Optional[int] = ..., protocol_minor: _Optional[int] = ..., config: _Optional[_Union[ServerConfig, _Mapping]] = ..., capabilities: _Optional[_Iterable[str]] = ..., volatile_store: bool = ...) -> None: ...

class EventAck(_message.Message):
    __slots__ = ("up_to_seq", "stored")
    UP_TO_SEQ_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    up_to_seq: int
    stored: bool
    def __init__(self, up_to_seq: _Optional[int] = ..., stored: bool = ...) -> None: ...

class HeartbeatEcho(_message.Message):
    __slots__ = ("sequence_number", "server_time_ms")
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    sequence_number: int
    server_time_ms: int
    def __init__(self, sequence_number: _Optional[int] = ..., server_time_ms: _Optional[int] = ...) -> None: ...

class FlowControl(_message.Message):
    __slots__ = ("max_batches_per_second", "images_wanted", "max_image_dimension", "live")
    MAX_BATCHES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    IMAGES_WANTED_FIELD_NUMBER: _ClassVar[int]
    MAX_IMAGE_DIMENSION_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    max_batches_per_second: float
    images_wanted: bool
    max_image_dimension: int
    live: bool
    def __init__(self, max_batches_per_second: _Optional[float] = ..., images_wanted: bool = ..., max_image_dimension: _Optional[int] = ..., live: bool = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("reason", "retry_after_ms")
    REASON_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    retry_after_ms: int
    def __init__(self, reason: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class ScalarColumns(_message.Message):
    __slots__ = ("columns", "split")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    split: str
    def __init__(self, columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ..., split: _Optional[str] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("tag", "steps", "values", "time_delta_ms", "kind")
    TAG_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    TIME_DELTA_MS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    tag: str
    steps: _containers.RepeatedScalarFieldContainer[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    time_delta_ms: _containers.RepeatedScalarFieldContainer[int]
    kind: str
    def __init__(self, tag: _Optional[str] = ..., steps: _Optional[_Iterable[int]] = ..., values: _Optional[_Iterable[float]] = ..., time_delta_ms: _Optional[_Iterable[int]] = ..., kind: _Optional[str] = ...) -> None: ...

class CommandResult(_message.Message):
    __slots__ = ("command_id", "outcome", "applied_at_step", "before", "after", "error", "state_version", "kind", "parameters", "actor")
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
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    APPLIED_AT_STEP_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    STATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    outcome: CommandOutcome
    applied_at_step: int
    before: _containers.ScalarMap[str, str]
    after: _containers.ScalarMap[str, str]
    error: str
    state_version: int
    kind: str
    parameters: _containers.ScalarMap[str, str]
    actor: str
    def __init__(self, command_id: _Optional[str] = ..., outcome: _Optional[_Union[CommandOutcome, str]] = ..., applied_at_step: _Optional[int] = ..., before: _Optional[_Mapping[str, str]] = ..., after: _Optional[_Mapping[str, str]] = ..., error: _Optional[str] = ..., state_version: _Optional[int] = ..., kind: _Optional[str] = ..., parameters: _Optional[_Mapping[str, str]] = ..., actor: _Optional[str] = ...) -> None: ...

class RunEnd(_message.Message):
    __slots__ = ("status", "last_seq", "error_type", "error_message", "exit_code")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    status: TrainingStatus
    last_seq: int
    error_type: str
    error_message: str
    exit_code: int
    def __init__(self, status: _Optional[_Union[TrainingStatus, str]] = ..., last_seq: _Optional[int] = ..., error_type: _Optional[str] = ..., error_message: _Optional[str] = ..., exit_code: _Optional[int] = ...) -> None: ...

class Gap(_message.Message):
    __slots__ = ("first_seq", "last_seq", "reason", "count")
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    first_seq: int
    last_seq: int
    reason: str
    count: int
    def __init__(self, first_seq: _Optional[int] = ..., last_seq: _Optional[int] = ..., reason: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("checkpoint_id", "run_id", "step", "epoch", "uri", "size_bytes", "sha256", "created_at_ms", "metrics", "has_optimizer")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    CHECKPOINT_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    HAS_OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    checkpoint_id: str
    run_id: str
    step: int
    epoch: int
    uri: str
    size_bytes: int
    sha256: str
    created_at_ms: int
    metrics: _containers.ScalarMap[str, float]
    has_optimizer: bool
    def __init__(self, checkpoint_id: _Optional[str] = ..., run_id: _Optional[str] = ..., step: _Optional[int] = ..., epoch: _Optional[int] = ..., uri: _Optional[str] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[str] = ..., created_at_ms: _Optional[int] = ..., metrics: _Optional[_Mapping[str, float]] = ..., has_optimizer: bool = ...) -> None: ...

class LogLine(_message.Message):
    __slots__ = ("level", "text")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    level: str
    text: str
    def __init__(self, level: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class Attributes(_message.Message):
    __slots__ = ("values",)
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.ScalarMap[str, str]
    def __init__(self, values: _Optional[_Mapping[str, str]] = ...) -> None: ...

class EvaluationProgress(_message.Message):
    __slots__ = ("evaluation_id", "split", "current", "total", "state", "results", "error")
    class ResultsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    EVALUATION_ID_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    evaluation_id: str
    split: str
    current: int
    total: int
    state: str
    results: _containers.ScalarMap[str, float]
    error: str
    def __init__(self, evaluation_id: _Optional[str] = ..., split: _Optional[str] = ..., current: _Optional[int] = ..., total: _Optional[int] = ..., state: _Optional[str] = ..., results: _Optional[_Mapping[str, float]] = ..., error: _Optional[str] = ...) -> None: ...

class DeviceUsage(_message.Message):
    __slots__ = ("index", "name", "percent", "memory_mb", "memory_total_mb", "temperature_c", "power_w")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MB_FIELD_NUMBER: _ClassVar[int]
    MEMORY_TOTAL_MB_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_C_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    index: int
    name: str
    percent: float
    memory_mb: float
    memory_total_mb: float
    temperature_c: float
    power_w: float
    def __init__(self, index: _Optional[int] = ..., name: _Optional[str] = ..., percent: _Optional[float] = ..., memory_mb: _Optional[float] = ..., memory_total_mb: _Optional[float] = ..., temperature_c: _Optional[float] = ..., power_w: _Optional[float] = ...) -> None: ...

class UploadCheckpointRequest(_message.Message):
    __slots__ = ("header", "data")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    header: Checkpoint
    data: bytes
    def __init__(self, header: _Optional[_Union[Checkpoint, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class UploadCheckpointResponse(_message.Message):
    __slots__ = ("checkpoint",)
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: Checkpoint
    def __init__(self, checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("run_id", "session_id", "name", "notes", "state", "link", "client_name", "client_version", "config", "attributes", "created_at", "last_seen_at", "last_seq", "reconnect_count", "dropped_frames", "rank", "world_size", "origin", "clock_skew_ms", "state_version", "incarnation", "controls", "steerable", "why", "boundary_age_s", "message", "ended_at", "tags", "step", "link_rtt_s", "lost", "wheel", "wheel_locked", "wheel_since")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ControlsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    CLIENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    RECONNECT_COUNT_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FRAMES_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    WORLD_SIZE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CLOCK_SKEW_MS_FIELD_NUMBER: _ClassVar[int]
    STATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    CONTROLS_FIELD_NUMBER: _ClassVar[int]
    STEERABLE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    BOUNDARY_AGE_S_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    LINK_RTT_S_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    WHEEL_FIELD_NUMBER: _ClassVar[int]
    WHEEL_LOCKED_FIELD_NUMBER: _ClassVar[int]
    WHEEL_SINCE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    session_id: str
    name: str
    notes: str
    state: RunState
    link: LinkState
    client_name: str
    client_version: str
    config: RunConfig
    attributes: _containers.ScalarMap[str, str]
    created_at: _timestamp_pb2.Timestamp
    last_seen_at: _timestamp_pb2.Timestamp
    last_seq: int
    reconnect_count: int
    dropped_frames: int
    rank: int
    world_size: int
    origin: str
    clock_skew_ms: float
    state_version: int
    incarnation: int
    controls: _containers.ScalarMap[str, str]
    steerable: bool
    why: str
    boundary_age_s: float
    message: str
    ended_at: _timestamp_pb2.Timestamp
    tags: _containers.RepeatedScalarFieldContainer[str]
    step: int
    link_rtt_s: float
    lost: int
    wheel: str
    wheel_locked: bool
    wheel_since: _timestamp_pb2.Timestamp
    def __init__(self, run_id: _Optional[str] = ..., session_id: _Optional[str] = ..., name: _Optional[str] = ..., notes: _Optional[str] = ..., state: _Optional[_Union[RunState, str]] = ..., link: _Optional[_Union[LinkState, str]] = ..., client_name: _Optional[str] = ..., client_version: _Optional[str] = ..., config: _Optional[_Union[RunConfig, _Mapping]] = ..., attributes: _Optional[_Mapping[str, str]] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., last_seen_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., last_seq: _Optional[int] = ..., reconnect_count: _Optional[int] = ..., dropped_frames: _Optional[int] = ..., rank: _Optional[int] = ..., world_size: _Optional[int] = ..., origin: _Optional[str] = ..., clock_skew_ms: _Optional[float] = ..., state_version: _Optional[int] = ..., incarnation: _Optional[int] = ..., controls: _Optional[_Mapping[str, str]] = ..., steerable: bool = ..., why: _Optional[str] = ..., boundary_age_s: _Optional[float] = ..., message: _Optional[str] = ..., ended_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., tags: _Optional[_Iterable[str]] = ..., step: _Optional[int] = ..., link_rtt_s: _Optional[float] = ..., lost: _Optional[int] = ..., wheel: _Optional[str] = ..., wheel_locked: bool = ..., wheel_since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RunConfig(_message.Message):
    __slots__ = ("total_epochs", "batches_per_epoch", "batch_size", "model_name", "dataset_name", "class_names", "hyperparameters")
    class HyperparametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOTAL_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    BATCHES_PER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    DATASET_NAME_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAMES_FIELD_NUMBER: _ClassVar[int]
    HYPERPARAMETERS_FIELD_NUMBER: _ClassVar[int]
    total_epochs: int
    batches_per_epoch: int
    batch_size: int
    model_name: str
    dataset_name: str
    class_names: _containers.RepeatedScalarFieldContainer[str]
    hyperparameters: _containers.ScalarMap[str, str]
    def __init__(self, total_epochs: _Optional[int] = ..., batches_per_epoch: _Optional[int] = ..., batch_size: _Optional[int] = ..., model_name: _Optional[str] = ..., dataset_name: _Optional[str] = ..., class_names: _Optional[_Iterable[str]] = ..., hyperparameters: _Optional[_Mapping[str, str]] = ...) -> None: ...

class RunChange(_message.Message):
    __slots__ = ("fields", "name", "notes", "config", "controls")
    class ControlsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    CONTROLS_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.RepeatedScalarFieldContainer[str]
    name: str
    notes: str
    config: RunConfig
    controls: _containers.ScalarMap[str, str]
    def __init__(self, fields: _Optional[_Iterable[str]] = ..., name: _Optional[str] = ..., notes: _Optional[str] = ..., config: _Optional[_Union[RunConfig, _Mapping]] = ..., controls: _Optional[_Mapping[str, str]] = ...) -> None: ...

class BatchFrame(_message.Message):
    __slots__ = ("epoch", "batch_idx", "step", "loss", "samples", "total_samples", "images_elided", "mosaic", "split", "right", "counted")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    BATCH_IDX_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    IMAGES_ELIDED_FIELD_NUMBER: _ClassVar[int]
    MOSAIC_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    COUNTED_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    batch_idx: int
    step: int
    loss: float
    samples: _containers.RepeatedCompositeFieldContainer[SampleView]
    total_samples: int
    images_elided: bool
    mosaic: Mosaic
    split: str
    right: int
    counted: int
    def __init__(self, epoch: _Optional[int] = ..., batch_idx: _Optional[int] = ..., step: _Optional[int] = ..., loss: _Optional[float] = ..., samples: _Optional[_Iterable[_Union[SampleView, _Mapping]]] = ..., total_samples: _Optional[int] = ..., images_elided: bool = ..., mosaic: _Optional[_Union[Mosaic, _Mapping]] = ..., split: _Optional[str] = ..., right: _Optional[int] = ..., counted: _Optional[int] = ...) -> None: ...

class SampleView(_message.Message):
    __slots__ = ("image", "mime_type", "width", "height", "predicted_class", "confidence", "ground_truth", "sample_id", "labels")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MIME_TYPE_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_CLASS_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    GROUND_TRUTH_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    mime_type: str
    width: int
    height: int
    predicted_class: int
    confidence: float
    ground_truth: int
    sample_id: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, image: _Optional[bytes] = ..., mime_type: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., predicted_class: _Optional[int] = ..., confidence: _Optional[float] = ..., ground_truth: _Optional[int] = ..., sample_id: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ...) -> None: ...

class Mosaic(_message.Message):
    __slots__ = ("image", "mime_type", "columns", "rows", "tile_width", "tile_height")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MIME_TYPE_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TILE_WIDTH_FIELD_NUMBER: _ClassVar[int]
    TILE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    mime_type: str
    columns: int
    rows: int
    tile_width: int
    tile_height: int
    def __init__(self, image: _Optional[bytes] = ..., mime_type: _Optional[str] = ..., columns: _Optional[int] = ..., rows: _Optional[int] = ..., tile_width: _Optional[int] = ..., tile_height: _Optional[int] = ...) -> None: ...

class Performance(_message.Message):
    __slots__ = ("time_per_batch_ms", "epoch_seconds", "eta_seconds", "current_fps", "average_fps", "cpu_percent", "memory_mb", "gpu_percent", "gpu_memory_mb", "devices", "split", "epoch", "epochs", "batch", "batches", "progress", "eta", "samples_per_second", "median_step", "epoch_time", "overhead", "memory_total_mb", "delay", "worker_cpu", "limits")
    TIME_PER_BATCH_MS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ETA_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FPS_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_FPS_FIELD_NUMBER: _ClassVar[int]
    CPU_PERCENT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MB_FIELD_NUMBER: _ClassVar[int]
    GPU_PERCENT_FIELD_NUMBER: _ClassVar[int]
    GPU_MEMORY_MB_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ETA_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    MEDIAN_STEP_FIELD_NUMBER: _ClassVar[int]
    EPOCH_TIME_FIELD_NUMBER: _ClassVar[int]
    OVERHEAD_FIELD_NUMBER: _ClassVar[int]
    MEMORY_TOTAL_MB_FIELD_NUMBER: _ClassVar[int]
    DELAY_FIELD_NUMBER: _ClassVar[int]
    WORKER_CPU_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    time_per_batch_ms: float
    epoch_seconds: float
    eta_seconds: float
    current_fps: float
    average_fps: float
    cpu_percent: float
    memory_mb: float
    gpu_percent: float
    gpu_memory_mb: float
    devices: _containers.RepeatedCompositeFieldContainer[DeviceUsage]
    split: str
    epoch: int
    epochs: int
    batch: int
    batches: int
    progress: float
    eta: float
    samples_per_second: float
    median_step: float
    epoch_time: float
    overhead: float
    memory_total_mb: float
    delay: float
    worker_cpu: float
    limits: str
    def __init__(self, time_per_batch_ms: _Optional[float] = ..., epoch_seconds: _Optional[float] = ..., eta_seconds: _Optional[float] = ..., current_fps: _Optional[float] = ..., average_fps: _Optional[float] = ..., cpu_percent: _Optional[float] = ..., memory_mb: _Optional[float] = ..., gpu_percent: _Optional[float] = ..., gpu_memory_mb: _Optional[float] = ..., devices: _Optional[_Iterable[_Union[DeviceUsage, _Mapping]]] = ..., split: _Optional[str] = ..., epoch: _Optional[int] = ..., epochs: _Optional[int] = ..., batch: _Optional[int] = ..., batches: _Optional[int] = ..., progress: _Optional[float] = ..., eta: _Optional[float] = ..., samples_per_second: _Optional[float] = ..., median_step: _Optional[float] = ..., epoch_time: _Optional[float] = ..., overhead: _Optional[float] = ..., memory_total_mb: _Optional[float] = ..., delay: _Optional[float] = ..., worker_cpu: _Optional[float] = ..., limits: _Optional[str] = ...) -> None: ...
