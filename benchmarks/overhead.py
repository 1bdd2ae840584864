"""What logging costs a training, in nbmonitor and in the tools beside it, measured in one run.

    python benchmarks/overhead.py --install          the peers of peers.txt, each into an environment of its own
    python benchmarks/overhead.py --write            everything, about ten minutes, into RESULTS.md
    python benchmarks/overhead.py --only nbmonitor   one subject (or several, by commas; "own": our own targets)
    python benchmarks/overhead.py --quick            seconds: shows that it runs

Every subject runs in its own interpreter, one after the other, nbmonitor before and after the peers, so that drift of
the machine shows. A peer that is not installed is a row that says so. Nothing looks for a network.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from overhead import environments, own, report
from overhead.targets import judge

RESULTS = Path(__file__).parent / "RESULTS.md"


def order() -> list[str]:
    """Subjects in the order in which they are measured."""
    peers = [p.name for p in environments.peers()]
    return ["noop", "floor", "nbmonitor", "nbmonitor_server", *peers, "nbmonitor", "own"]


def own_targets(scalars: int, *, quick: bool) -> dict[str, Any]:
    """What only nbmonitor promises; a part that breaks says why and does not stop the others."""
    few = 20 if quick else 200
    parts = {
        "start": lambda: own.start(1 if quick else 7),
        "latency_idle": lambda: own.latency(few, busy=False),
        "latency_busy": lambda: own.latency(few if quick else 2 * few, busy=True),
        "rows": lambda: own.rows(20_000 if quick else 1_000_000),
        "dead_viewer": lambda: own.dead_viewer(scalars),
        "unreachable": lambda: own.unreachable(scalars, 0.0 if quick else 45.0),
    }
    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="nbmonitor-bench-") as folder:
        here = str(Path(__file__).parent)
        os.environ.update({"HOME": folder, "XDG_RUNTIME_DIR": folder, "PYTHONPATH": here})
        for name, measure in parts.items():
            at = time.monotonic()
            try:
                out[name] = measure()
                print(f"  own: {name}: {time.monotonic() - at:.0f} s", flush=True)
            except Exception as error:
                print(f"  own: {name} failed: {error!r}", flush=True)
    return out


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--install", action="store_true", help="make the peers' environments")
    parser.add_argument("--only", default="", help="subjects, by commas")
    parser.add_argument("--cases", default="", help="cases by a part of their name, by commas")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--scalars", type=int, default=10_000_000, help="logged for the memory")
    parser.add_argument("--write", action="store_true", help="into benchmarks/RESULTS.md")
    parser.add_argument("--json", type=Path, help="the raw figures")
    a = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    if a.install:
        environments.install()
        return 0
    began = time.monotonic()
    only = [o for o in a.only.split(",") if o]
    results: dict[str, Any] = {"machine": report.machine(), "quick": a.quick, "subjects": []}
    for name in order():
        if (only and name not in only) or name == "own":
            continue
        at = time.monotonic()
        found = environments.measure(name, quick=a.quick, cases=a.cases)
        print(f"  {name}: {time.monotonic() - at:.0f} s", flush=True)
        results["subjects"].append((name, found))
    if not only or "own" in only:
        results["own"] = own_targets(30_000 if a.quick else a.scalars, quick=a.quick)
    results["minutes"] = (time.monotonic() - began) / 60
    text = report.markdown(results)
    print(f"\n{text}")
    if a.json:
        a.json.write_text(json.dumps(results, indent=1, ensure_ascii=False))
    if a.write:
        report.write(RESULTS, text)
        for key in report.unexplained(RESULTS, judge(results)):
            print(
                f"RESULTS.md does not say yet why {key!r} is missed: add a section '### {key}: ...'."
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
