"""Trainers in a process of their own, through the public calls.

python train.py ADDRESS TOKEN_FILE RUNS STEPS_PER_SECOND TILE: prints the runs' ids, trains until its input ends, prints
the number of steps. TILE 0: numbers alone. Several runs are told through publishers, as one process has one run.
"""

from __future__ import annotations

import sys
import threading
import time

import numpy as np

import nbmonitor
from nbmonitor.events import RunInfo
from nbmonitor.rpc.publisher import Publisher
from nbmonitor.rpc.trust.auth import read_token
from nbmonitor.training.run import Run

address, token_file, runs, rate, tile = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()


def pictures(size: int) -> list[np.ndarray]:
    """Soft shapes under a little noise: they compress as photographs do."""
    random = np.random.default_rng(0)
    out = []
    for _ in range(8):
        coarse = random.random((16, 6, 6, 3))
        at = np.linspace(0, 5, size)
        lo, part = np.floor(at).astype(int).clip(0, 4), at % 1.0
        rows = coarse[:, lo] + (coarse[:, lo + 1] - coarse[:, lo]) * part[None, :, None, None]
        soft = rows[:, :, lo] + (rows[:, :, lo + 1] - rows[:, :, lo]) * part[None, None, :, None]
        noisy = (soft + 0.02 * random.standard_normal(soft.shape)).clip(0, 1)
        out.append((255 * noisy).astype(np.uint8))
    return out


def one() -> None:
    """A run as a person has it, with pictures."""
    run = nbmonitor.init(
        "far", address=address, token_file=token_file, overhead=1.0, worker_cpu=1.0
    )
    print(run.run_id, flush=True)
    batches = pictures(tile) if tile else []
    classes = np.arange(16) % 10
    due, step = time.monotonic(), 0
    while not over.is_set():
        run.log(loss=1.0 / (1 + step), accuracy=0.5, rate=0.1)
        if batches:
            run.log_batch(batches[step % 8], predictions=classes, targets=classes)
        run.step()
        step += 1
        due += 1.0 / rate
        time.sleep(max(due - time.monotonic(), 0.0))
    run.finish()
    print(step, flush=True)


def many() -> None:
    """Runs that say numbers, in one process."""
    token = read_token(token_file)
    made = []
    for k in range(runs):
        publisher = Publisher(address, token).start()
        run = Run(publisher, RunInfo("", f"run {k}")).start()
        made.append((publisher, run))
    print(*(run.run_id for _, run in made), flush=True)
    due, step = time.monotonic(), 0
    while not over.is_set():
        for _, run in made:
            run.log(loss=1.0 / (1 + step), accuracy=0.5, rate=0.1)
            run.step()
        step += 1
        due += 1.0 / rate
        time.sleep(max(due - time.monotonic(), 0.0))
    for publisher, run in made:
        run.finish()
        publisher.close(5)
    print(step, flush=True)


one() if runs == 1 else many()
