"""The shipped notebooks run from top to bottom, with fewer epochs, and are stored without outputs."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def execute(name, folder, **parameters):
    """Run a notebook in a kernel of its own, in an empty folder, with these values in its parameter cell."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    for key, value in parameters.items():
        cell.source, found = re.subn(rf"(?m)^{key} = \S+", f"{key} = {value!r}", cell.source)
        assert found == 1, f"{name} has no parameter {key}"
    client = NotebookClient(notebook, timeout=100, resources={"metadata": {"path": str(folder)}})
    client.execute()
    return notebook


def printed(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream")


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [cell.id for cell in code if cell.outputs or cell.execution_count is not None]
    assert not notebook.metadata.get("widgets")


@pytest.mark.slow
def test_quickstart(tmp_path):
    text = printed(execute("quickstart.ipynb", tmp_path, EPOCHS=2))
    share = float(re.search(r"([\d.]+)% of the digits", text)[1])
    assert share > 60  # two epochs of ten; the whole minute ends above 97
    assert re.search(r"1,?078 values of the loss", text)


@pytest.mark.slow
def test_two_processes(tmp_path):
    notebook = execute("two_processes.ipynb", tmp_path, EPOCHS=1)
    assert "exit code 0" in printed(notebook)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("namespace", [False, True], ids=["relay", "namespace"])
def test_remote_attach(tmp_path, monkeypatch, namespace):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))  # certificates too
    if namespace and (os.name != "posix" or os.geteuid() != 0 or not shutil.which("ip")):
        pytest.skip("network namespaces need Linux, root and iproute2")
    text = printed(execute("remote_attach.ipynb", tmp_path, CUT=1.0, NAMESPACE=namespace))
    kind = re.search(r"the other machine is a (\w+)", text)[1]
    if namespace and kind != "namespace":
        pytest.skip("no network namespace can be made here")
    assert kind == ("namespace" if namespace else "relay")
    assert re.search(r"applied at step \d+ .*0.005", text)
    assert re.search("the link is (stale|disconnected)", text)
    assert re.search(r"back after \d+ reconnect.*: [1-9]\d* steps further", text)
    values, steps = re.search(r"(\d+) values for (\d+) steps", text).groups()
    assert int(values) == int(steps)
    assert "exit code 0\nthe run is stopped" in text
