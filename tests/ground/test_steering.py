"""Who presses at the same time as somebody else loses with a sentence, instead of undoing what they did."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nbmonitor.events import Command, CommandKind, CommandRecord, CommandState, RunInfo, RunState
from nbmonitor.steering import judged
from nbmonitor.wheel import Hand

RUN = RunInfo("r", "digits", RunState.RUNNING, controls={"pause": {}, "stop": {}}, state_version=3)
PAUSE, RESUME, STOP = CommandKind.PAUSE, CommandKind.RESUME, CommandKind.STOP
APPLIED, QUEUED = CommandState.APPLIED, CommandState.QUEUED
REJECTED, DELIVERED = CommandState.REJECTED, CommandState.DELIVERED


def asked(who, kind, version=3):
    return Command("r", kind, actor=who, asked_at=0.7, expected_version=version)


def judge(command, info=RUN, *before):
    record, after = judged(info, command, Hand(command.actor), 1.0, before)
    assert after is info
    return record.state, record.error


def test_who_saw_the_state_that_is_goes_through():
    assert judge(asked("ada", PAUSE)) == (QUEUED, "")
    assert judge(asked("ada", PAUSE, None), replace(RUN, state_version=9)) == (QUEUED, "")
    done = CommandRecord(asked("bob", RESUME, 2), APPLIED)
    assert judge(asked("ada", PAUSE), RUN, done) == (QUEUED, "")


def test_the_slower_one_is_told_who_was_faster():
    paused = replace(RUN, state=RunState.PAUSED, state_version=4)
    done = CommandRecord(asked("bob", PAUSE), APPLIED)
    faster = "bob was faster and paused the run 0.3 s earlier; look and press again"
    assert judge(asked("ada", STOP), paused, done) == (REJECTED, faster)
    mine = CommandRecord(asked("ada", PAUSE), APPLIED)
    assert (
        judge(asked("ada", STOP), paused, mine)[1]
        == "the run is paused by now; look and press again"
    )
    lost = replace(RUN, state=RunState.RUNNING, state_version=6)  # it went on by itself since
    assert (
        judge(asked("ada", STOP), lost, done)[1]
        == "the run is running by now; look and press again"
    )


@pytest.mark.parametrize("state", [QUEUED, CommandState.SENT, DELIVERED])
def test_what_is_on_its_way_was_faster_too(state):
    coming = CommandRecord(asked("bob", STOP), state)
    why = "bob was faster and stopped the run 0.3 s earlier; look and press again"
    assert judge(asked("ada", PAUSE), RUN, coming) == (REJECTED, why)
    assert judge(asked("bob", PAUSE), RUN, coming) == (QUEUED, ""), "one's own is no surprise"
    refused = CommandRecord(asked("bob", STOP), REJECTED)
    assert judge(asked("ada", PAUSE), RUN, refused) == (QUEUED, "")


def test_the_notebook_has_a_name_elsewhere():
    coming = CommandRecord(asked("you", PAUSE), QUEUED)
    assert judge(asked("ada", STOP), RUN, coming)[1].startswith("the run's notebook was faster")
