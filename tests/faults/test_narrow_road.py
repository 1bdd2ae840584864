"""A viewer on a narrow road sees the present: fewer pictures, smaller ones, every value."""

from __future__ import annotations

import time

import pytest

from nbmonitor.events import Batch, Demand, LogLine, Scalars

MEGABIT = 125_000.0


@pytest.mark.slow
def test_one_megabit_lowers_rate_and_size_and_loses_no_value(
    run, broker, proxy, attach, view, eventually
):
    proxy.set(delay=0.025, rate=MEGABIT)
    viewer = view(attach(), run.run_id, Demand(30, 512))
    eventually(lambda: broker.demand(run.run_id).fps == 30)
    run.train(fps=30, picture=16_000)
    eventually(lambda: viewer.look(0.2) or broker.demand(run.run_id).pixels == 32, 15)
    first = len(viewer.seen)
    viewer.look(3.0)
    run.stop()
    viewer.look(1.0)
    assert viewer.steps() == list(range(run.step)), "every value, in order, once"
    assert viewer.resyncs == 0
    settled = [b for at, b in viewer.seen[first:] if isinstance(b.payload, Batch)]
    small = [b for b in settled if b.payload.mosaic.width == 32]
    assert len(small) >= 10, "half as wide as what was shown"
    late = viewer.lags(Scalars)[-30:]
    assert max(late) < 3.0, "not what was seconds ago, as gRPC's buffers alone would have it"


def test_many_viewers_leave_pictures_out_instead(run, server, proxy, attach, view, eventually):
    """Somebody near wants the pictures as they are: who is far gets fewer of them."""
    near = view(attach(server.address), run.run_id, Demand(30, 512))
    proxy.set(delay=0.01, rate=2 * MEGABIT)
    far = view(attach(), run.run_id, Demand(30, 512))
    eventually(lambda: len(server._monitor._showings) == 4)
    run.train(fps=30, picture=30_000)
    near.look(0.1)
    far.look(4.0)
    near.look(0.2)
    run.stop()
    far.look(1.0)
    widths = {b.payload.mosaic.width for b in near.of(Batch)}
    assert widths == {64}
    assert len(far.of(Batch)) < 60
    assert far.of(Batch)
    assert far.steps()[-1] == run.step - 1
    assert len(far.steps()) == len(set(far.steps()))
    assert far.box.dropped > 20, "and it is told how many were left out"


def test_what_piled_up_comes_in_portions_of_larger_blocks(run, proxy, attach, view, eventually):
    """While a hole is open, values wait; then they come together, and pictures never before them in time."""
    client = attach()
    viewer = view(client, run.run_id, Demand(10, 512))
    viewer.look(0.2)
    with proxy.fault("down", hole=True):
        for _ in range(300):
            run.loss(100)
        time.sleep(1.0)
    run.line("the end")
    eventually(lambda: viewer.look(0.1) or viewer.of(LogLine))
    assert viewer.steps() == list(range(30_000))
    assert len(viewer.of(Scalars)) < 150, "blocks were put together"
    assert viewer.resyncs == 0


def test_a_picture_that_waited_is_shown_though_values_passed_it(run, proxy, attach, view, broker):
    """Values never wait for a picture: a picture may come after what was said later."""
    proxy.set(rate=2 * MEGABIT)
    viewer = view(attach(), run.run_id, Demand(5, 512))
    viewer.look(0.3)
    for _ in range(40):
        run.picture(6_000)
        run.loss()
        viewer.look(0.02)
    viewer.look(1.5)
    assert viewer.steps() == list(range(40))
    shown = [b.payload.batch for b in viewer.of(Batch)]
    assert shown == sorted(set(shown))
    assert shown[-1] == 39, "the newest is never left out"
    assert len(shown) >= 3
