"""An event is made into bytes once, however many look."""

from __future__ import annotations

import time

import numpy as np
import pytest

from nbmonitor.events import Column, Demand, Event, LogLine, Performance, RunInfo, Scalars
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.codec import viewer as wire
from nbmonitor.rpc.encoded import Encoded


def event(seq, text="hello", run_id="r"):
    return Event(run_id, seq, 1.7e9, LogLine(text), seq=seq)


def test_bytes_made_once_are_an_answer_like_any_other():
    steps = np.arange(400)
    block = Scalars((Column("loss", steps, steps / 7.0, np.full(400, 1.7e9)),))
    events = (event(1), Event("r", 400, 1.7e9, block, seq=2), event(3, "x" * 200))
    runs = (RunInfo("r", "digits"),)
    for snapshot in (None, (event(9),), ()):
        answer = wire.Seen(events, runs, snapshot=snapshot, caught_up=True, resync=True)
        shared = Encoded()
        data = wire.seen(answer, shared)
        assert data == wire.seen(answer, shared) == wire.seen(answer)
        read = wire.read_seen(data)
        assert [e.seq for e in read.events] == [1, 2, 3]
        assert read.events[1].payload.columns[0].values.tolist() == (steps / 7.0).tolist()
        assert [e.seq for e in read.snapshot or ()] == [e.seq for e in snapshot or ()]
        assert (read.caught_up, read.resync, read.runs[0].name) == (True, True, "digits")
        assert shared.made == len(events) + len(snapshot or ())


def test_what_is_kept_is_bounded_and_runs_are_told_apart():
    shared = Encoded(most=1000)
    for seq in range(1, 200):
        shared(event(seq, "x" * 100))
    assert sum(map(len, shared._kept.values())) == shared._bytes <= 1000
    big = shared(event(500, "x" * 5000))
    assert shared(event(500, "x" * 5000)) is big, "the newest stays, whatever its size"
    assert len(shared._kept) == 1
    assert shared(event(500, run_id="other")) != big
    made = shared.made
    assert shared(event(0)) == shared(event(0, "hello"))
    assert shared.made == made + 2, "without a number nothing is told apart"


@pytest.fixture
def viewers(server):
    made = [Client(server.address, token=server.token) for _ in range(8)]
    for client in made:
        client.connect(10.0)
    yield made
    for client in made:
        client.close()


def test_eight_viewers_cost_one_encoding(broker, server, viewers, eventually):
    run_id = broker.open(RunInfo("", "digits"), lambda _: None).run_id
    boxes = [client.subscribe(run_id) for client in viewers]
    for box in boxes:
        box.demand = Demand(60.0)
    eventually(lambda: all(c.run(run_id) for c in viewers))
    eventually(lambda: len(broker._runs[run_id].viewers) == 8)
    time.sleep(0.3)  # first answers are out
    made = server._monitor._encoded.made
    seen = [set() for _ in boxes]

    def all_have(count):
        for box, mine in zip(boxes, seen, strict=True):
            mine.update(
                e.payload.text for e in box.drain().events if isinstance(e.payload, LogLine)
            )
        return all(len(mine) == count for mine in seen)

    for i in range(40):
        broker.publish(
            [
                Event(run_id, i, time.time(), LogLine(f"line {i}")),
                Event(run_id, i, time.time(), Performance(fps=float(i))),
            ]
        )
        time.sleep(0.01)
    eventually(lambda: all_have(40))
    assert 40 <= server._monitor._encoded.made - made <= 80, "eight times that without sharing"
