"""Takes what pages ask for: reads it, refuses what cannot be meant, drops what came twice. Any thread may post.

The answer says accepted or refused and no more; the sender thread takes the requests and acts.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from nbmonitor.events import CommandKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Road = Literal["control", "comm"]
Reply = dict[str, Any]

REMEMBERED = 4_000  # ids kept, to know a request that comes by the second road
MOST_PIXELS = 512  # wide is a tile at most; asked for by a page that names no size
WAITING = 2_000  # requests not taken yet; beyond that pages are told to ask again
COMMANDS = {
    kind.value: kind
    for kind in (
        CommandKind.PAUSE,
        CommandKind.RESUME,
        CommandKind.STOP,
        CommandKind.SET_LEARNING_RATE,
        CommandKind.SET_BATCH_SIZE,
        CommandKind.WHEEL,
    )
}
_MODES = {"set", "scale", "pin", "release"}
_WHEEL = {"take", "give", "release", "lock", "unlock"}


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was accepted. ``fields`` hold what docs/frames.md names for its ``op``, with checked types."""

    id: str
    client: str
    op: str
    fields: Mapping[str, Any]
    road: Road


class RefusedError(ValueError):
    """A request cannot be meant; the message is the reason, in words."""


class Desk:
    """Mailbox of one dashboard.

    Parameters
    ----------
    wake
        Called after each request; must only set a flag.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._box: deque[Request] = deque()
        self._seen: OrderedDict[str, Reply] = OrderedDict()

    def post(self, raw: object, road: Road) -> Reply:
        """Take a request; returns its reply. Never raises, never blocks."""
        key = raw.get("id") if isinstance(raw, dict) else None
        if not isinstance(key, str) or not 0 < len(key) <= 100:
            return {"id": "", "ok": False, "reason": "a request needs an id of 1 to 100 characters"}
        with self._lock:
            known = self._seen.get(key)
            if known is not None:
                return known
            try:
                request = read(raw, road)  # type: ignore[arg-type]
                if len(self._box) >= WAITING:
                    raise RefusedError("the dashboard is busy: ask again")
            except RefusedError as error:
                reply: Reply = {"id": key, "ok": False, "reason": str(error)}
            else:
                reply = {"id": key, "ok": True}
                self._box.append(request)
                if request.op in {"ack", "ping"}:  # said again anyway; not worth remembering
                    self._wake()
                    return reply
            self._seen[key] = reply
            while len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        self._wake()
        return reply

    def take(self) -> list[Request]:
        """Empty the box, oldest first."""
        with self._lock:
            requests = list(self._box)
            self._box.clear()
        return requests


def read(raw: Mapping[str, Any], road: Road) -> Request:
    """Check a request against docs/frames.md; raises :class:`RefusedError`."""
    client, op = raw.get("client"), raw.get("op")
    if not isinstance(client, str) or not 0 < len(client) <= 100:
        raise RefusedError("a request needs a client of 1 to 100 characters")
    if not isinstance(op, str) or op not in _FIELDS:
        raise RefusedError(f"there is no request {str(op)[:40]!r}")
    return Request(raw["id"], client, op, _FIELDS[op](raw), road)


def _axis(raw: Mapping[str, Any]) -> str:
    axis = raw.get("axis")
    if axis not in {"step", "epoch", "time"}:
        raise RefusedError("axis must be step, epoch or time")
    return str(axis)


def _want(raw: Mapping[str, Any]) -> frozenset[str]:
    want = raw.get("want")
    if not isinstance(want, list) or not all(isinstance(w, str) for w in want):
        raise RefusedError("want must be a list of names of charts")
    return frozenset(want[:500])


def _number(raw: Mapping[str, Any], name: str) -> float:
    value = raw.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RefusedError(f"{name} must be a finite number")
    return value


def _zoom(raw: Mapping[str, Any]) -> dict[str, Any]:
    chart = raw.get("chart")
    if not isinstance(chart, str):
        raise RefusedError("zoom needs the name of a chart")
    if raw.get("lo") is None and raw.get("hi") is None:
        return {"chart": chart, "axis": _axis(raw), "span": None}
    lo, hi = _number(raw, "lo"), _number(raw, "hi")
    if lo >= hi:
        raise RefusedError("zoom needs lo below hi")
    return {"chart": chart, "axis": _axis(raw), "span": (lo, hi)}


def _follow(raw: Mapping[str, Any]) -> dict[str, Any]:
    run = raw.get("run")
    if run is not None and not isinstance(run, str):
        raise RefusedError("follow needs the id of a run, or null for the newest")
    return {"run": run}


def _command(raw: Mapping[str, Any]) -> dict[str, Any]:
    kind, run = raw.get("kind"), raw.get("run")
    if kind not in COMMANDS:
        raise RefusedError(f"there is no command {str(kind)[:40]!r}")
    if not isinstance(run, str) or not run:
        raise RefusedError("a command needs the id of a run")
    given = raw.get("params") or {}
    if not isinstance(given, dict):
        raise RefusedError("params must be an object")
    params: dict[str, Any] = {}
    if kind in {"set_learning_rate", "set_batch_size"}:
        mode = given.get("mode", "set")
        if kind == "set_learning_rate":
            if mode not in _MODES:
                raise RefusedError("mode must be set, scale, pin or release")
            params["mode"] = mode
        if mode != "release" or kind == "set_batch_size":
            params["value"] = _number(given, "value")
    elif kind == "wheel":
        params = _wheel(given)
    version = None if raw.get("version") is None else int(_number(raw, "version"))
    return {"run": run, "kind": COMMANDS[kind], "params": params, "version": version}


def _wheel(given: Mapping[str, Any]) -> dict[str, Any]:
    mode, to = given.get("mode"), given.get("to")
    if mode not in _WHEEL:
        raise RefusedError("mode must be take, give, release, lock or unlock")
    if mode != "give":
        return {"mode": mode}
    if not isinstance(to, str) or not 0 < len(to.strip()) <= 100:
        raise RefusedError("giving the wheel needs the name of who gets it")
    return {"mode": mode, "to": to.strip()}


def _ack(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {"n": int(_number(raw, "n")), "visible": raw.get("visible") is not False}


def _hello(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "axis": _axis(raw),
        "want": _want(raw),
        "fps": _number(raw, "fps"),
        "pixels": _pixels(raw),
        "visible": raw.get("visible") is not False,
        "audit": raw.get("audit") is True,
    }


def _pixels(raw: Mapping[str, Any]) -> int:
    return MOST_PIXELS if raw.get("pixels") is None else round(_number(raw, "pixels"))


_FIELDS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "hello": _hello,
    "bye": lambda _: {},
    "ack": _ack,
    "audit": lambda raw: {"open": raw.get("open") is True},
    "axis": lambda raw: {"axis": _axis(raw)},
    "want": lambda raw: {"want": _want(raw)},
    "zoom": _zoom,
    "rate": lambda raw: {"fps": _number(raw, "fps"), "pixels": _pixels(raw)},
    "visible": lambda raw: {"visible": raw.get("visible") is not False},
    "follow": _follow,
    "command": _command,
    "ping": lambda _: {},
}
