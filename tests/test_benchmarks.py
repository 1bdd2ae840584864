"""The benchmark against the peers runs where none is installed, and keeps what a person wrote beside its figures."""

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
