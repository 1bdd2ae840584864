"""Where the training loop is: counters that the training thread writes and the worker reads, without a lock."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Loop:
    """One pass over an iterable. ``batch`` counts batches done, ``total`` how many there are (None: unknown)."""

    __slots__ = ("batch", "counts", "label", "split", "total")

    def __init__(self, split: str, total: int | None, label: str) -> None:
        self.split = split
        self.label = label  # what is shown for the split
        self.total = total
        self.batch = 0
        self.counts = False


class Progress:
    """Steps, epochs and time.

    ``step`` is the number of completed boundaries. ``mark`` is ``(boundaries, monotonic time of the last one)``,
    written as one tuple so that a reader never sees half of it. ``spent`` are seconds inside our calls on the training
    thread, ``pictured`` those of them in which ``frames`` batches were taken, and ``priced`` their CPU time;
    ``delayed`` are seconds that boundaries held it up: counting, commands, hooks, everything but a pause.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self.step = 0
        self.self_counting = (
            True  # until a boundary is met: a name that is logged again starts the next step
        )
        self.boundaries = 0  # of any loop: what the extension sees grow
        self.mark: tuple[int, float] = (0, 0.0)
        self.durations: deque[float] = deque(maxlen=101)
        self.samples = 0
        self.spent = self.pictured = self.priced = self.delayed = 0.0
        self.frames = 0
        self.waited = 0.0  # seconds held by Pause
        self.last_sign: float | None = None  # monotonic time of the last boundary of any loop
        self.loops: list[Loop] = []
        self.label = "train"  # of the last loop
        # epochs: how many were begun; of how many (where `epochs` was used); whether one is in progress
        self.epoch = 0
        self.epochs: int | None = None
        self.first_epoch = (
            0  # epochs begun before the loop over epochs that runs now, and the active time then
        )
        self.first_active = 0.0
        self.in_epoch = False
        self.epoch_began = 0.0
        self.epoch_seconds: float | None = None
        # active time: what lies between going and standing
        self._active = 0.0
        self._since: float | None = None

    # --- time that counts --------------------------------------------------------------------------------------------

    def go(self) -> None:
        """Time counts from now on."""
        if self._since is None:
            self._since = self.monotonic()

    def stand(self) -> None:
        """Time does not count: paused, or over."""
        since, self._since = self._since, None
        if since is not None:
            self._active += self.monotonic() - since
        self.mark = (self.mark[0], 0.0)  # the next boundary's distance is no step

    @property
    def going(self) -> bool:
        """Whether time counts."""
        return self._since is not None

    def active(self, now: float) -> float:
        """Seconds that counted."""
        since = self._since
        return self._active + (now - since if since is not None else 0.0)

    # --- boundaries --------------------------------------------------------------------------------------------------

    def count(self, now: float) -> None:
        """One more training step is complete."""
        done, last = self.mark
        self.step += 1
        if last:
            self.durations.append(now - last)
        self.mark = (done + 1, now)

    def began(self, now: float) -> None:
        """A training loop begins: the time until now is no part of its first step."""
        self.mark = (self.mark[0], now)

    # --- epochs ------------------------------------------------------------------------------------------------------

    def begin_epoch(self, now: float) -> float:
        """One more epoch begins; returns the point on the epoch axis (0-based)."""
        self.epoch += 1
        self.in_epoch = True
        self.epoch_began = now
        return float(self.epoch - 1)

    def end_epoch(self, now: float) -> float:
        """The epoch in progress is over; returns the point on the epoch axis."""
        self.in_epoch = False
        self.epoch_seconds = now - self.epoch_began
        return float(self.epoch)

    def fraction(self) -> float | None:
        """Fractional 0-based epoch now; None where the length of the epoch is not known."""
        if not self.in_epoch:
            return float(self.epoch) if self.epoch else None
        loop = self.training_loop()
        if loop is None or not loop.total:
            return None
        return self.epoch - 1 + min(1.0, loop.batch / loop.total)

    def training_loop(self) -> Loop | None:
        """The loop that counts steps, where one is open."""
        for loop in tuple(self.loops):
            if loop.counts:
                return loop
        return None


_SEQUENCES = (list, tuple)


def length_of(item: Any) -> int | None:
    """Number of samples of a batch: the length of the first tensor or array in it."""
    for _ in range(4):  # nested tuples and mappings
        kind = type(item)
        if (kind is tuple or kind is list) and item:  # what a loader gives
            item = item[0]
            continue
        shape = getattr(item, "shape", None)
        if shape is not None:
            return int(shape[0]) if len(shape) else None
        if isinstance(item, _SEQUENCES):
            if not item:
                return None
            item = item[0]
        elif isinstance(item, dict):
            item = next(iter(item.values()), None)
        else:
            return None
    return None
