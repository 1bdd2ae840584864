"""Trainers and servers in processes of their own, killed, stopped and restarted."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nbmonitor.events import Command, CommandKind, CommandState, LinkState, RunState
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.publisher import Publisher
from nbmonitor.rpc.trust import auth

HERE = Path(__file__).parent


@pytest.fixture
def launch(server, tmp_path):
    started = []
    token_file = tmp_path / "token"
    auth.write_private(token_file, server.token)

    def start(how):
        process = subprocess.Popen(
            [
                sys.executable,
                str(HERE / "trainer_process.py"),
                server.address,
                str(token_file),
                how,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_killed_trainer_is_lost_and_not_completed(launch, broker, eventually):
    process, run_id = launch("run")
    eventually(lambda: [i for i in broker.runs() if i.run_id == run_id and i.step > 20])
    process.kill()
    process.wait()
    eventually(lambda: broker.run(run_id).link is LinkState.DISCONNECTED)
    assert broker.run(run_id).state is RunState.RUNNING, "not yet: it may come back"
    info = eventually(lambda: (i := broker.run(run_id)).state is RunState.LOST and i)
    assert "no word of an end" in info.message
    steps, _ = broker.history(run_id, "loss")
    assert steps.tolist() == list(range(len(steps))), "what was received stays"
    refused = broker.send(Command(run_id, CommandKind.STOP))
    assert refused.state is CommandState.REJECTED


def test_stop_from_another_process_ends_it_stopped(launch, server, broker, eventually):
    process, run_id = launch("run")
    client = Client(server.address, server.token).connect()
    try:
        eventually(lambda: [i for i in client.runs() if i.run_id == run_id and i.step > 5])
        client.send(Command(run_id, CommandKind.STOP))
        out, err = process.communicate(timeout=20)
        assert process.returncode == 0, err
        assert broker.history(run_id, "loss")[0].tolist() == list(range(int(out)))
        eventually(lambda: client.run(run_id).state is RunState.STOPPED)
        assert client.run(run_id).message == "as asked"
    finally:
        client.close()


def test_an_interpreter_leaves_at_once_with_its_stream_open(launch, broker, eventually):
    process, run_id = launch("leave")
    assert process.stdout.readline() == "LEAVING\n"
    start = time.monotonic()
    process.wait(timeout=10)
    assert time.monotonic() - start < 3
    assert process.returncode == 0, process.stderr.read()
    eventually(lambda: broker.run(run_id).state is RunState.LOST)
    assert broker.history(run_id, "loss")[0].tolist() == list(range(50))


SERVE = """
import sys, time
import nbmonitor
from nbmonitor.broker import Broker
from nbmonitor.rpc.server import Server
from nbmonitor.store.memory import MemoryStore
broker = Broker(MemoryStore())
server = Server(broker, port=int(sys.argv[1]), token=sys.argv[2]).start()
print(server.port, flush=True)
while sys.stdin.readline():
    for info in broker.runs():
        steps, _ = broker.history(info.run_id, 'loss')
        print(info.name, info.state, len(steps), len(set(steps.tolist())), flush=True)
    print('.', flush=True)
"""


class ServerProcess:
    def __init__(self, port, token):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(port), token],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = int(self.process.stdout.readline())

    def runs(self):
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        lines = iter(self.process.stdout.readline, ".\n")
        return [line.split() for line in lines]

    def leave(self):
        """Ends its input: the interpreter leaves, with streams open."""
        self.process.stdin.close()
        start = time.monotonic()
        self.process.wait(timeout=10)
        return time.monotonic() - start

    def kill(self):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()


def test_a_server_that_is_killed_and_restarted_gets_everything_exactly_once(make_trainer):
    token = auth.new_token()
    servers = [ServerProcess(0, token)]
    port = servers[0].port
    publisher = Publisher(f"127.0.0.1:{port}", token, retry=(0.02, 0.2)).start()
    try:
        trainer = make_trainer(publisher)
        trainer.end(RunState.RUNNING)
        trainer.loss(0, 299)
        assert publisher.flush(10)
        assert servers[0].runs() == [["a", "run", "running", "300", "300"]]
        servers[0].kill()
        trainer.loss(300, 399)
        assert not publisher.flush(0.2)
        servers.append(ServerProcess(port, token))
        assert publisher.flush(10)
        assert servers[1].runs() == [["a", "run", "running", "400", "400"]]
        assert servers[1].leave() < 3, "an open stream holds no interpreter back"
        assert servers[1].process.returncode == 0
    finally:
        publisher.close(0.5)
        for each in servers:
            each.kill()


def test_a_server_that_is_stopped_is_stale_and_killed_in_its_sleep_is_gone(
    make_trainer, eventually
):
    token = auth.new_token()
    server = ServerProcess(0, token)
    address = f"127.0.0.1:{server.port}"
    publisher = Publisher(address, token).start()
    client = Client(address, token, lost_after=0.5).connect()
    try:
        run_id = make_trainer(publisher).run_id
        publisher.flush(5)
        eventually(lambda: [i for i in client.runs() if i.run_id == run_id])
        server.process.send_signal(signal.SIGSTOP)
        eventually(lambda: client.run(run_id).link is LinkState.STALE, 5)
        assert client.run(run_id).state is RunState.INITIALIZING, "a link is no run"
        start = time.monotonic()
        record = client.send(Command(run_id, CommandKind.STOP))
        assert time.monotonic() - start < 2.5
        assert record.state is CommandState.UNCONFIRMED
        server.process.kill()
        eventually(lambda: client.run(run_id).link is LinkState.DISCONNECTED, 2)
        eventually(lambda: client.run(run_id).state is RunState.LOST, 5)
    finally:
        publisher.close(0.2)
        client.close()
        server.kill()


def test_an_exit_with_viewers_attached_does_not_hang():
    token = auth.new_token()
    server = ServerProcess(0, token)
    client = Client(f"127.0.0.1:{server.port}", token).connect()
    try:
        assert server.leave() < 3
        assert server.process.returncode == 0, server.process.stderr.read()
    finally:
        client.close()
        server.kill()
