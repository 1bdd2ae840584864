"""What is under way follows the road: simulated, with a clock of its own."""

from __future__ import annotations

import heapq
from itertools import pairwise

import pytest

from nbmonitor.events import Demand
from nbmonitor.rpc import pacing
from nbmonitor.rpc.pacing import Pacing

WANTED = Demand(30.0, 64)


class Road:
    """A viewer behind a road of ``rate`` bytes a second and ``delay`` seconds each way."""

    def __init__(self, rate, delay, *, speaks=True):
        self.now = 0.0
        self.rate = rate
        self.delay = delay
        self.speaks = speaks
        self.pacing = Pacing(acknowledges=True, monotonic=lambda: self.now)
        self.lags = []  # seconds from when it was sent to when it is there
        self.most = 0
        self._free = 0.0
        self._due = []  # (when, what, of what)
        self._got = self._told = 0

    def send(self, size):
        after = self.pacing.after
        self.pacing.sent(size)
        self.most = max(self.most, self.pacing.under_way)
        self._free = max(self._free, self.now) + size / self.rate
        heapq.heappush(self._due, (self._free + self.delay, "there", size, after, self.now))

    def run(self, seconds):
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            self.now, what, size, after, sent = heapq.heappop(self._due)
            if what == "word":
                self.pacing.received(size)
                continue
            self._got += size
            self.lags.append(self.now - sent)
            if self._got - self._told >= after and self.speaks:
                self._told = self._got
                heapq.heappush(self._due, (self.now + self.delay, "word", self._got, 0, 0.0))
        self.now = end


def train(road, seconds, wanted=WANTED, fps=30.0, picture=16_000):
    """A run of so many pictures of 64 pixels a second; every step says 300 bytes. Returns what went, by kind."""
    shown, held, next_at = [], None, road.now
    end = road.now + seconds
    demand = wanted
    while road.now < end:
        demand = road.pacing.demand(wanted)
        if road.now >= next_at and demand.fps > 0:
            next_at = max(next_at, road.now - 0.1) + 1.0 / min(demand.fps, fps)
            width = min(64, demand.pixels)
            held = (int(picture * (width / 64) ** 2), width, road.now)
        if road.pacing.room:
            road.send(300)
            if held is not None and road.pacing.fits(held[0]):
                road.pacing.pictured(held[1])
                road.send(held[0])
                shown.append((road.now, held[1]))
                held = None
        else:
            road.pacing.full()
        road.run(1 / 60)
    return shown, demand


def test_a_wide_road_gets_everything():
    road = Road(100e6, 0.0005)
    shown, demand = train(road, 5.0, Demand(60.0, 512), fps=60.0, picture=200_000)
    assert len(shown) >= 290
    assert demand == Demand(60.0, 512), "nothing is asked to give way"
    assert max(road.lags) < 0.05


def test_ten_megabits_and_fifty_milliseconds_carry_thirty_frames():
    road = Road(1.25e6, 0.025)
    shown, demand = train(road, 10.0)
    assert len(shown) >= 285
    assert demand == Demand(30.0, 64)
    assert sorted(road.lags)[int(0.99 * len(road.lags))] < 0.2


def test_one_megabit_gets_fewer_and_smaller_ones_and_does_not_fall_behind():
    road = Road(125e3, 0.025)
    train(road, 10.0)
    road.lags.clear()
    shown, demand = train(road, 20.0)
    assert demand.pixels < 64
    assert len(shown) / 20.0 > 6
    assert max(road.lags) < 0.8, "what is tried and too much is taken back"
    assert sorted(road.lags)[int(0.95 * len(road.lags))] < 0.4


def test_a_road_that_narrows_and_widens_again():
    road = Road(12.5e6, 0.01)
    shown, _ = train(road, 5.0)
    assert len(shown) >= 145
    road.rate = 125e3
    train(road, 5.0)
    road.lags.clear()
    train(road, 5.0)
    assert max(road.lags) < 0.8
    road.rate = 12.5e6
    train(road, 40.0)
    shown, demand = train(road, 5.0)
    assert demand == Demand(30.0, 64), "it finds back to what was wanted"
    assert len(shown) >= 145


def test_a_size_that_was_too_much_is_tried_again_later_each_time():
    road = Road(125e3, 0.025)
    sizes = []
    for _ in range(240):
        _, demand = train(road, 0.5)
        sizes.append(demand.pixels)
    tries = [k for k in range(1, len(sizes)) if sizes[k] > sizes[k - 1]]
    waits = [b - a for a, b in pairwise(tries)]
    assert len(tries) >= 2
    assert waits == sorted(waits)


def test_a_viewer_that_says_nothing_holds_little_and_is_told_of_its_silence():
    road = Road(1e9, 0.0, speaks=False)
    train(road, 30.0)
    assert road.most < 2 * pacing.START + 16_000
    assert road.pacing.room == 0
    assert 25.0 < road.pacing.silent <= 30.1


def test_one_that_has_nothing_to_say_is_not_silent():
    road = Road(1e6, 0.01)
    for _ in range(600):
        road.send(8)
        road.run(0.5)
    assert road.pacing.silent == 0.0


def test_an_old_client_is_served_as_before():
    old = Pacing(acknowledges=False, monotonic=lambda: 0.0)
    old.sent(100_000_000)
    assert old.room > 1 << 20
    assert old.fits(1 << 24)
    assert old.after == 0
    assert old.silent == 0.0
    assert old.demand(Demand(60.0, 512)) == Demand(60.0, 512)


@pytest.mark.parametrize("total", [0, 50, 101, 1 << 60])
def test_words_of_another_life_change_nothing(total):
    road = Pacing(acknowledges=True, monotonic=lambda: 1.0)
    road.sent(60)
    road.received(60)
    road.sent(40)
    road.received(total)
    assert road.under_way == 40


def test_nobody_who_looks_and_nothing_gives_way():
    road = Road(20e3, 0.05)
    train(road, 5.0, Demand(0.0, 512))
    assert road.pacing.demand(Demand(30.0, 512)) == Demand(30.0, 512)
