"""The benchmarks run where no peer is installed, and keep what a person wrote beside their figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from overhead import report

    return report


@pytest.mark.slow
def test_a_peer_that_is_not_installed_is_a_row_that_says_so(tmp_path):
    out = tmp_path / "out.json"
    command = [sys.executable, BENCHMARKS / "overhead.py", "--quick", "--cases", "3 floats"]
    done = subprocess.run(
        [*command, "--only", "noop,nbmonitor,wandb", "--json", out],
        env=os.environ | {"NBMONITOR_PEERS": str(tmp_path / "nothing")},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    subjects = json.loads(out.read_text())["subjects"]
    assert [name for name, _ in subjects] == ["noop", "nbmonitor", "wandb", "nbmonitor"]
    assert subjects[2][1] == {"absent": "not installed"}
    assert "| wandb | not installed |" in done.stdout
    idle, ours = (subjects[i][1]["cases"]["3 floats"] for i in (0, 1))
    assert 0 < idle["burst"]["p50"] < ours["burst"]["p50"]
    assert ours["between"]["floor"] > 0
    assert "**missed**" not in done.stdout, "a quick run judges nothing"


def test_every_peer_is_pinned_and_has_an_adapter(report):
    from overhead import environments

    peers = environments.peers()
    assert {p.name for p in peers} == {
        *("tensorboard", "wandb", "trackio", "swanlab", "rerun", "livelossplot")
    }
    for peer in peers:
        assert all(r.count("==") == 1 for r in peer.requirements), peer
        assert peer.pinned
        assert (BENCHMARKS / "overhead" / "subjects" / f"{peer.name}.py").exists()


def test_what_a_person_wrote_outlives_the_figures(report, tmp_path):
    path = tmp_path / "RESULTS.md"
    report.write(path, "old figures")
    path.write_text(path.read_text() + "\n### latency: why\n\nIt waits for a tick.\n")
    report.write(path, "new figures")
    text = path.read_text()
    assert "new figures" in text
    assert "old figures" not in text
    assert text.endswith("### latency: why\n\nIt waits for a tick.\n")
    path.write_text("no marks")
    with pytest.raises(SystemExit, match="lost its marks"):
        report.write(path, "newer")
    assert path.read_text() == "no marks"


def test_a_target_is_met_only_if_every_run_meets_it_and_a_missed_one_wants_words(report, tmp_path):
    def ran(p50):
        return "nbmonitor", {"cases": {"3 floats": {"burst": {"p50": p50, "p99": 9, "max": 99}}}}

    found = {t.promise: t for t in report.judge({"subjects": [ran(2.0), ran(3.1)]})}
    assert found["3 floats, p50 ≤ 3 µs"].met is False
    assert found["3 floats, p99 ≤ 30 µs"].met is True
    assert found["3 tensors, p50 ≤ 5 µs"].met is None
    path = tmp_path / "RESULTS.md"
    path.write_text("figures\n\n### tensors: why\n")
    assert report.unexplained(path, list(found.values())) == ["log"]
    path.write_text("figures\n\n### log: why\n")
    assert report.unexplained(path, list(found.values())) == []


@pytest.mark.slow
def test_attaching_is_measured_with_processes_of_its_own():
    command = [sys.executable, BENCHMARKS / "remote.py", "--quick", "--only", "ten,crowd"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert any("values missing" in r and "| 0 of " in r for r in rows), done.stdout
    assert any("4 viewers and 4 trainers" in r and "0 failed" in r for r in rows)
    assert "**missed**" not in done.stdout, "a quick run judges nothing"


def test_a_missed_target_of_attaching_is_told(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from remote import report

    def found(stored, p99):
        call = {"p50": 1.0, "p99": p99, "max": 99.0}
        crowd = {"viewers": 64, "trainers": 32, "rate": 10, "call": call, "calls": 9, "failed": 0}
        crowd |= {"reached": 64, "values_per_s": 1.0, "lag_p50": 1.0, "lag_p99": 1.0}
        cut = {"seconds": 60, "noticed": 9.0, "logged": 10, "at_cut": 5, "stored": stored}
        cut |= {"different": 10, "ordered": True, "back": 1.0}
        cut |= {"notebook": 8, "notebook_due": 8, "notebook_doubles": 0}
        return {"cut": cut, "crowd": crowd}

    assert report.missed(found(10, 49.0)) == []
    assert [m.partition(":")[0] for m in report.missed(found(11, 49.0))] == ["cut of 60 s"]
    (late,) = report.missed(found(10, 51.0))
    assert late.startswith("a call beside 64 viewers")
    path = tmp_path / "RESULTS.md"
    report.write(path, "old")
    path.write_text(path.read_text() + "\nbecause\n")
    report.write(path, "new")
    assert "new" in path.read_text()
    assert "old" not in path.read_text()
    assert path.read_text().endswith("because\n")
