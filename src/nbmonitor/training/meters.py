"""Speed, progress and cost of a run, worked out on the worker from what the training thread counts."""

from __future__ import annotations

import statistics
import threading
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from nbmonitor.events import Performance

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmonitor.events import Resources
    from nbmonitor.training.governor import Governor
    from nbmonitor.training.progress import Progress

WINDOW = 1.0  # seconds over which the current speed is taken
FAST, SLOW = (
    0.1,
    1.0,
)  # seconds between two reports while moving, and between two samples of the machine


class Meter:
    """Reads a :class:`~nbmonitor.training.progress.Progress` and says when a report is due.

    Parameters
    ----------
    governor
        Knows what the worker's threads cost, and what it holds back.
    sample
        Gives the machine's figures; called once a second.
    """

    def __init__(
        self, progress: Progress, governor: Governor, sample: Callable[[], Resources]
    ) -> None:
        self._progress = progress
        self._governor = governor
        self._sample = sample
        self._marks: deque[tuple[int, float, int]] = deque()  # boundaries, their time, samples
        # active seconds, seconds in our calls, seconds at boundaries
        self._costs: deque[tuple[float, float, float]] = deque()
        self._reported: tuple[object, ...] = ()
        self._lock = threading.Lock()  # the worker reports, and the training thread when a run ends
        self._next = self._next_sample = 0.0

    def due(self, now: float) -> Performance | None:
        """A report, when one is due at ``now`` (monotonic seconds)."""
        p = self._progress
        with self._lock:
            self._note(now)
        loop = p.loops[-1] if p.loops else None
        state = (p.mark[0], p.boundaries, p.going, p.epoch, loop.label if loop else None)
        sampling = now >= self._next_sample
        if not sampling and (state == self._reported or now < self._next):
            return None
        self._reported = state
        self._next = now + FAST
        report = self.report(now)
        if sampling:
            self._next_sample = now + SLOW
            report = replace(report, resources=self._sample())
        return report

    def report(self, now: float) -> Performance:
        """The figures as they stand; those of a run that stands still have no speed."""
        p = self._progress
        loop = next(reversed(tuple(p.loops)), None)
        training = p.training_loop()
        active = p.active(now)
        with self._lock:
            fps, samples = self._speed(now) if p.going else (0.0, None)
            calls, delay = self._felt()
        done = p.mark[0]
        progress, eta = self._left(active, fps)
        durations = list(p.durations)
        shown = loop or training
        return Performance(
            split=shown.label if shown is not None else p.label,
            epoch=p.epoch or None,
            epochs=p.epochs,
            batch=shown.batch if shown is not None else None,
            batches=shown.total if shown is not None else None,
            progress=progress,
            eta=eta,
            fps=fps,
            fps_average=done / active if active > 0 else 0.0,
            samples_per_second=samples,
            median_step=statistics.median(durations) if durations else None,
            epoch_seconds=p.epoch_seconds,
            overhead=None if calls is None or delay is None else min(1.0, calls + delay),
            delay=delay,
            worker_cpu=self._governor.cpu,
            limits=self._governor.limits,
        )

    def _note(self, now: float) -> None:
        p = self._progress
        done, when = p.mark
        if when and (not self._marks or self._marks[-1][:2] != (done, when)):
            if (
                self._marks and self._marks[-1][0] == done
            ):  # a loop begins: the time between loops is no speed
                self._marks.clear()
            self._marks.append((done, when, p.samples))
            while len(self._marks) > 2 and self._marks[1][1] <= when - WINDOW:
                self._marks.popleft()
        if not p.going:
            self._marks.clear()
        self._costs.append((p.active(now), p.spent, p.delayed))
        while len(self._costs) > 2 and self._costs[1][0] <= self._costs[-1][0] - WINDOW:
            self._costs.popleft()

    def _speed(self, now: float) -> tuple[float, float | None]:
        """Batches and samples a second over the last second; slower steps than that: over the last step."""
        if len(self._marks) < 2:
            return 0.0, None
        first, last = self._marks[0], self._marks[-1]
        step = (last[1] - first[1]) / max(1, last[0] - first[0])
        # once a step is overdue, the speed falls with every second that passes
        span = (now if now - last[1] > max(WINDOW, 2 * step) else last[1]) - first[1]
        if span <= 0:
            return 0.0, None
        samples = (last[2] - first[2]) / span
        return (last[0] - first[0]) / span, samples if samples > 0 else None

    def _left(self, active: float, fps: float) -> tuple[float | None, float | None]:
        """Share done and seconds left: of all epochs where `epochs` was used, else of the training loop in progress."""
        p = self._progress
        if p.epochs:
            at = p.fraction()
            if at is None:
                at = float(max(0, p.epoch - 1))
            done = at - p.first_epoch
            share = min(1.0, at / p.epochs)
            spent = active - p.first_active
            left = spent * (p.epochs - at) / done if done > 0 and p.going else None
            return share, left
        loop = p.training_loop()
        if loop is None or not loop.total:
            return None, None
        left = max(0, loop.total - loop.batch) / fps if fps > 0 else None
        return min(1.0, loop.batch / loop.total), left

    def _felt(self) -> tuple[float | None, float | None]:
        """Shares of the time that went into our calls, and into boundaries."""
        if not self._costs:  # the run ends before the worker looked once
            return None, None
        first, last = self._costs[0], self._costs[-1]
        active = last[0] - first[0]
        if active <= 0.01:
            return None, None
        calls, delay = ((last[i] - first[i]) / active for i in (1, 2))
        return max(0.0, calls), min(1.0, max(0.0, delay))
