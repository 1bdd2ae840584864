"""How a run ends, with and without anybody saying so, and how it goes on."""

from __future__ import annotations

import logging
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading

import pytest

from nbmonitor.errors import InputError
from nbmonitor.events import EPOCH_SERIES, RunInfo, RunState, Status
from nbmonitor.training.run import Run


def end(person):
    last = person.payloads(Status)[-1]
    return str(last.state), last.message


def test_a_constructor_starts_nothing(broker):
    before = threading.active_count()
    run = Run(broker, RunInfo("", "x"))
    assert threading.active_count() == before
    assert broker.runs() == []
    assert run.state is RunState.INITIALIZING
    with pytest.warns(UserWarning, match="not started"):
        run.log(a=1.0)
    assert list(run.track([1, 2])) == [1, 2]


def test_the_first_call_makes_it_running(run, person):
    assert run.state is RunState.INITIALIZING
    assert run.run_id
    run.log(a=1.0)
    assert run.state is RunState.RUNNING
    run._outbox.flush()
    assert person.states() == ["initializing", "running"]


def test_epochs_running_out_complete_it(run, person):
    for _ in run.epochs(2):
        for _ in run.epochs(3):  # not the outermost
            run.log(a=1.0)
    assert end(person) == ("completed", "")


def test_the_context_manager_ends_it(make, person_of):
    with make() as run:
        run.log(a=1.0)
    assert end(person_of(run)) == ("completed", "")
    with pytest.raises(ZeroDivisionError), make() as run:
        run.log(a=1 / 0)
    assert end(person_of(run)) == ("failed", "ZeroDivisionError: division by zero")
    assert person_of(run).payloads(Status)[-1].error_type == "ZeroDivisionError"
    with pytest.raises(KeyboardInterrupt), make() as run:
        raise KeyboardInterrupt
    assert end(person_of(run))[0] == "interrupted"


@pytest.mark.parametrize("status", ["completed", "failed", "stopped", "interrupted"])
def test_finish_says_how(run, person, status):
    run.log(a=1.0)
    run.finish(status)
    run.finish()  # a second word changes nothing
    assert end(person) == (status, "")


def test_finish_wants_an_end(run):
    with pytest.raises(InputError, match="one of completed"):
        run.finish("running")


def test_finish_hands_over_everything(run):
    for i in range(5000):
        run.log(a=float(i), step=i)
    run.finish()
    assert run.history("a")[1].tolist() == list(range(5000))


def test_a_cell_with_an_error_fails_the_run(run, person):
    try:
        for i in run.track(range(5)):
            {}[i]
    except KeyError as error:
        run.abandon(error)
    assert end(person) == ("failed", "KeyError: 0")


def test_a_cell_left_by_break_interrupts_the_run(run, person):
    for i in run.epochs(5):
        if i == 2:
            break
    for _ in run.track(range(2), split="test"):
        pass
    run.abandon(None)
    assert end(person) == ("interrupted", "a loop was left before its end")


def test_a_broken_off_inner_loop_is_no_interruption(run, person):
    for _ in run.epochs(2):
        for i in run.track(range(100)):
            if i == 5:
                break
    assert end(person)[0] == "completed"


def test_a_cell_that_ran_to_its_end_completes_the_run(run, person):
    for _ in run.track(range(5)):
        pass
    run.abandon(None)
    assert end(person)[0] == "completed"


def test_a_hand_written_loop_completes(run, person):
    for i in range(5):
        run.log(loss=i)
    run.abandon(None)
    assert end(person)[0] == "completed"


def test_a_cell_that_drove_nothing_ends_nothing(run, person):
    before = run.activity
    run.abandon(None)
    assert run.state is RunState.INITIALIZING
    assert run.activity == before


def test_abandon_after_the_end_changes_nothing(run, person):
    run.log(a=1.0)
    run.finish("stopped")
    run.abandon(ValueError("later"))
    assert end(person) == ("stopped", "")


def test_activity_grows_with_each_call(run):
    seen = [run.activity]
    run.log(a=1.0)
    seen.append(run.activity)
    run.step()
    seen.append(run.activity)
    for _ in run.track([1]):
        seen.append(run.activity)
    run.log_epoch(a=1)
    seen.append(run.activity)
    assert seen == sorted(set(seen))


def test_a_run_that_was_never_driven_is_superseded(run, person):
    run.supersede()
    assert end(person) == ("interrupted", "superseded by a new run")


def test_a_run_within_its_loop_is_superseded(run, person):
    loop = iter(run.track(range(3)))
    next(loop)
    run.supersede()
    assert end(person) == ("interrupted", "superseded by a new run")


def test_a_run_whose_loop_was_left_is_superseded(run, person):
    for _ in run.track(range(3)):
        break
    run.supersede()
    assert end(person) == ("interrupted", "superseded by a new run")


def test_a_run_whose_loops_ran_to_their_end_is_complete_when_the_next_begins(run, person):
    for _ in run.track(range(3)):
        run.log(a=1.0)
    for _ in run.track(range(3), split="val"):
        pass
    assert run.state is RunState.RUNNING
    run.supersede()
    assert end(person) == ("completed", "")


def test_a_loop_in_a_thread_outlives_the_cell_that_began_it(run, person):
    go, began = threading.Event(), threading.Event()

    def train():
        for _ in run.track(range(2)):
            began.set()
            go.wait(5)

    thread = threading.Thread(target=train)
    thread.start()
    assert began.wait(5)
    run.abandon(None)
    assert run.state is RunState.RUNNING
    go.set()
    thread.join(5)
    run.abandon(None)
    assert end(person) == ("completed", "")


def test_logging_after_finish_opens_the_run_again_and_says_so_once(make):
    run = make()
    run.log(a=1.0)
    run.finish()
    with pytest.warns(UserWarning, match="opened it again") as caught:
        run.log(a=2.0)
        run.log(a=3.0)
    assert len(caught) == 1
    assert run.state is RunState.RUNNING


def test_iterating_after_finish_opens_the_run_again_silently(make):
    run = make()
    run.log(a=1.0)
    run.finish()
    for _ in run.track(range(2)):
        run.log(a=2.0)
    assert run.state is RunState.RUNNING


def test_iterating_again_opens_the_same_run_again(run, person):
    for _ in run.epochs(2):
        for _ in run.track(range(3)):
            run.log(loss=1.0)
    assert run.state is RunState.COMPLETED
    assert person.broker.run(run.run_id).ended_at is not None
    numbers = []
    for epoch in run.epochs(1):
        numbers.append(epoch)
        for _ in run.track(range(3)):
            assert run.state is RunState.RUNNING
            run.log(loss=2.0)
    assert numbers == [2]
    assert run.history("loss")[0].tolist() == list(range(9))
    assert run.history(EPOCH_SERIES)[1].tolist()[-1] == 3
    assert person.states()[-3:] == ["completed", "running", "completed"]
    assert person.broker.run(run.run_id).total_epochs == 3


def test_opening_again_clears_the_stop(run, person):
    for _ in run.epochs(5):
        for _ in run.track(range(5)):
            if not run.should_stop:
                person.ask("stop")
    assert run.state is RunState.STOPPED
    steps = sum(1 for _ in run.track(range(5)))
    assert steps == 5
    assert not run.should_stop
    run.abandon(None)
    assert end(person)[0] == "completed"


def test_a_last_word_does_not_make_a_stopped_run_complete(run, person):
    for _ in run.epochs(5):
        for _ in run.track(range(5)):
            if not run.should_stop:
                person.ask("stop")
    run.log(test_accuracy=0.9)
    run.abandon(None)
    assert end(person)[0] == "stopped"


def test_held_iterators_of_a_failed_cell_do_not_nest_what_comes_later(run):
    held = iter(run.track(range(10)))
    next(held)
    run.abandon(ValueError())
    for _ in run.track(range(3)):
        pass
    run.log(a=1.0)
    assert run.history("a")[0].tolist() == [3]


SCRIPT = """
import sys
from nbmonitor.broker import Broker
from nbmonitor.store.memory import MemoryStore
from nbmonitor.events import RunInfo, Status
from nbmonitor.training.run import Run
import atexit
broker = Broker(MemoryStore())
run = None
@atexit.register  # runs after the run's own: last in, first out
def told():
    last = [e.payload for e in broker.events(run.run_id) if isinstance(e.payload, Status)][-1]
    print(last.state, last.message, len(run._sink.store.points(run.run_id, "a", "step")[0]))
run = Run(broker, RunInfo("", "script")).start()
"""


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("for i in range(100): run.log(a=i)", "completed  100"),
        (
            "for i in run.track(range(7)): run.log(a=i)\nraise ValueError('bad')",
            "failed ValueError: bad 7",
        ),
        ("run.log(a=1)\nraise KeyboardInterrupt", "interrupted KeyboardInterrupt 1"),
        (
            "it = iter(run.track(range(9)))\nnext(it); run.log(a=1); next(it)",
            "interrupted a loop was left before its end 1",
        ),
        ("run.log(a=1)\nsys.exit(0)", "completed  1"),
        ("", "completed  0"),
        ("for i in run.track(range(9)):\n  run.log(a=i)\n  if i == 3: break", "completed  4"),
        ("run.log(a=1)\nrun._exit(None)\nrun.log(a=2)", "completed  1"),
        ("run.log(a=1); run.finish('stopped')", "stopped  1"),
        ("import os\nrun.log(a=1)\nif os.fork() == 0: run.log(a=2); sys.exit(0)\nos.wait()", None),
    ],
)
def test_a_process_that_ends_ends_its_run(body, told):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + body],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if told is None:  # the child prints what it inherited; the parent's line counts
        assert "completed  1" in done.stdout
        assert "Traceback" not in done.stderr
    else:
        assert done.stdout.strip() == told.strip()


def test_in_a_forked_child_every_call_is_a_counted_no_op(run, broker, capfd):
    run.log(a=1.0)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        problem = "none"
        try:
            run.log(a=2.0)
            run.log_batch([[1]])
            run.log_epoch(a=1)
            assert list(run.track([1, 2, 3])) == [1, 2, 3]
            assert list(run.epochs(2)) == [0, 1]
            assert run.step() is True
            run.control(optimizer=object())
            run.finish()
            run.abandon(None)
            run.supersede()
            assert run.history("a")[0].size == 0
            assert run._ignored >= 7
            assert threading.active_count() == 1
        except BaseException as error:
            problem = repr(error)
        os.write(write, problem.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 1000) == b"none"
    os.close(read)
    os.close(write)
    said = capfd.readouterr().err
    assert said.count("log them where nbmonitor.init was called") == 1, said
    run.log(a=3.0)
    assert run.history("a")[1].tolist() == [1.0, 3.0]
    assert run.state is RunState.RUNNING


def _work(run):
    run.log(a=5.0)


def test_a_forked_worker_is_silent_and_ends_well(run):
    run.log(a=1.0)
    child = multiprocessing.get_context("fork").Process(target=_work, args=(run,))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    assert run.history("a")[1].tolist() == [1.0]


def test_a_dead_sink_costs_the_end_five_seconds_at_most(make, fake, caplog, monkeypatch):
    monkeypatch.setattr("nbmonitor.training.lifecycle.END_WITHIN", 0.2)
    block = threading.Event()
    fake.publish = lambda events: block.wait(10)
    run = make(sink=fake)
    run.log(a=1.0)
    with caplog.at_level(logging.WARNING, "nbmonitor"):
        run.finish()
    assert "did not take the last events" in caplog.text
    block.set()
    run._outbox.close()


def test_a_script_needs_neither_torch_nor_jupyter():
    body = "run.log(a=1.0)\nrun.log_batch(__import__('numpy').zeros((2, 8, 8)))\nprint([m for m in ('torch', 'IPython', 'anywidget', 'grpc') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT) + body],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[0] == "[]"
