"""Commands that cannot be misused: hostile, repeated, recorded, too many, to those who are gone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from nbmonitor.broker import Broker
from nbmonitor.events import (
    Command,
    CommandKind,
    CommandRecord,
    CommandState,
    Event,
    Heartbeat,
    RunInfo,
    RunState,
    Status,
)
from nbmonitor.ledger import IDS, KEPT, WAITING
from nbmonitor.orders import fault, stale
from nbmonitor.store import open_store

RATE, SIZE, PAUSE = CommandKind.SET_LEARNING_RATE, CommandKind.SET_BATCH_SIZE, CommandKind.PAUSE
DELIVERED, APPLIED = CommandState.DELIVERED, CommandState.APPLIED
REJECTED = CommandState.REJECTED
CONTROLS = {"pause": {}, "stop": {}, "learning_rate": {}, "batch_size": {}}


@pytest.mark.parametrize(
    ("kind", "params", "why"),
    [
        (RATE, {"value": -1}, "must be a finite number above 0"),
        (RATE, {"value": 0.0}, "above 0"),
        (RATE, {"value": math.nan}, "finite"),
        (RATE, {"value": math.inf}, "finite"),
        (RATE, {"value": 1e309}, "finite"),
        (RATE, {"value": 10**400}, "finite"),
        (RATE, {"value": 1e9}, "at most 1e+06"),
        (RATE, {"value": "0.1"}, "must be a number"),
        (RATE, {"value": True}, "must be a number"),
        (RATE, {"value": [0.1]}, "must be a number"),
        (RATE, {"value": "x" * 1_000_000}, "must be a number"),
        (RATE, {"value": 0.1, "mode": "explode"}, "mode must be one of"),
        (RATE, {"value": 0.1, "mode": {"set": 1}}, "mode must be one of"),
        (RATE, {}, "must be a number"),
        (SIZE, {"value": 0}, "whole number from 1"),
        (SIZE, {"value": -3}, "whole number"),
        (SIZE, {"value": 2**31}, "whole number"),
        (SIZE, {"value": 1.5}, "whole number"),
        (SIZE, {"value": math.nan}, "whole number"),
        (SIZE, {"value": math.inf}, "whole number"),
        (SIZE, {"value": None}, "must be a number"),
        (PAUSE, {"why": "x" * 1_000_000}, "longer than 200"),
        (PAUSE, {"x" * 1_000: 1}, "a word of at most 200"),
        (PAUSE, {7: 1}, "must be a word"),
        (PAUSE, {"a": {"b": {"c": []}}}, "nothing nested"),
        (PAUSE, {str(k): k for k in range(17)}, "more than 16 arguments"),
    ],
)
def test_hostile_arguments_are_refused_with_a_short_sentence(kind, params, why):
    said = fault(Command("r", kind, params))
    assert why in said
    assert len(said) < 200


@pytest.mark.parametrize(
    "odd",
    [
        {"command_id": ""},
        {"command_id": "x" * 65},
        {"command_id": "a\nb"},
        {"command_id": "ä"},
        {"ttl": 0.0},
        {"ttl": -1.0},
        {"ttl": math.nan},
        {"ttl": math.inf},
        {"ttl": 1e9},
    ],
)
def test_what_a_command_is_known_by_and_how_long_it_counts_has_bounds(odd):
    assert fault(replace(Command("r", PAUSE), **odd))
    assert fault(Command("r", PAUSE)) == ""


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (RATE, {"value": 0.1}),
        (RATE, {"value": 3, "mode": "scale"}),
        (RATE, {"mode": "release"}),
        (SIZE, {"value": 32}),
        (SIZE, {"value": 32.0}),
        (CommandKind.STOP, {}),
    ],
)
def test_what_is_meant_passes(kind, params):
    assert fault(Command("r", kind, params)) == ""


def test_what_was_recorded_means_nothing_later():
    run = RunInfo("r", "x", incarnation=2)
    asked = Command("r", PAUSE, ttl=30.0, asked_at=100.0)
    assert stale(run, asked, 100.0) == ""
    assert stale(run, asked, 134.0) == "", "clocks may be a little apart"
    assert "36 s ago and meant 30 s" in stale(run, asked, 136.0)
    assert stale(run, asked, 96.0) == ""
    assert "the clocks of both machines differ" in stale(run, asked, 40.0)
    assert stale(run, replace(asked, incarnation=2), 100.0) == ""
    assert "trainer was restarted" in stale(run, replace(asked, incarnation=1), 100.0)


class House:
    def __init__(self):
        self.now = 1_000.0
        self.broker = Broker(open_store(), clock=lambda: self.now, monotonic=lambda: self.now)
        self.mail = []
        self.run_id = self.broker.open(RunInfo("", "x", controls=CONTROLS), self._deliver).run_id
        self.say(Status(RunState.RUNNING))

    def _deliver(self, command):
        self.mail.append(command)
        return DELIVERED

    def say(self, *payloads):
        self.broker.publish([Event(self.run_id, 0, self.now, p) for p in payloads])

    def asked(self, key="c1", **other):
        kept = {"actor": "ada", "peer": "ipv4:10.0.0.1:1", "asked_at": self.now} | other
        return Command(self.run_id, PAUSE, command_id=key, **kept)


@pytest.fixture
def house():
    made = House()
    yield made
    made.broker.close()


def test_a_command_acts_once_also_when_its_record_is_forgotten(house):
    first = house.asked("first", ttl=3600.0)
    for command in (first, *(house.asked(f"c{k}") for k in range(KEPT + 5))):
        house.broker.send(command)
        house.say(CommandRecord(command, APPLIED))
    sent = len(house.mail)
    assert sent == KEPT + 6
    assert "first" not in {r.command.command_id for r in house.broker.commands(house.run_id)}
    again = house.broker.send(first)
    assert (again.state, again.error) == (REJECTED, "it was asked before: a command acts once")
    house.now += 3600 + 6
    again = house.broker.send(first)
    assert again.state is REJECTED
    assert len(house.mail) == sent


def test_an_id_is_remembered_for_as_long_as_its_command_would_be_taken(house, monkeypatch):
    monkeypatch.setattr("nbmonitor.ledger.IDS", 3)
    monkeypatch.setattr("nbmonitor.ledger.KEPT", 1)
    for k in range(3):
        house.broker.send(house.asked(f"c{k}", ttl=10.0))
        house.say(CommandRecord(house.asked(f"c{k}"), APPLIED))
    crowded = house.broker.send(house.asked("c3"))
    assert "came within a short time: slow down" in crowded.error
    old = house.asked("c0", ttl=10.0)
    house.now += (
        16  # the latest moment at which `old` would be taken is 15 s after it was asked for
    )
    assert (
        "ago and meant 10 s" in house.broker.send(old).error
        or "before" in house.broker.send(old).error
    )
    house.now += 10
    assert house.broker.send(house.asked("c4")).state is DELIVERED, "and then there is room again"
    assert "ago and meant 10 s" in house.broker.send(old).error
    assert [c.command_id for c in house.mail] == ["c0", "c1", "c2", "c4"]
    assert IDS > KEPT


def test_commands_that_wait_are_bounded_and_every_one_is_answered(house):
    for k in range(WAITING + 5):
        house.broker.send(house.asked(f"c{k}"))
    assert len(house.mail) == WAITING
    refused = house.broker.send(house.asked("one more"))
    assert refused.error == f"{WAITING} commands wait for this run already"
    house.now += 61
    house.broker.check()
    said = [r.state for r in house.broker.commands(house.run_id)]
    assert said == [CommandState.EXPIRED] * WAITING + [REJECTED] * 6
    assert house.broker.send(house.asked("later")).state is DELIVERED


def test_nobody_waits_for_a_run_that_cannot_answer(house):
    house.broker.heartbeat(Heartbeat(house.run_id, interval=2.0))
    house.now += 30
    assert house.broker.run(house.run_id).link == "stale"
    assert house.broker.send(house.asked("silent")).state is DELIVERED, "a long step: wanted most"
    house.now += 61
    house.broker.check()
    (record,) = house.broker.commands(house.run_id)
    assert (record.state, record.error) == (CommandState.EXPIRED, "no step came within 60 s")
    house.broker.detach(house.run_id)
    house.now += 31
    lost = house.broker.send(house.asked("lost"))
    assert (lost.state, lost.error) == (REJECTED, "the run is lost: nobody would receive it")
    house.say(Status(RunState.FAILED))
    over = house.broker.send(house.asked("over"))
    assert (over.state, over.error) == (REJECTED, "the run is over (failed)")
    nobody = house.broker.send(replace(house.asked("who"), run_id="../../etc/passwd" * 100))
    assert nobody.state is REJECTED
    assert len(nobody.error) < 150


def test_refusals_are_written_down_with_what_was_asked(house):
    house.broker.send(replace(house.asked("bad"), kind=RATE, params={"value": "=1+1" * 10_000}))
    row = house.broker.audit(house.run_id)[-1]
    assert (row.action, row.actor, row.outcome) == ("set_learning_rate", "ada", "rejected")
    assert "must be a number" in row.error
    assert len(row.after["asked value"]) <= 500
