"""What is measured: attaching, two narrow roads, a long cut, many at once."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import numpy as np

from nbmonitor.rpc import codec
from nbmonitor.rpc.channel import dial, method
from nbmonitor.rpc.trust.auth import metadata
from remote.notebook import Notebook
from remote.places import Place

MEGABIT = 125_000.0  # bytes a second


def _spread(ages: list[float]) -> dict[str, float]:
    if not ages:
        return {"p50": np.nan, "p99": np.nan, "max": np.nan}
    p50, p99, most = np.percentile(np.array(ages) * 1e3, [50, 99, 100])
    return {"p50": float(p50), "p99": float(p99), "max": float(most)}


def attaching(times: int) -> dict[str, Any]:
    """Milliseconds until a client is attached, and until the notebook has its first picture."""
    out: dict[str, Any] = {}
    with Place() as place:
        trainer = place.train(30, 64)
        road = place.road()
        time.sleep(2.0)
        for name, delay in (("LAN", 0.0), ("100 ms", 0.05)):
            road.set(delay=delay)
            attached, first = [], []
            for _ in range(times):
                notebook = Notebook(road.address, place.token)
                try:
                    end = time.monotonic() + 20
                    while notebook.first_picture is None and time.monotonic() < end:
                        time.sleep(0.002)
                    attached.append(notebook.attached)
                    first.append(notebook.first_picture or np.nan)
                finally:
                    notebook.close()
            out[name] = {"attached": _spread(attached), "picture": _spread(first)}
        trainer.end(answers=True)
    return out


def narrow(rate: float, delay: float, seconds: float) -> dict[str, Any]:
    """30 steps and pictures of 16 x 64 pixels a second over a road: the ages of values and pictures."""
    with Place() as place:
        trainer = place.train(30, 64)
        road = place.road(delay=delay, rate=rate)
        notebook = Notebook(road.address, place.token)
        try:
            time.sleep(min(10.0, seconds / 2))  # the road is found out
            notebook.forget()
            before, began = road.set()["down"], time.time()
            time.sleep(seconds)
            carried, lasted = road.set()["down"] - before, time.time() - began
            steps, widths = list(notebook.steps), sorted(notebook.widths)
            numbers, pictures = list(notebook.numbers), list(notebook.pictures)
            dropped = notebook._sender.stage.dropped
        finally:
            notebook.close()
        trainer.end(answers=True)
    thirds = [
        _spread([a for at, a in numbers if k <= 3 * (at - began) / lasted < k + 1])["p99"]
        for k in range(3)
    ]
    return {
        "numbers": _spread([a for _, a in numbers]),
        "pictures": _spread([a for _, a in pictures]),
        "pictures_per_s": len(pictures) / lasted,
        "widths": widths,
        "carried_mbit": 8e-6 * carried / lasted,
        "gaps": sum(b != a + 1 for a, b in pairwise(steps)),
        "values": len(numbers),
        "thirds": thirds,
        "left_out": dropped,
    }


def cut(seconds: float) -> dict[str, Any]:
    """A trainer and a notebook, both behind a road that is cut for so long: what is missing afterwards."""
    with Place() as place:
        road = place.road(delay=0.01)
        trainer = place.train(100, 0, address=road.address)
        run_id = trainer.first
        notebook = Notebook(road.address, place.token)
        try:
            time.sleep(3.0)
            road.set(hole=True, refuse=True)
            began = time.monotonic()
            noticed = None
            while time.monotonic() - began < seconds:
                if noticed is None and notebook.client.road.value == "disconnected":
                    noticed = time.monotonic() - began
                time.sleep(0.05)
            at_cut = place.stored(run_id)[0]
            road.set(hole=False, refuse=False, cut=True)
            healed = time.monotonic()
            due = at_cut + int(100 * seconds)  # about what was said during the cut
            while place.stored(run_id)[0] < due and time.monotonic() - healed < 60:
                time.sleep(0.05)
            back = time.monotonic() - healed
            logged = int(trainer.end(answers=True, timeout=60))
            stored = place.stored(run_id)
            while (
                not notebook.steps or notebook.steps[-1] < logged - 1
            ) and time.monotonic() - healed < 30:
                time.sleep(0.05)
            steps = list(notebook.steps)
        finally:
            notebook.close()
    return {
        "seconds": seconds,
        "noticed": noticed,
        "logged": logged,
        "at_cut": at_cut,
        "stored": stored[0],
        "different": stored[1],
        "ordered": stored[2],
        "back": back,
        "notebook": len(steps),
        "notebook_due": logged
        - min(steps, default=0),  # it reads what was said before from the history
        "notebook_doubles": len(steps) - len(set(steps)),
    }


def crowd(viewers: int, trainers: int, rate: int, seconds: float) -> dict[str, Any]:
    """Many on one server; a unary call, asked from here all the time, in ms.

    The server has both cores: trainers and viewers, which stand for other machines', get what it leaves (nice 19).
    """
    with Place() as place:
        groups = [place.train(rate, 0, runs=trainers // 2, last=True) for _ in range(2)]
        time.sleep(1.0)
        seen = [place.watch(place.address, viewers // 2, seconds) for _ in range(2)]
        channel, who = dial(place.address), metadata(place.token)  # no viewer: every place is taken
        ask = method(channel, codec.MONITOR, "ListRuns")
        for process in seen:
            process.there()
        asked: list[float] = []
        failed = 0
        try:
            end = time.monotonic() + 0.8 * seconds
            while time.monotonic() < end:
                began = time.perf_counter()
                try:
                    ask(b"", timeout=5.0, metadata=who)
                    asked.append(time.perf_counter() - began)
                except Exception as error:
                    failed += 1
                    print(f"  a call failed: {error!r}"[:300])
                time.sleep(0.02)
        finally:
            channel.close()
        words = [process.end(answers=True, timeout=60).split() for process in seen]
        for process in groups:
            process.end(answers=True)
    return {
        "viewers": viewers,
        "trainers": trainers,
        "rate": rate,
        "call": _spread(asked),
        "calls": len(asked),
        "failed": failed,
        "reached": sum(int(w[1]) for w in words),
        "values_per_s": sum(int(w[0]) for w in words) / seconds,
        "lag_p50": max(float(w[2]) for w in words),
        "lag_p99": max(float(w[3]) for w in words),
    }
