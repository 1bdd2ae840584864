"""What a step is, what a loop is."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from nbmonitor.errors import InputError
from nbmonitor.events import EPOCH_SERIES, Epoch, Performance


def points(run, name):
    steps, values = run.history(name)
    return list(zip(steps.tolist(), values.tolist(), strict=True))


def test_a_step_is_a_completed_boundary(run):
    for x in run.track([10, 20, 30]):
        run.log(loss=x)
    run.log(after=1.0)
    assert points(run, "loss") == [(0, 10), (1, 20), (2, 30)]
    assert points(run, "after") == [(3, 1)]


def test_calls_within_a_step_are_averaged(run):
    """Gradient accumulation: one point a step, whatever the worker took in between."""
    for x in run.track([1.0, 2.0]):
        run.log(a=x)
        run.log(b=-x)
        run._outbox.flush()
        run.log(a=9 * x)
    assert points(run, "a") == [(0, 5), (1, 10)]
    assert points(run, "b") == [(0, -1), (1, -2)]


def test_with_a_step_of_its_own_the_last_word_counts(run):
    for value in (1.0, 2.0, 6.0):
        run.log({"a": value}, step=7)
        run._outbox.flush()
    assert points(run, "a") == [(7, 6)]


def test_a_validation_loop_gives_the_mean_over_its_batches(run):
    for epoch in run.epochs(2):
        for _ in run.track(range(3)):
            run.log(loss=1.0)
        for i in run.track(range(4), split="val"):
            run.log(val_loss=10.0 * epoch + i)
    assert points(run, "val_loss") == [(3, 1.5), (6, 11.5)]
    assert points(run, "loss") == [(i, 1) for i in range(6)]


def test_a_validation_in_the_middle_of_training_gives_its_mean_too(run):
    for step in run.track(range(4)):
        if step == 2:
            for i in run.track([5.0, 7.0], split="val"):
                run.log(val_loss=i)
    assert points(run, "val_loss") == [(2, 6)]


def test_an_explicit_step_applies_to_its_call_alone(run):
    for _ in run.track(range(2)):
        run.log(a=1.0, step=100)
        run.log(b=1.0)
    assert points(run, "b") == [(0, 1), (1, 1)]
    assert [s for s, _ in points(run, "a")] == [100]


@pytest.mark.parametrize("step", [-1, 1.5, "3", True, 2**53 + 1, 10**400, float("nan"), object()])
def test_a_step_that_cannot_be_is_replaced_by_the_current_one(run, step):
    with pytest.warns(UserWarning, match="whole number") as caught:
        for _ in run.track(range(3)):
            run.log(a=1.0, step=step)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert [s for s, _ in points(run, "a")] == [0, 1, 2]


def test_a_huge_step_and_numpy_steps_are_steps(run):
    run.log(a=1.0, step=np.int32(7))
    run.log(a=2.0, step=2**53)
    assert points(run, "a") == [(7, 1), (2**53, 2)]


def test_without_a_boundary_the_run_counts_for_itself(run):
    for i in range(4):
        run.log(loss=float(i))
        run.log(accuracy=i / 4)
    assert points(run, "loss") == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert points(run, "accuracy") == [(0, 0), (1, 0.25), (2, 0.5), (3, 0.75)]


def test_counting_for_itself_ends_at_the_first_boundary(run):
    run.log(x=1.0)
    run.log(x=2.0)
    for _ in run.track(range(2)):
        run.log(x=3.0)
        run.log(x=4.0)
    assert points(run, "x") == [(0, 1), (1, 3), (2, 3.5)]


def test_step_is_the_boundary_of_hand_written_loops(run):
    for i in range(3):
        run.log(a=float(i))
        assert run.step() is True
    assert points(run, "a") == [(0, 0), (1, 1), (2, 2)]
    with pytest.warns(UserWarning, match="inside"):
        for _ in run.track(range(2)):
            run.step()
    run.log(b=1.0)
    assert points(run, "b") == [(5, 1)]


def test_track_is_transparent(run):
    track = run.track([1, 2, 3])
    assert len(track) == 3
    assert list(enumerate(track)) == [(0, 1), (1, 2), (2, 3)]
    assert list(zip(track, "abc", strict=True)) == [(1, "a"), (2, "b"), (3, "c")]
    assert list(track) == [1, 2, 3], "each iter() is a new pass"
    generator = run.track(i for i in range(2))
    assert bool(generator)
    with pytest.raises(TypeError):
        len(generator)
    assert list(generator) == [0, 1]
    assert list(generator) == [], "a generator is spent, as without us"
    run.log(a=1.0)
    assert points(run, "a") == [(11, 1)]


def test_the_boundary_comes_before_the_next_batch_is_fetched(run):
    seen = []

    def source():
        for i in range(3):
            seen.append(run._progress.step)
            yield i

    for _ in run.track(source()):
        pass
    assert seen == [0, 1, 2]


def test_a_nested_loop_and_another_split_count_no_steps(run):
    for i in run.track(range(2)):
        for _ in run.track(range(5), split="val"):
            run.log(inner=1.0)
        for _ in run.track(range(5)):
            pass
        run.log(outer=float(i))
    for _ in run.track(range(3), split="val"):
        pass
    run.log(end=1.0)
    assert points(run, "outer") == [(0, 0), (1, 1)]
    assert points(run, "inner") == [(0, 1), (1, 1)]
    assert points(run, "end") == [(2, 1)]


def test_break_ends_a_loop_without_a_boundary(run):
    for i in run.track(range(10)):
        if i == 3:
            break
    run.log(a=1.0)
    assert points(run, "a") == [(3, 1)]
    assert run._progress.loops == []


def test_an_error_of_the_loader_comes_through(run):
    def broken():
        yield 1
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(run.track(broken()))
    assert run._progress.loops == []


def test_epochs_number_from_zero_and_map_steps(run, person):
    assert len(run.epochs(3)) == 3
    seen = []
    for epoch in run.epochs(3):
        seen.append(epoch)
        for _ in run.track(range(4)):
            run.log(loss=1.0)
        for _ in run.track(range(2), split="val"):
            pass
        run.log_epoch(average=epoch * 1.0)
    assert seen == [0, 1, 2]
    axis = dict(points(run, EPOCH_SERIES))
    assert axis[0] == 0
    assert axis[4] == 1
    assert axis[12] == 3
    assert [(p.epoch, dict(p.values)) for p in person.payloads(Epoch)] == [
        (1, {"average": 0}),
        (2, {"average": 1}),
        (3, {"average": 2}),
    ]
    steps, values = run.history("average")
    assert steps.tolist() == [4, 8, 12]
    assert values.tolist() == [0, 1, 2]
    info = person.broker.run(run.run_id)
    assert (info.total_epochs, info.batches_per_epoch) == (3, 4)


def test_epochs_without_the_epochs_loop(run, person):
    for _ in range(2):
        for _ in run.track(range(3)):
            pass
        run.log_epoch({"loss": 1})
    run.history("loss")
    assert [p.epoch for p in person.payloads(Epoch)] == [1, 2]
    assert dict(points(run, EPOCH_SERIES)) == {0: 0, 3: 1, 6: 2}


def test_log_epoch_alone_counts_epochs(run, person):
    for i in range(3):
        run.log_epoch(loss=i)
    run.history("loss")
    assert [p.epoch for p in person.payloads(Epoch)] == [1, 2, 3]


@pytest.mark.parametrize("count", [-1, 2.5, "ten", None])
def test_epochs_wants_a_whole_number(run, count):
    with pytest.raises(InputError, match="whole number"):
        run.epochs(count)


def test_progress_of_loops_is_reported(make, fake):
    run = make(sink=fake)
    for _ in run.epochs(2):
        for i in run.track([np.zeros((8, 3))] * 4):
            run._outbox.flush()
            run._meter._next = 0.0
            run._outbox.flush()
        for i in run.track(range(5), split="val"):
            run._meter._next = 0.0
            run._outbox.flush()
    train = [r for r in fake.reports if r.split == "train" and r.batches == 4]
    assert {(r.epoch, r.epochs) for r in train} == {(1, 2), (2, 2)}
    assert all(0 <= r.progress <= 1 for r in train)
    assert any(r.eta is not None for r in train)
    assert any(r.samples_per_second for r in train)
    assert any(r.split == "val" and r.batches == 5 for r in fake.reports)
    assert isinstance(fake.reports[-1], Performance)
    assert fake.reports[-1].progress == 1.0


def test_no_warning_in_plain_use(run):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in run.epochs(1):
            for _ in run.track(range(3)):
                run.log({"a": 1, "b": {"c": 2.0}}, d=3)
    assert points(run, "b/c") == [(0, 2), (1, 2), (2, 2)]


def test_the_history_of_a_name_that_is_not_there_names_those_that_are(run):
    run.log(loss=1.0, accuracy=0.5)
    with pytest.warns(UserWarning, match="nothing was logged as 'los'. There are: loss, accuracy"):
        assert points(run, "los") == []
