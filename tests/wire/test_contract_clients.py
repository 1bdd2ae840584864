"""Clients and a server of the published contract, each in a process of its own, unchanged."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nbmonitor import settings
from nbmonitor.events import (
    Batch,
    Column,
    Command,
    CommandKind,
    CommandRecord,
    CommandState,
    Epoch,
    Heartbeat,
    LinkState,
    Mosaic,
    Performance,
    RunState,
    Scalars,
)
from nbmonitor.rpc.publisher import Publisher
from nbmonitor.rpc.server import Server

HERE = Path(__file__).parent
PROTOS = HERE.parents[1] / "protos"


def jpeg(width=32, height=32, colour=(200, 30, 30)):
    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, "JPEG")
    return out.getvalue()


def check_example(broker, out):
    acks = [line for line in out.splitlines() if line.startswith("Batch ")]
    assert acks == [f"Batch {k} acknowledged" for k in range(10)]
    (info,) = broker.runs()
    assert (info.session_id, info.client_name, info.client_version) == (
        "train_001",
        "pytorch_trainer",
        "1.0.0",
    )
    steps, values = broker.history(info.run_id, "loss")
    assert steps.tolist() == list(range(10))
    np.testing.assert_allclose(values, [0.5 - 0.01 * k for k in range(10)], rtol=1e-6)
    batch = next(e.payload for e in broker.latest(info.run_id) if isinstance(e.payload, Batch))
    assert (batch.predicted, batch.truth, batch.count, batch.batch) == ((3,), (3,), 1, 9)
    assert batch.pictures == (None,), "what is no JPEG is a placeholder"
    assert batch.confidence == (pytest.approx(0.95),)


def test_the_example_client_runs_unchanged(contract_python, server, broker, eventually):
    process = contract_python(HERE / "contract" / "example_client.py.txt", server.address)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.startswith("Session registered: ")
    check_example(broker, out)
    # It says nothing of an end: its stream is over, the run is not, and then it is lost.
    eventually(lambda: broker.runs()[0].link is LinkState.DISCONNECTED)
    assert not broker.runs()[0].state.ended
    eventually(lambda: broker.runs()[0].state is RunState.LOST)


def test_the_example_client_on_its_own_port(stubs, broker, monkeypatch):
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 50051)) == 0:
            pytest.skip("port 50051 is taken on this machine")
    monkeypatch.setenv("NBMONITOR_PORT", "50051")
    asked = settings.load()
    server = Server(broker, host=asked.host, port=asked.port).start()
    try:
        done = subprocess.run(
            [sys.executable, str(HERE / "contract" / "example_client.py.txt")],
            env={**os.environ, "PYTHONPATH": str(stubs)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        check_example(broker, done.stdout)
    finally:
        server.close(0.2)


@pytest.fixture(scope="session")
def node():
    folder = HERE / "node"
    installed = folder / "node_modules" / ".package-lock.json"
    lock = folder / "package-lock.json"
    assert shutil.which("npm"), "Node with npm is needed for the client in a second language"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        done = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        installed.touch()
    return folder


def test_a_client_in_javascript(node, server, broker, eventually):
    picture = jpeg()
    process = subprocess.Popen(
        ["node", "client.js", str(PROTOS), server.address, base64.b64encode(picture).decode()],
        cwd=node,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        info = eventually(lambda: next(iter(broker.runs()), None), 30)
        run_id = info.run_id
        eventually(lambda: len(broker.history(run_id, "loss")[0]) == 5)
        assert (info.total_epochs, info.batches_per_epoch, info.class_names) == (
            2,
            5,
            ("cat", "dog"),
        )
        batch = next(e.payload for e in broker.latest(run_id) if isinstance(e.payload, Batch))
        assert batch.pictures[0].data == picture
        assert (batch.pictures[0].width, batch.pictures[0].height) == (32, 32)
        speed = next(e.payload for e in broker.latest(run_id) if isinstance(e.payload, Performance))
        assert (speed.fps, speed.resources.devices[0].percent) == (12.5, 70)

        pause = broker.send(Command(run_id, CommandKind.PAUSE))
        assert pause.state is CommandState.SENT
        eventually(lambda: broker.run(run_id).state is RunState.PAUSED)
        assert record(broker, run_id, pause).state is CommandState.APPLIED
        rate = broker.send(
            Command(run_id, CommandKind.SET_LEARNING_RATE, {"value": 0.01, "mode": "set"})
        )
        stop = broker.send(Command(run_id, CommandKind.STOP))
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    told = json.loads(out)
    assert told["answer"]["server_config"] == {
        "max_batch_size": 16,
        "max_image_dimension": 512,
        "heartbeat_interval_ms": 2000,
        "buffer_size": 100,
    }
    assert told["acks"] == [0, 1, 2, 3, 4], "batches alone are acknowledged"
    assert [c["type"] for c in told["commands"]] == [
        "PAUSE_TRAINING",
        "CHANGE_LEARNING_RATE",
        "STOP_TRAINING",
    ]
    keys = told["commands"][1]["parameters"]
    assert keys == {
        "learning_rate": "0.01",
        "lr": "0.01",
        "value": "0.01",
        "command_id": rate.command.command_id,
    }
    assert broker.run(run_id).state is RunState.COMPLETED
    assert broker.run(run_id).message == "all done"
    assert record(broker, run_id, stop).state is CommandState.APPLIED
    # The contract has no word that confirms a learning rate.
    assert record(broker, run_id, rate).state is CommandState.EXPIRED
    epochs = [e.payload for e in broker.events(run_id) if isinstance(e.payload, Epoch)]
    assert epochs == [Epoch(1, {"average_loss": 0.5, "average_accuracy": 0.75})]


def record(broker, run_id, asked) -> CommandRecord:
    found = {r.command.command_id: r for r in broker.commands(run_id)}
    return found[asked.command.command_id]


SERVE = """
import os, runpy, sys
sys.path.insert(0, sys.argv[1])
import grpc
real = grpc.server
def server(*a, **k):
    made = real(*a, **k)
    bind = made.add_insecure_port
    def moved(address):
        assert address == '[::]:50051'
        port = bind('127.0.0.1:0')
        print('PORT', port, flush=True)
        return port
    made.add_insecure_port = moved
    return made
grpc.server = server
sys.stdout.reconfigure(line_buffering=True)
runpy.run_path(sys.argv[2], run_name='__main__')
"""


def test_our_trainer_reports_to_the_example_server(stubs, make_trainer, eventually):
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(stubs), str(HERE / "contract" / "example_server.py.txt")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    publisher = None
    try:
        port = process.stdout.readline().split()[1]
        assert process.stdout.readline() == "Server started on port 50051\n"
        publisher = Publisher(f"127.0.0.1:{port}").start()
        trainer = make_trainer(publisher, client_version="0.9")
        eventually(lambda: publisher.demand(trainer.run_id).fps == 60)
        sheet = jpeg(64, 32)
        batch = Batch(
            3,
            32,
            mosaic=Mosaic(sheet, 2, 2, 16, 16),
            predicted=(1, None, 2),
            confidence=(0.5, None, float("nan")),
            truth=(1, 2, None),
        )
        now = time.time()
        column = Column("loss", np.array([0, 1, 2]), np.array([3.0, 2.0, 1.0]), np.full(3, now))
        publisher.publish([trainer.event(Scalars((column,))), trainer.event(batch, 2)])
        publisher.heartbeat(Heartbeat(trainer.run_id))
        trainer.say(Epoch(1, {"average_loss": 1.0}))
        trainer.end(RunState.COMPLETED)
        assert publisher.flush(5)
        publisher.close(5)
    finally:
        if publisher is not None:
            publisher.close(0.5)
        process.kill()
        out, err = process.communicate()
    assert out.splitlines() == [
        f"New session: {trainer.run_id}",
        "Client: nbmonitor v0.9",
        "Received batch 0 with 0 images",
        "Received batch 1 with 0 images",
        "Received batch 2 with 3 images",
    ], err
