"""``Run.log``, ``log_batch`` and ``log_epoch``: the calls that happen on every step.

Nothing here blocks or raises into the loop: a call stamps, takes a snapshot and appends; what cannot be used is warned
of once, at the caller's line, with the remedy.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbmonitor.errors import InputError
from nbmonitor.events import Epoch
from nbmonitor.training import images as imaging
from nbmonitor.training import labels
from nbmonitor.training.arrivals import Postponed
from nbmonitor.training.capture import (
    OnDevice,
    clean,
    number,
    numbers,
    one_line,
    read,
    step_number,
)
from nbmonitor.training.device import Pending
from nbmonitor.training.driver import Driver
from nbmonitor.training.frames import Encoder, Frame, Pace
from nbmonitor.training.governor import Governor
from nbmonitor.training.lanes import ROW_BYTES, VALUE_BYTES
from nbmonitor.training.notices import Notices

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmonitor.events import Resources, RunInfo
    from nbmonitor.interfaces import Sink

MAX_SEEN = 100_000  # names that a self-counting run remembers within a step


class Logbook(Driver):
    """What is logged to a run. Parameters as of :class:`nbmonitor.training.run.Run`."""

    def __init__(
        self,
        sink: Sink,
        info: RunInfo,
        *,
        overhead: float = 0.02,
        worker_cpu: float = 0.25,
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
            governor=Governor(overhead, worker_cpu),
            interval=interval,
            sample=sample,
        )
        self._pace = Pace()
        self._frames = 0  # calls of log_batch
        self._seen: set[str] = set()  # names of this step, while the run counts for itself
        self._waiting = notices.waiting
        self._epochs_logged = 0  # where nothing counts epochs

    def log(
        self,
        mapping: Mapping[str, Any] | None = None,
        /,
        *extra: Any,
        step: int | None = None,
        **values: Any,
    ) -> None:
        """Log numbers: ``run.log(loss=loss)`` or ``run.log({"train/loss": loss})``.

        Values that are logged several times under one name within one step of the run are averaged: ``val_loss`` in a
        validation loop becomes its mean over the batches, ``loss`` of accumulated micro-batches theirs. With ``step=``
        the last word counts.

        Parameters
        ----------
        mapping
            Values by name; nested mappings are flattened by "/".
        step
            Step of this call alone (a whole number from 0 to 2**53); None: the run's own.
        values
            Numbers: Python, NumPy, tensors and arrays of one element, of any dtype, on any device.

        Notes
        -----
        Never raises, never waits, and keeps nothing that can change afterwards: values are read at the call.

        - What is no number (text, None, a list, several elements) is left out with one warning a type; the name's
          numbers before and after are kept, and so is what else the call holds.
        - Beyond 100,000 names the values of further ones are left out: one warning, and counted as lost.
        - Steps may go backwards: every point is kept, and the curve forks where they do.
        - Any thread may call, a signal handler and an ``atexit`` handler too. After :meth:`finish` a call opens the run
          again, with one warning. Calls while the run is being ended, in a forked process and at exit after the run's
          own end are counted and do nothing.
        """
        # Between two steps of a training a call costs by how much different code it runs through (docs/performance.md).
        # So the way of floats by name is in this one function, `Lanes.put` written out within it, and everything else
        # in others. Two looks at one clock serve the row's stamp and what the call took: that it is set by a hand in
        # these few microseconds is too rare to be worth a third.
        clock = self._clock
        began = clock()
        try:
            if self._gate and not self._enter():
                return
            if mapping is not None or extra:
                values = self._merged(mapping, extra, values)
            else:
                for value in values.values():
                    if type(value) is not float:
                        values = numbers(values, self._notices, self._outbox.device)
                        break
            if not values:
                return
            progress = self._progress
            at = progress.step
            if step is not None or progress.self_counting:
                at = self._placed(step, values)
            outbox = self._outbox
            outbox._rows.append((at, began, values, step is None))
            outbox.calls += 1
            outbox.added += ROW_BYTES + VALUE_BYTES * len(values)
            if outbox.added > outbox._limit:
                outbox._crowded()
            if self._waiting:
                self._notices.say_waiting()
            progress.spent += clock() - began
        except Exception as error:  # a bug of ours, or an object that breaks when it is looked at
            self._broke("log", error)

    def _merged(
        self, mapping: Any, extra: tuple[Any, ...], values: dict[str, Any]
    ) -> dict[str, Any]:
        """The numbers of a call that was given more than names."""
        if extra:
            self._positional("log", "log(loss=0.5) or log({'loss': 0.5}, step=7)")
        if mapping is None:
            mapping = {}
        elif not isinstance(mapping, Mapping):
            self._notices.warn(
                "mapping",
                f"run.log takes a mapping or names, not a {type(mapping).__name__}: write `run.log(loss=value)`.",
            )
            mapping = {}
        together = {**mapping, **values} if values else dict(mapping)
        return numbers(together, self._notices, self._outbox.device)

    def _placed(self, step: Any, values: dict[str, Any]) -> int:
        """The step of a call that brings its own, or of a run that counts for itself."""
        if step is None:
            self._count_itself(values)
            return self._progress.step
        at = step_number(step)
        return self._bad_step(step) if at is None else at

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
        images: Any = None,
        *extra: Any,
        logits: Any = None,
        predictions: Any = None,
        confidence: Any = None,
        targets: Any = None,
        loss: Any = None,
        sample_ids: Any = None,
        split: str = "train",
        step: int | None = None,
        **unknown: Any,
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
        started = None
        self._frames += 1
        try:
            if self._gate and not self._enter():
                return
            if not self._pace.due(split, began, self._outbox.frame_interval):
                return
            device = self._outbox.device
            if device.capturing():
                self._outbox.replaced += 1
                return
            started = time.thread_time()
            if extra:
                self._positional("log_batch", "log_batch(images, logits=…, targets=…)")
            if unknown:
                self._notices.warn(
                    "unknown",
                    f"run.log_batch knows no {', '.join(unknown)}: left out. It takes logits, predictions, "
                    "confidence, targets, loss, sample_ids, split and step.",
                )
            pixels = self._outbox.pixels
            taken, layout, total = imaging.take(images, self._buffers, pixels, device)
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
                labels.take("logits", logits, total, say, device),
                labels.take("predictions", predictions, total, say, device),
                labels.take("confidence", confidence, total, say, device),
                labels.take("targets", targets, total, say, device),
                None if loss is None else self._loss(loss),
                () if sample_ids is None else tuple(clean(i) for i in list(sample_ids)[:16]),
            )
            self._outbox.show(frame.split, frame)
            if self._waiting:
                self._notices.say_waiting()
        except InputError as error:
            self._notices.warn(
                "batch", f"run.log_batch shows nothing of this batch: {one_line(error)}"
            )
        except Exception as error:
            self._broke("log_batch", error)
        finally:
            took = self._monotonic() - began
            self._progress.spent += took
            if started is not None:
                price = time.thread_time() - started
                self._outbox.governor.prices.append(price)
                self._progress.priced += price
                self._progress.pictured += took
                self._progress.frames += 1

    def _loss(self, loss: Any) -> Any:
        try:
            return number(loss)
        except OnDevice as found:
            return self._outbox.device.take({}, {"loss": found.args[0]})
        except InputError as error:
            self._notices.warn(
                "loss",
                f"run.log_batch cannot use `loss=`: {error}. Pass one number, `loss.mean()`.",
            )
            return None

    def log_epoch(self, mapping: Mapping[str, Any] | None = None, /, **values: Any) -> None:
        """Log the figures of an epoch that ends: ``run.log_epoch(average_loss=..., val_accuracy=...)``."""
        began = self._monotonic()
        try:
            if self._gate and not self._enter():
                return
            values = self._merged(mapping, (), values)
            progress = self._progress
            if not progress.epoch:  # neither `epochs` nor `track` counted one
                self._epochs_logged += 1
            self._outbox.calls += 1
            at = progress.epoch or self._epochs_logged

            def epoch(known: dict[str, Any]) -> Epoch:
                return Epoch(at, {clean(name): read(value) for name, value in known.items()})

            late = Postponed(values, epoch) if isinstance(values, Pending) else None
            self._outbox.post(progress.step, late or epoch(values))
            if self._waiting:
                self._notices.say_waiting()
            progress.spent += self._monotonic() - began
        except Exception as error:
            self._broke("log_epoch", error)

    def _positional(self, what: str, remedy: str) -> None:
        self._notices.warn(
            f"positional:{what}",
            f"run.{what} takes one thing without a name, the rest is left out. Name them: run.{remedy}.",
        )

    def _broke(self, what: str, error: Exception) -> None:
        self._notices.warn(
            f"error:{what}",
            f"run.{what} left out what it was given: {type(error).__name__}: {one_line(error)}. "
            "Training is not affected.",
        )
