"""Whatever is logged, from wherever, and whenever: defined, and never an exception in the loop."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import torch

from nbmonitor.events import Gap, Scalars

torch.set_num_threads(1)


def series(run, name):
    run._outbox.flush()
    return run.history(name)[1].tolist()


def test_a_name_that_changes_type_keeps_its_numbers(run):
    with pytest.warns(UserWarning, match="left out 'x'") as caught:
        run.log(x=1, step=0)
        run.log(x="two", step=1)
        run.log(x=torch.tensor(3.0), step=2)
        run.log(x={"y": 4.0}, step=3)
        run.log(x=None, step=4)
        run.log(x=[6.0], step=5)
        run.log(x=np.float64(7), step=6)
        run.log(x="eight", step=7)
        run.log(x=complex(9, 1), step=8)
        run.log(x=10**400, step=9)
        run.log_epoch(x=0.5)
    assert len(caught) == 4, "once for each type that is no number: str, None, list, complex"
    assert series(run, "x") == [1.0, 3.0, 7.0, np.inf]
    assert series(run, "x/y") == [4.0]
    kinds = {s.kind for s in run._sink.series(run.run_id) if s.name == "x"}
    assert kinds == {"step", "epoch"}, "an epoch's figure is a series of its own, in the same chart"


def test_a_hundred_thousand_names_and_no_more(run):
    run.log({f"n{i}": 1.0 for i in range(100_500)}, step=0)
    assert run._outbox.flush(60)
    assert len(run._outbox.names) == 100_000
    assert run._outbox.lost == 500
    with pytest.warns(UserWarning, match="more than 100,000 different names") as caught:
        run.log(n0=2.0, step=1)
        run.log({"further": 1.0}, step=2)
        assert run._outbox.flush(60)
        run.log(n0=3.0, step=3)
    assert len(caught) == 1
    assert run._outbox.flush(60)
    assert run._outbox.lost == 501
    assert series(run, "n0") == [1.0, 2.0, 3.0], "those that are known go on"
    gaps = [
        e.payload for e in run._sink.events(run.run_id, limit=5000) if isinstance(e.payload, Gap)
    ]
    assert sum(g.count for g in gaps) == 501


def test_a_tensor_may_change_or_go_after_the_call(make, fake):
    run = make(sink=fake)
    run._enter()
    run._outbox.close()  # the worker looks at it only after everything was destroyed
    loss = torch.tensor(1.5, requires_grad=True)
    pixels = torch.full((4, 3, 8, 8), 255, dtype=torch.uint8)
    logits, targets = torch.eye(4), torch.arange(4)
    array = np.array(2.5)
    view = torch.arange(1000.0)[7]
    run.log(loss=loss, array=array, view=view, step=0)
    run.log_batch(pixels, logits=logits, targets=targets, loss=loss)
    with torch.no_grad():
        loss.fill_(-1)
    array.fill(-1)
    logits.zero_()
    targets.zero_()
    pixels.zero_()
    view.untyped_storage().resize_(0)
    del loss, array, view, pixels, logits, targets
    run._outbox.start()
    run._outbox.flush()
    (block,) = fake.payloads(Scalars)
    assert {c.name: c.values.tolist() for c in block.columns} == {
        "loss": [1.5],
        "array": [2.5],
        "view": [7.0],
    }
    (batch,) = fake.batches
    assert (batch.predicted, batch.truth, batch.loss) == ((0, 1, 2, 3), (0, 1, 2, 3), 1.5)
    assert (batch.right, batch.counted) == (4, 4)


def test_every_call_from_many_threads_at_once_with_ends_in_between(make, fake):
    run = make(sink=fake)
    errors = []
    pixels = np.zeros((2, 8, 8), np.uint8)

    def work(k):
        try:
            for i in range(300):
                run.log(same=float(i), step=i)
                run.log({f"t{k}": i})
                run.log_batch(pixels, split=f"s{k % 2}")
                if i % 50 == 0:
                    run.log_epoch(same=1.0)
        except BaseException as error:
            errors.append(error)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            run.finish()
        for thread in threads:
            thread.join()
    assert errors == []
    run.finish()
    assert not run._outbox._rows


def test_a_call_while_the_run_is_being_ended_waits_for_nothing(make, fake):
    run = make(sink=fake)
    run.log(a=1.0)
    fake.delay = 0.5
    ending = threading.Thread(target=run.finish)
    ending.start()
    while not run._ending:
        time.sleep(0.001)
    began = time.perf_counter()
    run.log(a=2.0)
    run.log_batch(np.zeros((1, 4, 4)))
    run.log_epoch(a=3.0)
    assert time.perf_counter() - began < 0.2
    ending.join()
    assert run._ignored == 3
    assert run.state == "completed"
    with pytest.warns(UserWarning, match="opened it again"):
        run.log(a=4.0)


def test_a_signal_handler_may_log_while_the_run_ends(make, fake):
    run = make(sink=fake)
    run.log(a=1.0)
    fake.delay = 0.3
    old = signal.signal(signal.SIGALRM, lambda *_: run.log(a=2.0))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        run.finish()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert run._ignored == 1
    assert run.state == "completed"
    assert not run._outbox.running


AT_EXIT = """
import atexit, sys
@atexit.register  # runs after everything of ours: last in, first out
def late():
    run.log(a=3.0); run.log_batch([[[1.0]]]); run.log_epoch(a=1.0); run.finish()
    print("late", run.state, run._ignored)
import nbmonitor
run = nbmonitor.init("x", serve=False)
broker = nbmonitor.process.process.broker
@atexit.register
def early():
    run.log(a=2.0, step=1); run.log_epoch(a=1.0)
    run._outbox.flush()
    print("early", run.state, run.history("a")[1].tolist())
run.log(a=1.0, step=0)
"""


def test_handlers_at_exit_may_log_and_those_that_come_too_late_are_no_ops():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", AT_EXIT],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["early running [1.0, 2.0]", "late completed 3"]


def test_the_mapping_that_is_given_stays_as_it_is(run):
    loss = torch.tensor(0.5, requires_grad=True)
    given = {"loss": loss, 7: 1.0, "deep": {"er": np.float32(2.0)}, "plain": 3.0}
    before = dict(given)
    run.log(given)
    assert given == before
    assert given["loss"] is loss
    run.log(given, extra=4.0)
    assert given == before
    for name, number in (("loss", 0.5), ("7", 1.0), ("deep/er", 2.0), ("plain", 3.0)):
        assert run.history(name)[1].tolist() == [number, number], name
    assert run.history("extra")[1].tolist() == [4.0]


def test_numbers_beside_what_is_none_are_read_once_and_kept(run):
    reads = []

    class Counted:
        def __float__(self):
            reads.append(1)
            return 0.5

    run.log(a=Counted(), b=torch.tensor(1.0))  # from here on both types are known
    with pytest.warns(UserWarning, match="left out 'd'"):
        run.log(a=Counted(), b=torch.tensor(2.0), d=torch.zeros(2), c=3.0)
    assert len(reads) == 2
    assert run.history("b")[1].tolist() == [1.0, 2.0]
    assert run.history("c")[1].tolist() == [3.0]
