"""A viewer's road to a server elsewhere: a ``Source`` over one channel, with the frequent answers at hand."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc

from nbmonitor.errors import AttachError, InputError, UnknownRunError
from nbmonitor.events import CommandRecord, CommandState, LinkState, Status
from nbmonitor.rpc import threads
from nbmonitor.rpc.absence import Absence
from nbmonitor.rpc.calls import Calls
from nbmonitor.rpc.channel import REFUSALS, code_of, explain, explain_closely
from nbmonitor.rpc.codec import audits
from nbmonitor.rpc.codec import viewer as wire
from nbmonitor.rpc.roads.bearer import Bearer
from nbmonitor.rpc.standing import Facts, Standing
from nbmonitor.rpc.watching import Watching
from nbmonitor.rpc.windows import Windows
from nbmonitor.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nbmonitor.audit import AuditRow
    from nbmonitor.events import Command, Event, RunInfo, SeriesKind
    from nbmonitor.interfaces import Axis, SeriesInfo, Window
    from nbmonitor.rpc.roads.ssh import Tunnel
    from nbmonitor.rpc.trust.tls import Tls

DEADLINE = 2.0  # seconds that a dashboard can wait for an answer
SENDING = 1.5  # and for the one to a command, in the thread that paints


class Client:
    """Attaches to a server and shows its runs.

    Parameters
    ----------
    address
        ``host:port`` or ``unix:/path`` of the server.
    token
        Its token, or what returns it, asked anew at every call.
    actor
        What this viewer calls itself where the token has no name; ``user@host`` by default.
    name
        How its place is called in front of people, where that is not ``address``.
    tunnel
        What was opened to get there: closed with the client.
    tls
        How to check the server; see :func:`nbmonitor.rpc.channel.dial`.
    monotonic
        A monotonic clock, in seconds.
    lost_after
        Seconds without a connection after which a run that did not end is LOST.

    Raises
    ------
    AttachError
        When ``address`` is none; from :meth:`connect` when nobody answers there, or refuses.
    """

    def __init__(
        self,
        address: str,
        token: str | Callable[[], str | None] | None = None,
        *,
        actor: str = "",
        name: str = "",
        tunnel: Tunnel | None = None,
        tls: Tls | bool | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        lost_after: float = 30.0,
    ) -> None:
        self.forked = False
        self._calls = Calls(address, tls, Bearer(token, actor))
        self._address = name or self._calls.target
        self._tunnel = tunnel
        self.chosen = ""  # id of the run that was asked for with the address; "" for the newest
        self._monotonic = monotonic
        self._absence = Absence(self._address, lost_after)
        self._lock = threading.Lock()
        self._runs: dict[str, RunInfo] = {}  # oldest first
        self._watches: dict[str, Watching] = {}
        self._everywhere: tuple[Subscription, ...] = ()
        self._windows = Windows(self._fetch, self._begin, monotonic)
        self._mine: OrderedDict[str, None] = OrderedDict()
        self._standing = Standing(monotonic)
        threads.guard(self)

    # --- life --------------------------------------------------------------------------------------------------------

    def connect(self, timeout: float = 5.0) -> Client:
        """Attach. Raises :class:`~nbmonitor.errors.AttachError` with the remedy."""
        end = time.monotonic() + timeout
        self._calls.open()
        # Both at once, as soon as the server is there: on a long road every turn counts. The watch brings the runs.
        watch = self._standing.watch = self._watching("").start()
        try:
            answered = self._standing.server.asks()
            answered(self._calls.first("GetServerInfo", timeout))
            watch.begun(max(end - time.monotonic(), 0.1))
        except (grpc.RpcError, InputError) as error:
            self._standing.watch = None
            watch.stop()
            watch.join()
            self._calls.close()
            text = str(error)
            if isinstance(error, grpc.RpcError):
                text = explain_closely(error, self._calls.target, self._calls.tls)
            raise AttachError(text) from error
        return self

    def close(self) -> None:
        """Let go: mailboxes, threads, the channel. Idempotent."""
        if self.forked:
            return
        with self._lock:
            watches = self._every()
            self._standing.watch, self._watches = None, {}
            boxes = [*self._everywhere, *(b for w in watches for b in w.boxes)]
        for watch in watches:
            watch.stop()
        for box in boxes:
            box.close()
        for watch in watches:
            watch.join()
        self._calls.close()
        if self._tunnel is not None:
            self._tunnel.close()

    def ask_server(self, timeout: float = DEADLINE) -> tuple[wire.ServerInfo, float]:
        """Who answers, and the seconds that took. Raises :class:`~nbmonitor.errors.AttachError`."""
        began = time.perf_counter()
        try:
            answer = self._calls.ask("GetServerInfo", b"", timeout)
            return wire.read_server_info(answer), time.perf_counter() - began
        except (grpc.RpcError, InputError) as error:
            text = explain(error, self._address) if isinstance(error, grpc.RpcError) else str(error)
            raise AttachError(text) from error

    # --- Source ------------------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where the data lives."""
        return self._address

    @property
    def road(self) -> LinkState:
        """The road from here to the server."""
        return self._standing.road

    @property
    def trouble(self) -> str:
        """Why the server refuses, in words; "" while it answers, and while nobody does."""
        return self._standing.trouble(self._address)

    def runs(self) -> Sequence[RunInfo]:
        """All runs, newest first, as last told; :attr:`RunInfo.link` includes the road from here."""
        self.check()
        with self._lock:
            found = list(reversed(self._runs.values()))
        return [self._linked(info) for info in found]

    def run(self, run_id: str) -> RunInfo:
        """One run as last told."""
        self.check()
        info = self._runs.get(run_id)
        if info is None:
            self._look_for(run_id)
            info = self._runs[run_id]
        return self._linked(info)

    def subscribe(
        self,
        run_id: str | None,
        *,
        after_seq: int | None = None,
        notify: Callable[[], None] | None = None,
    ) -> Subscription:
        """Open a mailbox. Raises UnknownRunError, and AttachError before :meth:`connect`."""
        if run_id is None:
            box = Subscription(None, notify=notify, on_close=self._drop)
            with self._lock:
                self._everywhere = (*self._everywhere, box)
            return box
        watch = self._watch(run_id, after_seq)
        box = Subscription(run_id, notify=notify, on_close=self._drop, on_demand=watch.adjust)
        with self._lock:
            watch.boxes = (*watch.boxes, box)
        if (
            after_seq is not None and watch.cursor != after_seq
        ):  # the watch is further, or elsewhere
            box.resynchronise()
        watch.adjust()
        watch.ready.wait(DEADLINE)  # "from now on" begins when the server knows of it
        return box

    def series(self, run_id: str) -> Sequence[SeriesInfo]:
        """The series of a run, as last told."""
        return self._ready(run_id).series

    def window(
        self,
        run_id: str,
        name: str,
        kind: SeriesKind = "step",
        *,
        axis: Axis = "step",
        lo: float | None = None,
        hi: float | None = None,
        max_points: int = 1000,
        wait: bool = True,
    ) -> Window:
        """Points of a series for drawing; while the server does not answer, those of the last answer."""
        watch = self._watches.get(run_id)
        index = watch.series if watch is not None else ()
        count = next((s.count for s in index if s.name == name and s.kind == kind), -1)
        asked = wire.History(run_id, (name,), kind, axis, lo, hi, max_points)
        return self._windows.get(asked, count, wait=wait)

    def events(self, run_id: str, *, limit: int = 200) -> Sequence[Event]:
        """The latest sparse events, oldest first."""
        told = list(self._ready(run_id).sparse)
        with self._lock:
            return self._absence.merged(run_id, told)[-limit:]

    def latest(self, run_id: str) -> Sequence[Event]:
        """The newest Performance and Batch events."""
        return sorted(self._ready(run_id).newest.values(), key=lambda e: e.seq)

    def send(self, command: Command) -> CommandRecord:
        """Post a command; when the server does not answer, nobody knows whether it arrived (UNCONFIRMED).

        Without a connection it is REJECTED at once: it would only arrive when nobody means it any more. So it is by a
        server that does not take it from this viewer.
        """
        if self._standing.road is LinkState.DISCONNECTED:
            text = (
                f"there is no connection to the server at {self._address}: the command was not sent"
            )
            now = time.time()
            return CommandRecord(command, CommandState.REJECTED, error=text, resolved_at=now)
        with self._lock:
            self._mine[command.command_id] = None
            while len(self._mine) > 1_000:
                self._mine.popitem(last=False)
            meant = self._standing.server.meant(command, self._runs.get(command.run_id))
        try:
            record = wire.read_sent(self._calls.ask("SendCommand", wire.send(meant), SENDING))
        except (grpc.RpcError, InputError, AttachError) as error:
            text = explain(error, self._address) if isinstance(error, grpc.RpcError) else str(error)
            refused = isinstance(error, grpc.RpcError) and code_of(error) in REFUSALS
            state = CommandState.REJECTED if refused else CommandState.UNCONFIRMED
            return CommandRecord(command, state, error=text, resolved_at=time.time())
        if record is None:
            text = "the server's answer is of a later version"
            return CommandRecord(command, CommandState.UNCONFIRMED, error=text)
        return replace(record, command=command)

    def audit(self, run_id: str = "", limit: int = 200) -> Sequence[AuditRow]:
        """The newest rows of the server's audit log, newest last; raises AttachError when it does not tell them."""
        asked = audits.ask(audits.Asked(run_id, limit=limit))
        try:
            return audits.read_answer(self._calls.ask("ListAuditEvents", asked, DEADLINE))[0]
        except (grpc.RpcError, InputError) as error:
            text = explain(error, self._address) if isinstance(error, grpc.RpcError) else str(error)
            raise AttachError(text) from error

    # --- the road ----------------------------------------------------------------------------------------------------

    def facts(self) -> Facts:
        """What is true about the road from here to the server."""
        with self._lock:
            watches = list(self._watches.values())
        return self._standing.facts(watches, self._tunnel.problem if self._tunnel else "")

    def check(self) -> None:
        """Look whether the server still answers, and tell what follows. Called by whoever reads; cheap."""
        with self._lock:
            for watch in self._every():
                watch.look()
            runs = tuple(self._runs.values())
            told = self._absence.look(
                self._standing.road, self._standing.silence, self._monotonic(), runs
            )
            everywhere = self._everywhere
            mail = [(e, w.boxes if (w := self._watches.get(e.run_id)) else ()) for e in told]
        for event, boxes in mail:
            for box in boxes:
                box.put(event)
            if isinstance(event.payload, Status):
                for box in everywhere:
                    box.put(event)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _fetch(self, asked: wire.History) -> Window | None:
        """A window from the server; None while it does not answer."""
        if not self._standing.answers:
            return None
        try:
            return wire.read_window(
                self._calls.ask("GetHistory", wire.ask_history(asked), DEADLINE)
            )
        except (grpc.RpcError, InputError, AttachError):
            return None

    def _begin(self, asked: wire.History, note: Callable[[Window | None], None]) -> bool:
        """Ask the server for a window without waiting; False while it does not answer."""
        if not self._standing.answers:
            return False

        def read(answer: bytes | None) -> None:
            found = None
            try:
                found = None if answer is None else wire.read_window(answer)
            except InputError:
                pass
            finally:  # whatever it was: else nothing would be asked for any more
                note(found)

        return self._calls.begin("GetHistory", DEADLINE, read, wire.ask_history(asked))

    def _look_for(self, run_id: str) -> None:
        """Ask the server for a run that was not told of yet."""
        try:
            found = wire.read_runs(self._calls.ask("ListRuns", b"", DEADLINE))
        except (grpc.RpcError, InputError):
            found = ()
        with self._lock:
            for info in reversed(found):
                self._runs.setdefault(info.run_id, info)
            if run_id not in self._runs:
                raise UnknownRunError(run_id, tuple(i.name for i in self._runs.values()))

    def _watch(self, run_id: str, cursor: int | None = None) -> Watching:
        if run_id not in self._runs:
            self._look_for(run_id)
        with self._lock:
            watch = self._watches.get(run_id)
            if watch is not None and not watch.over:
                watch.used = time.monotonic()
                return watch
            watch = self._watches[run_id] = self._watching(run_id, cursor).start()
            return watch

    def _watching(self, run_id: str, cursor: int | None = None) -> Watching:
        return Watching(
            self._calls.channel,
            self._calls.metadata,
            run_id,
            cursor=cursor,
            on_seen=self._seen,
            monotonic=self._monotonic,
        )

    def _ready(self, run_id: str) -> Watching:
        watch = self._watch(run_id)
        watch.ready.wait(DEADLINE)
        return watch

    def _drop(self, box: Subscription) -> None:
        with self._lock:
            self._everywhere = tuple(b for b in self._everywhere if b is not box)
            watch = self._watches.get(box.run_id or "")
            if watch is not None:
                watch.boxes = tuple(b for b in watch.boxes if b is not box)
                watch.used = time.monotonic()
        if watch is not None:
            watch.adjust()

    def _seen(self, watch: Watching, seen: wire.Seen) -> wire.Seen:
        """Take what a watch was told; in receipts, "you" is whoever asked from here."""
        with self._lock:
            if seen.events:
                self._standing.said = self._monotonic()
            if not watch.run_id and seen.caught_up:
                self._runs = {}
                self._standing.anew()
            for info in reversed(seen.runs):
                had = self._runs.get(info.run_id)
                # Two watches tell of one run: the later word stands, unless a server begins anew.
                if seen.caught_up or had is None or info.last_seq >= had.last_seq:
                    self._runs[info.run_id] = info
            mine = self._mine
            everywhere = self._everywhere if not watch.run_id else ()
        seen = replace(
            seen,
            events=tuple(_owned(e, mine) for e in seen.events),
            snapshot=None
            if seen.snapshot is None
            else tuple(_owned(e, mine) for e in seen.snapshot),
        )
        for box in everywhere:
            for event in seen.events:
                box.put(event)
            if seen.resync:
                box.resynchronise()
        if not watch.run_id:
            self._standing.measure(lambda note: self._calls.begin("GetServerInfo", DEADLINE, note))
        return seen

    def _linked(self, info: RunInfo) -> RunInfo:
        lost = self._absence.lost.get(info.run_id)
        if lost is not None:
            info = replace(info, state=lost.state, message=lost.message)
        return self._standing.linked(info)

    def _every(self) -> list[Watching]:
        """Every watch, that of all runs first."""
        watch = self._standing.watch
        return [*([] if watch is None else [watch]), *self._watches.values()]


def _owned(event: Event, mine: OrderedDict[str, None]) -> Event:
    record = event.payload
    if isinstance(record, CommandRecord) and record.command.command_id in mine:
        return replace(event, payload=replace(record, command=replace(record.command, actor="you")))
    return event
