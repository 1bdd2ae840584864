"""What takes minutes: the cut of a minute, a minute of silence, many at once. Run by `make soak`."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from nbmonitor.events import (
    Column,
    CommandState,
    Demand,
    Event,
    LinkState,
    RunInfo,
    RunState,
    Scalars,
    Status,
)
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.publisher import Publisher

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]


def say(publisher, run_id, step, payload):
    publisher.publish([Event(run_id, step, time.time(), payload)])


def loss(step):
    at = np.array([step])
    return Scalars((Column("loss", at, 1.0 / (1.0 + at), np.array([time.time()])),))


def test_a_cut_of_a_minute_costs_no_value_on_either_side(
    broker, server, make_proxy, attach, view, eventually
):
    """Trainer and viewer each behind a road of their own; first the trainer's is closed, then both are."""
    up, down = make_proxy(server.port), make_proxy(server.port)
    publisher = Publisher(up.address, server.token).start()
    try:
        info = publisher.open(RunInfo("", "far"), lambda _c: CommandState.DELIVERED)
        say(publisher, info.run_id, 0, Status(RunState.RUNNING))
        assert publisher.flush(5)
        client = attach(down.address)
        viewer = view(client, info.run_id, Demand(30, 512))
        say(publisher, info.run_id, 0, loss(0))
        eventually(lambda: viewer.look(0.05) or viewer.steps() == [0])  # from here it has a cursor
        step, began, noticed = 1, time.monotonic(), {}
        for road in (up, down):
            road.set(hole=True)
            road.refuse = True
        while time.monotonic() - began < 60:
            say(publisher, info.run_id, step, loss(step))
            step += 1
            viewer.look(0.01)
            gone = time.monotonic() - began
            if client.road is LinkState.DISCONNECTED:
                noticed.setdefault("the viewer, of its server", gone)
            if not server._monitor._showings:
                noticed.setdefault("the server, of its viewer", gone)
            if broker.run(info.run_id).link is LinkState.DISCONNECTED:
                noticed.setdefault("the server, of its trainer", gone)
        print(noticed)
        assert len(noticed) == 3, noticed
        assert all(after <= 10.0 for after in noticed.values()), noticed
        assert broker.run(info.run_id).state is RunState.LOST
        for road in (up, down):
            road.heal()
            road.cut()
        assert publisher.flush(60)
        assert broker.history(info.run_id, "loss")[0].tolist() == list(range(step))
        eventually(lambda: viewer.look(0.1) or len(viewer.steps()) >= step, 30)
        assert viewer.steps() == list(range(step)), "every value, in order, once"
        assert broker.run(info.run_id).state is RunState.RUNNING
    finally:
        publisher.close(2)


def test_an_idle_minute_is_not_too_many_pings(run, server, proxy, attach, eventually):
    """A viewer and a trainer that have nothing to say; and a channel without any call."""
    from nbmonitor.rpc.channel import dial, method
    from nbmonitor.rpc.codec import MONITOR

    client = attach()
    client.series(run.run_id)
    publisher = Publisher(proxy.address, server.token).start()
    metadata = client._calls.metadata
    with dial(proxy.address) as bare:
        ask = method(bare, MONITOR, "ListRuns")
        ask(b"", timeout=5, metadata=metadata)
        states = []
        bare.subscribe(states.append)
        try:
            publisher.open(RunInfo("", "quiet"), lambda _c: CommandState.DELIVERED)
            assert publisher.flush(5)
            time.sleep(62)
            assert publisher.problem == ""
            assert client.run(run.run_id).reconnects == 0
            assert [s.name for s in states if s.name == "TRANSIENT_FAILURE"] == []
            assert proxy.counts.accepted == 3, "nobody had to dial again"
            ask(b"", timeout=5, metadata=metadata)
        finally:
            publisher.close(2)


def test_a_viewer_that_never_reads_for_a_minute_is_closed(run, server, attach, view, eventually):
    from nbmonitor.rpc.channel import dial, method
    from nbmonitor.rpc.codec import MONITOR, viewer

    other = view(attach(server.address), run.run_id, Demand(30, 512))
    with dial(server.address) as channel:
        asked = viewer.watch(viewer.Watch(run.run_id, None, Demand(30, 512), acknowledges=True))
        call = method(channel, MONITOR, "WatchRun")(
            asked, metadata=Client(server.address, server.token)._calls.metadata
        )
        eventually(lambda: server._gate.active["viewers"] == 2)
        run.train(fps=30, picture=50_000)
        began = time.monotonic()
        while server._gate.active["viewers"] == 2 and time.monotonic() - began < 90:
            other.look(0.2)
        assert 55 < time.monotonic() - began < 75
        run.stop()
        other.look(0.5)
        assert other.steps() == list(range(other.steps()[0], run.step))
        with pytest.raises(Exception, match="was not read for"):
            list(call)


def test_sixty_four_viewers_and_thirty_two_trainers_leave_every_place_free_again(
    broker, server, attach, eventually
):
    publishers = [Publisher(server.address, server.token).start() for _ in range(32)]
    runs = []
    try:
        for k, publisher in enumerate(publishers):
            info = publisher.open(RunInfo("", f"run {k}"), lambda _c: CommandState.DELIVERED)
            say(publisher, info.run_id, 0, Status(RunState.RUNNING))
            runs.append(info.run_id)
        eventually(lambda: len(broker.runs()) == 32, 30)
        clients = [attach(server.address) for _ in range(64)]
        boxes = [c.subscribe(runs[k % 32]) for k, c in enumerate(clients)]
        eventually(lambda: server._gate.active["viewers"] == 64, 30)
        for step in range(100):
            for publisher, run_id in zip(publishers, runs, strict=True):
                say(publisher, run_id, step, loss(step))
            time.sleep(0.1)
        assert all(p.flush(30) for p in publishers)
        got = [set() for _ in boxes]

        def complete():
            for box, steps in zip(boxes, got, strict=True):
                for event in box.drain().events:
                    if isinstance(event.payload, Scalars):
                        steps.update(int(s) for c in event.payload.columns for s in c.steps)
            return all(len(steps) == 100 for steps in got)

        eventually(complete, 60)
        for client in clients:
            client.close()
        eventually(lambda: server._gate.active["viewers"] == 0, 30)
    finally:
        for publisher in publishers:
            publisher.close(1)
    eventually(lambda: not any(server._gate.active.values()), 30)
    eventually(
        lambda: sum(t.name.startswith("nbmonitor-grpc") for t in threading.enumerate()) < 8, 30
    )
