from __future__ import annotations

import gc
import threading
import time
import weakref

import numpy as np
import pytest

from nbmonitor.broker import Broker
from nbmonitor.errors import UnknownRunError
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
    Heartbeat,
    LinkState,
    LogLine,
    Performance,
    Resources,
    RunInfo,
    RunState,
    RunUpdate,
    Scalars,
    Status,
)
from nbmonitor.store import open_store

CONTROLS = {"pause": {}, "stop": {}, "learning_rate": {"value": 0.1}}


@pytest.fixture
def broker(clock):
    return Broker(open_store("memory:"), clock=clock, monotonic=clock)


@pytest.fixture
def run(broker):
    mailbox = []

    def deliver(command):
        mailbox.append(command)
        return CommandState.DELIVERED

    info = broker.open(RunInfo("", "digits", controls=CONTROLS), deliver)
    info_and_mail = type("R", (), {"id": info.run_id, "mail": mailbox})
    say(broker, info.run_id, Status(RunState.RUNNING))
    return info_and_mail


def say(broker, run_id, *payloads, step=0):
    broker.publish([Event(run_id, step, 1.0, p) for p in payloads])


def loss(steps, values):
    n = len(steps)
    return Scalars((Column("loss", np.array(steps), np.array(values, float), np.zeros(n)),))


def test_ids_are_unique_and_runs_are_listed_newest_first(broker):
    ids = [
        broker.open(RunInfo("", f"r{k}"), lambda _c: CommandState.DELIVERED).run_id
        for k in range(9)
    ]
    assert len(set(ids)) == 9
    assert [r.name for r in broker.runs()] == [f"r{k}" for k in reversed(range(9))]


def test_events_get_contiguous_seqs_under_many_threads(broker, run):
    box = broker.subscribe(run.id)
    first = broker.run(run.id).last_seq
    threads = [
        threading.Thread(target=lambda: [say(broker, run.id, LogLine("x")) for _ in range(200)])
        for _ in range(4)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    seqs = [e.seq for e in box.drain().events]
    assert seqs == list(range(first + 1, first + 801))


def test_scalars_become_a_curve_and_an_epochs_values_its_own_series(broker, run):
    say(broker, run.id, loss([0, 1, 2], [3, 2, 1]))
    say(broker, run.id, Epoch(1, {"average_loss": 2.0}), step=3)
    assert broker.history(run.id, "loss")[1].tolist() == [3, 2, 1]
    assert broker.history(run.id, "average_loss")[0].tolist() == [3]
    kinds = {s.name: s.kind for s in broker.series(run.id)}
    assert kinds == {"loss": "step", "average_loss": "epoch"}


def test_an_empty_column_opens_no_series(broker, run):
    say(broker, run.id, loss([], []))
    assert list(broker.series(run.id)) == []


def test_machine_figures_become_series(broker, run):
    gpu = Device(0, "GPU", percent=91.0, memory_mb=11_000.0, memory_total_mb=24_000.0)
    resources = Resources(63.0, 1900.0, 24_000.0, (gpu,))
    say(broker, run.id, Performance(resources=resources))
    assert {s.name: s.last for s in broker.series(run.id)} == {
        "system/cpu": 63.0,
        "system/memory_mb": 1900.0,
        "system/memory_total_mb": 24_000.0,
        "system/gpu0/percent": 91.0,
        "system/gpu0/memory_mb": 11_000.0,
        "system/gpu0/memory_total_mb": 24_000.0,
    }


def test_a_viewer_comes_back_with_its_cursor_and_misses_nothing(broker, run):
    say(broker, run.id, LogLine("a"))
    cursor = broker.run(run.id).last_seq
    say(broker, run.id, LogLine("b"), Batch(0, 0), LogLine("c"))
    mail = broker.subscribe(run.id, after_seq=cursor).drain()
    assert [e.payload.text for e in mail.events] == ["b", "c"]  # pictures are at most once
    assert not mail.resync


def test_a_cursor_from_before_what_is_kept_means_resynchronisation(broker, run, monkeypatch):
    monkeypatch.setattr("nbmonitor.subscription.RECENT_BYTES", 10_000)
    cursor = broker.run(run.id).last_seq
    for k in range(100):
        say(broker, run.id, LogLine(str(k)))
    assert broker.subscribe(run.id, after_seq=cursor).drain().resync
    recent = broker.subscribe(run.id, after_seq=broker.run(run.id).last_seq - 3).drain()
    assert [e.payload.text for e in recent.events] == ["97", "98", "99"]


def test_only_state_changes_reach_who_watches_everything(broker, run):
    box = broker.subscribe(None)
    say(broker, run.id, loss([0], [1]), RunUpdate(model="cnn"), Status(RunState.PAUSED))
    assert [type(e.payload).__name__ for e in box.drain().events] == ["RunUpdate", "Status"]
    assert broker.run(run.id).model == "cnn"
    assert broker.run(run.id).state is RunState.PAUSED


def test_demand_is_the_most_that_any_viewer_wants_and_nothing_without_one(broker, run):
    assert broker.demand(run.id).fps == 0
    a, b = broker.subscribe(run.id), broker.subscribe(run.id)
    a.demand, b.demand = Demand(10, 64), Demand(60, 32)
    assert broker.demand(run.id) == Demand(60, 64)
    b.close()
    assert broker.demand(run.id) == Demand(10, 64)
    a.close()
    assert broker.demand(run.id).fps == 0
    assert broker.demand("no such run").fps == 0


def test_who_opens_a_mailbox_wants_values_as_they_come_until_it_says_otherwise(broker, run):
    told = []
    broker.heed(run.id, lambda: told.append(broker.demand(run.id).watched))
    assert not broker.demand(run.id).watched
    box = broker.subscribe(run.id)
    assert told == [True]
    box.demand = Demand(1.0)  # a hidden page
    assert told == [True, False]
    box.demand = Demand(1.0)
    assert len(told) == 2, "nothing new"
    box.demand = Demand(30.0)
    box.close()
    assert told == [True, False, True, False]
    broker.subscribe(None).close()
    assert len(told) == 4, "the states of all runs are nobody's values"


def test_a_torn_stream_hears_of_viewers_no_more_and_is_let_go_of(broker, run):
    told = []
    broker.heed(run.id, lambda: told.append(1))
    heeded = weakref.ref(broker._entry(run.id).demanded)
    broker.detach(run.id)
    broker.subscribe(run.id).close()
    gc.collect()
    assert (told, heeded()) == ([], None)


def test_a_command_is_delivered_once_and_its_receipt_keeps_who_asked(broker, run):
    box = broker.subscribe(run.id)
    asked = Command(run.id, CommandKind.PAUSE, actor="you", peer="lab", asked_at=1_000.0)
    assert broker.send(asked).state is CommandState.DELIVERED
    assert broker.send(asked).state is CommandState.DELIVERED
    assert run.mail == [asked]
    stripped = Command(run.id, CommandKind.PAUSE, command_id=asked.command_id, actor="", peer="")
    say(broker, run.id, CommandRecord(stripped, CommandState.APPLIED, step=7))
    records = [e.payload for e in box.drain().events]
    assert [r.state for r in records] == [CommandState.DELIVERED, CommandState.APPLIED]
    assert records[-1].command == asked
    say(broker, run.id, CommandRecord(stripped, CommandState.REJECTED, error="late"))
    assert broker.commands(run.id)[0].state is CommandState.APPLIED


@pytest.mark.parametrize(
    ("info", "kind", "why"),
    [
        ({"controls": {}}, CommandKind.PAUSE, "registered no control for pause"),
        (
            {"controls": CONTROLS},
            CommandKind.SET_BATCH_SIZE,
            "registered no control for batch size",
        ),
        ({"controls": CONTROLS, "steerable": False, "why": "2 ranks"}, CommandKind.STOP, "2 ranks"),
    ],
)
def test_what_a_run_cannot_do_is_refused_in_words(broker, info, kind, why):
    mail = []
    opened = broker.open(RunInfo("", "x", **info), mail.append)
    record = broker.send(Command(opened.run_id, kind))
    assert record.state is CommandState.REJECTED
    assert why in record.error
    assert mail == []


def test_nobody_to_command(broker, run):
    assert "no run" in broker.send(Command("nope", CommandKind.PAUSE)).error
    say(broker, run.id, Status(RunState.COMPLETED))
    assert "over (completed)" in broker.send(Command(run.id, CommandKind.PAUSE)).error
    assert run.mail == []


def test_commands_waiting_when_a_run_ends_expire(broker, run):
    record = broker.send(Command(run.id, CommandKind.PAUSE))
    say(broker, run.id, Status(RunState.COMPLETED))
    (after,) = broker.commands(run.id)
    assert after.command == record.command
    assert after.state is CommandState.EXPIRED
    assert "ended first" in after.error


def test_a_command_that_no_step_answers_expires(broker, run, clock):
    broker.send(Command(run.id, CommandKind.PAUSE, ttl=10, asked_at=clock.now))
    clock.now += 9
    broker.check()
    assert not broker.commands(run.id)[0].state.final
    clock.now += 2
    broker.check()
    assert broker.commands(run.id)[0].state is CommandState.EXPIRED


def test_silence_is_a_stale_link_and_a_beat_heals_it(broker, run, clock):
    clock.now += 60
    assert (
        broker.run(run.id).link is LinkState.CONNECTED
    )  # it never sent a heartbeat: silence says nothing
    broker.heartbeat(Heartbeat(run.id, interval=2.0, boundary_age=0.1))
    clock.now += 4.9
    assert broker.run(run.id).link is LinkState.CONNECTED
    clock.now += 0.3
    assert broker.run(run.id).link is LinkState.STALE
    assert broker.run(run.id).state is RunState.RUNNING
    broker.heartbeat(Heartbeat(run.id, interval=2.0))
    assert broker.run(run.id).link is LinkState.CONNECTED


def test_a_torn_stream_is_lost_after_a_while_and_never_completed(broker, run, clock):
    broker.detach(run.id)
    assert broker.run(run.id).link is LinkState.DISCONNECTED
    assert broker.run(run.id).state is RunState.RUNNING
    clock.now += 31
    assert broker.run(run.id).state is RunState.LOST
    assert broker.run(run.id).ended_at is None
    back = broker.open(broker.run(run.id), lambda _c: CommandState.SENT)
    assert back.state is RunState.RUNNING
    assert back.link is LinkState.CONNECTED


def lines(broker, run_id):
    found = [e.payload for e in broker.events(run_id) if isinstance(e.payload, LogLine)]
    return [(line.level, line.text) for line in found]


def test_silence_and_its_end_are_said_once(broker, run, clock):
    broker.heartbeat(Heartbeat(run.id, interval=2.0))
    for _ in range(3):
        clock.now += 1.8
        broker.check()
    told = [("warning", "No word from the trainer for 5 s")]
    assert lines(broker, run.id) == told
    clock.now += 6.6
    broker.heartbeat(Heartbeat(run.id, interval=2.0))
    told.append(("info", "The trainer is back after 12 s"))
    assert lines(broker, run.id) == told
    broker.heartbeat(Heartbeat(run.id, interval=2.0))
    broker.check()
    assert lines(broker, run.id) == told
    clock.now += 20
    broker.check()
    clock.now += 1
    say(broker, run.id, loss([0], [1.0]))  # any word of the run counts
    broker.check()
    assert lines(broker, run.id)[2:] == [
        ("warning", "No word from the trainer for 20 s"),
        ("info", "The trainer is back after 21 s"),
    ]


def test_a_torn_stream_and_its_return_are_said_once(broker, run, clock):
    broker.detach(run.id)
    broker.detach(run.id)
    clock.now += 3
    broker.check()
    told = [("warning", "The connection to the trainer was lost")]
    assert lines(broker, run.id) == told
    broker.open(broker.run(run.id), lambda _c: CommandState.SENT)
    told.append(("info", "The trainer is back after 3 s"))
    assert lines(broker, run.id) == told
    broker.open(broker.run(run.id), lambda _c: CommandState.SENT)
    assert lines(broker, run.id) == told, "who was never away does not come back"


def test_an_end_is_an_end_even_when_the_stream_tears_after_it(broker, run, clock):
    say(broker, run.id, Status(RunState.COMPLETED))
    broker.detach(run.id)
    clock.now += 100
    assert broker.run(run.id).state is RunState.COMPLETED


def test_unknown_runs_are_named_with_what_there_is(broker, run):
    with pytest.raises(UnknownRunError, match="Runs here: digits"):
        broker.run("nope")


def test_two_runs_never_mix(broker, run):
    other = broker.open(RunInfo("", "other"), lambda _c: CommandState.DELIVERED)
    box = broker.subscribe(other.run_id)
    say(broker, run.id, loss([0], [1.0]))
    assert box.drain().events == []
    assert list(broker.series(other.run_id)) == []


def test_history_is_read_while_it_is_written(broker, run):
    stop = time.monotonic() + 0.5
    failures = []

    def read():
        while time.monotonic() < stop:
            w = broker.window(run.id, "loss", max_points=100)
            if len(w.x) and not np.array_equal(w.x.astype(np.float32), w.y):
                failures.append(w)

    reader = threading.Thread(target=read)
    reader.start()
    k = 0
    while time.monotonic() < stop:
        say(broker, run.id, loss([k], [float(k)]))
        k += 1
    reader.join()
    assert k > 100
    assert failures == []
