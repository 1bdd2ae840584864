"""See and steer a training run from the notebook cell, while it trains, wherever it trains."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

grpc_came_first = "grpc" in sys.modules
"""Whether what follows came too late: `nbmonitor doctor` says so."""

# Before anything imports grpc: with gRPC's own fork handlers on, DataLoader workers forked beside a live server
# crash or hang (https://github.com/grpc/grpc/issues/32992); with them off, and no gRPC in the child, they do not.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault(
    "GRPC_VERBOSITY", "ERROR"
)  # else a server that leaves is news on the viewer's stderr

# A library's threads do not write into whatever cell runs just now; who wants the lines sets up logging.
logging.getLogger("nbmonitor").addHandler(logging.NullHandler())

from nbmonitor._version import __version__  # noqa: E402

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_PUBLIC = {
    "init": "nbmonitor.api",
    "attach": "nbmonitor.api",
    "serve": "nbmonitor.api",
    "runs": "nbmonitor.api",
    "log": "nbmonitor.api",
    "finish": "nbmonitor.api",
    "Run": "nbmonitor.training.run",
    "Dashboard": "nbmonitor.notebook.dashboard",
    "NbMonitorError": "nbmonitor.errors",
    "AttachError": "nbmonitor.errors",
    "CommandError": "nbmonitor.errors",
    "EnvironmentMissingError": "nbmonitor.errors",
    "InputError": "nbmonitor.errors",
    "RunError": "nbmonitor.errors",
    "ServerError": "nbmonitor.errors",
    "SettingError": "nbmonitor.errors",
    "StoreError": "nbmonitor.errors",
    "UnknownRunError": "nbmonitor.errors",
}

__all__ = ["__version__", *sorted(_PUBLIC)]  # noqa: PLE0604


def __getattr__(name: str) -> object:
    """Resolve the public names when first asked for (PEP 562): a GPU box pays for nothing it does not use."""
    if name in _PUBLIC:
        from importlib import import_module

        value: object = getattr(import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    msg = f"module 'nbmonitor' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})


def load_ipython_extension(ip: InteractiveShell) -> None:
    """``%load_ext nbmonitor``."""
    from nbmonitor.extension import load

    load(ip)


def unload_ipython_extension(ip: InteractiveShell) -> None:
    """``%unload_ext nbmonitor``."""
    from nbmonitor.extension import unload

    unload(ip)
