"""What is installed, how gRPC was set up, and which roads this kernel has to its dashboard."""

from __future__ import annotations

import multiprocessing
import platform
import sys
from importlib import metadata, resources
from typing import TYPE_CHECKING, Any

from nbmonitor.doctor.report import Finding
from nbmonitor.rpc import reflection, telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmonitor.doctor.report import Check, Scene

NOTEBOOK = ("anywidget", "ipywidgets", "ipykernel", "ipython", "plotly")
BESIDE = ("jupyterlab", "notebook", "torch")
"""Told of when installed; nothing is missing without them here."""

_BAD = {
    "ipykernel": (
        "7.0.",
        "a background thread cannot send to the page, so the panel stands still",
        "pip install 'ipykernel>=7.1'",
    ),
}
_LEAST = {"ipywidgets": (8, 1), "jupyterlab": (4, 0), "notebook": (7, 0), "anywidget": (0, 9)}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _wire(_scene: Scene) -> Iterator[Finding]:
    from google.protobuf.internal import api_implementation

    kind = api_implementation.Type()
    told = ", ".join(f"{n} {_version(n)}" for n in ("grpcio", "protobuf", "numpy"))
    text = f"Python {platform.python_version()}, {told}."
    if kind == "python":  # https://nvd.nist.gov/vuln/detail/CVE-2025-4565
        yield Finding(
            "versions",
            "warn",
            f"{text} protobuf runs its slow pure-Python parser, which deep messages can overthrow.",
            "unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION, or install a protobuf wheel for this machine",
        )
    else:
        yield Finding("versions", "ok", text)


def _notebook(_scene: Scene) -> Iterator[Finding]:
    found = {name: _version(name) for name in NOTEBOOK}
    missing = [name for name, version in found.items() if not version]
    if missing:
        text = (
            f"Not installed here: {', '.join(missing)}. Fine for a trainer; a notebook needs them."
        )
        yield Finding("notebook", "skip", text, "for notebooks: pip install 'nbmonitor[notebook]'")
        return
    found |= {name: v for name in BESIDE if (v := _version(name))}
    for name, (start, why, remedy) in _BAD.items():
        if found[name].startswith(start):
            text = f"{name} {found[name]} does not work: {why}."
            yield Finding("notebook", "fail", text, f"{remedy}, then restart the kernel")
    for name, least in _LEAST.items():
        if name in found and _numbers(found[name]) < least:
            wanted = ".".join(map(str, least))
            text = f"{name} {found[name]} is older than the {wanted} that the dashboard needs."
            yield Finding("notebook", "fail", text, f"pip install '{name}>={wanted}'")
    told = ", ".join(f"{name} {version}" for name, version in found.items() if name != "torch")
    yield Finding("notebook", "ok", f"{told}.")
    if not (resources.files("nbmonitor") / "notebook" / "static" / "dashboard.js").is_file():
        text = "The dashboard's bundle is missing from this installation."
        yield Finding("dashboard", "fail", text, "make web (in a checkout), or install a wheel")


def _torch(_scene: Scene) -> Iterator[Finding]:
    version = _version("torch")
    if not version:
        yield Finding("torch", "skip", "Not installed, and nothing here needs it.")
        return
    state = "imported" if "torch" in sys.modules else "installed, not imported"
    yield Finding("torch", "ok", f"{version}, {state}.")


def _fork(scene: Scene) -> Iterator[Finding]:
    name = "GRPC_ENABLE_FORK_SUPPORT"
    value = scene.environ.get(name, "")
    method = multiprocessing.get_start_method(allow_none=True) or "not chosen yet"
    remedy = "DataLoader(..., multiprocessing_context='forkserver') is safe with any value"
    if value.lower() in {"1", "true", "yes"}:
        text = f"{name}={value}: processes forked beside a gRPC server (DataLoader workers) hang or crash with it."
        yield Finding("fork", "warn", text, f"unset it before Python starts; {remedy}")
    elif sys.modules[
        "nbmonitor"
    ].grpc_came_first:  # the package resolves the roof: it is not imported from here
        text = f"grpc was imported before nbmonitor, so that {name}={value} came too late for it."
        yield Finding("fork", "warn", text, f"import nbmonitor first, or export {name}=0; {remedy}")
    else:
        yield Finding("fork", "ok", f"{name}={value}; start method: {method}.")


def _extras(scene: Scene) -> Iterator[Finding]:
    why = reflection.problem()
    if why:
        text = f"Off: {why}. Tools such as grpcurl then need the .proto files."
        yield Finding("reflection", "skip", text, "pip install 'nbmonitor[reflection]'")
    else:
        yield Finding("reflection", "ok", "On, for callers with a token.")
    yield Finding("telemetry", *telemetry.condition(wanted=scene.settings.otel))


def _control(scene: Scene) -> Iterator[Finding]:
    if scene.shell is None:
        yield Finding("control path", "skip", "This is no notebook kernel.")
        return
    from nbmonitor.notebook import kernel

    roads: dict[str, Any] = kernel.liveness(scene.shell)
    if not roads.get("kernel"):
        text = "This IPython has no ipykernel under it: no page can show the dashboard."
        yield Finding("control path", "skip", text)
        return
    if not roads.get("control"):
        text = "The kernel's control channel is not taken up: buttons wait for the running cell."
        yield Finding("control path", "fail", text, "%load_ext nbmonitor")
        return
    asked = f"{roads.get('requests', 0)} requests so far"
    if roads.get("last") is not None:
        asked += f", the last {roads['last']:.0f} s ago"
    yield Finding("control path", "ok", f"The control channel is open ({asked}).")
    if roads.get("takeover"):
        text = "A page that is reloaded in mid-cell is answered at once."
        yield Finding("reload", "ok", text)
    else:
        text = "A page that is reloaded in mid-cell comes back when the cell ends (no takeover, or ipykernel < 7.1)."
        yield Finding("reload", "ok", text)


CHECKS: tuple[Check, ...] = (_wire, _notebook, _torch, _fork, _extras, _control)
