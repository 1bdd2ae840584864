"""The server as such: who gets in, how many, how it ends, what it says when something is wrong."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import platform
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError

import grpc
import pytest

from nbmonitor.errors import AttachError, ServerError
from nbmonitor.events import CommandState, RunInfo
from nbmonitor.rpc import codec, health
from nbmonitor.rpc.channel import explain
from nbmonitor.rpc.codec import viewer
from nbmonitor.rpc.limits import Refused
from nbmonitor.rpc.roads import discovery
from nbmonitor.rpc.roads.discovery import Announced
from nbmonitor.rpc.server import Server
from nbmonitor.rpc.threads import Pool, back_off
from nbmonitor.rpc.trust import auth, places
from nbmonitor.rpc.trust.auth import metadata


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.address) as made:
        yield made


def call(channel, path, *, token=None, data=b"", timeout=5):
    """Calls an RPC of any kind and returns (code, details)."""
    service, _, name = path[1:].partition("/")
    asks, answers = (
        codec.methods(service).get(name, (False, False))
        if "health" not in service
        else (False, name == "Watch")
    )
    kind = f"{'stream' if asks else 'unary'}_{'stream' if answers else 'unary'}"
    request = iter([data]) if asks else data
    try:
        answer = getattr(channel, kind)(path)(request, timeout=timeout, metadata=metadata(token))
        if answers:
            next(iter(answer), None)
            answer.cancel()
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


def test_nothing_listens_before_start_and_nothing_after_close(broker):
    before = threading.active_count()
    server = Server(broker)
    assert threading.active_count() == before
    server.close()
    server.start()
    assert server.port > 0
    assert server.address == f"127.0.0.1:{server.port}"
    start = time.monotonic()
    server.close()
    server.close()
    assert time.monotonic() - start < 2


def test_what_is_not_built_says_so(server, channel):
    declared = [p for p in server.serves() if "UpdateRun" in p or "Note" in p or "Checkpoint" in p]
    assert len(declared) == 5
    for path in declared:
        code, details = call(channel, path, token=server.token)
        assert (code, " " in details) == (grpc.StatusCode.UNIMPLEMENTED, True), path
        assert "Method not" not in details


def test_a_port_in_use_is_named_with_the_remedy(broker, server, capfd):
    second = Server(broker, port=server.port)
    with pytest.raises(ServerError, match=rf"Port {server.port} .* in use.*NBMONITOR_PORT=0"):
        second.start()
    second.close()
    assert capfd.readouterr().err == "", "gRPC's own account of it would stand above the remedy"


def test_on_ipv6(broker):
    try:
        server = Server(broker, host="::1").start()
    except ServerError:
        pytest.skip("no IPv6 on this machine")
    try:
        assert server.address == f"[::1]:{server.port}"
        with grpc.insecure_channel(server.address) as channel:
            code, _ = call(channel, "/metrics.MetricsService/RegisterTrainingSession")
            assert code is grpc.StatusCode.OK
    finally:
        server.close(0.2)


def test_the_stream_too_many_is_refused_by_name_and_calls_go_on(broker):
    caps = {"trainers": 3, "viewers": 2, "run lists": 1, "health watches": 1}
    server = Server(broker, caps=caps).start()
    run_id = broker.open(RunInfo("", "a run"), lambda _c: CommandState.DELIVERED).run_id
    held = []
    try:
        with grpc.insecure_channel(server.address) as channel:
            stop = threading.Event()

            def silence():
                stop.wait()
                return
                yield

            for _ in range(3):
                held.append(channel.stream_stream(f"/{codec.CONTRACT}/StreamMetrics")(silence()))
            _until(lambda: server._gate.active["trainers"] == 3)
            code, details = call(channel, f"/{codec.CONTRACT}/StreamMetrics")
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert details.startswith("3 trainers at a time")
            one = viewer.watch(viewer.Watch(run_id))
            watch = channel.unary_stream(f"/{codec.MONITOR}/WatchRun")
            for asked in (one, one, b""):
                held.append(watch(asked, metadata=metadata(server.token)))
                next(held[-1])
            for asked, limit in ((one, "2 viewers"), (b"", "1 run lists")):
                with pytest.raises(grpc.RpcError, match=f"{limit} at a time") as refused:
                    next(watch(asked, metadata=metadata(server.token)))
                assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            held.append(channel.unary_stream("/grpc.health.v1.Health/Watch")(b""))
            next(held[-1])
            code, _ = call(channel, "/grpc.health.v1.Health/Watch")
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            start = time.monotonic()
            assert (
                call(channel, f"/{codec.MONITOR}/ListRuns", token=server.token)[0]
                is grpc.StatusCode.OK
            )
            assert time.monotonic() - start < 1
            for each in held:
                each.cancel()
            stop.set()
            _until(lambda: not any(server._gate.active.values()))
    finally:
        server.close(0.2)


def _until(condition, timeout=5):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_errors_inside_stay_inside(server, channel, broker, monkeypatch, caplog):
    def broken():
        raise ZeroDivisionError("the secret of the house")

    monkeypatch.setattr(broker, "runs", broken)
    code, details = call(channel, f"/{codec.MONITOR}/ListRuns", token=server.token)
    assert code is grpc.StatusCode.INTERNAL
    assert "secret" not in details
    assert "the secret of the house" in caplog.text
    code, details = call(channel, f"/{codec.MONITOR}/ListRuns", token=server.token, data=b"")
    assert code is grpc.StatusCode.INTERNAL


def test_an_error_after_the_client_has_left_is_written_down_once(
    server, channel, broker, monkeypatch, caplog, eventually
):
    asked, over = threading.Event(), threading.Event()

    def runs():
        asked.set()
        over.wait(5)
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(broker, "runs", runs)
        ask = channel.unary_unary(f"/{codec.MONITOR}/ListRuns")
        given_up = ask.future(b"", metadata=metadata(server.token))
        assert asked.wait(5)
        given_up.cancel()
        eventually(lambda: server.metrics.snapshot()[f"/{codec.MONITOR}/ListRuns"].active == 1)
        time.sleep(0.1)  # the server has heard of it
        assert server._gate.active["calls"] == 1, "its place is taken as long as its thread is"
        over.set()
        eventually(lambda: not server._gate.active["calls"])
    gc.collect()
    assert [r.message for r in caplog.records] == ["error in a call that was given up"]


@pytest.mark.parametrize("which", ["_showings", "_links"])
def test_a_stream_that_begins_while_the_server_says_goodbye_is_told(server, channel, which):
    part = server._monitor if which == "_showings" else server._ingest

    class Closing(set):
        def add(self, stream):
            part.close() if part is server._monitor else part.close("over")
            super().add(stream)

    setattr(part, which, Closing())
    rpc = (
        f"/{codec.MONITOR}/WatchRun"
        if part is server._monitor
        else f"/{codec.INGEST}/StreamMetrics"
    )
    code, _ = call(channel, rpc, token=server.token)
    assert code is grpc.StatusCode.UNAVAILABLE
    assert getattr(part, which) == set()


@pytest.mark.parametrize(
    "name", ["GetHistory", "SendCommand", "WatchRun", "AdjustWatch", "ListCommands"]
)
def test_garbage_to_a_viewers_call_is_an_invalid_argument(server, channel, name):
    path = f"/{codec.MONITOR}/{name}"
    code, details = call(channel, path, token=server.token, data=b"\xff\xff\xff")
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "no " in details
    code, _ = call(channel, f"/{codec.CONTRACT}/RegisterTrainingSession", data=b"\xff\xff")
    assert code is grpc.StatusCode.INVALID_ARGUMENT


def test_health(server, channel):
    ask = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health.Request.SerializeToString,
        response_deserializer=health.Response.FromString,
    )
    assert ask(health.Request(), timeout=5).status == health.SERVING
    assert ask(health.Request(service=codec.CONTRACT), timeout=5).status == health.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        ask(health.Request(service="unknown"), timeout=5)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    watch = channel.unary_stream(
        "/grpc.health.v1.Health/Watch", response_deserializer=health.Response.FromString
    )(b"")
    assert next(watch).status == health.SERVING
    server._health.set(serving=False)
    assert next(watch).status == health.NOT_SERVING
    server._health.set(serving=True)
    watch.cancel()


def test_streams_give_way_to_calls_that_are_let_in_alone(server, channel):
    """A flood of calls without a token must not keep the streams of those who have one waiting."""
    path = f"/{codec.MONITOR}/GetServerInfo"
    for _ in range(3):
        assert call(channel, path, token="not the token")[0] is grpc.StatusCode.UNAUTHENTICATED
    assert server._gate.arrived == 0.0
    assert call(channel, path, token=server.token)[0] is grpc.StatusCode.OK
    assert server._gate.arrived > 0.0


def test_streams_in_progress_do_not_hold_a_server_back(broker):
    server = Server(broker).start()
    with grpc.insecure_channel(server.address) as channel, contextlib.ExitStack() as stack:
        stop = threading.Event()
        stack.callback(stop.set)

        def silence():
            stop.wait()
            return
            yield

        stream = channel.stream_stream(f"/{codec.CONTRACT}/StreamMetrics")(silence())
        watch = channel.unary_stream(f"/{codec.MONITOR}/WatchRun")(
            b"", metadata=metadata(server.token)
        )
        next(watch)
        _until(lambda: server._gate.active["trainers"] == 1)
        start = time.monotonic()
        server.close(0.5)
        assert time.monotonic() - start < 3
        for open_call in (stream, watch):
            with contextlib.suppress(grpc.RpcError):
                for _ in open_call:
                    pass


@pytest.mark.slow
def test_a_client_that_pings_is_not_thrown_out(server):
    """The usual options of other people's clients; against gRPC's defaults they end with "Too many pings"."""
    options = [
        ("grpc.keepalive_time_ms", 5_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    with grpc.insecure_channel(server.address, options=options) as channel:
        stop = threading.Event()

        def silence():
            stop.wait()
            return
            yield

        stream = channel.stream_stream(f"/{codec.CONTRACT}/StreamMetrics")(silence())
        end = time.monotonic() + 30  # against the defaults it ends after 25 s
        while stream.is_active() and time.monotonic() < end:
            time.sleep(0.2)
        assert stream.is_active()
        stop.set()
        assert list(stream) == []


# --- tokens and discovery --------------------------------------------------------------------------------------------


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    (tmp_path / "runtime").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return auth.runtime_dir()


def test_token_files_are_private(runtime):
    token = auth.new_token()
    assert len(token) >= 43
    assert token != auth.new_token()
    path = auth.write_token(token)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
    assert auth.read_token(path) == token
    runtime.chmod(0o755)
    assert stat.S_IMODE(auth.runtime_dir().stat().st_mode) == 0o700


def test_a_token_file_that_is_none(tmp_path):
    for content in (None, "", "# a comment\n", "two\nlines", "one nobody", "ünï"):
        path = tmp_path / "token"
        if content is not None:
            path.write_text(content)
        with pytest.raises(AttachError, match="token file"):
            auth.read_token(path)


def test_discovery_never_holds_the_token(runtime):
    token = auth.new_token()
    path = auth.write_token(token)
    found = discovery.write(
        "127.0.0.1:5005", path, runs=(Announced("i", "a", "running"), Announced("j", "b"))
    )
    file = runtime / found.name
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token not in file.read_text()
    assert discovery.find(5005) == found
    assert discovery.find(5006) is None
    assert [r.name for r in found.runs] == ["a", "b"]
    again = discovery.write("127.0.0.1:5005", path, runs=(Announced("k", 'ç"c'),))
    assert discovery.servers() == [again]
    discovery.remove(again)
    discovery.remove(again)
    assert discovery.servers() == []


def test_files_of_dead_processes_go_and_broken_ones_are_overlooked(runtime):
    path = auth.write_token("x" * 43, "token-of-the-dead")
    found = discovery.write("127.0.0.1:5005", path)
    raw = json.loads((runtime / found.name).read_text())
    dead = runtime / "server-1-2.json"
    dead.write_text(json.dumps(raw | {"pid": 2**22 + 1, "token_file": str(path)}))
    (runtime / "server-broken.json").write_text("{")
    assert discovery.servers() == [found]
    assert not dead.exists()
    assert not path.exists()


def test_a_server_is_found_whatever_the_runtime_folder_of_a_shell_is(runtime, monkeypatch):
    found = discovery.write("127.0.0.1:5005", auth.write_token("x" * 43))
    for elsewhere in ("/proc/nope", str(runtime.parent / "other")):
        monkeypatch.setenv("XDG_RUNTIME_DIR", elsewhere)
        assert discovery.find(5005) == found
        assert auth.read_token(found.token_file) == "x" * 43
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert discovery.find(5005) == found
    discovery.remove(found)


@pytest.mark.parametrize("state", ["/proc/nope", "a file"])
def test_without_a_state_folder_there_is_the_runtime_folder(runtime, monkeypatch, tmp_path, state):
    file = tmp_path / "a file"
    file.touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / state))  # an absolute one stays as it is
    path = auth.write_token("x" * 43)
    assert path.parent == tmp_path / "runtime" / "nbmonitor"
    found = discovery.write("127.0.0.1:5005", path)
    assert discovery.servers() == [found]
    monkeypatch.setattr("platformdirs.user_runtime_dir", lambda *_, **__: "/proc/nope")
    path = auth.write_token("y" * 43)
    assert auth.read_token(path) == "y" * 43
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert auth.runtime_dir() == path.parent
    found = discovery.write("127.0.0.1:5006", path)
    assert discovery.find(5006) == found
    discovery.remove(found)
    path.unlink()


def test_folders_that_take_no_file_are_passed_over(runtime, monkeypatch):
    write = places.write_private

    def full(path, text):
        if path.parent == runtime:
            raise OSError(28, "No space left on device")
        write(path, text)

    monkeypatch.setattr(places, "write_private", full)
    path = auth.write_token("x" * 43)
    assert path.parent != runtime
    found = discovery.write("127.0.0.1:5005", path)
    assert discovery.find(5005) == found


def test_files_of_other_machines_are_let_alone(runtime):
    path = auth.write_token("x" * 43, "token-of-another")
    raw = {"address": "127.0.0.1:5", "port": 5}
    dead = {"pid": 2**22 + 1, "started": 1.0, "token_file": str(path), "machine": platform.node()}
    file = runtime / "server-x.json"
    file.write_text(json.dumps(raw | dead | {"machine": "another", "space": ""}))
    assert discovery.servers() == []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        container = dead | {"address": f"127.0.0.1:{port}", "port": port, "space": "pid:[0]"}
        (runtime / "server-y.json").write_text(json.dumps(container))
        assert [f.port for f in discovery.servers()] == [port], "it listens, so it lives"
    assert discovery.servers() == []
    assert file.exists()
    assert path.exists()


# --- small parts -----------------------------------------------------------------------------------------------------


def test_the_pool_starts_threads_on_demand_and_lets_them_go():
    pool = Pool(2, "nbmonitor-test")
    assert pool.submit(lambda: 41 + 1).result(5) == 42
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result(5)
    together = threading.Barrier(2)
    done = [pool.submit(together.wait, 5) for _ in range(2)]
    assert sorted(f.result(5) for f in done) == [0, 1]
    names = {t.name for t in threading.enumerate() if t.name.startswith("nbmonitor-test")}
    assert names <= {"nbmonitor-test-1", "nbmonitor-test-2"}
    assert all(t.daemon for t in threading.enumerate() if t.name in names)
    pool.shutdown()
    with pytest.raises(RuntimeError):
        pool.submit(print)


def test_what_a_pool_never_began_is_cancelled_where_asked():
    pool, over = Pool(1, "nbmonitor-test"), threading.Event()
    began = pool.submit(over.wait, 5)
    _until(began.running)
    never = pool.submit(print, "never")
    pool.shutdown(wait=False, cancel_futures=True)
    over.set()
    assert began.result(5)
    with pytest.raises(CancelledError):
        never.result(5)


def test_back_off_doubles_to_a_cap_with_jitter():
    assert [back_off(k, lambda: 1.0, least=0.1, most=2.0) for k in range(6)] == [
        0.1,
        0.2,
        0.4,
        0.8,
        1.6,
        2.0,
    ]
    assert back_off(5, lambda: 0.0, least=0.1, most=2.0) == 0.1


def test_refusals_read_well():
    error = Refused(grpc.StatusCode.NOT_FOUND, "there is no such run")
    assert str(error) == "there is no such run"
    assert "no nbmonitor server answers" in explain(grpc.RpcError("x"), "h:1").lower()


def _status(child):
    """How a forked child ended, which it has to within ten seconds."""
    end = time.monotonic() + 10
    while (waited := os.waitpid(child, os.WNOHANG))[0] == 0:
        assert time.monotonic() < end, "the child hangs"
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(waited[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_in_a_forked_child_nothing_of_grpc_is_touched(server, publisher, make_trainer):
    trainer = make_trainer(publisher)
    trainer.loss(0)
    assert publisher.flush(5)
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            trainer.loss(1)
            assert publisher.flush(1) is False
            publisher.close()
            server.close()
            code = 0 if publisher._out.buffer.last == 1 else 2
        os._exit(code)
    assert _status(child) == 0
    trainer.loss(2)
    assert publisher.flush(5), "and the parent goes on"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_of_a_server_starts_none_and_says_so(server, broker):
    """gRPC has no poller there: a server would be waited for without end."""
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            try:
                Server(broker).start()
            except ServerError as error:
                code = 0 if "forked" in str(error) else 2
        os._exit(code)
    assert _status(child) == 0


def test_no_wheel_of_another_house_is_needed():
    """Health and the contract come without the packages that ask for a protobuf nobody has yet.

    Where they are installed, grpc itself imports their outermost package; what needs that protobuf lies deeper.
    """
    code = (
        "import sys, nbmonitor.rpc.server;"
        "print([n for n in sys.modules if n.startswith(('grpc_health.', 'grpc_reflection.'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
