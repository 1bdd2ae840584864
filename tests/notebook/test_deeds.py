"""Who did what, as lines; read only while somebody looks."""

from __future__ import annotations

import pytest

from nbmonitor.audit import AuditRow
from nbmonitor.errors import AttachError
from nbmonitor.events import LinkState
from nbmonitor.notebook.deeds import EVERY, EVERY_FAR, Deeds, audit_view

T = 1_700_000_000.0
ROWS = [
    AuditRow(T, "attach", "ada@gpu-box", "ipv4:10.0.0.4:50122", "r"),
    AuditRow(T + 0.1, "attach", "ada@gpu-box", "ipv4:10.0.0.4:50122", "r"),
    AuditRow(T + 1, "refused", "", "ipv4:10.0.0.7:51234", error="the token is wrong"),
    AuditRow(T + 2, "wheel take", "ada@gpu-box", "10.0.0.4:50122", "r", "c1", {"wheel": "nobody"}, {"wheel": "ada"}, "applied"),
    AuditRow(T + 3, "set_learning_rate", "bob", "process 7", "r", "c2", after={"asked value": "0.05"}, outcome="queued"),
    AuditRow(T + 4, "pause", "eve", "10.0.0.9:1", "r", "c3", outcome="rejected", error="ada has the wheel"),
    AuditRow(T + 5, "set_learning_rate", "bob", "process 7", "r", "c2", {"learning rate": "0.1"}, {"learning rate": "0.05"}, "applied"),
    AuditRow(T + 6, "pause", "bob", "process 7", "another", "c4", outcome="applied"),
    AuditRow(T + 7, "configuration", "the run", "", "r", "", {"notes": "", "lr": "1"}, {"notes": "<b>hot</b>", "lr": "2"}),
    AuditRow(T + 8, "stop", "ada", "10.0.0.4:50122", "r", "c5", {"state": "running"}, {"state": "stopping"}, "applied"),
]  # fmt: skip


class Log:
    """A source that has a log and nothing else."""

    def __init__(self, address=""):
        self.address = address
        self.road = LinkState.CONNECTED
        self.asked = 0
        self.rows = ROWS[:4]
        self.broken = ""

    def audit(self, run_id="", limit=200):
        self.asked += 1
        if self.broken:
            raise AttachError(self.broken)
        return self.rows[-limit:]


def test_rows_in_words_newest_first_and_one_line_a_command():
    view = audit_view(ROWS, "r")
    words = [
        (line["mark"], line["text"], line.get("before"), line.get("after"), line.get("tail"), line["who"])
        for line in view["lines"]
    ]  # fmt: skip
    assert words == [
        ("ok", "Stopping", None, None, None, "ada"),
        ("", "Configuration", None, "notes <b>hot</b>, lr 1 → 2", None, "the run"),
        ("ok", "Learning rate", "0.1", "0.05", None, "bob"),
        ("no", "Pause", None, None, "rejected: ada has the wheel", "eve"),
        ("ok", "Took the wheel", "nobody", "ada", None, "ada@gpu-box"),
        ("", "Turned away", None, None, "the token is wrong from 10.0.0.7:51234", ""),
        ("", "Attached", None, None, "from 10.0.0.4:50122", "ada@gpu-box"),
    ]
    assert len({line["id"] for line in view["lines"]}) == len(view["lines"])
    waiting = audit_view(ROWS[:5], "r")["lines"][0]
    assert (waiting["mark"], waiting["text"], waiting["id"]) == (
        "wait",
        "Learning rate 0.05",
        "ac2",
    )


def test_hostile_rows_stay_text_and_unknown_ones_are_shown():
    row = AuditRow(
        T, "dance_\u202ewildly", "\x1b[31m" + "x" * 999, error="<script>", outcome="failed"
    )
    (line,) = audit_view([row], None)["lines"]
    assert line["text"] == "Dance \ufffdwildly"
    assert len(line["who"]) == 60
    assert line["tail"] == "failed: <script>"


@pytest.mark.parametrize(("address", "every"), [("", EVERY), ("gpu-box:5000", EVERY_FAR)])
def test_the_log_is_read_only_while_it_is_shown_and_told_only_when_it_changed(address, every):
    log = Log(address)
    deeds = Deeds(log)
    for tick in range(100):
        deeds.look(False, "r", tick / 10)
    assert (log.asked, deeds.due) == (0, False)
    told = []
    for tick in range(100):
        deeds.look(True, "r", 10 + tick / 10)
        if deeds.due:
            told.append(deeds.take())
        if tick == 50:
            log.rows = ROWS[:6]
    assert log.asked == pytest.approx(10 / every, abs=1)
    assert [len(view["lines"]) for view in told] == [3, 5]
    deeds.again()
    assert deeds.take() == told[-1]
    deeds.look(False, "r", 21)
    deeds.look(True, "r", 21.1)
    assert deeds.take() == told[-1], "who looks again is told again"


def test_a_log_that_cannot_be_read_says_why():
    log = Log()
    log.broken = "this server keeps no audit log"
    deeds = Deeds(log)
    deeds.look(True, "r", 0)
    assert deeds.take() == {
        "lines": [],
        "why": "The log cannot be read: this server keeps no audit log",
    }
    log.road = LinkState.DISCONNECTED
    deeds.look(True, "r", 9)
    assert log.asked == 1, "what was read stays while the server is away"
    assert not deeds.due
