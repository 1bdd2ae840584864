"""The viewers' side of the server: runs, watches, history, commands."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc

from nbmonitor._version import __version__
from nbmonitor.audit import KEPT
from nbmonitor.errors import InputError, NbMonitorError, UnknownRunError
from nbmonitor.rpc import codec
from nbmonitor.rpc.codec import audits
from nbmonitor.rpc.codec import viewer as wire
from nbmonitor.rpc.encoded import Encoded
from nbmonitor.rpc.limits import Refused
from nbmonitor.rpc.showing import Showing
from nbmonitor.rpc.trust.auth import loopback
from nbmonitor.rpc.witness import Witness, actor_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmonitor.broker import Broker
    from nbmonitor.rpc.limits import Call, Gate, Handler
    from nbmonitor.rpc.loop import Turns
    from nbmonitor.rpc.threads import Pool

_LATER = {
    "UpdateRun": "runs cannot be renamed or annotated through this server yet",
    "ReplayRun": "recorded runs cannot be replayed through this server yet",
    "GetBatch": "this server keeps the newest batch of a run alone; WatchRun brings it",
    "ListCheckpoints": "this server keeps no list of checkpoints yet",
    "DownloadCheckpoint": "checkpoints cannot be fetched through this server yet",
    "UploadCheckpoint": "checkpoints cannot be handed to this server yet",
    "SetNote": "notes cannot be kept by this server yet",
    "SetSampleFlags": "samples cannot be flagged through this server yet",
}


_log = logging.getLogger("nbmonitor")


class Monitor:
    """Handlers of the monitor service.

    Parameters
    ----------
    broker
        What is looked at.
    epoch
        Name of this life of the server.
    gate
        Counts the calls in progress.
    pool
        Threads for what takes time, or waits for a disk.
    turns
        Whose turn it is, of all streams.
    """

    def __init__(self, broker: Broker, epoch: str, gate: Gate, pool: Pool, turns: Turns) -> None:
        self._broker = broker
        self._gate = gate
        self._pool = pool
        self.witness = Witness(broker.journal)
        self._info = wire.ServerInfo(__version__, epoch, time.time())
        self._encoded = Encoded()
        self._turns = turns
        self._watches: dict[str, Showing] = {}
        self._showings: set[Showing] = set()
        self._closed = False

    def handlers(self) -> dict[str, Any]:
        """Every RPC of the service, by name."""
        unary: dict[str, Handler] = {
            "GetServerInfo": self._server_info,
            "ListRuns": self._apart(self._list_runs),
            "AdjustWatch": self._adjust,
            "GetHistory": self._history,
            "SendCommand": self._apart(self._send),
            "ListCommands": self._apart(self._list_commands),
            "ListAuditEvents": self._apart(self._list_audit),
        }
        out: dict[str, Any] = {
            name: grpc.unary_unary_rpc_method_handler(_judged(inner))
            for name, inner in unary.items()
        }
        out["WatchRun"] = grpc.unary_stream_rpc_method_handler(_judged(self._watch))
        for name, streams in codec.methods(codec.MONITOR).items():
            if name not in out:
                out[name] = self.later(name, streams=streams)
        return out

    def later(self, name: str, *, streams: tuple[bool, bool]) -> Any:
        """Handler of an RPC that is declared and not built: UNIMPLEMENTED, with a sentence."""
        text = _LATER[name]

        async def refuse(_request: Any, _call: Call) -> bytes:
            raise Refused(grpc.StatusCode.UNIMPLEMENTED, text)

        asks, answers = streams
        if asks:
            return grpc.stream_unary_rpc_method_handler(refuse)
        if answers:
            return grpc.unary_stream_rpc_method_handler(refuse)
        return grpc.unary_unary_rpc_method_handler(refuse)

    def close(self, wait: float = 0.0) -> None:
        """End every watch; waits at most so many seconds for their last answers. Not for the loop's own thread."""
        self._closed = True
        for showing in tuple(self._showings):
            showing.close()
        end = time.monotonic() + wait
        while self._showings and time.monotonic() < end:
            time.sleep(0.01)

    # --- unary -------------------------------------------------------------------------------------------------------

    async def _server_info(self, _data: bytes, call: Call) -> bytes:
        active = self._gate.active
        busy = active["viewers"] + active["trainers"]
        caller = call.caller
        caps = self._gate.caps
        limits = wire.Limits(
            caps["viewers"], caps["trainers"], caps["calls"], self._gate.message_bytes
        )
        reads_only = not caller.may("steer")
        return wire.server_info(self._info, busy, limits, actor_of(caller), reads_only=reads_only)

    def _list_runs(self, _data: bytes, _call: Call) -> bytes:
        return wire.runs(self._broker.runs())

    async def _adjust(self, data: bytes, _call: Call) -> bytes:
        watch_id, demand, received = wire.read_adjust(data)
        showing = self._watches.get(watch_id)
        if showing is not None and received:
            showing.received(received)
        elif showing is not None:
            showing.adjust(demand)
        return wire.adjusted(showing is not None)

    async def _history(self, data: bytes, call: Call) -> bytes:
        # Steps and values shrink to a half; on this machine that would only cost time.
        if not loopback(call.peer):
            await call.compress()
        answer: bytes = await self._apart(self._points)(data, call)
        return answer

    def _points(self, data: bytes, _call: Call) -> bytes:
        asked = wire.read_history(data)
        self._broker.run(asked.run_id)  # unknown: NOT_FOUND, rather than an empty answer
        if asked.index_only:
            return wire.history(index=self._broker.series(asked.run_id))
        if asked.every_point:
            points = [(t, *self._broker.history(asked.run_id, t)) for t in asked.tags]
            return wire.history(points=points)
        windows = [
            (
                tag,
                asked.kind,
                self._broker.window(
                    asked.run_id,
                    tag,
                    asked.kind,
                    axis=asked.axis,
                    lo=asked.lo,
                    hi=asked.hi,
                    max_points=asked.max_points,
                ),
            )
            for tag in asked.tags
        ]
        return wire.history(windows=windows, applied=asked.max_points)

    def _send(self, data: bytes, call: Call) -> bytes:
        caller = call.caller
        command = replace(wire.read_send(data), actor=actor_of(caller), peer=caller.peer)
        if command.epoch not in ("", self._info.epoch):  # somebody recorded it, or was not told yet
            why = "the server was restarted since: look and ask again"
            return wire.sent(self._broker.refuse(command, why))
        return wire.sent(self._broker.send(command))

    def _list_commands(self, data: bytes, _call: Call) -> bytes:
        return wire.commands(self._broker.commands(wire.read_list_commands(data)))

    def _list_audit(self, data: bytes, _call: Call) -> bytes:
        asked = audits.read_ask(data)
        return audits.answer(*audits.page(self._broker.audit(asked.run_id, limit=KEPT), asked))

    # --- watches -----------------------------------------------------------------------------------------------------

    async def _watch(self, data: bytes, call: Call) -> None:
        wanted = wire.read_watch(data)
        showing = Showing(
            self._broker, self._encoded, wanted, crowd=self._showings.__len__, turns=self._turns
        )
        showing.box.viewer = actor_of(call.caller)
        try:
            self._showings.add(showing)
            if self._closed:  # looked at last: who closes looks for showings after saying so
                raise Refused(grpc.StatusCode.UNAVAILABLE, "the server stops; come back later")
            if wanted.watch_id:
                self._watches[wanted.watch_id] = showing
            self.witness.attached(call.caller, wanted.run_id)
            try:
                await showing.show(call.write)
            finally:
                self.witness.left(call.caller, wanted.run_id)
        finally:
            showing.close()
            self._showings.discard(showing)
            if self._watches.get(wanted.watch_id) is showing:
                del self._watches[wanted.watch_id]

    def _apart(self, inner: Callable[[bytes, Call], bytes]) -> Handler:
        """A handler that runs in a thread of the pool: nobody's stream waits for it."""

        async def call(data: bytes, call: Call) -> bytes:
            answer = asyncio.get_running_loop().run_in_executor(self._pool, inner, data, call)
            try:
                return await asyncio.shield(answer)
            except asyncio.CancelledError:
                answer.add_done_callback(_unheard)
                await asyncio.wait([answer])  # its place is taken as long as its thread is
                raise

        return call


def _unheard(answer: asyncio.Future[bytes]) -> None:
    """Write down what went wrong after its client had left: else asyncio tells of it, when it is collected."""
    error = None if answer.cancelled() else answer.exception()
    if error is not None and not isinstance(error, NbMonitorError):
        _log.error("error in a call that was given up", exc_info=error)


def _judged(inner: Handler) -> Handler:
    async def call(data: bytes, call: Call) -> Any:
        try:
            return await inner(data, call)
        except NbMonitorError as error:
            raise _refusal(error) from error

    return call


def _refusal(error: NbMonitorError) -> Refused:
    code = grpc.StatusCode.FAILED_PRECONDITION
    if isinstance(error, UnknownRunError):
        code = grpc.StatusCode.NOT_FOUND
    elif isinstance(error, InputError):
        code = grpc.StatusCode.INVALID_ARGUMENT
    return Refused(code, str(error))
