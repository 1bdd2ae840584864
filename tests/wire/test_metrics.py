"""What is counted of the server's calls."""

from __future__ import annotations

import asyncio
import threading
import time

import grpc
import pytest

from nbmonitor.rpc import codec
from nbmonitor.rpc.metrics import BOUNDS, UNKNOWN, Figures, Metrics, told
from nbmonitor.rpc.trust.auth import metadata

LIST = f"/{codec.MONITOR}/ListRuns"
WATCH = f"/{codec.MONITOR}/WatchRun"
STREAM = f"/{codec.CONTRACT}/StreamMetrics"


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.address) as made:
        yield made


def test_calls_are_counted_by_how_they_ended(server, channel, eventually):
    token = metadata(server.token)
    for _ in range(3):
        channel.unary_unary(LIST)(b"", metadata=token, timeout=5)
    with pytest.raises(grpc.RpcError):
        channel.unary_unary(LIST)(b"", timeout=5)
    with pytest.raises(grpc.RpcError):
        channel.unary_unary(f"/{codec.MONITOR}/GetHistory")(b"\xff\xff", metadata=token, timeout=5)
    for name in ("/made.up/Name", "/another.made.up/Name"):
        with pytest.raises(grpc.RpcError):
            channel.unary_unary(name)(b"", metadata=token, timeout=5)
    eventually(lambda: sum(f.ended for f in server.metrics.snapshot().values()) == 7)
    found = server.metrics.snapshot()
    assert found[LIST].calls == {"OK": 3, "UNAUTHENTICATED": 1}
    assert sum(found[LIST].buckets) == 3, "a refusal is no answer"
    assert found[LIST].errors == 1
    assert told(found).startswith(
        "7 calls so far, 4 refused or failed, 0 in progress. Most of these: (unknown)"
    )
    assert 0 < found[LIST].seconds < 5
    assert found[f"/{codec.MONITOR}/GetHistory"].calls == {"INVALID_ARGUMENT": 1}
    assert found[UNKNOWN].calls == {"UNIMPLEMENTED": 2}, "a stranger's names are not kept"
    assert set(found) == {LIST, f"/{codec.MONITOR}/GetHistory", UNKNOWN}


def test_streams_are_in_progress_until_they_end(server, channel, eventually):
    over = threading.Event()

    def silence():
        over.wait(10)
        return
        yield

    watch = channel.unary_stream(WATCH)(b"", metadata=metadata(server.token))
    next(watch)
    stream = channel.stream_stream(STREAM)(silence())
    eventually(lambda: getattr(server.metrics.snapshot().get(STREAM), "active", 0) == 1)
    assert server.metrics.snapshot()[WATCH].active == 1
    assert sum(server.metrics.snapshot()[WATCH].buckets) == 1, "the first answer is what counts"
    watch.cancel()
    over.set()
    assert list(stream) == []
    eventually(lambda: not any(f.active for f in server.metrics.snapshot().values()))
    found = server.metrics.snapshot()
    assert found[STREAM].calls == {"OK": 1}
    assert sum(found[STREAM].buckets) == 0
    assert sum(found[WATCH].calls.values()) == 1
    assert found[WATCH].errors == 0, "going away is no error"


class Context:
    def __init__(self, code=0):
        self._code = code

    def code(self):
        return self._code

    async def write(self, answer):
        pass


def test_a_handler_that_raises_is_counted_and_who_listens_is_told():
    metrics, told = Metrics(), []
    metrics.on_end = lambda method, code, took: told.append((method, code, took >= 0))

    async def broken(_request, _context):
        raise ZeroDivisionError

    async def writes(_request, context):
        await context.write("x")
        await context.write("y")

    async def left(_request, _context):
        raise asyncio.CancelledError

    async def answers(_request, _context):
        return b""

    async def calls():
        with pytest.raises(ZeroDivisionError):
            await metrics.wrapped(broken, "/a")(b"", Context())
        await metrics.wrapped(writes, "/b")(b"", Context())
        with pytest.raises(asyncio.CancelledError):
            await metrics.wrapped(left, "/c")(b"", Context())
        await metrics.wrapped(answers, "/d")(b"", Context(grpc.StatusCode.NOT_FOUND))
        await metrics.wrapped(answers, "/e")(b"", Context(5))

    asyncio.run(calls())
    assert told == [
        ("/a", "UNKNOWN", True),
        ("/b", "OK", True),
        ("/c", "CANCELLED", True),
        ("/d", "NOT_FOUND", True),
        ("/e", "NOT_FOUND", True),
    ]
    assert not any(f.active for f in metrics.snapshot().values())
    assert [sum(metrics.snapshot()[f"/{m}"].buckets) for m in "abcde"] == [0, 1, 0, 1, 1]


def test_the_histogram_tells_how_long_answers_took():
    metrics = Metrics()
    for took in (0.0005, 0.003, 0.003, 7.0):
        metrics._begin("/a")
        metrics._answered("/a", time.perf_counter() - took)
    figures = metrics.snapshot()["/a"]
    assert figures.buckets == (1, 0, 2, *[0] * (len(BOUNDS) - 3), 1)
    assert figures.within(0.5) == 0.005
    assert figures.within(0.25) == 0.001
    assert figures.within(0.99) == float("inf")
    assert Figures({}, 0, (0,) * (len(BOUNDS) + 1), 0.0).within(0.5) == 0.0
