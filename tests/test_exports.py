from __future__ import annotations

import subprocess
import sys

import nbmonitor
from nbmonitor import errors


def test_every_public_name_exists_and_the_list_is_sorted():
    assert nbmonitor.__all__ == sorted(nbmonitor.__all__, key=lambda n: (n != "__version__", n))
    for name in nbmonitor.__all__:
        assert getattr(nbmonitor, name) is not None


def test_every_error_is_in_the_one_tree():
    found = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    assert len(found) > 5
    assert all(issubclass(e, errors.NbMonitorError) for e in found)


def test_init_needs_neither_jupyter_nor_torch():
    code = (
        "import sys, nbmonitor\n"
        "run = nbmonitor.init('x', serve=False)\n"
        "run.log(loss=1.0); run.finish()\n"
        "print(sorted({'IPython', 'anywidget', 'ipywidgets', 'torch', 'plotly'} & set(sys.modules)))\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert out.stdout.strip() == "[]"
