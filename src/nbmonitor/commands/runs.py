"""Roof: ``nbmonitor runs``: the servers of this machine and their runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nbmonitor.errors import NbMonitorError

if TYPE_CHECKING:
    import argparse


def arguments(_parser: argparse.ArgumentParser) -> None:
    """Add no options."""


def main(_options: argparse.Namespace) -> int:
    """Print the table."""
    from nbmonitor import api, attaching
    from nbmonitor.rpc.roads import discovery

    servers = discovery.servers()
    if not servers:
        print(
            "No nbmonitor server runs on this machine. A trainer starts one with nbmonitor.init('name')."
        )
    for server in servers:
        print(f"{server.address}  pid {server.pid}  up {time.time() - server.started:.0f} s")
        try:
            client = api.attach(server.dial, token_file=server.token_file, timeout=2.0)
        except NbMonitorError as error:
            print(f"  does not answer: {error}")
            continue
        try:
            for run in client.runs():
                print(f"  {attaching.line(run)}")
        finally:
            client.close()
    return 0
