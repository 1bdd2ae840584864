"""Two people press everything at once, a thousand times each, while the training runs: nothing is done twice or lost."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter

import pytest

from nbmonitor.broker import Broker
from nbmonitor.events import (
    Command,
    CommandKind,
    CommandRecord,
    CommandState,
    Event,
    RunInfo,
    RunState,
    Status,
)
from nbmonitor.notebook.words import Chronicle
from nbmonitor.store import open_store
from nbmonitor.training.control import Control

EACH = 1_000
CONTROLS = {"pause": {}, "stop": {}, "learning_rate": {"value": 0.1}}


class Rate:
    """Counts what is done to it."""

    def __init__(self):
        self.value, self.effects = 0.1, []

    def command(self, params):
        before, self.value = self.value, params["value"]
        self.effects.append(self.value)
        return {"learning rate": str(before)}, {"learning rate": str(self.value)}


class Training(threading.Thread):
    """Applies what is asked between steps, with the control of a real run."""

    def __init__(self, broker, run_id):
        super().__init__(name="training", daemon=True)
        self.broker, self.run_id, self.step = broker, run_id, 0
        info = broker.run(run_id) if run_id else RunInfo("", "digits", controls=CONTROLS)
        self.control = Control(info, self.answer)
        self.control.learning_rate = Rate()
        self.run_id = broker.open(info, self.control.deliver).run_id
        self.over = threading.Event()
        self.say(Status(RunState.RUNNING))

    def say(self, payload):
        self.broker.publish([Event(self.run_id, self.step, time.time(), payload)])

    def answer(self, record):
        self.say(record)
        if record.state is CommandState.APPLIED and "state" in record.after:
            state = {"paused": RunState.PAUSED, "running": RunState.RUNNING}[record.after["state"]]
            self.say(Status(state))

    def run(self):
        while not self.over.is_set():
            self.control.apply(self.step)
            self.step += 1
            time.sleep(0.0002)
        self.control.expire(self.step, "the run is over")
        self.say(Status(RunState.COMPLETED))


class Person(threading.Thread):
    """Presses at random, now and then twice, and reads along in a panel of their own."""

    def __init__(self, broker, run_id, name, seed):
        super().__init__(name=name, daemon=True)
        self.broker, self.run_id = broker, run_id
        self.dice = random.Random(seed)
        self.box = broker.subscribe(run_id)
        self.box.viewer = name
        self.panel, self.events, self.answers = Chronicle(), [], {}

    def read(self):
        for event in self.box.drain().events:
            self.events.append(event)
            self.panel.take(event)

    def command(self, k):
        kind, params = self.dice.choice(
            [
                (CommandKind.PAUSE, {}),
                (CommandKind.RESUME, {}),
                (CommandKind.SET_LEARNING_RATE, {"value": 0.1 + k / 10_000}),
                (CommandKind.SET_LEARNING_RATE, {"value": -1}),
                (CommandKind.WHEEL, {"mode": self.dice.choice(["take", "release", "lock"])}),
                (CommandKind.WHEEL, {"mode": "release"}),
            ]
        )
        seen = self.broker.run(self.run_id).state_version if self.dice.random() < 0.5 else None
        return Command(
            self.run_id,
            kind,
            params,
            f"{self.name}-{k}",
            actor=self.name,
            peer=f"ipv4:{self.name}",
            expected_version=seen,
        )

    def run(self):
        for k in range(EACH):
            command = self.command(k)
            for _ in range(1 + (self.dice.random() < 0.1)):
                self.answers[command.command_id] = self.broker.send(command)
            if k % 20 == 0:
                self.read()


@pytest.mark.parametrize("seed", [1, 2])
def test_two_people_and_two_thousand_commands(seed):
    broker = Broker(open_store("memory:"))
    training = Training(broker, "")
    people = [Person(broker, training.run_id, name, seed + k) for k, name in enumerate("ab")]
    for thread in (training, *people):
        thread.start()
    for person in people:
        person.join(60)
        assert not person.is_alive()
    training.over.set()
    training.join(10)
    for person in people:
        person.read()
    asked = {key for p in people for key in p.answers}
    assert len(asked) == 2 * EACH
    a, b = people
    assert [e.seq for e in a.events] == [e.seq for e in b.events], "both saw the same"
    assert list(a.panel.lines.values()) == list(b.panel.lines.values()), "and their panels say it"
    assert a.panel.marks == b.panel.marks
    records = [e.payload for e in a.events if isinstance(e.payload, CommandRecord)]
    final = Counter(r.command.command_id for r in records if r.state.final)
    assert set(final) == asked, "each had a final word"
    assert set(final.values()) == {1}, "and only one"
    applied = [r for r in records if r.state is CommandState.APPLIED]
    rates = [
        r.command.params["value"]
        for r in applied
        if r.command.kind is CommandKind.SET_LEARNING_RATE
    ]
    assert rates == training.control.learning_rate.effects, "what was done is what was said"
    states = [r.after["state"] for r in applied if "state" in r.after]
    assert all(x != y for x, y in itertools.pairwise(states)), "pause, resume, pause …"
    holder = ""
    for record in records:  # the wheel alone decides whose commands got through, in order
        if record.command.kind is CommandKind.WHEEL and record.state is CommandState.APPLIED:
            assert record.before["wheel"].split(",")[0] == (holder or "nobody")
            holder = record.after["wheel"].split(",")[0].replace("nobody", "")
        elif record.state is CommandState.QUEUED:
            assert holder in ("", record.command.actor)
    said = Counter(r.state for r in records if r.state.final)
    assert said[CommandState.APPLIED] > 50
    assert said[CommandState.REJECTED] > 50
    rows = [r for r in broker.audit(training.run_id, limit=10_000) if r.command_id]
    last = Counter(r.command_id for r in rows if CommandState(r.outcome).final)
    assert set(last.values()) == {1}
    broker.close()
