"""A viewer that never reads costs a bounded mailbox for a minute, and nobody else anything."""

from __future__ import annotations

import time

import grpc
import psutil
import pytest

from nbmonitor.events import Demand, Scalars
from nbmonitor.rpc import limits, pacing, showing
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


def test_it_is_closed_with_the_reason_and_its_place_is_free(
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
def test_an_old_client_that_never_reads_is_swept_out(run, server, watch, eventually, monkeypatch):
    """It says nothing of what it received, so that gRPC's own buffers fill and hold its place."""
    monkeypatch.setattr(showing, "STUCK", 0.5)
    call = watch(run.run_id, acknowledges=False)
    eventually(lambda: server._gate.active["viewers"] == 1)
    (unread,) = [s for s in server._monitor._showings if s._run_id]
    end = time.monotonic() + 20
    while unread.stuck < 0.1 and time.monotonic() < end:
        run.picture(500_000)
        time.sleep(0.02)
    assert unread.stuck >= 0.1, "gRPC takes a few megabytes, and then no more"
    eventually(lambda: server._gate.active["viewers"] == 0, 5)
    eventually(lambda: server._gate.ending == 1, 5)
    with pytest.raises(grpc.RpcError) as ended:  # it reads, after all
        list(call)
    assert ended.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    eventually(lambda: server._gate.ending == 0, 5)


@pytest.mark.slow
def test_ended_watches_that_nobody_reads_are_bounded(run, server, watch, eventually, monkeypatch):
    monkeypatch.setattr(showing, "STUCK", 0.2)
    monkeypatch.setattr(limits, "ENDING", 2)
    unread = [watch(run.run_id, acknowledges=False) for _ in range(2)]

    def ended():
        run.picture(500_000)
        return server._gate.ending == 2

    eventually(ended, 20)
    with pytest.raises(grpc.RpcError, match="are not read to their end"):
        next(watch(run.run_id, acknowledges=True))
    for call in unread:
        call.cancel()
    eventually(lambda: server._gate.ending == 0, 5)
    assert next(watch(run.run_id, acknowledges=True))


def test_a_minute_is_what_it_is():
    assert pacing.PATIENCE == showing.PATIENCE == showing.STUCK == 60.0
