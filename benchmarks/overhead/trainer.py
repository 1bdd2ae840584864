"""The trainer's part of nbmonitor's own targets: ``python -m overhead.trainer WHAT ...`` prints lines of JSON."""

from __future__ import annotations

import contextlib
import io
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import nbmonitor
import nbmonitor.process
from nbmonitor.events import Column, CommandState, Event, RunInfo, Scalars, new_id
from nbmonitor.rpc.publisher import Publisher
from overhead import process_tree

CHUNK = 1_000  # rows of one message


def say(**figures: Any) -> None:
    print(json.dumps(figures), flush=True)


def latency(count: int, *, busy: bool) -> None:
    """Log the time, again and again: between steps of a training, or at random moments of an idle process."""
    step = (lambda: time.sleep(random.uniform(0.01, 0.06))) if not busy else _torch_step()
    with contextlib.redirect_stdout(io.StringIO()):
        run = nbmonitor.init("latency")
    process = nbmonitor.process.process
    assert process.server is not None
    say(address=process.server.address, token_file=str(process.token_file), run_id=run.run_id)
    sys.stdin.readline()  # the viewer is there
    for i in range(count):
        step()
        run.log(sent=time.time(), step=i)
    run.finish()
    sys.stdin.readline()  # it has read everything


def _torch_step() -> Any:
    from overhead.workload import Training

    return Training(batch=8).step


def publish(rows: int, address: str, token_file: str) -> None:
    """Columns of three series as fast as a server takes them."""
    publisher = Publisher(address, token=Path(token_file).read_text().strip()).start()
    run_id = new_id()
    publisher.open(RunInfo(run_id, "rows"), lambda _: CommandState.REJECTED)
    rng = np.random.default_rng(0)
    blocks = []
    for at in range(0, rows, CHUNK):
        steps = np.arange(at, at + CHUNK)
        times = time.time() + steps / 1e5
        columns = [Column(n, steps, rng.normal(size=CHUNK), times) for n in ("a", "b", "loss")]
        blocks.append(Event(run_id, at + CHUNK - 1, float(times[-1]), Scalars(tuple(columns))))
    assert publisher.flush(10.0)
    began = time.perf_counter()
    for i in range(0, len(blocks), 25):
        publisher.publish(blocks[i : i + 25])
        assert publisher.flush(30.0), publisher.problem
    say(run_id=run_id, rows=len(blocks) * CHUNK, seconds=time.perf_counter() - began)
    publisher.close()


def log(scalars: int, address: str, token_file: str) -> None:
    """``run.log`` of three floats as fast as it goes, to a server that may not be there."""
    run = nbmonitor.init("log", address=address, token_file=token_file or None)
    outbox, process = run._outbox, nbmonitor.process.process
    for i in range(3_000):
        run.log(loss=0.5, accuracy=0.5, lr=0.1, step=i)
    time.sleep(1.0)
    memory = most = process_tree.memory()
    calls = scalars // 3
    cpu, began = time.process_time(), time.perf_counter()
    for i in range(3_000, 3_000 + calls):
        run.log(loss=0.5, accuracy=0.25, lr=0.1, step=i)
        if i % max(1, calls // 100) == 0:
            most = max(most, process_tree.memory())
    seconds = time.perf_counter() - began
    outbox.flush(10.0)
    most = max(most, process_tree.memory())
    way = process._publishers[0]
    way.flush(0.1 if way.problem else 30.0)
    most = max(most, process_tree.memory())
    say(
        run_id=run.run_id,
        logged=3 * calls,
        warm=9_000,
        seconds=seconds,
        cpu=time.process_time() - cpu,
        growth=most - memory,
        lost_here=outbox.lost,
        lost_on_the_way=way._out.buffer.lost,
    )
    sys.stdin.readline()
    run.finish()


def main() -> None:
    what, *rest = sys.argv[1:]
    if what == "latency":
        latency(int(rest[0]), busy=rest[1] == "busy")
    elif what == "publish":
        publish(int(rest[0]), rest[1], rest[2])
    else:
        log(int(rest[0]), rest[1], rest[2])


if __name__ == "__main__":
    main()
