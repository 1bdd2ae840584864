"""One watch, as the server shows it: what is said when, within what the viewer's road carries."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import grpc

from nbmonitor.events import Batch, Event, Scalars, Status
from nbmonitor.rpc.buffer import together
from nbmonitor.rpc.codec import viewer as wire
from nbmonitor.rpc.limits import Refused
from nbmonitor.rpc.loop import Bell
from nbmonitor.rpc.pacing import PATIENCE, Pacing
from nbmonitor.subscription import weight

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from nbmonitor.broker import Broker
    from nbmonitor.events import Demand, RunInfo
    from nbmonitor.interfaces import SeriesInfo
    from nbmonitor.rpc.encoded import Encoded
    from nbmonitor.rpc.loop import Turns

# Seconds: a watch says something at least that often, so that silence means a broken link.
TICK = 0.5
STUCK = 60.0  # seconds for which gRPC may fail to take an answer, because nobody reads
FRAMES = 60.0  # answers a second of one watch, at most
SLACK = 0.004  # seconds by which a picture may be early: the clock of a tick is no better
SPARSE = 200  # events of a first picture
REFRESH = 0.25  # seconds between two descriptions of a run, or two indexes of its series
REFRESH_SELDOM = 1.0  # the same for every run while no state changes, and on a narrow road
FEW = 16  # watches of a server up to which facts are told as often as they change
SHARE = 0.4  # of one core, for the turns of all watches together
MERGE = 4  # blocks of values in one answer, beyond which they are put together
BLOCK = 32 << 10  # bytes of such a block
PORTION = 4 << 10  # bytes of an answer at least, if there is so much to say


class Showing:
    """Answers of one watch. To be made in the loop.

    Parameters
    ----------
    broker
        What is looked at.
    encoded
        Gives the bytes of events that every viewer is sent.
    wanted
        What the viewer asked for.
    crowd
        How many watches the server has: each leaves the others as many turns' time as there are.
    turns
        Whose turn it is, of all streams of a server.
    monotonic
        A monotonic clock, in seconds.

    Raises
    ------
    UnknownRunError
        When there is no such run.
    """

    def __init__(
        self,
        broker: Broker,
        encoded: Encoded,
        wanted: wire.Watch,
        *,
        crowd: Callable[[], int],
        turns: Turns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._encoded = encoded
        self._run_id = wanted.run_id
        self._wanted = wanted.demand
        self._bell = Bell()  # there is mail
        self._moved = Bell()  # the viewer said what it received
        self.box = broker.subscribe(
            wanted.run_id or None, after_seq=wanted.after_seq, notify=self._bell.ring
        )
        self.box.demand = wanted.demand
        self._crowd = crowd
        self._turns = turns
        self._clock = monotonic
        self._pacing = Pacing(acknowledges=wanted.acknowledges, monotonic=monotonic)
        self._waiting: deque[Event] = deque()  # numbers and words whose turn has not come
        self._joined: set[int] = set()  # numbers of those that were put together for this viewer
        self._held: dict[str, Event] = {}  # newest pictures whose turn has not come
        self._runs: dict[str, RunInfo] = {}
        self._series: tuple[SeriesInfo, ...] = ()
        self._refreshed = self._pictured = self._spoke = float("-inf")
        self._resync = False
        self._first = True
        self._left_out = 0
        self._stuck: float | None = None  # since when gRPC has not taken an answer

    # --- what others call --------------------------------------------------------------------------------------------

    def adjust(self, demand: Demand) -> None:
        """The viewer wants something else."""
        self._wanted = demand
        self.box.demand = self._pacing.demand(demand)
        self.box.wake()

    def received(self, total: int) -> None:
        """The viewer has received so many bytes."""
        self._pacing.received(total)
        self._moved.ring()
        self._bell.ring()

    def close(self) -> None:
        """End after what was said until now. Idempotent."""
        self.box.close()
        self._moved.ring()

    @property
    def stuck(self) -> float:
        """Seconds for which gRPC has not taken an answer: its buffers are full, because nobody reads."""
        since = self._stuck
        return 0.0 if since is None else self._clock() - since

    # --- in the loop -------------------------------------------------------------------------------------------------

    async def show(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Write everything there is to say, until the mailbox is closed. Raises Refused when nobody reads."""
        pacing, last = self._pacing, False
        while not last:
            await self._turns.take()
            began = self._clock()
            self._bell.still()
            self._moved.still()
            last = self.box.closed  # looked at before the drain: what came until now is handed on
            data = self._turn(began, last)
            spent = self._clock() - began
            if data is not None:
                self._stuck = self._clock()
                await self._written(write(data))
                self._stuck = None
            if pacing.silent > PATIENCE:
                raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, _unread(pacing.silent))
            if not last:
                await asyncio.sleep(pause(spent, self._crowd()))
                await self._rest()

    def _turn(self, now: float, last: bool) -> bytes | None:
        """What there is to say (without a word, too, when it is time to be heard); None for nothing."""
        pacing = self._pacing
        self.box.demand = pacing.demand(self._wanted)
        answer = self._answer(now, last) if pacing.room or self._first or last else None
        if answer is None and now - self._spoke < TICK:
            return None
        self._spoke = now
        data = self._bytes(answer or wire.Seen())
        pacing.sent(len(data))
        return data

    async def _rest(self) -> None:
        """Wait for something to say, and for room to say it."""
        due = self._spoke + TICK
        if not self._pacing.room:
            self._pacing.full()
            await self._moved.wait(max(due - self._clock(), 0.0))
            return
        if self._held:
            due = min(due, self._pictured + 1.0 / max(self.box.demand.fps, 1e-3))
            if due <= self._clock():  # it is due and has no room: a word of the viewer wakes us
                due = self._spoke + TICK
        if not self._waiting:
            await self._bell.wait(max(due - self._clock(), 0.0))

    async def _written(self, writing: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(STUCK):
                await writing
        except TimeoutError:
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, _unread(STUCK)) from None

    def _answer(self, now: float, last: bool) -> wire.Seen | None:
        """What there is to say, None for nothing."""
        if not self._waiting or last:
            mail = self.box.drain()
            self._resync |= mail.resync
            self._sort(mail.events)
        fresh = self._facts(now, last)
        if self._run_id and (self._first or self._resync):
            fresh["snapshot"] = self._first_picture()
        events = self._portion(everything=last)
        resync, first = self._resync and not self._first, self._first
        self._first = self._resync = False
        fps = max(self.box.demand.fps, 1e-3)
        if self._held and (last or now - self._pictured >= 1.0 / fps - SLACK):
            size = sum(weight(e) for e in self._held.values())
            if last or self._pacing.fits(size + sum(weight(e) for e in events)):
                self._pictured = now
                events = sorted((*events, *self._held.values()), key=lambda e: e.seq)
                for event in self._held.values():
                    self._pacing.pictured(_width(event))
                self._held = {}
        if not (events or fresh or first or resync or last):
            return None
        return wire.Seen(tuple(events), caught_up=first, resync=resync, **fresh)

    def _sort(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event.payload, Batch):
                self._left_out += event.payload.split in self._held
                self._held[event.payload.split] = event
            else:
                self._waiting.append(event)
        if len(self._waiting) > MERGE:
            self._waiting = deque(self._merged())

    def _facts(self, now: float, last: bool) -> dict[str, Any]:
        """Runs and series, where they changed and it is time."""
        few = self._run_id and not self._pacing.narrow
        news = any(isinstance(e.payload, Status) for e in self._waiting)
        every = REFRESH if few or (self._waiting and not self._run_id) else REFRESH_SELDOM
        every *= max(self._crowd() / FEW, 1.0)
        if not (self._first or last or self._resync or news or now - self._refreshed >= every):
            return {}
        self._refreshed = now
        fresh: dict[str, Any] = {}
        found = (self._broker.run(self._run_id),) if self._run_id else self._broker.runs()
        if changed := tuple(r for r in found if self._runs.get(r.run_id) != r):
            fresh["runs"] = changed
        self._runs = {r.run_id: r for r in found}
        if self._run_id and (index := tuple(self._broker.series(self._run_id))) != self._series:
            self._series = fresh["series"] = index
        return fresh

    def _portion(self, *, everything: bool) -> list[Event]:
        """The next numbers and words, as many as there is room for."""
        room = max(self._pacing.room, PORTION)
        out: list[Event] = []
        while self._waiting and (everything or room > 0 or not out):
            event = self._waiting.popleft()
            room -= weight(event)
            out.append(event)
        return out

    def _bytes(self, answer: wire.Seen) -> bytes:
        left_out = self._left_out + self.box.dropped
        return wire.seen(
            answer, self._encode, acknowledge_after=self._pacing.after, left_out=left_out
        )

    def _encode(self, event: Event) -> bytes:
        if event.seq not in self._joined:
            return self._encoded(event)
        self._joined.discard(event.seq)
        return wire.event(event)

    def _merged(self) -> Iterator[Event]:
        """What waits, with neighbouring blocks of values put together; these have the number of the last."""
        had: Event | None = None
        for event in self._waiting:
            both = None
            if had is not None:
                if isinstance(event.payload, Scalars) and isinstance(had.payload, Scalars):
                    both = together(had, event)
                if both is not None and weight(both) <= BLOCK:
                    self._joined.discard(had.seq)
                    self._joined.add(both.seq)
                    event = both  # noqa: PLW2901 (it goes on in place of the two)
                else:
                    yield had
            had = event
        if had is not None:
            yield had

    def _first_picture(self) -> tuple[Event, ...]:
        sparse = self._broker.events(self._run_id, limit=SPARSE)
        return tuple(sorted((*sparse, *self._broker.latest(self._run_id)), key=lambda e: e.seq))


def pause(spent: float, crowd: int) -> float:
    """Seconds until the next turn after one that took ``spent``: no faster than a screen, nor than a crowd allows."""
    return max(1.0 / FRAMES - spent, min(spent * crowd / SHARE, TICK / 2))


def _width(event: Event) -> int:
    payload = event.payload
    mosaic = payload.mosaic if isinstance(payload, Batch) else None
    return mosaic.width if mosaic is not None else 0


def _unread(seconds: float) -> str:
    return (
        f"this watch was not read for {seconds:.0f} s, so it was closed to make room for others; "
        "attach again when somebody looks"
    )
