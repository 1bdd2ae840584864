"""What is shipped: a wheel made without Node on the machine carries the dashboard, and the errors say what is missing."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import metadata
from pathlib import Path

import pytest

from nbmonitor import __version__

ROOT = Path(__file__).parent.parent
STATIC = "nbmonitor/notebook/static"
BUILD = "from hatchling.build import build_{0}; print(build_{0}({1!r}))"


@pytest.fixture
def checkout(tmp_path):
    """A copy of the sources with nothing built in it."""
    built = shutil.ignore_patterns("node_modules", "__pycache__", "static")
    for name in ("src", "web", "protos"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name, ignore=built)
    for name in (
        "pyproject.toml",
        "hatch_build.py",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        ".gitignore",
    ):
        shutil.copy(ROOT / name, tmp_path / "checkout")
    return tmp_path / "checkout"


@pytest.fixture
def no_node(tmp_path):
    """An environment whose PATH has a shell, and no Node."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "env", "uname"):
        (tools / tool).symlink_to(shutil.which(tool))
    return {**os.environ, "PATH": str(tools), "NBMONITOR_SKIP_WEB": "0"}


def build(kind, checkout, env=None):
    """Call the build backend as an installer does; the built file, or the CalledProcessError."""
    out = checkout.parent / "dist"
    out.mkdir(exist_ok=True)
    code = BUILD.format(kind, str(out))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=checkout,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return out / done.stdout.split()[-1]


def assert_bundle(names, size_of):
    """Both files are there, and the script keeps its budget of 1.3 MB."""
    assert {f"{STATIC}/dashboard.js", f"{STATIC}/dashboard.css"} <= set(names)
    assert 300_000 < size_of(f"{STATIC}/dashboard.js") < 1_300_000
    assert size_of(f"{STATIC}/dashboard.css") > 500
    assert "nbmonitor/py.typed" in names


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_wheel_without_node_on_path(checkout, no_node, tmp_path):
    tool = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(tmp_path),
        str(checkout),
    ]
    subprocess.run(tool, env=no_node, check=True)
    (wheel,) = tmp_path.glob("nbmonitor-*.whl")
    with zipfile.ZipFile(wheel) as content:
        assert_bundle(content.namelist(), lambda name: content.getinfo(name).file_size)
        assert not [
            name for name in content.namelist() if name.startswith(("tests", "web", "node_modules"))
        ]
        about = email.message_from_bytes(
            content.read(f"nbmonitor-{__version__}.dist-info/METADATA")
        )
    assert about["Version"] == __version__ == metadata("nbmonitor")["Version"]
    assert about["License-Expression"] == "BSD-3-Clause"
    base = [line for line in about.get_all("Requires-Dist") if "extra ==" not in line]
    assert not [
        line for line in base if line.startswith(("torch", "ipykernel", "anywidget", "jupyter"))
    ]


def test_sdist_carries_the_bundle_and_builds_without_node(checkout, no_node):
    static = checkout / "src" / STATIC
    static.mkdir(parents=True)
    for name in ("dashboard.js", "dashboard.css"):
        (static / name).write_text("/* built elsewhere */")
    source = build("sdist", checkout, no_node)
    with tarfile.open(source) as content:
        content.extractall(checkout.parent, filter="data")
    unpacked = checkout.parent / source.name.removesuffix(".tar.gz")
    assert (unpacked / "web" / "package-lock.json").is_file()
    wheel = build("wheel", unpacked, no_node)
    with zipfile.ZipFile(wheel) as content:
        assert content.read(f"{STATIC}/dashboard.js") == b"/* built elsewhere */"


def test_wheel_without_sources_of_the_dashboard_is_an_error(checkout):
    shutil.rmtree(checkout / "web")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        build("wheel", checkout)
    assert (
        "the dashboard bundle could not be built: web/package.json is missing"
        in failed.value.stderr
    )


def test_editable_install_goes_without_and_says_so(checkout):
    shutil.rmtree(checkout / "web")
    out = checkout.parent / "dist"
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", BUILD.format("editable", str(out))],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no dashboard until `make web` has run" in done.stdout + done.stderr


def test_the_hook_can_be_skipped(checkout):
    shutil.rmtree(checkout / "web")
    wheel = build("wheel", checkout, {**os.environ, "NBMONITOR_SKIP_WEB": "1"})
    with zipfile.ZipFile(wheel) as content:
        assert f"{STATIC}/dashboard.js" not in content.namelist()


def test_base_install_needs_neither_jupyter_nor_torch():
    """A run lives from its start to its end where none of the optional packages can be imported."""
    code = """
import sys


class Absent:
    names = {"IPython", "anywidget", "ipykernel", "ipywidgets", "plotly", "torch", "traitlets"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
import nbmonitor

with nbmonitor.init("lean", serve=False) as run:
    for step in range(3):
        run.log(loss=1 / (step + 1))
print(list(run.history("loss")[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("[")
    assert "1.0" in done.stdout


def test_lock_file_names_no_server():
    text = (ROOT / "web" / "package-lock.json").read_text()
    assert '"resolved"' not in text
