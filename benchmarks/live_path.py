"""The live path, measured in a real JupyterLab: log → pixel and button → applied, with a busy foreground cell.

    python benchmarks/live_path.py [--seconds 6] [--clicks 20] [--only torch-32] [--json FILE]

Browser, server and kernel share this machine's cores. "sent" are image frames that left the kernel, "painted" those
that a canvas showed; log → pixel is from the clock of the `log_batch` call to the end of the paint; button → applied
from the click in the page to the receipt's clock in the trainer, the step in progress included (its length stands
beside it).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
from harness import Jupyter

SETUP = """
%load_ext nbmonitor
import itertools, json, threading, time
import nbmonitor, numpy as np, torch
from torch import nn
import nbmonitor.process
from nbmonitor.notebook.dashboard import Dashboard
torch.set_num_threads(1)
torch.manual_seed(0)
SIZE = {size}
names = "airplane automobile bird cat deer dog frog horse ship truck".split()
run = nbmonitor.init("live-path", class_names=names)
def pictures():  # soft shapes under a little noise: they compress as photographs do
    soft = nn.functional.interpolate(torch.rand(32, 3, 6, 6), (SIZE, SIZE), mode="bicubic")
    return (soft + 0.02 * torch.randn(32, 3, SIZE, SIZE)).clamp(0, 1)
batches = [(pictures(), torch.randn(32, 10), torch.randint(0, 10, (32,))) for _ in range(8)]
sent = []
plain_send = Dashboard.send
def counted(self, content, buffers=None):
    if "tiles" in content:
        sent.append((time.time(), sum(len(b) for b in buffers or ())))
    return plain_send(self, content, buffers)
Dashboard.send = counted
def say(i):
    x, logits, y = batches[i % 8]
    run.log(loss=1.0 / (1 + i))
    run.log_batch(x, logits=logits, targets=y)
def report():
    records = [
        [str(r.command.kind), r.command.asked_at, r.resolved_at]
        for r in nbmonitor.process.process.broker.commands(run.run_id)
    ]
    steps, _ = run.history("loss")
    print("REPORT" + json.dumps({{"sent": sent, "records": records, "steps": len(steps), "overhead": overhead()}}))
def overhead():
    p = [e.payload for e in nbmonitor.process.process.broker.latest(run.run_id) if hasattr(e.payload, "overhead")]
    return [p[0].overhead, p[0].median_step, p[0].worker_cpu, p[0].limits] if p else [None, None, None, ""]
"""

FOREGROUND = {
    "idle": """
def feed():
    for i in run.track(itertools.count()):
        say(i)
        time.sleep(1 / 250)
    run.finish()  # no cell is there whose end would tell
threading.Thread(target=feed, daemon=True).start()
""",
    "python": """
for i in run.track(itertools.count()):
    sum(j * j for j in range(60_000))
    say(i)
""",
    "torch": """
model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
                      nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, 10))
opt = torch.optim.SGD(model.parameters(), lr=0.01)
x, y = torch.rand(32, 3, 32, 32), torch.randint(0, 10, (32,))
for i in run.track(itertools.count()):
    opt.zero_grad(); nn.functional.cross_entropy(model(x), y).backward(); opt.step()
    say(i)
""",
}

# Steps with, with a no-op in place of, and without logging, in turn, while the panel shows it all.
LOOP = """
import psutil, os
model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
                      nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, 10))
opt = torch.optim.SGD(model.parameters(), lr=0.01)
x, y = torch.rand(32, 3, 32, 32), torch.randint(0, 10, (32,))
def ours():
    names = {t.native_id for t in threading.enumerate() if t.name.startswith("nbmonitor")}
    return sum(t.user_time + t.system_time for t in psutil.Process().threads() if t.id in names)
def block(kind, steps):
    times = []
    for i in run.track(range(steps)) if kind != "none" else range(steps):
        began = time.perf_counter()
        opt.zero_grad(); nn.functional.cross_entropy(model(x), y).backward(); opt.step()
        if kind == "scalars":
            run.log(loss=0.5, accuracy=0.5, lr=0.1)
        elif kind == "images":
            say(i)
        times.append(time.perf_counter() - began)
    return float(np.median(times)), sum(times)
block("images", 50)
rows, cpu, shares = [], [], {}
for turn in range(TURNS):
    order = ["none", "scalars", "images", "none2"]
    row = {}
    for kind in order if turn % 2 == 0 else reversed(order):
        before, wall = ours(), time.perf_counter()
        row[kind] = block(kind.rstrip("2"), 60)[1]
        if kind == "images":
            cpu.append((ours() - before) / (time.perf_counter() - wall))
        if kind in ("scalars", "images"):
            time.sleep(0.15)
            shares.setdefault(kind, []).append(overhead()[0])
    rows.append(row)
print("REPORT" + json.dumps({"rows": rows, "cpu": cpu, "shares": shares}))
"""

WATCH = """() => {
    window.benchPainted = [];
    const root = [...document.querySelectorAll('.nbm')].at(-1);
    root.addEventListener('nbm-painted', event => {
        const now = (performance.timeOrigin + performance.now()) / 1000;
        window.benchPainted.push([now, now - event.detail.time, event.detail.n]);
    });
}"""

CLICK = """action => {
    const button = document.querySelector(`.nbm [data-action=${action}]`);
    const now = (performance.timeOrigin + performance.now()) / 1000;
    button.click();
    return now;
}"""


def percentiles(values):
    return (
        (float(np.percentile(values, 50)), float(np.percentile(values, 99)))
        if len(values)
        else (np.nan, np.nan)
    )


def read_report(tab, cell):
    found = tab.wait_text(cell, r"REPORT(\{.*\})", timeout=120)
    return json.loads(found[1])


def measure(lab, kind, size, seconds, clicks):
    """One row of the table."""
    cells = [SETUP.format(size=size), "%nbmonitor", FOREGROUND[kind], "report()"]
    with lab.open(cells) as tab:
        tab.run_cell(0)
        tab.run_cell(1)
        tab.run_cell(2, wait=False)
        tab.scroll_to(1)
        tab.wait_number(".nbm", "painted", 30, timeout=60)
        tab.page.wait_for_timeout(2000)  # the rate settles
        tab.page.evaluate(WATCH)
        began = tab.page.evaluate("() => Date.now() / 1000")
        tab.page.wait_for_timeout(seconds * 1e3)
        painted = [
            p for p in tab.page.evaluate("() => window.benchPainted") if p[0] <= began + seconds
        ]
        asked = []
        for k in range(2 * clicks):
            action, state = ("pause", "paused") if k % 2 == 0 else ("resume", "running")
            tab.page.wait_for_selector(f".nbm [data-action={action}]")
            asked.append(tab.page.evaluate(CLICK, action))
            tab.wait_data(".nbm", "state", state)
            tab.page.wait_for_timeout(100)
        for action in ("stop", "stop-yes"):
            tab.page.evaluate(CLICK, action)
            tab.page.wait_for_timeout(150)
        tab.wait_data(".nbm", "state", "stopped")
        tab.run_cell(3)
        report = read_report(tab, 3)
    inside = [s for s in report["sent"] if began <= s[0] < began + seconds]
    applied = [r[2] for r in report["records"] if r[0] in ("pause", "resume")]
    waits = [1e3 * (done - click) for click, done in zip(asked, applied, strict=True)]
    latency = [1e3 * p[1] for p in painted]
    return {
        "foreground": kind,
        "tile": size,
        "sent_per_s": len(inside) / seconds,
        "painted_per_s": len(painted) / seconds,
        "kb_per_frame": float(np.mean([s[1] for s in inside])) / 1e3 if inside else 0.0,
        "log_to_pixel_ms": percentiles(latency),
        "button_to_applied_ms": percentiles(waits),
        "step_ms": 1e3 * (report["overhead"][1] or np.nan),
        "overhead": report["overhead"][0],
        "worker_cpu": report["overhead"][2],
        "limits": report["overhead"][3],
    }


def feel(lab, turns):
    """What training feels of an open dashboard."""
    with lab.open([SETUP.format(size=32), "%nbmonitor", LOOP.replace("TURNS", str(turns))]) as tab:
        tab.run_cell(0)
        tab.run_cell(1)
        tab.scroll_to(1)
        tab.run_cell(2, wait=False)
        tab.scroll_to(1)
        report = read_report(tab, 2)
    rows = report["rows"]
    base = [(r["none"] + r["none2"]) / 2 for r in rows]
    out = {"cpu": report["cpu"], "shares": report["shares"]}
    out["noise"] = [100 * (r["none2"] / r["none"] - 1) for r in rows]
    for kind in ("scalars", "images"):
        out[kind] = [100 * (r[kind] / b - 1) for r, b in zip(rows, base, strict=True)]
    return out


MILLION = """
import numpy as np
from nbmonitor.events import Column, Event, Scalars
broker = nbmonitor.process.process.broker
n = 1_000_000
values = np.cumsum(np.random.default_rng(0).normal(size=n))
column = Column("loss", np.arange(n), values, 1.7e9 + np.arange(n) / 100)
broker.publish([Event(run.run_id, n - 1, time.time(), Scalars((column,)))])
times = []
for _ in range(20):
    began = time.perf_counter()
    broker.window(run.run_id, "loss", max_points=2000)
    times.append(time.perf_counter() - began)
print("REPORT" + json.dumps({"window_ms": 1e3 * float(np.median(times))}))
"""

DRAWN = """axis => new Promise(done => {
    const chart = document.querySelector('.nbm .nbm-chart[data-chart=loss]');
    const began = performance.now();
    const before = chart.dataset.drawn;
    const watch = new MutationObserver(() => {
        if (chart.dataset.drawn !== before) { watch.disconnect(); done(performance.now() - began); }
    });
    watch.observe(chart, {attributes: true});
    const buttons = [...document.querySelectorAll('.nbm button')];
    buttons.find(b => b.textContent.trim().toLowerCase() === axis).click();
})"""


def million(lab):
    """One million points: the kernel's part, and an axis change until it is drawn."""
    with lab.open([SETUP.format(size=32), "%nbmonitor", MILLION]) as tab:
        tab.run_cell(0)
        tab.run_cell(1)
        tab.run_cell(2)
        tab.scroll_to(1)
        chart = ".nbm .nbm-chart[data-chart=loss]"
        tab.wait_number(chart, "points", 500)
        waits = []
        for k in range(10):
            tab.page.wait_for_timeout(400)
            waits.append(tab.page.evaluate(DRAWN, "time" if k % 2 == 0 else "step"))
        points = float(tab.data(chart)["points"])
        return {"points": points, "window_ms": read_report(tab, 2)["window_ms"], "axis_ms": waits}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--clicks", type=int, default=20, help="pause/resume pairs a row")
    parser.add_argument(
        "--turns", type=int, default=10, help="blocks of each kind for what training feels"
    )
    parser.add_argument("--only", help="rows such as torch-32, or 'feel', or 'million'")
    parser.add_argument("--json", type=Path)
    a = parser.parse_args()
    results = {"rows": []}
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n"
    )
    with Jupyter("lab") as lab:
        print(
            "| foreground | tile px | KB/frame | sent/s | painted/s | log → pixel p50 / p99 ms "
            "| button → applied p50 / p99 ms | step ms | felt % | our threads % of a core | held back |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|---|")
        for size in (32, 224):
            for kind in FOREGROUND:
                if a.only and a.only != f"{kind}-{size}":
                    continue
                r = measure(lab, kind, size, a.seconds, a.clicks)
                results["rows"].append(r)
                pixel, button = r["log_to_pixel_ms"], r["button_to_applied_ms"]
                print(
                    f"| {kind} | {size} | {r['kb_per_frame']:.1f} | {r['sent_per_s']:.1f} | {r['painted_per_s']:.1f} "
                    f"| {pixel[0]:.1f} / {pixel[1]:.1f} | {button[0]:.1f} / {button[1]:.1f} | {r['step_ms']:.1f} "
                    f"| {100 * (r['overhead'] or 0):.2f} | {100 * (r['worker_cpu'] or 0):.0f} | {r['limits']} |",
                    flush=True,
                )
        if not a.only or a.only == "million":
            m = results["million"] = million(lab)
            p50, p99 = percentiles(m["axis_ms"])
            print(
                f"\n1 M points: {m['points']:.0f} drawn; decimated in {m['window_ms']:.2f} ms; "
                f"click on another axis → drawn {p50:.0f} / {p99:.0f} ms (p50 / max of 10)"
            )
        if not a.only or a.only == "feel":
            f = results["feel"] = feel(lab, a.turns)
            print(
                "\nWhat training feels of an open dashboard (torch step, 32 px tiles, panel in view):"
            )
            for kind in ("scalars", "images"):
                share = [s for s in f["shares"][kind] if s is not None]
                print(
                    f"  time inside our calls ÷ step, {kind}: {100 * float(np.median(share)):.2f} %"
                )
            print(
                f"  CPU of our threads with images: {100 * float(np.median(f['cpu'])):.1f} % of one core"
            )
            for kind in ("noise", "scalars", "images"):
                q = np.percentile(f[kind], [25, 50, 75])
                what = (
                    "no logging against no logging"
                    if kind == "noise"
                    else f"loop with {kind} against none"
                )
                print(f"  {what}: {q[1]:+.1f} % (quartiles {q[0]:+.1f} … {q[2]:+.1f})")
    if a.json:
        a.json.write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
