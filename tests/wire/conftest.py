"""A server with a broker in memory, and the contract's own stubs."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nbmonitor.broker import Broker
from nbmonitor.events import Column, CommandState, Event, RunInfo, Scalars, Status
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.publisher import Publisher
from nbmonitor.rpc.server import Server
from nbmonitor.store.memory import MemoryStore

HERE = Path(__file__).parent
PROTOS = HERE.parents[1] / "protos"


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
def publisher(server):
    made = Publisher(server.address, server.token, retry=(0.02, 0.2)).start()
    yield made
    made.close(1.0)


@pytest.fixture
def client(server):
    made = Client(server.address, server.token).connect()
    yield made
    made.close()


class Trainer:
    """Says things through a publisher, as a run would."""

    def __init__(self, publisher, **description):
        self.publisher = publisher
        self.commands = []
        description = {"controls": {"pause": {}, "stop": {}}} | description
        info = publisher.open(RunInfo("", "a run", **description), self._deliver)
        self.run_id = info.run_id

    def _deliver(self, command):
        self.commands.append(command)
        return CommandState.DELIVERED

    def event(self, payload, step=0):
        return Event(self.run_id, step, time.time(), payload)

    def say(self, payload, step=0):
        self.publisher.publish([self.event(payload, step)])

    def loss(self, first, last=None):
        for k in range(first, (last or first) + 1):
            column = Column(
                "loss", np.array([k]), np.array([1.0 / (k + 1)]), np.array([time.time()])
            )
            self.say(Scalars((column,)), k)

    def end(self, state, message=""):
        self.say(Status(state, message))


@pytest.fixture
def trainer(publisher):
    return Trainer(publisher)


@pytest.fixture
def make_trainer():
    return Trainer


@pytest.fixture(scope="session")
def stubs(tmp_path_factory):
    """A folder with the stubs that anybody generates from the published .proto files."""
    out = tmp_path_factory.mktemp("stubs")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{PROTOS}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            "metrics.proto",
            "core_messages.proto",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"grpcio-tools (extra `test`) is needed: {done.stderr}"
    return out


@pytest.fixture
def contract_python(stubs):
    """Runs a script of the contract in a process of its own, with its port moved."""

    def start(script, address, *arguments):
        boot = (
            "import runpy, sys, grpc\n"
            "stubs, script, address = sys.argv[1:4]\n"
            "sys.path.insert(0, stubs)\n"
            "dial = grpc.insecure_channel\n"
            "def moved(target, *a, **k):\n"
            "    assert target == 'localhost:50051'\n"
            "    return dial(address, *a, **k)\n"
            "grpc.insecure_channel = moved\n"
            "runpy.run_path(script, run_name='__main__')\n"
        )
        return subprocess.Popen(
            [sys.executable, "-c", boot, str(stubs), str(script), address, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
