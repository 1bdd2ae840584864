"""The peers of ``peers.txt``, each in an environment of its own; torch is borrowed from the one that runs this."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEERS = HERE.parent / "peers.txt"
CACHE = Path(os.environ.get("NBMONITOR_PEERS", ROOT / ".cache" / "peers"))
OURS = ("noop", "floor", "nbmonitor", "nbmonitor_server")

# Nothing here may look for a network: a tool that waits for one would be measured waiting.
OFFLINE = {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "SWANLAB_MODE": "offline",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "RERUN_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MPLBACKEND": "Agg",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONWARNINGS": "ignore",
}


@dataclass(frozen=True)
class Peer:
    """A line of ``peers.txt``."""

    distribution: str
    requirements: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of its adapter and of its environment."""
        return self.distribution.removesuffix("-sdk")

    @property
    def pinned(self) -> str:
        """Version that ``peers.txt`` asks for."""
        return self.requirements[0].partition("==")[2]

    @property
    def python(self) -> Path:
        """Its interpreter, which is there once it was installed."""
        return CACHE / self.name / "bin" / "python"


def peers(path: Path = PEERS) -> list[Peer]:
    """Every peer, in the order of the file."""
    lines = [line.partition("#")[0].split() for line in path.read_text().splitlines()]
    return [Peer(line[0].partition("==")[0], tuple(line)) for line in lines if line]


def install() -> None:
    """Make every environment that is not there, or has another version."""
    CACHE.mkdir(parents=True, exist_ok=True)
    borrowed = _borrow(CACHE / "borrowed")
    for peer in peers():
        done = CACHE / peer.name / "installed.txt"
        wanted = " ".join(peer.requirements)
        if done.exists() and done.read_text() == wanted:
            continue
        print(f"installing {wanted}", flush=True)
        folder = CACHE / peer.name
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        pip = [sys.executable, "-m", "pip", "--python", peer.python, "install", "--quiet"]
        subprocess.run([*pip, "--disable-pip-version-check", *peer.requirements], check=True)
        (site,) = folder.glob("lib/python*/site-packages")
        (site / "borrowed.pth").write_text(f"{borrowed}\n")
        done.write_text(wanted)


def _borrow(folder: Path) -> Path:
    """A folder of links to torch and what it needs, and to nothing else of this environment."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    names, seen = ["torch", "numpy"], set()
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # of another platform
            continue
        needs = [r for r in found.requires or () if "extra ==" not in r]
        names += [re.split(r"[^\w.-]", r)[0] for r in needs]
        for top in {f.parts[0] for f in found.files or ()} - {"..", "__pycache__"}:
            (folder / top).symlink_to(found.locate_file(top))
    return folder


def measure(name: str, *, quick: bool, cases: str = "", limit: float = 90.0) -> dict[str, object]:
    """What the probe says of one subject; ``{"absent": why}`` where that cannot be had."""
    peer = next((p for p in peers() if p.name == name), None)
    python = Path(sys.executable) if peer is None else peer.python
    if not python.exists():
        return {"absent": "not installed"}
    version = peer.pinned if peer is not None else ""
    with (
        tempfile.TemporaryDirectory(prefix="nbmonitor-bench-") as folder,
        tempfile.TemporaryFile("w+") as said,
        tempfile.TemporaryFile("w+") as wrong,
    ):
        env = {k: v for k, v in os.environ.items() if not k.startswith("NBMONITOR_")}
        paths = {"PYTHONPATH": str(HERE.parent), "HOME": folder, "XDG_RUNTIME_DIR": folder}
        command = [python, "-m", "overhead.probe", name, *(["--quick"] if quick else [])]
        probe = subprocess.Popen(
            [*command, *(["--cases", cases] if cases else [])],
            cwd=folder,
            env=env | OFFLINE | paths | {"TRACKIO_DIR": folder},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=wrong,
            start_new_session=True,  # so that what it started ends with it
        )
        cut = False
        try:
            probe.wait(limit)
        except subprocess.TimeoutExpired:
            cut = True
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(probe.pid, signal.SIGKILL)
            probe.wait()
            said.seek(0)
            wrong.seek(0)
            out, err = said.read(), wrong.read()
    last = (out.strip().splitlines() or [""])[-1]
    if not last.startswith("{"):
        why = (
            err.strip().splitlines() or [f"nothing within {limit:.0f} s" if cut else "said nothing"]
        )[-1]
        return {"absent": f"failed: {why[:120]}"}
    return {"version": version, "cut": cut, **json.loads(last)}
