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
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbmonitor.errors import NbMonitorError
from nbmonitor.events import EPOCH_SERIES, Batch, Command, CommandRecord, CommandState, new_id
from nbmonitor.notebook.desk import Desk
from nbmonitor.notebook.flow import CAP, Flow
from nbmonitor.notebook.frames import (
    Frame,
    link_view,
    mark_views,
    perf_view,
    run_ref,
    run_view,
    series_view,
    tiles_view,
)
from nbmonitor.notebook.plain import text
from nbmonitor.notebook.stage import Stage
from nbmonitor.series import classify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nbmonitor.interfaces import Axis, Source
    from nbmonitor.notebook.desk import Reply, Request, Road

GAP = 1 / 120  # seconds between any two messages; the flow keeps the mean at 60 a second or below
TICK = 0.1  # seconds between two looks at charts and facts
TOTALS_EVERY = 1.0  # seconds between two words about series out of view
ZOOM_EVERY = 0.25
BEAT = 1.0
LIVE_POINTS, ALL_POINTS = 1000, 2000
FIRST_CHARTS = 8  # that a page which has not said what it sees gets with its key frame
WINDOWS = 64  # curves in one frame
PAGES = 32  # whose settings are kept
RUNS = 50  # in the menu
WRONG_BYTES = 1 << 20  # of pictures of wrong tiles in a key frame


@dataclass(slots=True)
class Zoom:
    """A page's window on a chart. ``told``: what it was last told, to say nothing twice."""

    axis: Axis
    span: tuple[float, float]
    due: bool = True
    told: dict[tuple[str, str], Any] = field(default_factory=dict)


@dataclass(slots=True)
class Page:
    """What one page looks at. ``want`` None: it has not said yet. ``key``: it waits for a key frame."""

    axis: Axis = "step"
    want: frozenset[str] | None = None
    zooms: dict[str, Zoom] = field(default_factory=dict)
    fps: float = CAP
    visible: bool = True
    key: bool = True


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
        self.stage = Stage(source, lambda: notify() if self._watched else None)
        self.flow = Flow(monotonic)
        self._desk = Desk(notify)
        self._replies: deque[Reply] = deque()
        self._pages: OrderedDict[str, Page] = OrderedDict()
        self._wanted = run_id
        self._n = 0
        self._whole = False
        self._watched = False
        self._said: dict[str, Any] = {}
        self._owed: set[tuple[Axis, str]] = set()  # whole curves that somebody waits for
        self._quiet: set[tuple[str, str]] = set()  # series that grew out of view
        self._marked: Any = None
        self._free = self._tick_at = self._totals_at = self._zoom_at = self._image_at = 0.0
        self._beat_at = 0.0

    # --- in ----------------------------------------------------------------------------------------------------------

    def post(self, raw: object, road: Road = "control") -> Reply:
        """Take a request from any thread; what came over the comm is answered over it."""
        reply = self._desk.post(raw, road)
        if road == "comm":
            self._replies.append(reply)
        return reply

    def _act(self, request: Request) -> None:
        op, fields, client = request.op, request.fields, request.client
        if op == "bye":
            self.flow.bye(client)
            return
        if op == "ack" and client not in self.flow.clients:
            return  # said before its goodbye; a page that was forgotten has other words too
        page = self._pages.get(client)
        if page is None:
            page = self._pages[client] = Page()
            while len(self._pages) > PAGES:
                self.flow.bye(self._pages.popitem(last=False)[0])
        self._pages.move_to_end(client)
        mute = request.road == "comm"
        if op == "hello":
            page.axis, page.want = fields["axis"], fields["want"] or None
            page.fps, page.visible, page.key = fields["fps"], fields["visible"], True
            page.zooms.clear()
        if op == "hello" or not self.flow.heard(client, mute=None if mute else False):
            page.key = True  # it comes back from a silence in which it was forgotten
            self.flow.hello(client, visible=page.visible, mute=mute)
            self.flow.menu(client, page.fps)
        if op == "ack":
            page.visible = fields["visible"]
            self.flow.ack(client, fields["n"], visible=page.visible)
        elif op == "visible":
            page.visible = fields["visible"]
            self.flow.visible(client, page.visible)
        elif op == "rate":
            page.fps = fields["fps"]
            self.flow.menu(client, page.fps)
        elif op == "axis":
            page.axis = fields["axis"]
            page.zooms.clear()
            self._owed.update((page.axis, chart) for chart in page.want or ())
        elif op == "want":
            fresh = fields["want"] - (page.want or frozenset())
            page.want = fields["want"]
            self._owed.update((page.axis, chart) for chart in fresh)
        elif op == "zoom":
            page.zooms.pop(fields["chart"], None)
            if fields["span"] is None:
                self._owed.add((page.axis, fields["chart"]))
            else:
                page.zooms[fields["chart"]] = Zoom(fields["axis"], fields["span"])
        elif op == "follow":
            self._wanted = fields["run"]
        elif op == "command":
            self._command(request.id, fields)

    def _command(self, key: str, fields: Mapping[str, Any]) -> None:
        command = Command(
            fields["run"], fields["kind"], fields["params"], key, asked_at=self._clock()
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
        if self.stage.look(self._wanted, now):
            self._whole = True
            for page in self._pages.values():
                page.zooms.clear()
        there = {c: self._pages[c] for c in self.flow.clients if c in self._pages}
        self._watched = bool(there)  # without a page, what a run reports can wait for the next look
        self.stage.demand(round(self.flow.images, 1))
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
            self._send({"k": "beat", "t": self._clock(), "origin": self.origin}, [])
            self._beat_at = now + BEAT
        return max(0.002, self._due(there, now) - now) if there else BEAT / 2

    def _due(self, there: Mapping[str, Page], now: float) -> float:
        stage, paced = self.stage, now + self.flow.wait()
        due = [self._beat_at, now + BEAT / 2]
        if self._whole or any(p.key for p in there.values()):
            due.append(self._free)
        if stage.batch_is_new:
            due.append(max(paced, self._image_at))
        if stage.news:
            due.append(paced)
        if stage.grown or stage.touched or self._owed:
            due.append(max(paced, self._tick_at))
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
                frame = self._zoomed(client, page)
                if frame is not None:
                    self._zoom_at = now + ZOOM_EVERY / max(1, len(there))
                    return frame
        if there and self.flow.wait() == 0.0:
            return self._usual(there, now)
        return None

    def _stamped(self, frame: Frame, *, key: bool = False, to: str | None = None) -> Frame:
        self._n += 1
        frame.stamp(self._n, self._clock(), self.origin, key=key, to=to)
        return frame

    # --- the kinds of frames -----------------------------------------------------------------------------------------

    def _key(self, pages: Mapping[str, Page], to: str | None) -> Frame:
        stage, frame = self.stage, Frame()
        facts = self._facts()
        frame.header |= facts
        frame.header["series"] = list(self._curves(frame, _axes(pages), every=True))
        frame.header["marks"] = mark_views(stage.chronicle.marks.values(), stage.epochs)
        frame.header["events"] = list(stage.chronicle.lines.values())
        if stage.batch is not None and isinstance(stage.batch.payload, Batch):
            frame.header["tiles"] = tiles_view(frame, stage.batch, stage.batch.payload)
        frame.header["wrong"] = {"tiles": self._wrong(frame)}
        for page in pages.values():
            page.key = False
        if to is None:
            self._whole = False
            self._said = facts
            self._owed.clear()
            self._quiet.clear()
            self._marked = _fingerprint(stage.chronicle.marks)
            stage.grown.clear()
            stage.news.clear()
            stage.batch_is_new = stage.touched = False
        return self._stamped(frame, key=True, to=to)

    def _usual(self, there: Mapping[str, Page], now: float) -> Frame | None:
        stage, frame = self.stage, Frame()
        if now >= self._tick_at:
            self._charts(frame, there, now)
            if stage.touched:
                facts = self._facts()
                frame.header |= {k: v for k, v in facts.items() if self._said.get(k, _NEVER) != v}
                self._said = facts
                stage.touched = False
        if stage.news:
            frame.header["events"] = list(stage.news.values())
            stage.news.clear()
        marked = _fingerprint(stage.chronicle.marks)
        if marked != self._marked:
            frame.header["marks"] = mark_views(stage.chronicle.marks.values(), stage.epochs)
            self._marked = marked
        images = self.flow.images
        if stage.batch_is_new and stage.batch is not None and now >= self._image_at:
            payload = stage.batch.payload
            if isinstance(payload, Batch):
                frame.header["tiles"] = tiles_view(frame, stage.batch, payload)
            stage.batch_is_new = False
            if images < self.flow.rate:  # else the pace of all frames is enough
                late = now - self._image_at > 1 / images
                self._image_at = (now if late else self._image_at) + 1 / images
        return self._stamped(frame) if frame.header else None

    def _charts(self, frame: Frame, there: Mapping[str, Page], now: float) -> None:
        """Curves that grew and are in view; now and then a word about the others."""
        stage = self.stage
        for name, _ in stage.grown:
            chart = classify(text(name, 200))[0]
            for page in there.values():
                if chart in page.zooms:
                    page.zooms[chart].due = True
        if stage.grown or self._owed:
            started = self._monotonic()
            views = list(self._curves(frame, _axes(there)))
            if views:
                frame.header["series"] = views
            stage.grown.clear()
            self._owed.clear()
            # Many long curves cost more than a tick: keep to a quarter of this thread's time.
            self._tick_at = now + max(TICK, 4 * (self._monotonic() - started))
        else:
            self._tick_at = now + TICK

    def _curves(
        self, frame: Frame, axes: Mapping[Axis, frozenset[str] | None], *, every: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Views of the series; ``every``: of all, else of those that grew or that somebody waits for."""
        run_id = self.stage.run_id
        if run_id is None:
            return
        series = [s for s in self._source.series(run_id) if s.name != EPOCH_SERIES]
        charts = {(s.name, s.kind): classify(text(s.name, 200))[0] for s in series}
        first = _first(charts.values())
        now, left = self._monotonic(), WINDOWS
        totals = now >= self._totals_at
        for info in series:
            key = (info.name, info.kind)
            chart, grew = charts[key], key in self.stage.grown
            drawn = False
            for axis, wanted in axes.items():
                owed = every or (axis, chart) in self._owed
                if left > 0 and chart in (first if wanted is None else wanted) and (grew or owed):
                    points = ALL_POINTS if owed else LIVE_POINTS
                    window = self._source.window(
                        run_id, info.name, info.kind, axis=axis, max_points=points
                    )
                    yield series_view(frame, info, window, axis=axis)
                    drawn, left = True, left - 1
            if drawn:
                self._quiet.discard(key)
            elif every or (totals and (grew or key in self._quiet)):
                self._quiet.discard(key)
                yield series_view(frame, info)
            elif grew:
                self._quiet.add(key)
        if totals:
            self._totals_at = now + TOTALS_EVERY

    def _zoomed(self, client: str, page: Page) -> Frame | None:
        """The windows of one page that have something new in them."""
        run_id, frame = self.stage.run_id, Frame()
        due = {chart: z for chart, z in page.zooms.items() if z.due}
        if run_id is None or not due:
            return None
        views = []
        for info in self._source.series(run_id):
            zoom = due.get(classify(text(info.name, 200))[0])
            if zoom is None or info.name == EPOCH_SERIES:
                continue
            lo, hi = zoom.span
            window = self._source.window(
                run_id, info.name, info.kind, axis=zoom.axis, lo=lo, hi=hi, max_points=ALL_POINTS
            )
            told = (len(window.x), window.x[-1:].tobytes(), window.y[-1:].tobytes())
            if zoom.told.get((info.name, info.kind)) != told:
                zoom.told[info.name, info.kind] = told
                views.append(series_view(frame, info, window, axis=zoom.axis, span=zoom.span))
        for zoom in due.values():
            zoom.due = False
        if not views:
            return None
        frame.header["series"] = views
        return self._stamped(frame, to=client)

    # --- parts -------------------------------------------------------------------------------------------------------

    def _facts(self) -> dict[str, Any]:
        stage, now = self.stage, self._clock()
        info = stage.info
        facts: dict[str, Any] = {
            "runs": [run_ref(r) for r in stage.runs[:RUNS]],
            "run": None if info is None else run_view(info),
            "link": link_view(
                info, self._source.address, now, dropped=stage.dropped, trouble=stage.trouble
            ),
        }
        if info is not None:
            facts["perf"] = perf_view(info, stage.perf, now)
        return facts

    def _wrong(self, frame: Frame) -> list[dict[str, Any]]:
        views: dict[int, dict[str, Any]] = {}
        found = []
        for event, index in self.stage.wrong:
            if event.seq not in views and isinstance(event.payload, Batch):
                if frame.nbytes + event.payload.nbytes > WRONG_BYTES:
                    break
                views[event.seq] = tiles_view(frame, event, event.payload)
            found.append({"tiles": views[event.seq], "index": index})
        return found

    def close(self) -> None:
        """Let go of the source's mailboxes."""
        self.stage.close()


_NEVER = object()


def _axes(pages: Mapping[str, Page]) -> dict[Axis, frozenset[str] | None]:
    """The charts in view by axis; None where a page on that axis has not said what it sees."""
    axes: dict[Axis, frozenset[str] | None] = {}
    for page in pages.values():
        known = axes.get(page.axis, frozenset())
        axes[page.axis] = None if known is None or page.want is None else known | page.want
    return axes


def _first(charts: Any) -> frozenset[str]:
    """What is shown first: the machine's figures and the first charts of the run."""
    names = dict.fromkeys(charts)
    own = [c for c in names if not c.startswith("system/")][:FIRST_CHARTS]
    return frozenset(own) | {c for c in names if c.startswith("system/")}


def _fingerprint(marks: Mapping[str, dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    return tuple((key, mark["label"]) for key, mark in marks.items())
