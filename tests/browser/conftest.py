"""Fixtures of the browser ring: one server and browser for a module, what a failure leaves, one more try for a dead browser."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.runner import runtestprotocol

sys.path.insert(
    0, str(Path(__file__).parent)
)  # `from harness import Jupyter` in every file of the ring

from harness import Jupyter, artifact_folder

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def lab() -> Iterator[Jupyter]:
    """JupyterLab that draws every cell."""
    with Jupyter("lab") as jupyter:
        yield jupyter


@pytest.fixture(scope="module")
def lab_defaults() -> Iterator[Jupyter]:
    """JupyterLab as it comes: cells far from the view are not drawn."""
    with Jupyter("lab", every_cell=False) as jupyter:
        yield jupyter


@pytest.fixture(scope="module")
def notebook7() -> Iterator[Jupyter]:
    """Jupyter Notebook 7."""
    with Jupyter("notebook") as jupyter:
        yield jupyter


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    if outcome.get_result().failed:
        for jupyter in list(Jupyter.live):
            for tab in list(
                jupyter.tabs
            ):  # tabs that fixtures hold; a test's own have been kept by leaving `with`
                tab.keep(artifact_folder(item.nodeid))


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Run a test; when it failed and the browser has died meanwhile, say so and run it once more."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for jupyter in Jupyter.live:
        jupyter.browser_died = False
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if any(report.failed for report in reports) and any(
        jupyter.browser_died for jupyter in Jupyter.live
    ):
        print(f"\nthe browser died in {item.nodeid}: one more try")
        item._initrequest()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
