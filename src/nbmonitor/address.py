"""Where a server is, as a person writes it. Ground.

::

    127.0.0.1:50051      gpu-box.lan:50051      [::1]:50051         a port
    unix:/run/user/1000/nbmonitor.sock                              a Unix socket of this machine
    ssh://gpu-box   ssh://ada@gpu-box:2222/digits-cnn               by the user's own ssh; perhaps a run there
    digits-cnn                                                      a run on this machine, by its name or id
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from nbmonitor.errors import AttachError
from nbmonitor.text import harmless

Kind = Literal["tcp", "unix", "ssh", "name"]

# ssh takes what begins with "-" for an option, and its own host names hold nothing else (CVE-2017-1000117).
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*|[0-9A-Fa-f:]+(%[A-Za-z0-9]+)?")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-@+]*")
_HOST_ALONE = re.compile(r"localhost|\d{1,3}(\.\d{1,3}){3}")
_EXPECTED = "Expected HOST:PORT, unix:/PATH, ssh://[USER@]HOST[:PORT][/RUN] or the name of a run on this machine"


@dataclass(frozen=True, slots=True)
class Address:
    """A place that can be attached.

    Parameters
    ----------
    kind
        "tcp" (``host`` and ``port`` of the server), "unix" (``path`` of a socket), "ssh" (``host``, perhaps ``user``
        and the ``port`` of sshd) or "name" (of a run on this machine).
    run
        Name or id of a run there; "" for whichever is the newest.
    """

    kind: Kind
    host: str = ""
    port: int | None = None
    path: str = ""
    user: str = ""
    run: str = ""

    @property
    def loopback(self) -> bool:
        """Whether what is sent there stays on this machine."""
        if self.kind in ("unix", "name"):
            return True
        if self.kind == "ssh":
            return False
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def target(self) -> str:
        """What gRPC dials: ``host:port`` or ``unix:/path``. Raises AttachError for the other two kinds."""
        if self.kind == "tcp":
            return f"{_bracketed(self.host)}:{self.port}"
        if self.kind == "unix":
            return f"unix:{self.path}"
        raise AttachError(f"{self} cannot be dialled by itself. {_EXPECTED}.")

    def __str__(self) -> str:
        if self.kind == "name":
            return self.run
        if self.kind == "ssh":
            user = f"{self.user}@" if self.user else ""
            port = f":{self.port}" if self.port else ""
            run = f"/{self.run}" if self.run else ""
            return f"ssh://{user}{_bracketed(self.host)}{port}{run}"
        return self.target


def parse(text: str) -> Address:
    """Read an address; raises :class:`~nbmonitor.errors.AttachError` for what is none."""
    text = text.strip()
    if text.startswith("ssh://"):
        return _ssh(text)
    if text.startswith("unix:"):
        path = re.sub(r"^//(?=/)", "", text[len("unix:") :])
        if not path.startswith("/") or not harmless(path):
            raise _wrong(text, "the path of a Unix socket begins with /")
        return Address("unix", path=path)
    if re.match(r"[A-Za-z][A-Za-z0-9+.\-]*://", text):
        raise _wrong(text, "of such prefixes only ssh:// means something here")
    if ":" not in text:
        if _HOST_ALONE.fullmatch(text):
            raise _wrong(text, "its port is missing")
        if not text or not harmless(text):
            raise _wrong(
                text, "it is empty" if not text else "it holds characters that cannot be shown"
            )
        return Address("name", run=text)
    host, port = _split(text)
    if port is None:
        if _split(text.partition("/")[0])[1] is not None:
            raise _wrong(text, "a run is named behind ssh:// alone; here it is chosen in the panel")
        raise _wrong(text, "it has no port from 1 to 65535")
    return Address("tcp", host=_checked(text, host), port=port)


def _ssh(text: str) -> Address:
    where, _, run = text[len("ssh://") :].partition("/")
    user, _, rest = where.rpartition("@")
    if user and _USER.fullmatch(user) is None:
        raise _wrong(text, "its user name cannot be one")
    host, port = _split(rest) if re.search(r"\]?:\d+$", rest) else (rest.strip("[]"), None)
    run = unquote(run).strip("/")
    if not harmless(run):
        raise _wrong(text, "the name of its run holds characters that cannot be shown")
    return Address("ssh", host=_checked(text, host), port=port, user=user, run=run)


def _split(text: str) -> tuple[str, int | None]:
    host, _, port = text.rpartition(":")
    number = int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else 0
    return host.removeprefix("[").removesuffix("]"), number if 0 < number < 65536 else None


def _checked(text: str, host: str) -> str:
    if _HOST.fullmatch(host) is None:
        raise _wrong(text, f"{host!r} is no name of a machine")
    return host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _wrong(text: str, why: str) -> AttachError:
    return AttachError(f"{text!r} is no address of a server: {why}. {_EXPECTED}.")
