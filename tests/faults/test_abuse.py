"""What is done to a server on purpose: refused in words, logged once, and nobody beside it notices.

Tokens, roles and headers are in ``wire/test_auth.py``, garbage on the port and messages above the limit of a trainer in
``wire/test_ingest.py``, pictures that unpack to gigabytes in ``wire/test_codec.py``, certificates in ``wire/test_tls.py``.
"""

from __future__ import annotations

import concurrent.futures
import http.client
import itertools
import logging
import resource
import socket
import subprocess
import sys
import threading
import time

import grpc
import numpy as np
import psutil
import pytest

from nbmonitor.broker import Broker
from nbmonitor.events import (
    Column,
    Command,
    CommandKind,
    CommandState,
    Event,
    LogLine,
    RunInfo,
    RunState,
    Scalars,
)
from nbmonitor.rpc import bounds, codec
from nbmonitor.rpc.channel import method
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.codec import trainer as wire
from nbmonitor.rpc.codec import values, viewer
from nbmonitor.rpc.publisher import Publisher
from nbmonitor.rpc.trust.auth import metadata
from nbmonitor.store.memory import MemoryStore
from nbmonitor.training.run import Run

MB = 1 << 20
MONITOR, CONTRACT, INGEST = codec.MONITOR, codec.CONTRACT, codec.INGEST
REGISTER, STREAM = f"/{CONTRACT}/RegisterTrainingSession", f"/{CONTRACT}/StreamMetrics"
pb = codec.message_class


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.address) as made:
        yield made


@pytest.fixture(autouse=True)
def healthy(server, broker, eventually, caplog):
    """A trainer and a viewer beside whatever happens: they go on, before and after; and the log stays short."""
    caplog.set_level(logging.DEBUG, "nbmonitor")
    publisher = Publisher(server.address, server.token).start()
    run = publisher.open(RunInfo("", "healthy"), lambda _: CommandState.DELIVERED)
    eventually(lambda: [i for i in broker.runs() if i.run_id == run.run_id])
    client = Client(server.address, server.token).connect()
    box = client.subscribe(run.run_id, after_seq=0)
    steps, seen = itertools.count(), []

    def step():
        k = next(steps)
        column = Column("loss", np.array([k]), np.array([1.0]), np.array([time.time()]))
        publisher.publish([Event(run.run_id, k, time.time(), Scalars((column,)))])

        def arrived():
            seen.extend(
                int(s)
                for e in box.drain().events
                if isinstance(e.payload, Scalars)
                for s in e.payload.columns[0].steps
            )
            return k in seen

        eventually(arrived)

    step()
    yield step
    try:
        step()
        assert seen == list(range(len(seen))), "each once, in order"
        assert {i.name for i in client.runs()} >= {"healthy"}
    finally:
        client.close()
        publisher.close(1.0)
    loud = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(loud) <= 3, [r.getMessage() for r in loud]
    assert not [r for r in loud if r.exc_info], "a refusal is no error inside"
    assert server.token not in caplog.text


def call(channel, path, requests, *, token=None, timeout=10, **how):
    """Calls an RPC of any kind; returns (status, its words, the first answer)."""
    service, _, name = path[1:].partition("/")
    asks, answers = codec.methods(service)[name]
    kind = f"{'stream' if asks else 'unary'}_{'stream' if answers else 'unary'}"
    asked = iter(requests) if asks else requests[0]
    try:
        answer = getattr(channel, kind)(path)(
            asked, timeout=timeout, metadata=metadata(token), **how
        )
        if answers:
            first = next(iter(answer), b"")
            answer.cancel()
            answer = first
    except grpc.RpcError as error:
        return error.code(), error.details(), b""
    return grpc.StatusCode.OK, "", answer


def hello(run_id="r1", *, major=None, unknown=b"", **description):
    """The first frame of a trainer of ours, perhaps of a later version."""
    request = pb("MetricsRequest").FromString(
        wire.hello(RunInfo(run_id, **({"name": "a run"} | description)), "secret", 1)
    )
    request.ClearField("crc32")
    if major is not None:
        request.hello.protocol_major = major
    return _sealed(request.SerializeToString() + unknown)


def _sealed(data):
    import struct
    import zlib

    return data + b"\xbd\x06" + struct.pack("<I", zlib.crc32(data))


def answers_to(channel, frames, token=None):
    """What a stream with these frames is told, until the server ends it."""
    told = method(channel, CONTRACT, "StreamMetrics")(
        iter(frames), timeout=10, metadata=metadata(token)
    )
    return [pb("MetricsResponse").FromString(a) for a in told]


# --- messages that are none ------------------------------------------------------------------------------------------

BROKEN = {
    "noise": b"\xff" * 30,
    "cut off": b"\x0a\x7fabc",
    "no UTF-8": b"\x0a\x03\xed\xa0\x80",
    "deep groups": b"\x0b" * 5_000,
    "endless number": b"\x08" + b"\xff" * 40,
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_malformed_message_to_every_rpc(server, channel, how):
    refused = 0
    for path in server.serves():
        if "health" in path or path.endswith("StreamMetrics"):
            continue
        code, details, _ = call(channel, path, [BROKEN[how]], token=server.token)
        assert code in {
            grpc.StatusCode.OK,  # asks nothing
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.UNIMPLEMENTED,
        }, (path, code, details)
        refused += code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused >= 7
    (answer,) = answers_to(channel, [BROKEN[how]])
    assert answer.error.code == wire.INVALID_DATA
    assert "no MetricsRequest" in answer.error.message


def test_a_viewers_message_above_the_limit_is_refused_with_both_sizes(server, channel):
    for size in (17 * MB, 300 * MB):
        code, details, _ = call(
            channel, f"/{MONITOR}/SendCommand", [b"\x0a" + b"x" * size], token=server.token
        )
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert str(16 * MB) in details


@pytest.mark.slow
def test_what_unpacks_to_more_than_the_limit_is_never_unpacked():
    """The server runs alone: what the sender needs for 200 MB is not to be counted."""
    code = (
        "import sys\n"
        "from nbmonitor.broker import Broker\n"
        "from nbmonitor.rpc.server import Server\n"
        "from nbmonitor.store.memory import MemoryStore\n"
        "server = Server(Broker(MemoryStore()), token='t' * 43).start()\n"
        "print(server.address, flush=True)\n"
        "sys.stdin.readline()\n"
        "server.close(0.2)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        address = process.stdout.readline().strip()
        with grpc.insecure_channel(
            address, options=[("grpc.max_send_message_length", -1)]
        ) as channel:
            assert (
                call(channel, f"/{MONITOR}/ListRuns", [b""], token="t" * 43)[0]
                is grpc.StatusCode.OK
            )
            before = psutil.Process(process.pid).memory_info().rss
            for path, size in ((f"/{MONITOR}/SendCommand", 20 * MB), (REGISTER, 200 * MB)):
                status, details, _ = call(
                    channel, path, [bytes(size)], token="t" * 43, compression=grpc.Compression.Gzip
                )
                assert status is grpc.StatusCode.RESOURCE_EXHAUSTED, details
                assert "larger than max" in details
            grown = psutil.Process(process.pid).memory_info().rss - before
            assert grown < 64 * MB
            assert (
                call(channel, f"/{MONITOR}/ListRuns", [b""], token="t" * 43)[0]
                is grpc.StatusCode.OK
            )
        process.stdin.write("\n")
        process.stdin.close()
        assert process.wait(10) == 0


# --- names that are weapons ------------------------------------------------------------------------------------------

NAMES = {
    "path": "../../../etc/passwd",
    "absolute": "/etc/passwd",
    "device": "CON",
    "sql": "x'; DROP TABLE runs; --",
    "sql key": 'loss" UNION SELECT 1; --',
    "nul": "a\x00b",
    "rtl": "\u202egnp.exe",
    "markup": "<img src=x onerror=alert(1)>",
    "empty": "",
    "format": "%s%n{0.__class__}",
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_hostile_name_is_a_name(server, channel, broker, kind, tmp_path, monkeypatch, eventually):
    """Kept and told as it is, and nothing on the disk is touched."""
    monkeypatch.chdir(tmp_path)
    name = NAMES[kind]
    told = answers_to(channel, [hello(f"id{name}", name=name, config={name: name})], server.token)
    assert told[0].WhichOneof("payload") == "welcome"
    session = pb("SessionInfo")(session_id=name, client_name=name)
    assert call(channel, REGISTER, [session.SerializeToString()])[0] is grpc.StatusCode.OK
    info = broker.run(f"id{name}")
    assert (info.name, dict(info.config)) == (name, {name: name})
    column = Column(name, np.array([1]), np.array([2.0]), np.array([time.time()]))
    broker.publish([Event(info.run_id, 1, time.time(), Scalars((column,)))])
    with_client = Client(server.address, server.token).connect()
    try:
        assert with_client.run(info.run_id).name == name
        assert with_client.window(info.run_id, name).y.tolist() == [2.0]
        assert with_client.window(info.run_id, f"{name}'").total == 0
    finally:
        with_client.close()
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_a_megabyte_is_cut_for_everybody_else(server, channel, broker):
    long = "x" * MB
    told = answers_to(
        channel,
        [hello("r1", name=long, notes=long, class_names=(long,), config={long: long})],
        server.token,
    )
    assert told[0].WhichOneof("payload") == "welcome"
    info = broker.run("r1")
    assert (len(info.name), len(info.notes)) == (values.NAME, values.WORDS)
    assert info.name.endswith("…")
    assert len(viewer.runs(broker.runs())) < 20_000
    for path, asked in (
        (REGISTER, pb("SessionInfo")(session_id=long)),
        (STREAM, pb("MetricsRequest")(session_id=long, log={"text": "x"})),
    ):
        code, details, answer = call(channel, path, [asked.SerializeToString()])
        if path == STREAM:
            details = pb("MetricsResponse").FromString(answer).error.message
        else:
            assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "256 at most: give it a shorter name" in details
    (told,) = answers_to(channel, [hello(long)], server.token)
    assert "256 at most" in told.error.message


def test_without_a_token_only_so_many_runs_are_taken(server, channel, broker, monkeypatch):
    monkeypatch.setattr(bounds, "STRANGERS", 5)
    codes = [
        call(channel, REGISTER, [pb("SessionInfo")(session_id=f"s{k}").SerializeToString()])
        for k in range(8)
    ]
    assert [c for c, _, _ in codes] == [grpc.StatusCode.OK] * 5 + [
        grpc.StatusCode.RESOURCE_EXHAUSTED
    ] * 3
    assert "token_file=" in codes[-1][1]
    (told,) = answers_to(channel, [hello("another")])
    assert "token_file=" in told.error.message
    asked = pb("MetricsRequest")(session_id="new", log={"text": "x"}).SerializeToString()
    (told, *_) = answers_to(channel, [asked])
    assert "token_file=" in told.error.message
    assert len(broker.runs()) == 6
    told = answers_to(channel, [hello("another")], server.token)
    assert told[0].WhichOneof("payload") == "welcome", "who has the token is not held back"


# --- other versions --------------------------------------------------------------------------------------------------


def test_a_trainer_of_a_later_protocol_is_told_to_update_the_server(server, channel, broker):
    (told,) = answers_to(channel, [hello("r2", major=2)], server.token)
    assert told.error.code == wire.UNSUPPORTED
    assert "protocol 2" in told.error.message
    assert "update nbmonitor" in told.error.message
    assert "r2" not in {i.run_id for i in broker.runs()}


def test_fields_and_values_of_a_later_version_do_no_harm(server, channel, broker):
    later = b"\xf2\xb1\x02\x03new" + b"\x88\xb5\x02\x01"  # fields 5006 and 5025
    frames = [hello("r3", major=1, unknown=later)]
    status = pb("MetricsRequest")(session_id="r3", seq=1, status_update={"message": "warming up"})
    status.status_update.status = 99
    frames.append(_sealed(status.SerializeToString() + later))
    told = answers_to(channel, frames, server.token)
    assert told[0].WhichOneof("payload") == "welcome"
    assert not [a for a in told if a.WhichOneof("payload") == "error"]
    lines = [e.payload.text for e in broker.events("r3") if isinstance(e.payload, LogLine)]
    assert lines[0] == "status 99: warming up", "an unknown state is shown by its number"
    assert broker.run("r3").state is RunState.INITIALIZING


def test_a_viewer_of_a_later_version_asks_for_what_is_not_known(server, channel, broker):
    run = next(i for i in broker.runs() if i.name == "healthy")
    request = pb("SendCommandRequest")()
    request.command.run_id, request.command.command_id = run.run_id, "c1"
    request.command.kind = 4711
    code, details, _ = call(
        channel, f"/{MONITOR}/SendCommand", [request.SerializeToString()], token=server.token
    )
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "4711" in details
    assert "version" in details
    assert broker.commands(run.run_id) == []
    history = pb("GetHistoryRequest")(run_id=run.run_id, axis="phase of the moon")
    code, details, _ = call(
        channel, f"/{MONITOR}/GetHistory", [history.SerializeToString()], token=server.token
    )
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "expected step, epoch or time" in details
    for path in (f"/{MONITOR}/NewThing", "/nbmonitor.rpc.v2.MonitorService/ListRuns"):
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(path)(b"", timeout=5, metadata=metadata(server.token))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


# --- commands --------------------------------------------------------------------------------------------------------


def test_a_captured_command_replayed_from_eight_sides_acts_once(server, channel, broker):
    delivered = []
    controls = {"pause": {}, "stop": {}}
    run = broker.open(
        RunInfo("", "target", controls=controls), lambda c: delivered.append(c) or CommandState.SENT
    )
    data = viewer.send(Command(run.run_id, CommandKind.PAUSE))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        done = list(
            pool.map(
                lambda _: call(channel, f"/{MONITOR}/SendCommand", [data], token=server.token),
                range(40),
            )
        )
    assert {code for code, _, _ in done} == {grpc.StatusCode.OK}
    assert len(delivered) == 1
    assert len(broker.commands(run.run_id)) == 1


class Hostile:
    """A server that says what no server says."""

    def __init__(self, answers):
        self._answers = answers
        self.heard = []
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    CONTRACT,
                    {
                        "RegisterTrainingSession": grpc.unary_unary_rpc_method_handler(
                            lambda d, c: wire.session_response(
                                "r", "hi", wire.Welcome(0, "e", True)
                            )
                        ),
                        "StreamMetrics": grpc.stream_stream_rpc_method_handler(self._stream),
                    },
                ),
            )
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def _stream(self, requests, context):
        first = wire.read_request(next(requests))
        yield wire.welcome(first.hello.info.run_id, wire.Welcome(0, "e", True))
        for answer in self._answers:
            yield answer.SerializeToString() if not isinstance(answer, bytes) else answer
        self.heard += [wire.read_request(r) for r in itertools.islice(requests, 1)]
        for request in requests:
            self.heard.append(wire.read_request(request))

    def close(self):
        self._server.stop(0.2).wait(2)


def _answer(**fields):
    return pb("MetricsResponse")(session_id="r", **fields)


def _command(command_id, kind, text):
    return _answer(command={"type": kind, "command_id": command_id, "text": text})


def test_a_malicious_server_gets_nothing_from_a_trainer(eventually):
    """Commands are a closed list with typed values; the loop goes on, and each of them is answered."""
    answers = [
        _command("later", 999, "{}"),
        _command("path", 101, '{"value": "../../etc/cron.d/x", "path": "/etc/passwd"}'),
        _command("code", 100, '{"name": "__import__(\'os\').system(\'id\')", "value": 1}'),
        _command("rate", 5, '{"value": NaN, "mode": "set"}'),
        _command("negative", 5, '{"value": -1, "mode": "set"}'),
        _command("no rate", 5, '{"value": {"a": []}, "mode": ["x"]}'),
        _command("batch", 4, '{"value": 2147483648}'),
        _command("deep", 5, "[" * 30_000),
        _answer(event_ack={"up_to_seq": 2**64 - 1}),
        _answer(error={"code": wire.DATA_LOSS, "watermark": 2**64 - 1, "message": "x" * 100_000}),
        _answer(flow={"max_batches_per_second": float("nan"), "images_wanted": True}),
        _answer(
            flow={
                "max_batches_per_second": 1e38,
                "max_image_dimension": 2**32 - 1,
                "images_wanted": True,
            }
        ),
        _answer(heartbeat_echo={"sequence_number": 2**32 - 1}),
        _answer(),
    ]
    server = Hostile(answers)
    publisher = Publisher(server.address, "t" * 43, retry=(0.02, 0.1)).start()
    run = Run(publisher, RunInfo("", "victim"))
    run.start()
    try:
        ids = {a.command.command_id for a in answers if a.HasField("command")}

        def answered():
            for _ in run.track(range(3)):
                run.log(loss=1.0)
            results = [p for f in server.heard for p in f.payloads if hasattr(p, "command")]
            told = {p.command.command_id: p for p in results if p.state.final}
            return told if set(told) >= ids else None

        told = eventually(answered, 15)
        assert {p.state for i, p in told.items() if i in ids} == {CommandState.REJECTED}
        assert "does not know such a command; update it" in told["later"].error
        assert all(p.error for p in told.values())
        assert any(isinstance(p, Scalars) for f in server.heard for p in f.payloads)
        assert not run.should_stop
    finally:
        run.finish()
        publisher.close(1.0)
        server.close()


def test_answers_that_are_none_end_a_stream_and_not_the_trainer(eventually):
    server = Hostile([b"\xff\xff\xff"])
    publisher = Publisher(server.address, "t" * 43, retry=(0.02, 0.1)).start()
    try:
        info = publisher.open(RunInfo("", "victim"), lambda _: CommandState.DELIVERED)
        eventually(lambda: "MetricsResponse" in publisher.problem)
        publisher.publish([Event(info.run_id, 0, time.time(), LogLine("still here"))])
    finally:
        publisher.close(0.5)
        server.close()


# --- the port --------------------------------------------------------------------------------------------------------


def test_a_browser_that_was_led_here_gets_nothing(server, broker):
    """DNS rebinding: a page of some site has its name point to this machine, and asks on."""
    count = len(broker.runs())
    for verb, headers in (
        ("GET", {"Host": "evil.example"}),
        ("POST", {"Host": "evil.example", "Content-Type": "application/grpc-web+proto"}),
        ("OPTIONS", {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        connection.request(verb, STREAM, body=b"\x00" * 50, headers=headers)
        with pytest.raises((http.client.HTTPException, OSError)):
            connection.getresponse()
        connection.close()
    assert len(broker.runs()) == count


def test_a_thousand_connections_that_say_nothing(server, channel, healthy):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4_096 if hard == resource.RLIM_INFINITY else min(hard, 4_096)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    silent = []
    try:
        count = 1_000 if wanted >= 2_500 else 300
        before = threading.active_count()
        for _ in range(count):
            silent.append(socket.create_connection(("127.0.0.1", server.port), 5))
        healthy()
        assert (
            call(channel, f"/{MONITOR}/ListRuns", [b""], token=server.token)[0]
            is grpc.StatusCode.OK
        )
        assert threading.active_count() - before < 8, "silence costs no thread"
    finally:
        for each in silent:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_headers_beyond_measure_are_refused(server, channel):
    for size in (100_000, 1_000_000):
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(f"/{MONITOR}/ListRuns")(
                b"", timeout=5, metadata=(*metadata(server.token), ("x-long", "y" * size))
            )
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_fifty_of_the_same_are_one_line_in_the_log(channel, caplog):
    for _ in range(50):
        assert call(channel, f"/{MONITOR}/ListRuns", [b""])[0] is grpc.StatusCode.UNAUTHENTICATED
    loud = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(loud) == 1


def test_a_broker_alone_survives_a_flood_of_names():
    """Ten thousand series of one run: told in an index, kept, and nothing else slows down."""
    broker = Broker(MemoryStore())
    info = broker.open(RunInfo("", "flood"), lambda _: CommandState.DELIVERED)
    now = time.time()
    columns = tuple(
        Column(f"s{k}", np.array([1]), np.array([1.0]), np.array([now])) for k in range(10_000)
    )
    broker.publish([Event(info.run_id, 1, now, Scalars(columns))])
    assert len(broker.series(info.run_id)) == 10_000
    broker.close()
