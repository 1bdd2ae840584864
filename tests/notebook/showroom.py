"""A broker, a clock that tests turn by hand, and a stage in which frames are caught instead of sent."""

from __future__ import annotations

import io
import itertools
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from nbmonitor.broker import Broker
from nbmonitor.events import (
    Batch,
    Column,
    Command,
    CommandState,
    Event,
    Mosaic,
    RunInfo,
    RunState,
    Scalars,
    Status,
)
from nbmonitor.notebook.sender import Sender
from nbmonitor.store import MemoryStore

EPOCH = 1_700_000_000.0


class Clock:
    """Seconds, moved by hand."""

    def __init__(self, start: float = 1000.0) -> None:
        self.now = start

    def __call__(self) -> float:
        return self.now

    def wall(self) -> float:
        return EPOCH + self.now


@dataclass
class Caught:
    """One message to the browser."""

    at: float
    header: dict[str, Any]
    buffers: list[bytes] = field(default_factory=list)

    def points(self, view: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        x = np.frombuffer(self.buffers[view["x"]], "<f8")
        y = np.frombuffer(self.buffers[view["y"]], "<f4")
        assert len(x) == len(y)
        return x, y


class Show:
    """A sender over a real broker, with pages that speak by hand."""

    def __init__(self, run_id: str | None = None) -> None:
        self.clock = Clock()
        self.broker = Broker(MemoryStore(), clock=self.clock.wall, monotonic=self.clock)
        self.caught: list[Caught] = []
        self.delivered: list[Command] = []
        self.sender = Sender(
            self.broker,
            self._catch,
            run_id=run_id,
            clock=self.clock.wall,
            monotonic=self.clock,
        )
        self._ids = itertools.count(1)
        self._ack_at = self.clock.now

    def _catch(self, header: dict[str, Any], buffers: list[bytes]) -> None:
        json.dumps(header, allow_nan=False).encode()  # strict JSON, encodable text
        self.caught.append(Caught(self.clock.now, header, buffers))

    # pages

    def ask(self, client: str, op: str, road: str = "control", **fields: Any) -> dict[str, Any]:
        request = {"id": f"r{next(self._ids)}", "client": client, "op": op, **fields}
        return self.sender.post(request, road)

    def hello(self, client: str = "page", **fields: Any) -> dict[str, Any]:
        said = {"axis": "step", "want": ["loss"], "fps": 60, "visible": True} | fields
        return self.ask(client, "hello", **said)

    def pass_time(
        self, seconds: float, acks: tuple[str, ...] = ("page",), step: float = 0.005
    ) -> None:
        """Let time pass; the pages named ack every 200 ms, as they should."""
        end = self.clock.now + seconds
        due = self.clock.now
        while self.clock.now < end:
            if self.clock.now >= due:
                due = self.clock.now + self.sender.turn()
            if self.clock.now >= self._ack_at:
                for client in acks:
                    if self.frames:
                        self.ask(client, "ack", n=self.frames[-1].header["n"], painted=60, lag=3)
                self._ack_at = self.clock.now + 0.2
            self.clock.now += step
            due = min(due, self.clock.now + step)  # as if woken

    @property
    def frames(self) -> list[Caught]:
        return [c for c in self.caught if c.header["k"] == "frame"]

    def take(self) -> list[Caught]:
        caught, self.caught = self.caught, []
        return caught

    # runs

    def start(self, name: str = "digits", run_id: str = "run1", **facts: Any) -> str:
        controls = {"pause": {}, "stop": {}, "learning_rate": {"value": 0.1, "scheduled": False}}
        info = RunInfo(run_id, name, class_names=("zero", "one"), controls=controls, **facts)

        def deliver(command: Command) -> CommandState:
            self.delivered.append(command)
            return CommandState.DELIVERED

        self.broker.open(info, deliver)
        self.say(run_id, Status(RunState.RUNNING))
        return run_id

    def say(self, run_id: str, payload: Any, step: int = 0) -> None:
        self.broker.publish([Event(run_id, step, self.clock.wall(), payload)])

    def log(self, run_id: str, name: str, values: Any, first: int = 0, kind: str = "step") -> None:
        values = np.asarray(values, np.float64)
        steps = np.arange(first, first + len(values), dtype=np.int64)
        times = self.clock.wall() + np.zeros(len(values))
        column = Column(name, steps, values, times, kind)  # type: ignore[arg-type]
        self.say(run_id, Scalars((column,)), int(steps[-1]))


def jpeg(side: int = 32) -> bytes:
    out = io.BytesIO()
    Image.new("L", (side * 4, side * 4), 128).save(out, "JPEG")
    return out.getvalue()


def batch(right: int = 3, count: int = 4, data: bytes | None = None) -> Batch:
    picture = Mosaic(jpeg() if data is None else data, 4, 1, 32, 32)
    predicted = tuple([1] * right + [0] * (count - right))
    return Batch(
        count,
        32,
        mosaic=picture,
        predicted=predicted,
        confidence=(0.9,) * count,
        truth=(1,) * count,
        right=30,
        counted=32,
    )
