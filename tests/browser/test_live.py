"""The main job: a training in a FOREGROUND cell, seen and steered from the panel while that cell runs."""

from __future__ import annotations

import contextlib
import re

import pytest
from training import PANEL, SETUP, train

ROOT = ".nbm"


@contextlib.contextmanager
def trained(lab):
    """A tab whose foreground cell trains for as long as nobody stops it."""
    with lab.open([SETUP, PANEL, train()]) as tab:
        tab.run_cell(0)
        tab.run_cell(1)
        tab.run_cell(2, wait=False)
        tab.scroll_to(1)
        tab.wait_data(ROOT, "state", "running")
        yield tab
        tab.kernel("interrupt")


@pytest.fixture(scope="module")
def shared(lab):
    with trained(lab) as tab:
        yield tab


@pytest.fixture
def training(shared):
    """One training for the tests that leave it as they found it."""
    if shared.data(ROOT)["state"] == "paused":
        press(shared, "resume")
        shared.wait_data(ROOT, "state", "running")
    yield shared
    if shared.data(ROOT)["state"] == "running":  # the cores are for the next test
        press(shared, "pause")
        shared.wait_data(ROOT, "state", "paused")


@pytest.fixture
def own(lab):
    """A training of the test's own, which may end it; `text(2)` has the trainer's last word."""
    with trained(lab) as tab:
        yield tab


def press(tab, action):
    tab.page.locator(f"{ROOT} [data-action={action}]").first.click()


def step(tab):
    return int(tab.data(ROOT)["step"])


def receipt(tab, text, mark="ok", timeout=15):
    """Wait for a line of the event list that has this text and sign; returns the whole line."""
    line = tab.page.locator(
        f"{ROOT} li[data-event][data-mark='{mark}']", has_text=re.compile(text, re.IGNORECASE)
    ).first
    line.wait_for(timeout=timeout * 1e3)
    return line.inner_text()


def stop(tab):
    press(tab, "stop")
    press(tab, "stop-yes")
    return tab.wait_text(2, r"trainer says (\w+) (\d+)")


def test_curves_tiles_and_figures_move_while_the_cell_runs(training):
    training.wait_number(ROOT, "step", 20)
    training.wait_number(ROOT, "painted", 10)
    chart = f"{ROOT} .nbm-chart[data-chart=loss]"
    training.wait_number(chart, "points", 20)
    first = training.wait_number(chart, "drawn", 1)
    training.wait_number(chart, "drawn", first + 2)
    assert training.data(f"{ROOT} [data-tiles]")["tiles"] == "16"
    assert (
        training.page.locator(f"{ROOT} [data-right=true], {ROOT} [data-right=false]").count() == 16
    )
    assert "digits-cnn" in training.page.locator(ROOT).inner_text()
    assert training.text(2) == ""  # the cell is still in its loop


def test_pause_holds_the_trainer_and_resume_lets_it_go_on(training):
    training.wait_number(ROOT, "step", 5)
    press(training, "pause")
    training.wait_data(ROOT, "state", "paused")
    held = step(training)
    training.page.wait_for_timeout(700)
    assert step(training) == held
    assert re.search(rf"at step {held:,}", receipt(training, "paused"))
    assert training.text(2) == ""
    press(training, "resume")
    training.wait_data(ROOT, "state", "running")
    training.wait_number(ROOT, "step", held + 5)
    assert training.data(ROOT)["road"] == "control"


def test_stop_asks_once_more_and_ends_the_loop_without_an_exception(own):
    own.wait_number(ROOT, "step", 5)
    press(own, "stop")
    press(own, "stop-no")
    here = step(own)
    own.wait_number(ROOT, "step", here + 5)  # taken back: it goes on
    said = stop(own)
    assert said[1] == "stopped"
    own.wait_data(ROOT, "state", "stopped")
    assert not [o for o in own.outputs(2) if o["output_type"] == "error"]
    assert step(own) in (int(said[2]), int(said[2]) - 1)


def test_the_learning_rate_is_set_scaled_and_its_receipt_tells_before_and_after(training):
    field = training.page.locator(f"{ROOT} [data-input=lr]").first
    field.fill("0.02")
    field.press("Enter")
    line = receipt(training, "learning rate")
    assert re.search(r"0\.1\D+0\.02", line)
    assert "at step" in line
    press(training, "lr-div10")
    receipt(training, r"0\.02\D+0\.002")
    field.fill("-1")
    field.press("Enter")
    receipt(training, "learning rate.*refused", mark="no")
    assert training.page.locator(f"{ROOT} .nbm-chart[data-chart=lr]").count() == 1


def test_the_batch_size_changes_at_the_next_epoch(training):
    field = training.page.locator(f"{ROOT} [data-input=batch]").first
    field.fill("64")
    field.press("Enter")
    line = receipt(training, "batch size")
    assert re.search(r"32\D+64", line)


def test_two_views_show_one_run(lab):
    with lab.open([SETUP, PANEL, PANEL, train()]) as tab:
        for cell in (0, 1, 2):
            tab.run_cell(cell)
        tab.run_cell(3, wait=False)
        tab.scroll_to(1)
        tab.wait_data(ROOT, "state", "running")
        assert tab.page.locator(ROOT).count() == 2
        tab.page.locator(f"{ROOT} [data-action=pause]").nth(1).click()
        tab.page.wait_for_function(
            "() => [...document.querySelectorAll('.nbm')].every(e => e.dataset.state === 'paused')"
        )
        steps = tab.page.evaluate(
            "() => [...document.querySelectorAll('.nbm')].map(e => e.dataset.step)"
        )
        assert steps[0] == steps[1]
        tab.kernel("interrupt")


def test_a_reload_in_the_middle_of_the_cell_ends_in_a_true_picture(own):
    own.wait_number(ROOT, "step", 10)
    own.save()
    own.reload(idle=False)
    own.scroll_to(1)
    own.wait_data(ROOT, "state", "running", timeout=30)
    seen = step(own)
    own.wait_number(ROOT, "step", seen + 5)
    chart = f"{ROOT} .nbm-chart[data-chart=loss]"
    own.wait_number(chart, "points", min(seen, 10))
    press(own, "pause")
    own.wait_data(ROOT, "state", "paused")


def test_a_second_tab_in_the_middle_of_the_cell_shows_and_steers_the_same_run(own):
    own.wait_number(ROOT, "step", 10)
    own.save()
    with own.second(idle=False) as other:
        other.scroll_to(1)
        other.wait_data(ROOT, "state", "running", timeout=30)
        press(other, "pause")
        other.wait_data(ROOT, "state", "paused")
        own.wait_data(ROOT, "state", "paused")
        press(own, "resume")
        other.wait_data(ROOT, "state", "running")


def test_a_kernel_restart_is_told_in_words_and_leaves_the_snapshot(own):
    own.wait_number(ROOT, "step", 10)
    press(own, "pause")
    own.wait_data(ROOT, "state", "paused")
    own.kernel("restart")
    own.page.get_by_text(re.compile(r"kernel gone at \d\d:\d\d", re.IGNORECASE)).first.wait_for(
        timeout=30_000
    )
    assert own.page.locator(".nbm-snapshot").first.is_visible()
    own.wait_idle()
    own.save()
    own.reload()
    own.scroll_to(1)
    own.page.locator(".nbm-snapshot").first.wait_for(state="visible")


def test_the_saved_notebook_has_a_small_picture_and_no_stream(own):
    own.wait_number(ROOT, "painted", 5)
    press(own, "pause")
    own.wait_data(ROOT, "state", "paused")
    file = own.save()
    outputs = file["cells"][1]["outputs"]
    html = "".join(outputs[0]["data"]["text/html"])
    assert "nbm-snapshot" in html
    assert "digits-cnn" in html
    assert len(html) < 200_000
    assert "widgets" not in file["metadata"]
    assert len(str(file)) < 400_000


def test_zoom_survives_updates_and_brings_finer_data(lab):
    many = """
for i in range(300_000):
    run.log(loss=float(i % 1000))
    run.step()
"""
    with lab.open([SETUP, PANEL, many, train()]) as tab:
        tab.run_cell(0)
        tab.run_cell(1)
        tab.run_cell(2, timeout=90)
        chart = f"{ROOT} .nbm-chart[data-chart=loss]"
        tab.scroll_to(1)
        tab.wait_number(chart, "points", 500)
        assert float(tab.data(chart)["points"]) <= 2000
        tab.run_cell(3, wait=False)
        tab.wait_data(ROOT, "state", "running")
        tab.page.wait_for_timeout(1000)  # JupyterLab brings the running cell into view first
        plot = tab.page.locator(f"{chart} .nsewdrag").first
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        y = box["y"] + box["height"] / 2
        tab.page.mouse.move(box["x"] + box["width"] * 0.5, y)
        tab.page.mouse.down()
        tab.page.mouse.move(box["x"] + box["width"] * 0.502 + 30, y, steps=5)
        tab.page.mouse.up()
        window = tab.wait_data(chart, "window")
        tab.wait_data(chart, "fine", "true")
        drawn = float(tab.data(chart)["drawn"])
        tab.wait_number(chart, "drawn", drawn + 1)
        assert tab.data(chart)["window"] == window
        tab.kernel("interrupt")


def test_pointing_holds_the_tiles_and_wrong_only_shows_mistakes(training):
    grid = f"{ROOT} [data-tiles]"
    training.wait_number(ROOT, "painted", 10)
    training.page.locator(grid).first.hover()
    training.wait_data(grid, "held", "true")
    held = training.data(grid)["tileStep"]
    here = step(training)
    training.wait_number(ROOT, "step", here + 10)
    assert training.data(grid)["tileStep"] == held
    training.page.mouse.move(0, 0)
    training.wait_data(grid, "held", "false")
    training.page.wait_for_function(
        "([g, s]) => document.querySelector(g).dataset.tileStep !== s", arg=[grid, held]
    )
    press(training, "wrong-only")
    training.page.wait_for_function(
        "() => { const t = [...document.querySelectorAll('.nbm [data-right]')].filter(e => e.offsetParent);"
        " return t.length > 0 && t.every(e => e.dataset.right === 'false'); }"
    )


def test_the_keyboard_is_enough(training):
    training.wait_number(ROOT, "step", 5)
    training.page.locator(f"{ROOT} [data-action=pause]").first.focus()
    training.page.keyboard.press("Enter")
    training.wait_data(ROOT, "state", "paused")
    training.page.locator(f"{ROOT} [data-action=stop]").first.focus()
    training.page.keyboard.press("Enter")
    training.page.locator(f"{ROOT} [data-action=stop-yes]").first.wait_for()
    training.page.keyboard.press("Escape")
    training.page.locator(f"{ROOT} [data-action=stop]").first.wait_for()
    assert training.data(ROOT)["state"] == "paused"


def test_text_is_text(lab):
    hostile = r"""
%load_ext nbmonitor
import nbmonitor
evil = "<img src=x onerror='window.pwned=1'>"
run = nbmonitor.init(evil + "\ud800\x07", class_names=[evil] * 10, config={evil: evil}, notes=evil)
import numpy as np
for i in range(30):
    run.step()
    run.log({evil: float(i), "nan": float("nan"), "a\x00b": 1.0})
    run.log_batch(np.random.rand(16, 8, 8), predictions=[3] * 16, targets=[4] * 16)
"""
    with lab.open([hostile, PANEL]) as tab:
        tab.run_cell(0)
        tab.run_cell(1)
        tab.wait_number(ROOT, "step", 29)
        tab.page.wait_for_timeout(1000)
        assert tab.page.evaluate("() => window.pwned") is None
        assert tab.page.locator(f"{ROOT} img[src=x]").count() == 0
        assert "onerror" in tab.page.locator(ROOT).inner_text()
