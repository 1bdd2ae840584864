"""Pause, resume, stop, and the rule that every command is answered once."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from nbmonitor.events import Command, CommandKind, CommandRecord, Performance, RunInfo, RunState
from nbmonitor.training.control import Control


class Trainer(threading.Thread):
    """A loop that trains until it is told otherwise."""

    def __init__(self, run, loop=None):
        super().__init__(daemon=True)
        self.run_, self.error = run, None
        self.loop = loop or self.endless
        self.start()

    def endless(self):
        for _ in self.run_.track(iter(int, 1)):
            self.run_.log(loss=1.0)
            time.sleep(0.001)

    def run(self):
        try:
            self.loop()
        except BaseException as error:
            self.error = error

    def end(self):
        self.run_._control.stops = 2
        self.run_._control.paused = False
        self.join(5)
        assert not self.is_alive()
        assert self.error is None


@pytest.fixture
def trainer(run):
    trainer = Trainer(run)
    while run.state != "running":
        time.sleep(0.001)
    yield trainer
    trainer.end()


def test_pause_holds_and_resume_goes_on(run, person, trainer):
    record = person.answer(person.ask("pause"))
    assert record.state == "applied"
    assert (dict(record.before), dict(record.after)) == ({"state": "running"}, {"state": "paused"})
    assert run.state is RunState.PAUSED
    assert record.step == run._progress.step
    held = run._progress.step
    time.sleep(0.15)
    assert run._progress.step == held
    assert person.broker.run(run.run_id).state is RunState.PAUSED
    assert person.answer(person.ask("resume")).state == "applied"
    while run._progress.step < held + 5:
        time.sleep(0.001)
    assert run.state is RunState.RUNNING
    run._outbox.flush()
    assert person.states()[-3:] == ["running", "paused", "running"]


def test_a_pause_is_applied_within_one_batch(run, person):
    for i in run.track(range(10)):
        if i == 4:
            command = person.ask("pause")
            threading.Timer(0.1, lambda: person.ask("resume")).start()
    record = person.answer(command)
    assert record.step == 5


def test_set_and_stop_work_while_paused(run, person):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    run.control(optimizer=optimizer)
    trainer = Trainer(run)
    assert person.answer(person.ask("pause")).state == "applied"
    record = person.answer(person.ask("set_learning_rate", value=0.5))
    assert (record.state, dict(record.after)) == ("applied", {"learning rate": "0.5"})
    assert run.state is RunState.PAUSED
    run._outbox.flush()
    assert person.broker.run(run.run_id).controls["learning_rate"]["value"] == 0.5
    record = person.answer(person.ask("stop"))
    assert dict(record.before) == {"state": "paused"}
    trainer.join(5)
    assert trainer.error is None, "a stop raises nothing"
    assert run.should_stop
    assert run.state is RunState.STOPPING


def test_paused_time_is_no_training_time(make, fake):
    now = [100.0]
    run = make(sink=fake, monotonic=lambda: now[0])
    control = run._control
    wait = control.woken.wait

    def pass_an_hour(timeout):
        now[0] += 3600
        fake.deliver(Command("r1", CommandKind.RESUME))
        return wait(0)

    control.woken.wait = pass_an_hour
    for i in run.track(range(10)):
        now[0] += 0.1
        if i == 4:
            fake.deliver(Command("r1", CommandKind.PAUSE))
    report = run._meter.report(now[0])
    assert report.fps_average == pytest.approx(10.0)
    assert report.median_step == pytest.approx(0.1)
    assert run._progress.spent < 1.0
    run.finish()


def test_ctrl_c_gets_through_a_pause(run, person):
    def interrupt():
        while run.state is not RunState.PAUSED:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)

    def train():
        for _ in run.track(range(3)):
            if not thread.is_alive():
                person.ask("pause")
                thread.start()

    with pytest.raises(KeyboardInterrupt) as caught:
        train()
    thread.join()
    run.abandon(caught.value)
    assert run.state is RunState.INTERRUPTED
    assert person.broker.run(run.run_id).state is RunState.INTERRUPTED


def test_stop_ends_train_loops_and_epochs_and_lets_others_finish(run, person):
    log = []
    for epoch in run.epochs(5):
        for i in run.track(range(10)):
            log.append(("train", epoch, i))
            if (epoch, i) == (1, 3):
                person.ask("stop")
        for i in run.track(range(3), split="val"):
            log.append(("val", epoch, i))
        run.log_epoch(loss=1.0)
    assert log[13:] == [("train", 1, i) for i in range(4)] + [("val", 1, i) for i in range(3)]
    assert run.state is RunState.STOPPED
    assert person.states()[-2:] == ["stopping", "stopped"]
    assert len(person.latest(Performance)) == 1


def test_a_second_stop_ends_other_splits_too(run, person):
    seen = []
    for _ in run.epochs(5):
        for i in run.track(range(10)):
            person.ask("stop")
        for i in run.track(range(100), split="val"):
            seen.append(i)
            if i == 2:
                command = person.ask("stop")
    assert seen == [0, 1, 2]
    assert person.answer(command).state == "applied"
    assert run.state is RunState.STOPPED


def test_stop_without_epochs_is_said_at_the_end(run, person):
    rounds = 0
    for _ in range(4):
        for _ in run.track(range(5)):
            rounds += 1
            if rounds == 2:
                person.ask("stop")
    assert rounds == 2
    assert run.should_stop
    assert run.state is RunState.STOPPING
    run.finish()
    assert run.state is RunState.STOPPED
    assert run._progress.epoch == 1


def test_step_says_that_a_stop_was_asked_for(run, person):
    assert run.step()
    person.ask("stop")
    assert not run.step()
    assert run.should_stop


def test_an_id_counts_once(run, person, trainer):
    first = person.ask("pause", command_id="same")
    assert person.answer(first).state == "applied"
    again = Command(run.run_id, CommandKind.PAUSE, command_id="same")
    assert run._control.deliver(again) == "delivered"
    person.answer(person.ask("resume"))
    run._outbox.flush()
    assert len([r for r in person.finals() if r.command.command_id == "same"]) == 1


def test_what_makes_no_sense_is_rejected_with_the_reason(run, person, trainer):
    assert "not paused" in person.answer(person.ask("resume")).error
    person.answer(person.ask("pause"))
    again = person.answer(person.ask("pause"))
    assert (again.state, again.error) == ("rejected", "the run is paused already")
    person.answer(person.ask("resume"))
    unknown = run._control.deliver(Command(run.run_id, CommandKind.SAVE_CHECKPOINT))
    assert unknown == "delivered"


def test_a_command_past_its_time_expires(run, person):
    now = [0.0]
    run._control._monotonic = lambda: now[0]
    for i in run.track(range(3)):
        if i == 0:
            command = Command(run.run_id, CommandKind.PAUSE, ttl=5.0)
            run._control.deliver(command)
            now[0] = 6.0
    record = person.answer(command)
    assert (record.state, record.step) == ("expired", 1)
    assert "5 s" in record.error


def test_the_end_answers_what_waits(run, person):
    run.step()
    command = person.ask("pause")
    run.finish()
    record = person.answer(command)
    assert record.state == "expired"
    assert "ended" in record.error


def test_a_run_that_is_not_steerable_rejects_with_the_reason(broker, make, person_of):
    info = RunInfo(
        "", "rank 1", steerable=False, why="rank 1 of 2 is not steered", rank=1, world_size=2
    )
    run = make(info=info)
    run.step()
    run.log(loss=1.0)
    person = person_of(run)
    assert person.answer(person.ask("stop")).error == "rank 1 of 2 is not steered"
    direct = Command(run.run_id, CommandKind.STOP)
    assert run._control.deliver(direct) == "rejected"
    run._outbox.flush()
    assert person.answer(direct).error == "rank 1 of 2 is not steered"
    assert run.step()
    assert run.history("loss")[1].tolist() == [1.0]


def test_many_threads_may_deliver(run):
    records: list[CommandRecord] = []
    control = Control(RunInfo("r", "r"), records.append)
    commands = [Command("r", CommandKind.STOP, command_id=f"c{i % 50}") for i in range(400)]
    threads = [
        threading.Thread(target=lambda part=commands[k::4]: [control.deliver(c) for c in part])
        for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    control.apply(0)
    assert len(records) == control.stops == 50


def test_controls_appear_with_the_first_loop(run, broker):
    run.log(a=1.0)
    run._outbox.flush()
    assert dict(broker.run(run.run_id).controls) == {}
    run.track([])
    run._outbox.flush()
    assert set(broker.run(run.run_id).controls) == {"pause", "stop"}


@pytest.mark.parametrize(
    ("kind", "params", "why"),
    [
        (CommandKind.SET_LEARNING_RATE, {"value": float("nan")}, "finite"),
        (CommandKind.SET_LEARNING_RATE, {"value": {"$eval": "1"}}, "must be a number"),
        (CommandKind.SET_BATCH_SIZE, {"value": 2**31}, "whole number"),
        (CommandKind.PAUSE, {"x": ["nested"]}, "nothing nested"),
        (CommandKind.WHEEL, {"mode": "take"}, "registered no control for wheel"),
        (CommandKind.SAVE_CHECKPOINT, {"path": "/etc/passwd"}, "registered no control"),
    ],
)
def test_a_server_that_is_not_to_be_trusted_is_told_no(kind, params, why):
    answers = []
    control = Control(RunInfo("r", "x"), answers.append)
    control.deliver(Command("r", kind, params))
    control.apply(0)
    assert [a.state for a in answers] == ["rejected"]
    assert why in answers[0].error
    assert not control.paused
    assert control.stops == 0
