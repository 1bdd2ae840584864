from __future__ import annotations

import csv
import warnings

import pytest

from nbmonitor import cli, settings
from nbmonitor.audit import AuditRow, Trail
from nbmonitor.events import Command, CommandKind, RunInfo
from nbmonitor.process import Process
from nbmonitor.store.audit import AuditLog


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "audit-here.jsonl"
    log = AuditLog(path).start()
    for k in range(6):
        who, what = ("ada", "pause") if k % 2 else ("bob", "wheel take")
        log.record(AuditRow(1_790_000_000.0 + k, what, who, "p", "r1", outcome="applied"))
    log.close()
    return path


def shown(capsys, *words):
    status = cli.main(["audit", *map(str, words)])
    said = capsys.readouterr()
    return status, said.out.splitlines(), said.err


def test_it_shows_the_newest_rows_and_says_what_the_chain_is_worth(path, capsys):
    status, out, err = shown(capsys, "--file", path, "--limit", 2)
    assert status == 0
    assert [line.split() for line in out] == [
        ["2026-09-21T14:13:24Z", "bob", "wheel", "take", "applied", "r1"],
        ["2026-09-21T14:13:25Z", "ada", "pause", "applied", "r1"],
    ]
    assert err.startswith("The chain of 6 rows is whole.")


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        (["--actor", "ada"], 3),
        (["--action", "wheel"], 3),
        (["--since", "2026-09-21T14:13:24"], 2),
        (["--since", "2026-09-21T16:13:24+02:00"], 2),
        (["--since", "99999d"], 6),
        (["--run", "other"], 0),
        (["--outcome", "applied", "--actor", "bob"], 3),
    ],
)
def test_it_shows_what_was_asked_for(path, capsys, asked, count):
    status, out, _ = shown(capsys, "--file", path, *asked)
    assert (status, len(out)) == (0, count)


@pytest.mark.parametrize("limit", ["0", "-1", "all"])
def test_a_limit_that_is_no_number_of_rows_is_refused(path, capsys, limit):
    with pytest.raises(SystemExit) as refused:
        shown(capsys, "--file", path, "--limit", limit)
    assert refused.value.code == 2
    assert f"expected a number of rows, 1 or more, and it is '{limit}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            ["--actor", "eve"],
            "No row matches: there is none of 'eve'. Actors in this log: ada, bob.",
        ),
        (["--actor", "eve", "--csv", "-"], "Actors in this log: ada, bob."),
        (["--actor", "ada", "--outcome", "rejected"], "No row matches.\n"),
        (["--run", "other"], "No row matches.\n"),
    ],
)
def test_that_no_row_matches_is_said_beside_the_table(path, capsys, asked, says):
    status, out, err = shown(capsys, "--file", path, *asked)
    assert (status, len(out)) == (0, int("--csv" in asked))
    assert says in err
    assert "is whole" in err


def test_of_many_actors_some_are_named(tmp_path, capsys):
    log = AuditLog(tmp_path / "a.jsonl").start()
    for k in range(25):
        log.record(AuditRow(1_790_000_000.0, "pause", f"actor-{k:02}", outcome="applied"))
    log.close()
    _, _, err = shown(capsys, "--file", tmp_path / "a.jsonl", "--actor", "eve")
    assert "actor-19 and 5 more." in err
    assert "actor-20" not in err


def test_a_broken_chain_is_an_error(path, capsys):
    path.write_text(path.read_text().replace("ada", "eve", 1))
    status, _, err = shown(capsys, "--file", path)
    assert status == 1
    assert "BROKEN after 1 rows" in err
    assert "line 2: the row was changed" in err


def test_a_table_for_a_spreadsheet(path, capsys, tmp_path):
    status, out, _ = shown(capsys, "--file", path, "--csv", tmp_path / "t.csv", "--actor", "ada")
    assert (status, out) == (0, [f"3 rows written to {tmp_path / 't.csv'}"])
    with (tmp_path / "t.csv").open() as file:
        assert [r["actor"] for r in csv.DictReader(file)] == ["ada"] * 3
    status, out, _ = shown(capsys, "--file", path, "--csv", "-")
    assert (status, len(out)) == (0, 7)


@pytest.mark.parametrize("asked", [["--since", "yesterday"], ["--file", "/nowhere/audit.jsonl"]])
def test_what_cannot_be_done_is_said_with_the_remedy(path, capsys, asked):
    status, _, err = shown(capsys, "--file", path, *asked)
    assert status == 1
    assert "Expected" in err or "--file" in err


def test_a_process_writes_to_the_file_that_was_set_and_works_without_one(tmp_path):
    path = tmp_path / "deep" / "a.jsonl"
    process = Process()
    broker = process.open_broker(settings.load({"audit": str(path)}))
    run_id = broker.open(RunInfo("", "x"), lambda c: None).run_id
    broker.send(Command(run_id, CommandKind.PAUSE))
    process.close()
    assert path.read_text().count('"action":"pause"') == 1
    process = Process()
    assert isinstance(process.open_broker(settings.load({"audit": "off"})).journal, Trail)
    process.close()
    process = Process()
    with pytest.warns(UserWarning, match="kept in memory alone"):
        broker = process.open_broker(settings.load({"audit": str(tmp_path)}))
    assert isinstance(broker.journal, Trail)
    process.close()


def test_the_log_of_this_machine_is_found_without_being_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    status, _, err = shown(capsys)
    assert status == 1
    assert "There is no audit log at" in err
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        process = Process()
        process.open_server(settings.load({}, environ={}))
        process.close()
    status, out, _ = shown(capsys)
    assert status == 0
    assert [line.split()[2] for line in out] == ["serve", "stop"]
