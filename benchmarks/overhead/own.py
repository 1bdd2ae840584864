"""nbmonitor's own targets, which no peer has an equal of: across processes, at volume, and at the start."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

import nbmonitor
from nbmonitor.events import Scalars
from overhead import process_tree
from overhead.viewer import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

START = """
import contextlib, io, time
began = time.perf_counter()
import nbmonitor
imported = time.perf_counter()
with contextlib.redirect_stdout(io.StringIO()):
    run = nbmonitor.init("start"{options})
print(imported - began, time.perf_counter() - began, flush=True)
run.finish()
"""

# A viewer whose process is stopped after it attached: it is there, and takes nothing.
DEAD = """
import os, signal, sys, time, nbmonitor
client = nbmonitor.attach(sys.argv[1], token_file=sys.argv[2])
while not client.runs():
    time.sleep(0.05)
box = client.subscribe(client.runs()[0].run_id)
print("there", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


@contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[str]]:
    """A process of ``overhead.trainer``, ended afterwards."""
    command = [sys.executable, "-m", "overhead.trainer", *map(str, words)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=os.environ["HOME"]
    )
    try:
        yield process
        process.communicate("\n\n", timeout=30)
    finally:
        process.kill()
        process.communicate()


def heard(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line that a trainer says."""
    assert process.stdout is not None
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


@contextmanager
def server(port: int = 0) -> Iterator[Server]:
    """A server in a process of its own."""
    it = Server(port)
    try:
        yield it
    finally:
        it.close()


def latency(count: int, *, busy: bool) -> dict[str, Any]:
    """Milliseconds from before ``run.log`` until the value is in the hands of a viewer in another process."""
    with started("latency", count, "busy" if busy else "idle") as trainer:
        hello = heard(trainer)
        client = nbmonitor.attach(hello["address"], token_file=hello["token_file"])
        box = client.subscribe(hello["run_id"])
        assert trainer.stdin is not None
        trainer.stdin.write("\n")
        trainer.stdin.flush()
        waits: list[float] = []
        end = time.monotonic() + 60
        while len(waits) < count and time.monotonic() < end:
            box.wait(1.0)
            events = box.drain().events
            now = time.time()
            for event in events:
                if isinstance(event.payload, Scalars):
                    for column in event.payload.columns:
                        if column.name == "sent":
                            waits += (now - column.values).tolist()
        box.close()
        client.close()
    ms = 1e3 * np.array(waits)
    p50, p99 = np.percentile(ms, [50, 99])
    return {"n": len(ms), "p50": float(p50), "p99": float(p99), "least": float(ms.min())}


def rows(count: int) -> dict[str, Any]:
    """Rows of three values a second from one client, counted where they are stored."""
    with server() as it, started("publish", count, it.address, it.token_file) as trainer:
        said = heard(trainer)
        stored = it.ask("points", said["run_id"], "loss")
    return {**said, "stored": stored, "per_second": said["rows"] / said["seconds"]}


def flood(scalars: int) -> dict[str, Any]:
    """The same through ``run.log`` in a loop that does nothing else: what arrives, what is lost and counted."""
    with server() as it, started("log", scalars, it.address, it.token_file) as trainer:
        said = heard(trainer)
        stored = it.ask("points", said["run_id"], "loss")
        return {**said, "stored": stored, "lost": it.ask("lost", said["run_id"])}


def dead_viewer(scalars: int) -> dict[str, Any]:
    """The trainer's memory while the one viewer of its server is stopped."""
    with server() as it, started("log", scalars, it.address, it.token_file) as trainer:
        command = [sys.executable, "-c", DEAD, it.address, it.token_file]
        viewer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert viewer.stdout is not None
        viewer.stdout.readline()
        before = process_tree.memory(it.process.pid)
        said = heard(trainer)
        said["server_growth"] = process_tree.memory(it.process.pid) - before
        said["stored"] = it.ask("points", said["run_id"], "loss")
        said["lost"] = it.ask("lost", said["run_id"])
        viewer.send_signal(signal.SIGKILL)
        viewer.communicate()
    return said


def unreachable(scalars: int, patience: float = 45.0) -> dict[str, Any]:
    """The trainer's memory with nobody at the address; then a server comes, and says what it will never get."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with started("log", scalars, f"127.0.0.1:{port}", "") as trainer:
        said = heard(trainer)
        with server(port) as it:
            end = time.monotonic() + patience
            while not any(it.ask("lost", said["run_id"]) or ()) and time.monotonic() < end:
                time.sleep(0.2)
            time.sleep(2.5)  # what is left is handed over, a heartbeat comes
            said["lost"] = it.ask("lost", said["run_id"])
            said["stored"] = it.ask("points", said["run_id"], "loss")
    return said


def start(times: int) -> dict[str, float]:
    """Seconds of the import, of it with ``init``, and with ``init(serve=False)``: medians of fresh processes."""
    out = {}
    for name, options in (("server", ""), ("none", ", serve=False")):
        code = START.format(options=options)
        found = [
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            for _ in range(times)
        ]
        pairs = np.array([[float(x) for x in f.stdout.split()] for f in found])
        out["import"], out[name] = (float(x) for x in np.median(pairs, axis=0))
    return out
