"""A notebook without a browser: the dashboard's sender over a client, and a page that says what it should."""

from __future__ import annotations

import threading
import time
from typing import Any

from nbmonitor.events import Scalars
from nbmonitor.notebook.sender import Sender
from nbmonitor.notebook.stage import Stage
from nbmonitor.rpc.client import Client


class Notebook:
    """Shows the newest run. ``numbers`` and ``pictures``: when each arrived, and its age, in seconds.

    A number arrives when the dashboard's thread takes it, a picture when it is handed to the comm.
    """

    def __init__(self, address: str, token: str) -> None:
        self.began = time.perf_counter()
        self.numbers: list[tuple[float, float]] = []
        self.pictures: list[tuple[float, float]] = []
        self.widths: set[int] = set()
        self.steps: list[int] = []
        self.first_picture: float | None = None
        self.client = Client(address, token).connect(20)
        self.attached = time.perf_counter() - self.began
        self._wake = threading.Event()
        self._over = threading.Event()
        self._frame = 0
        self._sender = Sender(self.client, self._send, notify=self._wake.set)
        self._take, take = Stage._take, Stage._take
        here = self

        def noted(stage: Stage, event: Any) -> bool:
            if isinstance(event.payload, Scalars):
                now = time.time()
                for column in event.payload.columns:
                    here.numbers += [(now, now - t) for t in column.times]
                    if column.name == "loss":
                        here.steps += column.steps.tolist()
            return take(stage, event)

        Stage._take = noted  # type: ignore[method-assign]
        self._ask("hello", axis="step", want=["loss", "accuracy", "rate"], fps=60, visible=True)
        self._thread = threading.Thread(target=self._turn, name="nbmonitor-dashboard", daemon=True)
        self._thread.start()

    def _ask(self, op: str, **fields: Any) -> None:
        self._sender.post({"id": f"{op}{time.time()}", "client": "page", "op": op, **fields})

    def _send(self, header: dict[str, Any], _buffers: list[bytes]) -> None:
        self._frame = header.get("n", self._frame)
        tiles = header.get("tiles")
        if not tiles:
            return
        now = time.time()
        if self.first_picture is None:
            self.first_picture = time.perf_counter() - self.began
        self.pictures.append((now, now - tiles["time"]))
        self.widths.add(tiles["mosaic"]["width"] if tiles.get("mosaic") else 0)

    def _turn(self) -> None:
        acked = 0.0
        while not self._over.is_set():
            self._wake.clear()
            pause = self._sender.turn()
            if time.monotonic() - acked > 0.2:
                acked = time.monotonic()
                self._ask("ack", n=self._frame, painted=60, lag=3)
            self._wake.wait(min(pause, 0.1))
            time.sleep(0.004)

    def forget(self) -> None:
        """Begin a measurement."""
        self.numbers.clear()
        self.pictures.clear()
        self.widths.clear()

    def close(self) -> None:
        """End."""
        self._over.set()
        self._thread.join(5)
        Stage._take = self._take  # type: ignore[method-assign]
        self._sender.close()
        self.client.close()
