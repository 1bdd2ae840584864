"""Attaching over a long road, to a server that is late, and to one that does not answer."""

from __future__ import annotations

import threading
import time

import grpc
import pytest

from nbmonitor.broker import Broker
from nbmonitor.errors import AttachError
from nbmonitor.events import Batch, Command, CommandKind, CommandState, Demand
from nbmonitor.rpc import calls, monitor, watching
from nbmonitor.rpc import channel as channels
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.codec import MONITOR, viewer
from nbmonitor.rpc.server import Server
from nbmonitor.rpc.trust.auth import loopback
from nbmonitor.store.memory import MemoryStore


@pytest.fixture
def asked(monkeypatch):
    """Names of the RPCs that are asked from here, in order."""
    names = []

    def noted(channel, service, name):
        names.append(name)
        return channels.method(channel, service, name)

    for module in (calls, watching):
        monkeypatch.setattr(module, "method", noted)
    return names


def test_the_first_picture_is_two_questions_away(run, server, proxy, attach, view, asked):
    run.picture(20_000)
    proxy.set(delay=0.05)
    client = attach()
    assert set(asked) == {"GetServerInfo", "WatchRun"}
    assert asked.count("WatchRun") == 1
    assert asked.count("GetServerInfo") <= 2, "who answers, and how long that takes"
    view(client, client.runs()[0].run_id, Demand(30, 512))
    assert [type(e.payload) for e in client.latest(run.run_id)] == [Batch]
    assert asked.count("WatchRun") == 2
    assert set(asked) <= {"GetServerInfo", "WatchRun", "AdjustWatch"}


def test_a_server_that_is_late_is_waited_for(make_proxy):
    broker = Broker(MemoryStore())
    free = Server(broker).start()
    port, token = free.port, free.token
    free.close(0)
    late = Server(broker, port=port, token=token)
    timer = threading.Timer(0.7, late.start)
    timer.start()
    client = Client(f"127.0.0.1:{port}", token)
    try:
        client.connect(10)
        assert client.runs() == []
    finally:
        timer.join()
        client.close()
        late.close(0.2)
        broker.close()


def test_a_road_that_swallows_everything_is_given_up_in_time(server, proxy):
    proxy.set(hole=True)
    began = time.monotonic()
    with pytest.raises(AttachError, match="No nbmonitor server answers"):
        Client(proxy.address, server.token).connect(1.0)
    assert time.monotonic() - began < 5
    proxy.heal()
    proxy.refuse = True
    with pytest.raises(AttachError, match=r"Connection (refused|reset)|ocket closed|No nbmonitor"):
        Client(proxy.address, server.token).connect(1.0)


class Flaky:
    """Answers UNAVAILABLE so many times before it does what it should."""

    def __init__(self, times):
        self.left = times
        self.asked = []

    def service(self, details):
        name = details.method.rpartition("/")[2]

        def answer(request, context):
            self.asked.append(name)
            if self.left:
                self.left -= 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
def flaky():
    from nbmonitor.rpc.threads import Pool

    started = []

    def start(times):
        handler = Flaky(times)
        pool = Pool(4, "nbmonitor-grpc")
        server = grpc.server(pool, options=(("grpc.so_reuseport", 0),))
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        started.append((server, pool))
        channel = channels.dial(f"127.0.0.1:{port}")
        started.append((channel, None))
        return handler, channel

    yield start
    for each, pool in reversed(started):
        if pool is None:
            each.close()
        else:
            each.stop(0).wait(5)
            pool.shutdown()


@pytest.mark.parametrize("name", channels.READS)
def test_what_only_reads_is_asked_up_to_four_times(flaky, name):
    handler, channel = flaky(3)
    assert channels.method(channel, MONITOR, name)(b"", timeout=10) == b""
    assert handler.asked == [name] * 4
    handler.left = 4
    with pytest.raises(grpc.RpcError):
        channels.method(channel, MONITOR, name)(b"", timeout=10)
    assert handler.asked == [name] * 8


@pytest.mark.parametrize("name", ["SendCommand", "AdjustWatch", "UpdateRun", "SetNote"])
def test_what_changes_something_is_asked_once(flaky, name):
    handler, channel = flaky(1)
    with pytest.raises(grpc.RpcError) as refused:
        channels.method(channel, MONITOR, name)(b"", timeout=5)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert handler.asked == [name]


def test_every_unary_call_has_a_deadline(run, server, attach, view, monkeypatch):
    """Walks what calls and publishers ask, and holds what was walked against the names in the code."""
    from pathlib import Path

    import nbmonitor.rpc
    from nbmonitor.events import RunInfo
    from nbmonitor.rpc import publisher as publishers
    from nbmonitor.rpc.codec import methods

    seen = {}

    class Checked:
        def __init__(self, name, ask):
            self._name, self._ask = name, ask

        def __call__(self, *args, timeout=None, **more):
            seen.setdefault(self._name, []).append(timeout)
            return self._ask(*args, timeout=timeout, **more)

        def future(self, *args, timeout=None, **more):
            seen.setdefault(self._name, []).append(timeout)
            return self._ask.future(*args, timeout=timeout, **more)

    def checked(channel, service, name):
        ask = channels.method(channel, service, name)
        return ask if any(methods(service)[name]) else Checked(name, ask)

    for module in (calls, watching, publishers):
        monkeypatch.setattr(module, "method", checked)
    client = attach(server.address)
    viewing = view(client, run.run_id, Demand(30, 512))
    run.loss(10)
    client.window(run.run_id, "loss")
    client.audit()
    client.send(Command(run.run_id, CommandKind.PAUSE))
    client.ask_server()
    with pytest.raises(Exception, match="no-such"):
        client.run("no-such")
    viewing.box.demand = Demand(5, 64)
    publisher = publishers.Publisher(server.address, server.token).start()
    try:
        info = publisher.open(RunInfo("", "there"), lambda _c: CommandState.DELIVERED)
        assert publisher.flush(5)
        publisher.history(info.run_id, "loss")
    finally:
        publisher.close(1)
    assert all(t is not None and 0 < t <= 10 for each in seen.values() for t in each), seen
    source = "".join(p.read_text() for p in Path(nbmonitor.rpc.__file__).parent.glob("*.py"))
    named = {n for n in methods(MONITOR) if f'"{n}", ' in source and not any(methods(MONITOR)[n])}
    assert named - {"ListCommands"} <= set(seen), "a call that this test does not walk"


def test_history_is_compressed_for_another_machine_alone(run, server, proxy, attach, monkeypatch):
    run.loss(20_000)
    asked = viewer.ask_history(viewer.History(run.run_id, ("loss",), max_points=5_000))
    client = attach()

    def weighs():
        before = proxy.counts.down
        answer = client._calls.ask("GetHistory", asked, 5)
        return len(answer), proxy.counts.down - before

    size, road = weighs()
    assert road > 0.9 * size, "nothing is compressed on this machine"
    monkeypatch.setattr(monitor, "loopback", lambda _peer: False)
    again, road = weighs()
    assert again == size
    assert road < 0.7 * size


def test_what_another_machine_is():
    assert not loopback("ipv4:10.0.0.7:5000")
    assert not loopback("ipv6:%5Bfe80::1%5D:5000")
    for near in ("ipv4:127.0.0.1:5000", "ipv6:[::1]:5000", "ipv6:%5B::1%5D:5000", "unix:"):
        assert loopback(near)
