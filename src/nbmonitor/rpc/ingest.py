"""The trainers' side of the server: streams of our own trainers, and of clients of the published contract.

Every problem with a frame is told in the stream, which goes on; a stream that ends without a word is not the end of
its run.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc

from nbmonitor.errors import InputError, UnknownRunError
from nbmonitor.events import Gap, RunInfo, new_id
from nbmonitor.rpc import bounds
from nbmonitor.rpc.codec import trainer as wire
from nbmonitor.rpc.contract import ContractTrainer
from nbmonitor.rpc.limits import Refused
from nbmonitor.rpc.loop import Bell
from nbmonitor.rpc.outgoing import Outgoing
from nbmonitor.rpc.trainers import OwnTrainer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nbmonitor.broker import Broker
    from nbmonitor.events import Demand
    from nbmonitor.rpc.limits import Call, Gate
    from nbmonitor.rpc.loop import Turns
    from nbmonitor.rpc.trainers import Trainer

POLL = 0.5  # seconds between two looks at a trainer that nobody has news for
GATHER = 0.1  # seconds between two acknowledgments
STOPS = "the server stops; come back later"

_log = logging.getLogger("nbmonitor")


class Link:
    """One stream: whom it speaks for, and the way back."""

    def __init__(self, *, holder: bool, peer: str) -> None:
        self.bell = Bell()
        self.out = Outgoing(self.bell.ring)
        self.holder = holder
        self.peer = peer
        self.own: OwnTrainer | None = None
        self.bound: dict[str, ContractTrainer] = {}
        self._hurried = False

    def hurry(self) -> None:
        """There is news that cannot wait, beside the answers; from any thread."""
        self._hurried = True
        self.bell.ring()

    async def news(self) -> None:
        """Wait for something to say; acknowledgments that follow each other closely wait for more of them."""
        said = time.monotonic()
        await self.bell.wait(POLL)
        self.bell.still()
        while not self._pressing and (left := said + GATHER - time.monotonic()) > 0:
            await self.bell.wait(left)
            self.bell.still()
        self._hurried = False

    @property
    def _pressing(self) -> bool:
        return self._hurried or self.out.pressing


class Ingest:
    """Handlers of ``StreamMetrics`` and ``RegisterTrainingSession``. Its state belongs to the loop.

    Parameters
    ----------
    broker
        Takes what trainers say.
    gate
        Says the limits.
    epoch
        Name of this life of the server.
    turns
        Whose turn it is, of all streams.
    strict
        Refuse frames of a session that never registered, instead of opening a run for it.
    """

    def __init__(
        self, broker: Broker, gate: Gate, epoch: str, turns: Turns, *, strict: bool = False
    ) -> None:
        self._broker = broker
        self._terms = wire.Terms(gate.message_bytes, gate.caps["trainers"])
        self._epoch = epoch
        self._turns = turns
        self._strict = strict
        self._own: dict[str, OwnTrainer] = {}
        self._sessions: dict[tuple[bool, str], ContractTrainer] = {}
        self._links: set[Link] = set()
        self._closed = False
        self._strangers = 0  # runs of clients without a token

    # --- the two RPCs ------------------------------------------------------------------------------------------------

    async def register(self, data: bytes, call: Call) -> bytes:
        """``RegisterTrainingSession``."""
        try:
            session = wire.read_session(data)
        except InputError as error:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
        if session.ours:  # its stream begins with a Hello, which opens the run
            return wire.session_response(session.session_id, "welcome", self._welcome(0))
        holder = call.caller.holder
        if why := bounds.bad_id("session_id", session.session_id):
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, why)
        if why := self._full(holder=holder):
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, why)
        trainer = self._open(session.session_id, session.info, holder=holder)
        return wire.session_response(
            session.session_id, f"registered as run {trainer.run_id}", None, self._terms
        )

    async def stream(self, requests: AsyncIterator[bytes], call: Call) -> None:
        """``StreamMetrics``: frames are read by a task of their own, so that answers nobody reads stop no metric."""
        link = Link(holder=call.caller.holder, peer=call.peer)
        self._links.add(link)
        try:
            self._admit()  # after the line above: who closes looks for links after saying so
            reading = asyncio.create_task(self._read(requests, link))
            try:
                await self._answer(link, call)
            finally:
                reading.cancel()
                await asyncio.wait([reading])
        finally:
            self._links.discard(link)
        if link.own is None:  # an end without a status would look like success
            self._admit()

    def close(self, reason: str, retry_after: float = 1.0) -> None:
        """Say goodbye to our own trainers, with the seconds after which to come back, and end every stream."""
        self._closed = True
        for link in tuple(self._links):
            if link.own is not None:
                link.out.put(wire.goodbye(link.own.run_id, reason, retry_after))
            link.out.close()

    async def _answer(self, link: Link, call: Call) -> None:
        told: Demand | None = None
        while (answers := link.out.take()) is not None:
            for answer in answers:
                await call.write(answer)
            if link.own is not None:
                self._broker.check()
                demand = self._broker.demand(link.own.run_id)
                if demand != told:
                    told = demand
                    await call.write(wire.flow(link.own.run_id, demand))
            await link.news()

    def _admit(self) -> None:
        if self._closed:
            raise Refused(grpc.StatusCode.UNAVAILABLE, STOPS)

    # --- reading -----------------------------------------------------------------------------------------------------

    async def _read(self, requests: AsyncIterator[bytes], link: Link) -> None:
        try:
            async for data in requests:
                await self._turns.take()
                frame = wire.read_request(data)
                try:
                    self._take(frame, link)
                except Exception as error:
                    # One frame must not take the stream down with it, nor tell a stranger what is inside.
                    _log.error("error while taking a frame of %r", frame.session_id, exc_info=error)
                    text = "an error inside the monitor; its log has the details"
                    link.out.put(wire.fault(frame.session_id, wire.INTERNAL_ERROR, text))
        except Exception as error:  # torn: gRPC's iterator raises without further detail
            _log.debug("stream of %s torn: %r", link.peer, error)
        finally:
            for trainer in (link.own, *link.bound.values()):
                if trainer is not None:
                    _left(trainer, link.out)
            link.out.close()

    def _take(self, frame: wire.Frame, link: Link) -> None:
        if link.own is not None:
            # Else it is of a stream that was replaced meanwhile, and is sent again by the new one.
            if link.own.speaks_by(link.out):
                self._numbered(frame, link.own, link.out)
        elif frame.hello is not None:
            self._hello(frame, frame.hello, link)
        elif frame.kind == "garbage" or frame.crc is False:
            code = wire.CRC_MISMATCH if frame.crc is False else wire.INVALID_DATA
            link.out.put(wire.fault(frame.session_id, code, frame.fault or "the checksum is wrong"))
        else:
            trainer = link.bound.get(frame.session_id) or self._bind(frame.session_id, link)
            if trainer is not None:
                trainer.take(frame, link.out)

    # --- our own trainers --------------------------------------------------------------------------------------------

    def _welcome(self, watermark: int) -> wire.Welcome:
        return wire.Welcome(watermark, self._epoch, self._broker.store.volatile, self._terms)

    def _hello(self, frame: wire.Frame, hello: wire.Hello, link: Link) -> None:
        run_id, out = hello.info.run_id, link.out
        if not frame.crc or not run_id:
            code = wire.INVALID_DATA if frame.crc else wire.CRC_MISMATCH
            out.put(wire.fault(run_id, code, "a Hello needs a checksum and a run_id"))
            out.close()
            return
        why = bounds.bad_id("run_id", run_id) or bounds.too_new(hello.major)
        if not why and run_id not in self._own:
            why = self._full(holder=link.holder)
        if why:
            out.put(wire.fault(run_id[: bounds.ID], wire.UNSUPPORTED, why))
            out.close()
            return
        trainer = self._own.get(run_id)
        if trainer is None:
            taken = _known(self._broker, run_id)
            if not taken:
                trainer = OwnTrainer(self._broker, run_id, hello.secret, holder=link.holder)
                self._own[run_id] = trainer
                self._strangers += not link.holder
        else:  # knowing the secret is not enough for a token-holder's run
            known = hmac.compare_digest(trainer.secret.encode(), hello.secret.encode())
            taken = not known or (trainer.holder and not link.holder)
        if taken or trainer is None:
            text = f"run {run_id} belongs to another trainer; give the run another name"
            out.put(wire.fault(run_id, wire.ALREADY_EXISTS, text))
            out.close()
            return
        link.own = trainer
        trainer.enter(hello.info, out)
        self._broker.heed(run_id, link.hurry)
        mark = trainer.begin(frame, hello.first_unacked)
        out.put(wire.welcome(run_id, self._welcome(mark)))
        trainer.send_waiting()

    def _numbered(self, frame: wire.Frame, trainer: OwnTrainer, out: Outgoing) -> None:
        mark = trainer.mark(frame)
        if not frame.crc or frame.kind == "garbage":
            trainer.complain(
                out, wire.CRC_MISMATCH, frame.fault or "the checksum is missing or wrong", mark
            )
            return
        if frame.seq:
            if frame.seq <= mark:
                out.acknowledge_to(trainer.run_id, mark)
                return
            first = frame.seq
            if frame.kind == "gap" and frame.payloads and isinstance(frame.payloads[0], Gap):
                first = frame.payloads[0].first_seq or frame.seq
            if first > mark + 1:
                text = f"number {mark + 1} was expected and {frame.seq} came"
                trainer.complain(out, wire.DATA_LOSS, text, mark)
                return
        trainer.take(frame, out)
        if frame.seq:
            trainer.advance(frame)
            out.acknowledge_to(trainer.run_id, frame.seq)

    def _full(self, *, holder: bool) -> str:
        return "" if holder else bounds.too_many(self._strangers)

    # --- clients of the contract -------------------------------------------------------------------------------------

    def _open(self, session_id: str, info: RunInfo, *, holder: bool) -> ContractTrainer:
        trainer = ContractTrainer(self._broker, session_id, replace(info, run_id=new_id()))
        old = self._sessions.get((holder, session_id))
        self._sessions[holder, session_id] = trainer
        self._strangers += not holder
        if old is not None:
            old.supersede(trainer.run_id)
        return trainer

    def _bind(self, session_id: str, link: Link) -> ContractTrainer | None:
        """The run that a session's frames on this stream belong to, from now on."""
        trainer = self._sessions.get((link.holder, session_id))
        if trainer is None and self._strict:
            text = f"session {session_id!r} is not registered: call RegisterTrainingSession first"
            link.out.put(wire.fault(session_id, wire.INVALID_SESSION, text))
            return None
        if trainer is None or trainer.streaming:
            why = bounds.bad_id("session_id", session_id) or self._full(holder=link.holder)
            if why:
                link.out.put(wire.fault(session_id[: bounds.ID], wire.INVALID_SESSION, why))
                return None
            info = RunInfo(
                "", session_id or "unregistered", session_id=session_id, origin="process"
            )
            trainer = self._open(session_id, info, holder=link.holder)
        link.bound[session_id] = trainer
        trainer.enter(link.out)
        trainer.send_waiting()
        return trainer


def _left(trainer: Trainer, out: Outgoing) -> None:
    try:
        trainer.leave(out)
    except Exception as error:  # a full disk; those beside it leave all the same
        _log.error("error while run %s was left by its stream", trainer.run_id, exc_info=error)


def _known(broker: Broker, run_id: str) -> bool:
    try:
        broker.run(run_id)
    except UnknownRunError:
        return False
    return True
