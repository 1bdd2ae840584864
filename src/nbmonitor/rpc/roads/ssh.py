"""``ssh://host``: the user's own ssh, kept running while somebody is attached, with a Unix socket of ours at this end.

Everything goes over ssh alone: a few lines of sh, on its standard input, say which servers run there and with which
tokens; the forward carries the calls. Nothing has to be installed, opened or copied there, and nothing but the places
of the two ends stands on a command line. The kernel holds the standard input of every ssh: whatever ends the kernel
ends that, and sh at the other end with it, and so ssh; Linux is asked to end ssh with us besides.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from nbmonitor import address as addresses
from nbmonitor.errors import AttachError
from nbmonitor.rpc import threads
from nbmonitor.rpc.roads import discovery
from nbmonitor.rpc.roads.talk import PATIENCE, Talk, end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbmonitor.address import Address
    from nbmonitor.rpc.roads.discovery import Found
    from nbmonitor.rpc.roads.shell import Listing

OPTIONS = (
    "-T",
    "-oBatchMode=yes",  # in a kernel nobody can answer
    "-oConnectTimeout=10",
    "-oServerAliveInterval=5",
    "-oServerAliveCountMax=2",
    "-oControlMaster=no",  # a connection of our own, that ends when we end it
    "-oControlPath=none",
    "-oForwardAgent=no",
    "-oForwardX11=no",
    "-oPermitLocalCommand=no",
    "-oRemoteCommand=none",
    "-oLogLevel=INFO",  # that a forward leads nowhere is said at this level
    "-oStreamLocalBindUnlink=yes",
    # Not ExitOnForwardFailure: a port in the user's own configuration may be taken by another ssh of theirs. Whether
    # our socket is there is looked at instead.
)
LOOK = 10.0  # seconds between two looks at what runs there
_PREFIX = "nbmonitor-ssh-"
_NAME = "s"  # of the socket in its folder
_SOCKET = 100  # characters of a socket's path; the system takes 107


class Tunnel:
    """A supervised road to the server that a run on another machine reports to.

    Parameters
    ----------
    address
        Of kind "ssh".
    command
        How ssh is called: a command line such as ``ssh`` or ``ssh -F my_config``.
    retry
        Least and most seconds between two attempts.
    look
        Seconds between two looks at what runs there.

    Raises
    ------
    AttachError
        From :meth:`start`, when there is no way, with the remedy.
    """

    def __init__(
        self,
        address: Address,
        command: str = "ssh",
        *,
        retry: tuple[float, float] = (0.2, 10.0),
        look: float = LOOK,
    ) -> None:
        self.address = address
        self.problem = ""
        self.restarts = 0
        self.servers: tuple[Found, ...] = ()
        self.forked = False
        try:
            self._command = shlex.split(command)
        except ValueError as error:
            raise AttachError(
                f"NBMONITOR_SSH is {command!r}, which is no command line ({error}). Expected one such as `ssh -F FILE`."
            ) from error
        self._retry = retry
        self.look = look
        self._lock = threading.Lock()
        self._chosen: Found | None = None
        self._token = ""
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._settled = threading.Event()  # the first attempt is over
        self._up = threading.Event()
        self._opened = False  # since the last attempt
        self.over = threading.Event()
        self._thread: threading.Thread | None = None
        threads.guard(self)

    # --- what others look at -----------------------------------------------------------------------------------------

    @property
    def target(self) -> str:
        """What to dial: ``unix:/path`` at this end."""
        return f"unix:{self._socket}"

    @property
    def server(self) -> Found:
        """The server at the other end. Raises AttachError before :meth:`start`."""
        if self._chosen is None:
            raise AttachError(f"{self.address} is not open yet.")
        return self._chosen

    def token(self) -> str:
        """Token of the server at the other end, as it was last read there."""
        return self._token

    @property
    def up(self) -> bool:
        """Whether ssh is through, as far as it says."""
        return self._up.is_set()

    # --- life --------------------------------------------------------------------------------------------------------

    def start(self, timeout: float = PATIENCE) -> Tunnel:
        """Open the road; from then on it is kept open by a thread. Raises AttachError when it cannot be opened."""
        if self._thread is not None:
            return self
        if os.name != "posix" or not self._command or shutil.which(self._command[0]) is None:
            raise AttachError(
                f"{self.address} needs the program {' '.join(self._command) or 'ssh'!r}, which is not here. Install "
                "OpenSSH's client, or say how it is called with NBMONITOR_SSH."
            )
        self._folder = _folder()
        self._thread = threading.Thread(target=self._run, name="nbmonitor-ssh", daemon=True)
        self._thread.start()
        through = self._settled.wait(timeout)
        if not self._up.is_set():
            why = self.problem or f"ssh said nothing for {timeout:.0f} s"
            self.close()
            raise AttachError(why if through else f"{why}. {self._once()}")
        return self

    def close(self) -> None:
        """End ssh and take its socket away. Idempotent."""
        if self.forked:
            return
        self.over.set()
        with self._lock:
            if self._process is not None:
                end(self._process)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(5.0)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        attempt = 0
        while not self.over.is_set():
            why, restarts = "", self.restarts
            try:
                if self._chosen is None:
                    self._talk(None)
                self._talk(self._chosen)
            except AttachError as error:
                why = str(error)
            except Exception as error:  # a road that broke is opened again, whatever broke it
                why = f"The ssh to {self.address} broke: {error!r}."
            self.problem = why or self.problem
            if why and not self._settled.is_set():
                self._settled.set()
                return  # whoever opens it is told, and does not want to be told later
            if self._opened:
                self._opened, attempt = False, 0
            least, most = self._retry
            self.over.wait(threads.back_off(attempt, random.random, least=least, most=most))
            attempt += 1
            self.restarts = restarts + 1

    def _talk(self, to: Found | None) -> None:
        """One ssh from its beginning to its end, with a forward to a server if there is one.

        Without a server it ends when it has told which there are.
        """
        with self._lock:
            if self.over.is_set():
                return
            process = self._process = subprocess.Popen(  # noqa: S603 (the user's ssh; the host was checked)
                self._line(to),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # else "Interrupt kernel" would end it
            )
        try:
            Talk(self, process, to).run()
        finally:
            self._up.clear()
            end(process)
            if process.stdout is not None:
                process.stdout.close()

    def _line(self, to: Found | None) -> list[str]:
        """The command line: no option can come of what an address holds."""
        there = self.address
        words = [*_with_us(), *self._command, *OPTIONS]
        if to is None:
            words.append("-oClearAllForwardings=yes")
        else:
            words.append(f"-L{self._socket}:{_remote(to)}")
        words += ["-p", str(there.port)] if there.port else []
        words += ["-l", there.user] if there.user else []
        return [*words, "--", there.host, "sh -s"]

    def listed(self, found: Listing, to: Found | None) -> bool:
        """Take what runs there; False when the forward to ``to`` leads to the wrong place now."""
        self.servers = tuple(found.servers)
        prefix = f"{self._bare()}/"
        where = f"on {self.address.host}"
        same = next((f for f in found.servers if to is not None and _same(f, to)), None)
        chosen = (
            same or discovery.choose(found.servers, self.address.run, where=where, prefix=prefix)[0]
        )
        token = found.tokens.get(chosen.name, "")
        if not token:
            raise AttachError(
                f"The token file {chosen.token_file} on {self.address.host} cannot be read. Expected the file that the "
                "server there wrote: does it run as the same user?"
            )
        self._chosen, self._token = chosen, token
        return to is None or chosen.dial == to.dial

    def opened(self) -> bool:
        """The road is open, as far as ssh says; False when its socket is not there."""
        if not self._socket.exists():
            return False
        self.problem = ""
        self._opened = True
        self._up.set()
        self._settled.set()
        return True

    # --- inside ------------------------------------------------------------------------------------------------------

    @property
    def _socket(self) -> Path:
        if self._folder is None:
            raise AttachError(f"{self.address} is not open yet.")
        return self._folder / _NAME

    def _bare(self) -> Address:
        there = self.address
        return addresses.Address("ssh", host=there.host, port=there.port, user=there.user)

    def _once(self) -> str:
        """The command that a person runs once, to be asked what a kernel cannot be asked."""
        return f"Run `{shlex.join(self._command)} {self._there()}` once in a terminal"

    def _there(self) -> str:
        """The other end as the address names it, for tools of ssh's: ``-p 2222 ada@box``."""
        return f"-p {self.address.port} {self._who()}" if self.address.port else self._who()

    def _who(self) -> str:
        """Host, and user where the address names one: ``ada@box``."""
        user = f"{self.address.user}@" if self.address.user else ""
        return f"{user}{self.address.host}"

    def explain(self, said: Sequence[str], status: int | None) -> str:
        """What ssh's last words mean, and what to do."""
        text, where = " · ".join(said), self._who()
        last = said[-1] if said else f"exit status {status}"
        host, port = self.address.host, self.address.port
        if "IDENTIFICATION HAS CHANGED" in text:
            known = f"'[{host}]:{port}'" if port else host
            return (
                f"The host key of {host} is not the one that ssh knows: another machine may answer in its place. If "
                f"you know why it changed, `ssh-keygen -R {known}`. {self._once()}."
            )
        if "Host key verification failed" in text:
            return f"ssh does not know the host key of {host} yet. {self._once()} and answer its question."
        if "Permission denied" in text or "Too many authentication failures" in text:
            return (
                f"{where} did not let ssh in without a password ({last}). {self._once()}: if it asks for the password, "
                f"`ssh-copy-id {self._there()}` ends that; if for a key's passphrase, `ssh-add` does."
            )
        if "administratively prohibited" in text or "open failed" in text:
            return (
                f"{where} let ssh in, and not through to the server ({last}). Does its sshd allow forwarding "
                "(AllowTcpForwarding), and does the server still listen there?"
            )
        return (
            f"ssh does not get through to {where} ({last}). {self._once()} and see that it works."
        )


def _same(one: Found, other: Found) -> bool:
    return (one.pid, one.dial, one.space) == (other.pid, other.dial, other.space)


def _remote(to: Found) -> str:
    """The other end of a forward, as ``-L`` takes it."""
    where = addresses.parse(to.dial)
    if where.kind == "unix":
        if re.search(r"[:\s]", where.path):
            raise AttachError(
                f"The server there listens on {to.dial}, and ssh cannot forward to a path with a colon or space in "
                "it. Have it listen elsewhere."
            )
        return where.path
    return where.target


def _folder() -> Path:
    """A folder of ours alone for one socket, with a path that is short enough; those of the dead are taken away."""
    places = dict.fromkeys(
        (Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()), Path("/tmp"))  # noqa: S108 (mkdtemp)
    )
    for base in places:  # every one: who was killed may have had another first
        _sweep(base)
    for base in places:
        short = len(str(base)) + len(_PREFIX) + 24 < _SOCKET and ":" not in str(base)
        if short and base.is_dir() and os.access(base, os.W_OK | os.X_OK):
            return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base))
    raise AttachError(
        "There is no folder for a Unix socket: neither XDG_RUNTIME_DIR nor /tmp can be written to."
    )


def _sweep(base: Path) -> None:
    """Take away what kernels left that were killed: folders of this user, made as ours are, of processes that are gone.

    No link is followed, and nothing goes but a socket on which nobody listens: the process may live where its id
    means something else, in a container with the same folder.
    """
    for old in base.glob(f"{_PREFIX}*"):
        owner = old.name.removeprefix(_PREFIX).partition("-")[0]
        if re.fullmatch(r"[0-9]{1,9}", owner) is None or psutil.pid_exists(int(owner)):
            continue
        with contextlib.suppress(OSError, AttachError):  # gone already, or something else is in it
            found = old.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                continue
            socket = old / _NAME
            if stat.S_ISSOCK(_mode(socket)) and not discovery.listens(f"unix:{socket}"):
                socket.unlink()
            old.rmdir()


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0


@functools.cache
def _with_us() -> tuple[str, ...]:
    """What has Linux end a program when the thread that started it ends, were it by SIGKILL."""
    found = shutil.which("setpriv") if sys.platform == "linux" else None
    words = (found or "", f"--pdeathsig={signal.SIGTERM.name[3:]}")
    if found is None:
        return ()
    tried = subprocess.run(  # noqa: S603 (a tool of the system: older ones lack the option)
        [*words, "true"], stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=False
    )
    return words if tried.returncode == 0 else ()
