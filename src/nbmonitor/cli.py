"""Roof: the command line, ``nbmonitor …``: a table of commands, each in a file that is imported when asked for.

Such a module has ``arguments(parser)``, which adds its options, and ``main(options) -> int``, the exit status.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from nbmonitor._version import __version__
from nbmonitor.errors import NbMonitorError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "audit": ("nbmonitor.commands.audit", "tell who did what, check the audit log, export it"),
    "doctor": ("nbmonitor.doctor", "list every setting, check this installation, print remedies"),
    "serve": (
        "nbmonitor.commands.serve",
        "run a server in a process of its own, to which several trainers report",
    ),
    "token": (
        "nbmonitor.commands.token",
        "make, list and revoke tokens for others than a server's owner",
    ),
    "runs": ("nbmonitor.commands.runs", "list the servers of this machine and their runs"),
}
"""Name → module, and what the command is for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status (0, or 1 after a message on stderr)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="nbmonitor", description="See and steer training runs from the notebook."
    )
    parser.add_argument("--version", action="version", version=f"nbmonitor {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (module, purpose) in COMMANDS.items():
        command = commands.add_parser(
            name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}."
        )
        if name in words:  # what was not asked for is not imported
            import_module(module).arguments(command)
    options = parser.parse_args(words)
    try:
        status: int = import_module(COMMANDS[options.command][0]).main(options)
    except NbMonitorError as error:
        print(f"nbmonitor: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except (
        BrokenPipeError
    ):  # `nbmonitor runs | head`: https://docs.python.org/3/library/signal.html#note-on-sigpipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status
