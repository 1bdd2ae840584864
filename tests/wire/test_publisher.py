"""A trainer's road: nothing is lost without being counted, nothing is taken twice, nobody waits."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from nbmonitor.broker import Broker
from nbmonitor.errors import AttachError, RunError
from nbmonitor.events import (
    Batch,
    Column,
    Command,
    CommandKind,
    CommandRecord,
    CommandState,
    Demand,
    Epoch,
    Event,
    Gap,
    Heartbeat,
    LinkState,
    LogLine,
    Mosaic,
    Performance,
    Resources,
    RunInfo,
    RunState,
    RunUpdate,
    Scalars,
    Status,
)
from nbmonitor.rpc.buffer import Buffer, memory
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.publisher import Publisher
from nbmonitor.rpc.server import Server
from nbmonitor.store.memory import MemoryStore
from nbmonitor.subscription import weight

FAST = (0.02, 0.2)


def line(k):
    return Event("r", k, 0.0, LogLine(str(k)))


# --- the buffer ------------------------------------------------------------------------------------------------------


def test_beyond_its_bound_the_oldest_go_and_are_counted():
    one = weight(line(0))
    buffer = Buffer(3 * one)
    for k in range(1, 6):
        buffer.add(line(k))
    assert (buffer.first, buffer.last, buffer.lost) == (3, 5, 2)
    assert buffer.gap() == (1, 2)
    buffer.sent = 2
    assert buffer.gap() is None
    assert buffer.next()[0] == 3


def test_what_the_server_has_is_forgotten_and_not_lost():
    buffer = Buffer(2 * weight(line(0)))
    for k in (1, 2):
        buffer.add(line(k))
    buffer.sent = 2
    buffer.acknowledge(2, keep=True)
    assert buffer.first == 1, "a server without a disk may forget it"
    buffer.add(line(3))
    assert (buffer.first, buffer.lost) == (2, 0)
    buffer.acknowledge(9, keep=False)
    assert buffer.acked == 2, "more than was sent is not acknowledged"
    buffer.sent = 3
    buffer.acknowledge(3, keep=False)
    assert (buffer.first, buffer.kept(), buffer.settled) == (4, [], True)


def test_of_pictures_the_newest_alone():
    buffer = Buffer()
    for k, split in enumerate(("train", "train", "val")):
        buffer.add(Event("r", k, 0.0, Batch(1, 1, split)))
    assert [e.step for e in buffer.pictures.values()] == [1, 2]
    assert (buffer.skipped, buffer.last, buffer.settled) == (1, 0, False)


def test_a_rewind_never_goes_behind_an_acknowledgment():
    buffer = Buffer()
    for k in range(1, 6):
        buffer.add(line(k))
    buffer.sent = 5
    buffer.acknowledge(3, keep=False)
    buffer.rewind(1)
    assert buffer.sent == 3
    buffer.rewind(9)
    assert buffer.sent == 3


# --- the road --------------------------------------------------------------------------------------------------------


def test_everything_arrives_in_order_once(trainer, broker):
    trainer.end(RunState.RUNNING)
    trainer.loss(0, 499)
    trainer.say(RunUpdate(name="renamed"))
    assert trainer.publisher.flush(10)
    info = broker.run(trainer.run_id)
    assert (info.state, info.name, info.origin) == (RunState.RUNNING, "renamed", "process")
    steps, values = broker.history(trainer.run_id, "loss")
    assert steps.tolist() == list(range(500))
    np.testing.assert_array_equal(values, 1.0 / (steps + 1.0))


def test_publishing_to_nobody_costs_nothing_and_is_bounded(make_trainer):
    publisher = Publisher("127.0.0.1:1", most=20_000, retry=FAST).start()
    try:
        trainer = make_trainer(publisher)
        start = time.perf_counter()
        trainer.loss(0, 2_000)
        assert time.perf_counter() - start < 2.0
        assert not publisher.flush(0.1)
        assert publisher._out.buffer.held <= 20_000
        assert publisher._out.buffer.lost > 1_000
        assert "ssh -L 1:127.0.0.1:1" in publisher.problem
        assert publisher.demand(trainer.run_id) == Demand()
        steps, _ = publisher.history(trainer.run_id, "loss")
        assert steps[-1] == 2_000, "what is still here is the history"
    finally:
        start = time.monotonic()
        publisher.close(1.0)
        assert time.monotonic() - start < 3.0


def test_a_server_that_comes_late_gets_all_of_it(broker, make_trainer):
    with_port = Server(broker).start()
    port = with_port.port
    with_port.close(0)
    publisher = Publisher(f"127.0.0.1:{port}", with_port.token, retry=FAST).start()
    trainer = make_trainer(publisher)
    trainer.loss(0, 20)
    server = Server(broker, port=port, token=with_port.token).start()
    try:
        assert publisher.flush(10)
        assert broker.history(trainer.run_id, "loss")[0].tolist() == list(range(21))
    finally:
        publisher.close(1)
        server.close(0.2)


def test_after_a_restart_the_new_server_is_offered_everything_exactly_once(broker, make_trainer):
    first = Server(broker).start()
    publisher = Publisher(first.address, first.token, retry=FAST).start()
    second_broker = Broker(MemoryStore())
    server = first
    try:
        trainer = make_trainer(publisher)
        trainer.say(Status(RunState.RUNNING))
        trainer.loss(0, 99)
        assert publisher.flush(10)
        first.close(0)
        trainer.loss(100, 149)  # said while nobody listens
        server = Server(second_broker, port=first.port, token=first.token).start()
        assert publisher.flush(10)
        steps, _ = second_broker.history(trainer.run_id, "loss")
        assert steps.tolist() == list(range(150))
        assert second_broker.run(trainer.run_id).state is RunState.RUNNING
    finally:
        publisher.close(1)
        server.close(0.2)
        second_broker.close()


def test_a_server_that_says_goodbye_is_left_alone_until_it_said_to_come_back(
    broker, make_trainer, eventually
):
    first = Server(broker).start()
    publisher = Publisher(first.address, first.token, retry=FAST).start()
    client = Client(first.address, first.token).connect()
    second_broker = Broker(MemoryStore())
    second = None
    try:
        trainer = make_trainer(publisher)
        trainer.say(Status(RunState.RUNNING))
        trainer.loss(0, 99)
        assert publisher.flush(10)
        client.run(trainer.run_id)
        began = time.monotonic()
        first.close(2.0, reason="maintenance", retry_after=0.6)
        assert time.monotonic() - began < 1.5, "streams that were told to end need no grace"
        assert "says goodbye: maintenance" in publisher.problem
        assert broker.run(trainer.run_id).state is RunState.RUNNING, "a server's end is no run's"
        eventually(lambda: client.run(trainer.run_id).link is LinkState.DISCONNECTED)
        trainer.loss(100, 149)
        second = Server(second_broker, port=first.port, token=first.token).start()
        assert publisher.flush(10)
        assert time.monotonic() - began >= 0.6
        assert not publisher.problem
        steps, _ = second_broker.history(trainer.run_id, "loss")
        assert steps.tolist() == list(range(150))
        eventually(lambda: client.run(trainer.run_id).link is LinkState.CONNECTED)
        assert client.run(trainer.run_id).reconnects == 1
    finally:
        client.close()
        publisher.close(1)
        if second is not None:
            second.close(0.2)
        second_broker.close()


def test_the_same_server_after_a_cut_takes_nothing_twice(trainer, server, broker, eventually):
    trainer.loss(0, 50)
    assert trainer.publisher.flush(10)
    for _ in range(3):
        for link in list(server._ingest._links):
            link.out.close()  # ends the stream from the server's side
        done = broker.run(trainer.run_id).step
        trainer.loss(done + 1, done + 10)
        assert trainer.publisher.flush(10)
    steps, _ = broker.history(trainer.run_id, "loss")
    assert steps.tolist() == list(range(81))
    assert broker.run(trainer.run_id).reconnects >= 1


def test_what_overflowed_while_away_is_a_gap(broker, make_trainer):
    reserve = Server(broker).start()
    reserve.close(0)
    publisher = Publisher(reserve.address, reserve.token, most=8_000, retry=FAST).start()
    server = None
    try:
        trainer = make_trainer(publisher)
        trainer.loss(0, 99)
        server = Server(broker, port=reserve.port, token=reserve.token).start()
        assert publisher.flush(10)
        steps, _ = broker.history(trainer.run_id, "loss")
        assert steps[-1] == 99
        lost = sum(
            e.payload.count for e in broker.events(trainer.run_id) if isinstance(e.payload, Gap)
        )
        assert lost + len(steps) == 100
    finally:
        publisher.close(1)
        if server is not None:
            server.close(0.2)


def test_pictures_follow_demand_and_are_sent_once(trainer, server, broker, client, eventually):
    assert trainer.publisher.demand(trainer.run_id).fps == 0, "nobody looks"
    trainer.say(Status(RunState.RUNNING))
    assert trainer.publisher.flush(5)
    box = client.subscribe(trainer.run_id)
    rung = []
    trainer.publisher.heed(trainer.run_id, lambda: rung.append(1))
    box.demand = Demand(20, 256)
    eventually(lambda: trainer.publisher.demand(trainer.run_id) == Demand(20, 256))
    eventually(lambda: rung)
    batch = Batch(1, 1, mosaic=Mosaic(b"\xff\xd8", 1, 1, 8, 8), predicted=(1,))
    trainer.say(batch, 3)
    seen = []
    eventually(
        lambda: seen.extend(box.drain().events) or [e for e in seen if isinstance(e.payload, Batch)]
    )
    (event,) = [e for e in seen if isinstance(e.payload, Batch)]
    assert event.payload.mosaic == batch.mosaic
    box.close()
    eventually(lambda: trainer.publisher.demand(trainer.run_id).fps == 0)


def test_commands_reach_the_run_once_and_their_answers_come_back(trainer, broker, eventually):
    eventually(lambda: trainer.publisher._connected)
    asked = broker.send(Command(trainer.run_id, CommandKind.PAUSE))
    eventually(lambda: trainer.commands)
    assert trainer.commands[0].command_id == asked.command.command_id

    def state():
        return broker.commands(trainer.run_id)[0]

    eventually(lambda: state().state is CommandState.DELIVERED)
    result = CommandRecord(
        trainer.commands[0], CommandState.APPLIED, 7, {"state": "running"}, {"state": "paused"}
    )
    trainer.say(result, 7)
    eventually(lambda: state().state is CommandState.APPLIED)
    assert (state().step, state().after) == (7, {"state": "paused"})
    trainer.publisher._command(trainer.commands[0])  # delivered again, after a cut
    assert len(trainer.commands) == 1


def test_a_command_asked_during_a_cut_arrives_after_it(trainer, server, broker, eventually):
    trainer.loss(0)
    assert trainer.publisher.flush(5)
    own = server._ingest._own[trainer.run_id]
    trainer.publisher._retry = (0.5, 0.5)
    for link in list(server._ingest._links):
        link.out.close()
    eventually(lambda: not own.streaming)
    asked = broker.send(Command(trainer.run_id, CommandKind.STOP))
    assert asked.state in {CommandState.QUEUED, CommandState.SENT}
    eventually(lambda: trainer.commands)
    assert [c.command_id for c in trainer.commands] == [asked.command.command_id]


def test_a_run_that_raises_on_a_command_rejects_it(publisher, broker, eventually):
    def deliver(command):
        raise ValueError("no such thing")

    info = publisher.open(RunInfo("", "r", controls={"pause": {}}), deliver)
    publisher.publish([Event(info.run_id, 0, time.time(), Status(RunState.RUNNING))])
    assert publisher.flush(5)
    broker.send(Command(info.run_id, CommandKind.PAUSE))
    eventually(lambda: broker.commands(info.run_id)[0].state is CommandState.REJECTED)
    assert "no such thing" in broker.commands(info.run_id)[0].error


def test_heartbeats_carry_the_age_of_the_last_step_and_the_round_trip(trainer, broker, eventually):
    trainer.loss(0)
    assert trainer.publisher.flush(5)
    for _ in range(3):
        trainer.publisher.heartbeat(Heartbeat(trainer.run_id, 5, 1.5, 0.2, dropped=2))
        time.sleep(0.05)
    info = eventually(lambda: (i := broker.run(trainer.run_id)).link_rtt and i)
    assert info.boundary_age == pytest.approx(1.5)
    assert info.dropped == 2
    assert 0 < info.link_rtt < 5
    eventually(lambda: broker.run(trainer.run_id).link is LinkState.STALE)


def test_an_event_too_large_for_a_message_is_counted_and_the_rest_goes_on(trainer, broker):
    trainer.say(LogLine("x" * (9 << 20)))
    trainer.say(Batch(1, 1, mosaic=Mosaic(b"\xff\xd8" * (9 << 20), 1, 1, 8, 8)))
    trainer.loss(0)
    assert trainer.publisher.flush(20)
    assert broker.history(trainer.run_id, "loss")[0].tolist() == [0]
    (gap,) = [e.payload for e in broker.events(trainer.run_id) if isinstance(e.payload, Gap)]
    assert "too large" in gap.reason
    buffer = trainer.publisher._out.buffer
    assert (buffer.lost, buffer.skipped) == (1, 1), "a word, and a picture"


def test_history_asks_the_server(trainer):
    trainer.loss(0, 30)
    steps, values = trainer.publisher.history(trainer.run_id, "loss")
    assert steps.tolist() == list(range(31))
    assert values[1] == 0.5
    assert trainer.publisher.history(trainer.run_id, "nothing")[0].tolist() == []


def test_a_wrong_token_is_told_and_never_raises(server, broker, make_trainer, eventually):
    publisher = Publisher(server.address, "wrong", retry=FAST).start()
    try:
        trainer = make_trainer(publisher)
        trainer.loss(0)
        eventually(lambda: "the token is wrong" in publisher.problem)
        assert not publisher.flush(100), "what will not get right is not waited for"
        assert broker.runs() == []
    finally:
        publisher.close(0.2)


def test_without_a_token_a_new_run_is_taken_from_this_machine(server, broker, make_trainer):
    publisher = Publisher(server.address, retry=FAST).start()
    try:
        trainer = make_trainer(publisher)
        trainer.loss(0)
        assert publisher.flush(5)
        assert broker.history(trainer.run_id, "loss")[0].tolist() == [0]
        assert publisher.history(trainer.run_id, "loss")[0].tolist() == [0], (
            "from what is kept here"
        )
    finally:
        publisher.close(1)


def test_a_publisher_reports_one_run(publisher):
    publisher.open(RunInfo("a", "a"), lambda c: CommandState.DELIVERED)
    publisher.open(RunInfo("a", "a again"), lambda c: CommandState.DELIVERED)
    with pytest.raises(RunError, match="one run"):
        publisher.open(RunInfo("b", "b"), lambda c: CommandState.DELIVERED)


def test_a_run_of_another_owner_is_left_alone(server, broker, publisher, eventually):
    broker.open(RunInfo("mine", "in the kernel"), lambda c: CommandState.DELIVERED)
    publisher.open(RunInfo("mine", "thief"), lambda c: CommandState.DELIVERED)
    eventually(lambda: "belongs to another trainer" in publisher.problem)
    assert publisher.flush(5) is True
    publisher.publish([Event("mine", 0, time.time(), LogLine("x"))])
    assert publisher.flush(5) is False, "and does not wait for what can never be"
    assert broker.run("mine").name == "in the kernel"


@pytest.mark.parametrize("address", ["", "nowhere", "host:", "host:99999", ":1", "h:x"])
def test_an_address_that_is_none(address):
    with pytest.raises(AttachError, match="HOST:PORT"):
        Publisher(address)


def test_closing_hands_over_what_is_left(broker, server, make_trainer):
    publisher = Publisher(server.address, server.token).start()
    trainer = make_trainer(publisher)
    trainer.say(Status(RunState.RUNNING))
    assert publisher.flush(5)
    trainer.loss(0, 300)
    trainer.end(RunState.COMPLETED, "done")
    publisher.close(5)
    assert broker.history(trainer.run_id, "loss")[0][-1] == 300
    assert broker.run(trainer.run_id).state is RunState.COMPLETED
    publisher.close()
    assert not [t for t in threading.enumerate() if t.name == "nbmonitor-publisher"]


def test_a_slow_server_is_not_waited_for(make_trainer):
    """A server that accepts and never answers."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        publisher = Publisher(f"127.0.0.1:{deaf.getsockname()[1]}", retry=FAST).start()
        trainer = make_trainer(publisher)
        trainer.loss(0, 5)
        time.sleep(0.2)
        start = time.monotonic()
        publisher.close(0.5)
        assert time.monotonic() - start < 3.0


def test_scalars_of_many_kinds_keep_their_kind(trainer, broker):
    from nbmonitor.events import Column

    columns = tuple(
        Column(n, np.array([1]), np.array([v]), np.array([time.time()]), kind)
        for n, v, kind in (("a", np.nan, "step"), ("b", np.inf, "epoch"))
    )
    trainer.say(Scalars(columns), 1)
    assert trainer.publisher.flush(5)
    index = {s.name: s.kind for s in broker.series(trainer.run_id)}
    assert index == {"a": "step", "b": "epoch"}
    assert np.isnan(broker.history(trainer.run_id, "a")[1]).all()


# --- what waits is put together --------------------------------------------------------------------------------------


def values(first, last, name="loss", step=None):
    steps = np.arange(first, last + 1)
    column = Column(name, steps, steps / 2.0, np.full(len(steps), 1.7e9))
    return Event("r", last if step is None else step, 1.7e9, Scalars((column,)))


def report(fps, resources=None):
    return Event("r", 0, 1.7e9, Performance(fps=fps, resources=resources))


def test_values_that_wait_become_blocks_and_reports_the_newest():
    buffer = Buffer()
    for k in range(1000):
        buffer.add(values(k, k))
        buffer.add(values(k, k, "acc"))
        buffer.add(report(float(k)))
    assert buffer.last < 10
    blocks = [e.payload for e in buffer.kept() if isinstance(e.payload, Scalars)]
    for name in ("loss", "acc"):
        steps = np.concatenate([c.steps for b in blocks for c in b.columns if c.name == name])
        assert steps.tolist() == list(range(1000))
    assert [e.payload.fps for e in buffer.kept() if isinstance(e.payload, Performance)][-1] == 999
    assert buffer.held == sum(map(memory, buffer.kept()))


def test_words_keep_their_place_among_values_and_machine_figures_stay():
    buffer = Buffer()
    for event in (
        values(1, 1),
        line(1),
        values(2, 2),
        report(1.0, Resources(1.0, 2.0)),
        report(2.0),
    ):
        buffer.add(event)
    buffer.add(values(3, 3))
    kinds = [type(e.payload).__name__ for e in buffer.kept()]
    assert kinds == ["Scalars", "LogLine", "Scalars", "Performance", "Performance"]
    assert buffer.kept()[2].payload.columns[0].steps.tolist() == [2, 3]


def test_within_a_step_the_last_word_counts_in_a_block_too():
    buffer = Buffer()
    buffer.add(values(1, 5))
    buffer.add(
        Event(
            "r",
            5,
            1.7e9,
            Scalars((Column("loss", np.array([5]), np.array([9.0]), np.array([1.7e9])),)),
        )
    )
    (column,) = buffer.kept()[0].payload.columns
    assert column.steps.tolist() == [1, 2, 3, 4, 5]
    assert column.values[-1] == 9.0


def test_what_was_ever_on_the_road_is_not_changed():
    buffer = Buffer()
    buffer.add(values(1, 1))
    assert buffer.send()[0] == 1
    buffer.rewind(0)
    assert buffer.sent == 0
    buffer.add(values(2, 2))
    assert buffer.last == 2, "the server may have number 1 already"
    buffer.add(values(3, 3))
    assert buffer.last == 2


def test_loss_is_counted_in_values_and_declared_once_or_again_after_a_cut():
    buffer = Buffer(16 * 1000)  # blocks of 1,000 bytes: 25 values
    for k in range(1000):
        buffer.add(values(k, k))
    held = sum(len(e.payload.columns[0].steps) for e in buffer.kept())
    assert buffer.lost == 1000 - held > 0
    assert buffer.offered == 1
    first, last, lost = buffer.skip()
    assert (first, last, lost) == (1, buffer.first - 1, buffer.lost)
    assert buffer.skip() is None
    buffer.begin(0)  # cut before the server said that it has it
    assert buffer.skip() == (first, last, lost)
    buffer.acknowledge(last, keep=False)
    assert buffer.offered == buffer.first
    before = buffer.lost
    for k in range(1000, 1500):
        buffer.add(values(k, k))
    found = buffer.skip()
    assert found[2] == buffer.lost - before, "what was declared is not declared again"


def test_what_is_pushed_out_on_the_road_is_lost_only_when_the_road_breaks():
    one = memory(values(1, 10))
    buffer = Buffer(3 * one)
    for k in range(3):
        buffer.add(values(10 * k, 10 * k + 9))
        assert buffer.send()[0] == k + 1
    for k in range(3, 5):
        buffer.add(values(10 * k, 10 * k + 9))
        assert buffer.send()[0] == k + 1
    assert (buffer.first, buffer.lost) == (3, 0), "1 and 2 are on their way, and may arrive"
    assert buffer.offered == 1, "a new server is not told that an earlier one has them"
    buffer.acknowledge(1, keep=True)
    buffer.begin(1)  # the server never got number 2, and nobody has it now
    assert buffer.lost == 10
    assert buffer.offered == 2
    assert buffer.skip() == (2, 2, 10)
    assert [buffer.send()[0] for _ in range(3)] == [3, 4, 5]
    buffer.acknowledge(5, keep=True)
    assert (buffer.lost, buffer.settled) == (10, True)
    buffer.begin(5)
    assert buffer.lost == 10, "what the server has is not lost by a cut"


def test_what_is_pushed_out_on_the_road_and_missed_by_the_server_is_lost_once():
    one = memory(values(1, 10))
    buffer = Buffer(2 * one)
    for k in range(6):
        buffer.add(values(10 * k, 10 * k + 9))
        if k < 4:
            buffer.send()
    assert (buffer.first, buffer.sent, buffer.lost) == (5, 4, 0)
    buffer.rewind(2)  # 3 and 4 were spoilt
    assert buffer.lost == 20
    assert buffer.skip() == (3, 4, 20)
    buffer.rewind(2)
    assert buffer.skip() == (3, 4, 20), "declared again"
    buffer.acknowledge(4, keep=True)
    assert buffer.lost == 20
    assert [buffer.send()[0] for _ in range(2)] == [5, 6]


def test_states_and_reports_are_no_values():
    buffer = Buffer(memory(report(1.0)))
    for event in (
        Event("r", 0, 0.0, Status(RunState.RUNNING)),
        report(1.0, Resources(1.0, 2.0)),
        Event("r", 0, 0.0, RunUpdate(name="x")),
        Event("r", 0, 0.0, Gap("declared before", 7)),
        Event("r", 0, 0.0, Epoch(1, {"a": 1.0, "b": 2.0})),
        line(1),
        values(1, 3),
        line(2),
    ):
        buffer.add(event)
    assert buffer.lost == 2 + 1 + 3


def test_columns_are_charged_for_what_python_keeps_beside_their_contents():
    import tracemalloc

    def wide(k):
        return Event(
            "r",
            k,
            0.0,
            Scalars(
                tuple(
                    Column(f"c{n}", np.full(2, k), np.full(2, 1.0), np.full(2, 2.0))
                    for n in range(200)
                )
            ),
        )

    tracemalloc.start()
    try:
        events = [wide(k) for k in range(20)]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(map(memory, events)) == pytest.approx(held, rel=0.25)


@pytest.mark.parametrize("cut", [False, True])
def test_as_much_is_shown_as_lost_as_is_missing_when_a_server_was_slow(
    server, broker, make_trainer, eventually, monkeypatch, cut
):
    """The server stops reading while a trainer says twenty times what it may keep."""
    monkeypatch.setattr("nbmonitor.rpc.codec.trainer.MAX_UNACKED", 10)  # on the road at once
    gate = threading.Event()
    keep = broker.publish

    def slowly(events):
        gate.wait(10)
        keep(events)

    publisher = Publisher(server.address, server.token, most=60_000, retry=FAST).start()
    try:
        trainer = make_trainer(publisher)
        trainer.loss(0)
        assert publisher.flush(10)
        publisher.heartbeat(Heartbeat(trainer.run_id))
        monkeypatch.setattr(broker, "publish", slowly)
        for at in range(1, 50_001, 1000):
            steps = np.arange(at, at + 1000)
            column = Column("loss", steps, steps / 1.0, np.full(1000, time.time()))
            trainer.say(Scalars((column,)), at)
            time.sleep(0.002)
        buffer = publisher._out.buffer
        assert buffer.held <= 60_000
        if cut:
            for link in list(server._ingest._links):
                link.out.close()
            time.sleep(0.1)
        gate.set()
        assert publisher.flush(10)
        missing = 50_001 - len(broker.history(trainer.run_id, "loss")[0])
        assert missing > 30_000
        eventually(lambda: broker.run(trainer.run_id).lost == missing)
        assert buffer.lost == missing
        gaps = [e.payload for e in broker.events(trainer.run_id) if isinstance(e.payload, Gap)]
        assert sum(g.count for g in gaps) == missing
    finally:
        gate.set()
        publisher.close(1)


def test_a_thousand_blocks_said_during_a_cut_come_as_a_few_messages(
    server, broker, make_trainer, monkeypatch
):
    publisher = Publisher(server.address, server.token, retry=FAST)
    trainer = make_trainer(publisher)
    trainer.loss(0, 999)
    trainer.say(Status(RunState.RUNNING))
    published = []
    keep = broker.publish
    monkeypatch.setattr(broker, "publish", lambda events: published.extend(events) or keep(events))
    publisher.start()
    try:
        assert publisher.flush(10)
    finally:
        publisher.close(1)
    steps, _ = broker.history(trainer.run_id, "loss")
    assert steps.tolist() == list(range(1000))
    assert sum(isinstance(e.payload, Scalars) for e in published) < 5
