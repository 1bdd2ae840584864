"""The effective rate, as the optimizer sees it inside of its step."""

from __future__ import annotations

import math

import pytest

from nbmonitor.errors import InputError

torch = pytest.importorskip("torch")
from torch.optim import lr_scheduler as schedules  # noqa: E402

torch.set_num_threads(1)


class Bench:
    """A model of one weight whose optimizer notes the rates that its step really used."""

    def __init__(self, schedule=None, groups=((1.0,),), optimizer=torch.optim.SGD, **options):
        self.weights = [torch.nn.Parameter(torch.zeros(1, dtype=torch.float64)) for _ in groups]
        settings = [{"params": [w], "lr": g[0]} for w, g in zip(self.weights, groups, strict=True)]
        self.optimizer = optimizer(settings, lr=groups[0][0], **options)
        self.schedule = schedule(self.optimizer) if schedule else None
        self.seen = []

    def step(self):
        """One step with gradient 1: what the weights move by is the effective rate."""
        before = [w.item() for w in self.weights]
        for w in self.weights:
            w.grad = torch.ones(1, dtype=torch.float64)
        self.optimizer.step()
        moved = tuple(b - w.item() for b, w in zip(before, self.weights, strict=True))
        self.seen.append(moved)
        if self.schedule is not None:
            arguments = (1.0,) if isinstance(self.schedule, schedules.ReduceLROnPlateau) else ()
            self.schedule.step(*arguments)
        return moved


SCHEDULES = {
    "none": None,
    "lambda": lambda o: schedules.LambdaLR(o, lambda e: 1 / (1 + e)),
    "onecycle": lambda o: schedules.OneCycleLR(o, max_lr=1.0, total_steps=40, cycle_momentum=False),
    "cosine": lambda o: schedules.CosineAnnealingLR(o, T_max=30, eta_min=0.1),
    "restarts": lambda o: schedules.CosineAnnealingWarmRestarts(o, T_0=7),
    "step": lambda o: schedules.StepLR(o, 5, gamma=0.5),
    "plateau": lambda o: schedules.ReduceLROnPlateau(o, patience=2, factor=0.5),
    "sequential": lambda o: schedules.SequentialLR(
        o,
        [
            schedules.LinearLR(o, 0.1, total_iters=5),
            schedules.CosineAnnealingLR(o, 20, eta_min=0.05),
        ],
        [5],
    ),
}


def twin(name, **options):
    """The rates without anybody's hand in it."""
    bench = Bench(SCHEDULES[name], **options)
    return [bench.step() for _ in range(20)]


def scheduler_of(bench):
    return bench.schedule if isinstance(bench.schedule, schedules.ReduceLROnPlateau) else None


@pytest.mark.parametrize("name", SCHEDULES)
def test_set_is_effective_at_once_and_the_schedule_goes_on_scaled(run, person, name):
    plain = twin(name)
    bench = Bench(SCHEDULES[name])
    run.control(optimizer=bench.optimizer, scheduler=scheduler_of(bench))
    factor = None
    for i in run.track(range(20)):
        if i == 9:
            command = person.ask("set_learning_rate", value=0.01)
        moved = bench.step()[0]
        if i < 10:
            assert moved == pytest.approx(plain[i][0], rel=1e-5)
        elif i == 10:
            assert moved == pytest.approx(0.01, rel=1e-5), "what was asked for, at the next step"
            factor = 0.01 / plain[i][0]
        else:
            assert moved == pytest.approx(plain[i][0] * factor, rel=1e-4)
    record = person.answer(command)
    assert (record.state, record.step) == ("applied", 10)
    assert float(record.before["learning rate"]) == pytest.approx(plain[10][0], rel=1e-4)
    assert record.after["learning rate"].startswith("0.01")
    assert ("schedule" in record.after["learning rate"]) == (name != "none")


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_series_lr_is_what_the_step_used(run, person, name):
    bench = Bench(SCHEDULES[name])
    run.control(optimizer=bench.optimizer, scheduler=scheduler_of(bench))
    for i in run.track(range(20)):
        if i == 6:
            person.ask("set_learning_rate", value=2.0, mode="scale")
        if i == 12:
            person.ask("set_learning_rate", value=0.5, mode="pin")
        bench.step()
    steps, rates = run.history("lr")
    assert steps[0] == 0, "the rate at the start"
    known = dict(zip(steps.tolist(), rates.tolist(), strict=True))
    rate = None
    for i, (moved, *_) in enumerate(bench.seen):
        rate = known.get(i, rate)
        assert moved == pytest.approx(rate, rel=1e-4)
    assert all(moved == pytest.approx(0.5) for (moved,) in bench.seen[13:])


@pytest.mark.parametrize("name", ["none", "lambda", "onecycle"])
def test_release_gives_the_rate_back(run, person, name):
    plain = twin(name)
    bench = Bench(SCHEDULES[name])
    run.control(optimizer=bench.optimizer)
    for i in run.track(range(20)):
        if i == 4:
            person.ask("set_learning_rate", value=7.0)
        if i == 8:
            person.ask("set_learning_rate", value=3.0, mode="pin")
        if i == 12:
            person.ask("set_learning_rate", mode="release")
        bench.step()
    seen = [moved for (moved,) in bench.seen]
    assert seen[5] == pytest.approx(7.0)
    assert seen[9:13] == pytest.approx([3.0] * 4)
    assert seen[13:] == pytest.approx([r for (r,) in plain[13:]], rel=1e-4)
    assert not bench.optimizer._optimizer_step_pre_hooks


def test_a_pin_holds_against_a_hand_written_schedule(run, person):
    bench = Bench()
    run.control(optimizer=bench.optimizer)
    for i in run.track(range(6)):
        if i == 2:
            person.ask("set_learning_rate", value=0.25, mode="pin")
        bench.optimizer.param_groups[0]["lr"] = 1.0 / (i + 1)
        bench.step()
    assert [m for (m,) in bench.seen[3:]] == pytest.approx([0.25] * 3)
    assert bench.optimizer.param_groups[0]["lr"] == pytest.approx(1 / 6), "the script's own word"


@pytest.mark.parametrize("name", ["none", "lambda"])
def test_groups_keep_their_ratio(run, person, name):
    bench = Bench(SCHEDULES[name], groups=((1.0,), (0.1,), (4.0,)))
    run.control(optimizer=bench.optimizer)
    for i in run.track(range(6)):
        if i == 2:
            person.ask("set_learning_rate", value=0.5)
        bench.step()
    assert bench.seen[3] == pytest.approx((0.5, 0.05, 2.0), rel=1e-4)
    _, second = run.history("lr/1")
    assert second[0] == pytest.approx(0.1)
    assert len(run.history("lr/2")[0]) >= 2


def test_a_step_that_fails_leaves_no_factor_behind(run, person):
    bench = Bench(SCHEDULES["step"])
    run.control(optimizer=bench.optimizer)
    fail = False

    def closure():
        if fail:
            raise RuntimeError("out of memory")
        return torch.zeros(())

    rates = []
    for i in run.track(range(4)):
        if i == 0:
            person.ask("set_learning_rate", value=0.1)
            bench.step()
            continue
        fail = i == 2
        bench.weights[0].grad = torch.ones(1, dtype=torch.float64)
        before = bench.weights[0].item()
        try:
            bench.optimizer.step(closure)
        except RuntimeError:
            assert bench.optimizer.param_groups[0]["lr"] == pytest.approx(0.1), "left scaled"
        else:
            rates.append(before - bench.weights[0].item())
    assert rates == pytest.approx([0.1, 0.1]), "and not 0.01"


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"value": 0}, "above 0"),
        ({"value": -1.0}, "above 0"),
        ({"value": math.nan}, "finite"),
        ({"value": math.inf}, "finite"),
        ({"value": 10**400}, "finite"),
        ({"value": "0.1"}, "must be a number"),
        ({"value": True}, "must be a number"),
        ({"value": None}, "must be a number"),
        ({}, "must be a number"),
        ({"value": 0.0, "mode": "scale"}, "factor"),
        ({"value": 1e308, "mode": "scale"}, "at most"),
        ({"value": 1.0, "mode": "explode"}, "mode must be one of"),
        ({"value": 1.0, "mode": ["set"]}, "mode must be one of"),
        ({"mode": "release"}, "nothing to release"),
    ],
)
@pytest.mark.parametrize("name", ["none", "lambda"])
def test_what_is_no_rate_is_refused_with_the_reason(run, person, name, params, why):
    bench = Bench(SCHEDULES[name], groups=((100.0,),))
    run.control(optimizer=bench.optimizer)
    for _ in run.track(range(2)):
        command = person.ask("set_learning_rate", **params)
        bench.step()
    record = next(r for r in iter(lambda: person.answer(command), None))
    assert record.state == "rejected"
    assert why in record.error
    assert bench.seen == untouched(name)


def untouched(name):
    bench = Bench(SCHEDULES[name], groups=((100.0,),))
    return [bench.step() for _ in range(2)]


def test_a_scheduled_rate_of_zero_can_be_pinned_only(run, person):
    bench = Bench(lambda o: schedules.LambdaLR(o, lambda e: 0.0))
    run.control(optimizer=bench.optimizer)
    for i in run.track(range(4)):
        if i == 0:
            refused = person.ask("set_learning_rate", value=0.1)
        if i == 1:
            assert "pin" in person.answer(refused).error
            person.ask("set_learning_rate", value=0.1, mode="pin")
        bench.step()
    assert bench.seen[3] == pytest.approx((0.1,))


def test_a_rate_that_is_a_tensor_is_changed_where_it_lies(run, person):
    rate = torch.tensor(1.0)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([weight], lr=rate, foreach=False, capturable=False)
    run.control(optimizer=optimizer)
    for i in run.track(range(4)):
        if i == 0:
            person.ask("set_learning_rate", value=0.5)
        if i == 1:
            assert optimizer.param_groups[0]["lr"] is rate
            assert rate.item() == 0.5
            person.ask("set_learning_rate", value=0.125, mode="pin")
        weight.grad = torch.ones(1)
        optimizer.step()
    assert rate.item() == 0.5, "the pin stands in only during the step"
    assert run.history("lr")[1].tolist() == [1.0, 0.5, 0.125]


def test_the_control_shows_the_rate_and_whether_it_is_scheduled(run, person, broker):
    bench = Bench(SCHEDULES["lambda"])
    run.control(optimizer=bench.optimizer)
    for _ in run.track(range(3)):
        bench.step()
    run.finish()
    facts = broker.run(run.run_id).controls["learning_rate"]
    assert facts["scheduled"] is True
    assert facts["value"] == pytest.approx(0.25), "the last one, at the end at the latest"


def test_a_scheduler_made_later_is_seen(run, person):
    bench = Bench()
    run.control(optimizer=bench.optimizer)
    bench.schedule = SCHEDULES["lambda"](bench.optimizer)
    for i in run.track(range(4)):
        if i == 1:
            person.ask("set_learning_rate", value=1.0)
        bench.step()
    assert [m for (m,) in bench.seen] == pytest.approx([1, 1 / 2, 1.0, 3 / 4], rel=1e-4)


def test_scheduler_alone_brings_its_optimizer(run, broker):
    bench = Bench(SCHEDULES["lambda"])
    run.control(scheduler=bench.schedule, model=torch.nn.Linear(3, 2))
    run.step()
    run.history("lr")
    assert "learning_rate" in broker.run(run.run_id).controls
    assert broker.run(run.run_id).model == "Linear, 8 parameters"


def test_what_is_no_optimizer_is_an_error(run):
    with pytest.raises(InputError, match="param_groups"):
        run.control(optimizer=object())


def test_a_rate_that_nobody_wrote_is_not_told_again_and_a_command_is(run):
    optimizer = Bench(groups=((0.1,),)).optimizer
    run.control(optimizer=optimizer)
    rate = run._control.learning_rate
    assert rate.changed() == {"lr": 0.1}
    assert rate.changed() == {}
    rate.command({"mode": "pin", "value": 0.5})
    assert rate.changed() == {"lr": 0.5}, "what is written in the optimizer is the same"
    assert rate.changed() == {}
    rate.command({"mode": "release"})
    assert rate.changed() == {"lr": 0.1}


def test_a_rate_that_is_a_tensor_is_read_at_every_boundary(run):
    held = torch.tensor(0.1, dtype=torch.float64)
    optimizer = Bench().optimizer
    optimizer.param_groups[0]["lr"] = held
    run.control(optimizer=optimizer)
    rate = run._control.learning_rate
    assert rate.changed() == {"lr": pytest.approx(0.1)}
    held.fill_(0.2)
    assert rate.changed() == {"lr": pytest.approx(0.2)}
