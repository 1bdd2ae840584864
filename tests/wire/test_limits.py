"""How much a server takes: said in the handshake, kept with real streams, and a peer that vanishes makes room."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import grpc
import pytest

from nbmonitor.events import RunInfo
from nbmonitor.rpc import codec
from nbmonitor.rpc.channel import OPTIONS as CLIENT_OPTIONS
from nbmonitor.rpc.server import OPTIONS, Server
from nbmonitor.rpc.trust.auth import metadata
from nbmonitor.rpc.v1 import ingest_pb2, monitor_pb2

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


def until(condition, timeout=20.0):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def silence(stop):
    stop.wait()
    return
    yield


def test_the_limits_are_said_to_viewers_and_trainers(broker):
    server = Server(broker, caps={"viewers": 3, "trainers": 5}, message_bytes=9 << 20).start()
    try:
        with grpc.insecure_channel(server.address) as channel:
            ask = channel.unary_unary(f"/{codec.MONITOR}/GetServerInfo")
            told = monitor_pb2.GetServerInfoResponse.FromString(
                ask(b"", timeout=5, metadata=metadata(server.token))
            )
            limits = told.limits
            assert (limits.viewer_streams, limits.trainer_streams, limits.calls) == (3, 5, 16)
            assert limits.message_bytes == told.max_message_bytes == 9 << 20
            assert (limits.name_characters, limits.image_dimension) == (256, 512)
            assert limits.batch_samples == 16
            assert limits.image_pixels > 0
            register = channel.unary_unary(f"/{codec.CONTRACT}/RegisterTrainingSession")
            asked = ingest_pb2.SessionInfo(session_id="x").SerializeToString()
            config = ingest_pb2.SessionResponse.FromString(register(asked, timeout=5)).server_config
            assert (config.max_message_bytes, config.max_streams) == (9 << 20, 5)
            assert config.max_name_characters == 256
            # And what is said is what is done.
            with pytest.raises(grpc.RpcError) as caught:
                register(bytes((9 << 20) + 1), timeout=5)
            assert caught.value.code() is EXHAUSTED
    finally:
        server.close(0.2)


def test_sixty_four_of_each_and_a_call_is_still_answered(broker):
    """The real numbers, with real streams: the 65th of a kind is refused by name, and nothing else notices."""
    server = Server(broker).start()
    run = broker.open(RunInfo("", "watched"), lambda c: None).run_id
    asked = monitor_pb2.WatchRunRequest(run_id=run).SerializeToString()
    stop = threading.Event()
    held = []
    with contextlib.ExitStack() as stack:
        stack.callback(server.close, 0.2)
        stack.callback(stop.set)
        # One connection carries 100 streams at most; and gRPC shares connections of equal options.
        alone = [("grpc.use_local_subchannel_pool", 1)]
        channel, other, third = (
            stack.enter_context(grpc.insecure_channel(server.address, options=alone))
            for _ in range(3)
        )
        runs = third.unary_stream(f"/{codec.MONITOR}/WatchRun")
        watch = other.unary_stream(f"/{codec.MONITOR}/WatchRun")
        stream = channel.stream_stream(f"/{codec.CONTRACT}/StreamMetrics")
        for _ in range(64):
            held.append(watch(asked, metadata=metadata(server.token)))
            held.append(runs(b"", metadata=metadata(server.token)))
            held.append(stream(silence(stop)))
        kinds = ("viewers", "run lists", "trainers")
        until(lambda: [server._gate.active[k] for k in kinds] == [64, 64, 64])
        for kind, one in (
            ("viewers", watch(asked, metadata=metadata(server.token), timeout=10)),
            ("run lists", runs(b"", metadata=metadata(server.token), timeout=10)),
            ("trainers", stream(iter(()), timeout=10)),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                list(one)
            assert caught.value.code() is EXHAUSTED
            assert caught.value.details().startswith(f"64 {kind} at a time")
        ask = channel.unary_unary(f"/{codec.MONITOR}/ListRuns")
        for _ in range(16):
            ask(b"", timeout=10, metadata=metadata(server.token))
        for each in held:
            each.cancel()
        stop.set()
        until(lambda: not any(server._gate.active.values()))


def test_calls_beyond_their_number_are_refused_by_name(broker, monkeypatch):
    server = Server(broker, caps={"calls": 2}).start()
    go = threading.Event()
    monkeypatch.setattr(broker, "runs", lambda: go.wait(10) and [])
    try:
        with grpc.insecure_channel(server.address) as channel:
            ask = channel.unary_unary(f"/{codec.MONITOR}/ListRuns")
            waiting = [
                ask.future(b"", timeout=10, metadata=metadata(server.token)) for _ in range(2)
            ]
            until(lambda: server._gate.active["calls"] == 2)
            with pytest.raises(grpc.RpcError) as caught:
                ask(b"", timeout=10, metadata=metadata(server.token))
            assert caught.value.code() is EXHAUSTED
            assert "2 calls at a time" in caught.value.details()
            go.set()
            for one in waiting:
                one.result()
            ask(b"", timeout=10, metadata=metadata(server.token))
    finally:
        go.set()
        server.close(0.2)


# --- a peer that is gone without a word ------------------------------------------------------------------------------


class Cable:
    """Carries bytes both ways until it is cut: then nothing arrives any more, and nobody is told."""

    def __init__(self, port):
        self._to = port
        self.cut = threading.Event()
        self._over = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        self._listening.settimeout(0.1)
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError, OSError):
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                for a, b in ((near, far), (far, near)):
                    thread = threading.Thread(target=self._carry, args=(a, b), daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _carry(self, a, b):
        a.settimeout(0.05)
        while not self._over.is_set():
            try:
                data = a.recv(65536)
                if not self.cut.is_set():
                    if not data:
                        break
                    b.sendall(data)
                elif not data:
                    time.sleep(0.05)  # it hung up, and the other end is not told
            except TimeoutError:
                continue
            except OSError:
                break
        for end in (a, b):
            with contextlib.suppress(OSError):
                end.close()

    def close(self):
        self._over.set()
        for thread in self._threads:
            thread.join(2)
        self._listening.close()


def test_both_ends_look_for_each_other_well_within_ten_seconds():
    for options in (dict(OPTIONS), dict(CLIENT_OPTIONS)):
        looks = options["grpc.keepalive_time_ms"] + options["grpc.keepalive_timeout_ms"]
        assert looks < 10_000
        assert options["grpc.http2.max_pings_without_data"] == 0, "else it stops after two"
        assert options["grpc.keepalive_permit_without_calls"] == 1
    allowed = dict(OPTIONS)["grpc.http2.min_ping_interval_without_data_ms"]
    assert allowed < dict(CLIENT_OPTIONS)["grpc.keepalive_time_ms"], "else: too many pings"


@pytest.fixture
def quick(monkeypatch):
    """Keepalive ten times as fast, on both sides (below some four seconds gRPC does not get)."""
    fast = {"grpc.keepalive_time_ms": 500, "grpc.keepalive_timeout_ms": 400}
    fast["grpc.http2.min_ping_interval_without_data_ms"] = 300
    monkeypatch.setattr(
        "nbmonitor.rpc.server.OPTIONS", tuple((k, fast.get(k, v)) for k, v in OPTIONS)
    )
    return tuple((k, fast.get(k, v)) for k, v in CLIENT_OPTIONS)


@pytest.mark.slow
def test_a_laptop_that_vanished_makes_room_and_hears_of_it_itself(broker, quick):
    server = Server(broker).start()
    cable = Cable(server.port)
    stop = threading.Event()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{cable.port}", options=quick) as channel:
            stream = channel.stream_stream(f"/{codec.CONTRACT}/StreamMetrics")(silence(stop))
            until(lambda: server._gate.active["trainers"] == 1)
            time.sleep(1.5)  # pings go to and fro, and nobody minds
            assert stream.is_active()
            cable.cut.set()
            start = time.monotonic()
            until(lambda: server._gate.active["trainers"] == 0, 10)
            until(lambda: not stream.is_active(), 10)
            assert time.monotonic() - start < 8, "the system's own time-out is minutes"
            assert stream.code() is grpc.StatusCode.UNAVAILABLE
            stop.set()
    finally:
        cable.close()
        server.close(0.2)


def test_an_idle_channel_is_not_thrown_out_for_its_pings(broker, quick):
    server = Server(broker).start()
    stop = threading.Event()
    try:
        with grpc.insecure_channel(server.address, options=quick) as channel:
            stream = channel.stream_stream(f"/{codec.CONTRACT}/StreamMetrics")(silence(stop))
            end = time.monotonic() + 3  # six pings: against gRPC's defaults the third ends it
            while time.monotonic() < end:
                assert stream.is_active(), stream.details()
                time.sleep(0.1)
            stop.set()
            assert list(stream) == []
    finally:
        server.close(0.2)
