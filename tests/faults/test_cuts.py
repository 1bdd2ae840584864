"""Cuts: what a road swallows comes later, in order, once; who vanished is noticed."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

from nbmonitor.events import (
    Column,
    CommandState,
    Demand,
    Event,
    Heartbeat,
    LinkState,
    LogLine,
    RunInfo,
    RunState,
    Scalars,
    Status,
)
from nbmonitor.rpc import channel as channels
from nbmonitor.rpc import publisher as publishers
from nbmonitor.rpc import server as servers
from nbmonitor.rpc import showing, watching
from nbmonitor.rpc.publisher import Publisher

SCALE = 300  # milliseconds, in place of the seconds of the keepalive


def scaled(options):
    """Keepalive at a tenth of its time."""
    scale = {
        "grpc.keepalive_time_ms": SCALE,
        "grpc.keepalive_timeout_ms": SCALE,
        "grpc.http2.ping_timeout_ms": SCALE,
        "grpc.http2.min_ping_interval_without_data_ms": SCALE // 2,
        "grpc.min_reconnect_backoff_ms": 200,
        "grpc.max_reconnect_backoff_ms": 300,
    }
    return tuple((name, scale.get(name, value)) for name, value in options)


@pytest.fixture
def quick_keepalive(monkeypatch):
    monkeypatch.setattr(channels, "OPTIONS", scaled(channels.OPTIONS))
    monkeypatch.setattr(servers, "OPTIONS", scaled(servers.OPTIONS))


@pytest.fixture
def reports(server, proxy):
    """A publisher behind the proxy, and the run it reports."""
    publisher = Publisher(proxy.address, server.token, retry=(0.02, 0.2)).start()
    yield publisher
    publisher.close(1.0)


def say(publisher, run_id, step, payload):
    publisher.publish([Event(run_id, step, time.time(), payload)])


def loss(step):
    return Scalars(
        (Column("loss", np.array([step]), np.array([1.0 / (1 + step)]), np.array([time.time()])),)
    )


def test_keepalive_is_asked_as_often_as_the_server_allows():
    client, server = dict(channels.OPTIONS), dict(servers.OPTIONS)
    pings = client["grpc.keepalive_time_ms"]
    assert pings > server["grpc.http2.min_ping_interval_without_data_ms"], "else too_many_pings"
    assert client["grpc.http2.max_pings_without_data"] == 0
    assert server["grpc.keepalive_permit_without_calls"] == 1
    for side in (client, server):
        waits = max(side["grpc.keepalive_timeout_ms"], side["grpc.http2.ping_timeout_ms"])
        noticed = side["grpc.keepalive_time_ms"] + waits
        assert noticed < 10_000, "who vanished is noticed within ten seconds, on both sides"


def test_a_vanished_laptop_leaves_no_thread_and_no_place_taken(
    quick_keepalive, run, server, proxy, attach, view, eventually
):
    client = attach()
    view(client, run.run_id, Demand(30, 512))
    eventually(lambda: server._gate.active["viewers"] == 1)
    proxy.set(hole=True)
    eventually(lambda: not any(server._gate.active.values()), 8)
    assert not server._monitor._showings
    eventually(lambda: client.run(run.run_id).link is LinkState.DISCONNECTED, 8)
    proxy.heal()
    eventually(lambda: client.run(run.run_id).link is LinkState.CONNECTED, 8)
    assert client.run(run.run_id).reconnects == 1


@pytest.mark.parametrize("how", ["hole", "reset"])
def test_a_cut_of_seconds_costs_no_value(
    quick_keepalive, broker, server, proxy, reports, attach, eventually, how
):
    """The trainer is behind the cut; what it said meanwhile comes once it is over, in order, once."""
    info = reports.open(RunInfo("", "far"), lambda _c: CommandState.DELIVERED)
    say(reports, info.run_id, 0, Status(RunState.RUNNING))
    for step in range(100):
        say(reports, info.run_id, step, loss(step))
    assert reports.flush(5)
    proxy.refuse = True
    if how == "hole":
        proxy.set(hole=True)
    else:
        proxy.cut()
    end = time.monotonic() + 2.0
    step = 100
    while time.monotonic() < end:
        say(reports, info.run_id, step, loss(step))
        step += 1
        time.sleep(0.005)
    eventually(lambda: broker.run(info.run_id).link is LinkState.DISCONNECTED)
    assert broker.run(info.run_id).state is not RunState.COMPLETED, "a torn stream is no end"
    proxy.heal()
    assert reports.flush(10)
    steps, _ = broker.history(info.run_id, "loss")
    assert steps.tolist() == list(range(step))
    assert broker.run(info.run_id).lost == 0


@pytest.mark.slow
def test_flipped_bits_are_found_and_what_they_hit_is_sent_again(
    broker, server, proxy, reports, eventually, monkeypatch
):
    # A bit may hit the length of a message: what follows is taken for its middle, and nothing else is wrong.
    monkeypatch.setattr(publishers, "PATIENCE", 1.5)
    info = reports.open(RunInfo("", "noisy"), lambda _c: CommandState.DELIVERED)
    say(reports, info.run_id, 0, Status(RunState.RUNNING))
    assert reports.flush(5)
    proxy.set("up", flip=2e-4)
    for step in range(3_000):
        say(reports, info.run_id, step, loss(step))
        if step % 100 == 99:
            time.sleep(0.02)
    eventually(lambda: proxy.counts.flipped > 0)
    proxy.heal()
    assert reports.flush(30)
    steps, values = broker.history(info.run_id, "loss")
    assert steps.tolist() == list(range(3_000))
    np.testing.assert_array_equal(values, 1.0 / (1.0 + np.arange(3_000)))


def test_a_server_that_confirms_nothing_is_told_again_on_a_new_stream(
    broker, server, reports, monkeypatch, caplog
):
    monkeypatch.setattr(publishers, "PATIENCE", 0.3)
    numbered, deaf = server._ingest._numbered, []

    def swallow(frame, trainer, out):
        deaf.append(out)
        if out is not deaf[0]:
            numbered(frame, trainer, out)

    monkeypatch.setattr(server._ingest, "_numbered", swallow)
    info = reports.open(RunInfo("", "deaf"), lambda _c: CommandState.DELIVERED)
    for step in range(100):
        say(reports, info.run_id, step, loss(step))
    assert reports.flush(10)
    assert broker.history(info.run_id, "loss")[0].tolist() == list(range(100))
    assert len(set(map(id, deaf))) == 2, "a new stream, and one alone"
    assert "has confirmed nothing" in caplog.text
    time.sleep(0.5)
    reports.heartbeat(Heartbeat(info.run_id))
    assert reports._connected, "who has nothing to confirm is left in peace"


def test_a_watch_that_falls_silent_is_opened_anew(run, attach, server, monkeypatch, eventually):
    monkeypatch.setattr(watching, "GIVE_UP", 0.3)
    monkeypatch.setattr(watching, "SURE", 0.1)
    monkeypatch.setattr(showing, "TICK", 60.0)  # one word, and then none
    client = attach(server.address)
    run.loss(5)
    eventually(lambda: client.check() or client.facts().reconnects >= 1, 10)
    eventually(lambda: client.road is LinkState.CONNECTED, 10)
    assert client.run(run.run_id).step >= 0


@pytest.mark.parametrize("seed", range(4))
def test_after_cuts_at_any_moment_a_viewer_has_every_value_once(
    run, proxy, attach, view, eventually, seed
):
    chance = random.Random(seed)
    viewer = view(attach(), run.run_id, Demand(30, 512))
    viewer.look(0.1)
    for _ in range(4):
        for _ in range(chance.randrange(1, 40)):
            run.loss(chance.randrange(1, 5))
            if chance.random() < 0.2:
                run.picture(5_000)
            viewer.look(chance.random() * 0.004)
        proxy.cut()
        for _ in range(chance.randrange(0, 20)):
            run.loss(chance.randrange(1, 5))
    run.line("the end")
    eventually(
        lambda: viewer.look(0.05) or any(e.payload.text == "the end" for e in viewer.of(LogLine)),
        15,
    )
    assert viewer.steps() == list(range(run.step))
    assert viewer.resyncs == 0
    numbers = [e.seq for e in viewer.of(Scalars)]
    assert numbers == sorted(set(numbers))


def test_what_is_shown_of_the_road_is_true(
    quick_keepalive, run, server, proxy, attach, view, eventually
):
    proxy.set(delay=0.05)
    client = attach()
    viewer = view(client, run.run_id, Demand(30, 512))
    eventually(lambda: client.run(run.run_id).link_rtt)
    assert 0.1 <= client.run(run.run_id).link_rtt < 1.0, "there and back"
    assert client.road is LinkState.CONNECTED
    assert client.run(run.run_id).reconnects == 0
    proxy.cut()
    eventually(lambda: client.run(run.run_id).reconnects == 1)
    proxy.set(hole=True)
    eventually(lambda: client.road in (LinkState.STALE, LinkState.DISCONNECTED), 5)
    proxy.heal()
    eventually(lambda: client.road is LinkState.CONNECTED, 8)
    run.line("hello")
    eventually(lambda: viewer.look(0.05) or "hello" in str(viewer.of(LogLine)))
    seen = client.run(run.run_id).last_seen
    assert seen is not None
    assert abs(time.time() - seen) < 5
