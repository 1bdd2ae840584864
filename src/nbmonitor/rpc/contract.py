"""A client of the published contract, as the server sees it.

The contract has no step, no numbers and no answers to commands, so they are made here: batches are counted, epochs
placed on the axis, and a state that was asked for confirms the command that asked for it.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nbmonitor.events import (
    EPOCH_SERIES,
    Batch,
    Column,
    Command,
    CommandKind,
    CommandRecord,
    CommandState,
    Epoch,
    LogLine,
    Performance,
    RunInfo,
    RunState,
    RunUpdate,
    Scalars,
    Status,
)
from nbmonitor.rpc.codec import trainer as wire
from nbmonitor.rpc.trainers import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmonitor.broker import Broker
    from nbmonitor.rpc.outgoing import Outgoing

OBSERVE_EVERY = 0.5  # seconds between two speeds of our own, for a client that sends none
LAST_STEP = 2**63 - 1  # a stranger's counter may begin anywhere
TRUST = 5.0  # seconds that a client's own figures stand

_CONFIRMS = {
    RunState.PAUSED: (CommandKind.PAUSE,),
    RunState.RUNNING: (CommandKind.RESUME,),
    RunState.STOPPING: (CommandKind.STOP,),
    RunState.COMPLETED: (CommandKind.STOP,),
    RunState.STOPPED: (CommandKind.STOP,),
    RunState.INTERRUPTED: (CommandKind.STOP,),
    RunState.FAILED: (),
}


class ContractTrainer(Trainer):
    """One session of a client of the contract.

    Parameters
    ----------
    broker
        Takes what it says.
    session_id
        The client's own name for it.
    info
        Description, with a ``run_id`` of our making.
    """

    def __init__(
        self,
        broker: Broker,
        session_id: str,
        info: RunInfo,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(broker, info.run_id, session_id)
        self._monotonic = monotonic
        self._pending: dict[CommandKind, Command] = {}
        self._streamed = False
        self._superseded = False
        self._steps = 0
        self._base: int | None = None  # 0 or 1: what the client calls its first epoch
        self._beat = -1
        self._missed = 0
        self._arrivals: deque[float] = deque()
        self._began = 0.0
        self._observed = 0.0
        self._figures: Performance | None = None
        self._figured = 0.0
        self._where: tuple[int | None, int | None] = (None, None)  # epoch and batch, as last told
        size = {"value": info.batch_size} if info.batch_size else {}
        controls = {"pause": {}, "stop": {}, "learning_rate": {}, "batch_size": size}
        broker.open(replace(info, controls=controls), self.deliver)

    # --- the stream --------------------------------------------------------------------------------------------------

    def enter(self, out: Outgoing) -> None:
        """A stream begins, or begins again."""
        self._take_over(out)
        if self._streamed:
            self.broker.open(self.broker.run(self.run_id), self.deliver)
        self._streamed = True

    def supersede(self, by: str) -> None:
        """Another registration took the session id."""
        state = self.broker.run(self.run_id).state
        if state.ended or (self._streamed and not self.streaming):
            return  # it ended, or it is torn and will be found lost: both are true as they stand
        self._superseded = True
        text = f"superseded: session {self.session_id!r} was registered again (run {by})"
        self.publish([Status(RunState.INTERRUPTED, text)], self._steps)

    def deliver(self, command: Command) -> CommandState:
        """Put a command on the road, and remember it for its confirmation."""
        reached = super().deliver(command)
        if reached is CommandState.SENT:
            self._pending[command.kind] = command
        return reached

    def take(self, frame: wire.Frame, out: Outgoing) -> None:
        """Take one frame; what is wrong with it is told in the stream."""
        if frame.beat is not None:
            self._heartbeat(frame)
        for payload in frame.payloads:
            if isinstance(payload, Batch):
                self._batch(payload, frame)
            elif isinstance(payload, Performance):
                self._figures, self._figured = payload, self._monotonic()
                self.publish([self._placed(payload)], self._steps, frame)
            elif isinstance(payload, Status):
                self._status(payload, frame)
            elif isinstance(payload, Epoch):
                self._running(frame)
                self.publish([payload], self._last_step, frame)
            elif isinstance(payload, RunUpdate):
                self._update(payload, frame)
            elif isinstance(payload, LogLine):
                self.publish([payload], self._last_step, frame)
        if frame.contract:
            usable = bool(frame.payloads)
            epoch = (
                frame.payloads[0].epoch if usable and isinstance(frame.payloads[0], Batch) else 0
            )
            ack = wire.acknowledge(self.session_id, frame.number, epoch=epoch or 0, ok=usable)
            out.put(ack, dispensable=True)
        if frame.fault:
            out.put(wire.fault(self.session_id, wire.INVALID_DATA, frame.fault), dispensable=True)

    # --- what is said ------------------------------------------------------------------------------------------------

    @property
    def _last_step(self) -> int:
        return max(self._steps - 1, 0)

    def _running(self, frame: wire.Frame) -> None:
        """Data flows: whatever was or was not said, the run runs."""
        state = self.broker.run(self.run_id).state
        if state is RunState.INITIALIZING:
            self.publish([Status(RunState.RUNNING)], self._last_step, frame)
        elif self._superseded:
            self._superseded = False
            text = f"still reporting, beside a newer run of session {self.session_id!r}"
            self.publish([Status(RunState.RUNNING, text)], self._last_step, frame)

    def _batch(self, batch: Batch, frame: wire.Frame) -> None:
        self._running(frame)
        step = max(frame.step, self._steps)
        self._steps = min(step + 1, LAST_STEP)
        self._where = (batch.epoch, batch.batch)
        name = "loss" if batch.split == "train" else f"{batch.split}_loss"
        info = self.broker.run(self.run_id)
        columns = [self._column(name, step, batch.loss or 0.0, frame)]
        if batch.epoch is not None:
            if self._base is None:
                self._base = min(batch.epoch, 1)
            done = 0.0
            if info.batches_per_epoch:
                done = min(((batch.batch or 0) + 1) / info.batches_per_epoch, 1.0)
            epoch = max(batch.epoch - self._base, 0) + done
            columns.append(self._column(EPOCH_SERIES, step, epoch, frame))
        said: list[Scalars | Batch | Performance] = [Scalars(tuple(columns))]
        if batch.count:
            said.append(batch)
        figures = self._observe(info)
        if figures is not None:
            said.append(figures)
        self.publish(said, step, frame)

    def _column(self, name: str, step: int, value: float, frame: wire.Frame) -> Column:
        now = time.time()
        when = now if abs(frame.time - now) > 86_400 else frame.time
        return Column(name, np.array([step], np.int64), np.array([value]), np.array([when]))

    def _observe(self, info: RunInfo) -> Performance | None:
        """Speed as it is seen from here, where the client does not tell its own."""
        now = self._monotonic()
        self._began = self._began or now
        self._arrivals.append(now)
        while self._arrivals[0] < now - 1.0:
            self._arrivals.popleft()
        if now - self._observed < OBSERVE_EVERY or (self._figures and now - self._figured < TRUST):
            return None
        self._observed = now
        average = (self._steps - 1) / (now - self._began) if now > self._began else 0.0
        told = Performance(fps=float(len(self._arrivals)), fps_average=average)
        return self._placed(told, info)

    def _placed(self, told: Performance, info: RunInfo | None = None) -> Performance:
        """Figures with the place in the run that the last batch named."""
        info = info or self.broker.run(self.run_id)
        epoch, batch = self._where
        if epoch is None:
            return replace(told, epochs=info.total_epochs)
        ordinal = max(epoch - (self._base or 0), 0) + 1
        done = None if batch is None else batch + 1
        progress = None
        if info.total_epochs and info.batches_per_epoch and done is not None:
            total = info.total_epochs * info.batches_per_epoch
            progress = min(((ordinal - 1) * info.batches_per_epoch + done) / total, 1.0)
        return replace(
            told,
            epoch=ordinal,
            epochs=info.total_epochs,
            batch=done,
            batches=info.batches_per_epoch,
            progress=progress,
        )

    def _status(self, status: Status, frame: wire.Frame) -> None:
        self._superseded = False
        confirmed = [
            self._confirm(kind) for kind in _CONFIRMS.get(status.state, ()) if kind in self._pending
        ]
        # Receipts first: an end expires whatever is still open.
        self.publish([*confirmed, status], self._last_step, frame)

    def _update(self, update: RunUpdate, frame: wire.Frame) -> None:
        asked = self._pending.get(CommandKind.SET_BATCH_SIZE)
        if asked is not None and update.batch_size == asked.params.get("value"):
            before = self.broker.run(self.run_id).batch_size
            record = self._confirm(CommandKind.SET_BATCH_SIZE)
            after = {"batch size": str(update.batch_size)}
            record = replace(
                record, before={"batch size": str(before)} if before else {}, after=after
            )
            self.publish([record], self._last_step, frame)
        if update.batch_size:
            controls = dict(self.broker.run(self.run_id).controls)
            controls["batch_size"] = {"value": update.batch_size}
            update = replace(update, controls=controls)
        self.publish([update], self._last_step, frame)

    def _confirm(self, kind: CommandKind) -> CommandRecord:
        command = self._pending.pop(kind)
        return CommandRecord(
            command, CommandState.APPLIED, step=self._last_step, resolved_at=time.time()
        )

    def _heartbeat(self, frame: wire.Frame) -> None:
        if frame.beat is None:
            return
        if 0 <= self._beat < frame.number - 1:
            self._missed += frame.number - 1 - self._beat
        self._beat = frame.number
        beat = replace(frame.beat, run_id=self.run_id, step=self._steps, lost=self._missed)
        self.broker.heartbeat(beat)
