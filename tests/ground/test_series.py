from __future__ import annotations

import numpy as np
import pytest

from nbmonitor import series
from nbmonitor.series import Series, classify, decimate, window


def filled(n, *, start=0, values=None):
    s = Series(4)
    steps = np.arange(start, start + n)
    y = np.sin(steps / 50) if values is None else np.asarray(values, float)
    s.extend(steps, y, 1.7e9 + steps / 10)
    return s


@pytest.mark.parametrize(
    ("name", "chart", "split"),
    [
        ("loss", "loss", "train"),
        ("val_loss", "loss", "val"),
        ("val/accuracy", "accuracy", "val"),
        ("train/loss", "loss", "train"),
        ("average_loss", "loss", "train"),
        ("val_average_loss", "loss", "val"),
        ("layer1/grad", "layer1/grad", "train"),
        ("val_", "val_", "train"),
        ("value", "value", "train"),
    ],
)
def test_a_name_tells_chart_and_split(name, chart, split):
    assert classify(name) == (chart, split)


def test_growing_keeps_every_point_and_old_views_stand_still():
    s = filled(3)
    before = s.view()[1].copy()
    early = s.view()[1]
    for k in range(3, 5000):
        s.extend(np.array([k]), np.array([float(k)]), np.array([1.7e9 + k]))
    assert s.count == 5000
    assert s.view()[0].tolist() == list(range(5000))
    np.testing.assert_array_equal(early, before)


def test_the_last_word_counts_within_one_step():
    s = filled(3)
    s.extend(np.array([2, 3]), np.array([7.0, 8.0]), np.array([1.8e9, 1.8e9]))
    assert s.view()[1][2:].tolist() == [7.0, 8.0]


def test_steps_beyond_float32_and_float64_exactness_survive():
    s = Series()
    s.extend(np.array([2**53 - 1]), np.array([1.0]), np.array([1.7e9]))
    assert window(s, None).x[0] == 2**53 - 1


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_decimation_keeps_ends_extremes_and_what_is_not_finite(monkeypatch, compiled, bad):
    if not compiled:
        monkeypatch.setattr(series, "tsdownsample", None)
    y = np.random.default_rng(0).normal(size=100_000)
    y[4321], y[70_000], y[50_000] = 40.0, -40.0, bad
    picked = decimate(y, 1000)
    assert len(picked) <= 1000
    assert picked[0] == 0
    assert picked[-1] == len(y) - 1
    assert {4321, 70_000, 50_000} <= set(picked.tolist())
    assert np.all(np.diff(picked) > 0)


def test_a_window_has_the_points_inside_and_one_neighbour_at_each_end():
    w = window(filled(1000), None, lo=100, hi=110)
    assert w.x.tolist() == list(range(99, 112))
    assert w.exact
    assert w.total == 1000


def test_a_million_points_cross_as_two_thousand_at_most():
    w = window(filled(1_000_000), None, max_points=2000)
    assert len(w.x) == len(w.y) <= 2000
    assert not w.exact
    assert w.x.dtype == np.float64
    assert w.y.dtype == np.float32


def test_steps_that_go_backwards_are_kept_and_found():
    s = filled(100)
    s.extend(np.arange(50, 80), np.full(30, 5.0), np.arange(30) + 1.8e9)
    assert not s.in_order
    w = window(s, None, lo=60, hi=69)
    assert w.x.tolist() == [*range(60, 70), 60, *range(60, 70)]


def test_steps_that_go_backwards_are_a_fork_and_no_line_back_across_the_chart():
    s = filled(100)
    s.extend(np.arange(50, 80), np.full(30, 5.0), np.arange(30) + 1.8e9)
    w = window(s, None)
    assert w.x.tolist() == [*range(100), 50, *range(50, 80)]
    assert np.flatnonzero(np.isnan(w.y)).tolist() == [100]
    assert w.y[101:].tolist() == [5.0] * 30
    assert (w.exact, w.total) == (True, 130)
    epochs = Series()
    epochs.extend(np.array([0, 100]), np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    assert np.isnan(window(s, epochs, axis="epoch").y[100])
    assert not np.isnan(window(s, None, axis="time").y).any(), "time went on"


def test_forks_without_end_stay_within_what_may_cross():
    s = Series()
    for _ in range(500):
        s.extend(np.arange(10), np.arange(10.0), np.full(10, 1.7e9))
    w = window(s, None, max_points=1000)
    assert len(w.x) == len(w.y) <= 1000
    finite = ~np.isnan(w.y)
    for a, b in zip(np.flatnonzero(finite)[:-1], np.flatnonzero(finite)[1:], strict=True):
        assert b > a + 1 or w.x[b] >= w.x[a]


def test_the_epoch_axis_is_interpolated_from_the_epoch_series():
    epochs = Series()
    epochs.extend(np.array([0, 100, 300]), np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0]))
    s = filled(301)
    w = window(s, epochs, axis="epoch")
    assert w.x[50] == pytest.approx(0.5)
    assert w.x[200] == pytest.approx(1.5)
    part = window(s, epochs, axis="epoch", lo=1.0, hi=2.0)
    assert part.x[0] == pytest.approx(0.99)
    assert part.x[-1] == pytest.approx(2.0)


def test_values_beyond_float32_are_drawn_as_infinite_without_a_warning():
    w = window(filled(2, values=[1e300, -1e300]), None)
    assert w.y.tolist() == [np.inf, -np.inf]
