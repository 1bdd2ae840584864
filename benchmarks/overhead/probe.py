"""Measures one subject in its own interpreter; prints lines of JSON, of which the last one counts.

Run as ``python -m overhead.probe NAME``. Times are microseconds on the calling thread.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from overhead import process_tree, subjects, workload
from overhead.cnn import whole_loop

if TYPE_CHECKING:
    from collections.abc import Callable

PERIOD = 1.03 / 60  # seconds between two pictures: as many as are ever shown
HURRY = 0.1  # seconds after which a picture is due, however dear the last ones were
SETTLE = 0.5  # seconds in which what waits behind a burst is worked off


@dataclass(frozen=True)
class Case:
    """Something to log, over and over."""

    name: str
    method: str
    make: Callable[[int], Any]
    calls: int = 20_000
    paced: bool = False  # one call a PERIOD
    keep: bool = False  # every picture


def cases() -> list[Case]:
    """What is measured; subjects without the method have no such row."""
    three, twenty = workload.THREE, workload.TWENTY
    small, large = 32, 224

    def of(side: int) -> Callable[[int], workload.Batch]:
        return lambda i: workload.batches(side)[i % workload.BATCHES]

    return [
        Case("3 floats", "scalars", lambda i: workload.floats(i, three)),
        Case("3 floats, 58 a second", "scalars", lambda i: workload.floats(i, three), 100, True),
        Case("20 floats", "scalars", lambda i: workload.floats(i, twenty), 8_000),
        Case("20 floats in a mapping", "mapping", lambda i: workload.floats(i, twenty), 8_000),
        Case("3 tensors", "tensors", lambda i: workload.tensors(i, three), 8_000),
        Case("20 tensors", "tensors", lambda i: workload.tensors(i, twenty), 2_000),
        Case("16×32² uint8", "picture", of(small), 200, keep=True),
        Case("16×32² float32", "picture_floats", of(small), 200, keep=True),
        Case("16×224² uint8", "picture", of(large), 200, keep=True),
        Case("16×224² float32", "picture_floats", of(large), 200, keep=True),
        Case("16×32² uint8, 58 a second", "picture", of(small), 60, paced=True, keep=True),
        Case("16×224² uint8, 58 a second", "picture", of(large), 60, paced=True, keep=True),
        Case("skipped picture", "picture", of(small)),
    ]


def summary(nanoseconds: list[int]) -> dict[str, float]:
    """n, p50, p99, max and mean, in microseconds."""
    us = np.array(nanoseconds) / 1e3
    p50, p99 = np.percentile(us, [50, 99])
    figures = {"p50": p50, "p99": p99, "max": us.max(), "mean": us.mean()}
    return {"n": len(us)} | {k: round(float(v), 3) for k, v in figures.items()}


class Probe:
    """One subject under measurement; ``scale`` shortens everything."""

    def __init__(self, name: str, folder: str, scale: float) -> None:
        began = time.perf_counter()
        self.subject = subjects.make(name)
        self.imported = time.perf_counter() - began
        self.floor = subjects.make("floor")
        self.training = workload.Training(batch=8)
        self._folder, self._scale = folder, scale

    def case(self, case: Case) -> dict[str, Any]:
        """Back to back, then between steps of a training where caches are cold."""
        began = time.perf_counter()
        self.subject.keep_all = case.keep
        self.subject.open(tempfile.mkdtemp(dir=self._folder), watched="picture" in case.method)
        out: dict[str, Any] = {"open": round(time.perf_counter() - began, 3)}
        call = getattr(self.subject, case.method)
        try:
            for i in range(3 if case.keep else 30):
                self.subject.hurry(HURRY)
                call(i, case.make(i))
            time.sleep(0.2 * min(1.0, self._scale + 0.1))
            gc.collect()
            out |= self._burst(case, call)
            if not case.paced:
                out["between"] = self._between(case, call, out["calls"] + 30)
        finally:
            began = time.perf_counter()
            self.subject.close()
            out["close"] = round(time.perf_counter() - began, 3)
        return out

    def _burst(self, case: Case, call: Callable[[int, Any], None]) -> dict[str, Any]:
        """Calls one after the other, or one a period."""
        calls = max(10, int(case.calls * self._scale))
        limit = time.perf_counter_ns() + 1e9 * (2.0 if case.paced else 1.0) * max(self._scale, 0.05)
        kept = self.subject.kept()
        memory, most, looking = process_tree.memory(), 0.0, 0.0
        cpu = process_tree.cpu()
        times: list[int] = []
        clock = time.perf_counter_ns
        due = time.perf_counter()
        for i in range(30, 30 + calls):
            value = case.make(i)
            if case.paced:
                time.sleep(max(0.0, due - time.perf_counter()))
                due = time.perf_counter() + PERIOD
            self.subject.hurry(HURRY)
            t0 = clock()
            call(i, value)
            t1 = clock()
            times.append(t1 - t0)
            if i % (calls // 5) == 0:
                looking -= time.thread_time()
                most = max(most, process_tree.memory())
                looking += time.thread_time()
            if t1 > limit:
                break
        time.sleep(SETTLE * min(1.0, self._scale + 0.1))
        cpu = process_tree.cpu() - cpu - looking
        out = {"calls": len(times), "cpu": round(1e6 * cpu / len(times), 2)}
        out["growth"] = round(max(most, process_tree.memory()) - memory, 2)
        out["processes"] = 1 + len(process_tree.descendants())
        if kept is not None and case.method.startswith("picture"):
            out["kept"] = (self.subject.kept() or 0) - kept
        return {**out, "burst": summary(times)}

    def _between(self, case: Case, call: Callable[[int, Any], None], first: int) -> dict[str, Any]:
        """One call a step, and on every other step the floor's in its place: same loop, same cold caches."""
        seconds = (1.5 if case.name == "3 floats" else 0.7) * self._scale
        self.floor.open("", watched=False)
        plain = getattr(self.floor, case.method)
        times: list[int] = []
        floor: list[int] = []
        clock = time.perf_counter_ns
        end = time.perf_counter() + seconds
        i = first
        while time.perf_counter() < end or len(floor) < 5:
            value = case.make(i)
            ours = i % 2 == 0
            self.training.step()
            self.subject.hurry(HURRY)
            if ours:
                t0 = clock()
                call(i, value)
                t1 = clock()
                times.append(t1 - t0)
            else:
                t0 = clock()
                plain(i, value)
                t1 = clock()
                floor.append(t1 - t0)
            self.subject.boundary()
            i += 1
        self.floor.close()
        return {**summary(times), "floor": summary(floor)["p50"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subject")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--cases", default="", help="only cases whose name contains one of a,b,c")
    a = parser.parse_args()
    # The answer alone goes to the caller: what subjects print does not.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    process_tree.adopt()
    scale = 0.02 if a.quick else 1.0
    folder = str(Path.cwd())
    out: dict[str, Any] = {"cases": {}}
    probe = Probe(a.subject, folder, scale)
    out["import"] = round(probe.imported, 3)
    for case in cases():
        if a.cases and not any(part in case.name for part in a.cases.split(",")):
            continue
        picture = "picture" in case.method
        if not hasattr(probe.subject, case.method) or (picture and not probe.subject.pictures):
            continue
        if case.name == "skipped picture" and not probe.subject.skips:
            continue
        try:
            out["cases"][case.name] = probe.case(case)
        except Exception as error:  # a peer that cannot do one thing is measured in the others
            out["cases"][case.name] = {"error": f"{type(error).__name__}: {error}"[:200]}
        print(json.dumps(out), file=answer, flush=True)  # the last line that is heard counts
    if "loop" in a.cases.split(",") if a.cases else a.subject != "floor":
        try:
            out["loop"] = whole_loop(probe.subject, folder, scale)
        except Exception as error:
            out["loop"] = {"error": f"{type(error).__name__}: {error}"[:200]}
    with contextlib.suppress(AttributeError):
        probe.subject.server.close()  # type: ignore[attr-defined]
    print(json.dumps(out), file=answer, flush=True)
    os._exit(0)  # what a peer still wants to do at exit is not waited for


if __name__ == "__main__":
    main()
