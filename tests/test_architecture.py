"""The rule of the wings, held by import-linter; and that a forbidden arrow is really seen."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINT = "import sys; sys.path.insert(0, 'src'); from importlinter.cli import lint_imports_command as run; run()"


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LINT, "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_contracts_are_kept():
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        (
            "training/__init__.py",
            "from nbmonitor.rpc import codec",
            "The wings never import each other",
        ),
        ("events.py", "from nbmonitor import api", "The ground knows neither wings nor roof"),
        ("store/__init__.py", "import torch", "nothing here needs torch"),
        ("rpc/__init__.py", "from nbmonitor.rpc.v1 import ingest_pb2", "Only the codec knows"),
        ("events.py", "import nbmonitor.interfaces", "No import circle"),
    ],
)
def test_a_forbidden_import_is_seen(tmp_path, file, line, contract):
    generated = shutil.ignore_patterns("static", "__pycache__")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=generated)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "src" / "nbmonitor" / file).open("a") as source:
        source.write(f"\n{line}\n")
    result = lint(tmp_path)
    assert result.returncode != 0
    broken = [row for row in result.stdout.splitlines() if "BROKEN" in row]
    assert any(contract in row for row in broken), result.stdout + result.stderr
