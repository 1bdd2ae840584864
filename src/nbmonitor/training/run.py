"""``Run``: what a training loop calls.

What is logged on every step is in ``logbook.py``, steps and the boundary in ``driver.py``, state in ``lifecycle.py``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from nbmonitor.errors import InputError
from nbmonitor.events import EPOCH_SERIES, RunState
from nbmonitor.training.batch_size import BatchSize, is_loader, objection
from nbmonitor.training.capture import clean, one_line, step_number
from nbmonitor.training.learning_rate import LearningRate
from nbmonitor.training.logbook import Logbook
from nbmonitor.training.loops import Epochs, Track

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from numpy.typing import NDArray


T = TypeVar("T")

ENDS = ("completed", "failed", "stopped", "interrupted")


class Run(Logbook):
    """One training, from its start to an explicit end. Made by ``nbmonitor.init``.

    Parameters
    ----------
    sink
        Where it reports to.
    info
        Its description; an empty ``run_id`` gets one when it is started.
    overhead, worker_cpu
        What training may feel, as a share of a step (0..1), and what our own threads may take, in cores; where they
        take more, pictures come more seldom, then smaller, then charts more slowly.
    clock, monotonic
        Epoch seconds, and a monotonic clock in seconds.
    interval
        Seconds between two heartbeats.
    sample
        Gives the machine's figures, once a second; None: psutil and NVML.
    """

    # --- what it is --------------------------------------------------------------------------------------------------

    @property
    def run_id(self) -> str:
        """Globally unique id."""
        return self._info.run_id

    @property
    def name(self) -> str:
        """Name, as given or made up."""
        return self._info.name

    @property
    def config(self) -> dict[str, str]:
        """Configuration as it is shown: flat, values in words."""
        return dict(self._info.config)

    @property
    def state(self) -> RunState:
        """State as of now."""
        return self._state

    @property
    def should_stop(self) -> bool:
        """Whether a stop was asked for."""
        return self._control.stops > 0

    @property
    def activity(self) -> int:
        """A number that grows with every step and call: whether a cell drove this run."""
        return self._progress.boundaries + self._outbox.calls + self._frames

    def __repr__(self) -> str:
        return f"<Run {self.name!r}: {self._state}, step {self._progress.step}>"

    # --- loops -------------------------------------------------------------------------------------------------------

    def track(
        self,
        iterable: Iterable[T],
        *,
        split: str = "train",
        total: int | None = None,
        name: str | None = None,
    ) -> Track[T]:
        """Wrap an iterable of batches: progress and speed are shown; Pause, Stop and changes apply between batches.

        Parameters
        ----------
        split
            "train" counts steps; another one ("val", "test") reports progress, obeys Pause, and runs to its end when a
            stop is asked for.
        total
            Number of batches, where the iterable cannot tell.
        name
            Shown instead of the split.
        """
        self._register()
        if split == "train" and is_loader(iterable):
            self._take_loader(iterable)
        return Track(self, iterable, split, total, name or split, self._current)

    def _take_loader(self, loader: Any) -> str:
        """Register the batch size of a loader; returns why it cannot be changed, "" where it can."""
        why = objection(loader)
        held = self._control.batch_size
        if why:
            if held is not None:
                self._control.batch_size = None
                self._controls.pop("batch_size", None)
        elif held is None:
            self._control.batch_size = held = BatchSize(loader)
        elif held.loader is not loader:
            held.take(loader)
        if not why and held is not None:
            self._controls["batch_size"] = held.facts()
        return why

    def _current(self, iterable: Any) -> Any:
        held = self._control.batch_size
        return iterable if held is None else held.current(iterable)

    def epochs(self, count: int) -> Epochs:
        """Loop over epochs: ``for epoch in run.epochs(10)``. The run is COMPLETED when the outermost runs out.

        Gives 0-based numbers; in a run that was opened again, counting goes on.

        Raises
        ------
        InputError
            When ``count`` is no whole number from 0.
        """
        whole = step_number(count)
        if whole is None:
            raise InputError(f"run.epochs needs a whole number of epochs from 0, not {count!r}")
        self._register()
        return Epochs(self, whole)

    def step(self) -> bool:
        """Mark the boundary in a hand-written loop, after the optimizer's step. False: a stop was asked for."""
        if self._gate and not self._enter():
            return True
        return self._boundary(None)

    # --- steering ----------------------------------------------------------------------------------------------------

    def control(
        self, *, optimizer: Any = None, scheduler: Any = None, model: Any = None, loader: Any = None
    ) -> None:
        """Say what the dashboard may act upon; its buttons appear for what is named here. May be called again.

        Parameters
        ----------
        optimizer
            A PyTorch optimizer: the learning rate can be set, scaled, pinned and released; its effective rate is logged
            as ``lr`` (further parameter groups as ``lr/1``, ...).
        scheduler
            Its schedule, where the optimizer cannot tell by itself (ReduceLROnPlateau, one of your own).
        model
            Shown by class and number of parameters.
        loader
            A map-style DataLoader whose batch size can be changed; one given to ``track`` needs no mention.

        Raises
        ------
        InputError
            When ``optimizer`` has no parameter groups with a rate.
        """
        if os.getpid() != self._pid:
            self._ignored += 1
            return
        if optimizer is None and scheduler is not None:
            optimizer = getattr(scheduler, "optimizer", None)
        if optimizer is not None:
            rate = LearningRate(optimizer, scheduler, self._outbox.device)
            old = self._control.learning_rate
            if old is not None:
                old.close()
            self._control.learning_rate = rate
            self._controls["learning_rate"] = rate.facts()
        if model is not None:
            self._fact(model=_described(model))
        if loader is not None:
            why = self._take_loader(loader)
            if why:
                self._notices.warn(
                    "loader",
                    f"The batch size cannot be changed from the dashboard: {why}. Give run.control a plain map-style "
                    "torch DataLoader with batch_size=, or leave `loader=` out.",
                )
        self._tell_facts()

    # --- reading back ------------------------------------------------------------------------------------------------

    def history(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Every point kept of a series, as (steps, values): int64 and float64 of one length."""
        if os.getpid() != self._pid or not self._opened:
            self._ignored += 1
            return np.empty(0, np.int64), np.empty(0, np.float64)
        self._outbox.flush()
        series = name if name == EPOCH_SERIES else clean(name)
        steps, values = self._sink.history(self.run_id, series)
        if not len(steps):
            known = [n for n in self._outbox.names if n != EPOCH_SERIES]
            if known and series not in known:
                self._notices.warn(
                    f"series:{series}",
                    f"run.history: nothing was logged as {series!r}. There are: {one_line(', '.join(known))}.",
                )
        return steps, values

    # --- life --------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Announce the run and start its worker. Idempotent."""
        self._open()
        return self

    def finish(self, status: str = "completed") -> None:
        """End the run, within five seconds: "completed", "failed", "stopped" or "interrupted".

        Raises
        ------
        InputError
            For another ``status``.
        """
        if str(status) not in ENDS:
            raise InputError(f"run.finish takes one of {', '.join(ENDS)}; not {status!r}")
        self._end(RunState(str(status)))
        self._finished = True

    def abandon(self, error: BaseException | None) -> None:
        """Take note that the cell that drove this run has returned, with ``error`` or without.

        FAILED with type and message; INTERRUPTED for a KeyboardInterrupt, and for a loop that was left by ``break``;
        else COMPLETED. A run that nothing drove, or that has ended, stays as it is; so does one whose loop goes on in
        another thread, which the cell began.
        """
        if error is None and self._elsewhere():
            return
        if self._state is not RunState.INITIALIZING or error is not None:
            self._over(error, broken=self._broken)

    def supersede(self) -> None:
        """End the run because a new one takes its place: COMPLETED when it was driven and no loop is open."""
        p = self._progress
        if self.activity and not (p.loops or self._epoch_loops or self._broken):
            self._end(RunState.COMPLETED)
        else:
            self._end(RunState.INTERRUPTED, "superseded by a new run")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, SystemExit | GeneratorExit):
            error = None
        self._over(error)
        self._finished = True


def _described(model: Any) -> str:
    """Class and number of parameters of a model."""
    kind = clean(type(model).__name__)
    try:
        count = sum(int(p.numel()) for p in model.parameters())
    except Exception:  # no PyTorch module: its class will do
        return kind
    return f"{kind}, {count:,} parameters"
