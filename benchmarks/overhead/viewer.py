"""A viewer of pictures in the broker's own process, which counts what arrives; and a server that has one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

import nbmonitor
import nbmonitor.process
from nbmonitor.errors import UnknownRunError
from nbmonitor.events import Batch, Demand, Gap

if TYPE_CHECKING:
    from nbmonitor.broker import Broker


class Viewer:
    """Wants 60 pictures a second of a run, and counts them."""

    def __init__(self, broker: Broker, run_id: str) -> None:
        self.pictures = 0
        self._box = broker.subscribe(run_id, notify=self._count)
        self._box.demand = Demand(60.0)

    def _count(self) -> None:
        self.pictures += sum(isinstance(e.payload, Batch) for e in self._box.drain().events)


def local_broker() -> Broker:
    """The broker of this process."""
    broker = nbmonitor.process.process.broker
    assert broker is not None, "a run or a server makes it"
    return broker


class Server:
    """A process that serves, started and asked from here."""

    def __init__(self, port: int = 0) -> None:
        command = [sys.executable, "-m", "overhead.viewer", str(port)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address, self.token_file = self._answer()

    def ask(self, *words: str) -> Any:
        """``watch RUN``, ``pictures RUN``, ``points RUN NAME``, ``lost RUN``: what it answers."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self.process.communicate()  # the end of its input ends it


def main(port: int) -> None:
    server = nbmonitor.serve(port=port)
    broker = local_broker()
    print(json.dumps([server.address, str(nbmonitor.process.process.token_file)]), flush=True)
    viewers: dict[str, Viewer] = {}
    for line in sys.stdin:
        word, run_id, *more = json.loads(line)
        answer: Any = None
        if word == "watch":
            viewers[run_id] = _patiently(broker, run_id)
        elif word == "pictures":
            answer = viewers[run_id].pictures
        elif word == "points":
            steps, _ = broker.history(run_id, more[0])
            answer = len(
                np.unique(steps)
            )  # a value that came twice is stored once, or it is a fault
        elif word == "lost":
            answer = _lost(broker, run_id)
        print(json.dumps(answer), flush=True)


def _lost(broker: Broker, run_id: str) -> list[int] | None:
    """Values that a run says were lost, and the gaps drawn for it; None before the run is here."""
    try:
        gaps = [e.payload for e in broker.events(run_id) if isinstance(e.payload, Gap)]
        return [broker.run(run_id).lost, sum(gap.count for gap in gaps)]
    except UnknownRunError:
        return None


def _patiently(broker: Broker, run_id: str) -> Viewer:
    end = time.monotonic() + 10
    while True:
        try:
            return Viewer(broker, run_id)
        except UnknownRunError:  # its trainer is still on the way
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


if __name__ == "__main__":
    main(int(sys.argv[1]))
