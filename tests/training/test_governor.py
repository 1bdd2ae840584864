"""What a training may feel is bounded: pictures fewer, then smaller, then charts slower, and back again."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import pytest

from nbmonitor.training.cpu import OwnCpu
from nbmonitor.training.frames import Pace
from nbmonitor.training.governor import KEYFRAME_EVERY, Figures, Governor


@dataclass
class Loop:
    """A training loop on a clock of its own: 10 ms of work a step, then what the monitor takes.

    ``price`` and ``work``: seconds that a frame of a given side takes on the training thread and on the worker;
    ``way``: CPU seconds that it takes on its way to a viewer; ``scalars``: seconds on the training thread a step;
    ``columns``: CPU seconds of each block of values.
    """

    governor: Governor
    price: object = lambda side: 0.0
    work: object = lambda side: 0.0
    way: float = 0.0
    scalars: float = 0.0
    columns: float = 0.0
    natural: int = 224
    fps: float = 60.0
    now: float = 0.0
    felt: float = 0.0
    pictured: float = 0.0
    cpu: float = 0.0
    encoded: float = 0.0
    frames: int = 0
    pace: Pace = field(default_factory=Pace)
    taken: list = field(default_factory=list)  # (time, side)
    ticked: float = -1.0

    def run(self, seconds: float) -> Loop:
        end = self.now + seconds
        g = self.governor
        while self.now < end:
            self.now += 0.01 + self.scalars
            self.felt += self.scalars
            if self.pace.due("train", self.now, g.interval):
                side = min(g.side, self.natural)
                price, work = self.price(side), self.work(side)
                g.prices.append(price)
                g.works.append(work)
                self.now += price
                self.felt += price
                self.pictured += price
                self.cpu += work + self.way
                self.encoded += work
                self.frames += 1
                self.taken.append((self.now, side))
            if self.now - self.ticked >= max(0.05, g.charts):
                self.ticked = self.now
                self.cpu += self.columns
            g.want(self.fps, 512)
            g.weigh(self.now, min(g.side, self.natural))
            if g.due(self.now):
                g.look(self.figures(), min(g.side, self.natural))
        return self

    def figures(self) -> Figures:
        return Figures(
            self.now, self.now, self.felt, self.pictured, self.cpu, self.encoded, self.frames
        )

    def shares(self, seconds: float) -> tuple[float, float, float]:
        """Over the next ``seconds``: share felt, cores taken, frames a second."""
        a = self.figures()
        self.run(seconds)
        b = self.figures()
        past = b.now - a.now
        return (b.felt - a.felt) / past, (b.cpu - a.cpu) / past, (b.frames - a.frames) / past


def area(per_pixel):
    return lambda side: per_pixel * side * side


def test_what_costs_little_is_left_alone():
    loop = Loop(Governor(), area(60e-6 / 32**2), area(500e-6 / 32**2), natural=32, scalars=10e-6)
    felt, cpu, fps = loop.shares(20)
    assert fps == pytest.approx(60, rel=0.05)
    assert felt < 0.02
    assert cpu < 0.25
    assert (loop.governor.limits, loop.governor.side, loop.governor.charts) == ("", 512, 0.0)


def test_a_costly_source_is_thinned_first():
    loop = Loop(Governor(), lambda side: 0.001, natural=32).run(10)
    felt, _, fps = loop.shares(20)
    assert felt <= 0.02
    assert 12 <= fps <= 20, "as many as the bound allows, not fewer"
    assert loop.governor.side == 512
    assert loop.governor.limits.startswith("pictures thinned to 1")


def test_a_very_costly_source_is_shrunk_before_its_rate_falls_further():
    loop = Loop(Governor(), area(0.008 / 224**2)).run(15)
    felt, _, fps = loop.shares(20)
    assert felt <= 0.02
    assert fps > 5
    assert loop.taken[-1][1] < 224
    assert "pictures shrunk to" in loop.governor.limits


def test_the_bound_of_our_threads_is_kept_too():
    loop = Loop(Governor(), work=area(0.05 / 224**2)).run(15)
    _, cpu, fps = loop.shares(20)
    assert cpu <= 0.25
    assert fps > 5
    loop = Loop(Governor(worker_cpu=0.1), way=0.01, natural=32).run(15)  # beyond the encoder
    _, cpu, fps = loop.shares(20)
    assert cpu <= 0.1
    assert fps > 5


def test_what_smaller_pictures_do_not_make_cheaper_stays_large():
    loop = Loop(Governor(), lambda side: 0.01).run(20)  # the labels are what is dear
    felt, _, fps = loop.shares(30)
    assert felt <= 0.02
    assert fps > 1
    assert loop.taken[-1][1] == 224


def test_it_recovers_when_pictures_are_cheap_again():
    loop = Loop(Governor(), area(0.008 / 224**2)).run(30)
    assert loop.governor.limits
    loop.price = area(1e-4 / 224**2)
    loop.run(60)
    assert loop.governor.limits == ""
    _, _, fps = loop.shares(5)
    assert fps == pytest.approx(60, rel=0.05)


@pytest.mark.parametrize("price", [0.0005, 0.002, 0.004, 0.008, 0.03, 0.2])
@pytest.mark.parametrize("work", [0.001, 0.02, 0.1])
def test_nothing_swings(price, work):
    loop = Loop(Governor(), area(price / 224**2), area(work / 224**2), way=0.001, scalars=5e-5)
    loop.run(60)
    levers = []
    for _ in range(60):
        felt, cpu, _ = loop.shares(2)
        levers.append((loop.governor.side, loop.governor.charts))
        rate = 1 / loop.governor.interval
    sides = [side for side, _ in levers]
    assert sum(a != b for a, b in itertools.pairwise(sides)) <= 1, sides
    felt, cpu, fps = loop.shares(30)
    assert felt <= 0.021
    assert cpu <= 0.26
    assert fps == pytest.approx(rate, rel=0.4)


def test_never_below_one_keyframe_in_ten_seconds():
    loop = Loop(Governor(), lambda side: 3.0, natural=32).run(200)
    assert loop.governor.interval == KEYFRAME_EVERY
    times = [t for t, _ in loop.taken]
    assert max(b - a for a, b in itertools.pairwise(times)) < KEYFRAME_EVERY + 3.5


def test_another_size_is_not_tried_in_a_burst():
    loop = Loop(Governor(), lambda side: 3.0).run(200)
    times = [t for t, _ in loop.taken]
    assert min(b - a for a, b in itertools.pairwise(times[2:])) > 5


def test_charts_give_way_last_and_come_back_first():
    loop = Loop(Governor(), area(1e-4 / 224**2), area(1e-3 / 224**2), columns=0.03).run(60)
    _, cpu, _ = loop.shares(20)
    assert cpu <= 0.25
    assert 0 < loop.governor.charts <= 1.0
    assert "charts slowed to" in loop.governor.limits
    levers = []
    for _ in range(20):
        loop.run(2)
        levers.append(loop.governor.charts)
    assert len(set(levers)) == 1, "and does not swing"
    loop.columns = 0.0001
    loop.run(60)
    assert loop.governor.limits == ""


def test_pictures_are_not_blamed_for_what_numbers_cost():
    loop = Loop(Governor(), lambda side: 1e-5, natural=32, scalars=0.001).run(60)
    felt, _, fps = loop.shares(20)
    assert felt > 0.02, "nothing here can help that"
    assert fps > 30
    assert loop.governor.charts == 1.0


def test_a_single_hitch_thins_nothing():
    costs = itertools.chain([0.05], itertools.repeat(6e-5))
    loop = Loop(Governor(), lambda side: next(costs), natural=32)
    loop.run(1)
    assert loop.shares(5)[2] == pytest.approx(60, rel=0.05)


def test_a_hitch_of_something_else_thins_nothing():
    loop = Loop(Governor(), lambda side: 1e-4, natural=32).run(10)
    loop.now += 0.1
    loop.felt += 0.1
    assert loop.shares(5)[2] == pytest.approx(60, rel=0.05)


def test_whoever_comes_gets_full_rate_again():
    loop = Loop(Governor(), area(0.008 / 224**2)).run(20)
    loop.fps, loop.price = 0.0, area(1e-5)
    loop.price = lambda side: 1e-5
    loop.run(60)
    assert loop.governor.interval == KEYFRAME_EVERY
    assert "thinned" not in loop.governor.limits, "as often as is wanted when nobody looks"
    loop.fps = 60.0
    loop.run(0.1)
    assert loop.governor.interval < 0.2


def test_a_pause_is_neither_felt_nor_blamed():
    g = Governor()
    g.want(60, 512)
    g.look(Figures(0, 0, 0, 0, 0, 0, 0))
    g.look(Figures(10, 0, 0, 0, 0.1, 0, 0))
    assert g.limits == ""
    assert g.cpu == pytest.approx(0.01)


# --- in a run --------------------------------------------------------------------------------------------------------


def test_a_real_loop_with_large_pictures_is_thinned_and_goes_on(make, fake):
    """How near to the bound it comes is measured in benchmarks/overhead.py."""
    run = make(sink=fake, overhead=0.02)
    pictures = np.random.default_rng(0).random((16, 3, 448, 448), np.float32)
    p = run._progress
    marks = []
    for i, _ in enumerate(run.track(itertools.count())):
        time.sleep(0.01)
        run.log_batch(pictures)
        if i == 0:
            began = time.perf_counter()
        marks.append((time.perf_counter() - began, i, p.frames))
        if marks[-1][0] > 6:
            break
    middle = next(m for m in marks if m[0] > 3)
    last = marks[-1]
    steps, frames = (b - a for a, b in zip(middle[1:], last[1:], strict=True))
    assert frames < steps / 4, "60 a second were wanted, so that nearly every step would show one"
    assert frames > 0, "it goes on"
    assert run._outbox.governor.limits, "and says what it does"
    told = fake.reports[-1]
    assert told.limits
    assert told.worker_cpu is not None


def test_values_wait_for_slower_charts_but_words_do_not(make, fake, wait_for):
    run = make(sink=fake)
    run.log(a=1.0)
    run._outbox.flush()
    run._outbox.governor.charts = 30.0
    run._outbox._next_rows = time.perf_counter() + 30.0
    known = len(fake.events)
    run.log(a=2.0)
    time.sleep(0.2)
    assert len(fake.events) == known
    run.log_epoch(e=1.0)
    wait_for(lambda: len(fake.events) > known)
    run.log(a=3.0)
    assert run._outbox.flush(2), "whoever waits for it gets it"


def test_the_boundary_is_part_of_what_is_felt(make, fake):
    now = [0.0]
    run = make(sink=fake, monotonic=lambda: now[0])
    run._enter()
    run._outbox.close()

    class Slow:
        def changed(self):
            now[0] += 0.001
            return {}

    run._control.learning_rate = Slow()
    for _ in run.track(range(200)):
        now[0] += 0.099
        run._meter.due(now[0])
    report = run._meter.report(now[0])
    assert report.delay == pytest.approx(0.01, rel=0.05)
    assert report.overhead == pytest.approx(0.01, rel=0.05)


def test_cpu_of_our_threads_alone_is_counted():
    stop = threading.Event()
    count = OwnCpu()
    assert count() == 0.0

    def burn():
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass
        done.set()
        stop.wait(10)

    for name, most in (("nbmonitor-x", 1.0), ("nbmonitor-cell", 0.02), ("other", 0.02)):
        done = threading.Event()
        stop.clear()
        before = count()
        thread = threading.Thread(target=burn, name=name)
        thread.start()
        assert done.wait(10)
        taken = count() - before
        stop.set()
        thread.join()
        assert taken < most
        if name == "nbmonitor-x":
            assert taken >= 0.05
