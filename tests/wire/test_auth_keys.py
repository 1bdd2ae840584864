"""Token files: what they say, what breaks them, how a running server takes up a change."""

from __future__ import annotations

import logging
import os
import stat
import time
from datetime import UTC, datetime

import pytest

from nbmonitor.errors import AttachError, ServerError, SettingError
from nbmonitor.rpc.trust import auth, issuing, keys
from nbmonitor.rpc.trust.keys import Keyring

OWNER, ADA, BOB = "o" * 43, "a" * 43, "b" * 43


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tokens"

    def write(text):
        auth.write_private(path, text)
        return path

    write(f"{OWNER}\n")
    write.path = path
    return write


@pytest.fixture
def watched(file, clock, monkeypatch):
    """A keyring, and a list with an entry for each of its looks at the disk from now on."""
    ring, looks, look = Keyring(file.path, monotonic=clock), [], Keyring._look
    monkeypatch.setattr(Keyring, "_look", lambda self: looks.append(1) or look(self))
    return ring, looks


def test_a_file_says_who_holds_what(file):
    path = file(
        f"# the owner\n{OWNER}  # mine\n\n{ADA} viewer ada@laptop expires=2031-05-01\n"
        f"{BOB} Controller\n{'c' * 43} trainer expires=2031-05-01T12:00:00+02:00\n"
    )
    owner, ada, bob, trainer = keys.read_file(path)
    assert (owner.role, owner.name, owner.expires) == ("owner", "", None)
    assert (ada.role, ada.name) == ("viewer", "ada@laptop")
    day = datetime(2031, 5, 1, tzinfo=UTC).timestamp()
    assert ada.expires == day + 86_400, "a day counts to its end"
    assert (bob.role, bob.name) == ("controller", "")
    assert trainer.expires == day + 10 * 3600
    assert auth.read_token(path) == OWNER, "a client reads the first"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no token"),
        ("# nothing\n  \n", "no token"),
        ("{o}\n{a}\n", "line 2.*without a role"),
        ("{o}\n{a} admin\n", "line 2.*'admin' is no role"),
        ("{o}\n{a} viewer ada lovelace\n", "line 2.*expected TOKEN"),
        ("{o}\n{a} viewer expires=tomorrow\n", "line 2.*no date"),
        ("{o}\n{a} viewer expires=2031-01-01 expires=2032-01-01\n", "line 2.*expected TOKEN"),
        ("{o}\n{o} viewer\n", "line 2.*further up"),
        ("tökens\n", "line 1.*printable"),
        ("x" * 5000, "line 1.*too long"),
    ],
)
def test_a_broken_file_is_refused_with_its_line_and_without_its_tokens(file, text, why):
    path = file(text.format(o=OWNER, a=ADA))
    with pytest.raises(ServerError, match=why) as caught:
        Keyring(path)
    for token in (OWNER, ADA):
        assert token not in str(caught.value)
    with pytest.raises(AttachError, match="holds no token"):
        auth.read_token(path)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
@pytest.mark.parametrize("mode", [0o604, 0o640, 0o666])
def test_a_file_that_others_may_read_is_refused(file, mode):
    file.path.chmod(mode)
    with pytest.raises(ServerError, match=r"others may read.*chmod 600"):
        Keyring(file.path)


def test_no_file_and_no_key_is_no_server(tmp_path):
    with pytest.raises(ServerError, match="No such file"):
        Keyring(tmp_path / "nowhere")
    with pytest.raises(ServerError, match="without any token would be open"):
        Keyring()
    for empty in ("", " ", "a\tb"):
        with pytest.raises(SettingError, match="Expected 32 random bytes"):
            keys.key(empty.strip() if empty != "a\tb" else empty)


def test_the_token_itself_is_not_kept(file):
    ring = Keyring(file(f"{OWNER}\n{ADA} viewer ada\n"))
    seen = repr(vars(ring)) + repr(ring.held())
    assert OWNER not in seen
    assert ADA not in seen
    assert repr(ring.held()[0].digest) not in repr(ring.held())


def test_a_change_is_taken_up_and_looked_for_once_a_second(file, clock, watched):
    ring, looks = watched
    file(f"{OWNER}\n{ADA} viewer ada\n")
    for _ in range(100):
        assert ring.find(ADA) is None
    assert looks == [], "not looked at within a second"
    clock.now += 1.0
    for _ in range(100):
        assert ring.find(ADA).role == "viewer"
    assert len(looks) == 1
    file(f"{OWNER}\n")  # revoked
    clock.now += 1.0
    assert ring.find(ADA) is None
    assert ring.find(OWNER).role == "owner"


def test_a_token_that_was_just_made_is_taken_at_once(file, clock, watched):
    ring, looks = watched
    file(f"{OWNER}\n{ADA} viewer ada\n")
    clock.now += 0.1
    assert ring.find(ADA).role == "viewer"
    for _ in range(100):  # wrong ones do not make the server read its disk
        assert ring.find("wrong") is None
    assert len(looks) == 1


def test_a_rewrite_in_place_of_the_same_length_is_seen(file, clock):
    ring = Keyring(file.path, monotonic=clock)
    time.sleep(0.02)
    with file.path.open("w") as opened:
        opened.write(f"{BOB}\n")
    clock.now += 1.0
    assert ring.find(BOB) is not None
    assert ring.find(OWNER) is None


@pytest.mark.parametrize("how", ["broken", "gone", "readable"])
def test_a_broken_change_keeps_the_keys_and_is_said_once(file, clock, caplog, how):
    ring = Keyring(file.path, monotonic=clock)
    if how == "broken":
        file(f"{ADA} emperor\n")
    elif how == "gone":
        file.path.unlink()
    else:
        file(f"{ADA}\n").chmod(0o644)
    with caplog.at_level(logging.WARNING, "nbmonitor"):
        for _ in range(20):
            clock.now += 1.0
            assert ring.find(OWNER) is not None
            assert ring.find(ADA) is None
    assert caplog.text.count("cannot be used") == 1
    assert "stay valid" in caplog.text
    assert ADA not in caplog.text
    file(f"{ADA}\n")
    clock.now += 1.0
    assert ring.find(ADA) is not None, "and a good one is taken up again"


def test_a_key_expires_by_the_clock_of_the_day(file, clock):
    day = datetime(2031, 5, 1, tzinfo=UTC).timestamp()
    ring = Keyring(file(f"{OWNER}\n{ADA} viewer ada expires=2031-05-01\n"), now=clock)
    ada = ring.find(ADA)
    for when, over in ((day, False), (day + 86_399, False), (day + 86_400, True)):
        clock.now = when
        assert ring.expired(ada) is over
        assert not ring.expired(ring.find(OWNER))


def test_every_key_is_compared_whichever_is_right(monkeypatch):
    ring = Keyring(fixed=[keys.key(t) for t in (OWNER, ADA, BOB)])
    compared = []
    monkeypatch.setattr(
        keys.hmac, "compare_digest", lambda a, b: compared.append((len(a), len(b))) or a == b
    )
    for given in (OWNER, ADA, BOB, "wrong", "", "ü", "x" * 10_000):
        compared.clear()
        ring.find(given)
        assert compared == [(32, 32)] * 3


# --- making, handing over, taking back -------------------------------------------------------------------------------


def test_a_token_is_made_handed_over_and_taken_back(file, tmp_path, clock):
    ring = Keyring(file.path, monotonic=clock)
    out = tmp_path / "for-ada"
    made = issuing.create(file.path, "viewer", "ada", days=2, out=out)
    assert (made.role, made.name) == ("viewer", "ada")
    assert 1.99 * 86_400 < made.expires - time.time() <= 2 * 86_400
    for path in (out, file.path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = auth.read_token(out)
    assert out.read_text().count("\n") == 1
    assert token not in repr(made)
    clock.now += 1
    assert ring.find(token) == made
    assert ring.find(OWNER).role == "owner", "what stood there stands"
    with pytest.raises(SettingError, match="'ada' already"):
        issuing.create(file.path, "viewer", "ada", out=tmp_path / "again")
    issuing.create(file.path, "trainer", "box", out=tmp_path / "for-box")
    assert issuing.revoke(file.path, "ada") == made
    clock.now += 1
    assert ring.find(token) is None
    assert ring.find(OWNER) is not None
    assert issuing.revoke(file.path, keys.digest(OWNER).hex()[:8]).role == "owner"
    with pytest.raises(SettingError, match="the only token"):
        issuing.revoke(file.path, "box")
    for unknown in ("ada", "", "eve"):
        with pytest.raises(SettingError, match=r"Expected one of: box"):
            issuing.revoke(file.path, unknown)


def test_comments_survive_a_revocation(file):
    text = f"# keep me\n{OWNER}\n{ADA} viewer ada # hers\n# and me\n"
    issuing.revoke(file(text), "ada")
    assert file.path.read_text() == f"# keep me\n{OWNER}\n# and me\n"


@pytest.mark.parametrize(
    ("role", "name", "days"),
    [
        ("emperor", "ada", None),
        ("viewer", "", None),
        ("viewer", "ada lovelace", None),
        ("viewer", "#ada", None),
        ("viewer", "expires=2031-01-01", None),
        ("viewer", "../ada", None),
        ("viewer", "a\nb", None),
        ("viewer", "ädä", None),
        ("viewer", "x" * 65, None),
        ("viewer", "ada", 0),
        ("viewer", "ada", float("nan")),
        ("viewer", "ada", float("inf")),
    ],
)
def test_what_cannot_be_a_token_is_refused_and_changes_nothing(file, tmp_path, role, name, days):
    before = file.path.read_text()
    with pytest.raises(SettingError, match=r"[Ee]xpected"):
        issuing.create(file.path, role, name, days=days, out=tmp_path / "out")
    assert file.path.read_text() == before
    assert not (tmp_path / "out").exists()


def test_who_was_handed_a_token_cannot_hand_on_by_mistake(file, tmp_path):
    issuing.create(file.path, "viewer", "ada", out=tmp_path / "ada.token")
    before = (tmp_path / "ada.token").read_text()
    with pytest.raises(SettingError, match="holds no owner's token"):
        issuing.create(tmp_path / "ada.token", "viewer", "bob", out=tmp_path / "bob.token")
    assert (tmp_path / "ada.token").read_text() == before
    assert not (tmp_path / "bob.token").exists()


def test_a_file_is_never_overwritten_to_hand_a_token_over(file, tmp_path):
    (tmp_path / "out").write_text("precious")
    with pytest.raises(SettingError, match="exists already"):
        issuing.create(file.path, "viewer", "ada", out=tmp_path / "out")
    assert (tmp_path / "out").read_text() == "precious"
    assert file.path.read_text() == f"{OWNER}\n"


def test_a_token_that_cannot_be_written_is_no_token(file, tmp_path):
    with pytest.raises(SettingError, match=r"cannot be written.*Expected a folder that is there"):
        issuing.create(file.path, "viewer", "ada", out=tmp_path / "nowhere" / "ada.token")
    assert file.path.read_text() == f"{OWNER}\n"
    with pytest.raises(SettingError, match=r"cannot be written.*Expected a folder that is there"):
        issuing.create(tmp_path / "nowhere" / "file", "viewer", "ada", out=tmp_path / "ada.token")
    assert not (tmp_path / "ada.token").exists()


def test_what_is_no_role_is_said_without_a_line_number(file, tmp_path):
    with pytest.raises(SettingError, match=r"^'king' is no role. Expected one of owner, "):
        issuing.create(file.path, "king", "ada", out=tmp_path / "out")


def test_a_server_file_that_is_not_there_begins_with_an_owner(tmp_path):
    issuing.create(tmp_path / "new", "controller", "ada", out=tmp_path / "out")
    assert [k.role for k in keys.read_file(tmp_path / "new")] == ["owner", "controller"]


def test_a_client_is_told_that_its_token_expired(file):
    with pytest.raises(AttachError, match=r"expired on 2001-01-02 00:00 UTC.*new one"):
        auth.read_token(file(f"{ADA} viewer ada expires=2001-01-01\n"))
