"""Decides what goes to the browser and when: one message a turn. No thread, no widget: a clock and a ``send``.

=============  ==============================================================================================
image frames   at most 60 a second, at the pace of the slowest page that is looking; newest wins
charts, facts  at most 10 a second, what changed only, curves that some page has in view
lines          with the next message
zoom windows   their own message, for one page; refreshed at most 4 times a second while points arrive in them
key frames     on hello, when another run is shown, after a resynchronisation
beat           a second after the last message
=============  ==============================================================================================
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from nbmonitor.errors import NbMonitorError
from nbmonitor.events import Batch, Command, CommandRecord, CommandState, new_id
from nbmonitor.notebook.curves import Curves
from nbmonitor.notebook.deeds import Deeds
from nbmonitor.notebook.desk import Desk
from nbmonitor.notebook.flow import Flow
from nbmonitor.notebook.frames import (
    Frame,
    mark_views,
    perf_view,
    run_ref,
    run_view,
    tiles_view,
    wrong_views,
)
from nbmonitor.notebook.pages import Pages, axes_of
from nbmonitor.notebook.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbmonitor.interfaces import Source
    from nbmonitor.notebook.desk import Reply, Request, Road
    from nbmonitor.notebook.pages import Page

GAP = 1 / 120  # seconds between any two messages; the flow keeps the mean at 60 a second or below
TICK = 0.1  # seconds between two looks at the facts
RIDE = 0.04  # seconds that charts and facts wait for a picture to go with, while pictures come
ZOOM_EVERY = 0.25
BEAT = 1.0
RUNS = 50  # in the menu


class Sender:
    """One dashboard's show. :meth:`post` from any thread; everything else from one.

    Parameters
    ----------
    source
        Where the data is.
    send
        Takes a header and its buffers.
    run_id
        The run to show; None follows the newest.
    notify
        Called from any thread when :meth:`turn` has something to do; must only set a flag.
    clock, monotonic
        Epoch seconds and monotonic seconds.
    """

    def __init__(
        self,
        source: Source,
        send: Callable[[dict[str, Any], list[bytes]], None],
        *,
        run_id: str | None = None,
        notify: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._send = send
        self._clock = clock
        self._monotonic = monotonic
        self.origin = new_id()
        self.stage = Stage(source, lambda: notify() if self._watched else None, clock)
        self.flow = Flow(monotonic)
        self._desk = Desk(notify)
        self._replies: deque[Reply] = deque()
        self._pages = Pages(self.flow)
        self._curves = Curves(source, self.stage, monotonic)
        self._deeds = Deeds(source)
        self._wanted = run_id
        self._n = 0
        self._whole = False
        self._watched = False
        self._said: dict[str, Any] = {}
        self._marked: Any = None
        self._free = self._tick_at = self._zoom_at = self._image_at = self._beat_at = 0.0
        self._alone_at = 0.0  # from then on charts and facts go without a picture

    # --- in ----------------------------------------------------------------------------------------------------------

    def post(self, raw: object, road: Road = "control") -> Reply:
        """Take a request from any thread; what came over the comm is answered over it."""
        reply = self._desk.post(raw, road)
        if road == "comm":
            self._replies.append(reply)
        return reply

    def _act(self, request: Request) -> None:
        self._curves.owed |= self._pages.take(request)
        if request.op == "follow":
            self._wanted = request.fields["run"]
        elif request.op == "command":
            self._command(request.id, request.fields)

    def _command(self, key: str, fields: Mapping[str, Any]) -> None:
        command = Command(
            fields["run"],
            fields["kind"],
            fields["params"],
            key,
            asked_at=self._clock(),
            expected_version=fields["version"],
        )
        try:
            record = self._source.send(command)
        except (NbMonitorError, OSError) as error:
            record = CommandRecord(command, CommandState.REJECTED, error=str(error))
        self.stage.receipt(record, self._clock())

    # --- a turn ------------------------------------------------------------------------------------------------------

    def turn(self) -> float:
        """Do what is due: at most one frame. Returns the seconds until something may be due without a notification."""
        for request in self._desk.take():
            self._act(request)
        while self._replies:
            self._send({"k": "reply"} | self._replies.popleft(), [])
        now = self._monotonic()
        shown = self.stage.run_id
        if self.stage.look(self._wanted, now):
            self._whole = True
            self._pages.renew(same_run=self.stage.run_id == shown)
        there = self._pages.there()
        self._watched = bool(there)  # without a page, what a run reports can wait for the next look
        self.stage.demand(round(self.flow.images, 1), self._pages.pixels)
        self._deeds.look(self._pages.audit, self.stage.run_id, now)
        frame = None
        if now >= self._free:
            try:
                frame = self._frame(there, now)
            except (NbMonitorError, OSError) as error:  # the source was there a moment ago
                self.stage.failed(error, now)
        if frame is not None:
            self._send(frame.header, frame.buffers)
            self.flow.sent(self._n, frame.nbytes)
            self._free, self._beat_at = now + GAP, now + BEAT
        elif now >= self._beat_at:
            t = self._clock()
            beat = {"k": "beat", "t": t, "origin": self.origin, "age": self.stage.link.age(t)}
            self._send(beat, [])
            self._beat_at = now + BEAT
        return max(0.002, self._due(there, now) - now) if there else BEAT / 2

    def _due(self, there: Mapping[str, Page], now: float) -> float:
        stage, paced = self.stage, now + self.flow.wait()
        due = [self._beat_at, now + BEAT / 2]
        if self._whole or any(p.key for p in there.values()):
            due.append(self._free)
        if stage.batch_is_new:
            due.append(max(paced, self._image_at))
        if stage.news or self._deeds.due:
            due.append(paced)
        if stage.touched:
            due.append(max(paced, self._tick_at, self._alone_at))
        if self._curves.due:
            due.append(max(paced, self._curves.due_at, self._alone_at))
        if any(z.due for p in there.values() for z in p.zooms.values()):
            due.append(max(self._free, self._zoom_at))
        return min(due)

    def _frame(self, there: Mapping[str, Page], now: float) -> Frame | None:
        """The message that is due, if any; who needs most goes first."""
        waiting = [c for c, p in there.items() if p.key]
        if there and (self._whole or (waiting and len(there) == 1)):
            return self._key(there, None)
        if waiting:
            return self._key({waiting[0]: there[waiting[0]]}, waiting[0])
        if now >= self._zoom_at:
            for client, page in there.items():
                frame = Frame()
                if views := self._curves.zoomed(frame, page):
                    frame.header["series"] = views
                    self._zoom_at = now + ZOOM_EVERY / len(there)
                    return self._stamped(frame, to=client)
        if there and self.flow.wait() == 0.0:
            return self._usual(there, now)
        return None

    def _stamped(self, frame: Frame, *, key: bool = False, to: str | None = None) -> Frame:
        self._n += 1
        t = self._clock()
        frame.stamp(self._n, t, self.origin, age=self.stage.link.age(t), key=key, to=to)
        return frame

    # --- the kinds of frames -----------------------------------------------------------------------------------------

    def _key(self, pages: Mapping[str, Page], to: str | None) -> Frame:
        stage, frame = self.stage, Frame()
        facts = self._facts()
        frame.header |= facts
        axes = axes_of(pages.values())
        frame.header["series"] = self._curves.all(frame, axes, settle=to is None)
        frame.header["marks"] = mark_views(stage.chronicle.marks.values(), stage.epochs)
        frame.header["events"] = list(stage.chronicle.lines.values())
        if stage.batch is not None and isinstance(stage.batch.payload, Batch):
            frame.header["tiles"] = tiles_view(frame, stage.batch, stage.batch.payload)
        frame.header["wrong"] = {"tiles": wrong_views(frame, stage.wrong)}
        self._deeds.again()
        for page in pages.values():
            page.key = False
        if to is None:
            self._whole = False
            self._said = facts
            self._marked = _fingerprint(stage.chronicle.marks)
            stage.news.clear()
            stage.batch_is_new = stage.touched = False
        return self._stamped(frame, key=True, to=to)

    def _usual(self, there: Mapping[str, Page], now: float) -> Frame | None:
        stage, frame = self.stage, Frame()
        pictured = stage.batch_is_new and stage.batch is not None and now >= self._image_at
        if not (pictured or stage.news or self._deeds.due) and now < self._alone_at:
            return None  # a message of its own would take the place of a picture: the next one takes it along
        if self._curves.due and now >= self._curves.due_at:
            self._curves.touch_zooms(there.values())
            if views := self._curves.grown(frame, axes_of(there.values())):
                frame.header["series"] = views
        if stage.touched and now >= self._tick_at:
            facts = self._facts()
            frame.header |= {k: v for k, v in facts.items() if self._said.get(k, _NEVER) != v}
            self._said = facts
            self._tick_at = now + TICK
            stage.touched = False
        if stage.news:
            frame.header["events"] = list(stage.news.values())
            stage.news.clear()
        if self._deeds.due:
            frame.header["audit"] = self._deeds.take()
        marked = _fingerprint(stage.chronicle.marks)
        if marked != self._marked:
            frame.header["marks"] = mark_views(stage.chronicle.marks.values(), stage.epochs)
            self._marked = marked
        images = self.flow.images
        if pictured and stage.batch is not None:
            self._alone_at = now + RIDE
            payload = stage.batch.payload
            if isinstance(payload, Batch):
                frame.header["tiles"] = tiles_view(frame, stage.batch, payload)
            stage.batch_is_new = False
            if images < self.flow.rate:  # else the pace of all frames is enough
                late = now - self._image_at > 1 / images
                self._image_at = (now if late else self._image_at) + 1 / images
        return self._stamped(frame) if frame.header else None

    # --- parts -------------------------------------------------------------------------------------------------------

    def _facts(self) -> dict[str, Any]:
        stage, now = self.stage, self._clock()
        info = stage.info
        facts: dict[str, Any] = {
            "runs": [run_ref(r) for r in stage.runs[:RUNS]],
            "following": self._wanted is None,
            "run": None if info is None else run_view(info),
            "link": stage.link.view(
                info,
                self._source.address,
                self._source.road,
                now,
                dropped=stage.dropped,
                trouble=stage.trouble or self._source.trouble,
            ),
        }
        if info is not None:
            facts["perf"] = perf_view(info, stage.perf, now)
        return facts

    def close(self) -> None:
        """Let go of the source's mailboxes."""
        self.stage.close()


_NEVER = object()


def _fingerprint(marks: Mapping[str, dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    return tuple((key, mark["label"]) for key, mark in marks.items())
