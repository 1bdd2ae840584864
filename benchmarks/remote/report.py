"""The measurement as Markdown, and its place in ``RESULTS_REMOTE.md``: what a person wrote around it stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = "<!-- measured: begin (written by `python benchmarks/remote.py --write`, edit outside) -->"
END = "<!-- measured: end -->"
NEW = f"""# What attaching costs

{BEGIN}
{END}

## Why some targets are missed
"""


def _ms(spread: dict[str, float]) -> str:
    return f"{spread['p50']:.0f} / {spread['p99']:.0f} / {spread['max']:.0f} ms"


def rows(results: dict[str, Any]) -> list[tuple[str, str, str, bool | None]]:
    """What was measured: in words, the target, the figure, whether it was met (None: there is no target)."""
    out: list[tuple[str, str, str, bool | None]] = []
    for name, limit in (("LAN", 500), ("100 ms", 1500)):
        if found := results.get("attaching", {}).get(name):
            what = "this machine" if name == "LAN" else "100 ms of added round trip"
            picture = found["picture"]
            out.append((f"attach, {what}", "", _ms(found["attached"]), None))
            met = picture["max"] <= limit
            out.append((f"attach → first picture, {what}", f"≤ {limit} ms", _ms(picture), met))
    if r := results.get("ten"):
        road = "10 Mbit/s, 50 ms"
        met = r["numbers"]["p99"] <= 400 and r["pictures_per_s"] >= 29 and r["widths"] == [64]
        found = f"{_ms(r['numbers'])} at {r['pictures_per_s']:.1f}/s, {r['widths']} px, {r['carried_mbit']:.1f} Mbit/s"
        target = "p99 ≤ 400 ms at 30/s of 64 px"
        out.append((f"log → notebook, {road}", target, found, met))
        met = r["pictures"]["p99"] <= 400
        out.append((f"log_batch → notebook, {road}", "p99 ≤ 400 ms", _ms(r["pictures"]), met))
        out.append((f"values missing, {road}", "0", f"{r['gaps']} of {r['values']}", not r["gaps"]))
    if r := results.get("one"):
        road = "1 Mbit/s, 50 ms"
        found = f"{_ms(r['numbers'])}; p99 by thirds of the time {', '.join(f'{t:.0f}' for t in r['thirds'])} ms"
        met = r["thirds"][2] <= max(1.5 * r["thirds"][0], 1000.0)
        out.append((f"log → notebook, {road}", "does not grow", found, met))
        found = f"{r['pictures_per_s']:.1f}/s of {r['widths']} px, {_ms(r['pictures'])}, {r['carried_mbit']:.2f} Mbit/s"
        met = r["pictures_per_s"] < 29 or min(r["widths"]) < 64
        out.append((f"pictures, {road}", "fewer or smaller", found, met))
        out.append((f"values missing, {road}", "0", f"{r['gaps']} of {r['values']}", not r["gaps"]))
    if r := results.get("cut"):
        what = f"cut of {r['seconds']:.0f} s"
        met = r["stored"] == r["different"] == r["logged"] and r["ordered"]
        found = f"{r['stored']} of {r['logged']} logged, {r['stored'] - r['different']} twice"
        out.append((f"{what}: values at the server", "all, in order, once", found, met))
        late = f"{r['back']:.1f} s after the cut, for {r['logged'] - r['at_cut']} of them"
        out.append((f"{what}: all there", "", late, None))
        found = (
            f"{r['notebook']} of {r['notebook_due']} since it looked, {r['notebook_doubles']} twice"
        )
        met = r["notebook"] == r["notebook_due"] and not r["notebook_doubles"]
        out.append((f"{what}: values at the notebook", "all, once", found, met))
        seen = "not" if r["noticed"] is None else f"{r['noticed']:.1f} s"
        met = r["noticed"] is not None and r["noticed"] <= 10
        out.append((f"{what}: noticed by the notebook", "≤ 10 s", seen, met))
    if r := results.get("crowd"):
        what = f"{r['viewers']} viewers and {r['trainers']} trainers of {r['rate']} steps/s"
        found = f"{_ms(r['call'])} of {r['calls']}, {r['failed']} failed"
        met = r["call"]["p99"] <= 50 and not r["failed"]
        out.append((f"a call beside {what}", "≤ 50 ms", found, met))
        met = r["reached"] == r["viewers"]
        out.append((f"viewers reached, {what}", "all", f"{r['reached']}", met))
        found = f"{r['lag_p50']:.0f} / {r['lag_p99']:.0f} ms (p50 / p99), {r['values_per_s']:.0f} values/s"
        out.append((f"log → viewers, {what}", "", found, None))
    return out


def markdown(results: dict[str, Any]) -> str:
    """The whole report."""
    m = results["machine"]
    head = (
        f"{m['machine']}; Python {m['python']}; {m['date']}, commit {m['commit'] or '?'}. "
        f"Load before it began: {m['load']}, after it: {results['load_after']}; all processes share these cores."
    )
    lines = [head, ""]
    if results["quick"]:
        lines.insert(0, "**Quick: only shows that it runs; no figure means anything.**\n")
    lines += ["| what (times: p50 / p99 / max) | target | measured | |", "|---|---|---|---|"]
    for what, target, found, met in rows(results):
        mark = "" if met is None or results["quick"] else "met" if met else "**missed**"
        lines.append(f"| {what} | {target} | {found} | {mark} |")
    return "\n".join(lines)


def missed(results: dict[str, Any]) -> list[str]:
    """What was promised and is not so."""
    return [what for what, _, _, met in rows(results) if met is False]


def write(path: Path, text: str) -> None:
    """Put the figures between the marks; raises SystemExit where these are gone."""
    whole = path.read_text() if path.exists() else NEW
    head, begin, rest = whole.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{path} has lost its marks {BEGIN!r} … {END!r}; put them back first.")
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")
