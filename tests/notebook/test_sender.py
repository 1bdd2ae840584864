"""What goes to the browser and when, over a real broker and a clock that is turned by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from showroom import batch

from nbmonitor.events import (
    CommandKind,
    CommandRecord,
    CommandState,
    Heartbeat,
    LogLine,
    Performance,
    RunState,
    Status,
)
from nbmonitor.notebook.flow import START


def test_hello_is_answered_by_a_key_frame(show):
    run = show.start()
    show.log(run, "loss", [3.0, 2.0, float("nan")])
    show.say(run, batch(), step=3)
    assert show.hello() == {"id": "r1", "ok": True}
    show.sender.turn()
    (key,) = show.frames
    head = key.header
    assert (head["key"], head["n"], head["run"]["id"], "to" in head) == (True, 1, run, False)
    assert [r["name"] for r in head["runs"]] == ["digits"]
    (loss,) = head["series"]
    assert (loss["name"], loss["chart"], loss["total"], loss["last"]) == ("loss", "loss", 3, "NaN")
    x, y = key.points(loss)
    np.testing.assert_array_equal(x, [0, 1, 2])
    np.testing.assert_array_equal(y, np.float32([3, 2, np.nan]))
    assert head["tiles"]["mosaic"]["columns"] == 4
    assert key.buffers[head["tiles"]["mosaic"]["buffer"]].startswith(b"\xff\xd8")
    assert [w["index"] for w in head["wrong"]["tiles"]] == [3]
    assert head["events"][-1]["text"] == "Started"


def test_only_what_changed_is_sent_and_a_beat_when_nothing_did(show):
    run = show.start()
    show.hello()
    show.pass_time(1.0)
    show.take()
    for _ in range(5):
        show.broker.heartbeat(Heartbeat(run))
        show.pass_time(1.0)
    kinds = [c.header["k"] for c in show.take()]
    assert set(kinds) == {"beat"}
    assert 4 <= len(kinds) <= 6
    show.log(run, "loss", [1.0])
    show.pass_time(0.5)
    (frame,) = [c for c in show.take() if c.header["k"] == "frame"]
    assert (
        {"series"}
        <= set(frame.header)
        <= {*["k", "v", "n", "t", "origin", "age", "series", "perf"]}
    )


def test_without_a_page_nothing_but_the_beat_is_sent_and_nothing_is_wanted(show):
    run = show.start()
    for i in range(100):
        show.log(run, "loss", [1.0], first=i)
        show.say(run, batch(), i)
        show.pass_time(0.05)
    assert {c.header["k"] for c in show.caught} == {"beat"}
    assert show.broker.demand(run).fps == 0
    show.hello()
    show.pass_time(0.1)
    assert show.broker.demand(run).fps == START
    show.ask("page", "rate", fps=10)
    show.pass_time(0.1)
    assert show.broker.demand(run).fps == 10
    show.ask("page", "visible", visible=False)
    show.pass_time(0.1)
    assert show.broker.demand(run).fps == 1
    show.ask("page", "bye")
    show.pass_time(0.1)
    assert show.broker.demand(run).fps == 0


def test_tiles_are_wanted_as_wide_as_the_widest_page_that_looks_shows_them(show):
    run = show.start()
    show.hello()
    show.pass_time(0.1)
    assert show.broker.demand(run).pixels == 512, (
        "a page that names no size may enlarge to all there is"
    )
    show.ask("page", "rate", fps=60, pixels=192)
    show.hello("other")
    show.ask("other", "rate", fps=60, pixels=256)
    show.pass_time(0.1)
    assert show.broker.demand(run).pixels == 256
    show.ask("other", "bye")
    show.pass_time(0.1)
    assert show.broker.demand(run).pixels == 192


def test_the_newest_run_is_followed_until_a_page_chooses_one(show):
    show.hello()
    show.pass_time(0.1)
    assert show.frames[-1].header["run"] is None
    first = show.start("first", "a")
    show.pass_time(0.2)
    assert show.frames[-1].header["run"]["id"] == first
    second = show.start("second", "b")
    show.pass_time(0.2)
    keys = [f for f in show.frames if f.header.get("key")]
    assert keys[-1].header["run"]["id"] == second
    assert [r["id"] for r in keys[-1].header["runs"]] == ["b", "a"]
    assert keys[-1].header["following"] is True
    show.ask("page", "follow", run=first)
    show.pass_time(0.2)
    show.start("third", "c")
    show.pass_time(1.5)
    keys = [f for f in show.frames if f.header.get("key")]
    assert keys[-1].header["run"]["id"] == first
    assert keys[-1].header["following"] is False
    show.ask("page", "follow", run=None)
    show.pass_time(0.2)
    assert show.frames[-1].header["run"]["id"] == "c"


def test_a_command_reaches_the_run_once_whatever_road_it_takes(show):
    run = show.start()
    show.hello()
    show.pass_time(0.1)
    command = {
        "id": "k1",
        "client": "page",
        "op": "command",
        "run": run,
        "kind": "pause",
        "params": {},
    }
    assert show.sender.post(command, "control") == {"id": "k1", "ok": True}
    assert show.sender.post(command, "comm") == {"id": "k1", "ok": True}
    show.pass_time(0.1)
    assert [(c.kind, c.command_id) for c in show.delivered] == [(CommandKind.PAUSE, "k1")]
    replies = [c.header for c in show.caught if c.header["k"] == "reply"]
    assert replies == [{"k": "reply", "id": "k1", "ok": True}]
    lines = [e for f in show.frames for e in f.header.get("events", []) if e.get("command") == "k1"]
    assert lines[-1]["state"] == "delivered"
    assert lines[-1]["mark"] == "wait"
    applied = CommandRecord(
        show.delivered[0], CommandState.APPLIED, 2090, resolved_at=show.clock.wall()
    )
    show.say(run, applied, 2090)
    show.pass_time(0.1)
    lines = [e for f in show.frames for e in f.header.get("events", []) if e.get("command") == "k1"]
    assert (lines[-1]["text"], lines[-1]["tail"], lines[-1]["mark"]) == (
        "Paused",
        "at step 2,090",
        "ok",
    )
    marks = [m for f in show.frames for m in f.header.get("marks", [])]
    assert (marks[-1]["label"], marks[-1]["step"]) == ("paused", 2090)


def test_a_command_of_a_state_says_which_state_the_person_saw(show):
    run = show.start()
    show.hello()
    show.pass_time(0.1)
    seen = show.frames[-1].header["run"]["version"]
    assert seen == show.broker.run(run).state_version
    show.ask("page", "command", run=run, kind="pause", params={}, version=seen)
    show.ask("page", "command", run=run, kind="set_learning_rate", params={"value": 0.5})
    show.pass_time(0.1)
    assert [c.expected_version for c in show.delivered] == [seen, None]


def test_a_refused_command_leaves_a_line(show):
    run = show.start()
    show.hello()
    show.pass_time(0.1)
    show.ask("page", "command", run=run, kind="set_batch_size", params={"value": 0})
    show.ask("page", "command", run="nobody", kind="pause", params={})
    show.pass_time(0.1)
    lines = {
        e["command"]: e for f in show.frames for e in f.header.get("events", []) if "command" in e
    }
    first, second = lines.values()
    assert (first["text"], first["mark"], first["state"]) == ("Batch size 0", "no", "rejected")
    assert first["tail"].startswith("refused: this run registered no control for batch size")
    assert second["tail"] == "refused: there is no run 'nobody'"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"op": "dance"}, "there is no request 'dance'"),
        ({"op": "command", "kind": "rm", "run": "r"}, "there is no command 'rm'"),
        (
            {
                "op": "command",
                "kind": "set_learning_rate",
                "run": "r",
                "params": {"value": float("nan")},
            },
            "value must be a finite number",
        ),
        (
            {"op": "command", "kind": "wheel", "run": "r", "params": {"mode": "spin"}},
            "mode must be take, give, release, lock or unlock",
        ),
        (
            {"op": "command", "kind": "wheel", "run": "r", "params": {"mode": "give", "to": " "}},
            "giving the wheel needs the name of who gets it",
        ),
        (
            {"op": "command", "kind": "pause", "run": "r", "version": "new"},
            "version must be a finite number",
        ),
        ({"op": "axis", "axis": "z"}, "axis must be step, epoch or time"),
        (
            {"op": "zoom", "chart": "loss", "axis": "step", "lo": 5, "hi": 5},
            "zoom needs lo below hi",
        ),
        ({"op": "want", "want": "loss"}, "want must be a list of names of charts"),
        ({"op": "ack", "n": True}, "n must be a finite number"),
        ({"op": "hello", "client": ""}, "a request needs a client of 1 to 100 characters"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(show, fields, reason):
    reply = show.sender.post({"id": "x", "client": "page", **fields})
    assert reply == {"id": "x", "ok": False, "reason": reason}
    assert show.sender.post("nonsense")["ok"] is False
    assert show.sender.post({"id": ["x"]})["ok"] is False


def test_an_axis_and_charts_come_when_they_are_asked_for(show):
    run = show.start()
    show.log(run, "loss", [1.0, 2.0])
    show.log(run, "grad/norm", [5.0, 6.0])
    show.hello()
    show.pass_time(0.1)
    named = {s["name"]: s for s in show.frames[0].header["series"]}
    assert "x" in named["loss"]
    assert "x" not in named["grad/norm"]
    assert named["grad/norm"]["total"] == 2
    show.take()
    show.ask("page", "want", want=["loss", "grad/norm"])
    show.pass_time(0.2)
    (frame,) = show.frames
    (view,) = frame.header["series"]
    assert view["name"] == "grad/norm"
    np.testing.assert_array_equal(frame.points(view)[1], [5, 6])
    show.take()
    show.ask("page", "axis", axis="time")
    show.pass_time(0.2)
    (frame,) = show.frames
    assert {(s["name"], s["axis"]) for s in frame.header["series"]} == {
        ("loss", "time"),
        ("grad/norm", "time"),
    }
    assert frame.points(frame.header["series"][0])[0][0] == pytest.approx(show.clock.wall(), abs=60)


def test_two_pages_on_two_axes_get_each_curve_twice_and_a_key_frame_of_their_own(show):
    run = show.start()
    show.log(run, "loss", [1.0, 2.0])
    show.hello("one")
    show.pass_time(0.1, acks=("one",))
    show.hello("two", axis="time")
    show.pass_time(0.1, acks=("one", "two"))
    key = show.frames[-1].header
    assert (key["to"], key["key"]) == ("two", True)
    show.take()
    show.log(run, "loss", [3.0], first=2)
    show.pass_time(0.2, acks=("one", "two"))
    (frame,) = show.frames
    assert {s["axis"] for s in frame.header["series"]} == {"step", "time"}
    assert "to" not in frame.header


def test_a_million_points_cross_as_two_thousand(show):
    run = show.start()
    show.log(run, "loss", np.sin(np.arange(1_000_000) / 1e4))
    show.hello()
    show.sender.turn()
    (key,) = show.frames
    (view,) = key.header["series"]
    assert view["total"] == 1_000_000
    assert 1000 < len(key.points(view)[0]) <= 2000
    assert len(str(key.header)) < 4000
    show.log(run, "loss", [9.0], first=1_000_000)
    show.pass_time(0.2)
    view = show.frames[-1].header["series"][0]
    x, y = show.frames[-1].points(view)
    assert len(x) <= 1000
    assert (x[-1], y[-1]) == (1_000_000, 9)


def test_a_zoom_brings_finer_points_and_is_refreshed_while_data_arrives_in_it(show):
    run = show.start()
    show.log(run, "loss", np.arange(100_000))
    show.hello()
    show.pass_time(0.1)
    show.take()
    show.ask("page", "zoom", chart="loss", axis="step", lo=50_000, hi=50_500)
    show.pass_time(0.1)
    (frame,) = show.frames
    assert frame.header["to"] == "page"
    (view,) = frame.header["series"]
    assert view["window"] == [50_000, 50_500]
    x, _ = frame.points(view)
    np.testing.assert_array_equal(x, np.arange(49_999, 50_502))
    show.take()
    show.log(run, "loss", [1.0], first=100_000)
    show.pass_time(1.0)
    assert not [f for f in show.frames if f.header.get("to")]  # nothing new in that window
    show.take()
    show.ask("page", "zoom", chart="loss", axis="step", lo=99_990, hi=100_500)
    show.pass_time(0.1)
    for i in range(20):
        show.log(run, "loss", [1.0], first=100_001 + i)
        show.pass_time(0.1)
    fresh = [f for f in show.frames if f.header.get("to")]
    assert 5 <= len(fresh) <= 10
    assert fresh[-1].points(fresh[-1].header["series"][0])[0][-1] >= 100_018
    show.take()
    show.ask("page", "zoom", chart="loss", axis="step")
    show.pass_time(0.2)
    (view,) = next(f.header["series"] for f in show.frames if "series" in f.header)
    assert "window" not in view
    assert "x" in view


def test_images_are_paced_newest_wins_and_all_of_a_tick_is_one_message(show):
    run = show.start()
    show.hello()
    began = show.clock.now
    for i in range(800):  # 200 batches a second for four seconds
        if i == 400:  # the pace starts gently
            show.take()
            began = show.clock.now
        show.say(run, batch(), i)
        show.log(run, "loss", [1.0], first=i)
        show.pass_time(0.005)
    seconds = show.clock.now - began
    frames = show.frames
    assert 57 * seconds < len(frames) <= 60 * seconds + 2
    assert all("tiles" in f.header for f in frames[2:])
    with_curves = [f for f in frames if "series" in f.header]
    assert len(with_curves) <= 10 * seconds + 2
    assert frames[-1].header["tiles"]["step"] >= 796
    numbers = [f.header["n"] for f in frames]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_box_that_overflowed_is_followed_by_a_key_frame(show):
    run = show.start()
    show.hello()
    show.pass_time(0.1)
    show.take()
    show.sender.stage._box.resynchronise()
    show.log(run, "loss", [1.0, 2.0])
    show.sender.turn()
    (frame,) = show.frames
    assert frame.header["key"] is True
    assert frame.header["series"][0]["total"] == 2


def test_a_source_in_trouble_is_said_in_words_and_comes_back(show, monkeypatch):
    run = show.start()
    show.hello()
    show.pass_time(0.5)
    show.take()
    real = show.broker.runs

    def torn():
        raise ConnectionError("no connection to gpu-box:5000")

    monkeypatch.setattr(show.broker, "runs", torn)
    show.pass_time(3.0)
    link = [f.header["link"] for f in show.frames if "link" in f.header]
    assert (link[-1]["state"], link[-1]["message"]) == (
        "disconnected",
        "no connection to gpu-box:5000",
    )
    monkeypatch.setattr(show.broker, "runs", real)
    show.log(run, "loss", [1.0])
    show.pass_time(3.0)
    link = [f.header["link"] for f in show.frames if "link" in f.header]
    assert (link[-1]["state"], link[-1]["message"]) == ("connected", "")
    assert any(f.header.get("key") for f in show.frames)  # nobody knows what was missed meanwhile


def test_a_window_outlives_a_key_frame_of_the_same_run(show):
    run = show.start()
    show.log(run, "loss", np.arange(10_000))
    show.hello()
    show.pass_time(0.1)
    show.ask("page", "zoom", chart="loss", axis="step", lo=100, hi=200)
    show.pass_time(0.5)
    show.take()
    show.sender.stage._box.resynchronise()
    show.pass_time(0.5)
    assert [(f.header.get("key"), f.header.get("to")) for f in show.frames] == [
        (True, None),
        (None, "page"),
    ]
    show.take()
    show.hello()  # the page missed a frame and asks for the whole
    show.pass_time(0.5)
    assert [(f.header.get("key"), f.header.get("to")) for f in show.frames] == [
        (True, None),
        (None, "page"),
    ]
    show.start("another", "b")
    show.take()
    show.pass_time(0.5)
    assert [f.header.get("key") for f in show.frames] == [True]


def test_an_unknown_run_is_said_in_words(show):
    show.sender._wanted = "ghost"
    show.start()
    show.hello()
    show.pass_time(0.5)
    head = show.frames[-1].header
    assert head["run"] is None
    assert "There is no run 'ghost'" in head["link"]["message"]


def test_hostile_names_stay_text(show):
    name = "<img src=x onerror=alert(1)>\x00\ud800\u202e" + "n" * 500
    run = show.start(name)
    show.log(run, "lo\x07ss\ud800", [1.0])
    show.hello(want=["lo\ufffdss\ufffd"])
    show.sender.turn()
    head = show.frames[0].header
    assert head["run"]["name"].startswith("<img src=x onerror=alert(1)>\ufffd\ufffd\ufffdnnn")
    assert len(head["run"]["name"]) == 200
    (view,) = head["series"]
    assert view["name"] == "lo\ufffdss\ufffd"
    assert "x" in view


def test_a_page_that_was_forgotten_gets_a_key_frame_when_it_speaks_again(show):
    run = show.start()
    show.hello(want=["loss"])
    show.pass_time(0.1)
    for i in range(15):  # a suspended laptop: frames go out, nothing comes back
        show.log(run, "loss", [1.0], first=i)
        show.pass_time(1.0, acks=())
    assert show.broker.demand(run).fps == 0
    show.take()
    show.ask("page", "ping")
    show.pass_time(0.1)
    key = show.frames[0].header
    assert key["key"] is True
    assert "x" in key["series"][0]


def test_an_end_is_told(show):
    run = show.start()
    show.hello()
    show.pass_time(0.5)
    show.say(run, Performance(progress=1.0, epoch=3, epochs=3), 90)
    show.say(run, Status(RunState.FAILED, "boom", "ValueError"), 90)
    show.pass_time(0.5)
    told = [f.header for f in show.frames]
    assert [h["run"]["state"] for h in told if "run" in h][-1] == "failed"
    assert [h["perf"]["progress"] for h in told if "perf" in h][-1] == 1
    line = [e for h in told for e in h.get("events", [])][-1]
    assert (line["text"], line["tail"], line["mark"]) == (
        "Failed",
        "at step 90: ValueError: boom",
        "no",
    )


def test_a_source_far_away_is_read_in_turn_and_images_go_on(show, monkeypatch):
    run = show.start()
    names = [f"m{i}" for i in range(6)]
    for name in names:
        show.log(run, name, [1.0])
    show.hello(want=names)
    show.pass_time(1.0)
    real = show.broker.window

    def far(*args, **facts):
        show.clock.now += 0.1  # a round trip
        return real(*args, **facts)

    monkeypatch.setattr(show.broker, "window", far)
    show.take()
    began = show.clock.now
    step = 1
    while show.clock.now < began + 10:
        for name in names:
            show.log(run, name, [2.0], first=step)
        show.say(run, batch(), step)
        show.pass_time(0.02)
        step += 1
    reads = [
        [v["name"] for v in f.header["series"] if "x" in v]
        for f in show.frames
        if "series" in f.header
    ]
    assert all(len(r) <= 1 for r in reads)
    drawn = [r[0] for r in reads if r]
    assert {drawn.count(name) for name in names} <= {len(drawn) // 6, len(drawn) // 6 + 1}
    assert len(drawn) >= 15
    times = [f.at for f in show.frames if "tiles" in f.header]
    assert max(np.diff(times)) < 0.16
    assert len(times) > 150


def test_a_source_that_has_to_ask_elsewhere_holds_up_no_picture_and_its_newest_comes(
    show, monkeypatch
):
    run = show.start()
    show.log(run, "loss", np.linspace(1, 0, 10))
    there = show.broker.window
    kept, asked = {}, []

    def window(*key, wait=True, **how):
        """What was there 0.3 s ago."""
        name = (*key, *sorted(how.items()))
        newest = there(*key, **how)
        if wait or name not in kept:
            kept[name] = newest
        elif len(kept[name].y) != len(newest.y) and not asked:
            asked.append((show.clock.now + 0.3, name, newest))
        if asked and show.clock.now >= asked[0][0]:
            _, which, found = asked.pop()
            kept[which] = found
        stale = len(kept[name].y) != len(newest.y)
        return replace(kept[name], stale=stale)

    monkeypatch.setattr(show.broker, "window", window)
    show.hello()
    show.pass_time(0.5)
    show.log(run, "loss", [0.0], first=10)  # the first of this kind is waited for
    show.pass_time(1.0)
    show.take()
    show.log(run, "loss", np.linspace(1, 0, 89), first=11)
    show.pass_time(0.25)
    sent = [f for f in show.frames if "series" in f.header]
    assert all(len(f.points(v)[0]) <= 11 for f in sent for v in f.header["series"] if "x" in v)
    assert len(sent) <= 1, "what is known already is not said again and again"
    show.pass_time(1.0)
    curves = [f.points(v)[0] for f in show.frames for v in f.header.get("series", ()) if "x" in v]
    assert len(curves[-1]) == 100, "although nothing was said since"
    quiet = len(show.frames)
    show.pass_time(1.0)
    later = [f for f in show.frames[quiet:] if any("x" in v for v in f.header.get("series", ()))]
    assert later == []


def test_series_out_of_view_are_mentioned_now_and_then(show):
    run = show.start()
    show.log(run, "loss", [1.0])
    show.hello(want=[])
    show.ask("page", "want", want=[])
    show.pass_time(1.5)
    show.take()
    for i in range(50):
        show.log(run, "loss", [float(i)], first=1 + i)
        show.pass_time(0.1)
    told = [v for f in show.frames for v in f.header.get("series", [])]
    assert 4 <= len(told) <= 6
    assert not any("x" in v for v in told)
    show.pass_time(1.5)
    told = [v for f in show.frames for v in f.header.get("series", [])]
    assert (told[-1]["total"], told[-1]["last"]) == (51, 49)


def test_a_flood_of_lines_is_bounded(show):
    run = show.start()
    show.hello()
    show.pass_time(0.1)
    show.take()
    for i in range(1000):
        show.say(run, LogLine(f"line {i}"), i)
    show.pass_time(0.5)
    told = [e["text"] for f in show.frames for e in f.header.get("events", [])]
    assert told == [f"line {i}" for i in range(800, 1000)]


def test_who_did_what_comes_while_a_page_shows_it(show):
    run = show.start()
    show.hello()
    show.pass_time(1.5)
    assert not [f for f in show.frames if "audit" in f.header]
    show.ask("page", "audit", open=True)
    show.ask("page", "command", run=run, kind="set_batch_size", params={"value": 9})
    show.pass_time(1.5)
    (line,) = [f.header["audit"] for f in show.frames if "audit" in f.header][-1]["lines"]
    assert (line["text"], line["mark"]) == ("Batch size 9", "no")
    show.take()
    show.pass_time(3.0)
    assert not [f for f in show.frames if "audit" in f.header], "nothing was done meanwhile"
    show.hello(audit=True)  # the page lost what it knew
    show.pass_time(0.5)
    assert len([f for f in show.frames if "audit" in f.header]) == 1
    show.ask("page", "audit", open=False)
    show.ask("page", "command", run=run, kind="set_batch_size", params={"value": 8})
    show.take()
    show.pass_time(3.0)
    assert not [f for f in show.frames if "audit" in f.header]


def test_an_age_comes_with_every_message_and_grows_while_nothing_is_said(show):
    run = show.start()
    show.hello()
    show.log(run, "loss", [1.0])
    show.pass_time(0.05)
    assert show.caught[-1].header["age"] < 0.1
    show.pass_time(4.0)
    ages = [c.header["age"] for c in show.caught if c.header["k"] == "beat"]
    assert ages == sorted(ages)
    assert 3.0 < ages[-1] < 4.1
