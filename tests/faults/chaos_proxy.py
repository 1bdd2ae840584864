"""A TCP relay that misbehaves on demand: what a network does, for tests and benchmarks on one machine.

Between a client and a server it stands for a road: so long, so wide, and at times closed.

    with ChaosProxy("127.0.0.1", server.port, seed=7) as proxy:
        Client(proxy.address, token).connect()
        proxy.set(delay=0.025, rate=1_250_000)     # 50 ms there and back, 10 Mbit/s
        proxy.set("down", hole=True)               # the server's words arrive nowhere; nothing is closed
        proxy.cut()                                # RST on every connection
        proxy.refuse = True                        # new ones are reset at once

Bytes that meet a hole are kept and go on when it closes, as TCP sends again what a cut swallowed. The width is that
of the road, shared by all connections; what waits in front of it is bounded as a router's queue is, beyond that the
sender's own buffers fill. It acts on bytes, not packets: keepalive pings of HTTP/2 see a hole, those of TCP do not.

As a program it takes such changes as lines of JSON, and answers each with its counters:

    python chaos_proxy.py 127.0.0.1:50051
    {"delay": 0.05}    {"way": "down", "hole": true}    {"cut": true}    {"refuse": true}
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
import sys
import threading
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK = 16 << 10  # bytes taken at a time
KERNEL = (
    32 << 10
)  # bytes that the sockets of the relay take in by themselves: a queue that nobody sees
WAYS = ("up", "down")  # from the client to the server, and back


@dataclass(frozen=True)
class Road:
    """One direction: seconds of delay, bytes a second, bytes that wait for their turn, a hole, share of bytes hit."""

    delay: float = 0.0
    rate: float | None = None
    queue: int = 48 << 10
    hole: bool = False
    flip: float = 0.0


@dataclass
class Counts:
    """Since the start."""

    accepted: int = 0
    refused: int = 0
    cut: int = 0
    up: int = 0
    down: int = 0
    flipped: int = 0


class ChaosProxy:
    """Relays to ``host:port``; every method may be called from any thread.

    Parameters
    ----------
    host, port
        The server.
    listen
        Port to listen on; 0 takes a free one.
    seed
        Of the bits that flip.
    """

    def __init__(self, host: str, port: int, *, listen: int = 0, seed: int = 0) -> None:
        self.port = listen
        self.refuse = False
        self.counts = Counts()
        self._upstream = (host, port)
        self._roads = {way: Road() for way in WAYS}
        self._free = dict.fromkeys(WAYS, 0.0)  # when the last byte that waits will be through
        self._random = random.Random(seed)
        self._pairs: dict[asyncio.Task[None], tuple[socket.socket, ...]] = {}
        self._changed: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # --- life --------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen."""
        door = socket.socket()
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL)  # accepted ones inherit it
        door.bind(("127.0.0.1", self.port))
        door.listen(256)
        door.setblocking(False)
        self.port = door.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._run, args=(door,), name="nbmonitor-chaos", daemon=True
        )
        self._thread.start()
        return self

    def close(self) -> None:
        """Reset what is open and end. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(5.0)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """``host:port`` for clients."""
        return f"127.0.0.1:{self.port}"

    # --- faults ------------------------------------------------------------------------------------------------------

    def set(self, *ways: str, **changes: Any) -> None:
        """Change the road in these directions ("up", "down"; both by default). Names and units as in :class:`Road`."""
        for way in ways or WAYS:
            self._roads[way] = replace(self._roads[way], **changes)
        self._call(lambda: self._changed.set() if self._changed else None)

    def heal(self) -> None:
        """A road without faults; what is open stays open."""
        self.refuse = False
        self.set(**asdict(Road()))

    @contextlib.contextmanager
    def fault(self, *ways: str, **changes: Any) -> Iterator[None]:
        """A change that ends with the block."""
        before = dict(self._roads)
        self.set(*ways, **changes)
        try:
            yield
        finally:
            for way, road in before.items():
                self.set(way, **asdict(road))

    def cut(self) -> None:
        """Reset every connection, on both sides, and wait until that is done."""
        if self._loop is None or self._thread is None:
            raise RuntimeError("the relay is not running: call start() first")
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(5.0)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._pairs)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _call(self, what: Callable[[], object]) -> None:
        if self._loop is None or self._thread is None:
            raise RuntimeError("the relay is not running: call start() first")
        self._loop.call_soon_threadsafe(what)

    def _run(self, door: socket.socket) -> None:
        loop = self._loop
        assert loop is not None
        asyncio.set_event_loop(loop)
        self._changed = asyncio.Event()
        accepting = loop.create_task(self._accept(loop, door))
        try:
            loop.run_forever()
        finally:
            tasks = [accepting, *self._pairs]
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            door.close()
            loop.close()

    async def _cut(self) -> None:
        tasks = list(self._pairs)
        self.counts.cut += len(tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, loop: asyncio.AbstractEventLoop, door: socket.socket) -> None:
        while True:
            near, _ = await loop.sock_accept(door)
            near.setblocking(False)
            if self.refuse:
                self.counts.refused += 1
                _reset(near)
                continue
            far = socket.socket()
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL)
            far.setblocking(False)
            self._pair(loop, near, far)

    def _pair(
        self, loop: asyncio.AbstractEventLoop, near: socket.socket, far: socket.socket
    ) -> None:
        def ended(task: asyncio.Task[None]) -> None:
            # Not at the end of the task's own work: one that is cut before its first step never has any.
            del self._pairs[task]
            _reset(near)
            _reset(far)

        task = loop.create_task(self._relay(loop, near, far))
        self._pairs[task] = (near, far)
        task.add_done_callback(ended)

    async def _relay(
        self, loop: asyncio.AbstractEventLoop, near: socket.socket, far: socket.socket
    ) -> None:
        pumps: list[asyncio.Task[None]] = []
        try:
            await loop.sock_connect(far, self._upstream)
            self.counts.accepted += 1
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for way, source, sink in (("up", near, far), ("down", far, near)):
                under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
                pumps.append(loop.create_task(self._take(loop, way, source, under_way)))
                pumps.append(loop.create_task(self._give(loop, way, sink, under_way)))
            for pump in asyncio.as_completed(pumps):
                await pump  # the first error ends the pair; an end of the stream is passed on
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _take(
        self,
        loop: asyncio.AbstractEventLoop,
        way: str,
        source: socket.socket,
        under_way: asyncio.Queue[tuple[float, bytes]],
    ) -> None:
        """Bytes enter the road as it has room."""
        data = b"-"
        while data:
            while (road := self._roads[way]).hole or (
                road.rate and (self._free[way] - loop.time()) * road.rate > road.queue
            ):
                await self._moment(0.005)
            most = CHUNK if road.rate is None else int(min(CHUNK, max(512, road.rate * 0.01)))
            data = await loop.sock_recv(source, most)
            road = self._roads[way]  # as it is when they come
            setattr(self.counts, way, getattr(self.counts, way) + len(data))
            through = now = loop.time()
            if road.rate is not None:
                through = self._free[way] = max(now, self._free[way]) + len(data) / road.rate
            under_way.put_nowait((through + road.delay, self._hit(data, road.flip)))

    async def _give(
        self,
        loop: asyncio.AbstractEventLoop,
        way: str,
        sink: socket.socket,
        under_way: asyncio.Queue[tuple[float, bytes]],
    ) -> None:
        """Bytes leave it when their time has come."""
        data = b"-"
        while data:
            when, data = await under_way.get()
            if (wait := when - loop.time()) > 0.0:
                await asyncio.sleep(wait)
            while self._roads[way].hole:
                await self._moment(0.5)
            if data:
                await loop.sock_sendall(sink, data)
        sink.shutdown(socket.SHUT_WR)

    async def _moment(self, seconds: float) -> None:
        """Wait, or until the road is changed."""
        assert self._changed is not None
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    def _hit(self, data: bytes, share: float) -> bytes:
        if not share or not data:
            return data
        out = bytearray(data)
        at = int(self._random.expovariate(share))
        while at < len(out):
            out[at] ^= 1 << self._random.randrange(8)
            self.counts.flipped += 1
            at += 1 + int(self._random.expovariate(share))
        return bytes(out)


def _reset(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def main() -> None:
    """Run as a program."""
    host, _, port = sys.argv[1].rpartition(":")
    with ChaosProxy(host, int(port)) as proxy:
        print(proxy.port, flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            way = asked.pop("way", None)
            if asked.pop("cut", False):
                proxy.cut()
            proxy.refuse = asked.pop("refuse", proxy.refuse)
            proxy.set(*([way] if way else []), **asked)
            print(json.dumps(asdict(proxy.counts)), flush=True)


if __name__ == "__main__":
    main()
