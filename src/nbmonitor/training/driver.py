"""What the training thread drives: steps, the boundary between them, epochs.

The public surface is :class:`nbmonitor.training.run.Run`; the loops in ``loops.py`` call the underscored methods here.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from nbmonitor.events import RunState
from nbmonitor.training.columns import EPOCH_KEY
from nbmonitor.training.lifecycle import Lifecycle

if TYPE_CHECKING:
    from nbmonitor.training.progress import Loop


class Driver(Lifecycle):
    """Steps and epochs of a run."""

    # --- the boundary ------------------------------------------------------------------------------------------------

    def _begin(self, loop: Loop) -> bool:
        """A loop begins, before its first batch: whether it may."""
        began = self._monotonic()
        p = self._progress
        self._register()
        loop.counts = loop.split == "train" and not p.loops
        p.loops.append(loop)
        if loop.counts:
            p.self_counting = False
            self._broken = False
        self._driven_by = threading.current_thread()
        p.last_sign = began
        p.boundaries += 1
        waited = p.waited
        go_on = self._look(loop.split)
        now = self._monotonic()
        if loop.counts and go_on:
            if loop.total is not None:
                self._fact(batches_per_epoch=loop.total)
            if not self._epoch_loops:
                self._begin_epoch(now)
            p.began(now)
        p.delayed += now - began - (p.waited - waited)
        return go_on

    def _boundary(self, loop: Loop | None) -> bool:
        """A batch of a loop, or a step of a hand-written one (None), is done: whether the next one may be fetched.

        Once a step, so in one function (see `Logbook.log`), which calls another one where there is something to do.
        """
        began = self._monotonic()
        p = self._progress
        if loop is not None:
            loop.batch += 1
            counts = loop.counts
        else:
            counts = not (p.self_counting or p.loops) or self._by_hand()
            if counts:
                self._broken = False
        if counts:
            p.step += 1
            done, last = p.mark
            if last:
                p.durations.append(began - last)
            p.mark = (done + 1, began)
        if counts or loop is not None:
            p.boundaries += 1
            p.last_sign = began
        control = self._control
        if not (control.mail or control.stops or control.learning_rate):
            p.delayed += self._monotonic() - began
            return True
        waited = p.waited
        go_on = self._look("train" if loop is None else loop.split)
        p.delayed += self._monotonic() - began - (p.waited - waited)
        return go_on

    def _by_hand(self) -> bool:
        """A first `step()`, or one within a loop that counts already: whether it counts."""
        p = self._progress
        self._register()
        if p.loops:
            self._notices.warn(
                "step in track",
                "run.step() was called inside `run.track(...)`, which counts the steps already: it only looks for "
                "commands there. Leave it out.",
            )
            return False
        p.self_counting = False
        return True

    def _leave(self, loop: Loop, *, complete: bool) -> None:
        """A loop is over: run out or stopped (``complete``), or left in between."""
        p = self._progress
        if loop not in p.loops:
            return
        p.loops.remove(loop)
        p.label = loop.label
        if loop.counts and not self._epoch_loops and p.in_epoch:
            if complete:
                self._end_epoch(self._monotonic())
            else:
                p.in_epoch = False
        if loop.counts and not complete and not self._epoch_loops:
            self._broken = True

    def _look(self, split: str) -> bool:
        """Carry out commands, note the learning rate; False when loops of this split should end."""
        control = self._control
        if control.mail:
            self._obey()
        rate = control.learning_rate
        if rate is not None:
            rates = rate.changed()
            if rates:
                self._outbox.put(self._progress.step, rates)
                self._controls["learning_rate"] = rate.facts()
        return not self._stops(split)

    def _stops(self, split: str) -> bool:
        stops = self._control.stops
        return stops > 1 or (stops == 1 and split == "train")

    def _obey(self) -> None:
        """Carry out what waits; hold the thread while paused."""
        stops = self._control.stops
        self._apply()
        if self._control.paused:
            self._hold(stops)
        if not stops and self._control.stops and not self._state.ended:
            self._set(RunState.STOPPING)

    def _hold(self, stops: int) -> None:
        """Keep the training thread here until somebody says otherwise (Ctrl-C gets through)."""
        control, p = self._control, self._progress
        in_loop, began = p.mark[1] > 0, self._monotonic()
        p.stand()
        self._set(RunState.PAUSED)
        try:
            while control.paused and not self._state.ended:
                control.woken.wait(0.05)
                control.woken.clear()
                if control.mail:
                    self._apply()
        finally:
            control.paused = False
            p.waited += self._monotonic() - began
            if not self._state.ended:
                p.go()
                if control.stops == stops:
                    self._set(RunState.STOPPING if stops else RunState.RUNNING)
            if in_loop:
                p.began(self._monotonic())

    def _apply(self) -> None:
        """Carry out what waits, and show what it changed."""
        control = self._control
        control.apply(self._progress.step)
        if control.learning_rate is not None:
            self._controls["learning_rate"] = control.learning_rate.facts()
        if control.batch_size is not None:
            self._controls["batch_size"] = control.batch_size.facts()
        self._tell_facts()

    # --- epochs ------------------------------------------------------------------------------------------------------

    def _begin_epoch(self, now: float) -> None:
        self._outbox.put(self._progress.step, {EPOCH_KEY: self._progress.begin_epoch(now)})

    def _end_epoch(self, now: float) -> None:
        self._outbox.put(self._progress.step, {EPOCH_KEY: self._progress.end_epoch(now)})
