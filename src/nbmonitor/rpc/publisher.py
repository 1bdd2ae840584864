"""A trainer's road to a server in another process: a ``Sink`` for one run that never makes its caller wait."""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np

from nbmonitor._version import __version__
from nbmonitor.errors import AttachError, RunError
from nbmonitor.events import (
    Command,
    CommandKind,
    CommandRecord,
    CommandState,
    Demand,
    Event,
    RunUpdate,
    Scalars,
    Status,
    new_id,
)
from nbmonitor.rpc import codec, threads
from nbmonitor.rpc.buffer import MOST
from nbmonitor.rpc.channel import check, code_of, dial, explain_closely, method
from nbmonitor.rpc.codec import trainer as wire
from nbmonitor.rpc.codec import viewer
from nbmonitor.rpc.roads.bearer import Bearer
from nbmonitor.rpc.sending import Link, Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nbmonitor.events import Heartbeat, RunInfo
    from nbmonitor.rpc.trust.tls import Tls

DEADLINE = 5.0  # seconds of a unary call
PATIENCE = 15.0  # seconds for which a server may owe an answer: then the stream is opened anew
LOOK = 0.5  # seconds between two looks at that
REMEMBERED = 1_000  # ids of commands
LONGEST = 60.0  # seconds that a server which stops can ask to wait for
SOON = 5  # attempts after which the pause no longer grows: a few seconds
FINAL_CODES = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}

_log = logging.getLogger("nbmonitor")


class Publisher:
    """Reports one run to a server elsewhere.

    What was published is kept, within a bound, until the server has it, and sent again after a cut; of pictures only
    the newest is sent, once. Nothing here raises into the training loop: :attr:`problem` tells what is wrong.

    Parameters
    ----------
    address
        ``host:port`` or ``unix:/path`` of the server.
    token
        Its token, or what returns it, asked anew at every call; without one a server takes a new run from its own
        machine alone.
    tls
        How to check the server; see :func:`nbmonitor.rpc.channel.dial`.
    most
        Bytes of numbered events kept.
    retry
        Least and most seconds between two attempts.

    Raises
    ------
    AttachError
        When ``address`` is none.
    """

    def __init__(
        self,
        address: str,
        token: str | Callable[[], str | None] | None = None,
        *,
        tls: Tls | bool | None = None,
        most: int = MOST,
        retry: tuple[float, float] = (0.1, 30.0),
    ) -> None:
        self.address = check(address)
        self.forked = False
        self.problem = ""
        self._tls = tls
        self._metadata = Bearer(token)
        self._retry = retry
        self._secret = secrets.token_hex(16)
        self._out = Sender(most)
        self._info: RunInfo | None = None
        self._deliver: Callable[[Command], CommandState] | None = None
        self._demand = Demand()
        self._demanded: Callable[[], None] = lambda: None
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._volatile = True
        self._connected = False
        self._refused = False
        self._turned_away = (
            False  # for want of a right token: waiting for it at the end is of no use
        )
        self._attempt = 0
        self._returns: float | None = None  # seconds from now at which the server said to come back
        self._channel: grpc.Channel | None = None
        self._call: Any = None
        self._link: Link | None = None
        self._thread: threading.Thread | None = None
        threads.guard(self)

    # --- Sink --------------------------------------------------------------------------------------------------------

    def open(self, info: RunInfo, deliver: Callable[[Command], CommandState]) -> RunInfo:
        """Announce the run; does not wait for the server. Raises RunError for a second run."""
        info = replace(
            info,
            run_id=info.run_id or new_id(),
            started_at=info.started_at or time.time(),
            origin="process",
        )
        with self._out.changed:
            if self._info is not None and self._info.run_id != info.run_id:
                raise RunError("A Publisher reports one run. Make another one for the next run.")
            self._info, self._deliver = info, deliver
            self._out.changed.notify_all()
        return info

    def publish(self, events: Sequence[Event]) -> None:
        """Take events of the run; never blocks."""
        if self.forked:
            return
        with self._out.changed:
            for event in events:
                self._out.buffer.add(event)
                self._note(event)
            self._out.changed.notify_all()

    def heartbeat(self, beat: Heartbeat) -> None:
        """Take a sign of life; the newest is sent."""
        if self.forked:
            return
        with self._out.changed:
            self._out.beat = beat
            self._look()
            self._out.changed.notify_all()

    def demand(self, run_id: str) -> Demand:  # noqa: ARG002 (there is one run)
        """What the viewers want, as the server last said; nothing without a connection."""
        return self._demand

    def held(self, run_id: str) -> int:  # noqa: ARG002
        """Bytes of events kept for the server."""
        return self._out.buffer.held

    def heed(self, run_id: str, changed: Callable[[], None]) -> None:  # noqa: ARG002
        """Call ``changed`` when the server says something new of that."""
        self._demanded = changed

    def history(self, run_id: str, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Every point that the server keeps of a series; without it, those still kept here."""
        channel = self._channel
        if channel is not None and self._connected and not self.forked:
            self.flush(2.0)
            asked = viewer.History(run_id, (name,), every_point=True)
            try:
                ask = method(channel, codec.MONITOR, "GetHistory")
                data = ask(viewer.ask_history(asked), timeout=DEADLINE, metadata=self._metadata)
                return viewer.read_points(data)
            except (grpc.RpcError, ValueError) as error:  # ValueError: the channel was just closed
                _log.debug("history of %r from here, the server did not answer: %r", name, error)
        with self._out.changed:
            kept = [e.payload for e in self._out.buffer.kept()]
        columns = [c for p in kept if isinstance(p, Scalars) for c in p.columns if c.name == name]
        if not columns:
            return np.zeros(0, np.int64), np.zeros(0)
        return np.concatenate([c.steps for c in columns]), np.concatenate(
            [c.values for c in columns]
        )

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until the server has everything; False when it has not within ``timeout`` seconds."""
        if self.forked:
            return False
        end = time.monotonic() + timeout
        with self._out.changed:
            while not (self._out.buffer.settled or self._hopeless or self._thread is None):
                left = end - time.monotonic()
                if left <= 0:
                    break
                self._look()
                self._out.changed.wait(min(left, LOOK))
            return self._out.buffer.settled

    # --- life --------------------------------------------------------------------------------------------------------

    def start(self) -> Publisher:
        """Start the thread that connects. Idempotent."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="nbmonitor-publisher", daemon=True
            )
            self._thread.start()
        return self

    def close(self, timeout: float = 5.0) -> None:
        """Hand over what is left, while there is a connection, and end. Never takes longer than about ``timeout``."""
        thread = self._thread
        if thread is None or self.forked:
            return
        end = time.monotonic() + timeout
        if self._connected:
            self.flush(timeout)
        with self._out.changed:
            self._out.closing = True
            self._out.changed.notify_all()
        thread.join(max(end - time.monotonic(), 0.2))
        call, channel = self._call, self._channel
        if thread.is_alive() and call is not None:
            call.cancel()
        if thread.is_alive() and channel is not None:
            channel.close()
        thread.join(1.0)
        self._thread = None

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with self._out.changed:
            self._out.changed.wait_for(lambda: self._info is not None or self._out.closing)
        while not (self._out.closing or self._refused):
            try:
                self._connect()
            except grpc.RpcError as error:
                if self._link is not None and self._link.given_up:
                    self._complain(_unanswered(self.address))
                elif not self._out.closing:
                    self._complain(explain_closely(error, self.address, self._tls))
                if (
                    code_of(error) in FINAL_CODES
                ):  # a token does not get right by itself: ask seldom
                    self._attempt = max(self._attempt, 8)
                    self._turned_away = True
                else:  # after a long cut it is back within seconds of the road
                    self._attempt = min(self._attempt, SOON)
            except AttachError as error:  # nobody is there yet, or it cannot be believed
                self._complain(str(error))
            except (
                Exception
            ) as error:  # whatever it is, the training goes on, and so do the attempts
                self._complain(f"the stream to {self.address} broke: {error!r}")
            with self._out.changed:
                self._connected, self._demand = False, Demand()
                least, most = self._retry
                pause = threads.back_off(self._attempt, random.random, least=least, most=most)
                self._attempt += 1
                if self._returns is not None:  # not before, and not all trainers at once
                    pause = max(self._returns * (1.0 + random.random()), least)  # noqa: S311
                    self._attempt, self._returns = 0, None
                self._out.changed.wait_for(lambda: self._out.closing, pause)

    def _connect(self) -> None:
        """One connection from its beginning to its end."""
        info = self._info
        if info is None:
            return
        with dial(self.address, self._tls) as channel:
            self._channel = channel
            link = self._link = Link()
            try:
                register = method(channel, codec.CONTRACT, "RegisterTrainingSession")
                data = register(wire.registration(info), timeout=DEADLINE, metadata=self._metadata)
                success, welcome, message = wire.read_session_response(data)
                if not success:
                    self._complain(f"the server at {self.address} refused the run: {message}")
                    return
                talk = (
                    self._out.plainly(info, link)
                    if welcome is None
                    else self._out.numbered(info, link, self._secret)
                )
                call = method(channel, codec.CONTRACT, "StreamMetrics")(
                    talk, metadata=self._metadata
                )
                self._call = call
                if welcome is None:
                    self._begin(link, wire.Welcome(self._out.buffer.acked, "", volatile=False))
                    self._demand = Demand(60.0, wire.MAX_DIMENSION)
                for answer in call:
                    self._answer(wire.read_response(answer, info.run_id), link)
            finally:
                with self._out.changed:  # or gRPC's thread would wait in our generator for ever
                    link.over = True
                    self._out.changed.notify_all()
                self._channel = self._call = None

    def _begin(self, link: Link, welcome: wire.Welcome) -> None:
        with self._out.changed:
            link.welcome, link.owed, self._attempt = welcome, None, 0
            self._out.buffer.begin(welcome.watermark)
            self._volatile, self._connected, self.problem = welcome.volatile, True, ""
            self._turned_away = False
            self._out.changed.notify_all()

    def _answer(self, reply: wire.Reply, link: Link) -> None:
        if reply.welcome is not None:
            self._begin(link, reply.welcome)
        elif reply.command is not None:
            self._command(reply.command)
        elif reply.kind == "command":
            self._unknown(reply.message)
        elif reply.demand is not None:
            self._demand = reply.demand
            self._demanded()
        elif reply.kind == "event_ack":
            with self._out.changed:
                self._out.buffer.acknowledge(reply.number, keep=self._volatile)
                buffer = self._out.buffer
                link.owed = time.monotonic() if buffer.sent > buffer.acked else None
                self._out.changed.notify_all()
        elif reply.kind == "heartbeat_echo":
            sent = link.beats.pop(reply.number, None)
            self._out.rtt = self._out.rtt if sent is None else time.monotonic() - sent
        elif reply.kind == "error":
            self._fault(reply)
        elif reply.kind == "goodbye":
            self._returns = min(reply.retry_after, LONGEST)
            self._complain(f"the server at {self.address} says goodbye: {reply.message}.")

    def _fault(self, reply: wire.Reply) -> None:
        if reply.number in {wire.DATA_LOSS, wire.CRC_MISMATCH}:
            with self._out.changed:
                self._out.buffer.rewind(reply.watermark)
                self._out.changed.notify_all()
        elif reply.number == wire.ALREADY_EXISTS:
            with self._out.changed:
                self._refused = True
                self._out.changed.notify_all()
        self._complain(f"the server at {self.address} says: {reply.message}")

    def _command(self, command: Command) -> None:
        """Post a command to the run, once by its id."""
        deliver = self._deliver
        if command.command_id in self._seen or deliver is None:
            return
        self._seen[command.command_id] = None
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        try:
            record = CommandRecord(command, deliver(command))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            record = CommandRecord(
                command, CommandState.REJECTED, error=text, resolved_at=time.time()
            )
        info = self._info
        step = info.step if info is not None else 0
        self.publish([Event(command.run_id, step, time.time(), record)])

    def _unknown(self, command_id: str) -> None:
        """Answer a command of a later version: who asked would else wait for it to expire."""
        info = self._info
        if info is None or not command_id or command_id in self._seen:
            return
        self._seen[command_id] = None
        text = f"this trainer (nbmonitor {__version__}) does not know such a command; update it"
        # Of what kind it was, the server knows by its id.
        asked = Command(info.run_id, CommandKind.STEP, {}, command_id)
        record = CommandRecord(asked, CommandState.REJECTED, error=text, resolved_at=time.time())
        self.publish([Event(info.run_id, info.step, time.time(), record)])

    def _look(self) -> None:
        """Give a stream up on which nothing is answered; under the lock.

        Keepalive tells whether the connection lives. It does not when bytes of the stream are taken for the middle of
        something longer, or when whoever reads it is stuck.
        """
        call, link = self._call, self._link
        if call is None or link is None or link.owed is None or link.given_up:
            return
        if time.monotonic() - link.owed > PATIENCE:
            link.given_up = True
            call.cancel()

    @property
    def _hopeless(self) -> bool:
        return self._refused or self._turned_away

    def _complain(self, text: str) -> None:
        if text != self.problem:
            self.problem = text
            then = (
                "is not reported any more" if self._refused else "is reported when it can be again"
            )
            _log.warning("%s The training goes on and %s.", text, then)

    def _note(self, event: Event) -> None:
        """Keep the description true: a server that starts anew gets it with the next Hello."""
        info, payload = self._info, event.payload
        if info is None:
            return
        if isinstance(payload, Status):
            ended = event.time if payload.state.ended else None
            info = replace(info, state=payload.state, message=payload.message, ended_at=ended)
        elif isinstance(payload, RunUpdate):
            said = {n: getattr(payload, n) for n in RunUpdate.__slots__}
            info = replace(info, **{n: v for n, v in said.items() if v is not None})
        elif event.step <= info.step:
            return
        self._info = replace(info, step=max(info.step, event.step))


def _unanswered(address: str) -> str:
    return f"the server at {address} has confirmed nothing for {PATIENCE:.0f} s: the stream is opened anew."
