"""From what a person writes to a connected client: addresses, names, tokens, and what is said when it cannot be."""

from __future__ import annotations

import contextlib
import http.server
import os
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from nbmonitor import api, attaching
from nbmonitor.broker import Broker
from nbmonitor.errors import AttachError
from nbmonitor.events import CommandState, RunInfo, RunState, Status
from nbmonitor.events import Event as Said
from nbmonitor.rpc.roads import discovery
from nbmonitor.rpc.roads.announcement import Announcement
from nbmonitor.rpc.server import Server
from nbmonitor.rpc.trust import auth
from nbmonitor.store.memory import MemoryStore


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    for name in [n for n in os.environ if n.startswith("NBMONITOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))


class Served:
    """A server with runs, announced."""

    def __init__(self, *names):
        self.broker = Broker(MemoryStore())
        self.token = auth.new_token()
        self.server = Server(self.broker, token=self.token).start()
        self.file = auth.write_token(self.token)
        self.runs = [
            self.broker.open(RunInfo("", n), lambda _: CommandState.DELIVERED) for n in names
        ]
        self.announcement = Announcement(self.broker, self.server.address, self.file).start()

    def say(self, run, payload):
        self.broker.publish([Said(self.runs[run].run_id, 0, time.time(), payload)])

    def close(self):
        self.announcement.close()
        self.server.close(0.2)
        self.broker.close()


@pytest.fixture
def served():
    made = []

    def serve(*names):
        made.append(Served(*names))
        return made[-1]

    yield serve
    for each in made:
        each.close()


@pytest.fixture
def attach():
    made = []

    def one(*args, **kwargs):
        made.append(api.attach(*args, **kwargs))
        return made[-1]

    yield one
    for each in made:
        each.close()


def until(condition, timeout=5.0):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


# --- by name ---------------------------------------------------------------------------------------------------------


def test_a_run_is_attached_by_its_name_or_id(served, attach):
    here, there = served("digits-cnn", "other"), served("away")
    client = attach("digits-cnn")
    assert client.chosen == here.runs[0].run_id
    assert client.address == "digits-cnn"
    assert {r.name for r in client.runs()} == {"digits-cnn", "other"}
    assert attach(there.runs[0].run_id).chosen == there.runs[0].run_id


def test_a_name_that_means_several_is_refused_with_how_to_choose(served, attach):
    served("x", "x")
    with pytest.raises(AttachError, match="2 runs on this machine are called 'x'") as told:
        attach("x")
    lines = str(told.value).splitlines()
    assert len(lines) == 3
    assert attach(lines[1].split()[0]).chosen == lines[1].split()[0]


def test_a_run_that_goes_on_is_meant_before_those_that_ended(served, attach):
    there = served("x", "x", "x")
    for run in (0, 2):
        there.say(run, Status(RunState.INTERRUPTED, "superseded"))
    until(lambda: sum(r.alive for r in discovery.servers()[0].runs) == 1)
    assert attach("x").chosen == there.runs[1].run_id
    there.say(1, Status(RunState.COMPLETED))
    until(lambda: not discovery.servers()[0].alive)
    assert attach("x").chosen == there.runs[2].run_id, "the newest, where all have ended"


def test_what_nobody_is_called_is_told_with_what_there_is(served, attach):
    with pytest.raises(AttachError, match="No nbmonitor server runs on this machine"):
        attach("digits-cnn")
    served("other", "<b>\x1b[2J")
    with pytest.raises(
        AttachError, match=r"(?s)no run 'digits-cnn' on this machine.*other"
    ) as told:
        attach("digits-cnn")
    assert "\x1b" not in str(told.value)


def test_the_file_of_a_server_follows_its_runs(served):
    there = served()
    until(lambda: discovery.servers()[0].runs == ())
    info = there.broker.open(RunInfo("", "late"), lambda _: CommandState.DELIVERED)
    there.runs.append(info)
    until(lambda: [r.name for r in discovery.servers()[0].runs] == ["late"])
    there.say(0, Status(RunState.RUNNING))
    until(lambda: discovery.servers()[0].runs[0].state == "running")
    there.announcement.close()
    there.announcement.close()
    assert discovery.servers() == []


# --- by address ------------------------------------------------------------------------------------------------------


def test_the_token_of_a_server_of_this_machine_is_found(served, attach):
    there = served("x")
    port = there.server.port
    for address in (f"127.0.0.1:{port}", f"localhost:{port}"):
        assert [r.name for r in attach(address).runs()] == ["x"]
    assert attach(there.server.address, token=there.token).chosen == ""
    assert attach(there.server.address, token_file=there.file).runs()


def test_no_token_of_this_machine_is_sent_to_another(served, attach, monkeypatch):
    there = served("x")
    monkeypatch.setattr(
        "nbmonitor.rpc.client.Client.connect", lambda *_: pytest.fail("it was dialled")
    )
    with pytest.raises(AttachError, match="attach ssh://gpu-box") as told:
        attach(f"gpu-box:{there.server.port}")
    assert "token_file=FILE" in str(told.value)


def test_a_port_that_nobody_announced(attach):
    with pytest.raises(AttachError, match="no server of this machine listens there"):
        attach("127.0.0.1:1")
    with pytest.raises(AttachError, match="is no address of a server"):
        attach("host:port")
    with pytest.raises(AttachError, match="cannot be read"):
        attach("127.0.0.1:1", token_file="/nowhere/token")


# --- something else listens there ------------------------------------------------------------------------------------


class Web(http.server.BaseHTTPRequestHandler):
    """A plain web server."""

    def log_message(self, *_):
        pass


class Banner(socketserver.BaseRequestHandler):
    """Speaks first, as sshd does."""

    def handle(self):
        self.request.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        self.request.recv(1)


class Short(socketserver.BaseRequestHandler):
    """Says a word that is shorter than the header of a frame."""

    def handle(self):
        self.request.recv(4_096)
        self.request.sendall(b"-ERR\r\n")


class HangsUp(socketserver.BaseRequestHandler):
    """Takes a connection and lets go, as a forward that leads nowhere does."""

    def handle(self):
        pass


@contextlib.contextmanager
def listening(kind, handler, place):
    class Listening(socketserver.ThreadingMixIn, kind):
        daemon_threads = True
        allow_reuse_address = True

    made = Listening(place, handler)
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def refusal(address, **how):
    with pytest.raises(AttachError) as told:
        api.attach(address, token="t" * 43, timeout=0.3, **how)
    return str(told.value)


@pytest.mark.parametrize("handler", [Web, Banner, Short])
def test_what_listens_and_is_no_server_of_ours_is_told_so(handler):
    with listening(socketserver.TCPServer, handler, ("127.0.0.1", 0)) as there:
        address = f"127.0.0.1:{there.server_address[1]}"
        for said in (refusal(address), _without_token(address)):
            assert said.startswith(f"Something listens at {address}, but it is no nbmonitor server")
            assert "Check the port" in said


def _without_token(address):
    with pytest.raises(AttachError) as told:
        api.attach(address)
    return str(told.value)


def test_the_same_on_a_unix_socket():
    with (
        tempfile.TemporaryDirectory(prefix="nbm-", dir="/tmp") as folder,
        listening(socketserver.UnixStreamServer, Banner, str(Path(folder) / "s")),
    ):
        assert "but it is no nbmonitor server" in refusal(f"unix:{folder}/s")
        assert "No nbmonitor server answers" in refusal(f"unix:{folder}/none")


class Slow(socketserver.BaseRequestHandler):
    """Begins a frame, over a road that is all but cut."""

    def handle(self):
        self.request.sendall(b"\0\0\x18")
        while self.request.recv(4_096):
            pass


@pytest.mark.parametrize("handler", [HangsUp, Slow])
def test_what_says_nothing_may_be_a_server_of_ours(handler, monkeypatch):
    monkeypatch.setattr("nbmonitor.rpc.channel.LOOK", 0.2)
    with listening(socketserver.TCPServer, handler, ("127.0.0.1", 0)) as there:
        address = f"127.0.0.1:{there.server_address[1]}"
        assert refusal(address).startswith(f"No nbmonitor server answers at {address}")


@pytest.mark.parametrize("tls", [None, True])
def test_a_web_server_with_tls_is_no_server_of_ours_either(tmp_path, tls):
    pytest.importorskip("cryptography", reason="the extra `tls` is not installed")
    from nbmonitor.rpc.trust.selfsigned import self_signed

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed("127.0.0.1", tmp_path))

    class Secure(socketserver.TCPServer):
        def get_request(self):
            raw, where = super().get_request()
            try:
                return context.wrap_socket(raw, server_side=True), where
            except OSError:
                raw.close()
                raise

    with listening(Secure, Web, ("127.0.0.1", 0)) as there:
        said = refusal(f"127.0.0.1:{there.server_address[1]}", tls=tls)
    assert "it is no nbmonitor server" in said
    assert "tls=" not in said, "that would not help"


def test_a_server_of_ours_is_none_of_those(served):
    from nbmonitor.rpc.channel import strange

    there = served("x")
    assert strange(there.server.address) == ""
    assert strange("127.0.0.1:1") == ""
    assert "refused" in refusal(there.server.address), "for its token"


def test_a_token_file_that_changes_is_read_again(served, attach):
    there = served("x")
    client = attach("x")
    other = auth.new_token()
    port = there.server.port
    there.server.close(0.1)
    there.file.write_text(f"{other}\n")
    there.server = Server(there.broker, port=port, token=other).start()
    until(lambda: client.facts().reconnects == 1 and client.facts().road == "connected")
    assert client.runs()


def test_what_is_true_about_the_road(served, attach):
    there = served("x")
    client = attach("x")
    client.subscribe(there.runs[0].run_id)
    there.say(0, Status(RunState.RUNNING))
    until(lambda: client.facts().age is not None)
    until(lambda: client.facts().rtt is not None, 10)
    facts = client.facts()
    assert 0 < facts.rtt < 5
    assert 0 <= facts.age < 5
    assert (facts.road, facts.reconnects, facts.problem) == ("connected", 0, "")
    there.server.close(0.1)
    until(lambda: client.facts().road == "disconnected")


def test_attaching_again_and_again_leaves_no_thread_and_no_file(served):
    served("x")

    def cycle():
        client = api.attach("x")
        client.subscribe(client.chosen)
        client.close()

    def left():
        files = psutil.Process().num_fds()
        ours = [t.name for t in threading.enumerate() if t.name.startswith("nbmonitor-client")]
        return files, ours

    for _ in range(3):
        cycle()
    files = left()[0]
    for _ in range(20):
        cycle()
    until(lambda: left()[1] == [])
    until(lambda: left()[0] <= files + 2)


ODD = ["lr=0.1 *x* [a|b] `c` <d>", "\U0001f469\u200d\U0001f4bb naïve\u00a0run 实验", "it's _x_ \\n"]


def test_names_are_printed_as_they_are_and_attached_as_they_are_printed(served, attach):
    there = served(*ODD)
    assert {r.name for r in discovery.servers()[0].runs} == set(ODD)
    for name in ODD:
        client = attach(name)
        assert any(f"  {name}  (" in one for one in attaching.table(client.runs(), "").splitlines())
    with pytest.raises(AttachError) as told:
        attach("none of *them*")
    assert "no run 'none of *them*'" in str(told.value)
    assert all(f"  {name}  (" in str(told.value) for name in ODD)
    assert attach(there.runs[0].run_id).chosen == there.runs[0].run_id


def test_half_a_character_in_a_name_keeps_nobody_from_being_found(served, attach):
    there = served("a\udc80b")  # as in a file's name that is no UTF-8
    until(lambda: discovery.servers()[0].runs)
    there.broker.open(RunInfo("", "next"), lambda _: CommandState.DELIVERED)
    until(lambda: len(discovery.servers()[0].runs) == 2)
    assert "a\ufffdb" in attaching.table(attach("next").runs(), "")


def test_a_short_table_of_runs():
    runs = [RunInfo(f"id{k}", f"run {k}\x1b", state=RunState.RUNNING, step=k) for k in range(12)]
    lines = attaching.table(runs, "id1").splitlines()
    assert len(lines) == attaching.SHOWN + 1
    assert lines[1].startswith("▸ running")
    assert lines[0].startswith("  running")
    assert "4 more" in lines[-1]
    assert "\x1b" not in "".join(lines)


# --- init(serve=True) ------------------------------------------------------------------------------------------------


def script(code, **env):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | env,
    )


def test_a_run_can_be_served_from_here_whatever_the_environment_says():
    code = (
        "import nbmonitor\nrun = nbmonitor.init('solo', serve=True)\nrun.log(loss=1.0)\n"
        "print(nbmonitor.runs()[0].name)\nrun.finish()"
    )
    out = script(code, NBMONITOR_ADDRESS="127.0.0.1:9", RANK="1", WORLD_SIZE="2")
    assert out.returncode == 0, out.stderr
    assert out.stdout.splitlines()[0].startswith("nbmonitor: serving 'solo' on 127.0.0.1:")
    assert out.stdout.splitlines()[1] == "solo"


def test_a_run_reports_to_one_place():
    out = script("import nbmonitor\nnbmonitor.init('x', serve=True, address='127.0.0.1:9')")
    assert "SettingError: A run reports to one place" in out.stderr


def test_a_trainer_is_told_of_by_name_and_goes_with_its_process(attach):
    code = (
        "import nbmonitor, sys\nserver = nbmonitor.serve()\nassert nbmonitor.serve() is server\n"
        "run = nbmonitor.init('digits-cnn')\nprint(server.address, flush=True)\nsys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        address = process.stdout.readline().strip()
        until(lambda: discovery.servers() and discovery.servers()[0].runs)
        client = attach("digits-cnn")
        assert [r.name for r in client.runs()] == ["digits-cnn"]
        assert discovery.servers()[0].address == address
        process.communicate("", timeout=20)
        assert process.returncode == 0
        until(lambda: client.facts().road == "disconnected")
        assert discovery.servers() == []
    finally:
        process.kill()
        process.communicate()
