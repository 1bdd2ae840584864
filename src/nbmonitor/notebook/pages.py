"""What each page of a dashboard looks at, as it said. A page that falls silent finds its settings when it is back."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbmonitor.notebook.desk import MOST_PIXELS
from nbmonitor.notebook.flow import CAP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbmonitor.interfaces import Axis
    from nbmonitor.notebook.desk import Request
    from nbmonitor.notebook.flow import Flow

KEPT = 32  # pages whose settings are kept


@dataclass(slots=True)
class Zoom:
    """A page's window on a chart. ``told``: what it was last told by series, to say nothing twice."""

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
    pixels: int = MOST_PIXELS  # tiles need not be wider
    visible: bool = True
    audit: bool = False  # whether it shows who did what
    key: bool = True

    def renew(self) -> None:
        """Tell its windows again: it may have lost what it was told."""
        for zoom in self.zooms.values():
            zoom.due = True
            zoom.told.clear()


class Pages:
    """The pages of one dashboard, by the id that each gave itself.

    Parameters
    ----------
    flow
        Told who is there, who looks, and what was received.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._known: OrderedDict[str, Page] = OrderedDict()

    def there(self) -> dict[str, Page]:
        """Pages that are there now."""
        return {c: self._known[c] for c in self._flow.clients if c in self._known}

    @property
    def pixels(self) -> int:
        """How wide tiles need to be for the pages that look, in pixels."""
        active = self._flow.active
        return max((p.pixels for c, p in self._known.items() if c in active), default=MOST_PIXELS)

    @property
    def audit(self) -> bool:
        """Whether a page that looks shows who did what."""
        active = self._flow.active
        return any(p.audit for c, p in self._known.items() if c in active)

    def renew(self, *, same_run: bool) -> None:
        """The picture is sent whole: windows are told anew, or were another run's."""
        for page in self._known.values():
            if not same_run:
                page.zooms.clear()
            page.renew()

    def take(self, request: Request) -> set[tuple[Axis, str]]:
        """Note what a page says; returns the (axis, chart) whose whole curves it now waits for."""
        op, fields, client = request.op, request.fields, request.client
        if op == "bye":
            self._flow.bye(client)
            return set()
        if op == "ack" and client not in self._flow.clients:
            return set()  # said before its goodbye; a page that was forgotten has other words too
        page = self._page(client)
        mute = request.road == "comm"
        if op == "hello":
            page.axis, page.want = fields["axis"], fields["want"] or None
            page.fps, page.pixels = fields["fps"], fields["pixels"]
            page.visible, page.audit = fields["visible"], fields["audit"]
            page.renew()
        if op == "hello" or not self._flow.heard(client, mute=None if mute else False):
            page.key = True  # new, or back from a silence in which it was forgotten
            self._flow.hello(client, visible=page.visible, mute=mute)
            self._flow.menu(client, page.fps)
        if op == "ack":
            page.visible = fields["visible"]
            self._flow.ack(client, fields["n"], visible=page.visible)
        elif op == "visible":
            page.visible = fields["visible"]
            self._flow.visible(client, page.visible)
        elif op == "audit":
            page.audit = fields["open"]
        elif op == "rate":
            page.fps, page.pixels = fields["fps"], fields["pixels"]
            self._flow.menu(client, page.fps)
        return self._looks(page, op, fields)

    def _looks(self, page: Page, op: str, fields: Any) -> set[tuple[Axis, str]]:
        if op == "axis":
            page.axis = fields["axis"]
            page.zooms.clear()
            return {(page.axis, chart) for chart in page.want or ()}
        if op == "want":
            fresh = fields["want"] - (page.want or frozenset())
            page.want = fields["want"]
            return {(page.axis, chart) for chart in fresh}
        if op == "zoom":
            page.zooms.pop(fields["chart"], None)
            if fields["span"] is None:
                return {(page.axis, fields["chart"])}
            page.zooms[fields["chart"]] = Zoom(fields["axis"], fields["span"])
        return set()

    def _page(self, client: str) -> Page:
        page = self._known.get(client)
        if page is None:
            page = self._known[client] = Page()
            while len(self._known) > KEPT:
                self._flow.bye(self._known.popitem(last=False)[0])
        self._known.move_to_end(client)
        return page


def axes_of(pages: Iterable[Page]) -> dict[Axis, frozenset[str] | None]:
    """The charts in view by axis; None where a page on that axis has not said what it sees."""
    axes: dict[Axis, frozenset[str] | None] = {}
    for page in pages:
        known = axes.get(page.axis, frozenset())
        axes[page.axis] = None if known is None or page.want is None else known | page.want
    return axes
