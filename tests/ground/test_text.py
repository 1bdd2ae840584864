from __future__ import annotations

import pytest

from nbmonitor.text import harmless, one_line


@pytest.mark.parametrize(
    "name",
    [
        "lr=0.1 *best* _x_ __init__",
        "[a|b] `c` <d> & $HOME {y} %s ~",
        'it\'s \\n "quoted"',
        "\U0001f469\u200d\U0001f4bb naïve\u00a0run 实验 שלום",
        "../../a b/c.pt",
        "",
    ],
)
def test_what_people_call_things_is_left_as_it_is(name):
    assert one_line(name) == name
    assert harmless(name)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\x1b[2Jb", "a\ufffd[2Jb"),
        ("a\r\n\tb", "a b"),
        ("a\x00\x7f\x9bb", "a\ufffd\ufffd\ufffdb"),
        ("a\u202egnp.exe", "a\ufffdgnp.exe"),
        ("a\udc80b", "a\ufffdb"),
    ],
)
def test_what_steers_a_terminal_is_not_printed(name, shown):
    assert one_line(name) == shown
    assert not harmless(name)
    shown.encode()


def test_what_is_cut_shows_it():
    assert one_line("x" * 100, 100) == "x" * 100
    assert one_line("x" * 101, 100) == "x" * 99 + "…"
    assert one_line(7) == "7"
