"""The processes of a measurement: a server, trainers, a road between them and the notebook. All are ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).parent
PROXY = HERE.parents[1] / "tests" / "faults" / "chaos_proxy.py"


class Process:
    """A script with a conversation over its pipes; one that comes ``last`` gets the time that others leave."""

    def __init__(
        self, script: Path, *arguments: Any, waits: bool = True, last: bool = False
    ) -> None:
        first = ["nice", "-n", "19"] if last else []
        self.process = subprocess.Popen(
            [*first, sys.executable, str(script), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.first = self._line() if waits else ""

    def there(self) -> None:
        """Wait for its first line."""
        self.first = self.first or self._line()

    def ask(self, line: str) -> str:
        """Say a line, take one."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended before it answered; see above")
        return line.strip()

    def end(self, *, answers: bool = False, timeout: float = 30.0) -> str:
        """End its input; returns the last line where it has one to say."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        last = self._line() if answers else ""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return last

    def kill(self) -> None:
        """For the way out of a failure."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class Road(Process):
    """The relay, in a process of its own, so that it takes no time of those who are measured."""

    def __init__(self, port: int) -> None:
        super().__init__(PROXY, f"127.0.0.1:{port}")
        self.address = f"127.0.0.1:{self.first}"

    def set(self, **changes: Any) -> dict[str, int]:
        """Change the road; returns its counters."""
        return dict(json.loads(self.ask(json.dumps(changes))))


class Place:
    """A server with its token, and whatever is started beside it; a context manager that ends it all."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._started: list[Process] = []
        self.token = os.urandom(24).hex()
        self.token_file = Path(self._folder.name) / "token"
        self.token_file.touch(0o600)
        self.token_file.write_text(self.token)

    def __enter__(self) -> Self:
        self.server = self._start(Process(HERE / "serve.py", self.token_file))
        self.port = int(self.server.first)
        self.address = f"127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._started):
            process.kill()
        self._folder.cleanup()

    def _start(self, process: Process) -> Process:
        self._started.append(process)
        return process

    def road(self, **faults: Any) -> Road:
        """A road to the server."""
        road = Road(self.port)
        self._start(road)
        road.set(**faults)
        return road

    def train(
        self, rate: int, tile: int, *, runs: int = 1, address: str = "", last: bool = False
    ) -> Process:
        """Start trainers; their runs' ids are ``first``."""
        words = (address or self.address, self.token_file, runs, rate, tile)
        return self._start(Process(HERE / "train.py", *words, last=last))

    def watch(self, address: str, viewers: int, seconds: float) -> Process:
        """Start viewers in a process of their own; :meth:`Process.there` waits until they are attached."""
        words = (address, self.token_file, viewers, seconds)
        return self._start(Process(HERE / "watch.py", *words, waits=False, last=True))

    def stored(self, run_id: str) -> tuple[int, int, bool]:
        """Values that the server has of a run's loss: how many, how many different steps, whether in order."""
        count, different, ordered = self.server.ask(run_id).split()
        return int(count), int(different), ordered == "True"
