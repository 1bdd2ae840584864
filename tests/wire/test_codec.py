"""Plain data survives the wire; what cannot be carried is put right or told."""

from __future__ import annotations

import contextlib
import io
import math
import random
import struct
import time
import zlib
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from nbmonitor.errors import InputError
from nbmonitor.events import (
    Batch,
    Column,
    Command,
    CommandKind,
    CommandRecord,
    CommandState,
    Demand,
    Device,
    Epoch,
    Event,
    Gap,
    Heartbeat,
    LinkState,
    LogLine,
    Mosaic,
    Performance,
    Picture,
    Resources,
    RunInfo,
    RunState,
    RunUpdate,
    Scalars,
    Status,
)
from nbmonitor.rpc.codec import batches, figures, ingest_pb2, monitor_pb2, trainer, viewer

NOW = 1_790_000_000.125
INFO = RunInfo(
    "r1",
    "näme",
    state=RunState.PAUSED,
    message="m",
    started_at=NOW,
    ended_at=NOW + 1,
    config={"lr": "0.1"},
    class_names=("cat", "dog"),
    model="cnn",
    dataset="digits",
    notes="n",
    tags=("a",),
    total_epochs=3,
    batches_per_epoch=10,
    batch_size=32,
    controls={"pause": {}, "learning_rate": {"value": 0.1, "scheduled": True}},
    steerable=False,
    why="because",
    rank=1,
    world_size=2,
    incarnation=3,
    session_id="s",
    client_name="c",
    client_version="1",
    link=LinkState.STALE,
    link_rtt=0.25,
    last_seen=NOW,
    last_seq=9,
    step=7,
    state_version=4,
    reconnects=2,
    dropped=5,
    lost=6,
    boundary_age=1.5,
    origin="remote",
    wheel="ada",
    wheel_locked=True,
    wheel_since=NOW,
)
FIGURES = Performance(
    split="val",
    epoch=1,
    epochs=2,
    batch=0,
    batches=4,
    progress=0.5,
    eta=12.5,
    fps=60.0,
    fps_average=30.0,
    samples_per_second=960.0,
    median_step=0.015625,
    epoch_seconds=4.0,
    overhead=0.0078125,
    delay=0.00390625,
    worker_cpu=0.125,
    limits="pictures thinned to 12/s",
    resources=Resources(
        50.0, 900.0, 16000.0, (Device(0, "GPU", 70.0, 4000.0, 8000.0, None, 120.0),)
    ),
)
BATCH = Batch(
    2,
    32,
    split="val",
    epoch=0,
    batch=3,
    mosaic=Mosaic(b"\xff\xd8mosaic", 4, 4, 32, 16),
    predicted=(1, None),
    confidence=(0.5, None),
    truth=(None, -3),
    labels=("cat", None),
    sample_ids=("x", "y"),
    right=20,
    counted=31,
    loss=0.25,
)
COMMAND = Command(
    "r1",
    CommandKind.SET_LEARNING_RATE,
    {"value": 0.1, "mode": "set"},
    actor="ada",
    asked_at=NOW,
)
SCALARS = Scalars(
    (
        Column(
            "loss",
            np.array([0, 2**40]),
            np.array([math.nan, -math.inf]),
            np.array([NOW, NOW + 0.5]),
        ),
        Column("val", np.array([3]), np.array([0.1]), np.array([NOW - 1]), "epoch"),
    )
)
PAYLOADS = [
    BATCH,
    replace(BATCH, mosaic=None, epoch=None, batch=None, loss=None, right=None, counted=None),
    Epoch(2, {"average_loss": 0.1, "val_accuracy": math.inf}, "train"),
    FIGURES,
    Performance(),
    Status(RunState.PAUSED, "waiting"),
    RunUpdate(name="new", controls={}, batch_size=64),
    RunUpdate(class_names=("a", "b"), config={"x": "1"}, notes=""),
    LogLine("hello", "warning"),
    CommandRecord(COMMAND, CommandState.APPLIED, 4, {"lr": "1"}, {"lr": "2"}, "", NOW),
    CommandRecord(COMMAND, CommandState.REJECTED, None, {}, {}, "no", NOW),
]


@pytest.mark.parametrize("payload", [*PAYLOADS, Status(RunState.LOST), Gap("why", 3, 4, 6)])
def test_every_event_reaches_a_viewer_as_it_was(payload):
    event = Event("r1", 12, NOW, payload, 5, 1, 2, 9, NOW + 1)
    (back,) = viewer.read_seen(viewer.seen(viewer.Seen((event,)))).events
    for name in Event.__slots__:
        assert getattr(back, name) == getattr(event, name)


@pytest.mark.parametrize("payload", [*PAYLOADS, Status(RunState.FAILED, "boom", "ValueError")])
def test_every_event_reaches_a_server_as_it_was(payload):
    data = trainer.event(INFO, Event("r1", 12, NOW, payload, rank=1, incarnation=2), 8)
    frame = trainer.read_request(data)
    assert (frame.crc, frame.seq, frame.rank, frame.incarnation, frame.fault) == (True, 8, 1, 2, "")
    assert (frame.step, frame.time) == (12, NOW)
    (back,) = frame.payloads
    if isinstance(payload, CommandRecord):  # the server knows the command by its id
        back = replace(back, command=replace(back.command, run_id="r1", asked_at=NOW))
    assert back == payload


@pytest.mark.parametrize("read", ["server", "viewer"])
def test_columns(read):
    event = Event("r1", 12, NOW, SCALARS)
    if read == "server":
        (back,) = trainer.read_request(trainer.event(INFO, event, 1)).payloads
    else:
        (seen,) = viewer.read_seen(viewer.seen(viewer.Seen((event,)))).events
        back = seen.payload
    for column, sent in zip(back.columns, SCALARS.columns, strict=True):
        assert (column.name, column.kind) == (sent.name, sent.kind)
        np.testing.assert_array_equal(column.steps, sent.steps)
        np.testing.assert_array_equal(column.values, sent.values)
        np.testing.assert_allclose(column.times, sent.times, atol=1e-3, rtol=0)


def test_the_description_of_a_run():
    (back,) = viewer.read_runs(viewer.runs([INFO]))
    assert asdict(back) == asdict(INFO)
    (bare,) = viewer.read_runs(viewer.runs([RunInfo("r", "n", origin="remote")]))
    assert bare == RunInfo("r", "n", origin="remote")


def test_commands_to_a_viewer_and_to_a_trainer():
    bound = replace(COMMAND, expected_version=7, incarnation=2, epoch="s1")
    assert viewer.read_send(viewer.send(bound)) == bound
    assert viewer.read_send(viewer.send(COMMAND)) == COMMAND
    own = replace(COMMAND, actor="you")
    assert viewer.read_send(viewer.send(own)).actor == "the run's notebook", "elsewhere"
    fresh = replace(COMMAND, asked_at=time.time(), actor="me", peer="ipv4:1")
    told = trainer.read_response(trainer.control("s", fresh), "r1").command
    assert (told.kind, told.params, told.command_id) == (fresh.kind, fresh.params, fresh.command_id)
    assert (told.actor, told.peer) == ("me", "ipv4:1")
    assert 59 < told.ttl <= 60


def test_a_command_without_an_id_or_of_another_version_is_refused():
    request = monitor_pb2.SendCommandRequest()
    request.command.kind = 1
    with pytest.raises(InputError, match="command_id"):
        viewer.read_send(request.SerializeToString())
    request.command.command_id = "c"
    request.command.kind = 99
    with pytest.raises(InputError, match="99"):
        viewer.read_send(request.SerializeToString())


def test_heartbeat_demand_and_hello():
    beat = Heartbeat("r1", 5, 1.5, 2.0, 3, 4, 5)
    frame = trainer.read_request(trainer.heartbeat(INFO, beat, 7, 0.25))
    assert (replace(frame.beat, run_id="r1"), frame.number, frame.rtt) == (beat, 7, 0.25)
    assert trainer.read_response(trainer.flow("r", Demand(30, 256)), "r").demand == Demand(30, 256)
    assert trainer.read_response(trainer.flow("r", Demand()), "r").demand == Demand(0, 512)
    numbers = Demand(0, 512, live=True)
    assert trainer.read_response(trainer.flow("r", numbers), "r").demand == numbers
    for wanted in (numbers, Demand(30, 256), Demand(0, 512)):
        assert viewer.read_watch(viewer.watch(viewer.Watch("r", 3, wanted, "w"))).demand == wanted
        assert viewer.read_adjust(viewer.adjust("w", wanted)) == ("w", wanted, 0)
    assert viewer.read_adjust(viewer.received("w", 77))[::2] == ("w", 77)
    frame = trainer.read_request(trainer.hello(INFO, "secret", 4))
    assert (frame.hello.secret, frame.hello.first_unacked) == ("secret", 4)
    assert asdict(frame.hello.info) == asdict(replace(INFO, origin="process"))


@pytest.mark.parametrize("step", [-5, 0, 2**31, 2**63 - 1, 2**70])
def test_steps_are_clamped_to_what_the_wire_holds(step):
    expected = max(0, min(step, 2**63 - 1))
    frame = trainer.read_request(trainer.event(INFO, Event("r", step, NOW, LogLine("x")), 1))
    assert frame.step == expected
    (back,) = viewer.read_seen(
        viewer.seen(viewer.Seen((Event("r", step, NOW, LogLine("x")),)))
    ).events
    assert back.step == expected


def test_steps_of_a_stranger_above_int64_are_clamped():
    columns = ingest_pb2.ScalarColumns()
    columns.columns.add(tag="x", steps=[2**64 - 1, 1], values=[1.0, 2.0, 3.0])
    (column,) = figures.get_columns(columns, 0).columns
    assert column.steps.tolist() == [2**63 - 1, 1]
    assert column.values.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("bad", ["\ud800", "a\udfffb", "\x00\x1b[31m", "<b>bold</b>", "😀"])
def test_hostile_names_travel(bad):
    info = replace(
        INFO, name=bad, class_names=(bad,), config={bad: bad}, controls={bad: {"v": bad}}
    )
    hello = trainer.read_request(trainer.hello(info, "s", 1)).hello
    expected = bad.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert hello.info.name == expected
    assert hello.info.config == {expected: expected}
    column = Column(bad, np.array([1]), np.array([1.0]), np.array([NOW]))
    for payload in (
        Scalars((column,)),
        LogLine(bad),
        Epoch(1, {bad: 1.0}),
        Status(RunState.FAILED, bad, bad),
    ):
        assert trainer.read_request(trainer.event(INFO, Event("r", 1, NOW, payload), 1)).payloads


def test_one_flipped_bit_is_noticed_anywhere():
    data = trainer.event(INFO, Event("r1", 1, NOW, SCALARS), 3)
    assert data[-6:-4] == b"\xbd\x06"
    assert struct.unpack("<I", data[-4:])[0] == zlib.crc32(data[:-6])
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 0x10
        assert trainer.read_request(bytes(flipped)).crc is not True


@pytest.mark.parametrize(
    "data", [b"\xff" * 40, b"\x0a\xff", bytes(range(256)), b"\x0a\x02\xff\xfe"]
)
def test_garbage_is_a_fault_and_not_an_exception(data):
    frame = trainer.read_request(data)
    assert frame.kind == "garbage"
    assert "no MetricsRequest" in frame.fault


def test_an_unset_payload_and_a_kind_for_later_are_faults():
    assert "no payload" in trainer.read_request(b"").fault
    request = ingest_pb2.MetricsRequest(session_id="s")
    request.checkpoint.uri = "/x"
    assert "checkpoint" in trainer.read_request(request.SerializeToString()).fault


def test_open_enums_are_shown_by_their_number():
    request = ingest_pb2.MetricsRequest(session_id="s")
    request.status_update.status = 9
    request.status_update.message = "warming up"
    assert trainer.read_request(request.SerializeToString()).payloads == (
        LogLine("status 9: warming up"),
    )


def test_the_layout_before_the_contract_is_told_apart():
    """Fields 3 … 9 were batch_size, images, predictions, ground_truth, batch_loss, batch_accuracy, timestamp_ms."""
    old = b"\x08\x00\x10\x01\x18\x20" + b"\x32\x01\x03" + b"\x3d" + struct.pack("<f", 0.5)
    request = b"\x0a\x01s" + b"\x1a" + bytes([len(old)]) + old
    frame = trainer.read_request(request)
    assert "pre-2025-11-27" in frame.fault
    assert frame.payloads == ()


def contract_batch(images=0, predictions=0, truths=0):
    request = ingest_pb2.MetricsRequest(session_id="s")
    batch = request.batch_data
    batch.epoch, batch.batch_loss = 1, 0.5
    for _ in range(images):
        batch.images.add(image_bytes=b"fake_jpeg_data")
    for k in range(predictions):
        batch.predictions.add(predicted_class=k * 1000 - 1, confidence=math.nan)
    batch.ground_truth.extend(range(truths))
    return trainer.read_request(request.SerializeToString())


# What the example client sends first, and what it gets, byte by byte as any generated code writes them.
EXAMPLE_REQUEST = bytes.fromhex(
    "0a09747261696e5f303031"  # session_id
    "10f8cd85a6ac33"  # timestamp_ms
    "1a23"  # batch_data, 35 bytes; epoch and batch_idx are 0 and not sent
    "1a100a0e66616b655f6a7065675f64617461"  # images: b"fake_jpeg_data"
    "22070803153333733f"  # predictions: class 3 at 0.95
    "2a0103"  # ground_truth
    "350000003f"  # batch_loss 0.5
)


def test_the_bytes_of_the_example():
    frame = trainer.read_request(EXAMPLE_REQUEST)
    assert frame.time == 1764237600.504
    assert (frame.session_id, frame.kind, frame.fault) == ("train_001", "batch_data", "")
    (batch,) = frame.payloads
    assert (batch.epoch, batch.batch, batch.loss) == (0, 0, 0.5)
    assert (batch.predicted, batch.truth, batch.pictures) == ((3,), (3,), (None,))
    assert batch.confidence == (pytest.approx(0.95),)
    answer = trainer.acknowledge("train_001", 7)
    assert answer.startswith(bytes.fromhex("0a09747261696e5f303031"))
    assert answer.endswith(bytes.fromhex("1a0408071001")), "ack: batch_idx 7, success"


def test_names_of_samples_come_from_the_extension():
    request = ingest_pb2.MetricsRequest(session_id="s")
    request.batch_data.images.add(sample_id="a/1.png", labels=["cat"])
    request.batch_data.images.add()
    (batch,) = trainer.read_request(request.SerializeToString()).payloads
    assert (batch.labels, batch.sample_ids) == (("cat", None), ("a/1.png", ""))


def test_17_images_are_cut_to_16_and_said():
    frame = contract_batch(17, 17, 17)
    (batch,) = frame.payloads
    assert (batch.count, batch.total, len(batch.pictures)) == (16, 17, 16)
    assert "first 16" in frame.fault
    assert math.isnan(batch.confidence[0]), "shown and flagged where it is drawn"
    assert batch.predicted[:2] == (-1, 999), "any class index"


def test_lengths_that_differ_are_shown_by_index_and_said():
    frame = contract_batch(3, 2, 1)
    (batch,) = frame.payloads
    assert (len(batch.predicted), batch.predicted[2], batch.truth) == (3, None, (0, None, None))
    assert "3 images, 2 predictions, 1 true classes" in frame.fault


def test_a_batch_without_images_is_a_loss():
    frame = contract_batch()
    assert (frame.payloads[0].count, frame.payloads[0].loss, frame.fault) == (0, 0.5, "")


def image(kind, size=(33, 17)):
    out = io.BytesIO()
    Image.new("RGB", size, (1, 2, 3)).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_pictures_are_judged_by_their_header(kind):
    data = image(kind)
    assert batches.picture(data) == Picture(data, f"image/{kind.lower()}", 33, 17)
    for cut in (0, 1, 5, 20):
        assert batches.picture(data[:cut]) is None


def test_a_picture_that_unpacks_to_gigabytes_is_none():
    bomb = bytearray(image("PNG"))
    bomb[16:24] = (60_000).to_bytes(4) * 2
    assert batches.picture(bytes(bomb)) is None
    assert batches.picture(b"GIF89a" + b"x" * 100) is None


def test_a_jpeg_with_thumbnail_and_padding_before_its_header():
    data = image("JPEG")
    comment = b"\xff\xfe\x00\x10" + b"c" * 14
    padded = data[:2] + comment + b"\xff" + data[2:]
    assert batches.picture(padded).width == 33


def test_a_server_of_the_contract_sends_commands_in_its_own_words():
    response = ingest_pb2.MetricsResponse(session_id="s")
    response.command.type = 5
    response.command.parameters["lr"] = "0.25"
    command = trainer.read_response(response.SerializeToString(), "r").command
    assert (command.kind, command.params) == (
        CommandKind.SET_LEARNING_RATE,
        {"value": 0.25, "mode": "set"},
    )
    response.command.type = 77
    assert trainer.read_response(response.SerializeToString(), "r").command is None


def test_whatever_is_done_to_a_message_reading_it_never_raises():
    """A short fuzz; what the handlers do with the rest is told in the stream."""
    chance = random.Random(1)
    whole = [trainer.event(INFO, Event("r", 1, NOW, p), 1) for p in (*PAYLOADS, SCALARS)]
    whole += [trainer.hello(INFO, "s", 1), trainer.heartbeat(INFO, Heartbeat("r"), 1, 0.1)]
    garbage = 0
    for _ in range(3_000):
        data = bytearray(chance.choice(whole))
        for _ in range(chance.randint(1, 6)):
            kind, at = chance.randint(0, 3), chance.randrange(len(data))
            if kind == 0:
                data[at] = chance.randrange(256)
            elif kind == 1:
                del data[at : at + chance.randint(1, 20)]
            elif kind == 2:
                data[at:at] = chance.randbytes(chance.randint(1, 20))
            else:
                data += data[at : at + 30]
            data = data or bytearray(b"x")
        frame = trainer.read_request(bytes(data))
        garbage += frame.kind == "garbage"
    assert garbage > 500
    for _ in range(1_000):
        for read in (viewer.read_watch, viewer.read_history, viewer.read_send, viewer.read_adjust):
            with contextlib.suppress(InputError):
                read(chance.randbytes(chance.randint(0, 40)))
        with contextlib.suppress(InputError):
            trainer.read_session(chance.randbytes(20))
