"""The state of a run: how it opens, ends and opens again, what it tells of itself, what its worker asks it for."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from nbmonitor.events import Heartbeat, RunState, RunUpdate, Status
from nbmonitor.training import life
from nbmonitor.training.control import Control
from nbmonitor.training.meters import Meter
from nbmonitor.training.outbox import Outbox
from nbmonitor.training.progress import Progress
from nbmonitor.training.resources import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nbmonitor.events import Batch, CommandRecord, Payload, Resources, RunInfo
    from nbmonitor.interfaces import Sink
    from nbmonitor.training.governor import Governor
    from nbmonitor.training.notices import Notices

END_WITHIN = 5.0  # seconds that an end may take to hand over what is left
FACTS_EVERY = 1.0  # seconds between two reports of facts that change by themselves (a scheduled learning rate)


class Lifecycle:
    """State and life of a run; starts nothing until :meth:`_open`."""

    def __init__(
        self,
        sink: Sink,
        info: RunInfo,
        encode: Callable[[Any, int], tuple[int, float, Batch]],
        notices: Notices,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        governor: Governor,
        interval: float,
        sample: Callable[[], Resources] | None,
    ) -> None:
        self._sink, self._info = sink, info
        self._clock, self._monotonic = clock, monotonic
        self._notices = notices
        self._progress = Progress(monotonic)
        self._meter = Meter(self._progress, governor, sample or Sampler())
        self._control = Control(info, self._answer, clock=clock, monotonic=monotonic)
        self._encode, self._interval = encode, interval
        self._outbox = Outbox(
            sink,
            info,
            self,
            encode,
            notices,
            clock=clock,
            monotonic=monotonic,
            interval=interval,
            governor=governor,
        )
        self._controls: dict[str, dict[str, Any]] = {}
        self._controls_told: Mapping[str, Mapping[str, Any]] = {}
        self._facts_at = 0.0
        self._facts: dict[str, Any] = {}  # further RunUpdate fields, to tell only what changed
        self._state = RunState.INITIALIZING
        self._message = self._error_type = ""
        self._last_end: Status | None = None  # restored by an end without a step since
        self._stepped_at_open = 0
        self._epoch_loops: list[object] = []
        self._broken = False  # the outermost loop was left by break, or by an exception
        self._finished = False  # by a word of the user's, not by the end of a cell or a loop
        self._driven_by: threading.Thread | None = None
        self._gone = False  # the process ends
        self._gate = True  # anything but plain running: the hot path turns off here
        self._opened = False
        self._pid = os.getpid()
        self._ending = (
            False  # right now: a call from another thread or a signal handler is too late
        )
        self._ignored = 0  # calls that came too late, or in a forked child
        self._lock = threading.RLock()  # between ends and openings; never taken while running

    # --- opening, ending ---------------------------------------------------------------------------------------------

    def _open(self) -> None:
        with self._lock:
            if self._opened:
                return
            self._info = self._sink.open(self._info, self._control.deliver)
            self._pid = os.getpid()
            self._opened = True
            self._control._info = self._outbox.info = self._info
            self._outbox.start()
            life.watch(self)

    def _enter(self, *, looping: bool = False) -> bool:
        """Come to a call, or to the top of a loop, while not plainly running: whether it may go on."""
        if os.getpid() != self._pid or self._gone or self._ending:
            self._ignored += 1
            if os.getpid() != self._pid:
                life.say_forked(self._info.name)
            return False
        if not self._opened:
            self._notices.warn(
                "unopened",
                "This run was not started: nothing is shown. Make runs by `nbmonitor.init(...)`, or call "
                "`run.start()`.",
            )
            return False
        with self._lock:
            if not self._gate:
                return True
            self._driven_by = threading.current_thread()
            if self._finished and not looping:
                self._notices.warn(
                    "finished",
                    "This run had been ended, by `run.finish()` or the end of its `with` block: logging to it opened "
                    "it again. Log before its end, or begin another run by `nbmonitor.init(...)`.",
                )
            self._finished = False
            if self._state.ended:
                self._last_end = Status(self._state, self._message, self._error_type)
                self._control.reopen()
            self._outbox.start()
            self._stepped_at_open = self._progress.boundaries
            self._set(RunState.RUNNING)
            self._progress.go()
            self._gate = False
        return True

    def _end(
        self, state: RunState, message: str = "", error_type: str = "", *, own: bool = False
    ) -> None:
        """End the run; ``own``: the training thread's own word, which an end without a step since does not change."""
        with self._lock:
            if not self._opened or os.getpid() != self._pid:
                return
            if self._state.ended:
                if (
                    self._outbox._rows
                ):  # another thread was in the middle of a call when the run ended
                    self._outbox.start()
                    self._outbox.close(END_WITHIN)
                return
            if state is RunState.COMPLETED and self._control.stops:
                state = RunState.STOPPED
            old = self._last_end
            if old is not None and state is RunState.COMPLETED and not own and not self._drove():
                state, message, error_type = old.state, old.message, old.error_type
            self._gate = self._ending = True
            try:
                began = self._hand_over(state, message, error_type)
            finally:
                self._ending = False
        try:
            self._sink.flush(max(0.1, END_WITHIN - (self._monotonic() - began)))
        except Exception:
            self._outbox._failed("its sink could not flush")

    def _hand_over(self, state: RunState, message: str, error_type: str) -> float:
        """Say the last words and wait for the worker; when that began (monotonic seconds)."""
        p = self._progress
        self._control.over = True
        self._control.expire(p.step, "the run ended first")
        p.stand()
        p.loops.clear()
        p.in_epoch = False
        self._epoch_loops.clear()
        self._tell_facts()
        self._outbox.post(p.step, self._meter.report(self._monotonic()))
        self._set(state, message, error_type)
        began = self._monotonic()
        self._outbox.close(END_WITHIN)
        return began

    def _elsewhere(self) -> bool:
        """Whether a loop is going on in another thread."""
        thread = self._driven_by
        looping = bool(self._progress.loops or self._epoch_loops)
        return (
            looping
            and thread is not None
            and thread is not threading.current_thread()
            and thread.is_alive()
        )

    def _drove(self) -> bool:
        return self._progress.boundaries > self._stepped_at_open

    def _set(self, state: RunState, message: str = "", error_type: str = "") -> None:
        self._state, self._message, self._error_type = state, message, error_type
        self._outbox.post(self._progress.step, Status(state, message, error_type))

    def _forked(self) -> None:
        """In a forked child: from here on nothing is touched that another thread of the parent may have held."""
        self._gate = True

    def _exit(self, error: BaseException | None) -> None:
        """The process ends."""
        if os.getpid() != self._pid:
            return
        if self._state is RunState.INITIALIZING:
            self._end(RunState.COMPLETED)
        else:
            self._over(error)
        self._gone = True

    def _over(self, error: BaseException | None, *, broken: bool = False) -> None:
        """Whoever drove the run has returned: end it as that tells; ``broken``: a loop was left by ``break``."""
        if isinstance(error, KeyboardInterrupt):
            self._end(RunState.INTERRUPTED, "KeyboardInterrupt", "KeyboardInterrupt")
        elif error is not None:
            kind = type(error).__name__
            self._end(RunState.FAILED, f"{kind}: {error}" if str(error) else kind, kind)
        elif self._control.stops:
            self._end(RunState.STOPPED)
        elif self._progress.loops or self._epoch_loops or broken:
            self._end(RunState.INTERRUPTED, "a loop was left before its end")
        else:
            self._end(RunState.COMPLETED)

    # --- facts -------------------------------------------------------------------------------------------------------

    def _register(self) -> None:
        """From the first loop on, the run can be paused and stopped."""
        if "pause" not in self._controls and os.getpid() == self._pid:
            self._controls = {"pause": {}, "stop": {}, **self._controls}
            self._tell_facts()

    def _fact(self, **facts: Any) -> None:
        new = {k: v for k, v in facts.items() if self._facts.get(k) != v}
        if new:
            self._facts.update(new)
            self._outbox.post(self._progress.step, RunUpdate(**new))

    def _tell_facts(self) -> None:
        """Publish the controls when they changed."""
        if self._controls != self._controls_told:
            self._controls_told = {name: dict(facts) for name, facts in self._controls.items()}
            self._outbox.post(self._progress.step, RunUpdate(controls=self._controls_told))

    def _answer(self, record: CommandRecord) -> None:
        if self._outbox.running:
            self._outbox.post(self._progress.step, record)
            return
        try:  # over, and its worker gone: the answer goes straight
            event = self._outbox.event(self._progress.step, self._clock(), record)
            self._sink.publish([event])
        except Exception:
            self._outbox._failed("its sink refused an answer")

    # --- what the outbox asks for, on its thread ---------------------------------------------------------------------

    def _position(self) -> tuple[int, float | None]:
        """Step and fractional epoch. The step is 0 while a run counts for itself and every call brought its own."""
        p = self._progress
        step, fraction = p.step, p.fraction()
        return step, fraction

    def _due(self) -> Iterable[Payload]:
        """Speed and machine figures, facts that changed by themselves."""
        if self._state.ended:
            return
        now = self._monotonic()
        report = self._meter.due(now)
        if report is not None:
            yield report
        if now - self._facts_at >= FACTS_EVERY and self._controls != self._controls_told:
            self._facts_at = now
            self._controls_told = {name: dict(facts) for name, facts in self._controls.items()}
            yield RunUpdate(controls=self._controls_told)

    def _felt(self) -> tuple[float, float, float, int]:
        """What the training thread has felt, for the governor.

        Frames count by their CPU time. What a copy waits for beside it, mostly the interpreter's lock, is not less
        where frames are fewer: who holds it (our other threads, within a bound of their own) takes it later then.
        """
        p = self._progress
        felt = p.spent - p.pictured + p.priced + p.delayed
        return p.active(self._monotonic()), felt, p.priced, p.frames

    def _heartbeat(self) -> Heartbeat:
        """A sign of life of the process, with the age of the last boundary: that of the loop."""
        p = self._progress
        age = None
        if p.last_sign is not None and p.going:
            age = max(0.0, self._monotonic() - p.last_sign)
        return Heartbeat(self._info.run_id, p.step, age)
