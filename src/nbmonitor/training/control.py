"""The mailbox of a run, and what becomes of commands: applied by the training thread at a boundary, each answered once.

:meth:`Control.deliver` may be called from any thread and only posts. :meth:`Control.apply` is called by the training
thread alone.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING

from nbmonitor.errors import CommandError
from nbmonitor.events import CommandKind, CommandRecord, CommandState
from nbmonitor.orders import fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmonitor.events import Command, RunInfo
    from nbmonitor.training.batch_size import BatchSize
    from nbmonitor.training.learning_rate import LearningRate
    from nbmonitor.training.params import Change

IDS_KEPT = 1_000


class Control:
    """Commands that wait, and the things they act upon.

    Parameters
    ----------
    answer
        Takes the one final record of each command, on whatever thread it became final.

    ``paused`` and ``stops`` (how often a stop was asked for) are what loops look at.
    """

    def __init__(
        self,
        info: RunInfo,
        answer: Callable[[CommandRecord], None],
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.mail: deque[tuple[Command, float]] = deque()
        self.woken = threading.Event()
        self.paused = False
        self.stops = 0
        self.over = False
        self.learning_rate: LearningRate | None = None
        self.batch_size: BatchSize | None = None
        self._info = info
        self._answer = answer
        self._clock, self._monotonic = clock, monotonic
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._lock = (
            threading.Lock()
        )  # between those who deliver; the training thread never takes it

    def deliver(self, command: Command) -> CommandState:
        """Post a command, once by id. Says DELIVERED, or REJECTED where none can be carried out."""
        with self._lock:
            if command.command_id in self._seen:
                return CommandState.DELIVERED
            self._seen[command.command_id] = None
            while len(self._seen) > IDS_KEPT:
                self._seen.popitem(last=False)
        why = "" if self._info.steerable else self._info.why or "this run cannot be steered"
        if self.over:
            why = "the run is over"
        why = why or fault(command)  # looked at before, by a server that need not be trusted
        if why:
            self._final(command, CommandState.REJECTED, error=why)
            return CommandState.REJECTED
        self.mail.append((command, self._monotonic()))
        self.woken.set()
        return CommandState.DELIVERED

    def apply(self, step: int) -> None:
        """Carry out what waits, in order. Never raises."""
        while self.mail:
            command, since = self.mail.popleft()
            if self._monotonic() - since > command.ttl:
                text = f"no step came within {command.ttl:.0f} s"
                self._final(command, CommandState.EXPIRED, step, error=text)
                continue
            try:
                before, after = self._carry_out(command)
            except CommandError as error:
                self._final(command, CommandState.REJECTED, step, error=str(error))
            except (
                Exception
            ) as error:  # an optimizer or a loader of the user's: its word, not its traceback
                text = f"{type(error).__name__}: {error}"
                self._final(command, CommandState.REJECTED, step, error=text)
            else:
                self._final(command, CommandState.APPLIED, step, before, after)

    def expire(self, step: int, why: str) -> None:
        """Answer everything that waits: it will not be carried out."""
        while self.mail:
            try:
                command, _ = self.mail.popleft()
            except IndexError:  # the training thread was quicker
                return
            self._final(command, CommandState.EXPIRED, step, error=why)

    def reopen(self) -> None:
        """The run goes on after an end: nothing is paused or to be stopped."""
        self.paused, self.stops, self.over = False, 0, False

    def _carry_out(self, command: Command) -> Change:
        kind = command.kind
        if kind is CommandKind.PAUSE:
            if self.paused:
                raise CommandError("the run is paused already")
            self.paused = True
            return {"state": "running"}, {"state": "paused"}
        if kind is CommandKind.RESUME:
            if not self.paused:
                raise CommandError("the run is not paused")
            self.paused = False
            return {"state": "paused"}, {"state": "running"}
        if kind is CommandKind.STOP:
            self.stops += 1
            was, self.paused = "paused" if self.paused else "running", False
            return {"state": was if self.stops == 1 else "stopping"}, {"state": "stopping"}
        if kind is CommandKind.SET_LEARNING_RATE and self.learning_rate is not None:
            return self.learning_rate.command(command.params)
        if kind is CommandKind.SET_BATCH_SIZE and self.batch_size is not None:
            return self.batch_size.command(command.params)
        what = str(kind).removeprefix("set_").replace("_", " ")
        raise CommandError(f"this run registered no control for {what}; see Run.control")

    def _final(
        self,
        command: Command,
        state: CommandState,
        step: int | None = None,
        before: dict[str, str] | None = None,
        after: dict[str, str] | None = None,
        error: str = "",
    ) -> None:
        now = self._clock()
        self._answer(
            CommandRecord(command, state, step, before or {}, after or {}, error, resolved_at=now)
        )
