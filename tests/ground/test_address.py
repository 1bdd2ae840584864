"""Addresses are read as people write them, and what is none is refused with the forms that are."""

from __future__ import annotations

import pytest

from nbmonitor.address import Address, parse
from nbmonitor.errors import AttachError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:50051", Address("tcp", host="127.0.0.1", port=50051)),
        (" gpu-box.lan:7 ", Address("tcp", host="gpu-box.lan", port=7)),
        ("[::1]:80", Address("tcp", host="::1", port=80)),
        ("unix:/run/a.sock", Address("unix", path="/run/a.sock")),
        ("unix:///run/a.sock", Address("unix", path="/run/a.sock")),
        ("ssh://box", Address("ssh", host="box")),
        ("ssh://box/", Address("ssh", host="box")),
        (
            "ssh://ada@box:2222/my%20run",
            Address("ssh", host="box", port=2222, user="ada", run="my run"),
        ),
        ("ssh://[fe80::1]:22/r", Address("ssh", host="fe80::1", port=22, run="r")),
        ("digits-cnn", Address("name", run="digits-cnn")),
    ],
)
def test_every_form_is_read(text: str, expected: Address) -> None:
    assert parse(text) == expected
    assert parse(str(expected)) == expected or expected.run == "my run"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host:",
        "localhost",
        "127.0.0.1",
        "host:0",
        "host:65536",
        "host:1e3",
        "a b:80",
        "http://host:80",
        "unix:relative",
        "ssh://-oProxyCommand=id",
        "ssh://-o@box",
        "ssh://",
        "ssh://box name",
        "x\ny",
        "host:٣٣",
    ],
)
def test_what_is_no_address_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(AttachError, match="Expected HOST:PORT"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("unix:/a", True),
        ("name", True),
        ("10.0.0.1:1", False),
        ("localhost.evil.org:1", False),
        ("ssh://localhost", False),
    ],
)
def test_loopback_is_what_stays_on_this_machine(text: str, loopback: bool) -> None:
    assert parse(text).loopback is loopback


def test_only_what_grpc_can_dial_has_a_target() -> None:
    assert parse("[::1]:80").target == "[::1]:80"
    assert parse("unix:/a").target == "unix:/a"
    with pytest.raises(AttachError, match="cannot be dialled"):
        _ = parse("ssh://box").target


def test_a_run_behind_a_port_is_told_where_it_is_chosen() -> None:
    with pytest.raises(AttachError, match="a run is named behind ssh:// alone"):
        parse("127.0.0.1:50051/digits-cnn")
