"""The widget itself: its thread, its snapshot, what it keeps out of its state. Without a kernel, with a caught `send`."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time

import numpy as np
import pytest
from showroom import Show, batch

from nbmonitor.errors import NbMonitorError
from nbmonitor.events import RunState, Status
from nbmonitor.notebook import dashboard as module
from nbmonitor.notebook import kernel
from nbmonitor.notebook.dashboard import Dashboard, Still


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    (tmp_path / "dashboard.js").write_text("export default {}")
    (tmp_path / "dashboard.css").write_text(".nbm {}")
    monkeypatch.setattr(module, "STATIC", tmp_path)
    return tmp_path


@pytest.fixture
def panel(bundle, show):
    """A dashboard over the broker of `show`, in real time; what it sends is in `panel.caught`."""
    caught = []
    arrived = threading.Condition()

    class Caught(Dashboard):
        caught: list

        def send(self, content, buffers=None):
            with arrived:
                caught.append((content, buffers, threading.current_thread().name))
                arrived.notify_all()

    made = Caught(show.broker)
    made.caught = caught

    def until(wanted, seconds=5.0):
        with arrived:
            assert arrived.wait_for(lambda: any(wanted(c) for c, _, _ in caught), seconds), caught
            return next((c, b) for c, b, _ in caught if wanted(c))

    made.until = until
    yield made
    made.close()


HELLO = {
    "id": "h1",
    "client": "page",
    "op": "hello",
    "axis": "step",
    "want": ["loss"],
    "fps": 60,
    "visible": True,
}


def test_a_missing_bundle_is_an_error_with_the_remedy(show, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "STATIC", tmp_path / "nowhere")
    with pytest.raises(NbMonitorError, match="run `make web`"):
        Dashboard(show.broker)


def test_the_constructor_starts_nothing_and_a_first_word_starts_the_thread(panel, show):
    assert not [t for t in threading.enumerate() if t.name == "nbmonitor-dashboard"]
    run = show.start()
    show.log(run, "loss", [1.0, 0.5])
    assert kernel.dispatch({**HELLO, "dashboard": panel.dashboard}) == {"id": "h1", "ok": True}
    key, buffers = panel.until(lambda c: c.get("key"))
    assert key["run"]["id"] == run
    assert np.frombuffer(buffers[key["series"][0]["y"]], "<f4").tolist() == [1.0, 0.5]
    assert {name for _, _, name in panel.caught} == {"nbmonitor-dashboard"}
    panel.post({"id": "p", "client": "page", "op": "command", "run": run, "kind": "pause"})
    panel.until(lambda c: any(e.get("command") == "p" for e in c.get("events", [])))
    assert [c.command_id for c in show.delivered] == ["p"]


def test_a_request_over_the_comm_is_answered_over_the_comm(panel):
    panel._handle_custom_msg({"k": "request", **HELLO}, [])
    reply, _ = panel.until(lambda c: c["k"] == "reply")
    assert reply == {"k": "reply", "id": "h1", "ok": True}
    panel._handle_custom_msg({"k": "something else"}, [])
    panel._handle_custom_msg("nonsense", [])
    panel.until(lambda c: c.get("key"))


def test_state_holds_nothing_of_the_stream(panel, show):
    before = json.dumps(panel.get_state(), default=str)
    run = show.start()
    panel.post(HELLO)
    for i in range(50):
        show.say(run, batch(), i)
        show.log(run, "loss", [1.0], first=i)
    panel.until(lambda c: "tiles" in c)
    after = json.dumps(panel.get_state(), default=str)
    assert after == before
    assert len(after) < 3000
    shown, _ = panel._repr_mimebundle_()
    assert len(json.dumps(shown)) < 1000


def test_close_ends_the_thread_and_refuses_what_comes_later(panel, show):
    run = show.start()
    panel.post(HELLO)
    panel.until(lambda c: c.get("key"))
    panel.close()
    panel.close()
    assert not [t for t in threading.enumerate() if t.name == "nbmonitor-dashboard"]
    assert show.broker.demand(run).fps == 0
    assert panel.post({**HELLO, "id": "h2"}) == {
        "id": "h2",
        "ok": False,
        "reason": "this dashboard was closed",
    }
    assert kernel.dispatch({**HELLO, "dashboard": panel.dashboard})["ok"] is False


def test_a_stumble_is_logged_once_and_the_show_goes_on(panel, show, monkeypatch, caplog):
    run = show.start()
    real = show.broker.events
    monkeypatch.setattr(show.broker, "events", lambda *a, **k: 1 / 0)
    monkeypatch.setattr(module, "SPACING", 0.0)
    with caplog.at_level(logging.ERROR, "nbmonitor.notebook"):
        panel.post(HELLO)
        panel.post({**HELLO, "id": "h2"})
        time.sleep(0.7)
    assert [r.message for r in caplog.records] == ["The dashboard stumbled and goes on."]
    monkeypatch.setattr(show.broker, "events", real)
    key, _ = panel.until(lambda c: c.get("key"))
    assert key["run"]["id"] == run
    assert key["events"][-1]["text"] == "Started"  # its history was read again, all of it


def test_the_snapshot_is_drawn_when_the_state_changes_and_at_times(show, monkeypatch):
    updates = []
    still = Still(show.broker, show.sender.stage)
    still._ids.append("one")
    monkeypatch.setattr(
        "IPython.display.update_display",
        lambda data, **k: updates.append((data["text/html"], k["display_id"])),
    )
    run = show.start()

    def live(seconds, step):
        for i in range(int(seconds)):
            show.log(run, "loss", [1.0], first=step + i)
            show.pass_time(1.0, step=0.05)
            still.refresh(show.clock.now)

    live(29, 0)
    assert len(updates) == 1
    live(65, 100)
    assert 3 <= len(updates) <= 4
    assert {name for _, name in updates} == {"one"}
    show.say(run, Status(RunState.COMPLETED), 200)
    live(1, 200)
    assert "<b>Completed</b>" in updates[-1][0]
    count = len(updates)
    show.pass_time(120.0, step=0.5)
    still.refresh(show.clock.now)
    assert len(updates) <= count + 1


def test_show_without_a_kernel_displays_the_widget_alone(panel, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.append((a, k)))
    panel.show()
    assert shown == [((panel,), {})]
    assert [t.name for t in threading.enumerate() if t.name == "nbmonitor-dashboard"] == [
        "nbmonitor-dashboard"
    ]


def test_show_in_a_kernel_displays_the_snapshot_first(panel, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.append((a, k)))
    monkeypatch.setattr("IPython.display.update_display", lambda *a, **k: None)
    monkeypatch.setattr(
        "IPython.core.getipython.get_ipython", lambda: type("Shell", (), {"kernel": 1})
    )
    panel.show()
    (picture, options), (widget, _) = shown
    assert 'class="nbm-snapshot"' in picture[0]["text/html"]
    assert options["raw"] is True
    assert options["display_id"]
    assert widget == (panel,)


def test_two_dashboards_of_one_kernel_get_their_own_requests(bundle, show):
    other = Show()
    one, two = Dashboard(show.broker), Dashboard(other.broker)
    try:
        assert one.dashboard != two.dashboard
        kernel.dispatch({**HELLO, "dashboard": two.dashboard})
        assert one._thread is None
        assert two._thread is not None
        assert kernel.dispatch(HELLO)["ok"] is False
    finally:
        one.close()
        two.close()
        other.sender.close()
        other.broker.close()


def test_the_picture_of_a_frame_is_the_batch_that_was_shown(panel, show):
    run = show.start()
    panel.post(HELLO)
    show.say(run, batch(), 7)
    frame, buffers = panel.until(lambda c: "tiles" in c)
    picture = buffers[frame["tiles"]["mosaic"]["buffer"]]
    assert base64.b64encode(picture) == base64.b64encode(batch().mosaic.data)
