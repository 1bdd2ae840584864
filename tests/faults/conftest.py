"""Servers and viewers with a bad road between them."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from nbmonitor.broker import Broker
from nbmonitor.events import (
    Batch,
    Column,
    CommandState,
    Event,
    LogLine,
    Mosaic,
    RunInfo,
    RunState,
    Scalars,
    Status,
)
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.server import Server
from nbmonitor.store.memory import MemoryStore

HERE = Path(__file__).parent


def _load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


ChaosProxy = _load("chaos_proxy", HERE / "chaos_proxy.py").ChaosProxy


@pytest.fixture
def make_proxy():
    made = []

    def start(port, **how):
        proxy = ChaosProxy("127.0.0.1", port, **how).start()
        made.append(proxy)
        return proxy

    yield start
    for proxy in made:
        proxy.close()


@pytest.fixture
def broker():
    made = Broker(MemoryStore(), lost_after=0.5)
    yield made
    made.close()


@pytest.fixture
def server(broker):
    made = Server(broker).start()
    yield made
    made.close(0.2)


@pytest.fixture
def proxy(server, make_proxy):
    return make_proxy(server.port, seed=11)


@pytest.fixture
def attach(server, proxy):
    """Clients behind the proxy."""
    made = []

    def start(address=None, **how):
        client = Client(address or proxy.address, server.token, **how).connect(10)
        made.append(client)
        return client

    yield start
    for client in made:
        client.close()


class Run:
    """A run beside the server: what it says of its own accord, it says at a steady pace."""

    def __init__(self, broker, name="a run"):
        self.broker = broker
        self.step = 0
        self._over = threading.Event()
        self._thread = None
        info = RunInfo("", name, controls={"pause": {}, "stop": {}})
        self.run_id = broker.open(info, lambda _c: CommandState.DELIVERED).run_id
        self.say(Status(RunState.RUNNING))

    def say(self, *payloads):
        now = time.time()
        self.broker.publish([Event(self.run_id, self.step, now, p) for p in payloads])

    def loss(self, count=1):
        steps = np.arange(self.step, self.step + count)
        self.step += count
        self.say(Scalars((Column("loss", steps, 1.0 / (1 + steps), np.full(count, time.time())),)))

    def line(self, text):
        self.say(LogLine(text))

    def picture(self, size, width=64):
        data = np.random.default_rng(self.step).bytes(size)
        self.say(Batch(16, 64, batch=self.step, mosaic=Mosaic(data, 4, 4, width, width)))

    def train(self, fps=30.0, picture=16_000):
        """Steps of one value and, as far as they are wanted, one picture of 64 pixels; in a thread."""

        def steps():
            due, pictured = time.monotonic(), 0.0
            while not self._over.wait(max(due - time.monotonic(), 0.0)):
                due += 1.0 / fps
                self.loss()
                wanted, now = self.broker.demand(self.run_id), time.monotonic()
                if wanted.fps and now - pictured >= 1.0 / wanted.fps - 0.005:
                    pictured, width = now, min(64, wanted.pixels)
                    self.picture(int(picture * (width / 64) ** 2), width)

        self._thread = threading.Thread(target=steps, daemon=True)
        self._thread.start()
        return self

    def stop(self):
        self._over.set()
        if self._thread is not None:
            self._thread.join(5)


@pytest.fixture
def run(broker):
    made = Run(broker)
    yield made
    made.stop()


class Viewer:
    """Keeps what a mailbox brings, with the clock of its arrival."""

    def __init__(self, box, wake):
        self.box = box
        self.seen = []
        self.resyncs = 0
        self._wake = wake

    def look(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._wake.wait(0.05)
            self._wake.clear()
            mail = self.box.drain()
            self.resyncs += mail.resync
            self.seen += [(time.time(), e) for e in mail.events]

    def steps(self):
        columns = [
            c for _, e in self.seen if isinstance(e.payload, Scalars) for c in e.payload.columns
        ]
        return [int(s) for c in columns for s in c.steps]

    def lags(self, kind):
        """Seconds from the clock of an event to its arrival; of values, of the oldest in a block."""
        return [
            at - (e.payload.columns[0].times[0] if kind is Scalars else e.time)
            for at, e in self.seen
            if isinstance(e.payload, kind)
        ]

    def of(self, kind):
        return [e for _, e in self.seen if isinstance(e.payload, kind)]


@pytest.fixture
def view():
    def start(client, run_id, demand=None):
        wake = threading.Event()
        box = client.subscribe(run_id, notify=wake.set)
        if demand is not None:
            box.demand = demand
        return Viewer(box, wake)

    return start
