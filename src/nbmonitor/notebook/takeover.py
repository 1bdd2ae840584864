"""Answers the widget handshake of a page that loads in the middle of a cell, from a thread of its own. ipykernel ≥ 7.

Such a page asks for its widgets by ``comm_info_request`` and a comm to ``jupyter.widget.control``: shell messages,
which wait for the running cell. ipykernel 7 receives them in a thread beside the main one; we look at each there, take
these few and messages to our own comms, and pass on all others untouched. All names used here are private:
:func:`possible` looks for every one of them first, and whatever is odd about a message sends it the normal way.
"""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import logging
import queue
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CONTROL_TARGET = "jupyter.widget.control"
_KINDS = {"comm_info_request", "comm_open", "comm_msg", "comm_close"}

_log = logging.getLogger("nbmonitor.notebook")


def possible(kernel: Any) -> bool:
    """Whether this kernel has every name that the takeover needs, and they are what they should be."""
    thread = getattr(kernel, "shell_channel_thread", None)
    session = getattr(kernel, "session", None)
    return bool(
        hasattr(getattr(thread, "io_loop", None), "add_callback")
        and hasattr(getattr(kernel, "shell_stream", None), "on_recv")
        and inspect.iscoroutinefunction(getattr(kernel, "shell_channel_thread_main", None))
        and inspect.iscoroutinefunction(getattr(kernel, "comm_info_request", None))
        and all(callable(getattr(session, n, None)) for n in ("feed_identities", "deserialize"))
        and callable(getattr(session, "unpack", None))
        and callable(getattr(kernel, "_publish_status", None))
        and isinstance(getattr(kernel, "_shell_parent", None), contextvars.ContextVar)
        and isinstance(getattr(kernel, "_shell_parent_ident", None), contextvars.ContextVar)
        and all(
            callable(getattr(getattr(kernel, "comm_manager", None), n, None))
            for n in ("comm_open", "comm_close", "get_comm")
        )
    )


class Takeover:
    """Owns the thread ``nbmonitor-handshake``.

    Parameters
    ----------
    kernel
        ipykernel's kernel.
    own
        Ids of the comms whose messages are ours; asked for each message.
    """

    def __init__(self, kernel: Any, own: Callable[[], set[str]]) -> None:
        self._kernel = kernel
        self._own = own
        self._controls: set[str] = set()  # comms of pages that are restoring their widgets
        self._box: queue.SimpleQueue[tuple[str, Any, Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether the thread is there."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> bool:
        """Take over, where possible; returns whether."""
        if self.running:
            return True
        if not possible(self._kernel):
            return False
        self._thread = threading.Thread(target=self._work, name="nbmonitor-handshake", daemon=True)
        self._thread.start()
        self._receive(self._on_recv)
        return True

    def close(self) -> None:
        """Give the messages back to ipykernel and end the thread."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._receive(self._kernel.shell_channel_thread_main)
        self._box.put(None)
        if thread is not threading.current_thread():
            thread.join(5.0)

    def _receive(self, callback: Callable[..., Any]) -> None:
        stream = self._kernel.shell_stream
        self._kernel.shell_channel_thread.io_loop.add_callback(
            lambda: stream.on_recv(callback, copy=False)
        )

    async def _on_recv(self, frames: list[Any]) -> None:
        """Runs in ipykernel's shell channel thread, for every shell message."""
        taken = False
        try:
            taken = await self._taken(frames)
        except Exception:
            _log.debug("A message was odd and goes the normal way.", exc_info=True)
        if not taken:
            await self._kernel.shell_channel_thread_main(frames)

    async def _taken(self, frames: list[Any]) -> bool:
        kernel, session = self._kernel, self._kernel.session
        if self._thread is None:
            return False
        ident, parts = session.feed_identities(frames, copy=False)
        head = session.deserialize(parts, content=False, copy=False)
        kind = head["header"]["msg_type"]
        if kind not in _KINDS:
            return False
        if kind == "comm_info_request":
            message = session.deserialize(parts, content=True, copy=False)
            kernel._publish_status("busy", "shell", message)
            await kernel.comm_info_request(kernel.shell_stream, ident, message)
            kernel._publish_status("idle", "shell", message)
            return True
        content = session.unpack(head["content"])
        comm = content.get("comm_id")
        if kind == "comm_open":
            if content.get("target_name") != CONTROL_TARGET:
                return False
            self._controls.add(comm)
        elif comm not in self._controls and comm not in self._own():
            return False
        elif kind == "comm_close":
            self._controls.discard(comm)
        self._box.put((kind, ident, session.deserialize(parts, content=True, copy=False)))
        return True

    def _work(self) -> None:
        kernel = self._kernel
        while (item := self._box.get()) is not None:
            kind, ident, message = item
            try:
                kernel._shell_parent.set(message)  # else what the handler sends finds no parent
                kernel._shell_parent_ident.set(ident)
                kernel._publish_status("busy", "shell", message)
                manager = kernel.comm_manager
                if kind == "comm_open":
                    manager.comm_open(None, ident, message)
                elif kind == "comm_close":
                    manager.comm_close(None, ident, message)
                elif (comm := manager.get_comm(message["content"]["comm_id"])) is not None:
                    comm.handle_msg(message)
            except Exception:
                _log.exception("A comm message could not be handled.")
            with contextlib.suppress(Exception):  # the kernel is on its way out
                kernel._publish_status("idle", "shell", message)
