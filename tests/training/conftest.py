from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nbmonitor.broker import Broker
from nbmonitor.events import (
    Batch,
    Command,
    CommandKind,
    CommandRecord,
    CommandState,
    Demand,
    Performance,
    Resources,
    RunInfo,
    Status,
)
from nbmonitor.store.memory import MemoryStore
from nbmonitor.training.run import Run

sys.path.insert(0, str(Path(__file__).parent))  # `from fake_device import ...`


@pytest.fixture
def broker():
    broker = Broker(MemoryStore())
    yield broker
    broker.close()


@pytest.fixture
def make(broker):
    """Makes started runs, ends them after the test."""
    made = []

    def make(name="digits", sink=None, info=None, **options) -> Run:
        options.setdefault("sample", lambda: Resources(1.0, 2.0))
        run = Run(sink or broker, info or RunInfo("", name), **options).start()
        made.append(run)
        return run

    yield make
    for run in made:
        run.finish()
        run._outbox.close(1)


@pytest.fixture
def run(make) -> Run:
    return make()


@pytest.fixture(name="wait_for")
def _wait_for():
    return wait_for


def wait_for(condition, timeout=5.0):
    """Wait until ``condition()`` is true; returns what it gave."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.002)
    return found


class Person:
    """Somebody at a dashboard: sends commands to a run, reads its events."""

    def __init__(self, broker: Broker, run: Run) -> None:
        self.broker, self.run = broker, run

    def ask(self, kind: str, command_id=None, ttl=60.0, **params) -> Command:
        extra = {"command_id": command_id} if command_id else {}
        self.run._outbox.flush()  # a button is there once the run's controls have arrived
        command = Command(self.run.run_id, CommandKind(kind), params, ttl=ttl, **extra)
        self.broker.send(command)
        return command

    def record(self, command: Command) -> CommandRecord | None:
        final = [r for r in self.finals() if r.command.command_id == command.command_id]
        assert len(final) <= 1, "answered more than once"
        return final[0] if final else None

    def answer(self, command: Command) -> CommandRecord:
        return wait_for(lambda: self.record(command))

    def finals(self) -> list[CommandRecord]:
        return [
            p
            for p in self.payloads(CommandRecord)
            if p.state.final and p.state != CommandState.SENT
        ]

    def payloads(self, kind):
        events = self.broker.events(self.run.run_id, limit=5000)
        return [e.payload for e in events if isinstance(e.payload, kind)]

    def states(self) -> list[str]:
        return [str(p.state) for p in self.payloads(Status)]

    def latest(self, kind):
        events = self.broker.latest(self.run.run_id)
        return [e.payload for e in events if isinstance(e.payload, kind)]


@pytest.fixture
def person(broker, run) -> Person:
    return Person(broker, run)


@pytest.fixture
def person_of(broker):
    return lambda run: Person(broker, run)


@dataclass
class FakeSink:
    """Keeps what it is given; can be slow, or broken."""

    fps: float = 60.0
    error: Exception | None = None
    delay: float = 0.0
    waiting: int = 0
    problem: str = ""
    events: list = field(default_factory=list)
    beats: list = field(default_factory=list)

    def open(self, info, deliver):
        self.deliver = deliver
        return info if info.run_id else RunInfo("r1", info.name)

    def publish(self, events):
        if self.delay:
            time.sleep(self.delay)
        if self.error:
            raise self.error
        self.events.extend(events)

    def heartbeat(self, beat):
        if self.error:
            raise self.error
        self.beats.append(beat)

    def demand(self, run_id):
        return Demand(fps=self.fps)

    def held(self, run_id):
        return self.waiting

    def heed(self, run_id, changed):
        self.changed = changed

    def history(self, run_id, name):
        raise AssertionError("history is read from a real broker: use the fixture `run`")

    def flush(self, timeout=5.0):
        return True

    def payloads(self, kind):
        return [e.payload for e in self.events if isinstance(e.payload, kind)]

    @property
    def batches(self):
        return self.payloads(Batch)

    @property
    def reports(self):
        return self.payloads(Performance)


@pytest.fixture
def fake():
    return FakeSink()
