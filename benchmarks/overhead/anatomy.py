"""What the cost of a call is made of; the figures behind docs/performance.md.

PYTHONPATH=benchmarks python -m overhead.anatomy
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import nbmonitor
from nbmonitor.training.outbox import Outbox
from overhead import workload

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = 150


def p50(call: Callable[[], object], before: Callable[[], object]) -> tuple[float, float]:
    """Microseconds of a call made after ``before``, and of the same made again at once."""
    first, again = [], []
    for _ in range(CALLS):
        before()
        t0 = time.perf_counter_ns()
        call()
        t1 = time.perf_counter_ns()
        call()
        t2 = time.perf_counter_ns()
        first.append(t1 - t0)
        again.append(t2 - t1)
    return statistics.median(first) / 1e3, statistics.median(again) / 1e3


def cold(run: Any) -> None:
    """The same calls with warm and with cold caches."""
    rows: deque[Any] = deque(maxlen=1_000)
    much = np.ones(8 << 20)
    scalar, twenty = torch.tensor(0.5), workload.floats(1, workload.TWENTY)
    calls = {
        "clock": time.perf_counter,
        "deque": lambda: rows.append((1, time.time(), {"a": 0.1, "b": 0.2, "c": 0.3})),
        "put": lambda: run._outbox.put(3, {"a": 0.1, "b": 0.2, "c": 0.3}, True),
        "log of 3 floats": lambda: run.log(a=0.1, b=0.2, c=0.3),
        "log of 20 floats": lambda: run.log(**twenty),
        "step": run.step,
        "tensor.item": scalar.item,
        "log of a tensor": lambda: run.log(a=scalar),
    }
    before = {
        "back to back": lambda: None,
        "after 3 ms of sleep": lambda: time.sleep(0.003),
        "after reading 64 MB": much.sum,
        "after a CNN step": workload.Training(8).step,
    }
    print("p50 µs (and of the same call made again at once)")
    for name, call in calls.items():
        found = {when: p50(call, do) for when, do in before.items()}
        words = (f"{when} {first:.2f} ({again:.2f})" for when, (first, again) in found.items())
        print(f"  {name}: {'; '.join(words)}")


def thinned() -> None:
    """Copies of 16 × 224² pictures into memory that is there."""
    print("p50 µs of a copy into memory that is there, 16 × 224²")
    kinds = {
        "uint8 NHWC": ((16, 224, 224, 3), np.uint8),
        "float32 NCHW": ((16, 3, 224, 224), np.float32),
    }
    for kind, (shape, dtype) in kinds.items():
        whole = np.ones(shape, dtype)
        at = (slice(None),) * (1 if kind.endswith("NHWC") else 2)
        for every in (1, 2, 4):
            thin = slice(None, None, every)
            for what, key in (("rows", (*at, thin)), ("rows and columns", (*at, thin, thin))):
                view = whole[key]
                out = np.empty(view.shape, dtype)
                cost, _ = p50(lambda out=out, view=view: np.copyto(out, view), lambda: None)
                print(f"  {kind}, every {every}. of {what}: {cost:.0f}")


def ticks(run: Any) -> None:
    """What the worker does 58 times a second's worth of calls."""
    spent: list[float] = []
    plain = Outbox._tick

    def timed(self: Outbox) -> None:
        began = time.thread_time()
        plain(self)
        spent.append(time.thread_time() - began)

    Outbox._tick = timed  # type: ignore[method-assign]
    end, calls = time.monotonic() + 5.0, 0
    while time.monotonic() < end:
        time.sleep(1 / 58)
        run.log(a=0.1, b=0.2, c=0.3)
        run.step()
        calls += 1
    Outbox._tick = plain  # type: ignore[method-assign]
    each = 1e6 * statistics.median(spent)
    print(
        f"worker: {len(spent) / 5:.0f} ticks a second of {each:.0f} µs CPU, {1e6 * sum(spent) / calls:.0f} µs a call"
    )


def main() -> None:
    run = nbmonitor.init("anatomy", serve=False)
    run.step()
    cold(run)
    thinned()
    ticks(run)
    run.finish()


if __name__ == "__main__":
    main()
