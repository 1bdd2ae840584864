from __future__ import annotations

import pytest

from nbmonitor.broker import Broker
from nbmonitor.events import (
    Command,
    CommandKind,
    CommandRecord,
    CommandState,
    Event,
    LogLine,
    RunInfo,
    RunState,
    Status,
)
from nbmonitor.store import open_store

APPLIED, REJECTED = CommandState.APPLIED, CommandState.REJECTED


class House:
    """A broker with one run, a clock, and people who may be watching."""

    def __init__(self):
        self.now = 1_000.0
        self.broker = Broker(
            open_store("memory:"), clock=lambda: self.now, monotonic=lambda: self.now
        )
        self.mail = []
        info = RunInfo("", "digits", controls={"pause": {}})
        self.run_id = self.broker.open(info, self._deliver).run_id
        self.say(Status(RunState.RUNNING))

    def _deliver(self, command):
        self.mail.append(command)
        return CommandState.DELIVERED

    def say(self, *payloads):
        self.broker.publish([Event(self.run_id, 0, self.now, p) for p in payloads])

    @property
    def info(self):
        return self.broker.run(self.run_id)

    def watch(self, who):
        box = self.broker.subscribe(self.run_id)
        box.viewer = who
        return box

    def send(self, who, kind=CommandKind.PAUSE, **params):
        peer = "" if who == "you" else f"ipv4:10.0.0.{len(who)}:1"
        command = Command(self.run_id, kind, params, actor=who, peer=peer, asked_at=self.now)
        return self.broker.send(command)

    def wheel(self, who, mode, **params):
        return self.send(who, CommandKind.WHEEL, mode=mode, **params)


@pytest.fixture
def house():
    made = House()
    yield made
    made.broker.close()


def test_whoever_has_the_wheel_steers_alone(house):
    assert house.send("bob").state is CommandState.DELIVERED, "nobody has it: all may"
    taken = house.wheel("ada", "take")
    assert taken.state is APPLIED
    assert (dict(taken.before), dict(taken.after)) == ({"wheel": "nobody"}, {"wheel": "ada"})
    assert (house.info.wheel, house.info.wheel_since) == ("ada", house.now)
    for who in ("bob", "you"):
        refused = house.send(who)
        assert refused.state is REJECTED
        assert "ada has the wheel since" in refused.error
        assert "ask them to hand it over, or take it" in refused.error
    assert house.send("ada").state is CommandState.DELIVERED
    assert [c.actor for c in house.mail] == ["bob", "ada"], "the wheel itself never reaches the run"


def test_taken_given_released(house):
    house.wheel("ada", "take")
    assert house.wheel("bob", "take").after == {"wheel": "bob"}
    assert house.wheel("ada", "release").state is REJECTED
    house.watch("ada")
    assert house.wheel("bob", "give", to="ada").after == {"wheel": "ada"}
    assert house.wheel("ada", "release").after == {"wheel": "nobody"}
    assert house.info.wheel == ""
    assert "nobody has the wheel" in house.wheel("ada", "release").error


def test_a_wheel_is_not_given_to_a_ghost(house):
    house.watch("bob")
    house.wheel("ada", "take")
    refused = house.wheel("ada", "give", to="bbo")
    assert refused.state is REJECTED
    assert "nobody here is called 'bbo'" in refused.error
    assert "bob, the run's notebook" in refused.error
    assert house.wheel("ada", "give").state is REJECTED
    assert house.wheel("ada", "give", to="the run's notebook").after == {
        "wheel": "the run's notebook"
    }
    assert house.info.wheel == "you"


def test_a_locked_wheel_is_handed_over_and_not_taken(house):
    watches = [house.watch("ada"), house.watch("bob")]
    assert house.wheel("ada", "lock").after == {"wheel": "ada, locked"}
    assert "locked it; ask them" in house.wheel("bob", "take").error
    assert "locked it; ask them" in house.send("bob").error
    assert "locked already" in house.wheel("ada", "lock").error
    assert house.wheel("bob", "unlock").state is REJECTED
    assert house.wheel("ada", "unlock").after == {"wheel": "ada"}
    assert "not locked" in house.wheel("ada", "unlock").error
    house.wheel("ada", "lock")
    assert house.wheel("ada", "give", to="bob").after == {"wheel": "bob"}, "free of the lock"
    assert len(watches) == 2


def test_the_runs_own_notebook_always_may(house):
    house.watch("ada")
    house.wheel("ada", "lock")
    assert house.wheel("you", "lock").state is REJECTED, "what is somebody else's is taken first"
    assert house.wheel("you", "take").state is APPLIED
    assert house.info.wheel == "you"
    house.wheel("you", "lock")
    refused = house.wheel("ada", "take")
    assert "the run's notebook has the wheel" in refused.error, "there, you are somebody else"
    house.now += 3600
    house.broker.check()
    assert house.info.wheel_locked, "a notebook that has the run is never away"


def test_who_says_you_from_elsewhere_is_not_the_notebook(house):
    house.wheel("ada", "lock")
    command = Command(
        house.run_id, CommandKind.WHEEL, {"mode": "take"}, actor="you", peer="ipv4:10.0.0.9:1"
    )
    assert house.broker.send(command).state is REJECTED


def test_a_lost_laptop_does_not_lock_a_run_for_ever(house):
    box = house.watch("ada")
    house.wheel("ada", "lock")
    house.now += 600
    assert house.info.wheel_locked, "while they look"
    box.close()
    house.now += 59
    assert house.info.wheel_locked
    back = house.watch("ada")
    house.now += 59
    assert house.info.wheel_locked, "back in time"
    back.close()
    house.now += 61
    assert house.wheel("bob", "take").state is APPLIED, "also when nobody looked before"
    lines = [e.payload for e in house.broker.events(house.run_id) if isinstance(e.payload, LogLine)]
    assert "ada has been away for 61 s" in lines[-1].text
    assert lines[-1].level == "warning"


def test_a_holder_who_never_watched_is_away_from_the_start(house):
    house.wheel("ada", "lock")
    house.now += 59
    assert house.info.wheel_locked
    house.now += 2
    assert not house.info.wheel_locked
    assert house.info.wheel == "ada", "the lock is lost, not the wheel"


def test_the_wheel_works_in_a_long_step_and_while_paused_and_survives_a_cut(house):
    house.say(Status(RunState.PAUSED))
    house.broker.detach(house.run_id)
    assert house.wheel("ada", "take").state is APPLIED
    house.broker.open(RunInfo(house.run_id, "digits", controls={"pause": {}}), house._deliver)
    assert house.info.wheel == "ada"
    house.say(Status(RunState.COMPLETED))
    assert "over (completed)" in house.wheel("bob", "take").error


def test_nonsense_is_refused_in_words(house):
    for mode in (None, 7, "steal", "x" * 1_000_000, ["take"]):
        refused = house.wheel("ada", mode)
        assert refused.state is REJECTED
        assert "mode" in refused.error
        assert len(refused.error) < 200
    assert "must be one of take, give, release, lock, unlock" in house.wheel("ada", "steal").error


def test_every_turn_of_the_wheel_leaves_a_receipt_and_a_row(house):
    box = house.watch("ada")
    house.wheel("ada", "take")
    house.wheel("bob", "release")
    said = [e.payload for e in box.drain().events]
    assert [type(p) for p in said] == [CommandRecord, CommandRecord]
    rows = [r for r in house.broker.audit(house.run_id) if r.action.startswith("wheel")]
    assert [(r.action, r.actor, r.outcome) for r in rows] == [
        ("wheel take", "ada", "applied"),
        ("wheel release", "bob", "rejected"),
    ]
    assert rows[0].after == {"wheel": "ada"}
    assert "ada has the wheel" in rows[1].error
