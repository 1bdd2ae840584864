from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

from nbmonitor.audit import AuditRow, hashed, line, read, sealed
from nbmonitor.broker import Broker
from nbmonitor.errors import InputError, StoreError
from nbmonitor.events import (
    Command,
    CommandKind,
    CommandRecord,
    CommandState,
    Event,
    RunInfo,
    RunState,
    Status,
)
from nbmonitor.store import audit as audit_room
from nbmonitor.store import open_store
from nbmonitor.store.audit import AuditLog, default_path, parts
from nbmonitor.store.audit_reading import lines, select, verify, write_csv


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "audit-here.jsonl"


@pytest.fixture
def log(path):
    made = AuditLog(path).start()
    yield made
    made.close()


def row(k=0, **values):
    return AuditRow(1_790_000_000.0 + k, "pause", "ada", **values)


def written(path):
    return [at.row for at in lines(path)]


def test_rows_stand_in_the_file_one_a_line_each_with_the_hash_of_the_one_before(log, path):
    for k in range(50):
        log.record(row(k, before={"state": "running"}, after={"state": "paused"}))
    log.close()
    texts = path.read_text().splitlines()
    assert len(texts) == 50
    found = [json.loads(t) for t in texts]
    assert [f["prev"] for f in found] == ["", *(f["sha256"] for f in found[:-1])]
    assert written(path)[7].after == {"state": "paused"}
    verdict = verify(lines(path))
    assert (verdict.rows, verdict.problem, verdict.notes) == (50, "", [])
    assert verdict.last == found[-1]["sha256"]
    assert [r.time for r in log.rows(limit=2)] == [row(48).time, row(49).time]


def test_the_file_is_its_owners_alone(log, path):
    path.chmod(0o644)
    log.record(row())
    log.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_second_life_goes_on_with_the_chain(path):
    for k in range(3):
        log = AuditLog(path).start()
        log.record(row(k))
        log.close()
        log.close()
    assert verify(lines(path)).rows == 3


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (lambda t: t[:3] + t[4:], "line 4: it does not follow the row before it"),
        (lambda t: [*t[:3], t[3].replace("ada", "eve"), *t[4:]], "line 4: the row was changed"),
        (lambda t: [*t[:3], t[4], t[3], *t[5:]], "line 4: it does not follow"),
        (lambda t: [*t[:3], t[3], t[3], *t[4:]], "line 5: it does not follow"),
        (lambda t: t[1:], "line 1: rows before the first one are missing"),
        (lambda t: [*t[:3], "garbage", *t[4:]], "line 5: it does not follow"),
        (lambda t: [*t[:3], "garbage", *t[3:]], "line 4 is no row"),
        (lambda t: [*t[:3], "{}", '{"a": 1}', *t[3:]], "line 4 is no row"),
    ],
)
def test_what_was_done_to_a_log_is_found_and_named(log, path, harm, problem):
    for k in range(8):
        log.record(row(k))
    log.close()
    path.write_text("".join(f"{t}\n" for t in harm(path.read_text().splitlines())))
    assert problem in verify(lines(path)).problem


def test_a_forged_row_with_a_right_hash_breaks_the_row_behind_it(log, path):
    for k in range(4):
        log.record(row(k))
    log.close()
    texts = path.read_text().splitlines()
    forged = sealed(row(1, error="nothing happened"), read(texts[0]).sha256)
    path.write_text("\n".join([texts[0], line(forged), *texts[2:]]) + "\n")
    assert verify(lines(path)).problem.startswith("audit-here.jsonl, line 3: it does not follow")


@pytest.mark.parametrize("left", [1, 30, 200])
def test_a_torn_last_row_is_closed_and_said(path, left):
    log = AuditLog(path).start()
    for k in range(3):
        log.record(row(k))
    log.close()
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[0][:left])  # as a power cut leaves it
    verdict = verify(lines(path))
    assert (verdict.rows, verdict.problem) == (3, "")
    assert verdict.notes == ["audit-here.jsonl, line 4, the last one, was cut short"]
    log = AuditLog(path).start()
    log.record(row(3))
    log.close()
    verdict = verify(lines(path))
    assert (verdict.rows, verdict.problem) == (5, "")
    assert verdict.notes == ["audit-here.jsonl, line 4 was cut short, as the row behind it says"]
    told = [r for r in written(path) if r and r.action == "log"]
    assert [r.error for r in told] == [
        f"the row before this one was cut short: {left} bytes are left of it"
    ]


def test_a_large_log_goes_on_in_a_new_file_and_the_chain_with_it(path):
    log = AuditLog(path, rotate=2_000).start()
    for k in range(40):
        log.record(row(k))
        time.sleep(0.002)  # several writes: a file is looked at before each
    log.close()
    files = parts(path)
    assert len(files) > 2
    assert [f.name for f in files[:2]] == ["audit-here.1.jsonl", "audit-here.2.jsonl"]
    assert files[-1] == path
    verdict = verify(lines(path))
    assert (verdict.rows, verdict.problem) == (40, "")
    assert [r.time for r in written(path)] == [row(k).time for k in range(40)]
    files[0].unlink()
    assert "audit-here.2.jsonl, line 1: rows before the first one are missing" in (
        verify(lines(path)).problem
    )


def _write_many(path, name, count):
    log = AuditLog(path, rotate=20_000).start()
    for k in range(count):
        log.record(row(k, run_id=name))
        if k % 7 == 0:
            time.sleep(0.001)
    log.close(20.0)


def test_several_processes_write_one_chain(path):
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=_write_many, args=(path, name, 100)) for name in ("a", "b", "c")
    ]
    for w in writers:
        w.start()
    for w in writers:
        w.join(60)
        assert w.exitcode == 0
    verdict = verify(lines(path))
    assert (verdict.rows, verdict.problem) == (300, "")
    for name in ("a", "b", "c"):
        mine = [r.time for r in written(path) if r.run_id == name]
        assert mine == [row(k).time for k in range(100)]


def test_after_a_kill_in_the_middle_the_chain_is_whole(path):
    code = (
        "import sys, pathlib\n"
        "from nbmonitor.audit import AuditRow\n"
        "from nbmonitor.store.audit import AuditLog\n"
        "log = AuditLog(pathlib.Path(sys.argv[1])).start()\n"
        "print('up', flush=True)\n"
        "k = 0\n"
        "while True:\n"
        "    log.record(AuditRow(float(k), 'pause')); k += 1\n"
    )
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout.readline() == "up\n"
            time.sleep(0.1)
            child.kill()
    log = AuditLog(path).start()
    log.record(row())
    log.close()
    verdict = verify(lines(path))
    assert verdict.problem == ""
    assert verdict.rows > 100


def test_while_another_holds_the_lock_rows_wait_and_nobody_is_held_up(path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(audit_room, "PATIENCE", 0.05)
    monkeypatch.setattr(audit_room, "AGAIN", 0.05)
    log = AuditLog(path).start()
    with (path.parent / f".{path.name}.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        began = time.monotonic()
        log.record(row())
        assert time.monotonic() - began < 0.05
        end = time.monotonic() + 5
        while not log.problem and time.monotonic() < end:
            time.sleep(0.01)
        assert "another process holds its lock" in log.problem
        assert [r.sha256 for r in log.rows()] == [""], "it is shown, though not written"
    log.close(5.0)
    assert [r.time for r in written(path)] == [row().time]
    assert log.rows()[0].sha256 == written(path)[0].sha256
    assert log.problem == ""


def test_a_child_that_was_forked_in_the_middle_does_not_keep_the_lock(path):
    pytest.importorskip("fcntl")
    log = AuditLog(path).start()
    log.close()
    with log._turn():
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
    try:
        log = AuditLog(path).start()
        log.record(row())
        log.close()
        assert [r.time for r in written(path)] == [row().time]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_what_is_too_much_is_dropped_counted_and_said(path, monkeypatch):
    log = AuditLog(path, queue=100)
    for k in range(250):  # the writer has not begun
        log.record(row(k))
    log.start()
    log._woken.set()
    log.close()
    rows = written(path)
    assert [r.time for r in rows[:-1]] == [row(k).time for k in range(100)]
    assert rows[-1].action == "log"
    assert rows[-1].error == "150 rows were dropped: more came than could be written"
    assert verify(lines(path)).problem == ""


def test_a_full_disk_is_said_once_and_what_waited_is_written_when_there_is_room(
    path, monkeypatch, caplog
):
    monkeypatch.setattr(audit_room, "AGAIN", 0.02)
    write, full = os.write, threading.Event()

    def half(file, data):
        if full.is_set():
            return write(file, data[: len(data) // 2])  # what a disk does that becomes full
        return write(file, data)

    monkeypatch.setattr(audit_room.os, "write", half)
    log = AuditLog(path).start()
    full.set()
    log.record(row(0))
    end = time.monotonic() + 5
    while not log.problem and time.monotonic() < end:
        time.sleep(0.01)
    assert "a part of a row" in log.problem
    time.sleep(0.1)
    full.clear()
    log.record(row(1))
    log.close(5.0)
    assert len([r for r in caplog.records if "cannot be written" in r.getMessage()]) == 1
    kept = [r for r in written(path) if r is not None and r.action != "log"]
    assert [r.time for r in kept] == [row(0).time, row(1).time]


@pytest.mark.parametrize("where", ["a folder", "no way"])
def test_a_file_that_cannot_be_opened_is_named_with_the_remedy(tmp_path, where):
    path = tmp_path if where == "a folder" else tmp_path / "file" / "audit.jsonl"
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="NBMONITOR_AUDIT=off"):
        AuditLog(path).start()


def test_a_link_is_not_followed(tmp_path):
    target = tmp_path / "elsewhere"
    target.write_text("")
    (tmp_path / "audit.jsonl").symlink_to(target)
    with pytest.raises(StoreError):
        AuditLog(tmp_path / "audit.jsonl").start()


def test_text_of_others_is_harmless_and_short(log, path):
    evil = "\x1b]0;owned\x07\u202eevil\ud800\n" + "x" * 1_000_000
    many = {str(i): "v" for i in range(1000)}
    log.record(AuditRow(1.0, evil, evil, evil, evil, evil, {evil: evil}, many, evil, evil))
    log.record(AuditRow(float("nan"), "pause"))
    log.close()
    raw = path.read_bytes()
    assert len(raw) < 60_000
    assert raw.isascii()
    assert all(32 <= b < 127 or b == 10 for b in raw)
    first, second = written(path)
    assert first.actor.startswith(r"\x1b]0;owned\x07\u202eevil\ud800\nxxx")
    assert first.actor.isprintable()
    assert first.after["…"] == "960 more"
    assert second.time == 0.0
    assert verify(lines(path)).problem == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[1]",
        "{}",
        '{"time": 1}',
        '{"time": "1", "action": "x"}',
        '{"time": 1, "action": "x", "before": "y"}',
        '{"time": 1, "action": "x", "more": "y"}',
        '{"time": 1, "action": 7}',
        "[" * 100_000,
    ],
)
def test_a_line_that_is_no_row_is_told_apart(text):
    with pytest.raises(InputError, match="no row of an audit log"):
        read(text)


def test_a_row_reads_back_as_it_was_written():
    there = sealed(
        AuditRow(1_790_000_000.123456789, "pause", "ädä", "ipv4:1", after={"b": "2", "a": "1"}),
        "00",
    )
    back = read(line(there))
    assert back == there
    assert back.time == 1_790_000_000.123457
    assert hashed(back) == back.sha256 == there.sha256


def test_filters_and_a_table_that_a_spreadsheet_does_not_run(log, path):
    log.record(AuditRow(10.0, "pause", "ada", run_id="r1", outcome="applied"))
    log.record(AuditRow(20.0, "wheel take", "bob", run_id="r1", outcome="applied"))
    log.record(
        AuditRow(
            30.0,
            "pause",
            '=cmd|" /C calc"!A0',
            run_id="r2",
            outcome="rejected",
            error="+1",
            before={"-x": "1"},
            after={"@SUM(A1)": "\t=1"},
        )
    )
    log.close()
    rows = written(path)

    def times(**asked):
        return [r.time for r in select(rows, **asked)]

    assert times() == [10.0, 20.0, 30.0]
    assert times(run="r1") == [10.0, 20.0]
    assert times(actor="bob") == [20.0]
    assert times(action="wheel") == [20.0]
    assert times(action="pause", outcome="rejected") == [30.0]
    assert times(since=20.0) == [20.0, 30.0]
    out = io.StringIO()
    assert write_csv(rows, out) == 3
    table = list(csv.reader(io.StringIO(out.getvalue())))
    assert table[0][:3] == ["time", "action", "outcome"]
    assert table[1][0] == "1970-01-01T00:00:10.000+00:00"
    assert table[3][3].startswith("'=cmd|")
    assert table[3][7] == "'-x 1"
    assert table[3][8].startswith("'@SUM")
    assert table[3][9] == "'+1"
    assert not [c for r in table[1:] for c in r if c.startswith(("=", "+", "-", "@"))]


def test_a_broker_writes_commands_down_when_they_are_asked_and_when_they_are_resolved(log, path):
    broker = Broker(open_store(), journal=log)
    run_id = broker.open(
        RunInfo("", "digits", controls={"learning_rate": {}}), lambda _c: CommandState.DELIVERED
    ).run_id
    broker.publish([Event(run_id, 0, 1.0, Status(RunState.RUNNING))])
    command = Command(run_id, CommandKind.SET_LEARNING_RATE, {"value": 0.01, "mode": "set"})
    broker.send(command)
    broker.send(command)
    done = CommandRecord(
        command, CommandState.APPLIED, 7, {"learning rate": "0.1"}, {"learning rate": "0.01"}
    )
    broker.publish([Event(run_id, 7, 2.0, done)] * 3)
    broker.close()
    rows = [r for r in written(path) if r.action == "set_learning_rate"]
    assert [r.outcome for r in rows] == ["queued", "applied"]
    assert rows[0].after == {"asked mode": "set", "asked value": "0.01"}
    assert (rows[1].before, rows[1].after) == ({"learning rate": "0.1"}, {"learning rate": "0.01"})
    assert {r.command_id for r in rows} == {command.command_id}
    assert rows[0].peer == f"process {os.getpid()}"
    assert "@" in rows[0].actor


def test_where_it_stands():
    path = default_path()
    assert path.parent.name == "nbmonitor"
    assert path.name.startswith("audit-")
    assert path.suffix == ".jsonl"
