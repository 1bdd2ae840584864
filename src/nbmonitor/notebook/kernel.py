"""The road into ipykernel: the only file that touches its inside. Without a kernel, everything here does nothing.

Three things, each found out by looking for the names it needs, each undone by :func:`uninstall`:

* requests on the **control channel**, which is answered in the middle of a running cell on ipykernel 6.29 and 7.x;
* a **repair** of ipykernel 7.4's routing of comm messages, which would hold them up until the cell ends;
* the **takeover**: a page that loads in the middle of a cell asks for its widgets on the shell channel; on
  ipykernel ≥ 7 a thread of ours answers that. It reaches into private names and has an off switch.
"""

from __future__ import annotations

import inspect
import logging
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from nbmonitor.notebook.takeover import Takeover

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmonitor.notebook.desk import Reply, Road

REQUEST = "nbmonitor_request"
COMMAND = "nbmonitor"

_log = logging.getLogger("nbmonitor.notebook")


class Addressee(Protocol):
    """A dashboard, as seen from here."""

    def post(self, request: object, road: Road = "control") -> Reply:
        """Note a request; says accepted or refused."""
        ...

    def comm_ids(self) -> set[str]:
        """Ids of its comms."""
        ...


_lock = threading.Lock()
_addressees: weakref.WeakValueDictionary[str, Addressee] = weakref.WeakValueDictionary()
_roads: weakref.WeakKeyDictionary[Any, _Road] = weakref.WeakKeyDictionary()


# --- dashboards ------------------------------------------------------------------------------------------------------


def register(key: str, dashboard: Addressee) -> None:
    """Make a dashboard reachable."""
    with _lock:
        _addressees[key] = dashboard


def unregister(key: str) -> None:
    """Forget a dashboard."""
    with _lock:
        _addressees.pop(key, None)


def dispatch(request: object, road: Road = "control") -> Reply:
    """Hand a request to the dashboard it names. Never raises."""
    if not isinstance(request, dict):
        return {"id": "", "ok": False, "reason": "a request must be an object"}
    key, name = str(request.get("id"))[:100], request.get("dashboard") or None
    with _lock:
        there = dict(_addressees)
    if name is None and len(there) == 1:
        dashboard: Addressee | None = next(iter(there.values()))
    else:
        dashboard = there.get(name) if isinstance(name, str) else None
    if dashboard is None:
        why = "that dashboard is not there any more" if name else "several dashboards: name one"
        return {"id": key, "ok": False, "reason": why if there else "no dashboard here"}
    try:
        return dashboard.post(request, road)
    except Exception as error:  # the control thread belongs to ipykernel
        _log.exception("A request could not be taken.")
        return {"id": key, "ok": False, "reason": f"could not be taken: {error}"}


def own_comms() -> set[str]:
    """Ids of the comms of all dashboards."""
    with _lock:
        there = list(_addressees.values())
    return set().union(*(d.comm_ids() for d in there))


def repair(comm: Any) -> None:
    """Let comm messages take the way that JupyterLab chose, as up to ipykernel 7.3.

    From 7.4 on, a comm's messages go to the (sub)shell that last published on it: mostly the main one, which is busy.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _data, default: default


# --- the control channel ---------------------------------------------------------------------------------------------


def install(shell: Any, *, takeover: bool = True) -> bool:
    """Open the roads in a kernel; again is harmless.

    Parameters
    ----------
    shell
        IPython's shell (``get_ipython()``), or a kernel. A shell without a kernel has no roads.
    takeover
        Answer a page that loads in mid-cell from another thread, where this ipykernel allows it.

    Returns
    -------
    bool
        Whether the control channel is open to requests.
    """
    kernel = _kernel_of(shell)
    if kernel is None:
        return False
    with _lock:
        road = _roads.get(kernel)
        if road is None:
            road = _roads[kernel] = _Road(kernel)
    if takeover:
        road.takeover.start()
    else:
        road.takeover.close()
    return True


def uninstall(shell: Any) -> None:
    """Close the roads and put back what stood there; again is harmless."""
    kernel = _kernel_of(shell)
    if kernel is None:
        return
    with _lock:
        road = _roads.pop(kernel, None)
    if road is not None:
        road.close()


def liveness(shell: Any) -> dict[str, Any]:
    """Facts about the roads, for display: which are open, how many requests came, seconds since the last."""
    kernel = _kernel_of(shell)
    road = _roads.get(kernel) if kernel is not None else None
    if road is None:
        return {"kernel": kernel is not None, "control": False, "takeover": False, "requests": 0}
    return {
        "kernel": True,
        "ipykernel": str(getattr(sys.modules.get("ipykernel"), "__version__", "")),
        "control": True,
        "takeover": road.takeover.running,
        "requests": road.requests,
        "last": None if road.last is None else time.monotonic() - road.last,
    }


def _kernel_of(shell: Any) -> Any:
    kernel = getattr(shell, "kernel", shell)
    return kernel if isinstance(getattr(kernel, "control_handlers", None), dict) else None


class _Road:
    """The handlers in one kernel."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = weakref.ref(kernel)
        self._session = kernel.session
        self._before: dict[str, Callable[..., Any] | None] = {}
        self._ours: dict[str, Callable[..., Any]] = {
            REQUEST: self._on_request,
            "debug_request": self._on_debug,
        }
        self.requests = 0
        self.last: float | None = None
        self.takeover = Takeover(kernel, own_comms)
        for kind, handler in self._ours.items():
            self._before[kind] = kernel.control_handlers.get(kind)
            kernel.control_handlers[kind] = handler

    def _taken(self, request: object) -> Reply:
        self.requests += 1
        self.last = time.monotonic()
        return dispatch(request)

    def _on_request(self, stream: Any, ident: Any, message: dict[str, Any]) -> None:
        """Runs in ipykernel's control thread: notes and answers, nothing else."""
        reply = self._taken(message.get("content"))
        self._session.send(stream, "nbmonitor_reply", reply, message, ident)

    async def _on_debug(self, stream: Any, ident: Any, message: dict[str, Any]) -> None:
        """The same inside a debug_request, for which front-ends leave their busy indicator alone."""
        content = message.get("content") or {}
        if content.get("command") != COMMAND:
            original = self._before["debug_request"]
            result = original(stream, ident, message) if original is not None else None
            if inspect.isawaitable(result):
                await result
            return
        reply = {
            "type": "response",
            "seq": content.get("seq", 0),
            "request_seq": content.get("seq", 0),
            "command": COMMAND,
            "success": True,
            "body": self._taken(content.get("arguments")),
        }
        self._session.send(stream, "debug_reply", reply, message, ident)

    def close(self) -> None:
        self.takeover.close()
        kernel = self._kernel()
        if kernel is None:
            return
        for kind, handler in self._ours.items():
            if kernel.control_handlers.get(kind) != handler:
                continue  # somebody put another handler over ours: not ours to remove
            before = self._before[kind]
            if before is None:
                del kernel.control_handlers[kind]
            else:
                kernel.control_handlers[kind] = before
