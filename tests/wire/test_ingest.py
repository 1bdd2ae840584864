"""What trainers say in the stream, right and wrong: answered in the stream, which goes on."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
import threading
import time

import grpc
import pytest

from nbmonitor.events import (
    Batch,
    Command,
    CommandKind,
    CommandState,
    Gap,
    LinkState,
    RunInfo,
    RunState,
    Status,
)
from nbmonitor.rpc import codec
from nbmonitor.rpc.codec import ingest_pb2 as pb
from nbmonitor.rpc.codec import trainer as wire
from nbmonitor.rpc.ingest import GATHER, Link
from nbmonitor.rpc.outgoing import WAITING, Outgoing
from nbmonitor.rpc.server import Server
from nbmonitor.rpc.trust.auth import metadata

PATHS = [codec.CONTRACT, codec.INGEST]


class Stream:
    """A client of the contract, one request at a time."""

    def __init__(self, address, token=None, service=codec.CONTRACT):
        self.channel = grpc.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self.metadata = metadata(token)
        self.service = service
        self._requests = queue.SimpleQueue()
        self.call = None

    def register(self, session_id="s", **fields):
        ask = self.channel.unary_unary(f"/{self.service}/RegisterTrainingSession")
        info = pb.SessionInfo(session_id=session_id, **fields)
        answer = ask(info.SerializeToString(), timeout=5, metadata=self.metadata)
        return pb.SessionResponse.FromString(answer)

    def say(self, session_id="s", **payload):
        request = pb.MetricsRequest(session_id=session_id, timestamp_ms=int(time.time() * 1000))
        for name, value in payload.items():
            getattr(request, name).CopyFrom(value)
        self.raw(request.SerializeToString())

    def raw(self, data):
        if self.call is None:
            open_stream = self.channel.stream_stream(f"/{self.service}/StreamMetrics")
            self.call = open_stream(iter(self._requests.get, None), metadata=self.metadata)
        self._requests.put(data)

    def batch(self, k, session_id="s", **fields):
        fields = {"epoch": 1, "batch_idx": k, "batch_loss": 1.0} | fields
        self.say(session_id, batch_data=pb.BatchData(**fields))

    def answer(self):
        return pb.MetricsResponse.FromString(next(self.call))

    def end(self):
        self._requests.put(None)
        return [pb.MetricsResponse.FromString(data) for data in self.call]

    def close(self):
        self._requests.put(None)
        if self.call is not None:
            self.call.cancel()
        self.channel.close()


@pytest.fixture
def stream(server):
    with contextlib.ExitStack() as stack:

        def make(token=None, service=codec.CONTRACT, address=None):
            made = Stream(address or server.address, token, service)
            stack.callback(made.close)
            return made

        yield make


@pytest.mark.parametrize("service", PATHS)
def test_registration_answers_the_true_limits(stream, service, broker):
    answer = stream(service=service).register("s", client_name="n")
    assert answer.success
    assert answer.session_id == "s"
    assert not answer.HasField("welcome"), "a client of the contract gets what the contract has"
    limits = answer.server_config
    assert (limits.max_batch_size, limits.max_image_dimension) == (16, 512)
    assert (limits.heartbeat_interval_ms, limits.buffer_size) == (2000, 100)
    assert limits.max_message_bytes == 16 << 20
    assert broker.runs()[0].state is RunState.INITIALIZING


@pytest.mark.parametrize("service", PATHS)
def test_batches_alone_are_acknowledged_and_half_close_ends_the_stream(stream, service, broker):
    s = stream(service=service)
    s.register()
    s.say(heartbeat=pb.Heartbeat(sequence_number=1))
    s.batch(0)
    s.say(epoch_data=pb.EpochData(epoch=1, average_loss=0.5))
    s.say(performance_data=pb.PerformanceData(current_fps=3))
    s.batch(1)
    answers = s.end()
    assert [a.WhichOneof("payload") for a in answers] == ["ack", "ack"]
    assert [(a.ack.batch_idx, a.ack.success) for a in answers] == [(0, True), (1, True)]
    assert s.call.code() is grpc.StatusCode.OK


def test_the_stream_survives_whatever_it_holds(stream, broker):
    s = stream()
    s.register()
    s.batch(0)
    assert s.answer().ack.batch_idx == 0
    for data, words in (
        (b"\xff" * 30, "no MetricsRequest"),
        (pb.MetricsRequest(session_id="s").SerializeToString(), "no payload"),
    ):
        s.raw(data)
        error = s.answer().error
        assert error.code == wire.INVALID_DATA
        assert words in error.message
    s.batch(1, images=[pb.ImageData(image_bytes=b"x")] * 17)
    assert s.answer().ack.success
    assert "first 16" in s.answer().error.message
    s.batch(2, ground_truth=[2**31 - 1, -5], predictions=[pb.Prediction(confidence=float("nan"))])
    assert s.answer().ack.success
    assert "by their index" in s.answer().error.message
    s.batch(3)
    assert s.end()[-1].ack.batch_idx == 3
    (info,) = broker.runs()
    assert broker.history(info.run_id, "loss")[0].tolist() == [0, 1, 2, 3]


def test_old_stubs_are_told_to_be_regenerated(stream):
    s = stream()
    s.register()
    old = b"\x08\x00\x10\x07\x18\x20\x3d\x00\x00\x00\x3f"
    s.raw(b"\x0a\x01s\x1a" + bytes([len(old)]) + old)
    assert (s.answer().ack.batch_idx, False) == (7, False)
    error = s.answer().error
    assert (error.code, "regenerate" in error.message) == (wire.INVALID_DATA, True)


@pytest.mark.slow
def test_a_message_above_the_limit_ends_its_stream_alone(stream, broker, eventually):
    other, s = stream(), stream()
    other.register("other")
    other.batch(0, "other")
    assert other.answer().ack.success
    s.register()
    s.batch(0)
    assert s.answer().ack.success
    s.batch(1, images=[pb.ImageData(image_bytes=b"x" * (300 << 20))])
    with pytest.raises(grpc.RpcError) as caught:
        s.answer()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    other.batch(1, "other")
    assert other.answer().ack.batch_idx == 1
    runs = {i.session_id: i for i in broker.runs()}
    assert broker.history(runs["s"].run_id, "loss")[0].tolist() == [0]
    eventually(lambda: broker.run(runs["s"].run_id).link is LinkState.DISCONNECTED)


def test_what_is_no_grpc_at_all_disturbs_nobody(stream, server):
    s = stream()
    s.register()
    s.batch(0)
    assert s.answer().ack.success
    for noise in (
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes(range(256)) * 64,
        b"\x16\x03\x01" * 100,
    ):
        with socket.create_connection(("127.0.0.1", server.port), 5) as raw:
            raw.sendall(noise)
            raw.settimeout(5)
            with contextlib.suppress(OSError):
                while raw.recv(65536):
                    pass
    s.batch(1)
    assert s.answer().ack.batch_idx == 1


def test_a_client_that_never_reads_stops_no_metric_and_costs_no_memory():
    out = Outgoing()
    for k in range(5_000):
        out.put(b"ack", dispensable=True)
        out.acknowledge_to("r", k)
    out.put(b"command")
    answers = out.take()
    assert len(answers) == WAITING + 2
    assert answers[-2] == b"command", "commands never give way"
    assert wire.read_response(answers[-1], "r").number == 4_999
    assert out.take() == []
    out.close()
    assert out.take() is None


def test_a_torn_stream_is_lost_and_not_completed_and_comes_back(stream, broker, eventually):
    s = stream()
    s.register()
    s.batch(0)
    s.answer()
    s.call.cancel()
    (info,) = broker.runs()
    eventually(lambda: broker.run(info.run_id).state is RunState.LOST)
    again = stream()
    again.batch(1)
    again.answer()
    assert len(broker.runs()) == 1
    back = broker.run(info.run_id)
    assert (back.state, back.link) == (RunState.RUNNING, LinkState.CONNECTED)
    assert broker.history(info.run_id, "loss")[0].tolist() == [0, 1]


def test_an_unknown_session_gets_a_run(stream, broker):
    s = stream()
    s.batch(0, "never registered")
    assert s.answer().ack.success
    assert broker.runs()[0].name == "never registered"


def test_in_strict_mode_an_unknown_session_is_refused_in_the_stream(broker):
    server = Server(broker, strict=True).start()
    s = Stream(server.address)
    try:
        s.batch(0, "who")
        error = s.answer().error
        assert error.code == wire.INVALID_SESSION
        assert "RegisterTrainingSession" in error.message
        assert broker.runs() == []
        s.register("who")
        s.batch(0, "who")
        assert s.answer().ack.success
    finally:
        s.close()
        server.close(0.2)


def test_a_session_id_registered_twice_makes_two_runs(stream, broker):
    first, second = stream(), stream()
    first.register("train_001")
    first.batch(0, "train_001")
    first.answer()
    second.register("train_001")
    second.batch(5, "train_001")
    second.answer()
    new, old = broker.runs()
    assert (old.state, "superseded" in old.message) == (RunState.INTERRUPTED, True)
    assert new.state is RunState.RUNNING
    # The first one lives and goes on: it keeps its own run.
    first.batch(1, "train_001")
    first.answer()
    assert broker.run(old.run_id).state is RunState.RUNNING
    assert "beside a newer run" in broker.run(old.run_id).message
    assert broker.history(old.run_id, "loss")[0].tolist() == [0, 1]
    assert broker.history(new.run_id, "loss")[0].tolist() == [0]


def test_without_a_token_nobody_gets_onto_the_run_of_a_token_holder(stream, server, broker):
    holder, stranger = stream(server.token), stream()
    holder.register("train_001")
    holder.batch(0, "train_001")
    holder.answer()
    stranger.batch(7, "train_001")
    stranger.answer()
    stranger.register("train_001")
    assert len(broker.runs()) == 3
    held = broker.runs()[-1]
    assert held.state is RunState.RUNNING
    assert broker.history(held.run_id, "loss")[0].tolist() == [0]


def test_an_explicit_end_is_an_end(stream, broker, eventually):
    s = stream()
    s.register()
    s.batch(0)
    s.say(status_update=pb.StatusUpdate(status=5, message="CUDA out of memory"))
    s.end()
    (info,) = broker.runs()
    assert (info.state, info.message) == (RunState.FAILED, "CUDA out of memory")
    time.sleep(0.7)  # longer than a torn stream takes to be lost
    assert broker.run(info.run_id).state is RunState.FAILED


def test_commands_of_the_contract_are_confirmed_by_state_and_config(stream, broker, eventually):
    s = stream()
    s.register(config=pb.TrainingConfig(batch_size=32))
    (info,) = broker.runs()
    early = broker.send(Command(info.run_id, CommandKind.PAUSE))
    assert early.state is CommandState.QUEUED, "nobody is there to take it yet"
    s.batch(0)
    kinds = {s.answer().WhichOneof("payload"), s.answer().WhichOneof("payload")}
    assert kinds == {"ack", "command"}

    def state(record):
        found = {r.command.command_id: r for r in broker.commands(info.run_id)}
        return found[record.command.command_id]

    assert state(early).state is CommandState.SENT
    s.say(status_update=pb.StatusUpdate(status=3))
    eventually(lambda: state(early).state is CommandState.APPLIED)
    size = broker.send(Command(info.run_id, CommandKind.SET_BATCH_SIZE, {"value": 64}))
    command = s.answer().command
    assert dict(command.parameters) == {
        "batch_size": "64",
        "value": "64",
        "command_id": size.command.command_id,
    }
    s.say(status_update=pb.StatusUpdate(status=3, config=pb.TrainingConfig(batch_size=64)))
    eventually(lambda: state(size).state is CommandState.APPLIED)
    assert (state(size).before, state(size).after) == ({"batch size": "32"}, {"batch size": "64"})
    assert broker.run(info.run_id).controls["batch_size"] == {"value": 64}
    rate = broker.send(
        Command(info.run_id, CommandKind.SET_LEARNING_RATE, {"value": 0.1}, ttl=0.05)
    )
    assert s.answer().command.type == 5
    eventually(lambda: broker.run(info.run_id) and state(rate).state is CommandState.UNCONFIRMED)


def test_missed_heartbeats_are_counted_and_silence_is_a_stale_link(stream, broker, eventually):
    s = stream()
    s.register()
    for number in (1, 2, 5):
        s.say(heartbeat=pb.Heartbeat(sequence_number=number, interval_ms=100))
    eventually(lambda: broker.runs()[0].lost == 2)
    eventually(lambda: broker.runs()[0].link is LinkState.STALE)
    assert not broker.runs()[0].state.ended


def test_the_epoch_axis_and_a_speed_of_our_own(stream, broker):
    s = stream()
    s.register(config=pb.TrainingConfig(total_epochs=2, batches_per_epoch=2))
    for epoch in (1, 2):
        for k in range(2):
            s.batch(k, epoch=epoch)
            s.answer()
    (info,) = broker.runs()
    window = broker.window(info.run_id, "loss", axis="epoch")
    assert window.x.tolist() == [0.5, 1.0, 1.5, 2.0]
    speed = next(e.payload for e in broker.latest(info.run_id) if not isinstance(e.payload, Batch))
    assert speed.fps > 0
    assert (speed.epoch, speed.epochs, speed.batches) == (1, 2, 2)


# --- frames of our own trainer ---------------------------------------------------------------------------------------

INFO = RunInfo("run-1", "ours", controls={"pause": {}})


def own(s, *, secret="secret", first=1, info=INFO):  # noqa: S107
    s.raw(wire.hello(info, secret, first))
    return s.answer()


def event(seq, payload=None, info=INFO):
    from nbmonitor.events import Event, LogLine

    return wire.event(
        info, Event(info.run_id, seq, time.time(), payload or LogLine(f"n{seq}")), seq
    )


def lines(broker):
    return [
        e.payload.text for e in broker.events("run-1", limit=1000) if hasattr(e.payload, "text")
    ]


def until(s, kind):
    while True:
        answer = s.answer()
        if answer.WhichOneof("payload") == kind:
            return getattr(answer, kind)


def test_numbered_events_are_taken_once_and_in_order(stream, broker):
    s = stream()
    assert own(s).welcome.watermark == 0
    for seq in (1, 2, 2, 1, 3):
        s.raw(event(seq))
    while until(s, "event_ack").up_to_seq < 3:
        pass
    s.raw(event(5))
    error = until(s, "error")
    assert (error.code, error.watermark) == (wire.DATA_LOSS, 3)
    s.raw(event(4))
    s.raw(event(5))
    while until(s, "event_ack").up_to_seq < 5:
        pass
    assert lines(broker) == ["n1", "n2", "n3", "n4", "n5"]
    again = stream()
    assert own(again).welcome.watermark == 5


def test_a_flipped_bit_costs_nothing(stream, broker):
    s = stream()
    own(s)
    whole = event(1)
    torn = bytearray(whole)
    torn[10] ^= 1
    s.raw(bytes(torn))
    error = until(s, "error")
    assert (error.code, error.watermark) == (wire.CRC_MISMATCH, 0)
    s.raw(whole[:-6])  # and without a checksum nothing is taken any more
    s.raw(whole)
    assert until(s, "event_ack").up_to_seq == 1
    assert lines(broker) == ["n1"]


def test_a_declared_gap_is_kept_and_drawn(stream, broker):
    s = stream()
    own(s)
    s.raw(event(1))
    s.raw(wire.gap(INFO, 2, 9, 8, "the buffer was full"))
    s.raw(event(10))
    while until(s, "event_ack").up_to_seq < 10:
        pass
    gaps = [e.payload for e in broker.events("run-1") if isinstance(e.payload, Gap)]
    assert gaps == [Gap("the buffer was full", 8, 2, 9)]


def test_a_new_server_takes_what_the_trainer_still_has(stream, broker):
    s = stream()
    assert own(s, first=41).welcome.watermark == 40
    (gap,) = [e.payload for e in broker.events("run-1") if isinstance(e.payload, Gap)]
    assert (gap.first_seq, gap.last_seq, gap.count) == (1, 40, 40)


def test_a_run_has_one_owner(stream, broker, eventually):
    s = stream()
    own(s)
    thief = stream()
    answer = own(thief, secret="another")
    assert answer.error.code == wire.ALREADY_EXISTS
    assert thief.end() == []
    s.raw(event(1))
    assert until(s, "event_ack").up_to_seq == 1
    broker.open(RunInfo("kernel-run", "in this process"), lambda c: CommandState.DELIVERED)
    other = stream()
    info = RunInfo("kernel-run", "not yours")
    assert own(other, info=info).error.code == wire.ALREADY_EXISTS


def test_a_second_stream_of_the_owner_replaces_a_torn_one(stream, broker):
    s = stream()
    own(s)
    again = stream()
    own(again)
    assert [a for a in s.end() if a.WhichOneof("payload") != "flow"] == []
    again.raw(event(1))
    assert until(again, "event_ack").up_to_seq == 1
    assert broker.run("run-1").link is LinkState.CONNECTED


def test_only_a_run_end_ends(stream, broker, eventually):
    s = stream()
    own(s)
    s.raw(event(1, Status(RunState.RUNNING)))
    s.raw(event(2, Status(RunState.FAILED, "boom", "ValueError")))
    until(s, "event_ack")
    s.end()
    eventually(lambda: broker.run("run-1").state is RunState.FAILED)
    assert broker.run("run-1").message == "boom"


def test_a_run_that_cannot_be_left_keeps_no_stream_open(stream, broker, monkeypatch, caplog):
    """A full disk at the end of a stream: it ends all the same, and so does that of the run beside it."""
    left = []

    def detach(run_id):
        left.append(run_id)
        raise OSError("no space left")

    monkeypatch.setattr(broker, "detach", detach)
    s = stream()
    for session in ("one", "two"):
        s.say(session, heartbeat=pb.Heartbeat(sequence_number=1))
    s.end()
    assert len(left) == 2
    assert len(caplog.records) == 2


def test_what_viewers_want_is_told_at_once_and_not_with_the_next_acknowledgments():
    async def hurried():
        link = Link(holder=True, peer="")
        link.out.acknowledge_to("run", 1)
        threading.Timer(GATHER / 5, link.hurry).start()
        began = time.monotonic()
        await link.news()
        return time.monotonic() - began

    assert asyncio.run(hurried()) < 0.9 * GATHER

    async def gathered():
        link = Link(holder=True, peer="")
        link.out.acknowledge_to("run", 1)
        began = time.monotonic()
        await link.news()
        return time.monotonic() - began

    assert asyncio.run(gathered()) >= 0.9 * GATHER
