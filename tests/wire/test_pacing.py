"""What is under way follows the road: simulated, with a clock of its own."""

from __future__ import annotations

import heapq
import random
from collections import deque
from itertools import count, pairwise

import numpy as np
import pytest

from nbmonitor.events import Demand
from nbmonitor.rpc import pacing, showing
from nbmonitor.rpc.pacing import Pacing

WANTED = Demand(30.0, 64)
TURN = 1 / 60
MEGABIT = 125e3
SEEDS = (None, 1, 2, 3)  # of stalls; None for a machine that has none


class Stalls:
    """Somebody is not scheduled for 50 to 200 ms, every two seconds or so."""

    def __init__(self, seed):
        self._random = random.Random(seed)
        self._from = self._until = 0.0

    def over(self, now):
        """When it goes on, at ``now`` or later."""
        while self._until <= now:
            self._from = self._until + self._random.expovariate(0.5)
            self._until = self._from + self._random.uniform(0.05, 0.2)
        return self._until if self._from <= now else now


class Road:
    """A viewer behind a road of ``rate`` bytes a second and ``delay`` seconds each way.

    With a seed for ``stalls``, what is sent, what the viewer takes, and its words are held up at times, each apart.
    """

    def __init__(self, rate, delay, *, speaks=True, stalls=None):
        self.now = 0.0
        self.rate = rate
        self.delay = delay
        self.speaks = speaks
        self.pacing = Pacing(acknowledges=True, monotonic=lambda: self.now)
        self.arrived = []  # (when, how old, width of a picture or 0 for values)
        self.got = self.most = 0
        self._stalls = {
            who: Stalls(f"{stalls} {who}") for who in ("road", "viewer", "word") if stalls
        }
        self._free = self._last = self._told_at = 0.0
        self._told = 0
        self._due = []  # (when, number, what, of what)
        self._number = count()

    def send(self, size, parts=()):
        """Send an answer; ``parts``: since when each part of it is there, and its width."""
        after = self.pacing.after
        self.pacing.sent(size)
        self.most = max(self.most, self.pacing.under_way)
        self._free = self._over("road", max(self._free, self.now)) + size / self.rate
        # Nothing overtakes what was sent before, not on a road that got shorter either.
        self._last = self._over("viewer", max(self._free + self.delay, self._last))
        self._push(self._last, self._take, size, after, parts)

    def run(self, seconds):
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            self.now, _, do, what = heapq.heappop(self._due)
            do(*what)
        self.now = end

    def _take(self, size, after, parts):
        self.got += size
        self.arrived += [(self.now, self.now - since, width) for since, width in parts]
        due = self.got - self._told >= after or self.now - self._told_at > 2.0
        if due and self.speaks:
            self._told, self._told_at = self.got, self.now
            self._push(self._over("word", self.now) + self.delay, self.pacing.received, self.got)

    def _over(self, who, now):
        return self._stalls[who].over(now) if who in self._stalls else now

    def _push(self, when, do, *what):
        heapq.heappush(self._due, (when, next(self._number), do, what))

    # --- what came of it ---------------------------------------------------------------------------------------------

    def ages(self, since, until=float("inf"), share=99):
        """So many per cent of what arrived then was not older than this."""
        return float(np.percentile([a for at, a, _ in self.arrived if since <= at < until], share))

    def shown(self, since, until=float("inf")):
        """Pictures a second."""
        shown = sum(since <= at < until and width > 0 for at, _, width in self.arrived)
        return shown / (min(until, self.now) - since)


class Show:
    """A trainer of ``fps`` steps and pictures a second, and the watch that shows them, as :mod:`showing` does."""

    def __init__(self, road, wanted=WANTED, *, fps=30.0, picture=26_000, values=300):
        self.road = road
        self.wanted = self.demand = wanted
        self.asked = []  # what was asked for, turn by turn
        self._fps, self._picture, self._values = fps, picture, values
        self._step = self._taken = self._due = road.now
        self._waiting = deque()  # values
        self._held = None  # the newest picture
        self._pictured = self._spoke = float("-inf")

    def run(self, seconds):
        end = self.road.now + seconds
        while self.road.now < end:
            self._train(self.road.now)
            self._turn(self.road.now)
            self.road.run(TURN)
        return self

    def _train(self, now):
        while self._step <= now:
            self._waiting.append(self._step)
            if self.demand.fps > 0 and self._is_due(self._step, 1 / self.demand.fps):
                width = min(64, self.demand.pixels)
                self._held = (self._step, width, int(self._picture * (width / 64) ** 2))
            self._step += 1 / self._fps

    def _is_due(self, now, interval):  # as in training.frames.Pace
        if now < self._due and now < self._taken + interval:
            return False
        self._taken = now
        self._due = max(min(self._due, now), now - interval) + interval
        return True

    def _turn(self, now):
        pacing = self.road.pacing
        self.demand = pacing.demand(self.wanted)
        self.asked.append(self.demand)
        if not pacing.room:
            pacing.full()
            if now - self._spoke >= showing.TICK:
                self._send(8)  # it tells after how much the viewer is to say something
            return
        parts, size, room = [], 0, max(pacing.room, showing.PORTION)
        while self._waiting and size < room:
            parts.append((self._waiting.popleft(), 0))
            size += self._values
        interval = 1 / max(self.demand.fps, 1e-3)
        if self._held is not None and now - self._pictured >= interval - showing.SLACK:
            since, width, weight = self._held
            if pacing.fits(size + weight):
                pacing.pictured(width)
                parts.append((since, width))
                size += weight
                self._held, self._pictured = None, now
        if size:
            self._send(size, parts)

    def _send(self, size, parts=()):
        self._spoke = self.road.now
        self.road.send(size, parts)


def test_a_wide_road_gets_everything():
    road = Road(100e6, 0.0005)
    show = Show(road, Demand(60.0, 512), fps=60.0, picture=200_000).run(5.0)
    assert road.shown(0) >= 58
    assert show.demand == Demand(60.0, 512), "nothing is asked to give way"
    assert road.ages(0, share=100) < 0.05


@pytest.mark.parametrize("stalls", SEEDS)
def test_stalls_of_a_machine_are_no_full_road(stalls):
    """Ten megabits carry thirty pictures a second: nobody who is late for a moment is a reason for fewer."""
    road = Road(10 * MEGABIT, 0.025, stalls=stalls)
    show = Show(road).run(40.0)
    assert road.shown(10.0) >= 29.5
    assert road.ages(10.0) <= 0.4
    assert set(show.asked[600:]) == {WANTED}


@pytest.mark.parametrize("stalls", SEEDS)
def test_one_megabit_gets_fewer_and_smaller_ones_and_does_not_fall_behind(stalls):
    road = Road(MEGABIT, 0.025, stalls=stalls)
    show = Show(road).run(70.0)
    thirds = [road.ages(at, at + 20) for at in (10.0, 30.0, 50.0)]
    assert max(thirds) < 0.8
    assert max(thirds) < 1.5 * min(thirds), "it does not grow"
    assert road.got / 70.0 > 0.8 * MEGABIT
    assert road.shown(10.0) > 12
    assert show.demand.pixels == 32


def test_a_rate_that_just_fits_is_no_reason_to_stay_at_a_size_that_is_too_much():
    road = Road(MEGABIT, 0.025)
    Show(road, picture=16_000).run(60.0)
    small = sum(width == 32 for at, _, width in road.arrived if at > 10.0)
    assert small / 50.0 > 15, "instead of seven larger ones"


@pytest.mark.parametrize("stalls", SEEDS)
def test_a_road_that_narrows_and_widens_again(stalls):
    road = Road(10 * MEGABIT, 0.025, stalls=stalls)
    show = Show(road).run(15.0)
    assert road.shown(5.0) >= 29
    road.rate = MEGABIT
    show.run(3.0)
    assert show.demand.fps * show.demand.pixels**2 < 30 * 64**2 / 4, "it is noticed"
    show.run(22.0)
    assert road.ages(20.0, share=100) < 1.0
    road.rate = 10 * MEGABIT
    show.run(15.0)
    assert road.shown(50.0) >= 28
    show.run(30.0)
    assert show.demand == WANTED, "it finds back to what was wanted"
    assert road.shown(80.0) >= 28


def test_a_road_that_becomes_longer_is_measured_anew():
    road = Road(10 * MEGABIT, 0.025)
    show = Show(road).run(15.0)
    road.delay = 0.4
    show.run(60.0)
    assert road.shown(70.0) >= 29, "what is late for good is no full road"


@pytest.mark.parametrize("stalls", SEEDS)
def test_a_flood_of_values_waits_here_and_not_on_the_road(stalls):
    """What waits here is put together, and what is said meanwhile is not behind it: the queue on the road stays short."""
    road = Road(MEGABIT, 0.025, stalls=stalls)
    show = Show(road, Demand(0.0, 64), values=2_000)
    show._waiting.extend([0.0] * 2_000)
    show.run(5.0)
    road.most = 0
    show.run(55.0)
    assert road.got / 60.0 > 0.8 * MEGABIT
    assert road.most / road.rate < 1.0
    show.run(60.0)
    said = [round(30 * (at - age)) for at, age, _ in road.arrived]
    assert said == [0] * 2_000 + list(range(len(said) - 2_000)), "and none is left out"
    assert len(said) > 2_000 + 30 * 118


def test_a_size_that_was_too_much_is_tried_again_later_each_time():
    show = Show(Road(MEGABIT, 0.025), picture=16_000).run(240.0)
    sizes = [demand.pixels for demand in show.asked]
    tries = [k for k in range(1, len(sizes)) if sizes[k] > sizes[k - 1]]
    waits = [b - a for a, b in pairwise(tries)]
    assert len(tries) >= 3
    assert waits == sorted(waits)


def test_a_viewer_that_says_nothing_holds_little_and_is_told_of_its_silence():
    road = Road(1e9, 0.0, speaks=False)
    Show(road).run(30.0)
    assert road.most < 2 * pacing.START + 26_000
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
    Show(road, Demand(0.0, 512)).run(5.0)
    assert road.pacing.demand(Demand(30.0, 512)) == Demand(30.0, 512)
