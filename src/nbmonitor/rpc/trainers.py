"""What the server remembers of a trainer: its run, the way back to it, what of its numbered events has come."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from nbmonitor.events import CommandRecord, CommandState, Event, Gap
from nbmonitor.rpc.codec import trainer as wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbmonitor.broker import Broker
    from nbmonitor.events import Command, Payload, RunInfo
    from nbmonitor.rpc.outgoing import Outgoing


class Trainer:
    """What trainers of both kinds have in common: one run, and at most one stream at a time.

    Parameters
    ----------
    broker
        Has the run.
    run_id
        Id of the run.
    session_id
        What the trainer calls it.
    """

    again: frozenset[CommandState] = frozenset({CommandState.QUEUED})
    """States in which a command is sent (once more) when the trainer comes back."""

    def __init__(self, broker: Broker, run_id: str, session_id: str) -> None:
        self.broker = broker
        self.run_id = run_id
        self.session_id = session_id
        self._lock = threading.Lock()
        self._out: Outgoing | None = None

    @property
    def streaming(self) -> bool:
        """Whether a stream of the trainer is open."""
        return self._out is not None

    def deliver(self, command: Command) -> CommandState:
        """Put a command on the road to the trainer (the broker calls this)."""
        out = self._out
        if out is None:
            return CommandState.QUEUED
        out.put(wire.control(self.session_id, command))
        return CommandState.SENT

    def send_waiting(self) -> None:
        """Send what was asked for while the trainer was away."""
        for record in self.broker.commands(self.run_id):
            if record.state in self.again and self.deliver(record.command) is CommandState.SENT:
                sent = CommandRecord(record.command, CommandState.SENT)
                self.publish([sent], self.broker.run(self.run_id).step)

    def leave(self, out: Outgoing) -> None:
        """A stream is over; that is not the end of the run."""
        with self._lock:
            if self._out is not out:
                return
            self._out = None
        self.broker.detach(self.run_id)

    def publish(
        self, payloads: Sequence[Payload], step: int, frame: wire.Frame | None = None
    ) -> None:
        """Hand payloads of one moment to the broker."""
        now = time.time()
        when = now if frame is None or abs(frame.time - now) > 86_400 else frame.time
        self.broker.publish(
            [
                Event(
                    self.run_id,
                    step,
                    when,
                    payload,
                    rank=frame.rank if frame else 0,
                    incarnation=frame.incarnation if frame else 0,
                    origin_seq=frame.seq if frame else 0,
                )
                for payload in payloads
            ]
        )

    def _take_over(self, out: Outgoing) -> None:
        with self._lock:
            old, self._out = self._out, out
        if old is not None and old is not out:
            old.close()  # a torn stream that nobody noticed yet


class OwnTrainer(Trainer):
    """A trainer of ours: its events are numbered, and taken once.

    Parameters
    ----------
    secret
        Whoever says it may take the run up again.
    holder
        Whether it was opened with a token; then nobody takes it up without one.
    """

    again = frozenset({CommandState.QUEUED, CommandState.SENT})

    def __init__(self, broker: Broker, run_id: str, secret: str, *, holder: bool = False) -> None:
        super().__init__(broker, run_id, run_id)
        self.secret = secret
        self.holder = holder
        self._marks: dict[tuple[int, int], int] = {}
        self._complained: tuple[int, int] | None = None

    def enter(self, info: RunInfo, out: Outgoing) -> None:
        """A stream begins: the run is opened, or taken up again."""
        self._take_over(out)
        self.broker.open(info, self.deliver)

    def begin(self, frame: wire.Frame, first: int) -> int:
        """Settle where the numbers go on; what the trainer has no more becomes a declared gap."""
        mark = self.mark(frame)
        if first > mark + 1:
            missing = Gap("an earlier server had it, the trainer has it no more", first - 1 - mark)
            missing = replace(missing, first_seq=mark + 1, last_seq=first - 1)
            self._marks[frame.rank, frame.incarnation] = mark = first - 1
            self.publish([missing], self.broker.run(self.run_id).step)
        return mark

    def speaks_by(self, out: Outgoing) -> bool:
        """Whether this is the way back of its newest stream."""
        return self._out is out

    def mark(self, frame: wire.Frame) -> int:
        """Number of the last event taken of this rank and incarnation."""
        return self._marks.get((frame.rank, frame.incarnation), 0)

    def advance(self, frame: wire.Frame) -> None:
        """An event was taken."""
        self._marks[frame.rank, frame.incarnation] = frame.seq
        self._complained = None

    def complain(self, out: Outgoing, code: int, text: str, mark: int) -> None:
        """Ask for everything after ``mark`` again, once until something new comes."""
        if self._complained != (code, mark):
            self._complained = (code, mark)
            out.put(wire.fault(self.run_id, code, text, watermark=mark))

    def take(self, frame: wire.Frame, out: Outgoing) -> None:
        """Take one frame."""
        if frame.beat is not None:
            self.broker.heartbeat(replace(frame.beat, run_id=self.run_id))
            if frame.rtt is not None:
                self.broker.measured(self.run_id, frame.rtt)
            out.put(wire.echo(self.run_id, frame.number), dispensable=True)
            return
        payloads = [
            replace(p, command=replace(p.command, run_id=self.run_id))
            if isinstance(p, CommandRecord)
            else p
            for p in frame.payloads
        ]
        if payloads:
            self.publish(payloads, frame.step, frame)
        if frame.fault:
            out.put(wire.fault(self.run_id, wire.UNSUPPORTED, frame.fault, seq=frame.seq))
