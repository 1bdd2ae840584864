from __future__ import annotations

import time
from dataclasses import replace

import grpc
import pytest

from nbmonitor.errors import AttachError
from nbmonitor.events import (
    Command,
    CommandKind,
    CommandRecord,
    CommandState,
    Event,
    RunInfo,
    RunState,
    RunUpdate,
    Status,
)
from nbmonitor.rpc.acquaintance import Acquaintance
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.codec import audits
from nbmonitor.rpc.codec import viewer as wire
from nbmonitor.rpc.v1 import monitor_pb2

APPLIED, REJECTED = CommandState.APPLIED, CommandState.REJECTED


@pytest.fixture
def run_id(broker):
    mail = []

    def deliver(command):
        mail.append(command)
        return CommandState.DELIVERED

    run_id = broker.open(RunInfo("", "digits", controls={"pause": {}, "stop": {}}), deliver).run_id
    broker.publish([Event(run_id, 0, 1.0, Status(RunState.RUNNING))])
    return run_id


@pytest.fixture
def people(server):
    made = [Client(server.address, server.token, actor=name).connect() for name in ("ada", "bob")]
    yield made
    for client in made:
        client.close()


def wheel(run_id, mode, **params):
    return Command(run_id, CommandKind.WHEEL, {"mode": mode} | params)


def test_two_viewers_and_one_wheel(people, broker, run_id, eventually):
    ada, bob = people
    box = bob.subscribe(run_id)
    ada.subscribe(run_id)
    assert ada.send(wheel(run_id, "lock")).state is APPLIED
    assert broker.run(run_id).wheel == "ada"
    eventually(lambda: ada.run(run_id).wheel == "you")
    eventually(lambda: bob.run(run_id).wheel == "ada")
    assert bob.run(run_id).wheel_locked
    assert bob.run(run_id).wheel_since == pytest.approx(broker.run(run_id).wheel_since, abs=1e-5)
    refused = bob.send(Command(run_id, CommandKind.PAUSE))
    assert refused.state is REJECTED
    assert "ada has the wheel since" in refused.error
    assert ada.send(wheel(run_id, "give", to="bob")).state is APPLIED
    eventually(lambda: bob.run(run_id).wheel == "you")
    assert broker.send(wheel(run_id, "take")).state is APPLIED
    eventually(lambda: bob.run(run_id).wheel == "the run's notebook")
    said = []
    eventually(lambda: said.extend(e.payload for e in box.drain().events) or len(said) >= 4)
    actors = [p.command.actor for p in said if isinstance(p, CommandRecord)]
    assert actors == ["ada", "you", "ada", "the run's notebook"]


def test_the_audit_log_reads_the_same_from_afar(people, broker, run_id, eventually):
    ada, _ = people
    ada.subscribe(run_id)
    broker.publish([Event(run_id, 0, 1.0, RunUpdate(config={"lr": "0.1"}, batch_size=32))])
    ada.send(Command(run_id, CommandKind.SET_LEARNING_RATE, {"value": -1.0}))
    ada.send(wheel(run_id, "take"))
    here, there = broker.audit(run_id), ada.audit(run_id)
    assert [(r.action, r.actor, r.outcome) for r in there] == [
        ("attach", "ada", "done"),
        ("configuration", "the run", "done"),
        ("set_learning_rate", "ada", "rejected"),
        ("wheel take", "ada", "applied"),
    ]
    assert there[0].peer.startswith("ipv4:127.0.0.1:")
    assert there[1].before == {"batch size": "", "lr": ""}
    assert there[1].after == {"batch size": "32", "lr": "0.1"}
    assert there[2].after == {"asked value": "-1.0"}
    assert [r.command_id for r in there] == [r.command_id for r in here]
    assert [r.time for r in there] == pytest.approx([r.time for r in here], abs=1e-5)
    assert [r.action for r in ada.audit(run_id, limit=1)] == ["wheel take"]
    assert {r.run_id for r in ada.audit()} == {"", run_id}, "attached to all runs, too"
    ada.close()
    eventually(lambda: [r.action for r in broker.audit(run_id)][-1] == "detach")
    with pytest.raises(AttachError, match="not connected"):
        ada.audit()  # "nobody did anything" would be a lie


def test_pages_and_filters(broker, run_id):
    for k in range(25):
        kind = CommandKind.PAUSE if k % 2 else CommandKind.STOP
        broker.send(Command(run_id, kind, command_id=f"c{k}", actor="ada" if k < 20 else "bob"))
    rows = broker.audit(run_id, limit=1000)
    asked, seen = audits.Asked(run_id, limit=10), []
    while True:
        page, token = audits.page(rows, audits.read_ask(audits.ask(asked)))
        back, token = audits.read_answer(audits.answer(page, token))
        seen = [*back, *seen]
        if not token:
            break
        asked = audits.Asked(run_id, limit=10, before=token)
        rows = [*rows, *broker.audit(run_id, limit=1)]  # more is written while pages are turned
    assert [r.command_id for r in seen] == [r.command_id for r in broker.audit(run_id, limit=1000)]
    found, token = audits.page(rows, audits.Asked(actor="bob", action="pause"))
    assert {r.command_id for r in found} == {"c21", "c23"}
    assert token == ""
    assert audits.page(rows, audits.Asked(since=rows[-1].time + 1)) == ([], "")


def test_who_is_refused_is_written_down_once_in_a_while(server, broker, eventually):
    for _ in range(30):
        with pytest.raises(AttachError):
            Client(server.address, "wrong" * 8, actor="eve").connect(timeout=2.0)
    rows = broker.audit()
    assert [r.action for r in rows][:2] == ["serve", "refused"]
    refused = [r for r in rows if r.action == "refused"]
    assert 5 <= len(refused) < 30, "a flood of refusals is no flood of rows"
    assert {(r.actor, r.outcome) for r in refused} == {("unknown", "refused")}
    assert {r.after["says to be"] for r in refused} == {"eve"}, "which proves nothing"
    assert {r.after["asked for"] for r in refused} <= {"GetServerInfo", "ListRuns", "WatchRun"}
    assert "the token is wrong" in refused[0].error
    assert "wrongwrong" not in repr(rows), "what was tried is nobody's to read"


# --- commands that were recorded -------------------------------------------------------------------------------------


@pytest.fixture
def road(server, monkeypatch):
    """A client whose requests are kept, to be sent once more by whoever saw them."""
    seen = []
    monkeypatch.setattr(
        wire, "send", lambda command, send=wire.send: seen.append(send(command)) or seen[-1]
    )
    client = Client(server.address, server.token, actor="ada").connect()
    yield client, seen
    client.close()


def replayed(client, request):
    return wire.read_sent(client._calls.ask("SendCommand", request, 5.0))


def test_a_recorded_command_acts_once(road, broker, run_id):
    client, seen = road
    first = client.send(Command(run_id, CommandKind.PAUSE))
    assert first.state is CommandState.DELIVERED
    again = replayed(client, seen[0])
    assert again.state is CommandState.DELIVERED, "the first answer, once more"
    assert len([r for r in broker.audit(run_id) if r.action == "pause"]) == 1


def test_a_recorded_command_means_nothing_to_the_next_life_of_a_server_or_a_trainer(
    road, server, broker, run_id
):
    client, seen = road
    client.run(run_id)
    client.send(Command(run_id, CommandKind.PAUSE))
    server._monitor._info = replace(server._monitor._info, epoch="another")
    assert replayed(client, seen[0]).error == "the server was restarted since: look and ask again"
    server._monitor._info = replace(server._monitor._info, epoch=server.epoch)
    broker._runs.clear()  # a broker that knows nothing of it
    mail = []
    info = RunInfo(run_id, "digits", controls={"pause": {}}, incarnation=1)
    broker.open(info, lambda c: mail.append(c) or CommandState.DELIVERED)
    assert replayed(client, seen[0]).error == "the trainer was restarted since: look and ask again"
    assert mail == []
    assert client.send(Command(run_id, CommandKind.PAUSE, incarnation=1)).state is (
        CommandState.DELIVERED
    )


@pytest.mark.parametrize("off", [-86_400.0, 86_400.0])
def test_a_viewers_clock_may_be_a_day_off(server, broker, run_id, off):
    client = Client(server.address, server.token)
    client._standing.server = Acquaintance(clock=lambda: time.time() + off)
    client.connect()
    try:
        assert client._standing.server.ahead == pytest.approx(-off, abs=1.0)
        command = Command(run_id, CommandKind.PAUSE, asked_at=time.time() + off)
        assert client.send(command).state is CommandState.DELIVERED
        (kept,) = broker.commands(run_id)
        assert kept.command.asked_at == pytest.approx(time.time(), abs=5.0)
        late = Command(run_id, CommandKind.PAUSE, asked_at=time.time() + off - 600.0)
        assert "600 s ago and meant 60 s" in client.send(late).error
    finally:
        client.close()


def test_a_server_that_says_no_time_is_believed_to_have_ours():
    known = Acquaintance()
    known.asks()(
        wire.server_info(wire.ServerInfo("1", "s1", 1.0), 0, wire.Limits(1, 1, 1, 1), "ada")
    )
    assert known.ahead == pytest.approx(0.0, abs=1.0)
    assert known.here(RunInfo("r", "x", wheel="ada")).wheel == "you"
    assert known.here(RunInfo("r", "x", wheel="bob")).wheel == "bob"
    meant = known.meant(
        Command("r", CommandKind.PAUSE, asked_at=5.0), RunInfo("r", "x", incarnation=3)
    )
    assert (meant.epoch, meant.incarnation) == ("s1", 3)
    assert meant.asked_at == pytest.approx(5.0, abs=1.0)


@pytest.mark.parametrize(
    ("kind", "raw", "why"),
    [
        (5, {"value": "NaN"}, "finite"),
        (5, {"value": "-1"}, "above 0"),
        (5, {"value": "1e309"}, "finite"),
        (5, {"value": "[" * 20_000}, "must be a number"),
        (5, {"value": '"' + "x" * 1_000_000 + '"'}, "must be a number"),
        (4, {"value": "0"}, "whole number"),
        (4, {"value": "2147483648"}, "whole number"),
        (1, {"a": '{"b": [1]}'}, "nothing nested"),
        (100, {"mode": '"steal"'}, "mode must be one of"),
        (8, {"path": '"/etc/passwd"'}, "registered no control for"),
    ],
)
def test_hostile_requests_are_refused_and_nothing_reaches_the_run(client, broker, kind, raw, why):
    mail = []
    info = RunInfo("", "x", controls={"pause": {}, "learning_rate": {}, "batch_size": {}})
    run_id = broker.open(info, lambda c: mail.append(c) or CommandState.DELIVERED).run_id
    request = monitor_pb2.SendCommandRequest()
    request.command.run_id, request.command.command_id, request.command.kind = run_id, "c1", kind
    request.command.parameters.update(raw)
    record = replayed(client, request.SerializeToString())
    assert record.state is REJECTED
    assert why in record.error
    assert len(record.error) < 200
    assert mail == []
    assert broker.audit(run_id)[-1].outcome == "rejected"


def test_a_kind_of_a_later_version_is_an_invalid_argument(client, run_id):
    request = monitor_pb2.SendCommandRequest()
    request.command.run_id, request.command.command_id, request.command.kind = run_id, "c1", 4711
    with pytest.raises(grpc.RpcError) as caught:
        replayed(client, request.SerializeToString())
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "4711" in caught.value.details()


def test_the_slower_of_two_viewers_is_told_who_was_faster(people, broker, run_id):
    ada, bob = people
    seen = broker.run(run_id).state_version
    assert ada.send(Command(run_id, CommandKind.PAUSE, expected_version=seen)).state is (
        CommandState.DELIVERED
    )
    slower = bob.send(Command(run_id, CommandKind.STOP, expected_version=seen))
    assert slower.state is REJECTED
    assert slower.error.startswith("ada was faster and paused the run 0.")
    assert slower.error.endswith("s earlier; look and press again")
