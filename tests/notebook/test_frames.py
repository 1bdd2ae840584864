"""Golden frames: what the kernel writes, to the byte; the page's tests read the same files.

`NBMONITOR_GOLDEN=write` writes them anew after a change that is meant (a change of docs/frames.md).
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nbmonitor.events import (
    Batch,
    Command,
    CommandKind,
    CommandRecord,
    CommandState,
    Epoch,
    Event,
    Gap,
    LinkState,
    LogLine,
    Mosaic,
    Performance,
    Picture,
    RunInfo,
    RunState,
    Status,
)
from nbmonitor.interfaces import SeriesInfo, Window
from nbmonitor.notebook.frames import (
    Frame,
    mark_views,
    perf_view,
    run_ref,
    run_view,
    series_view,
    tiles_view,
    wrong_tiles,
)
from nbmonitor.notebook.link import Link
from nbmonitor.notebook.plain import duration, figure, num, plain, text
from nbmonitor.notebook.words import Chronicle

GOLDEN = Path(__file__).parent.parent / "golden"
T = 1_700_000_000.0
ORIGIN = "655cc300a1b2c3d4e5f6"

INFO = RunInfo(
    "655cc300aabbccddeeff",
    "digits-cnn",
    RunState.RUNNING,
    started_at=T,
    config={"optimizer/lr": "0.008", "<b>": "&amp;"},
    class_names=tuple("0123456789"),
    model="Small CNN",
    dataset="digits, 32 by 32",
    notes="a note",
    controls={
        "pause": {},
        "stop": {},
        "learning_rate": {"value": 0.008, "scheduled": True},
        "batch_size": {"value": 32, "max": 1437},
        "knob": {"value": float("nan"), "label": "temperature"},
    },
    total_epochs=10,
    batches_per_epoch=450,
    step=2104,
    link_rtt=0.003,
    last_seen=T + 200,
    dropped=2,
    lost=1,
)
PERF = Event(
    INFO.run_id,
    2104,
    T + 200,
    Performance(
        epoch=5,
        epochs=10,
        batch=187,
        batches=450,
        progress=0.4416,
        eta=161.0,
        fps=58.9,
        fps_average=57.2,
        samples_per_second=942.4,
        median_step=0.0125,
        overhead=0.004,
        delay=0.001,
        worker_cpu=0.06,
        limits="pictures thinned to 12/s",
    ),
    seq=900,
)
BATCH = Batch(
    4,
    32,
    epoch=5,
    batch=187,
    mosaic=Mosaic(b"\xff\xd8mosaic\xff\xd9", 2, 2, 32, 32),
    predicted=(3, 4, 3, None),
    confidence=(0.91, 0.92, float("nan")),
    truth=(3, 4, 8, 1),
    right=30,
    counted=32,
    loss=0.0873,
)
COMMAND = Command(
    INFO.run_id,
    CommandKind.SET_LEARNING_RATE,
    {"value": 0.1, "mode": "scale"},
    "c-rate",
    asked_at=T + 100,
)


def happened(payload, seq, step, at):
    return Event(INFO.run_id, step, T + at, payload, seq=seq)


def record(key, kind, state, *, at, step=None, params=None, took=0.009, **facts):
    command = Command(INFO.run_id, kind, params or {}, key, asked_at=T + at - took)
    return CommandRecord(command, state, step, resolved_at=T + at, **facts)


def story():
    chronicle = Chronicle()
    applied, rejected = CommandState.APPLIED, CommandState.REJECTED
    rate, size = CommandKind.SET_LEARNING_RATE, CommandKind.SET_BATCH_SIZE
    for event in (
        happened(Status(RunState.INITIALIZING), 1, 0, 0),
        happened(Status(RunState.RUNNING), 2, 0, 1),
        happened(Epoch(4, {"average_loss": 0.1312, "average_accuracy": 0.959, "val_loss": 0.142}), 3, 1800, 10),
        happened(record("c-size", size, rejected, at=20, params={"value": 0}, error="must be 1 to 4,096"), 4, 1900, 20),
        happened(record("c-pause", CommandKind.PAUSE, applied, at=30, step=2090, took=0.014), 5, 2090, 30),
        happened(Status(RunState.PAUSED), 6, 2090, 30),
        happened(record("c-resume", CommandKind.RESUME, applied, at=51, step=2090), 7, 2090, 51),
        happened(Status(RunState.RUNNING), 8, 2090, 51),
        happened(
            record(
                "c-rate",
                rate,
                applied,
                at=60,
                step=2104,
                params={"value": 0.0008, "mode": "set"},
                before={"learning rate": "0.008"},
                after={"learning rate": "0.0008"},
            ),
            9,
            2104,
            60,
        ),
        happened(LogLine("saw a <script>\nand \x1b[31mred", "warning"), 10, 2110, 61),
        happened(LogLine("loss is NaN", "alert"), 11, 2110, 62),
        happened(Gap("the buffer was full", 12), 12, 2120, 63),
        happened(record("c-late", rate, CommandState.UNCONFIRMED, at=90, params={"value": 0.1, "mode": "scale"}, error="the trainer did not answer"), 13, 2200, 90),
        happened(CommandRecord(Command(INFO.run_id, CommandKind.STOP, {}, "c-stop", asked_at=T + 99), CommandState.DELIVERED), 14, 2300, 99),
    ):  # fmt: skip
        chronicle.take(event)
    return chronicle


def key_frame():
    frame = Frame()
    epochs = np.array([0.0, 1.0, 2.0, 4.675])
    curve = Window(
        np.array([0.0, 1.0, 2**24 + 1.0]), np.float32([2.3, np.nan, np.inf]), 5, exact=False
    )
    frame.header["runs"] = [
        run_ref(INFO),
        run_ref(replace(INFO, run_id="older", name="a <i>name</i>", state=RunState.LOST)),
    ]
    frame.header["run"] = run_view(INFO)
    frame.header["perf"] = perf_view(INFO, PERF, T + 200)
    frame.header["link"] = Link().view(INFO, "", LinkState.CONNECTED, T + 201, dropped=5)
    frame.header["series"] = [
        series_view(frame, SeriesInfo("loss", "step", 5, 2**24 + 1, float("inf")), curve),
        series_view(frame, SeriesInfo("val_loss", "epoch", 4, 4, 0.142), Window(epochs, np.float32([2, 1, 0.5, 0.142]), 4, exact=True), axis="epoch"),
        series_view(frame, SeriesInfo("system/cpu", "step", 9, 2104, 63.0)),
    ]  # fmt: skip
    chronicle = story()
    frame.header["marks"] = mark_views(
        chronicle.marks.values(), lambda steps: [s / 450 for s in steps]
    )
    frame.header["events"] = list(chronicle.lines.values())
    tiles = Event(INFO.run_id, 2104, T + 199.5, BATCH, seq=899)
    frame.header["tiles"] = tiles_view(frame, tiles, BATCH)
    frame.header["wrong"] = {
        "tiles": [{"tiles": frame.header["tiles"], "index": i} for i in wrong_tiles(BATCH)]
    }
    frame.stamp(1, T + 200.25, ORIGIN, age=0.8, key=True)
    return frame


def usual_frame():
    frame = Frame()
    info = replace(
        INFO,
        state=RunState.PAUSED,
        link=LinkState.STALE,
        origin="process",
        link_rtt=None,
        last_seen=T + 190,
        wheel="ada",
        wheel_since=T + 150,
        wheel_locked=True,
        state_version=4,
    )
    frame.header["run"] = run_view(info)
    frame.header["link"] = Link().view(info, "", LinkState.CONNECTED, T + 207)
    batch = Batch(
        3,
        3,
        split="val",
        pictures=(Picture(b"\xff\xd8one"), None, Picture(b"\xff\xd8three")),
        predicted=(1, 2),
        labels=("cat", None, "<dog>"),
    )
    frame.header["tiles"] = tiles_view(
        frame, Event(INFO.run_id, 2105, T + 206, batch, seq=950), batch
    )
    frame.stamp(2, T + 207.5, ORIGIN, age=1.5)
    return frame


def zoom_frame():
    frame = Frame()
    x = np.linspace(100, 200, 5)
    view = series_view(
        frame,
        SeriesInfo("loss", "step", 100_000, 100_000, 0.01),
        Window(x, np.float32(x / 100), 100_000, exact=True),
        span=(110.0, 190.5),
    )
    frame.header["series"] = [view]
    frame.stamp(3, T + 208.0, ORIGIN, to="5f0e9c1a-page")
    return frame


def empty_frame():
    frame = Frame()
    frame.header |= {
        "runs": [],
        "run": None,
        "link": Link().view(None, "gpu-box:5000", LinkState.DISCONNECTED, T),
    }
    frame.header |= {"series": [], "marks": [], "events": [], "wrong": {"tiles": []}}
    frame.stamp(4, T, "655cc300ffffffffffff", key=True)
    return frame


@pytest.mark.parametrize("make", [key_frame, usual_frame, zoom_frame, empty_frame])
def test_golden(make):
    frame = make()
    path = GOLDEN / f"{make.__name__}.json"
    golden = {
        "header": frame.header,
        "buffers": [base64.b64encode(b).decode() for b in frame.buffers],
    }
    written = json.dumps(golden, indent=1, allow_nan=False, ensure_ascii=True) + "\n"
    if os.environ.get("NBMONITOR_GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(written, encoding="utf-8")
    assert json.loads(written) == json.loads(path.read_text(encoding="utf-8"))


def test_the_words_are_those_of_the_picture():
    lines = [
        " ".join(v for v in (e["text"], e.get("before"), e.get("after") and f"→ {e['after']}", e.get("tail")) if v)
        + (f" | {e['who']}" if "who" in e else "")
        for e in story().lines.values()
    ]  # fmt: skip
    assert lines == [
        "Started",
        "Epoch 4: loss 0.131, accuracy 95.9 %, validation loss 0.142",
        "Batch size 0 refused: must be 1 to 4,096 | you",
        "Paused at step 2,090 | you · 14 ms",
        "Resumed after 21 s at step 2,090 | you",
        "Learning rate 0.008 → 0.0008 at step 2,104 | you · 9 ms",
        "saw a <script> and \ufffd[31mred",
        "loss is NaN",
        "12 values are missing at step 2,120 the buffer was full",
        "Learning rate \u00d7 0.1 unconfirmed: the trainer did not answer | you",
        "Stop asked, applied at the next step | you",
    ]
    marks = [(m["step"], m["label"], m["kind"]) for m in story().marks.values()]
    assert marks == [
        (2090, "paused 21 s", "command"),
        (2104, "learning rate 0.008 → 0.0008", "command"),
        (2120, "gap: the buffer was full", "gap"),
    ]


def test_receipts_in_plain_words_and_whole():
    chronicle = Chronicle()
    applied = CommandState.APPLIED
    note = (
        "64 from the next epoch; len(loader) and step-count schedules keep counting with 32 a batch"
    )
    size = record(
        "c-1",
        CommandKind.SET_BATCH_SIZE,
        applied,
        at=1,
        step=70,
        before={"batch size": "32"},
        after={"batch size": note},
    )
    stop = record(
        "c-2",
        CommandKind.STOP,
        applied,
        at=2,
        step=70,
        before={"state": "running"},
        after={"state": "stopping"},
    )
    lines = [chronicle.take(happened(size, 1, 70, 1)), chronicle.take(happened(stop, 2, 70, 2))]
    assert [line["text"] for line in lines] == ["Batch size", "Stopping"]
    assert (lines[0]["before"], lines[0]["after"]) == ("32", note)
    assert lines[1]["tail"] == "at step 70"
    assert "after" not in lines[1]
    assert [m["label"] for m in chronicle.marks.values()] == ["batch size 32 → 64", "stop"]


def test_what_is_done_with_the_wheel_is_a_line_and_no_marker():
    chronicle = Chronicle()
    wheel, applied = CommandKind.WHEEL, CommandState.APPLIED
    told = [
        record("c-1", wheel, applied, at=1, step=70, params={"mode": "take"}, after={"wheel": "you"}),
        record("c-2", wheel, applied, at=2, step=70, params={"mode": "give", "to": "ada"}, after={"wheel": "ada"}),
        record("c-3", wheel, CommandState.REJECTED, at=3, params={"mode": "release"}, error="ada has the wheel"),
    ]  # fmt: skip
    lines = [chronicle.take(happened(one, seq, 70, seq)) for seq, one in enumerate(told, 1)]
    assert [(line["text"], line.get("tail")) for line in lines] == [
        ("Took the wheel", None),
        ("Handed the wheel over to ada", None),
        ("Let go of the wheel", "refused: ada has the wheel"),
    ]
    assert not chronicle.marks


def test_a_test_set_is_not_called_validation():
    line = Chronicle().take(
        happened(
            Epoch(1, {"loss": 1.0, "test_accuracy": 0.5, "eval/f1": 0.5, "val_loss": 2.0}), 1, 9, 1
        )
    )
    assert line["text"] == "Epoch 1: loss 1, test accuracy 50.0 %, eval f1 0.5, validation loss 2"


def test_a_story_told_twice_is_the_same_story():
    chronicle = story()
    before = json.dumps([list(chronicle.lines.values()), list(chronicle.marks.values())])
    assert chronicle.take(happened(Epoch(4, {"average_loss": 9}), 3, 1800, 10)) is None
    late = record("c-pause", CommandKind.PAUSE, CommandState.DELIVERED, at=99)
    assert chronicle.take(happened(late, 99, 2090, 99)) is None
    assert json.dumps([list(chronicle.lines.values()), list(chronicle.marks.values())]) == before


def test_a_story_keeps_its_length():
    chronicle = Chronicle()
    for seq in range(1, 1000):
        chronicle.take(happened(Gap("full", 1), seq, seq, seq))
    assert len(chronicle.lines) == 200
    assert len(chronicle.marks) == 100
    assert next(reversed(chronicle.lines)) == "e999"


@pytest.mark.parametrize(
    ("states", "texts"),
    [
        (["running", "lost", "running"], ["Started", "Lost", "Back"]),
        (["running", "running", "completed"], ["Started", "Completed"]),
        (
            ["running", "interrupted", "running", "completed"],
            ["Started", "Interrupted", "Taken up again", "Completed"],
        ),
        (
            ["initializing", "running", "paused", "running", "stopping", "stopped"],
            ["Started", "Stopped"],
        ),
    ],
)
def test_states_in_words(states, texts):
    chronicle = Chronicle()
    for seq, state in enumerate(states, 1):
        chronicle.take(happened(Status(RunState(state)), seq, 7, seq))
    assert [line["text"] for line in chronicle.lines.values()] == texts


def test_silence_is_said_when_it_is_longer_than_it_should_be():
    def silent(**facts):
        return perf_view(replace(INFO, **facts), PERF, T + 230)["silent"]

    assert silent(boundary_age=4.5) == 34
    assert silent(boundary_age=None) is None
    assert silent(boundary_age=4.5, state=RunState.PAUSED) is None
    assert silent(boundary_age=4.5, last_seen=T + 229) is None
    slow = replace(PERF, payload=replace(PERF.payload, median_step=5.0))
    assert perf_view(replace(INFO, boundary_age=4.5), slow, T + 230)["silent"] is None


def test_arrays_have_one_entry_a_tile_whatever_came():
    frame = Frame()
    batch = Batch(
        40, 64, predicted=tuple(range(40)), truth=(0,) * 40, confidence=(), pictures=(None,) * 40
    )
    view = tiles_view(frame, happened(batch, 1, 1, 1), batch)
    assert (view["count"], view["elided"]) == (16, 48)
    assert {len(view[k]) for k in ("predicted", "truth", "confidence", "images")} == {16}
    assert wrong_tiles(batch) == list(range(1, 16))
    empty = tiles_view(frame, happened(Batch(0, 0), 2, 1, 1), Batch(0, 0))
    assert (empty["count"], empty["predicted"], "mosaic" in empty) == (0, [], False)


def test_facts_of_controls_that_a_client_got_wrong_are_shown_as_far_as_they_go():
    odd = {
        "learning_rate": {"value": "fast"},
        "batch_size": {"value": None, "max": "many"},
        "stop": {"x": object},
    }
    controls = run_view(replace(INFO, controls=odd))["controls"]
    assert controls == {
        "learning_rate": {"value": "NaN", "scheduled": False},
        "batch_size": {"value": 0, "max": None},
        "stop": True,
    }


def test_plain_values():
    assert [num(v) for v in (1, 2.0, 0.1, float("nan"), float("inf"), -float("inf"), 1e300)] == [
        1, 2, 0.1, "NaN", "Infinity", "-Infinity", 1e300,
    ]  # fmt: skip
    assert text("a\nb\x00c\ud83d\u202e") == "a b\ufffdc\ufffd\ufffd"
    assert text("x" * 400) == "x" * 299 + "…"
    assert text(None) == "None"
    assert [duration(s) for s in (0.4, 21.2, 161, 3791)] == ["0 s", "21 s", "2 m 41 s", "1 h 3 m"]
    assert [figure("loss", 0.1312), figure("accuracy", 0.959), figure("acc", 95.9), figure("tokens", 12345.6)] == [
        "0.131", "95.9 %", "95.9", "12,346",
    ]  # fmt: skip
    assert figure("loss", float("nan")) == "NaN"
    deep = plain({"a": [float("nan"), {"b": {"c": {"d": 1}}}], 3: object})
    assert json.loads(json.dumps(deep, allow_nan=False))["a"] == ["NaN", {"b": {"c": None}}]
