"""Draw, pause, resume, stop in mid-cell: on Notebook 7, on older kernels, and in JupyterLab as it comes."""

from __future__ import annotations

import pytest
from training import PANEL, SETUP, train

ROOT = ".nbm"


def draw_pause_resume_stop(tab):
    tab.run_cell(0)
    tab.run_cell(1)
    tab.run_cell(2, wait=False)
    tab.scroll_to(1)
    tab.wait_data(ROOT, "state", "running")
    tab.wait_number(ROOT, "painted", 5)
    tab.wait_number(f"{ROOT} .nbm-chart[data-chart=loss]", "points", 5)
    for action, state in (("pause", "paused"), ("resume", "running"), ("pause", "paused")):
        tab.page.locator(f"{ROOT} [data-action={action}]").first.click()
        tab.wait_data(ROOT, "state", state)
    assert tab.data(ROOT)["road"] == "control"
    assert tab.text(2) == ""  # all of it in mid-cell
    tab.page.locator(f"{ROOT} [data-action=stop]").first.click()
    tab.page.locator(f"{ROOT} [data-action=stop-yes]").first.click()
    assert tab.wait_text(2, r"trainer says (\w+)")[1] == "stopped"
    tab.wait_data(ROOT, "state", "stopped")


@pytest.mark.parametrize("version", ["6.29.5", "7.1.0"])
def test_lab_with_an_older_kernel(lab, version):
    with lab.open([SETUP, PANEL, train()], kernel=version) as tab:
        draw_pause_resume_stop(tab)


def test_notebook_7(notebook7):
    with notebook7.open([SETUP, PANEL, train()]) as tab:
        draw_pause_resume_stop(tab)


def test_a_reload_on_ipykernel_6_is_true_again_when_the_cell_ends(lab):
    with lab.open([SETUP, PANEL, train()], kernel="6.29.5") as tab:
        tab.run_cell(0)
        tab.run_cell(1)
        tab.run_cell(2, wait=False)
        tab.wait_data(ROOT, "state", "running")
        tab.save()
        tab.reload(idle=False)
        tab.page.wait_for_timeout(1000)
        tab.kernel("interrupt")
        tab.scroll_to(1)
        tab.wait_data(ROOT, "state", "interrupted", timeout=30)


def test_lab_as_it_comes_with_the_panel_scrolled_away_and_back(lab_defaults):
    filler = ["# " + "\n# ".join(["far"] * 60)] * 3
    with lab_defaults.open([SETUP, PANEL, train(), *filler]) as tab:
        tab.run_cell(0)
        tab.run_cell(1)
        tab.run_cell(2, wait=False)
        tab.scroll_to(1)
        tab.wait_number(ROOT, "painted", 10)
        tab.scroll_to(5)
        tab.page.wait_for_timeout(3000)
        tab.scroll_to(1)
        tab.wait_data(ROOT, "state", "running")
        seen = tab.wait_number(ROOT, "step", 1)
        painted = tab.wait_number(ROOT, "painted", 1)
        tab.wait_number(ROOT, "step", seen + 10)
        tab.wait_number(ROOT, "painted", painted + 5)
        tab.page.locator(f"{ROOT} [data-action=pause]").first.click()
        tab.wait_data(ROOT, "state", "paused")
        tab.kernel("interrupt")
