from __future__ import annotations

import pytest

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
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.codec import audits

APPLIED, REJECTED = CommandState.APPLIED, CommandState.REJECTED


@pytest.fixture
def run_id(broker):
    mail = []

    def deliver(command):
        mail.append(command)
        return CommandState.DELIVERED

    run_id = broker.open(RunInfo("", "digits", controls={"pause": {}}), deliver).run_id
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
