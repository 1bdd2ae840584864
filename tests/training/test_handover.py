"""Python's switch interval is short while somebody looks, and nobody else's."""

from __future__ import annotations

from nbmonitor.training.handover import SOON, Handover


class Interpreter:
    def __init__(self, interval=0.005):
        self.interval = interval
        self.written = 0

    def read(self):
        return self.interval

    def write(self, interval):
        self.interval = interval
        self.written += 1


def test_short_while_anybody_asks_and_then_as_it_was():
    python = Interpreter()
    handover = Handover(python.read, python.write)
    handover.ask("a", True)
    handover.ask("b", True)
    assert python.interval == SOON
    handover.ask("a", False)
    assert python.interval == SOON
    for _ in range(100):
        handover.ask("b", False)
    assert python.interval == 0.005
    assert python.written == 2


def test_an_interval_that_is_shorter_or_was_set_meanwhile_is_left_alone():
    python = Interpreter(0.0005)
    handover = Handover(python.read, python.write)
    handover.ask("a", True)
    handover.ask("a", False)
    assert (python.interval, python.written) == (0.0005, 0)
    python = Interpreter()
    handover = Handover(python.read, python.write)
    handover.ask("a", True)
    python.interval = 0.02  # a person's own word
    handover.ask("a", False)
    assert python.interval == 0.02
    handover.ask("a", True)
    assert python.interval == SOON
    handover.ask("a", False)
    assert python.interval == 0.02
