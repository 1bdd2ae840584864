"""Roof: ``nbmonitor token``: tokens with a role and a name, for others than the owner of a server."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nbmonitor.errors import SettingError

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the three things that can be done."""
    what = parser.add_subparsers(dest="what", required=True)
    make = what.add_parser("make", help="make a token and write it to a file to be handed over")
    make.add_argument(
        "role", help="trainer (reports runs), viewer (reads), controller (also commands)"
    )
    make.add_argument("name", help="whose it is, told in the audit log: ada@laptop")
    make.add_argument("--out", metavar="FILE", help="the file to hand over; NAME.token by default")
    make.add_argument("--days", type=float, help="days that it is good for; for ever by default")
    shown = what.add_parser(
        "list", help="list who holds a token; the tokens themselves are not shown"
    )
    revoke = what.add_parser("revoke", help="take a token back")
    revoke.add_argument("name", help="its name, or its first letters in the list")
    for each in (make, shown, revoke):
        each.add_argument(
            "--file",
            metavar="FILE",
            help="the server's token file; that of the one server here by default",
        )


def main(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from nbmonitor.rpc.trust import issuing, keys

    file = Path(options.file) if options.file else _the_servers()
    if options.what == "make":
        out = Path(options.out or f"{options.name}.token")
        made = issuing.create(file, options.role, options.name, days=options.days, out=out)
        until = f", until {made.until()}" if made.until() else ""
        print(
            f"{out}: a token for {made.name} as {made.role}{until}. Hand it over, and delete it here. The server reads "
            f"{file} again by itself."
        )
    elif options.what == "revoke":
        gone = issuing.revoke(file, options.name)
        print(f"{gone.name or gone.hint} ({gone.role}) opens nothing any more.")
    else:
        now = time.time()
        for key in keys.read_file(file):
            until = "for ever" if key.expires is None else f"until {key.until()}"
            late = " (expired)" if key.expired(now) else ""
            print(f"{key.hint}  {key.role:<10}  {key.name or '-':<24}  {until}{late}")
        print(f"in {file}", file=sys.stderr)
    return 0


def _the_servers() -> Path:
    """The token file of the one server on this machine."""
    from nbmonitor.rpc.roads import discovery

    found = sorted({s.token_file for s in discovery.servers()})
    if len(found) != 1:
        if not found:
            raise SettingError(
                "No nbmonitor server runs on this machine. Start one with `nbmonitor serve`, or name the token file of "
                "one with --file."
            )
        there = "".join(f"\n    --file {path}" for path in found)
        raise SettingError(
            f"There are {len(found)} servers on this machine. Say whose token file is meant:{there}"
        )
    return Path(found[0])
