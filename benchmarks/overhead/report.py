"""The measurement as Markdown, and its place in ``RESULTS.md``: what a person wrote around it stays."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from overhead.targets import Target, judge, short

BEGIN = (
    "<!-- measured: begin (written by `python benchmarks/overhead.py --write`, edit outside) -->"
)
END = "<!-- measured: end -->"
NEW = f"""# What logging costs

{BEGIN}
{END}

## Why some targets are missed
"""
OURS = {"noop": "no-op", "floor": "floor (deque)", "nbmonitor_server": "nbmonitor → server process"}


def machine() -> dict[str, str]:
    """Where this was measured."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [n for n in info.read_text().splitlines() if n.startswith("model name")]
        cpu = models[0].partition(": ")[2] if models else cpu
    ask = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "machine": f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit,
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def markdown(results: dict[str, Any]) -> str:
    """The whole report."""
    m = results["machine"]
    head = (
        f"{m['machine']}; Python {m['python']}, PyTorch {m['torch']}; {m['date']}, commit {m['commit'] or '?'}, "
        f"{results['minutes']:.1f} minutes. Load before it began: {m['load']}."
    )
    if results["quick"]:
        head += " **Quick: only shows that it runs; no figure means anything.**"
    parts = [head]
    if results["subjects"]:
        parts += [calls(results), cold(results), processes(results), loops(results)]
    parts.append(targets(judge(results), judged=not results["quick"]))
    return "\n\n".join(parts)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _names(results: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Rows with their labels; nbmonitor's runs are told apart by when they were."""
    out: list[tuple[str, dict[str, Any]]] = []
    runs = sum(name == "nbmonitor" for name, _ in results["subjects"])
    seen = 0
    for name, r in results["subjects"]:
        label = OURS.get(name, name)
        if name == "nbmonitor" and runs > 1:
            label, seen = f"**nbmonitor** ({'before' if not seen else 'after'})", seen + 1
        label = f"{label} {r.get('version', '')}".strip()
        out.append((f"{label}, cut off" if r.get("cut") else label, r))
    return out


CASES = ("3 floats", "20 floats", "20 floats in a mapping", "3 tensors", "20 tensors")
PICTURES = (
    *("16×32² uint8", "16×32² float32", "16×224² uint8", "16×224² float32"),
    "skipped picture",
)


def _cells(r: dict[str, Any], names: tuple[str, ...], words: Any) -> list[str]:
    if "absent" in r:
        return [r["absent"]] + ["–"] * (len(names) - 1)
    out = []
    for name in names:
        case = r["cases"].get(name)
        out.append("–" if case is None else "failed" if "error" in case else words(case))
    return out


def calls(results: dict[str, Any]) -> str:
    """Back to back."""

    def words(case: dict[str, Any]) -> str:
        b = case["burst"]
        return f"{short(b['p50'])} / {short(b['p99'])} / {short(b['max'])}"

    def both(names: tuple[str, ...]) -> str:
        rows = [[label, *_cells(r, names, words)] for label, r in _names(results)]
        return _table(["p50 / p99 / max µs", *names], rows)

    return (
        "### One call on the training thread, back to back\n\nPictures: all kept, also those that nbmonitor would "
        "leave out (more than 60 a second).\n\n"
        f"{both(CASES)}\n\n{both(PICTURES)}"
    )


def cold(results: dict[str, Any]) -> str:
    """Between steps."""

    def words(case: dict[str, Any]) -> str:
        b = case.get("between")
        return f"{short(b['p50'])} / {short(b['p99'])} ({b['p50'] / b['floor']:.1f}×)" if b else "–"

    names = (*CASES, *(p for p in PICTURES if "float32" not in p and p != "skipped picture"))
    rows = [[label, *_cells(r, names, words)] for label, r in _names(results)]
    return (
        "### One call after a step of a real CNN, where caches are cold\n\nIn brackets: p50 ÷ p50 of the bare deque on "
        f"every other step of the same loop.\n\n{_table(['p50 / p99 µs', *names], rows)}"
    )


def processes(results: dict[str, Any]) -> str:
    """CPU, memory, processes, start and end."""
    rows = []
    names = ("3 floats", *(f"{n}, 58 a second" for n in ("3 floats", PICTURES[0], PICTURES[2])))
    for label, r in _names(results):
        cells = _cells(r, names, lambda case: short(case["cpu"]))
        if "absent" in r:
            rows.append([label, *cells, "–", "–", "–"])
            continue
        good = [c for c in r["cases"].values() if "error" not in c]
        first = good[0] if good else {"open": 0.0, "close": 0.0}
        growth = max((c["growth"] for c in good), default=0.0)
        most = max((c["processes"] for c in good), default=1)
        start = f"{r['import']:.2f} + {first['open']:.2f} / {first['close']:.2f}"
        rows.append([label, *cells, f"{growth:.1f}", str(most), start])
    head = ["CPU µs a call", *names, "memory MiB", "processes", "import + open / close s"]
    return (
        "### All processes of each\n\nCPU from the first call until 0.5 s after the last, that of making the values "
        f"included (see the no-op). Memory: most growth of any case.\n\n{_table(head, rows)}"
    )


def loops(results: dict[str, Any]) -> str:
    """The CNN."""
    rows = []
    for label, r in _names(results):
        loop = r.get("loop")
        if not loop or "error" in loop:
            continue
        cells = []
        for kind in ("noop", "numbers", "pictures"):
            q = loop.get(kind)
            cells.append(f"{q[1]:+.1f} ({q[0]:+.1f} … {q[2]:+.1f})" if q else "–")
        inside = [loop.get(f"{kind}_inside") for kind in ("numbers", "pictures")]
        told = " / ".join(f"{i:.2f}" for i in inside if i is not None)
        rows.append([label, f"{loop['step_ms']:.1f}", *cells, told or "–"])
    head = [
        "whole loop",
        "step ms",
        "no-op",
        "3 numbers",
        "3 numbers + 16×32²",
        "inside its calls %",
    ]
    return (
        "### A training loop in interleaved blocks, logging on every step\n\nSlowdown in percent against the blocks "
        "beside, which log nothing: median (quartiles); PyTorch has half of the cores. What "
        "lies within the no-op's quartiles is not resolved.\n\n"
        f"{_table(head, rows)}"
    )


def targets(found: list[Target], *, judged: bool) -> str:
    """Promise by promise."""
    words = {True: "met", False: "**missed**", None: "not measured"}
    rows = [[t.key, t.promise, t.measured, words[t.met] if judged else "–"] for t in found]
    return f"### Targets\n\n{_table(['', 'target', 'measured', ''], rows)}"


def write(path: Path, measured: str) -> None:
    """Replace what was measured before; everything outside the two marks stays."""
    text = path.read_text() if path.exists() else NEW
    before, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise SystemExit(f"{path} has lost its marks: expected {BEGIN!r} and {END!r}.")
    path.write_text(f"{before}{BEGIN}\n\n{measured}\n\n{END}{after}")


def unexplained(path: Path, found: list[Target]) -> list[str]:
    """Keys of missed targets that no heading "### key: ..." of the file tells about."""
    text = path.read_text()
    missed = dict.fromkeys(t.key for t in found if t.met is False)
    return [key for key in missed if f"\n### {key}:" not in text]
