"""Roof: ``nbmonitor doctor``, ``%nbmonitor doctor``: every setting with its origin, what is wrong, and the remedy.

``machine`` looks at folders, ports and clocks, ``trust`` at tokens and certificates, ``software`` at what is installed
and at the kernel, ``road`` at the server that is reported to; ``modes`` makes the four kinds of calls against a server
of its own. ``report`` puts it all into words.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from nbmonitor.doctor import machine, modes, road, software, trust
from nbmonitor.doctor.report import Finding, Report, Scene, listed
from nbmonitor.doctor.settled import settle

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from nbmonitor.doctor.report import Check

__all__ = ["CHECKS", "Finding", "Report", "arguments", "examine", "main"]

CHECKS: tuple[Check, ...] = (
    *machine.CHECKS,
    *trust.CHECKS,
    *software.CHECKS,
    *road.CHECKS,
    *modes.CHECKS,
)
"""In the order in which they are told."""


def examine(
    config: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    asked: Mapping[str, Any] | None = None,
    shell: Any = None,
    timeout: float = 2.0,
    checks: tuple[Check, ...] = CHECKS,
) -> Report:
    """Look at everything; never raises for what it finds.

    Parameters
    ----------
    config
        Values set by ``%config NBMonitor.x``.
    environ
        Environment variables; ``os.environ`` by default.
    asked
        Values given on the command line.
    shell
        The IPython shell, in a kernel.
    timeout
        Seconds that one answer of a server may take.
    checks
        What is looked at.
    """
    env = dict(os.environ if environ is None else environ)
    settings, findings = settle(config or {}, env, asked or {})
    scene = Scene(settings, env, shell, timeout)
    for check in checks:
        try:
            findings.extend(check(scene))
        except Exception as error:  # a doctor who faints helps nobody
            findings.append(
                Finding(
                    check.__name__.strip("_").replace("_", " "),
                    "fail",
                    f"the check itself broke: {type(error).__name__}: {error}",
                    "please report this",
                )
            )
    return Report(listed(settings), tuple(findings))


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``nbmonitor doctor``."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--address", help="look at this server too (NBMONITOR_ADDRESS by default)")
    parser.add_argument("--token-file", help="file with the token for it")
    parser.add_argument(
        "--timeout", type=float, default=2.0, help="seconds that an answer may take (2)"
    )


def main(options: argparse.Namespace) -> int:
    """Print the report; 1 where something failed."""
    asked = {"address": options.address, "token_file": options.token_file}
    report = examine(asked={k: v for k, v in asked.items() if v}, timeout=options.timeout)
    print(report.json() if options.json else report.text())
    sys.stdout.flush()
    return 1 if report.failed else 0
