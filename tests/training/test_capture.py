"""What may be logged, and what becomes of the rest."""

from __future__ import annotations

import decimal
import fractions
import math
import threading
import warnings

import numpy as np
import pytest

from nbmonitor.events import EPOCH_SERIES
from nbmonitor.training.capture import MAX_NAME, clean

torch = pytest.importorskip("torch")
torch.set_num_threads(1)


def value(run, name="x"):
    return run.history(name)[1].tolist()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (1, 1.0),
        (True, 1.0),
        (2.5, 2.5),
        (np.float64(2.5), 2.5),
        (np.float32(0.5), 0.5),
        (np.float16(0.5), 0.5),
        (np.int8(-3), -3.0),
        (np.bool_(True), 1.0),
        (np.array(3.0), 3.0),
        (np.array([[4.0]]), 4.0),
        (decimal.Decimal("1.5"), 1.5),
        (fractions.Fraction(1, 4), 0.25),
        (torch.tensor(1.5), 1.5),
        (torch.tensor(1.5, requires_grad=True), 1.5),
        (torch.tensor([[7.0]]), 7.0),
        (torch.tensor(1.5, dtype=torch.bfloat16), 1.5),
        (torch.tensor(1.5, dtype=torch.float16), 1.5),
        (torch.tensor(3, dtype=torch.int64), 3.0),
        (torch.tensor(True), 1.0),
        (torch.nn.Parameter(torch.tensor(2.0)), 2.0),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        (2**70, float(2**70)),
    ],
)
def test_any_number_is_welcome(run, given, kept):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.log(x=given)
    assert value(run) == [kept]


def test_nan_stays_nan(run):
    run.log(x=math.nan)
    assert math.isnan(value(run)[0])


class Broken:
    def __float__(self):
        raise RuntimeError("no")


class Meta:
    """A tensor on a device that waits: nothing may be read on the training thread."""

    is_cpu = False
    shape = ()

    def __init__(self):
        self.read_by = None

    def numel(self):
        return 1

    def detach(self):
        return self

    def clone(self):
        return self

    def item(self):
        self.read_by = threading.current_thread().name
        return 4.0


def test_a_device_tensor_is_read_by_the_worker(run):
    tensor = Meta()
    run.log(x=tensor)
    assert value(run) == [4.0]
    assert tensor.read_by == "nbmonitor-outbox"


@pytest.mark.parametrize(
    "given",
    [
        None,
        "0.5",
        b"1",
        [1.0],
        (1, 2),
        {1, 2},
        object(),
        1 + 2j,
        np.array([1.0, 2.0]),
        np.array([]),
        np.array("text"),
        torch.zeros(3),
        torch.zeros(0),
        torch.tensor(1 + 1j),
        torch.zeros((), device="meta"),
        Broken(),
        float,
    ],
    ids=repr,
)
def test_what_is_no_number_is_left_out_with_one_warning_at_the_line(run, given):
    with pytest.warns(UserWarning, match="left out 'x'") as caught:
        for _ in range(3):
            run.log(x=given, y=1.0)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert "Log single numbers" in str(caught[0].message)
    assert value(run) == []
    assert value(run, "y") == [1.0, 1.0, 1.0]


def test_a_warning_turned_error_does_not_reach_the_loop(run):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.log(x="text", y=1.0)
    assert value(run, "y") == [1.0]


def test_a_value_is_what_it_was_at_the_call(run):
    tensor, array = torch.tensor(1.0), np.array(1.0)
    values = {"t": tensor, "a": array}
    run.log(values)
    tensor.fill_(9.0)
    array[...] = 9.0
    values["t"] = 7.0
    assert value(run, "t") == [1.0]
    assert value(run, "a") == [1.0]


def test_mappings_are_flattened(run):
    run.log({"train": {"loss": 1.0, "deep": {"er": 2}}, 3: 4.0}, plain=5.0)
    assert value(run, "train/loss") == [1.0]
    assert value(run, "train/deep/er") == [2.0]
    assert value(run, "3") == [4.0]
    assert value(run, "plain") == [5.0]


def test_a_mapping_that_holds_itself_is_cut(run):
    loop = {"a": 1.0}
    loop["self"] = loop
    with pytest.warns(UserWarning, match="20 levels"):
        run.log(loop)
    assert value(run, "a") == [1.0]


def test_what_is_no_mapping_is_said(run):
    with pytest.warns(UserWarning, match="takes a mapping"):
        run.log(0.5, y=1.0)
    assert value(run, "y") == [1.0]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a\x00b", r"a\x00b"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\ud800", r"\ud800"),
        ("line\nbreak", r"line\nbreak"),
        ("right\u202eleft", r"right\u202eleft"),
        ("", "(no name)"),
        ("   ", "(no name)"),
        ("Genauigkeit/épöche λ 精度", "Genauigkeit/épöche λ 精度"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        (EPOCH_SERIES, f"user/{EPOCH_SERIES}"),
        ("x" * 500, "x" * (MAX_NAME - 1) + "…"),
    ],
)
def test_names_are_made_safe_visibly(run, raw, shown):
    run.log({raw: 1.0})
    assert value(run, shown) == [1.0]
    assert shown in [s.name for s in run._sink.series(run.run_id)]
    shown.encode()
    assert len(clean(raw)) <= MAX_NAME


def test_names_that_become_one_are_one_series(run):
    run.log({"a\x00": 1.0}, step=0)
    run.log({"a\\x00": 2.0}, step=1)
    run.log({"a\x00": 3.0}, step=2)
    assert value(run, "a\\x00") == [1.0, 2.0, 3.0]


def test_the_number_of_names_is_bounded(make, person_of, monkeypatch):
    run = make()
    run._outbox._assembly.columns._max = 100
    for i in range(150):
        run.log({f"n{i}": 1.0})
    run._outbox.flush()
    assert len([s for s in run._sink.series(run.run_id) if s.name.startswith("n")]) == 100
    assert run._outbox.lost == 50
    with pytest.warns(UserWarning, match="different names") as caught:
        run.log(n0=2.0)
    assert caught[0].filename == __file__
    run.log(more=1.0)
    assert run._outbox.flush()
    assert value(run, "n0")[-1] == 2.0


def test_mixed_types_under_one_name(run):
    for i, given in enumerate([1, 2.0, np.float32(3), torch.tensor(4), True]):
        run.log(x=given, step=i)
    assert value(run) == [1, 2, 3, 4, 1]


def test_steps_may_go_back(run):
    for step in (5, 6, 2, 3):
        run.log(x=float(step), step=step)
    assert value(run) == [5, 6, 2, 3]


def test_several_threads_may_log(run):
    def log(k):
        for i in range(2000):
            run.log({f"t{k}": float(i)}, step=i)

    threads = [threading.Thread(target=log, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        assert value(run, f"t{k}") == list(range(2000))


class Hostile:
    def __getattribute__(self, name):
        raise MemoryError(name)


def test_an_object_that_breaks_when_looked_at_breaks_nothing(run):
    with pytest.warns(UserWarning, match="left out"):
        run.log(x=Hostile(), y=1.0)
    with pytest.warns(UserWarning):
        run.log_batch(Hostile())
    with pytest.warns(UserWarning):
        run.log_epoch(x="a", y=2.0)
    assert value(run, "y") == [1.0]
