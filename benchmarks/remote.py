"""What attaching to a trainer elsewhere costs, through a road that is long, narrow and at times cut.

    python benchmarks/remote.py [--quick] [--only attaching,ten,one,cut,crowd] [--write] [--json FILE]

Server, trainers, the road and (for the crowd) viewers are processes of their own; the notebook is the dashboard's
sender in this one, without a browser. A value's age is from its `log` call to the dashboard's thread, a picture's from
`log_batch` to the comm. `--write` puts the table into RESULTS_REMOTE.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import nbmonitor  # noqa: F401 (sets what gRPC has to find before it is imported)

sys.path.insert(0, str(Path(__file__).parent))
from overhead.report import machine
from remote import measures, report

RESULTS = Path(__file__).parent / "RESULTS_REMOTE.md"
MEGABIT = measures.MEGABIT


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--only", default="", help="some of: attaching, ten, one, cut, crowd")
    parser.add_argument("--write", action="store_true", help=f"put the table into {RESULTS.name}")
    parser.add_argument("--json", type=Path)
    a = parser.parse_args()
    q = a.quick
    todo = {
        "attaching": lambda: measures.attaching(1 if q else 10),
        "ten": lambda: measures.narrow(10 * MEGABIT, 0.025, 2 if q else 30),
        "one": lambda: measures.narrow(1 * MEGABIT, 0.025, 2 if q else 60),
        "cut": lambda: measures.cut(2 if q else 60),
        "crowd": lambda: measures.crowd(*((4, 4, 10, 3) if q else (64, 32, 10, 25))),
    }
    chosen = [n for n in a.only.split(",") if n] or list(todo)
    results = {"machine": machine(), "quick": q}
    for name in chosen:
        print(f"{name} …", file=sys.stderr, flush=True)
        results[name] = todo[name]()
    results["load_after"] = f"{os.getloadavg()[0]:.1f}"
    text = report.markdown(results)
    print(text)
    if a.json:
        a.json.write_text(json.dumps(results, indent=1))
    if a.write:
        report.write(RESULTS, text)
        if lost := report.missed(results):
            print(f"Missed, each wants a paragraph in {RESULTS.name}: {'; '.join(lost)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
