"""Windows from afar: who paints is never kept waiting, and the newest comes all the same."""

from __future__ import annotations

import numpy as np
import pytest

from nbmonitor.interfaces import Window
from nbmonitor.rpc.codec.viewer import History
from nbmonitor.rpc.windows import SHARE, Windows


def made(points):
    return Window(np.arange(points) * 1.0, np.zeros(points, np.float32), points, exact=True)


class Server:
    """Has series of a number of points; a question without waiting is answered when it is told to."""

    def __init__(self):
        self.points = 10
        self.there = True
        self.waited = []
        self.asked = []  # what is on its way: (which, note)

    def fetch(self, asked):
        self.waited.append(asked.tags)
        return made(self.points) if self.there else None

    def begin(self, asked, note):
        if self.there:
            self.asked.append((asked.tags[0], note))
        return self.there

    def answer(self, clock, took=0.1):
        name, note = self.asked.pop(0)
        clock.now += took
        note(made(self.points))
        return name


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def windows(server, clock):
    return Windows(server.fetch, server.begin, clock)


def asked(name="loss"):
    return History("run", (name,))


def test_the_first_is_waited_for_and_the_next_is_not(windows, server, clock):
    assert windows.get(asked(), 10, wait=False).total == 10
    assert windows.get(asked(), 10, wait=False).stale is False, "nothing was added"
    server.points = 20
    old = windows.get(asked(), 20, wait=False)
    assert (old.total, old.stale) == (10, True)
    assert windows.get(asked(), 20, wait=False).stale, "it is on its way, and asked for once"
    assert len(server.asked) == 1
    server.answer(clock)
    new = windows.get(asked(), 20, wait=False)
    assert (new.total, new.stale) == (20, False)
    assert len(server.waited) == 1


def test_who_waits_has_the_newest(windows, server):
    windows.get(asked(), 10)
    server.points = 20
    assert windows.get(asked(), 20).total == 20


def test_one_at_a_time_in_turn_and_for_a_quarter_of_the_time(windows, server, clock):
    names = ("a", "b", "c")
    for name in names:
        windows.get(asked(name), 10)
    served = []
    for count in range(20, 500):
        server.points = count
        for name in names:
            assert windows.get(asked(name), count, wait=False).stale
        assert len(server.asked) <= 1
        if server.asked:
            served.append(server.answer(clock, took=0.1))
        clock.now += 0.05
    assert served[:6] == ["a", "b", "c", "a", "b", "c"], "nobody is left out"
    assert len(served) * 0.1 <= 1.1 * clock.now / (SHARE + 1)


def test_a_server_that_is_away_leaves_what_was_there(windows, server, clock):
    windows.get(asked(), 10)
    server.there = False
    kept = windows.get(asked(), 20, wait=False)
    assert (kept.total, kept.stale) == (10, False), "nothing is on its way"
    assert windows.get(asked("other"), 5, wait=False).total == 0
    server.there, server.points = True, 30
    assert windows.get(asked(), 30, wait=False).stale
    _, note = server.asked.pop()
    note(None)  # cut meanwhile
    clock.now += 1
    assert windows.get(asked(), 30, wait=False).stale, "it is asked for again"
    server.answer(clock)
    assert windows.get(asked(), 30, wait=False).total == 30


def test_a_question_that_cannot_be_asked_is_not_waited_for(windows, server, clock, monkeypatch):
    """Else nothing would be asked for any more, and the chart stay as it is for good."""
    windows.get(asked(), 10)

    def fails(*_):
        raise OSError("the token cannot be read")

    with monkeypatch.context() as broken:
        broken.setattr(windows, "_begin", fails)
        with pytest.raises(OSError, match="token"):
            windows.get(asked(), 20, wait=False)
    server.points = 20
    assert windows.get(asked(), 20, wait=False).stale
    server.answer(clock)
    assert windows.get(asked(), 20, wait=False).total == 20
