"""The one widget: it owns the thread that talks to the browser, the snapshot beside it, and nothing of the stream."""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import logging
import threading
import time
import weakref
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from nbmonitor.errors import NbMonitorError
from nbmonitor.events import new_id
from nbmonitor.notebook import kernel
from nbmonitor.notebook.sender import Sender
from nbmonitor.notebook.snapshot import snapshot

if TYPE_CHECKING:
    from nbmonitor.interfaces import Source
    from nbmonitor.notebook.desk import Reply, Road
    from nbmonitor.notebook.stage import Stage

STATIC = Path(__file__).parent / "static"
SPACING = 1 / 120  # seconds between two turns, however fast a run reports
STILL_EVERY = 30.0  # seconds between two snapshots of a run that goes on
STILLS = 4  # snapshots kept fresh, of those shown last
COMPLAIN = 30.0  # seconds between two log lines about the same failure

_log = logging.getLogger("nbmonitor.notebook")


class Dashboard(anywidget.AnyWidget):
    """The live dashboard of a run.

    Parameters
    ----------
    source
        What to look at: a broker in this process, or a client of one elsewhere. Closing it is the caller's business.
    run_id
        The run to show; None follows the newest.

    Raises
    ------
    NbMonitorError
        When the built JavaScript is not in the package.
    """

    dashboard = traitlets.Unicode().tag(sync=True)  # tells the dashboards of one kernel apart
    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)

    def __init__(self, source: Source, run_id: str | None = None) -> None:
        esm, css = _read("dashboard.js"), _read("dashboard.css")
        super().__init__(dashboard=new_id(), _esm=esm, _css=css)
        self._wake = threading.Event()
        self._over = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._context = contextvars.copy_context()  # what the thread logs belongs to this cell
        here = weakref.ref(self)

        def send(content: dict[str, Any], buffers: list[bytes]) -> None:
            widget = here()
            if widget is not None and widget.comm is not None:
                widget.send(content, buffers)

        self._sender = Sender(source, send, run_id=run_id, notify=self._wake.set)
        self._still = Still(source, self._sender.stage)
        self.on_msg(_heard)
        kernel.register(self.dashboard, self)

    # --- what others call --------------------------------------------------------------------------------------------

    def show(self) -> None:
        """Display two outputs in this cell: the snapshot, which the panel hides while it lives, and the panel."""
        from IPython.display import display

        self._start()
        self._still.show()
        self._wake.set()
        display(self)  # type: ignore[no-untyped-call]

    def post(self, request: object, road: Road = "control") -> Reply:
        """Take a request of a page, from any thread: only noted here. A page's first word starts the thread."""
        if self._over.is_set():
            key = request.get("id") if isinstance(request, dict) else ""
            return {"id": str(key)[:100], "ok": False, "reason": "this dashboard was closed"}
        self._start()
        return self._sender.post(request, road)

    def comm_ids(self) -> set[str]:
        """Ids of the comms that belong to this widget."""
        models = [self, getattr(self, "layout", None)]
        return {m.comm.comm_id for m in models if m is not None and m.comm is not None}

    def close(self) -> None:
        """End the thread and take the panel away. Idempotent."""
        over = getattr(self, "_over", None)
        if over is not None and not over.is_set():
            over.set()
            self._wake.set()
            kernel.unregister(self.dashboard)
            thread = self._thread
            if thread is not None and thread is not threading.current_thread():
                thread.join(5.0)
            self._sender.close()
        super().close()

    # --- the thread --------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None or self._over.is_set():
                return
            kernel.repair(self.comm)
            self._thread = threading.Thread(
                target=self._context.run,
                args=(_serve, self._sender, self._still, self._wake, self._over),
                name="nbmonitor-dashboard",
                daemon=True,
            )
            self._thread.start()
            _ALIVE.add(self)


class Still:
    """The snapshot output: shown by the cell, refreshed by the thread when the state changes, else at times."""

    def __init__(self, source: Source, stage: Stage) -> None:
        self._source = source
        self._stage = stage
        self._ids: deque[str] = deque(maxlen=STILLS)
        self._shown = 0
        self._told: object = None
        self._step = -1
        self._at = float("-inf")

    def show(self) -> None:
        """Display it; from the thread that runs the cell."""
        from IPython.core.getipython import get_ipython
        from IPython.display import display

        if getattr(get_ipython(), "kernel", None) is None:
            return  # a terminal shows no HTML
        name = f"nbmonitor-{new_id()}"
        html = snapshot(self._source, None, time.time())  # the thread, which knows more, redraws it
        display({"text/html": html}, raw=True, display_id=name)  # type: ignore[no-untyped-call]
        self._ids.append(name)
        self._shown += 1

    def refresh(self, now: float) -> None:
        """Draw it anew when it is due. ``now``: monotonic seconds."""
        info = self._stage.info
        if not self._ids or info is None:
            return
        told = (info.run_id, info.state, self._shown)
        since = now - self._at
        due = told != self._told or (info.step != self._step and since >= STILL_EVERY)
        if not due or since < 1.0:
            return
        from IPython.display import update_display

        self._told, self._step, self._at = told, info.step, now
        html = snapshot(self._source, self._stage, time.time())
        for name in self._ids:
            update_display({"text/html": html}, raw=True, display_id=name)  # type: ignore[no-untyped-call]


def _serve(sender: Sender, still: Still, wake: threading.Event, over: threading.Event) -> None:
    """Turn until the end. Holds the sender, not the widget."""
    complained: dict[str, float] = {}
    while not over.is_set():
        wake.clear()
        began = time.monotonic()
        try:
            pause = sender.turn()
            still.refresh(began)
        except Exception as error:  # whatever it is, the show goes on
            pause = 0.5
            what = repr(error)
            if began - complained.get(what, float("-inf")) > COMPLAIN:
                complained[what] = began
                _log.exception("The dashboard stumbled and goes on.")
        wake.wait(pause)
        over.wait(max(0.0, began + SPACING - time.monotonic()))


def _heard(widget: Dashboard, content: Any, _buffers: list[Any]) -> None:
    """A message over the comm: the second road."""
    if isinstance(content, dict) and content.get("k") == "request":
        widget.post(content, "comm")


def _read(name: str) -> str:
    path = STATIC / name
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        msg = (
            f"The dashboard's built JavaScript is missing ({name} is not in the package). "
            "In a checkout, run `make web`; an installed nbmonitor brings it: reinstall it."
        )
        raise NbMonitorError(msg) from error


_ALIVE: weakref.WeakSet[Dashboard] = weakref.WeakSet()


@atexit.register
def _end() -> None:
    """Stop the threads before the interpreter takes away what they use."""
    for dashboard in list(_ALIVE):
        with contextlib.suppress(Exception):
            dashboard._over.set()
            dashboard._wake.set()
            if dashboard._thread is not None:
                dashboard._thread.join(1.0)
