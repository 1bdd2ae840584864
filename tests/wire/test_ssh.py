"""The road over ssh, to a real sshd on this machine with keys and configuration of its own."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from nbmonitor import api
from nbmonitor.address import parse
from nbmonitor.broker import Broker
from nbmonitor.errors import AttachError
from nbmonitor.events import Command, CommandKind, CommandState, LinkState, RunInfo
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.roads import discovery
from nbmonitor.rpc.roads.announcement import Announcement
from nbmonitor.rpc.roads.shell import Listing, script
from nbmonitor.rpc.roads.ssh import Tunnel, _remote, _sweep, _with_us
from nbmonitor.rpc.server import Server
from nbmonitor.rpc.trust import auth, places
from nbmonitor.store.memory import MemoryStore

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_sshd = pytest.mark.skipif(
    (SSHD is None or shutil.which("ssh") is None)
    and not os.environ.get("CI"),  # there it is an error
    reason="there is no OpenSSH here: on Debian `apt-get install openssh-server openssh-client`",
)
FAST = (0.02, 0.2)


class Sshd:
    """An sshd for this user alone, with a home folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.config = folder / "ssh_config"
        self.process = None
        self.home.mkdir(parents=True)
        for name in ("host_key", "user_key", "wrong_key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)],
                check=True,
            )
        shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        key = (folder / "host_key.pub").read_text()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {key}")
        self.configure()

    def configure(self, *lines, key="user_key", known="known_hosts"):
        """Write the client's configuration; returns the command."""
        self.config.write_text(
            "\n".join(
                [
                    *lines,
                    "Host *",
                    "HostName 127.0.0.1",
                    f"Port {self.port}",
                    f"User {getpass.getuser()}",
                    f"IdentityFile {self.folder / key}",
                    "IdentityAgent none",
                    "IdentitiesOnly yes",
                    f"UserKnownHostsFile {self.folder / known}",
                    "GlobalKnownHostsFile /dev/null",
                    "",
                ]
            )
        )
        return self.command

    @property
    def command(self):
        return f"ssh -F {self.config}"

    def start(self, *lines):
        file = self.folder / "sshd_config"
        state = os.environ["XDG_STATE_HOME"]
        file.write_text(
            "\n".join(
                [
                    *lines,
                    f"Port {self.port}",
                    "ListenAddress 127.0.0.1",
                    f"HostKey {self.folder / 'host_key'}",
                    f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
                    "StrictModes no",
                    "UsePAM no",
                    "PidFile none",
                    "PasswordAuthentication no",
                    "KbdInteractiveAuthentication no",
                    "PermitRootLogin prohibit-password",
                    f"SetEnv HOME={self.home} XDG_STATE_HOME={state} XDG_RUNTIME_DIR={self.home}",
                    "",
                ]
            )
        )
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", str(file)], stdin=subprocess.DEVNULL, stderr=log
            )
        end = time.monotonic() + 10
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 0.5):
                    return self
            except OSError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < end, "sshd does not listen"
                time.sleep(0.02)

    def stop(self):
        """The listening one and those of its connections."""
        if self.process is None:
            return
        every = [*psutil.Process(self.process.pid).children(recursive=True), self.process]
        for each in every:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait()
        self.process = None


@pytest.fixture
def state(tmp_path, monkeypatch):
    """State and runtime folders of a test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return places.runtime_dir()


@pytest.fixture
def sshd(tmp_path, state):
    made = Sshd(tmp_path / "sshd").start()
    yield made
    made.stop()


class Served:
    """A server with a run, announced."""

    def __init__(self, run="digits-cnn", *, port=0, token=None):
        self.broker = Broker(MemoryStore())
        token = token or auth.new_token()
        self.server = Server(self.broker, port=port, token=token).start()
        self.token = token
        self.file = auth.write_token(token)
        self.commands = []
        self.info = self.broker.open(
            RunInfo("", run, controls={"pause": {}, "stop": {}}), self._deliver
        )
        self.announcement = Announcement(self.broker, self.server.address, self.file).start()

    def _deliver(self, command):
        self.commands.append(command)
        return CommandState.DELIVERED

    def close(self):
        self.announcement.close()
        self.server.close(0.2)
        self.broker.close()
        self.file.unlink(missing_ok=True)


@pytest.fixture
def served(state):
    made = []

    def serve(*args, **kwargs):
        made.append(Served(*args, **kwargs))
        return made[-1]

    yield serve
    for each in made:
        each.close()


@contextlib.contextmanager
def attached(sshd, **how):
    """A tunnel, and a client behind it, which closes both."""
    tunnel = Tunnel(parse("ssh://box"), sshd.command, **how).start()
    client = Client(tunnel.target, tunnel.token, name=str(tunnel.address), tunnel=tunnel).connect()
    try:
        yield tunnel, client
    finally:
        client.close()


# --- the road --------------------------------------------------------------------------------------------------------


@needs_sshd
def test_a_run_is_seen_and_steered_over_ssh_and_no_token_stands_on_a_command_line(sshd, served):
    there = served()
    (sshd.home / ".bashrc").write_text("echo 'Welcome to the box. {}'; echo >&2 nbmonitor\n")
    with attached(sshd) as (tunnel, client):
        assert client.address == "ssh://box"
        assert [r.name for r in client.runs()] == ["digits-cnn"]
        client.send(Command(there.info.run_id, CommandKind.PAUSE))
        assert [c.kind for c in there.commands] == [CommandKind.PAUSE]
        family = psutil.Process().children(recursive=True)
        lines = [" ".join(p.cmdline()) for p in family if p.is_running()]
        assert any("-L" in line for line in lines)
        assert not any(there.token in line for line in lines)
        folder = Path(tunnel.target.removeprefix("unix:")).parent
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
    assert not [p for p in psutil.Process().children() if p.name() == "ssh"]


@needs_sshd
def test_one_line_attaches_shows_which_run_and_closes_with_the_client(sshd, served, monkeypatch):
    there = served("a run")
    other = there.broker.open(RunInfo("", "other"), there._deliver)
    monkeypatch.setenv("NBMONITOR_SSH", sshd.command)
    client = api.attach("ssh://box/a%20run")
    try:
        assert client.chosen == there.info.run_id
        assert client.address.startswith("ssh://box/")
        assert [r.run_id for r in client.runs()] == [other.run_id, there.info.run_id]
        assert client.facts().problem == ""
        assert [t.name for t in threading.enumerate()].count("nbmonitor-ssh") == 1
    finally:
        client.close()
    assert "nbmonitor-ssh" not in [t.name for t in threading.enumerate()]
    with pytest.raises(AttachError, match="no run 'third' on box"):
        api.attach("ssh://box/third")
    assert "nbmonitor-ssh" not in [t.name for t in threading.enumerate()]


@needs_sshd
def test_ssh_that_is_killed_is_started_again(sshd, served, eventually):
    there = served()
    with attached(sshd, retry=FAST) as (tunnel, client):
        for k in range(2):
            os.kill(tunnel._process.pid, signal.SIGKILL)
            eventually(lambda k=k: client._standing.watch.reconnects == k + 1)
        eventually(lambda: client.run(there.info.run_id).link is LinkState.CONNECTED)
        assert client.send(Command(there.info.run_id, CommandKind.PAUSE)).error == ""
        assert tunnel.restarts == 2
        eventually(lambda: tunnel.problem == "")


@needs_sshd
def test_a_server_that_took_the_place_of_another_is_found(sshd, served, eventually):
    there = served()
    with attached(sshd, retry=FAST) as (tunnel, client):
        there.close()
        eventually(lambda: client.run(there.info.run_id).link is LinkState.DISCONNECTED)
        successor = served("another")  # another port, another token
        eventually(lambda: [r.name for r in client.runs()] == ["another"])
        assert tunnel.token() == successor.token
        assert tunnel.server.address == successor.server.address


@needs_sshd
def test_a_token_that_changed_is_read_again(sshd, served, eventually):
    there = served()
    with attached(sshd, retry=FAST, look=0.1) as (tunnel, client):
        other = auth.new_token()
        port = there.server.port
        there.server.close(0.1)
        there.file.write_text(f"# by hand\n{other} owner\n")
        there.server = Server(there.broker, port=port, token=other).start()
        eventually(lambda: client._standing.watch.connected and client._standing.watch.reconnects)
        assert tunnel.token() == other
        assert client.runs()


@needs_sshd
def test_a_network_that_comes_back_heals(sshd, served, eventually):
    there = served()
    with attached(sshd, retry=FAST) as (tunnel, client):
        sshd.stop()
        eventually(lambda: client.run(there.info.run_id).link is LinkState.DISCONNECTED)
        eventually(lambda: "refused" in tunnel.problem)
        sshd.start()
        eventually(lambda: client.run(there.info.run_id).link is LinkState.CONNECTED, 15)
        eventually(lambda: tunnel.problem == "")


ATTACH = """
import os, sys, time
from nbmonitor.address import parse
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.roads.ssh import Tunnel
tunnel = Tunnel(parse("ssh://box"), sys.argv[1]).start()
client = Client(tunnel.target, tunnel.token, tunnel=tunnel).connect()
child = os.fork()
if child == 0:  # as a loader's worker that outlives its parent: it has our end of every pipe
    time.sleep(8)
    os._exit(0)
print(tunnel._process.pid, child, flush=True)
if sys.argv[2] == "leave":
    sys.exit(0)
time.sleep(60)
"""


def _ended(kernel, child):
    """End a process that was made here and its child, if they still are."""
    kernel.kill()
    kernel.wait()
    kernel.stdout.close()
    if child:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


@needs_sshd
@pytest.mark.parametrize("how", ["killed", "leave"])
def test_no_ssh_outlives_the_kernel(sshd, served, eventually, how):
    served()
    kernel = subprocess.Popen(
        [sys.executable, "-c", ATTACH, sshd.command, how], stdout=subprocess.PIPE, text=True
    )
    child = None
    try:
        ssh, child = map(int, kernel.stdout.readline().split())
        if how == "killed":
            kernel.kill()
        assert kernel.wait(10) == (-signal.SIGKILL if how == "killed" else 0)
        if (
            not _with_us()
        ):  # then the end of the pipe is what ends ssh, when nobody holds it any more
            os.kill(child, signal.SIGKILL)
        eventually(lambda: not psutil.pid_exists(ssh), 3)
    finally:
        _ended(kernel, child)


@needs_sshd
def test_what_a_dead_kernel_left_is_taken_away(sshd, served):
    served()
    first = Tunnel(parse("ssh://box"), sshd.command).start()
    folder = Path(first.target.removeprefix("unix:")).parent
    first.close()
    left = folder.with_name(f"nbmonitor-ssh-{2**22 + 1}-x")
    left.mkdir()
    Tunnel(parse("ssh://box"), sshd.command).start().close()
    assert not left.exists()
    assert not folder.exists()


DEAD = 2**22 + 1  # beyond the ids of processes


@pytest.fixture
def base():
    """A folder with a path that is short enough for sockets in it."""
    with tempfile.TemporaryDirectory(prefix="nbm-", dir="/tmp") as folder:
        yield Path(folder)


def test_only_our_own_folders_of_the_dead_are_taken_away(base, tmp_path):
    """Whoever may write to /tmp may call something as we do, or have a link lead elsewhere."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "s").write_text("mine")

    def made(name):
        (base / name).mkdir()
        return base / name

    empty, dead, served, full, file, alive, odd = (
        made(f"nbmonitor-ssh-{owner}-{name}")
        for owner, name in (
            (DEAD, "empty"),
            (DEAD, "dead"),
            (DEAD, "served"),
            (DEAD, "full"),
            (DEAD, "file"),
            (os.getpid(), "alive"),
            ("9" * 30, "odd"),
        )
    )
    link = base / f"nbmonitor-ssh-{DEAD}-link"
    link.symlink_to(precious)
    socketless = made(f"nbmonitor-ssh-{DEAD}-inner")
    (socketless / "s").symlink_to(precious / "s")
    (full / "notes").write_text("of somebody's")
    (file / "s").write_text("no socket")
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(dead / "s"))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(served / "s"))
        listening.listen()
        _sweep(base)
    left = {p.name.rpartition("-")[2] for p in base.iterdir()}
    assert left == {"served", "full", "file", "alive", "odd", "link", "inner"}
    assert not empty.exists()
    assert alive.exists()
    assert odd.exists()
    assert (precious / "s").read_text() == "mine"


def test_a_folder_of_another_users_is_left(tmp_path, monkeypatch):
    theirs = tmp_path / f"nbmonitor-ssh-{DEAD}-x"
    theirs.mkdir()
    monkeypatch.setattr("os.getuid", lambda: theirs.stat().st_uid + 1)
    _sweep(tmp_path)
    assert theirs.exists()


@needs_sshd
def test_a_killed_kernels_folder_goes_with_the_next_road_wherever_that_lies(
    sshd, served, monkeypatch, eventually
):
    """Its XDG_RUNTIME_DIR was not set; that of the next kernel is."""
    served()
    with monkeypatch.context() as other:
        other.delenv("XDG_RUNTIME_DIR")
        other.setenv("TMPDIR", "/tmp")
        kernel = subprocess.Popen(
            [sys.executable, "-c", ATTACH, sshd.command, "killed"],
            stdout=subprocess.PIPE,
            text=True,
        )
    child = None
    try:
        ssh, child = map(int, kernel.stdout.readline().split())
        (left,) = Path("/tmp").glob(f"nbmonitor-ssh-{kernel.pid}-*")
        kernel.kill()
        kernel.wait()
        os.kill(child, signal.SIGKILL)
        eventually(lambda: not psutil.pid_exists(ssh), 3)
        assert left.exists()
        Tunnel(parse("ssh://box"), sshd.command).start().close()
        assert not left.exists()
    finally:
        _ended(kernel, child)


# --- which server ----------------------------------------------------------------------------------------------------


@needs_sshd
def test_of_several_servers_the_one_with_the_run(sshd, served, eventually):
    here, there = served("one"), served("two")
    for name, right in (("one", here), ("two", there), (here.info.run_id, here)):
        tunnel = Tunnel(parse(f"ssh://box/{name}"), sshd.command).start()
        assert tunnel.server.address == right.server.address
        tunnel.close()
    with pytest.raises(AttachError, match=r"(?s)no run 'three' on box.*ssh://box/.*two"):
        Tunnel(parse("ssh://box/three"), sshd.command).start()
    served("two")
    with pytest.raises(AttachError, match=r"(?s)2 runs on box are called 'two'.*ssh://box/"):
        Tunnel(parse("ssh://box/two"), sshd.command).start()


@needs_sshd
def test_the_users_own_configuration_gets_in_nobodys_way(sshd, served):
    served()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sshd.configure(
            f"LocalForward 127.0.0.1:{port} 127.0.0.1:9",
            "RemoteCommand echo no",
            "RequestTTY force",
            "ControlMaster auto",
            f"ControlPath {sshd.folder}/master",
            "LogLevel QUIET",
        )
        with attached(sshd) as (_, client):
            assert client.runs()
            assert not (sshd.folder / "master").exists()


# --- what goes wrong -------------------------------------------------------------------------------------------------


@needs_sshd
def test_nobody_there(sshd):
    with pytest.raises(AttachError, match="No nbmonitor server runs on box"):
        Tunnel(parse("ssh://box"), sshd.command).start()


@needs_sshd
@pytest.mark.parametrize(
    ("setup", "says"),
    [
        ({"known": "nowhere"}, r"does not know the host key of box yet\. Run `ssh -F .* box` once"),
        ({"key": "wrong_key"}, r"did not let ssh in without a password .*`ssh-copy-id box`"),
        ({"lines": ["Port 9"]}, r"does not get through to box \(.*refused"),
        ({"lines": ["HostName no.such.host.invalid"]}, r"does not get through to box \(.*resolve"),
        ({"lines": ["NoSuchOption yes"]}, r"does not get through to box \("),
    ],
)
def test_what_ssh_cannot_do_is_told_with_the_remedy(sshd, served, setup, says):
    served()
    sshd.configure(*setup.pop("lines", []), **setup)
    with pytest.raises(AttachError, match=says):
        Tunnel(parse("ssh://box"), sshd.command).start()


@needs_sshd
def test_a_wrong_user_is_named_with_the_host_in_the_remedy(sshd, served):
    served()
    with pytest.raises(AttachError) as told:
        Tunnel(parse("ssh://no.such_user@box"), sshd.command).start()
    said = str(told.value)
    assert said.startswith("no.such_user@box did not let ssh in without a password (")
    assert f"Run `{sshd.command} no.such_user@box` once" in said
    assert "`ssh-copy-id no.such_user@box`" in said


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("Permission denied (publickey)", "`ssh-copy-id -p 2222 ada@box`"),
        ("REMOTE HOST IDENTIFICATION HAS CHANGED!", "`ssh-keygen -R '[box]:2222'`"),
        ("Connection refused", "Run `ssh -p 2222 ada@box` once in a terminal"),
    ],
)
def test_a_remedy_names_user_and_port_as_they_were_given(said, remedy):
    assert remedy in Tunnel(parse("ssh://ada@box:2222/run"), "ssh").explain([said], 255)


@needs_sshd
def test_a_host_key_that_changed(sshd, served):
    served()
    other = (sshd.folder / "wrong_key.pub").read_text()
    (sshd.folder / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {other}")
    with pytest.raises(AttachError, match="host key of box is not the one"):
        Tunnel(parse("ssh://box"), sshd.command).start()


@needs_sshd
def test_an_sshd_that_forwards_nothing_is_told(sshd, served, eventually):
    served()
    sshd.stop()
    sshd.start("AllowTcpForwarding no")
    tunnel = Tunnel(parse("ssh://box"), sshd.command, retry=FAST).start()
    try:
        with pytest.raises(AttachError):
            Client(tunnel.target, tunnel.token, name="ssh://box").connect(1.0)
        eventually(lambda: "AllowTcpForwarding" in tunnel.problem)
    finally:
        tunnel.close()


def test_without_ssh_the_remedy_is_to_get_it():
    with pytest.raises(AttachError, match="Install OpenSSH"):
        Tunnel(parse("ssh://box"), "no-such-ssh").start()


# --- what is asked there ---------------------------------------------------------------------------------------------


def shell(word="w", data=""):
    home = {"HOME": os.environ["XDG_RUNTIME_DIR"]}  # not that of whoever runs this
    out = subprocess.run(
        ["sh", "-s"],
        input=script(word) + data,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | home,
    )
    return [line for line in out.stdout.splitlines() if line.startswith(word)]


def listing(lines):
    found = Listing(lines[0].partition(" begin ")[2])
    for line in lines[1:]:
        found.take(*line.split(" ", 2)[1:])
    return found


def test_the_lines_of_sh_find_servers_and_tokens(state, tmp_path, monkeypatch):
    odd = tmp_path / "a folder, ünï" / "token"
    odd.parent.mkdir()
    odd.write_text("\n# whose\n  tok-en viewer ada\nother\n")
    name = f'x"y\\z\nw server lives $(touch {tmp_path}/ran) `touch {tmp_path}/ran`'
    found = discovery.write("127.0.0.1:5005", odd, runs=[discovery.Announced("../i", name)])
    lines = shell()
    assert lines[-1] == "w end"
    seen = listing(lines[:-1])
    assert seen.servers == [found]
    assert seen.tokens == {found.name: "tok-en"}
    assert not (tmp_path / "ran").exists()
    odd.unlink()
    seen = listing(shell()[:-1])
    assert seen.servers == [found]
    assert seen.tokens == {}


def test_of_the_dead_and_of_other_machines_nothing_is_taken(state):
    found = discovery.write("127.0.0.1:5005", auth.write_token("t" * 43))
    (file,) = [p / found.name for p in places.places() if (p / found.name).exists()]
    text = file.read_text()
    file.with_name("server-dead.json").write_text(
        text.replace(f'"pid": {os.getpid()}', '"pid": 4194305')
    )
    file.with_name("server-away.json").write_text(text.replace(found.machine, "another"))
    file.with_name("server-broken.json").write_text('{"pid": 1')
    assert listing(shell()[:-1]).servers == [found]


def test_a_line_asks_again_and_the_end_ends_it(state):
    lines = shell(data="\n\n")
    assert (
        lines.count("w end") >= 1
    )  # dash may have taken the lines for script; none of them is harmful


@pytest.mark.parametrize(
    ("address", "end"),
    [
        ("127.0.0.1:5", "127.0.0.1:5"),
        ("0.0.0.0:5", "127.0.0.1:5"),
        ("[::1]:5", "[::1]:5"),
        ("unix:/run/a.sock", "/run/a.sock"),
    ],
)
def test_the_other_end_of_a_forward(address, end):
    assert _remote(discovery.Found(address, 1, "", 0.0)) == end
    with pytest.raises(AttachError, match="colon or space"):
        _remote(discovery.Found("unix:/run/a:b", 1, "", 0.0))


def test_no_part_of_an_address_becomes_an_option():
    line = Tunnel(parse("ssh://ada@box:7/--run"), "ssh")._line(None)
    assert line[-5:] == ["-l", "ada", "--", "box", "sh -s"]
    for text in ("ssh://-oProxyCommand=x", "ssh://-l@box", "ssh://box:-1", "ssh://a b"):
        with pytest.raises(AttachError):
            parse(text)
