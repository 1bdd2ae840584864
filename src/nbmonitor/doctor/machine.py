"""Folders, ports, clocks: what this machine lets a server and its viewers do."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from nbmonitor.doctor.report import Finding
from nbmonitor.process import process
from nbmonitor.rpc.roads import discovery
from nbmonitor.rpc.trust import auth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmonitor.doctor.report import Check, Scene

ROOM = 16 << 20  # bytes that should be free where tokens and announcements are written


def _port(scene: Scene) -> Iterator[Finding]:
    host, port = scene.settings.host, scene.settings.port
    own = process.server
    if own is not None:
        yield Finding("port", "ok", f"The server of this process listens on {own.address}.")
        return
    try:
        family, kind, proto, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        if port and (who := _listener(port)):
            yield Finding(
                "port",
                "warn",
                f"Port {port} of {host} is in use by {who}; a server here would take a free one instead.",
                "stop that, or take any free port: NBMONITOR_PORT=0",
            )
            return
        text = f"A server cannot listen on {host}:{port}: {error.strerror or error}."
        yield Finding("port", "fail", text, "NBMONITOR_HOST=127.0.0.1 and NBMONITOR_PORT=0")
        return
    what = f"port {port}" if port else "a free port"
    yield Finding("port", "ok", f"A server can listen on {what} of {host}.")


def _listener(port: int) -> str:
    """Who listens on a port, in words; "" where nobody can be found."""
    announced = discovery.find(port)
    if announced is not None:
        return f"an nbmonitor server (pid {announced.pid})"
    try:
        found = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    except (psutil.Error, OSError):  # others' sockets are not shown to everyone
        return "another process"
    pid = next((c.pid for c in found if c.laddr and c.laddr.port == port), None)
    if pid is None:
        return "another process" if any(c.laddr.port == port for c in found if c.laddr) else ""
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return f"pid {pid}"


def _folder(_scene: Scene) -> Iterator[Finding]:
    where = auth.runtime_dir()
    free = shutil.disk_usage(where).free
    if where.name.startswith("nbmonitor-"):  # the last resort: a folder of this process alone
        yield Finding(
            "folder",
            "warn",
            f"No state folder can be written to, so tokens go to {where}; others will not find this server by name.",
            "point XDG_STATE_HOME to a folder of yours, with mode 0700",
        )
    elif free < ROOM:
        text = f"{where} has {free >> 20} MiB left: tokens and announcements may not fit."
        yield Finding("folder", "warn", text, "free some space there")
    else:
        yield Finding("folder", "ok", f"Tokens and announcements go to {where}, which is private.")


def _announced(_scene: Scene) -> Iterator[Finding]:
    servers = discovery.servers()
    if not servers:
        yield Finding("servers", "skip", "No nbmonitor server is announced on this machine.")
        return
    told = ", ".join(f"{s.address} (pid {s.pid})" for s in servers[:4])
    more = f" and {len(servers) - 4} more" if len(servers) > 4 else ""
    yield Finding("servers", "ok", f"Announced on this machine: {told}{more}.")


def _clock(_scene: Scene) -> Iterator[Finding]:
    wall, steady = time.time(), time.monotonic()
    time.sleep(0.02)
    drift = abs((time.time() - wall) - (time.monotonic() - steady))
    installed = Path(__file__).stat().st_mtime
    if wall < installed - 86_400:
        text = "The clock stands before the day on which nbmonitor was installed here."
        yield Finding("clock", "fail", text, "set the machine's clock (timedatectl)")
    elif drift > 0.01:
        text = f"The clock was moved by {drift:.2f} s within a moment."
        yield Finding("clock", "warn", text, "look at what sets this machine's clock")
    else:
        now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(wall))
        yield Finding("clock", "ok", f"It is {now}, and seconds are as long as they should be.")


def _ssh(scene: Scene) -> Iterator[Finding]:
    needed = scene.settings.address.startswith("ssh://")
    try:
        program = (shlex.split(scene.settings.ssh) or ["ssh"])[0]
    except ValueError as error:
        text = f"NBMONITOR_SSH is {scene.settings.ssh!r}, which is no command line ({error})."
        yield Finding("ssh", "fail", text, "set it to a command line such as `ssh -F FILE`")
        return
    found = shutil.which(program)
    if found is None:
        text = f"There is no {program} here, so that ssh:// addresses cannot be attached."
        remedy = "install it (Debian: openssh-client), or set NBMONITOR_SSH"
        yield Finding("ssh", "fail" if needed else "warn", text, remedy)
        return
    done = subprocess.run(  # noqa: S603 - the user's own ssh, as `which` found it
        [found, "-V"], capture_output=True, text=True, check=False, timeout=5
    )
    version = re.split(r"[,\n]", done.stderr or done.stdout)[0].strip()
    yield Finding("ssh", "ok", f"{found} ({version or 'version unknown'}).")


def _proxies(scene: Scene) -> Iterator[Finding]:
    names = ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    given = [n for n in names if scene.environ.get(n)]
    if given:
        text = f"{', '.join(given)} is set; nbmonitor's own connections do not go through it."
        yield Finding("proxy", "ok", text)
    else:
        yield Finding("proxy", "skip", "No http_proxy is set.")


CHECKS: tuple[Check, ...] = (
    _port,
    _folder,
    _announced,
    _clock,
    _ssh,
    _proxies,
)
