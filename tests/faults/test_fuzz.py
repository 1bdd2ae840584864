"""The fuzzer's short run, its long one, and everything that it ever found."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("nbmonitor_fuzz", HERE / "fuzz.py")
fuzz = importlib.util.module_from_spec(_spec)
sys.modules["nbmonitor_fuzz"] = fuzz
_spec.loader.exec_module(fuzz)

SEED = os.environ.get("FUZZ_SEED")  # that of a failure, to see it again


@pytest.fixture
def scene():
    made = fuzz.Scene()
    yield made
    made.close()


def test_what_is_valid_is_taken(scene):
    """Else the fuzzer would look at refusals alone."""
    for target, requests in fuzz.valid().items():
        for each in [requests] if "StreamMetrics" in target else [[r] for r in requests]:
            status = fuzz.attempt(scene, target, each)
            known = (None, fuzz.grpc.StatusCode.NOT_FOUND, fuzz.grpc.StatusCode.UNIMPLEMENTED)
            assert status in known, (target, status)
    scene.tell()
    assert {i.name for i in scene.broker.runs()} >= {"new", "s"}


def test_every_rpc_and_every_reader_is_fuzzed(scene):
    assert set(scene.handlers) <= set(fuzz.valid())
    for room in (fuzz.trainer, fuzz.viewer, fuzz.audits):
        name = room.__name__.rpartition(".")[2]
        readers = {f"{name}.{n}" for n in vars(room) if n.startswith("read_")}
        assert readers - {"viewer.read_params"} <= set(fuzz.valid())


@pytest.mark.parametrize("path", sorted(fuzz.CRASHERS.glob("*.crash")), ids=lambda path: path.stem)
def test_what_was_found_once(scene, path):
    target, requests = fuzz.unkept(path.read_bytes())
    fuzz.attempt(scene, target, requests)
    scene.tell()


def test_a_crash_is_told_with_its_seed_and_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(fuzz.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(fuzz, "read", lambda name, data: 1 / 0)
    with pytest.raises(fuzz.Crash, match=r"seed 7, input \d+, target .*\n.*crashers") as caught:
        fuzz.search(5, seed=7)
    (kept,) = tmp_path.glob("*.crash")
    assert str(kept) in str(caught.value)
    target, requests = fuzz.unkept(kept.read_bytes())
    assert target in fuzz.valid()
    assert fuzz.kept(target, requests) == kept.read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_twenty_seconds(record_property):
    found = fuzz.search(20, SEED and int(SEED))
    record_property("inputs", found.inputs)
    assert found.inputs > 500
    assert len(found.by_target) == len(fuzz.valid())


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_ten_minutes():
    found = fuzz.search(600, SEED and int(SEED))
    print(f"seed {found.seed}: {found.inputs} inputs, {found.grown >> 20} MiB more")
    assert found.inputs > 50_000
