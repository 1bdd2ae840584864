"""A viewer that never reads costs a bounded mailbox for a minute, and nobody else anything."""

from __future__ import annotations

import time

import grpc
import psutil
import pytest

from nbmonitor.events import Demand, Scalars
from nbmonitor.rpc import monitor, pacing, showing
from nbmonitor.rpc.channel import dial, method
from nbmonitor.rpc.codec import MONITOR, viewer
from nbmonitor.rpc.trust.auth import metadata


@pytest.fixture
def watch(server):
    """A watch whose answers nobody takes."""
    channels = []

    def start(run_id, *, acknowledges):
        channel = dial(server.address)
        channels.append(channel)
        wanted = viewer.Watch(run_id, None, Demand(30, 512), acknowledges=acknowledges)
        ask = method(channel, MONITOR, "WatchRun")
        return ask(viewer.watch(wanted), metadata=metadata(server.token))

    yield start
    for channel in channels:
        channel.close()


def test_it_is_closed_with_the_reason_and_its_thread_is_free(
    run, server, watch, attach, view, eventually, monkeypatch
):
    monkeypatch.setattr(showing, "PATIENCE", 1.0)
    call = watch(run.run_id, acknowledges=True)
    eventually(lambda: server._gate.active["viewers"] == 1)
    other = view(attach(server.address), run.run_id, Demand(30, 512))
    other.look(0.1)
    before = psutil.Process().memory_info().rss
    run.train(fps=60, picture=100_000)
    other.look(0.8)
    (unread,) = [s for s in server._monitor._showings if s._run_id and not s._pacing._received]
    assert unread._pacing.under_way < 400_000, "the rest waits in a mailbox that is bounded"
    eventually(lambda: server._gate.active["viewers"] == 1, 5)
    other.look(0.3)
    run.stop()
    with pytest.raises(grpc.RpcError) as ended:
        list(call)
    assert ended.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "was not read for" in ended.value.details()
    assert max(other.lags(Scalars)) < 3.0
    other.look(0.3)
    assert other.steps() == list(range(other.steps()[0], run.step)), "nobody else misses a value"
    assert psutil.Process().memory_info().rss - before < 64 << 20


@pytest.mark.slow
def test_an_old_client_that_never_reads_is_swept_out(
    run, server, watch, attach, eventually, monkeypatch
):
    """It says nothing of what it received, so that gRPC's own buffers fill and hold the thread."""
    monkeypatch.setattr(monitor, "STUCK", 0.5)
    monkeypatch.setattr(monitor, "SWEEP", 0.1)
    call = watch(run.run_id, acknowledges=False)
    eventually(lambda: server._gate.active["viewers"] == 1)
    client = attach(server.address)
    (unread,) = [s for s in server._monitor._showings if s._run_id]
    end = time.monotonic() + 20
    while unread.stuck < 0.1 and time.monotonic() < end:
        run.picture(500_000)
        time.sleep(0.02)
    assert unread.stuck >= 0.1, "gRPC takes a few megabytes, and then no more"

    def swept():
        client._calls.ask("ListRuns", b"", 2)
        return server._gate.active["viewers"] == 0

    eventually(swept, 5)
    with pytest.raises(grpc.RpcError):
        list(call)


def test_a_minute_is_what_it_is():
    assert pacing.PATIENCE == showing.PATIENCE == monitor.STUCK == 60.0
