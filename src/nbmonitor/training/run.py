"""``Run``: what a training loop calls.

Nothing here blocks or raises into the loop: a call stamps, takes a snapshot and appends; what cannot be used is warned
of once, at the caller's line, with the remedy.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from nbmonitor.errors import InputError
from nbmonitor.events import EPOCH_SERIES, Epoch, RunState
from nbmonitor.training import images as imaging
from nbmonitor.training import labels
from nbmonitor.training.batch_size import BatchSize, is_loader, objection
from nbmonitor.training.capture import clean, number, numbers, read, step_number
from nbmonitor.training.driver import Driver
from nbmonitor.training.frames import Encoder, Frame, Pace
from nbmonitor.training.learning_rate import LearningRate
from nbmonitor.training.loops import Epochs, Track
from nbmonitor.training.notices import Notices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from numpy.typing import NDArray

    from nbmonitor.events import Resources, RunInfo
    from nbmonitor.interfaces import Sink

T = TypeVar("T")

ENDS = ("completed", "failed", "stopped", "interrupted")
MAX_SEEN = 100_000  # names that a self-counting run remembers within a step


class Run(Driver):
    """One training, from its start to an explicit end. Made by ``nbmonitor.init``.

    Parameters
    ----------
    sink
        Where it reports to.
    info
        Its description; an empty ``run_id`` gets one when it is started.
    overhead
        Share of a step that may be spent in our calls (0..1); beyond it fewer frames are taken.
    clock, monotonic
        Epoch seconds, and a monotonic clock in seconds.
    interval
        Seconds between two heartbeats.
    sample
        Gives the machine's figures, once a second; None: psutil and NVML.
    """

    def __init__(
        self,
        sink: Sink,
        info: RunInfo,
        *,
        overhead: float = 0.02,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.perf_counter,
        interval: float = 2.0,
        sample: Callable[[], Resources] | None = None,
    ) -> None:
        notices = Notices()
        self._buffers = imaging.Buffers()
        super().__init__(
            sink,
            info,
            Encoder(self._buffers, notices),
            notices,
            clock=clock,
            monotonic=monotonic,
            overhead=overhead,
            interval=interval,
            sample=sample,
        )
        self._pace = Pace()
        self._frames = 0  # calls of log_batch
        self._seen: set[str] = set()  # names of this step, while the run counts for itself
        self._waiting = notices.waiting

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

    # --- logging -----------------------------------------------------------------------------------------------------

    def log(
        self, mapping: Mapping[str, Any] | None = None, /, *, step: int | None = None, **values: Any
    ) -> None:
        """Log numbers: ``run.log(loss=loss)`` or ``run.log({"train/loss": loss})``.

        Parameters
        ----------
        mapping
            Values by name; nested mappings are flattened by "/".
        step
            Step of this call alone (a whole number from 0 to 2**53); None: the run's own.
        values
            Numbers: Python, NumPy, tensors and arrays of one element, of any dtype, on any device.
        """
        began = self._monotonic()
        try:
            if self._gate and not self._enter():
                return
            if mapping is not None:
                values = self._merged(mapping, values)
            else:
                for value in values.values():
                    if type(value) is not float:
                        values = numbers(values, self._notices)
                        break
            if not values:
                return
            progress = self._progress
            if step is not None:
                at = step_number(step)
                if at is None:
                    at = self._bad_step(step)
            else:
                if progress.self_counting:
                    self._count_itself(values)
                at = progress.step
            self._outbox.put(at, values)
            if self._waiting:
                self._notices.say_waiting()
            progress.spent += self._monotonic() - began
        except Exception as error:  # a bug of ours, or an object that breaks when it is looked at
            self._broke("log", error)

    def _merged(self, mapping: Any, values: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(mapping, Mapping):
            self._notices.warn(
                "mapping",
                f"run.log takes a mapping or names, not a {type(mapping).__name__}: write `run.log(loss=value)`.",
            )
            mapping = {}
        return numbers({**mapping, **values} if values else mapping, self._notices)

    def _bad_step(self, step: Any) -> int:
        self._notices.warn(
            "step",
            f"step={ascii(step)[:40]} cannot be used: a step is a whole number from 0 to 2**53. The run's own step "
            f"({self._progress.step}) is used instead, also for further steps like this.",
        )
        return self._progress.step

    def _count_itself(self, values: dict[str, Any]) -> None:
        """No boundary was met yet: a name that is logged again starts the next step."""
        seen = self._seen
        if not seen.isdisjoint(values):
            seen.clear()
            progress = self._progress
            progress.last_sign = now = self._monotonic()
            progress.boundaries += 1
            progress.count(now)
        if len(seen) < MAX_SEEN:
            seen.update(values)

    def log_batch(
        self,
        images: Any,
        *,
        logits: Any = None,
        predictions: Any = None,
        confidence: Any = None,
        targets: Any = None,
        loss: Any = None,
        sample_ids: Any = None,
        split: str = "train",
        step: int | None = None,
    ) -> None:
        """Show a batch: its first 16 pictures with prediction and truth, right and wrong counted over all of it.

        Call it on every step: what will not be shown (at most 60 a second, as many as viewers look at) is skipped
        before anything is copied.

        Parameters
        ----------
        images
            (N, C, H, W) or (N, H, W, C) with 1, 3 or 4 channels, (N, H, W), or a list of PIL images, arrays, tensors;
            uint8, bool, or floats in [0, 1] or [-1, 1] (others are stretched). Where the second and the last axis could
            both be channels, the second is taken. A 3-D array is N grey pictures, unless its last axis is 3 or 4 long:
            then it is one (H, W, C) picture.
        logits
            (N, C): softmax and arg-max are taken; (N,) or (N, 1): sigmoid.
        predictions, confidence
            Class numbers (N,), and how sure the model is, 0..1.
        targets
            Class numbers (N,) or one-hot (N, C); a negative number is not counted.
        loss
            Loss of this batch.
        sample_ids
            Names of the samples, N.
        """
        began = self._monotonic()
        self._frames += 1
        try:
            if self._gate and not self._enter():
                return
            if not self._pace.due(split, began, self._outbox.frame_interval):
                return
            taken, layout, total = imaging.take(images, self._buffers)
            if total == 0:
                raise InputError("there are 0 pictures in it")
            say = self._notices
            progress = self._progress
            at = progress.step if step is None else step_number(step)
            loop = progress.loops[-1] if progress.loops else None
            frame = Frame(
                self._bad_step(step) if at is None else at,
                self._clock(),
                clean(split),
                progress.epoch or None,
                loop.batch + 1 if loop is not None else None,
                taken,
                layout,
                total,
                labels.take("logits", logits, total, say),
                labels.take("predictions", predictions, total, say),
                labels.take("confidence", confidence, total, say),
                labels.take("targets", targets, total, say),
                None if loss is None else self._loss(loss),
                () if sample_ids is None else tuple(clean(i) for i in list(sample_ids)[:16]),
            )
            self._outbox.show(frame.split, frame)
            if self._waiting:
                self._notices.say_waiting()
        except InputError as error:
            self._notices.warn("batch", f"run.log_batch shows nothing of this batch: {error}")
        except Exception as error:
            self._broke("log_batch", error)
        finally:
            self._progress.spent += self._monotonic() - began

    def _loss(self, loss: Any) -> Any:
        try:
            return number(loss)
        except InputError as error:
            self._notices.warn(
                "loss",
                f"run.log_batch cannot use `loss=`: {error}. Pass one number, `loss.mean()`.",
            )
            return None

    def log_epoch(self, mapping: Mapping[str, Any] | None = None, /, **values: Any) -> None:
        """Log the figures of an epoch that ends: ``run.log_epoch(average_loss=..., val_accuracy=...)``."""
        try:
            if self._gate and not self._enter():
                return
            values = self._merged({} if mapping is None else mapping, values)
            progress = self._progress
            if not progress.epoch:  # neither `epochs` nor `track` counted one
                self._epochs_logged += 1
            self._outbox.calls += 1
            read_now = {clean(name): read(value) for name, value in values.items()}
            epoch = Epoch(progress.epoch or self._epochs_logged, read_now)
            self._outbox.post(progress.step, epoch)
            if self._waiting:
                self._notices.say_waiting()
        except Exception as error:
            self._broke("log_epoch", error)

    _epochs_logged = 0

    def _broke(self, what: str, error: Exception) -> None:
        self._notices.warn(
            f"error:{what}",
            f"run.{what} left out what it was given: {type(error).__name__}: {error}. Training is not affected.",
        )

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
        return self._step()

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
            rate = LearningRate(optimizer, scheduler)
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
        self._outbox.flush(2.0)
        return self._sink.history(self.run_id, name if name == EPOCH_SERIES else clean(name))

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

    def abandon(self, error: BaseException | None) -> None:
        """Take note that the cell that drove this run has returned, with ``error`` or without.

        FAILED with type and message; INTERRUPTED for a KeyboardInterrupt, and for a loop that was left by ``break``;
        else COMPLETED. A run that nothing drove, or that has ended, stays as it is.
        """
        if self._state is not RunState.INITIALIZING or error is not None:
            self._over(error)

    def supersede(self) -> None:
        """End the run because a new one takes its place."""
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


def _described(model: Any) -> str:
    """Class and number of parameters of a model."""
    kind = clean(type(model).__name__)
    try:
        count = sum(int(p.numel()) for p in model.parameters())
    except Exception:  # no PyTorch module: its class will do
        return kind
    return f"{kind}, {count:,} parameters"
