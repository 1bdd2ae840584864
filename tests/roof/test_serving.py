"""`nbmonitor serve` as it is used: in a process of its own, stopped, and followed by another one."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest

from nbmonitor import api
from nbmonitor.errors import AttachError
from nbmonitor.events import (
    Column,
    Command,
    CommandKind,
    CommandState,
    Event,
    Gap,
    LinkState,
    RunInfo,
    RunState,
    Scalars,
    Status,
)
from nbmonitor.rpc import health
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.publisher import Publisher
from nbmonitor.rpc.trust import auth, places
from nbmonitor.rpc.trust.tls import Tls

pytestmark = pytest.mark.slow


@pytest.fixture
def state(tmp_path, monkeypatch):
    """State and runtime folders of a test's own, for every process it starts."""
    for name in [n for n in os.environ if n.startswith("NBMONITOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path


def command(*words, **env):
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "nbmonitor", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | env,
    )


class Serve:
    def __init__(self, folder, *words, err=None, **env):
        self.log = folder / f"log-{time.monotonic_ns()}"
        with self.log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "nbmonitor", "serve", *words],
                stdout=subprocess.PIPE,
                stderr=err if err is not None else file,
                text=True,
                env=os.environ | env,
            )
        self.line = self.process.stdout.readline()
        said = re.search(r"serving on (\S+) · token in (\S+) ", self.line)
        assert said, self.log.read_text()
        self.address, self.token_file = said[1], Path(said[2])
        self.token = auth.read_token(self.token_file)

    @property
    def port(self):
        return self.address.rpartition(":")[2]

    def stop(self, number=signal.SIGTERM):
        """Returns the exit status and the seconds that it took."""
        self.process.send_signal(number)
        began = time.monotonic()
        return self.process.wait(20), time.monotonic() - began

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def serve(state):
    made = []

    def start(*words, **kwargs):
        made.append(Serve(state, *(words or ("--port", "0")), **kwargs))
        return made[-1]

    yield start
    for each in made:
        each.close()


class Trainer:
    def __init__(self, server, name, **kwargs):
        self.publisher = Publisher(
            server.address, server.token, retry=(0.02, 0.2), **kwargs
        ).start()
        self.commands = []
        info = RunInfo("", name, controls={"pause": {}, "stop": {}})
        self.run_id = self.publisher.open(info, self._deliver).run_id
        self.say(Status(RunState.RUNNING))

    def _deliver(self, command):
        self.commands.append(command)
        return CommandState.DELIVERED

    def say(self, payload, step=0):
        self.publisher.publish([Event(self.run_id, step, time.time(), payload)])

    def losses(self, first, last):
        for k in range(first, last + 1):
            column = Column("loss", np.array([k]), np.array([1.0]), np.array([time.time()]))
            self.say(Scalars((column,)), k)


def losses(client, run_id):
    return next((s.count for s in client.series(run_id) if s.name == "loss"), 0)


# --- one life --------------------------------------------------------------------------------------------------------


def test_it_says_one_line_and_is_found_with_its_runs(serve, eventually):
    server = serve()
    assert server.line.count("\n") == 1
    assert f"%nbmonitor attach {server.address}" in server.line
    assert stat.S_IMODE(server.token_file.stat().st_mode) == 0o600
    assert server.token not in server.line
    trainers = [Trainer(server, name) for name in ("one", "two")]
    try:
        for trainer in trainers:
            trainer.losses(0, 9)
            assert trainer.publisher.flush(10)
        client = eventually(lambda: _attached("two"))
        assert client.chosen == trainers[1].run_id
        assert {r.name for r in client.runs()} == {"one", "two"}
        client.send(Command(trainers[1].run_id, CommandKind.PAUSE))
        eventually(lambda: trainers[1].commands)
        assert not trainers[0].commands
        client.close()
        listed = command("runs")
        assert listed.returncode == 0, listed.stderr
        assert re.search(r"running .* one  \(", listed.stdout)
        trainers[0].say(Status(RunState.COMPLETED))
        eventually(lambda: "one: completed" in server.log.read_text())
    finally:
        for trainer in trainers:
            trainer.publisher.close(1)
    status, seconds = server.stop()
    assert status == 0
    assert seconds < 5
    assert server.token_file.exists(), "for its successor"
    assert "No nbmonitor server" in command("runs").stdout


def _attached(name):
    try:
        return api.attach(name)
    except AttachError:
        return None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_it_with_everybody_connected(serve, number, eventually):
    server = serve()
    trainer = Trainer(server, "x")
    client = Client(server.address, server.token).connect()
    try:
        assert trainer.publisher.flush(10)
        client.subscribe(trainer.run_id)
        status, seconds = server.stop(number)
        assert status == 0, server.log.read_text()
        assert seconds < 5
        eventually(lambda: "says goodbye: it was stopped" in trainer.publisher.problem)
        eventually(lambda: client.road is LinkState.DISCONNECTED)
        assert client.run(trainer.run_id).state is RunState.RUNNING, "a server's end is no run's"
    finally:
        client.close()
        trainer.publisher.close(0.2)


def test_while_it_drains_it_does_not_serve_and_a_second_signal_ends_it_at_once(serve, eventually):
    server = serve()
    with grpc.insecure_channel(server.address) as channel:
        # Somebody who keeps watching the health has the drain take its whole grace.
        watch = channel.unary_stream(
            f"/{health.SERVICE}/Watch",
            request_serializer=health.Request.SerializeToString,
            response_deserializer=health.Response.FromString,
        )(health.Request())
        assert next(watch).status == health.SERVING
        server.process.send_signal(signal.SIGTERM)
        assert next(watch).status == health.NOT_SERVING
        status, seconds = server.stop()
        assert status == -signal.SIGTERM
        assert seconds < 1


# --- successors ------------------------------------------------------------------------------------------------------


def test_a_successor_gets_everything_exactly_once_and_viewers_see_it(serve, eventually):
    first = serve("--port", "0")
    trainers = [Trainer(first, f"run {k}") for k in range(3)]
    client = api.attach(first.address)
    try:
        for trainer in trainers:
            trainer.losses(0, 299)
            assert trainer.publisher.flush(10)
        token = first.token
        assert first.stop()[0] == 0
        for trainer in trainers:
            trainer.losses(300, 349)  # said while nobody serves
        second = serve("--port", first.port, "--token-file", str(first.token_file))
        assert (second.address, second.token) == (first.address, token)
        for trainer in trainers:
            assert trainer.publisher.flush(15)
            assert not trainer.publisher.problem
            eventually(lambda t=trainer: losses(client, t.run_id) == 350, 15)
            steps, _ = trainer.publisher.history(trainer.run_id, "loss")
            assert steps.tolist() == list(range(350))
            eventually(lambda t=trainer: client.run(t.run_id).link is LinkState.CONNECTED)
            assert client.run(trainer.run_id).state is RunState.RUNNING
        assert client.facts().reconnects == 1
        client.send(Command(trainers[0].run_id, CommandKind.PAUSE))
        eventually(lambda: trainers[0].commands)
    finally:
        client.close()
        for trainer in trainers:
            trainer.publisher.close(1)


def test_what_a_trainer_could_not_keep_is_a_gap_with_its_successor(serve, eventually):
    first = serve()
    trainer = Trainer(first, "x", most=8_000)
    client = None
    try:
        for k in range(0, 300, 10):
            trainer.losses(k, k + 9)
            assert trainer.publisher.flush(10)
        first.stop()
        second = serve("--port", first.port, "--token-file", str(first.token_file))
        client = Client(second.address, second.token).connect()
        eventually(lambda: client.runs() and losses(client, trainer.run_id), 15)
        assert trainer.publisher.flush(15)
        said = [e.payload for e in client.events(trainer.run_id)]
        (gap,) = [p for p in said if isinstance(p, Gap)]
        steps, _ = trainer.publisher.history(trainer.run_id, "loss")
        assert steps[-1] == 299
        assert len(steps) == len(set(steps.tolist())) < 300
        assert gap.count > 0
        assert gap.reason == "an earlier server had it, the trainer has it no more"
    finally:
        if client is not None:
            client.close()
        trainer.publisher.close(1)


def test_port_and_token_stay_the_same_where_nothing_else_was_said(serve):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    first = serve("--port", port)
    first.stop()
    second = serve("--port", port)
    assert (second.address, second.token_file, second.token) == (
        first.address,
        first.token_file,
        first.token,
    )


# --- how it is told --------------------------------------------------------------------------------------------------


def test_lines_for_the_journal_have_a_level_and_no_time(serve):
    read, write = os.pipe()
    found = os.fstat(write)
    server = serve("--port", "0", err=write, JOURNAL_STREAM=f"{found.st_dev}:{found.st_ino}")
    os.close(write)
    server.stop()
    with os.fdopen(read) as pipe:
        lines = pipe.read().splitlines()
    assert lines[0].startswith(f"<6>serving on {server.address}")
    assert all(re.match(r"<[3-7]>\S", line) for line in lines)
    assert lines[-1] == "<6>stopped"


def test_lines_for_people_have_both(serve):
    server = serve("--port", "0", JOURNAL_STREAM="1:1")  # inherited, and stderr goes elsewhere
    server.stop()
    lines = server.log.read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \S+ INFO ", line) for line in lines)
    assert server.token not in server.log.read_text()


def test_two_signals_that_arrive_together_leave_no_traceback(serve):
    server = serve()
    server.process.send_signal(signal.SIGSTOP)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        server.process.send_signal(number)
    assert server.process.wait(20) in (0, -signal.SIGINT, -signal.SIGTERM)
    assert "Traceback" not in server.log.read_text()


def test_a_unix_socket(serve, tmp_path, eventually):
    path = Path(os.environ["XDG_RUNTIME_DIR"]) / "s"
    if len(str(path)) > 100:
        pytest.skip("the temporary folder's name is too long for a Unix socket")
    server = serve("--unix", str(path))
    assert server.address == f"unix:{path}"
    trainer = Trainer(server, "x")
    try:
        assert trainer.publisher.flush(10)
        client = api.attach(server.address)
        assert [r.name for r in client.runs()] == ["x"]
        client.close()
        eventually(lambda: _attached("x")).close()
    finally:
        trainer.publisher.close(1)
    assert server.stop()[0] == 0
    assert not path.exists()


def test_folders_made_for_a_socket_are_told_and_private(serve):
    with tempfile.TemporaryDirectory(prefix="nbm-", dir="/tmp") as base:
        path = Path(base) / "new" / "deeper" / "s"
        server = serve("--unix", str(path))
        made = [line for line in server.log.read_text().splitlines() if "made the folder" in line]
        assert [line.partition("INFO ")[2] for line in made] == [
            f"made the folder {folder} (mode 0700) for the Unix socket"
            for folder in (path.parent.parent, path.parent)
        ]
        for folder in (path.parent.parent, path.parent):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert server.stop()[0] == 0
        again = serve("--unix", str(path))
        assert "made the folder" not in again.log.read_text()
        assert again.stop()[0] == 0


def test_the_line_to_type_has_quotes_where_a_path_needs_them():
    from types import SimpleNamespace

    from nbmonitor.commands.serve import line

    server = SimpleNamespace(address="unix:/a b/s", fingerprint="", port=None, host="")
    assert line(server).endswith(" %nbmonitor attach 'unix:/a b/s'")
    server.address = "unix:/a_b/s*"
    assert shlex.split(line(server).rpartition("attach ")[2]) == ["unix:/a_b/s*"]


def test_tls_with_a_certificate_made_here(serve, eventually):
    pytest.importorskip("cryptography", reason="the extra `tls` is not installed")
    server = serve("--port", "0", "--tls")
    (fingerprint,) = re.findall(r"certificate ((?:[0-9A-F]{2}:){31}[0-9A-F]{2})", server.line)
    trainer = Trainer(server, "x", tls=Tls(fingerprint=fingerprint))
    try:
        assert trainer.publisher.flush(10)
        for client in (  # by its announcement; with the fingerprint; past TLS, from this machine
            api.attach(server.address),
            api.attach(
                server.address, token_file=server.token_file, tls=Tls(fingerprint=fingerprint)
            ),
            eventually(lambda: _attached("x")),
        ):
            assert [r.name for r in client.runs()] == ["x"]
            client.close()
        with pytest.raises(AttachError, match="another certificate"):
            api.attach(server.address, tls=Tls(fingerprint="00" * 32))
    finally:
        trainer.publisher.close(1)
    assert server.stop()[0] == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--host", "0.0.0.0"], "TLS"),
        (["--tls-cert", "x"], "Expected both --tls-cert and --tls-key"),
        (["--tls-ca", "/nowhere"], "certificates in /nowhere cannot be used"),
        (["--port", "70000"], "port number from 0 to 65535"),
        (["--token-file", "/proc/nope/token"], "cannot be written"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_remedy(state, words, says):
    out = command("serve", *(words if "--port" in words else ["--port", "0", *words]))
    assert out.returncode == 1
    assert says in out.stderr
    assert len(out.stderr.splitlines()) == 1


def test_a_server_that_never_was_leaves_no_token_file(state):
    before = set(places.runtime_dir().iterdir())
    assert command("serve", "--port", "0", "--host", "0.0.0.0").returncode == 1
    assert set(places.runtime_dir().iterdir()) == before


def test_a_port_that_is_taken(serve):
    server = serve()
    out = command("serve", "--port", server.port)
    assert out.returncode == 1
    assert f"Port {server.port} of 127.0.0.1 is in use" in out.stderr


# --- tokens for others -----------------------------------------------------------------------------------------------


def test_a_viewers_token_is_made_used_listed_and_revoked(serve, tmp_path, eventually):
    server = serve()
    trainer = Trainer(server, "x")
    out = tmp_path / "ada.token"
    try:
        assert trainer.publisher.flush(10)
        made = command("token", "make", "viewer", "ada", "--days", "3", "--out", str(out))
        assert made.returncode == 0, made.stderr
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        token = auth.read_token(out)
        assert token not in made.stdout
        client = eventually(lambda: _with(server, out))
        assert [r.name for r in client.runs()] == ["x"]
        answer = client.send(Command(trainer.run_id, CommandKind.PAUSE))
        assert not trainer.commands
        assert answer.state is not CommandState.DELIVERED
        client.close()
        listed = command("token", "list")
        assert re.search(r"viewer +ada +until", listed.stdout)
        assert token not in listed.stdout
        assert command("token", "revoke", "ada").returncode == 0
        eventually(lambda: not _opens(server, out))
    finally:
        trainer.publisher.close(1)


def _opens(server, file):
    client = _with(server, file)
    if client is not None:
        client.close()
    return client is not None


def _with(server, file):
    try:
        return api.attach(server.address, token_file=file)
    except AttachError:
        return None


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_twenty_servers_one_after_the_other_under_load(serve, eventually):
    """Stopped and killed in turn, while three trainers report: what the last one has is what was said."""
    server = serve()
    trainers = [Trainer(server, f"run {k}") for k in range(3)]
    said, over = [0, 0, 0], threading.Event()

    def report(k):
        while not over.wait(0.002):
            trainers[k].losses(said[k], said[k])
            said[k] += 1

    threads = [threading.Thread(target=report, args=(k,), daemon=True) for k in range(3)]
    for thread in threads:
        thread.start()
    try:
        for life in range(20):
            time.sleep(1.0)
            if life % 2:
                server.stop(signal.SIGKILL)
            else:
                assert server.stop()[0] == 0, server.log.read_text()
            server = serve("--port", server.port, "--token-file", str(server.token_file))
        over.set()
        for thread in threads:
            thread.join()
        for k, trainer in enumerate(trainers):
            eventually(lambda t=trainer: t.publisher.flush(1) and not t.publisher.problem, 40)
            steps, _ = trainer.publisher.history(trainer.run_id, "loss")
            assert steps.tolist() == list(range(said[k])), "each once, in order, none missing"
            assert trainer.publisher._out.buffer.lost == 0
        print("values said:", said)
    finally:
        over.set()
        for trainer in trainers:
            trainer.publisher.close(1)
