"""What is said of the road to a trainer, whatever its clock says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nbmonitor.events import LinkState, RunInfo, RunState
from nbmonitor.notebook.link import Link

T = 1_700_000_000.0
RUN = RunInfo("r", "digits", RunState.RUNNING, last_seen=T, origin="process")
CONNECTED, STALE = LinkState.CONNECTED, LinkState.STALE
DISCONNECTED = LinkState.DISCONNECTED
BOX = "gpu-box:5000"


def test_a_silence_is_told_by_its_beginning_and_stays_the_same_word():
    link = Link()
    assert link.view(RUN, "", CONNECTED, T + 4)["quiet"] is None
    silent = link.view(RUN, "", CONNECTED, T + 6)
    assert silent["quiet"] == T
    assert link.view(RUN, "", CONNECTED, T + 60) == silent
    stale = link.view(replace(RUN, link=STALE), "", CONNECTED, T + 70)
    assert (stale["state"], stale["since"], stale["quiet"]) == ("stale", T, T)
    assert stale["message"] == "No sign of life from the trainer: waiting for it."
    assert link.view(replace(RUN, link=STALE), "", CONNECTED, T + 90) == stale
    back = link.view(replace(RUN, last_seen=T + 91), "", CONNECTED, T + 91)
    assert (back["state"], back["since"], back["quiet"], back["message"]) == (
        "connected",
        None,
        None,
        "",
    )


@pytest.mark.parametrize("off", [-3600.0, 3600.0])
def test_a_clock_that_goes_wrong_elsewhere_makes_no_silence(off):
    link = Link()
    for second in range(0, 20, 2):
        view = link.view(replace(RUN, last_seen=T + second + off), BOX, CONNECTED, T + second)
        if second:
            assert view["quiet"] is None
    gone = link.view(replace(RUN, last_seen=T + 18 + off), BOX, CONNECTED, T + 30)
    assert gone["quiet"] == T + 18


def test_which_part_of_the_road_is_cut():
    cut = replace(RUN, link=DISCONNECTED)
    assert (
        Link()
        .view(cut, "", CONNECTED, T)["message"]
        .startswith("The trainer's connection was lost")
    )
    link = Link()
    first = link.view(cut, BOX, DISCONNECTED, T)
    assert first["message"] == f"No connection to the server at {BOX}: trying again."
    assert (first["kind"], first["since"]) == ("remote", T)
    later = link.view(replace(cut, state=RunState.LOST), BOX, DISCONNECTED, T + 40)
    assert later["since"] == T
    # A run that is over needs no trainer, but its curves come over the same road.
    over = replace(cut, state=RunState.COMPLETED)
    assert link.view(over, BOX, DISCONNECTED, T + 50)["state"] == "disconnected"
    assert link.view(over, BOX, CONNECTED, T + 51)["state"] == "connected"
    quiet = link.view(RUN, BOX, STALE, T + 60)
    assert quiet["message"] == f"No answer from the server at {BOX}: waiting for it."


def test_what_another_run_suffers_began_at_another_time():
    link = Link()
    link.view(replace(RUN, link=DISCONNECTED), "", CONNECTED, T + 10)
    other = replace(RUN, run_id="s", link=DISCONNECTED)
    assert link.view(other, "", CONNECTED, T + 99)["since"] == T + 99


def test_a_source_that_fails_says_why():
    view = Link().view(RUN, BOX, CONNECTED, T, trouble="There is no run 'ghost'.")
    assert (view["state"], view["message"]) == ("disconnected", "There is no run 'ghost'.")
    refused = f"The server at {BOX} refused: the token is not known here."
    view = Link().view(RUN, BOX, DISCONNECTED, T, trouble=refused)
    assert view["message"] == f"{refused} Trying again."


def test_pictures_left_out_and_values_lost_are_two_things():
    view = Link().view(
        replace(RUN, dropped=7, lost=2, link_rtt=0.00234), BOX, CONNECTED, T, dropped=3
    )
    assert (view["dropped"], view["lost"], view["rttMs"]) == (10, 2, 2.3)


def test_the_age_of_the_last_event_is_of_here():
    link = Link()
    assert link.age(T) is None
    link.show(T + 100, T)  # the trainer's clock is ahead
    assert link.age(T + 2.04) == 2.0
    link.event = T + 3
    assert link.age(T + 3) == 0.0
