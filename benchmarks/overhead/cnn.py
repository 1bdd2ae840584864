"""A real training loop in blocks, logging in turn nothing, to a no-op, numbers, and numbers with pictures."""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from overhead import process_tree, subjects, workload

if TYPE_CHECKING:
    from overhead.subjects import Base

STEPS = 20  # of a block
ROUNDS = 8
BATCH = 16
SECONDS = 15.0  # after which no further round begins


def whole_loop(subject: Base, folder: str, scale: float) -> dict[str, Any]:
    """Slowdown by kind in percent, of paired blocks: [quartile, median, quartile]; CPU µs added to a step.

    ``_inside``: the share of a step, in percent, that the subject itself counts inside its calls.

    Every round runs each kind once between two blocks without logging, whose mean it is compared with.
    """
    training = workload.Training(BATCH)
    pictures = workload.batches(32)
    noop = subjects.make("noop")
    kinds = ["noop", "numbers"] + (["pictures"] if subject.pictures else [])
    subject.keep_all = False
    subject.open(tempfile.mkdtemp(dir=folder), watched=True)
    step = 1_000_000

    def block(kind: str) -> tuple[float, float]:
        nonlocal step
        to = noop if kind == "noop" else subject
        cpu, began = process_tree.cpu(), time.perf_counter()
        for i in range(steps):
            loss = training.step()
            step += 1
            if kind == "none":
                continue
            value = 1.0 / step if kind == "noop" else loss.item()
            to.scalars(step, {"loss": value, "accuracy": 0.5, "lr": 0.1})
            if kind == "pictures":
                to.picture(step, pictures[i % len(pictures)])
            to.boundary()
        seconds = time.perf_counter() - began
        return seconds / steps, (process_tree.cpu() - cpu) / steps

    steps = max(2, int(STEPS * scale))
    block("none")
    for kind in kinds:
        block(kind)
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    cpus: dict[str, list[float]] = {kind: [] for kind in kinds}
    inside: dict[str, list[float]] = {kind: [] for kind in kinds}
    bases = []
    end = time.perf_counter() + SECONDS
    for turn in range(max(2, int(ROUNDS * scale))):
        if time.perf_counter() > end and turn >= 3:
            break
        before = block("none")
        for kind in kinds if turn % 2 == 0 else reversed(kinds):
            spent = subject.spent()
            here = block(kind)
            if spent is not None:
                inside[kind].append(100 * ((subject.spent() or 0.0) - spent) / (here[0] * steps))
            after = block("none")
            base, base_cpu = ((x + y) / 2 for x, y in zip(before, after, strict=True))
            seconds[kind].append(100 * (here[0] / base - 1))
            cpus[kind].append(1e6 * (here[1] - base_cpu))
            bases.append(base)
            before = after
    subject.close()
    out: dict[str, Any] = {"step_ms": round(1e3 * float(np.median(bases)), 2)}
    for kind in kinds:
        out[kind] = [round(float(q), 2) for q in np.percentile(seconds[kind], [25, 50, 75])]
        out[f"{kind}_cpu"] = [round(float(q), 1) for q in np.percentile(cpus[kind], [25, 50, 75])]
        if inside[kind] and kind != "noop":
            out[f"{kind}_inside"] = round(float(np.median(inside[kind])), 3)
    return out
