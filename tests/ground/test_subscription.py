from __future__ import annotations

import threading

import numpy as np

from nbmonitor.events import Batch, Column, Event, LogLine, Performance, Scalars
from nbmonitor.subscription import Subscription


def event(payload, seq=1):
    return Event("r", 0, 0.0, payload, seq=seq)


def block(n):
    return Scalars((Column("loss", np.arange(n), np.zeros(n), np.zeros(n)),))


def test_mail_comes_in_order_and_once():
    box = Subscription("r")
    for k in range(5):
        box.put(event(LogLine(str(k)), k))
    assert [e.payload.text for e in box.drain().events] == list("01234")
    assert box.drain().events == []


def test_of_pictures_and_performance_only_the_newest_waits():
    box = Subscription("r")
    for k in range(1, 9):
        box.put(event(Batch(0, 0, split="train"), k))
        box.put(event(Performance(fps=k), k))
    box.put(event(Batch(0, 0, split="val"), 20))
    mail = box.drain()
    assert [(type(e.payload).__name__, e.seq) for e in mail.events] == [
        ("Batch", 8),
        ("Performance", 8),
        ("Batch", 20),
    ]
    assert not mail.resync
    assert box.dropped == 7


def test_a_viewer_that_does_not_read_is_resynchronised_and_bounded():
    box = Subscription("r", max_bytes=100_000)
    for k in range(1000):
        box.put(event(block(100), k))
    mail = box.drain()
    assert mail.resync
    assert len(mail.events) * 2400 < 100_000
    assert box.dropped + len(mail.events) == 1000
    box.put(event(block(1), 2000))
    assert not box.drain().resync


def test_waiting_ends_with_mail_and_with_close():
    woken = []
    box = Subscription("r", notify=lambda: woken.append(1))
    assert not box.wait(0)
    box.put(event(LogLine("x")))
    assert box.wait(0)
    box.drain()
    assert not box.wait(0)
    threading.Timer(0.05, box.close).start()
    assert box.wait(5)
    box.put(event(LogLine("late")))
    assert box.drain().events == []
    assert len(woken) == 2
