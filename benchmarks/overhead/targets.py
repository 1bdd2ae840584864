"""What was promised, and whether it holds: judged on every run of nbmonitor in the same measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Target:
    """``met`` is None where nothing was measured."""

    key: str
    promise: str
    measured: str
    met: bool | None


@dataclass(frozen=True)
class _Bound:
    key: str
    promise: str
    most: float
    read: Callable[[dict[str, Any]], float]
    unit: str = "µs"


def _burst(case: str, figure: str = "p50") -> Callable[[dict[str, Any]], float]:
    return lambda r: r["cases"][case]["burst"][figure]


def _above_floor(case: str) -> Callable[[dict[str, Any]], float]:
    return lambda r: r["cases"][case]["between"]["p50"] / r["cases"][case]["between"]["floor"]


IN_PROCESS = (
    _Bound("log", "3 floats, p50 ≤ 3 µs", 3, _burst("3 floats")),
    _Bound("log", "3 floats, p99 ≤ 30 µs", 30, _burst("3 floats", "p99")),
    _Bound("stall", "3 floats, longest of 20,000 ≤ 5 ms", 5000, _burst("3 floats", "max")),
    _Bound("log", "20 floats, p50 ≤ 6 µs", 6, _burst("20 floats")),
    _Bound("mapping", "20 floats in a mapping, p50 ≤ 6 µs", 6, _burst("20 floats in a mapping")),
    _Bound("tensors", "3 tensors, p50 ≤ 5 µs", 5, _burst("3 tensors")),
    _Bound("tensors", "20 tensors, p50 ≤ 15 µs", 15, _burst("20 tensors")),
    _Bound("cold", "3 floats between steps ≤ 3 × floor", 3, _above_floor("3 floats"), "×"),
    _Bound("skipped", "skipped picture, p50 ≤ 5 µs", 5, _burst("skipped picture")),
    _Bound("kept", "kept 16×32² uint8, p50 ≤ 60 µs", 60, _burst("16×32² uint8")),
    _Bound("kept", "kept 16×32² float32, p50 ≤ 60 µs", 60, _burst("16×32² float32")),
    _Bound("kept", "kept 16×224² uint8, p50 ≤ 300 µs", 300, _burst("16×224² uint8")),
    _Bound("kept", "kept 16×224² float32, p50 ≤ 300 µs", 300, _burst("16×224² float32")),
    _Bound(
        "inside", "inside our calls, numbers ≤ 1 %", 1, lambda r: r["loop"]["numbers_inside"], "%"
    ),
    _Bound(
        "inside", "inside our calls, pictures ≤ 3 %", 3, lambda r: r["loop"]["pictures_inside"], "%"
    ),
)
LEAST_ROWS = 100_000
MOST_MIB = 32


def short(value: float) -> str:
    """Three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def judge(results: dict[str, Any]) -> list[Target]:
    """Every target, in the order of the report."""
    runs = [r for name, r in results["subjects"] if name == "nbmonitor" and "cases" in r]
    noop = next((r for name, r in results["subjects"] if name == "noop"), {})
    out = [_bounded(bound, runs) for bound in IN_PROCESS]
    paced = "3 floats, 58 a second"
    base = noop.get("cases", {}).get(paced, {}).get("cpu", 0.0)
    cpu = _Bound(
        "cpu",
        "CPU of all processes, 3 floats 58 times a second, above the no-op's ≤ 20 µs",
        20,
        lambda r: r["cases"][paced]["cpu"] - base,
    )
    return [*out, _bounded(cpu, runs), *_own(results.get("own", {}))]


def _bounded(bound: _Bound, runs: list[dict[str, Any]]) -> Target:
    values = []
    for run in runs:
        try:
            values.append(bound.read(run))
        except KeyError:  # not among the cases of this run
            continue
    words = " / ".join(short(v) for v in values) + f" {bound.unit}" if values else "–"
    met = all(v <= bound.most for v in values) if values else None
    return Target(bound.key, bound.promise, words, met)


def _own(own: dict[str, Any]) -> Iterator[Target]:
    for what in ("idle", "busy"):
        f = own.get(f"latency_{what}")
        promise = f"log → viewer in another process, {what} trainer, p50 ≤ 20 ms, p99 ≤ 50 ms"
        if f:
            words = f"{f['p50']:.1f} / {f['p99']:.1f} ms (least {f['least']:.1f}; n = {f['n']})"
            yield Target("latency", promise, words, f["p50"] <= 20 and f["p99"] <= 50)
    f = own.get("rows")
    if f:
        words = f"{f['per_second']:,.0f} rows/s; {f['stored']:,} of {f['rows']:,} stored"
        enough = f["per_second"] >= LEAST_ROWS and f["stored"] == f["rows"]
        yield Target("rows", "one client → server ≥ 100,000 rows/s, all stored", words, enough)
    for what in ("dead_viewer", "unreachable"):
        f = own.get(what)
        if not f:
            continue
        name = what.replace("_", " ")
        promise = f"{f['logged']:,} scalars, {name}: trainer grows ≤ 32 MiB"
        yield Target("memory", promise, f"{f['growth']:.1f} MiB", f["growth"] <= MOST_MIB)
        missing = f["logged"] + f["warm"] - 3 * f["stored"]
        shown = sum((f["lost"] or [0])[:1])
        words = f"{missing:,} values missing, {shown:,} shown as lost"
        yield Target(
            "counted", f"{name}: what was dropped is counted and shown", words, missing == shown
        )
    f = own.get("start")
    if f:
        words = (
            f"{f['server']:.2f} s (import {f['import']:.2f} s; without server {f['none']:.2f} s)"
        )
        yield Target("start", "import nbmonitor + init ≤ 0.5 s", words, f["server"] <= 0.5)
