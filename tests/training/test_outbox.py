"""The buffer beside the loop: bounded, in order, counted, and out of the way of a sink that fails."""

from __future__ import annotations

import logging
import math
import signal
import sys
import threading
import time
import warnings

import numpy as np
import pytest

from nbmonitor.events import Epoch, Gap, Heartbeat, Performance, Resources, Scalars, Status
from nbmonitor.training import resources
from nbmonitor.training.columns import Columns


def scalars(fake, name="a"):
    return [
        (int(s), float(v))
        for block in fake.payloads(Scalars)
        for c in block.columns
        if c.name == name
        for s, v in zip(c.steps, c.values, strict=True)
    ]


def test_values_travel_as_columns_not_as_points(make, fake):
    run = make(sink=fake)
    for i in range(3000):
        run.log(a=float(i), b=-float(i), step=i)
    run.finish()
    assert scalars(fake) == [(i, float(i)) for i in range(3000)]
    assert len(fake.payloads(Scalars)) < 100


def test_the_order_of_values_and_words_is_kept(make, fake):
    run = make(sink=fake)
    run.log(a=1.0)
    run.log_epoch(e=1.0)
    run.log(a=2.0)
    run.finish()
    kinds = [type(e.payload) for e in fake.events if not isinstance(e.payload, Performance)]
    assert kinds == [Status, Scalars, Epoch, Scalars, Status]


def test_beyond_the_bound_the_oldest_go_counted_and_declared(make, fake, wait_for):
    run = make(sink=fake)
    run._enter()
    run._outbox.close()
    run._outbox._max_bytes, run._outbox._alarm = 100_000, 50_000
    run._outbox.asleep = False
    for i in range(1000):
        run.log(a=float(i), step=i)
    run.log_epoch(e=1.0)
    for i in range(1000, 2000):
        run.log(a=float(i), step=i)
    assert len(run._outbox._rows) < 300
    run._outbox.start()
    run._outbox.flush()
    kept = scalars(fake)
    assert kept[-1] == (1999, 1999.0)
    assert [s for s, _ in kept] == list(range(2000 - len(kept), 2000)), "the newest stay"
    gaps = fake.payloads(Gap)
    assert sum(g.count for g in gaps) == 2000 - len(kept) == run._outbox.lost
    assert "full" in gaps[0].reason
    assert len(fake.payloads(Epoch)) == 1, "words are not dropped"
    run._outbox._next_beat = 0.0
    run._outbox.flush()
    wait_for(lambda: fake.beats and fake.beats[-1].lost == run._outbox.lost)


def test_rows_have_what_the_sink_leaves_of_the_road(make, fake):
    run = make(sink=fake)
    room = []
    for fake.waiting in (0, 10 << 20, 23 << 20):
        run._outbox.flush()
        room.append(run._outbox._max_bytes >> 20)
    assert room == [24, 14, 8]


def test_what_was_lost_at_the_very_end_is_told(make, fake):
    run = make(sink=fake, interval=60.0)
    run.log(a=1.0)
    run._outbox.flush()
    run._outbox.lose(5, "of a test")
    run.finish()
    assert fake.beats[-1].lost == 5


def test_a_burst_within_the_bound_is_not_lost(run):
    for i in range(30_000):
        run.log(a=1.0, b=2.0, c=3.0, step=i)
    run.finish()
    assert run._outbox.lost == 0
    assert len(run.history("a")[0]) == 30_000


def test_of_a_burst_beyond_the_bound_every_value_is_kept_or_counted(run):
    for i in range(100_000):
        run.log(a=1.0, b=2.0, c=3.0, step=i)
    run.finish()
    assert len(run.history("a")[0]) + run._outbox.lost // 3 == 100_000


def test_signs_of_life_come_through_a_flood(make, fake):
    run = make(sink=fake, interval=0.05)
    over = time.monotonic() + 1.0
    while time.monotonic() < over:
        for _ in range(100):
            run.log(a=1.0)
    assert len(fake.beats) >= 5
    assert len(fake.reports) >= 3
    assert run._outbox.flush(5)


def test_the_worker_rests_and_wakes(make, fake, wait_for, monkeypatch):
    monkeypatch.setattr("nbmonitor.training.outbox.REST", 60.0)
    run = make(sink=fake, interval=60.0)
    run.log(a=1.0)
    for _ in range(3):
        wait_for(lambda: run._outbox.asleep)
        known = len(scalars(fake))
        run.log(a=1.0)
        wait_for(lambda known=known: len(scalars(fake)) > known)


def test_while_nobody_watches_values_wait_and_who_comes_gets_them_at_once(
    make, fake, wait_for, monkeypatch
):
    monkeypatch.setattr("nbmonitor.training.outbox.ALONE", 60.0)
    fake.fps = 1.0  # a hidden page
    run = make(sink=fake, interval=60.0)
    run.log(a=1.0)
    run._outbox.flush()
    run.log(a=2.0)
    time.sleep(0.2)
    assert len(scalars(fake)) == 1
    fake.fps = 60.0
    fake.changed()
    wait_for(lambda: len(scalars(fake)) == 2)
    fake.fps = 0.0
    run._outbox.flush()
    run.log(a=3.0)
    run.log_epoch(e=1.0)  # words never wait
    wait_for(lambda: len(scalars(fake)) == 3)


def test_alone_it_still_beats_and_keeps_its_bound(make, fake, wait_for, monkeypatch):
    monkeypatch.setattr("nbmonitor.training.outbox.ALONE", 60.0)
    fake.fps = 0.0
    run = make(sink=fake, interval=0.05)
    wait_for(lambda: len(fake.beats) >= 5)
    quiet = make(sink=fake, interval=60.0)
    quiet.log(a=0.0, step=0)
    quiet._outbox.flush()
    known = len(scalars(fake))
    for i in range(1, 4000):
        quiet.log(a=float(i), step=i)
    wait_for(lambda: len(scalars(fake)) > known + 2000)  # a megabyte of rows wakes it
    assert quiet._outbox.lost == run._outbox.lost == 0


def test_heartbeats_tell_the_age_of_the_last_step(make, fake, wait_for):
    now = [50.0]
    run = make(sink=fake, monotonic=lambda: now[0], interval=2.0)

    def beat():
        now[0] += 2.0
        known = len(fake.beats)
        run._outbox.flush()
        wait_for(lambda: len(fake.beats) > known)
        return fake.beats[-1]

    first = beat()
    assert isinstance(first, Heartbeat)
    assert first.boundary_age is None, "no loop yet: nothing to wait for"
    assert first.interval == 2.0
    loop = iter(run.track(range(5)))
    next(loop)
    next(loop)
    assert beat().boundary_age == pytest.approx(2.0)
    assert beat().boundary_age == pytest.approx(4.0)
    next(loop)
    assert beat().boundary_age == pytest.approx(2.0)
    assert beat().step == 2


def test_a_run_that_cannot_be_handed_over_is_warned_of_once_where_the_user_looks(make, fake):
    run = make(sink=fake, interval=0.01)
    fake.problem = "the token is wrong: read it again."
    said, end = [], time.monotonic() + 5
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        while not said and time.monotonic() < end:
            run.log(loss=1.0)
            run._outbox.flush()
            said = [w for w in caught if "handed over" in str(w.message)]
        for _ in range(5):
            run.log(loss=1.0)
            run._outbox.flush()
        said = [w for w in caught if "handed over" in str(w.message)]
    assert len(said) == 1
    assert "the token is wrong: read it again. The training goes on" in str(said[0].message)
    assert said[0].filename == __file__, "at the line that logs, on the thread that logs"


def test_a_sink_that_fails_costs_values_never_the_loop(make, fake, caplog):
    run = make(sink=fake)
    fake.error = OSError("network")
    with caplog.at_level(logging.WARNING, "nbmonitor"):
        for i in range(5):
            run.log(a=float(i))
            run.log_batch(np.zeros((1, 8, 8)))
            run._outbox.flush()
    assert caplog.text.count("training goes on") == 1, "said once"
    assert run._outbox.lost >= 5
    fake.error = None
    run.log(a=9.0)
    run.finish()
    assert scalars(fake)[-1][1] == 9.0
    assert sum(g.count for g in fake.payloads(Gap)) == run._outbox.lost


def test_a_slow_sink_does_not_slow_the_loop(make, fake):
    fake.delay = 0.2
    run = make(sink=fake)
    began = time.perf_counter()
    for i in run.track(range(200)):
        run.log(a=float(i))
        run.log_batch(np.zeros((1, 8, 8)))
    assert time.perf_counter() - began < 2.0, "200 calls that waited would take 40 s"
    fake.delay = 0


def test_logging_from_a_signal_handler(make, fake):
    run = make(sink=fake)
    old = signal.signal(signal.SIGALRM, lambda *_: run.log(handler=1.0))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for i in range(3000):
            run.log(a=float(i), step=i)
            run.log_batch(np.zeros((1, 4, 4)))
            run.step()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    run.finish()
    assert len(scalars(fake)) == 3000
    assert scalars(fake, "handler")


def test_flush_says_when_it_did_not_succeed(make, fake):
    run = make(sink=fake)
    fake.delay = 0.3
    run.log(a=1.0)
    assert run._outbox.flush(0.05) is False
    assert run._outbox.flush(3) is True
    fake.delay = 0


def test_a_flush_brings_the_frame_that_came_while_the_worker_looked_elsewhere(
    make, fake, monkeypatch
):
    run = make(sink=fake)
    outbox, done = run._outbox, threading.Event()
    sift, once = outbox._arrivals.sift, iter([True])

    def meanwhile(rows):
        if next(once, False):  # this tick has looked for frames already
            run.log_batch(np.zeros((2, 8, 8)))
            outbox._rows.append((0, 0.0, done, False))
        return sift(rows)

    monkeypatch.setattr(outbox._arrivals, "sift", meanwhile)
    outbox.flush()
    assert done.wait(5)
    assert len(fake.batches) == 1


def test_closing_twice_and_starting_again(make, fake):
    run = make(sink=fake)
    run.log(a=1.0)
    assert run._outbox.close()
    assert run._outbox.close()
    run.log(a=2.0)
    run._outbox.start()
    run._outbox.start()
    assert len([t for t in threading.enumerate() if t.name == "nbmonitor-outbox"]) == 1
    run._outbox.flush()
    assert [v for _, v in scalars(fake)] == [1.0, 2.0]


def test_the_mean_of_a_step_goes_on_from_block_to_block():
    columns = Columns()

    def build(*rows):
        (column,) = columns.build([(step, 0.0, {"a": value}, mean) for step, value, mean in rows])
        return list(zip(column.steps.tolist(), column.values.tolist(), strict=True))

    assert build((0, 1.0, True)) == [(0, 1)]
    assert build((0, 2.0, True), (0, 6.0, True), (1, 5.0, True)) == [(0, 3), (1, 5)]
    assert build((1, 8.0, True)) == [(1, 6.5)]
    assert build((1, 100.0, False)) == [(1, 100)], "the last word"
    assert build((1, 50.0, True)) == [(1, 75)], "and from there on"
    assert build((2, 4.0, True), (3, 1.0, True)) == [(2, 4), (3, 1)]
    assert build((3, math.inf, True), (3, 1.0, True)) == [(3, math.inf)]
    assert math.isnan(build((3, math.nan, True), (3, 1.0, True))[0][1])


def test_within_a_block_the_last_value_of_a_step_counts():
    rows = [
        (0, 1.0, {"a": 1.0}, False),
        (0, 2.0, {"a": 2.0, "b": 3.0}, False),
        (1, 3.0, {"a": 4.0}, False),
        (0, 4.0, {"a": 5.0}, False),
    ]
    a, b = Columns().build(rows)
    assert (a.name, a.steps.tolist(), a.values.tolist(), a.times.tolist()) == (
        "a",
        [0, 1, 0],
        [2, 4, 5],
        [2, 3, 4],
    )
    assert (b.steps.dtype, b.values.dtype, b.times.dtype) == (np.int64, np.float64, np.float64)


# --- figures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def clocked(make, fake):
    """A run on a clock of the test's, and the figures it would report."""
    now = [1000.0]
    run = make(sink=fake, monotonic=lambda: now[0], clock=lambda: 1e9 + now[0])
    run._enter()
    run._outbox.close()
    return run, now


def test_speed_over_the_last_second_and_on_average(clocked):
    run, now = clocked
    meter = run._meter
    for i in run.track([np.zeros((32, 3))] * 120):
        now[0] += 0.01 if run._progress.step >= 60 else 0.05
        meter.due(now[0])
    report = meter.report(now[0])
    assert report.fps == pytest.approx(73, abs=10), (
        "the window of a second reaches into the slower part"
    )
    assert report.fps_average == pytest.approx(120 / 3.6, rel=0.01)
    assert report.samples_per_second == pytest.approx(32 * report.fps, rel=0.1)
    assert report.median_step == pytest.approx(0.01)


def test_a_run_may_end_before_its_worker_looked_once(clocked):
    run, now = clocked
    run._meter._costs.clear()
    report = run._meter.report(now[0])
    assert (report.overhead, report.delay) == (None, None)


def test_steps_longer_than_the_window_have_a_speed_that_falls_when_overdue(clocked):
    run, now = clocked
    for _ in run.track(range(5)):
        now[0] += 4.0
        run._meter.due(now[0])
    report = run._meter.report(now[0])
    loop = iter(run.track(range(5)))
    assert report.fps_average == pytest.approx(0.25)
    next(loop)
    for _ in range(3):
        now[0] += 4.0
        next(loop)
        run._meter.due(now[0])
    assert run._meter.report(now[0]).fps == pytest.approx(0.25)
    assert run._meter.report(now[0] + 60).fps < 0.05


def test_time_between_loops_is_no_step(clocked):
    run, now = clocked
    for _ in range(3):
        for _ in run.track(range(100)):
            now[0] += 0.01
            run._meter.due(now[0])
        now[0] += 30.0
        run._meter.due(now[0])
    for _ in run.track(range(50)):
        now[0] += 0.01
        run._meter.due(now[0])
    assert run._meter.report(now[0]).fps == pytest.approx(100, rel=0.05)
    assert run._meter.report(now[0]).median_step == pytest.approx(0.01)


def test_time_left_from_epochs(clocked):
    run, now = clocked
    reports = []
    for epoch in run.epochs(4):
        for i in run.track(range(10)):
            now[0] += 1.0
            if (epoch, i) == (1, 9):
                reports.append(run._meter.report(now[0]))
        for _ in run.track(range(5), split="val"):
            now[0] += 1.0
    report = reports[0]
    assert (report.epoch, report.epochs, report.batch, report.batches) == (2, 4, 9, 10)
    assert report.progress == pytest.approx(1.9 / 4)
    assert report.eta == pytest.approx(25 / 1.9 * 2.1, rel=0.01), "evaluation takes time too"


def test_time_left_of_a_loop_alone(clocked):
    run, now = clocked
    for i in run.track(iter(range(100)), total=100):
        now[0] += 0.1
        run._meter.due(now[0])
        if i == 49:
            report = run._meter.report(now[0])
    assert report.progress == pytest.approx(0.49)
    assert report.eta == pytest.approx(5.1, rel=0.05)


def test_overhead_is_the_share_of_our_calls(clocked):
    run, now = clocked

    class Slow:
        def __float__(self):
            now[0] += 0.002
            return 1.0

    for _ in run.track(range(100)):
        now[0] += 0.098
        run.log(a=Slow())
        run._meter.due(now[0])
    assert run._meter.report(now[0]).overhead == pytest.approx(0.02, rel=0.1)


def test_reports_come_ten_times_a_second_while_moving_and_samples_once(clocked):
    run, now = clocked
    reports = []
    for _ in run.track(range(1000)):
        now[0] += 0.01
        reports.append(run._meter.due(now[0]))
    came = [r for r in reports if r]
    assert 80 <= len(came) <= 115
    assert 9 <= sum(r.resources is not None for r in came) <= 11
    still = []
    for _ in range(100):
        now[0] += 0.1
        still.append(run._meter.due(now[0]))
    assert sum(r is not None for r in still) <= 12, "standing still: the machine's figures only"


def test_the_machine_is_sampled():
    sample = resources.Sampler()()
    assert isinstance(sample, Resources)
    assert 0 <= sample.cpu_percent <= 100
    assert sample.memory_mb > 10
    assert sample.memory_total_mb > sample.memory_mb


def test_a_gpu_whose_figures_cannot_all_be_read(monkeypatch):
    pynvml = pytest.importorskip("pynvml")

    class Use:
        gpu = 37

    def refused(*_):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 1)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda i: i)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda h: b"GPU X")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", lambda h: Use)
    for name in ("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetTemperature", "nvmlDeviceGetPowerUsage"):
        monkeypatch.setattr(pynvml, name, refused)
    (device,) = resources.Sampler()().devices
    assert (device.name, device.percent, device.memory_mb, device.power_w) == (
        "GPU X",
        37.0,
        None,
        None,
    )


def test_threads_hand_over_sooner_only_while_somebody_watches(make, fake, wait_for):
    before = sys.getswitchinterval()
    fake.fps = 0.0
    run = make(sink=fake)
    run.log(a=1.0)
    run._outbox.flush()
    assert sys.getswitchinterval() == before
    fake.fps = 60.0
    run.log(a=2.0)
    wait_for(lambda: sys.getswitchinterval() < before)
    run.finish()
    assert sys.getswitchinterval() == before
