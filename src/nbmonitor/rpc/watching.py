"""One watch of a server: a thread that reads it, keeps what a viewer asks for most, and comes back after a cut."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import grpc

from nbmonitor.events import Batch, Demand, Event, Performance, Scalars, new_id
from nbmonitor.rpc import codec, threads
from nbmonitor.rpc.channel import code_of, method
from nbmonitor.rpc.codec import viewer as wire
from nbmonitor.subscription import Subscription, most

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nbmonitor.interfaces import SeriesInfo

SPARSE = 500  # sparse events kept of a run
IDLE = 30.0  # seconds after which a watch that nobody uses ends
GIVE_UP = 10.0  # seconds of silence of a stream, whose server speaks twice a second, after which it is opened anew
SURE = 2.0  # seconds between the look that finds that and the one that believes it: this process may have slept
TELL = 10.0  # seconds after which the server is told what was received, however little it is

_log = logging.getLogger("nbmonitor")


class Watching:
    """Watches one run, or with an empty ``run_id`` the states of all.

    Parameters
    ----------
    channel, metadata
        The road.
    run_id
        What is watched.
    cursor
        Number of the last event seen; None for "from now on".
    on_seen
        Called with every answer, from the thread.
    monotonic
        A monotonic clock, in seconds.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        metadata: Iterable[tuple[str, str]],
        run_id: str,
        *,
        cursor: int | None = None,
        on_seen: Callable[[Watching, wire.Seen], wire.Seen],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self.run_id = run_id
        self.cursor = cursor
        self.connected = False
        self.reconnects = 0
        self.heard = 0.0  # monotonic clock of the last answer
        self.used = time.monotonic()
        self.error: grpc.RpcError | None = None
        self.ready = threading.Event()
        self.series: tuple[SeriesInfo, ...] = ()
        self.sparse: deque[Event] = deque(maxlen=SPARSE)
        self.newest: dict[tuple[type, str], Event] = {}
        self.boxes: tuple[Subscription, ...] = ()
        self._channel = channel
        self._metadata = metadata
        self._on_seen = on_seen
        self._watch_id = ""  # of one life of the stream: what was received is counted in it
        self._asked = Demand()
        self._asking = threading.Lock()
        self._call_out = False
        self._received = self._told = 0  # bytes
        self._told_at = 0.0
        self._left_out = 0  # by the server, in this life
        self._doubted: float | None = None  # since when it was found silent
        self._closing = threading.Event()
        self._call: Any = None
        self._thread = threading.Thread(
            target=self._run, name=f"nbmonitor-client-{run_id or 'runs'}", daemon=True
        )

    def start(self) -> Watching:
        """Start the thread."""
        self._thread.start()
        return self

    def begun(self, timeout: float) -> None:
        """Wait for the first answer; raises RpcError when the server refuses, or that is not to be waited for."""
        end = time.monotonic() + timeout
        while not self.ready.wait(0.02):
            error = self.error
            late = time.monotonic() > end
            if error is not None and (late or code_of(error) is not grpc.StatusCode.UNAVAILABLE):
                raise error
            if late:
                return

    def stop(self) -> None:
        """Tell the thread to end; does not wait."""
        self._closing.set()
        call = self._call
        if call is not None:
            call.cancel()

    def join(self, timeout: float = 2.0) -> None:
        """Wait for the thread."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def look(self) -> None:
        """Open a stream anew on which nothing comes although its connection lives. Called by whoever reads.

        Bytes may be taken for the middle of something longer, or whoever writes is stuck: keepalive does not tell.
        """
        now, call = self._monotonic(), self._call
        if not self.connected or now - self.heard <= GIVE_UP:
            self._doubted = None
        elif self._doubted is None:
            self._doubted = now
        elif now - self._doubted > SURE and call is not None:
            self._doubted = None
            call.cancel()

    @property
    def over(self) -> bool:
        """Whether it was told to end."""
        return self._closing.is_set()

    def demand(self) -> Demand:
        """The most that any mailbox wants."""
        return most(self.boxes)

    def adjust(self) -> None:
        """Pass on what the mailboxes want, if it changed; does not wait."""
        with self._asking:  # one call at a time: a server takes two in any order
            wanted = self.demand()
            if self._call_out or wanted == self._asked or not self.connected:
                return
            self._asked, self._call_out = wanted, True
        if not self._say(wire.adjust(self._watch_id, wanted), self._adjusted):
            self._call_out = False

    def _say(self, words: bytes, then: Callable[[Any], None] = lambda _: None) -> bool:
        """Tell the server something about this watch; does not wait. False when the channel was closed meanwhile."""
        ask = method(self._channel, codec.MONITOR, "AdjustWatch")
        try:
            call = ask.future(words, timeout=5.0, metadata=self._metadata)
        except ValueError as error:
            _log.debug("words about %r not passed on: %r", self.run_id, error)
            return False
        call.add_done_callback(then)  # keeps the call, too: without owner it is cancelled
        return True

    def _acknowledge(self, seen: wire.Seen) -> None:
        """Say what was received, when the server wants to know."""
        for box in self.boxes:
            box.dropped += max(seen.left_out - self._left_out, 0)
        self._left_out = seen.left_out
        fresh, now = self._received - self._told, time.monotonic()
        if 0 < seen.acknowledge_after <= fresh or (
            seen.acknowledge_after and now - self._told_at > TELL
        ):
            self._told, self._told_at = self._received, now
            self._say(wire.received(self._watch_id, self._received))

    def _adjusted(self, _: Any) -> None:
        self._call_out = False
        self.adjust()  # what was wanted meanwhile

    def _run(self) -> None:
        attempt = 0
        while not self.over:
            try:
                self._read()
                attempt = 0
            except grpc.RpcError as error:
                self.error = error
                attempt = 0 if self.connected else attempt + 1
            except Exception as error:  # a viewer's thread lives as long as its viewer
                _log.debug("watch of %r broke: %r", self.run_id, error)
                attempt += 1
            self.connected = False
            self._closing.wait(threads.back_off(attempt, random.random, most=5.0))

    def _read(self) -> None:
        self._asked, self._watch_id = self.demand(), new_id("w")
        self._received = self._told = self._left_out = 0
        self._told_at = time.monotonic()
        wanted = wire.Watch(
            self.run_id, self.cursor, self._asked, self._watch_id, acknowledges=True
        )
        # Ready is what a server becomes that is late, or back after a cut: no attempt is wasted before.
        call = method(self._channel, codec.MONITOR, "WatchRun")(
            wire.watch(wanted), metadata=self._metadata, wait_for_ready=True
        )
        self._call = call
        if self.over:
            call.cancel()
        try:
            for data in call:
                seen = wire.read_seen(data)
                self._received += len(data)
                self._take(seen)
                self._acknowledge(seen)
                if self.run_id and not self.boxes and time.monotonic() - self.used > IDLE:
                    self._closing.set()
                    break
        finally:
            call.cancel()

    def _take(self, seen: wire.Seen) -> None:
        seen = self._on_seen(self, seen)
        if not self.connected and self.ready.is_set():
            self.reconnects += 1
        # After its word was taken: who finds the road open reads what the server says now.
        self.heard, self.connected, self.error = self._monotonic(), True, None
        last = seen.runs[0].last_seq if self.run_id and seen.runs else None
        anew = seen.caught_up and last is not None and last < (self.cursor or 0)
        if anew:  # another server, with numbers of its own
            self.cursor = 0
            self.newest.clear()
        if seen.series is not None:
            self.series = seen.series
        if seen.snapshot is not None:
            self.sparse.clear()
            self._keep(seen.snapshot)
        # Without a cursor nobody knows what was said during the cut.
        missed = seen.resync or anew or (seen.caught_up and self.ready.is_set() and not self.cursor)
        fresh = [e for e in seen.events if not self.run_id or self._is_fresh(e)]
        self._keep(fresh)
        if self.run_id:
            self.cursor = max((e.seq for e in fresh if not _passes(e)), default=self.cursor)
        for box in self.boxes:
            for event in fresh:
                box.put(event)
            if missed:
                box.resynchronise()
        self.ready.set()
        self.adjust()

    def _is_fresh(self, event: Event) -> bool:
        if not _passes(event):
            return event.seq > (self.cursor or 0)
        had = self.newest.get(_kind(event))
        return had is None or event.seq > had.seq

    def _keep(self, events: tuple[Event, ...] | list[Event]) -> None:
        for event in events:
            if _passes(event):
                self.newest[_kind(event)] = event
            elif not isinstance(event.payload, Scalars) and (
                not self.sparse or event.seq > self.sparse[-1].seq
            ):
                self.sparse.append(event)


def _passes(event: Event) -> bool:
    """Whether an event may overtake others, or be left out: the newest counts, and the cursor does not know it."""
    return isinstance(event.payload, Batch | Performance)


def _kind(event: Event) -> tuple[type, str]:
    payload = event.payload
    return type(payload), payload.split if isinstance(payload, Batch) else ""
