"""The pace of frames, by simulation: pages that take a given time a message and ack every 200 ms."""

from __future__ import annotations

import random
from collections import deque

import pytest
from showroom import Clock

from nbmonitor.notebook.flow import DEAD, Flow


class Simulated:
    """A page: takes `cost` seconds a message, one after the other, and acks on a timer that its work delays."""

    def __init__(self, name: str, cost: float, *, network: float = 0.003) -> None:
        self.name, self.cost, self.network = name, cost, network
        self.queue: deque[tuple[float, int, float]] = deque()  # arrives at, number, sent at
        self.busy_until = 0.0
        self.last = 0
        self.acked = 0
        self.next_ack = 0.2
        self.lags: list[tuple[float, float]] = []
        self.alive = True

    def run(self, now: float, flow: Flow) -> None:
        if not self.alive:
            return
        if now < self.busy_until:
            return
        if now >= self.next_ack:
            self.next_ack = now + 0.2
            if self.last != self.acked:
                self.acked = self.last
                flow.ack(self.name, self.last)
        if self.queue and self.queue[0][0] <= now:
            _, number, sent = self.queue.popleft()
            self.busy_until = max(self.busy_until, now) + self.cost
            self.last = number
            self.lags.append((now, self.busy_until - sent))


def simulate(
    pages: list[Simulated],
    seconds: float,
    *,
    events: dict[float, object] | None = None,
    nbytes: int = 4000,
    every: float = 0.0,
):
    """Send as often as the flow allows; returns the times of sending and the flow."""
    clock = Clock(0.0)
    flow = Flow(clock)
    for page in pages:
        flow.hello(page.name)
    sent: list[float] = []
    agenda = deque(sorted((events or {}).items()))
    while clock.now < seconds:
        while agenda and agenda[0][0] <= clock.now:
            agenda.popleft()[1](flow)
        for page in pages:
            page.run(clock.now, flow)
        due = not sent or clock.now >= sent[-1] + every
        if due and flow.clients and flow.wait() == 0.0:
            sent.append(clock.now)
            flow.sent(len(sent), nbytes)
            for page in pages:
                page.queue.append((clock.now + page.network, len(sent), clock.now))
        clock.now += 0.001
    return sent, flow


def rate(times: list[float], since: float, until: float) -> float:
    return sum(since <= t < until for t in times) / (until - since)


def test_a_fast_page_gets_sixty_a_second():
    page = Simulated("fast", 0.004)
    sent, _ = simulate([page], 8)
    assert rate(sent, 2, 8) == pytest.approx(60, abs=1)
    assert max(lag for _, lag in page.lags) < 0.1


def test_a_slow_page_gets_what_it_can_take_without_falling_behind():
    page = Simulated("slow", 0.040)
    sent, _ = simulate([page], 20)
    steady = [lag for at, lag in page.lags if at > 4]
    assert 15 < rate(sent, 4, 20) <= 25.5
    assert sorted(steady)[int(0.5 * len(steady))] < 0.25
    assert max(steady) < 0.6
    by_second = [rate(sent, s, s + 1) for s in range(5, 20)]
    assert min(by_second) > 9  # it does not swing between a crawl and a flood


def test_a_page_that_recovers_is_sped_up_again():
    page = Simulated("page", 0.040)

    def faster(_flow):
        page.cost = 0.003

    sent, _ = simulate([page], 20, events={6.0: faster})
    assert rate(sent, 15, 20) > 55


def test_a_fast_page_on_a_machine_that_stalls_now_and_then_is_not_starved():
    page = Simulated("jerky", 0.005)
    rng = random.Random(0)

    def stall(at):
        def act(_flow):
            page.busy_until = at + rng.uniform(0.15, 0.4)

        return act

    events = {}
    at = 1.0
    while at < 20:
        events[at] = stall(at)
        at += rng.uniform(0.5, 2.0)
    sent, _ = simulate([page], 20, events=events)
    assert rate(sent, 3, 20) > 35
    assert min(rate(sent, s, s + 1) for s in range(3, 20)) > 10


@pytest.mark.parametrize("every", [0.1, 0.24, 0.5])
def test_few_frames_on_a_long_road_are_no_pile(every):
    page = Simulated("far", 0.003, network=0.15)
    sent, flow = simulate([page], 10, every=every)
    assert flow.rate == 60
    assert rate(sent, 0, 10) == pytest.approx(1 / every, rel=0.1)


def test_the_slowest_active_page_sets_the_pace_and_a_hidden_one_does_not():
    fast, slow = Simulated("fast", 0.003), Simulated("slow", 0.040)
    sent, flow = simulate([fast, slow], 12, events={8.0: lambda flow: flow.visible("slow", False)})
    assert rate(sent, 4, 8) < 27
    slow.alive = False
    assert flow.active >= {"fast"}


def test_a_hidden_page_alone_gets_a_frame_a_second():
    page = Simulated("hidden", 0.003)
    page.alive = False  # its timers sleep
    sent, _ = simulate([page], 8, events={0.0: lambda flow: flow.visible("hidden", False)})
    assert 6 <= len(sent) <= 9


def test_a_page_that_vanishes_holds_nobody_back_and_is_forgotten():
    fast, gone = Simulated("fast", 0.003), Simulated("gone", 0.003)

    def vanish(_flow):
        gone.alive = False

    sent, flow = simulate([fast, gone], 20, events={5.0: vanish})
    assert rate(sent, 10, 20) > 57
    assert flow.clients == {"fast"}


def test_a_page_that_vanishes_alone_gets_a_frame_a_second_until_it_is_forgotten():
    gone = Simulated("gone", 0.003)

    def vanish(_flow):
        gone.alive = False

    sent, flow = simulate([gone], 30, events={5.0: vanish})
    assert rate(sent, 8.5, 5 + DEAD) < 1.6
    assert rate(sent, 16, 30) == 0
    assert flow.rate == flow.images == 0


def test_a_page_without_a_control_channel_is_waited_for():
    page = Simulated("mute", 0.003)
    page.alive = False  # a running cell holds up its comm
    sent, flow = simulate([page], 60, events={0.0: lambda flow: flow.hello("mute", mute=True)})
    assert rate(sent, 20, 60) == pytest.approx(1, abs=0.1)
    assert flow.clients == {"mute"}


def test_silence_of_the_run_is_no_silence_of_the_page():
    clock = Clock()
    flow = Flow(clock)
    flow.hello("page")
    flow.sent(1, 10)
    flow.ack("page", 1)
    clock.now += 3600
    assert flow.active == {"page"}
    assert flow.rate >= 30


def test_bytes_are_bounded_too():
    sent, _ = simulate([Simulated("fast", 0.001)], 4, nbytes=1_000_000)
    assert rate(sent, 1, 4) == pytest.approx(16, abs=1)


def test_an_ack_beyond_what_was_sent_or_repeated_is_ignored():
    clock = Clock()
    flow = Flow(clock)
    flow.hello("page")
    for n in range(1, 5):
        flow.sent(n, 10)
    before = flow.rate
    flow.ack("page", 10**9)
    flow.ack("page", -3)
    flow.ack("nobody", 2)
    assert flow.rate == before
    flow.ack("page", 4)
    assert flow.wait() <= 4 / 30 + 0.01
