"""Roof: the command line, ``nbmonitor …``."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from nbmonitor._version import __version__
from nbmonitor.errors import NbMonitorError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status (0, or 1 after a message on stderr)."""
    parser = argparse.ArgumentParser(
        prog="nbmonitor", description="See and steer training runs from the notebook."
    )
    parser.add_argument("--version", action="version", version=f"nbmonitor {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("runs", help="list the servers of this machine and their runs")
    parser.parse_args(arguments)
    try:
        return _runs()
    except NbMonitorError as error:
        print(f"nbmonitor: {error}", file=sys.stderr)
        return 1


def _runs() -> int:
    from nbmonitor import api
    from nbmonitor.rpc import discovery

    servers = discovery.servers()
    if not servers:
        print(
            "No nbmonitor server runs on this machine. A trainer starts one with nbmonitor.init('name')."
        )
    for server in servers:
        print(f"{server.address}  pid {server.pid}  up {time.time() - server.started:.0f} s")
        try:
            client = api.attach(server.address, token_file=server.token_file, timeout=2.0)
        except NbMonitorError as error:
            print(f"  does not answer: {error}")
            continue
        try:
            for run in client.runs():
                print(f"  {run.state:<13} step {run.step:>9,}  {run.name}  ({run.run_id})")
        finally:
            client.close()
    return 0
