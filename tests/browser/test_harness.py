"""The ring's own tools: a kernel of each supported age runs a cell, and a page finds its notebook again."""

from __future__ import annotations

import pytest

VERSION = "import ipykernel; print('ipykernel', ipykernel.__version__)"
LOOP = "import time\nfor i in range(200):\n    print('turn', i, flush=True)\n    time.sleep(0.05)"


@pytest.mark.parametrize("version", ["6.29.5", "7.1.0"])
def test_older_kernels_run_cells(lab, version):
    with lab.open([VERSION], kernel=version) as tab:
        tab.run_cell(0, wait=False)
        try:
            tab.wait_text(0, "ipykernel")
        except AssertionError:  # nothing of ours is in that kernel
            print(f"ipykernel {version} swallowed a request right after its start; once more")
            tab.kernel("restart")
            tab.wait_idle()
            tab.run_cell(0)
        assert tab.text(0).strip() == f"ipykernel {version}"


def test_interrupt_and_reload_while_a_cell_runs(notebook7):
    with notebook7.open([LOOP, "print('after')"]) as tab:
        tab.run_cell(0, wait=False)
        tab.wait_text(0, "turn 3")
        tab.reload(idle=False)
        tab.kernel("interrupt")
        tab.wait_idle()
        tab.run_cell(1)
        assert tab.text(1) == "after\n"
