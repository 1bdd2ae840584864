"""Who gets in, as whom, and what a refusal costs."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading

import grpc
import pytest

from nbmonitor.errors import ServerError, SettingError
from nbmonitor.events import Command, CommandKind, CommandState, RunInfo
from nbmonitor.rpc import codec, limits
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.limits import Call
from nbmonitor.rpc.publisher import Publisher
from nbmonitor.rpc.server import Server
from nbmonitor.rpc.trust import auth, issuing, keys
from nbmonitor.rpc.trust.auth import GIVES, NEEDS, TOKENLESS, Auth, Caller, metadata
from nbmonitor.rpc.trust.keys import Keyring
from nbmonitor.rpc.trust.refusals import HOSTS, QUIET, Refusals, host_of

OWNER = "o" * 43
TOKENS = {"owner": OWNER, "controller": "c" * 43, "viewer": "v" * 43, "trainer": "t" * 43}
EXPIRED = "e" * 43
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
DENIED = grpc.StatusCode.PERMISSION_DENIED
SERVICES = (codec.CONTRACT, codec.INGEST, codec.MONITOR)


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "tokens"
    lines = [OWNER, *(f"{TOKENS[r]} {r} {r}-name" for r in ("controller", "viewer", "trainer"))]
    auth.write_private(path, "\n".join([*lines, f"{EXPIRED} viewer old expires=2001-01-01"]))
    return path


@pytest.fixture
def refused():
    return []


@pytest.fixture
def server(broker, token_file, refused):
    made = Server(broker, token_file=token_file, refused=lambda *told: refused.append(told)).start()
    yield made
    made.close(0.2)


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.address) as made:
        yield made


def call(channel, path, token=None, *, data=b"", extra=()):
    """Calls an RPC of any kind and returns (code, details)."""
    service, _, name = path[1:].partition("/")
    asks, answers = (False, name == "Watch")
    if service in SERVICES:
        asks, answers = codec.methods(service)[name]
    kind = f"{'stream' if asks else 'unary'}_{'stream' if answers else 'unary'}"
    given = (*metadata(token), *extra)
    try:
        answer = getattr(channel, kind)(path)(
            iter([data]) if asks else data, timeout=5, metadata=given
        )
        if answers:
            next(iter(answer), None)
            answer.cancel()
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


# --- the table -------------------------------------------------------------------------------------------------------


def declared():
    """Every RPC of every service, off the descriptors: not what the table says."""
    return {f"/{s}/{name}" for s in SERVICES for name in codec.methods(s)}


def test_the_table_names_every_rpc_that_is_declared_and_every_one_that_is_served(server):
    ours = {p for p in NEEDS if "reflection" not in p}
    assert ours == declared()
    served = set(server.serves())
    assert served - declared() == {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"}
    assert declared() > TOKENLESS
    assert len(TOKENLESS) == 4


def test_every_rpc_without_a_token_with_a_wrong_one_and_with_an_expired_one(server, channel):
    for path in server.serves():
        code, details = call(channel, path)
        if path.startswith(auth.HEALTH) or path in TOKENLESS:
            assert code not in (UNAUTHENTICATED, DENIED), path
        else:
            assert code is UNAUTHENTICATED, path
            assert "token_file=" in details
        for token, why in (("wrong", "the token is wrong"), (EXPIRED, "expired on 2001-01-02")):
            code, details = call(channel, path, token)
            if not path.startswith(auth.HEALTH):
                assert code is UNAUTHENTICATED, path
                assert why in details


@pytest.mark.parametrize("role", TOKENS)
def test_every_rpc_in_every_role(server, channel, role):
    may = {
        "owner": {"report", "read", "steer"},
        "controller": {"read", "steer"},
        "viewer": {"read"},
        "trainer": {"report"},
    }[role]
    allowed = 0
    for path in declared():
        needs = NEEDS[path]
        code, details = call(channel, path, TOKENS[role])
        assert code is not UNAUTHENTICATED, path
        if needs in may or needs == "ask":
            assert code is not DENIED, (path, details)
            allowed += 1
        else:
            assert code is DENIED, path
            assert f"{role}'s ({role}-name)" in details
            assert "nbmonitor token" in details
    assert 0 < allowed <= len(declared())


def test_reading_and_steering_are_told_apart():
    """By name, against a slip in the table that all tests above would follow."""
    reads = {p.rpartition("/")[2] for p, need in NEEDS.items() if need == "read"}
    steers = {p.rpartition("/")[2] for p, need in NEEDS.items() if need == "steer"}
    assert steers == {"SendCommand", "UpdateRun", "SetNote", "SetSampleFlags"}
    assert {"WatchRun", "ListRuns", "GetHistory", "ListAuditEvents", "DownloadCheckpoint"} <= reads
    assert "steer" not in GIVES["viewer"] | GIVES["trainer"]
    assert "read" not in GIVES["trainer"]
    assert "report" not in GIVES["viewer"] | GIVES["controller"]


def test_what_is_not_in_the_table_is_refused_even_to_the_owner():
    judge = Auth(OWNER)
    for path in ("/nbmonitor.rpc.v1.MonitorService/Shell", "/x/Y", "", "/grpc.health.v1.Health"):
        verdict = judge.judge(path, "unix:", metadata(OWNER))
        assert "not served to anybody" in verdict.why
        assert judge.objection(path, "unix:", ()) != ""


def test_reflection_needs_a_token():
    judge = Auth(OWNER)
    for version in ("v1", "v1alpha"):
        path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        assert "a token is needed" in judge.objection(path, "unix:", ())
        assert judge.objection(path, "unix:", metadata(OWNER)) == ""


# --- without a token -------------------------------------------------------------------------------------------------


def test_from_another_machine_a_token_is_needed():
    judge = Auth(OWNER)
    trainer = "/metrics.MetricsService/StreamMetrics"
    for near in ("ipv4:127.0.0.1:5", "ipv6:[::1]:5", "ipv6:%5B::1%5D:5", "unix:/x", "unix:"):
        verdict = judge.judge(trainer, near, ())
        assert (verdict.why, verdict.caller.role, verdict.caller.holder) == ("", "trainer", False)
    for far in ("ipv4:10.0.0.1:5", "ipv4:128.0.0.1:5", "ipv6:[2001::1]:5", "", "127.0.0.1", "abc"):
        assert "another machine" in judge.objection(trainer, far, ())
        assert judge.objection(trainer, far, metadata(OWNER)) == ""


@pytest.mark.parametrize(
    "header",
    [
        OWNER,
        f"Basic {OWNER}",
        "Bearer",
        "Bearer ",
        f"Bearer {OWNER[:-1]}",
        f"Bearer {OWNER}x",
        f"Bearer {OWNER} {OWNER}",
        "Bearer ü",
        "Bearer \udcff",
    ],
)
def test_a_header_that_is_nearly_right_is_wrong_and_not_as_good_as_none(header):
    judge = Auth(OWNER)
    for path in ("/metrics.MetricsService/StreamMetrics", f"/{codec.MONITOR}/ListRuns"):
        verdict = judge.judge(path, "unix:", ((auth.HEADER, header),))
        assert "wrong" in verdict.why
        assert (verdict.caller.holder, verdict.caller.role) == (False, "")


def test_of_two_headers_both_must_be_right():
    judge = Auth(OWNER)
    path = f"/{codec.MONITOR}/ListRuns"
    right, wrong = (auth.HEADER, f"bearer {OWNER}"), (auth.HEADER, "Bearer x")
    assert judge.objection(path, "unix:", (right,)) == ""
    assert judge.objection(path, "unix:", (right, right)) == ""
    for both in ((right, wrong), (wrong, right)):
        assert "wrong" in judge.objection(path, "unix:", both)
    assert "wrong" in judge.objection(path, "unix:", ((auth.HEADER, b"Bearer"), wrong))


def test_runs_without_a_token_can_be_turned_off(broker):
    server = Server(broker, token=OWNER, tokenless=False).start()
    try:
        with grpc.insecure_channel(server.address) as channel:
            for path in TOKENLESS:
                code, details = call(channel, path)
                assert (code, "NBMONITOR_TOKENLESS=0" in details) == (UNAUTHENTICATED, True)
            assert call(channel, "/grpc.health.v1.Health/Check")[0] is grpc.StatusCode.OK
    finally:
        server.close(0.2)


def test_without_a_token_nobody_takes_up_a_token_holders_run_even_with_its_secret(
    server, broker, eventually
):
    """A secret may have leaked; a run that was opened with a token stays out of reach without one."""
    holder = Publisher(server.address, TOKENS["trainer"], retry=(0.02, 0.2)).start()
    stranger = Publisher(server.address, None, retry=(0.02, 0.2))
    stranger._secret = holder._secret
    try:
        info = holder.open(RunInfo("", "mine"), lambda c: None)
        eventually(broker.runs)
        stranger.start().open(RunInfo(info.run_id, "stolen"), lambda c: None)
        eventually(lambda: "belongs to another trainer" in stranger.problem)
        assert [r.name for r in broker.runs()] == ["mine"]
    finally:
        holder.close(1)
        stranger.close(1)


def test_a_run_of_no_token_is_taken_up_by_its_own_trainer(server, broker, eventually):
    first = Publisher(server.address, None, retry=(0.02, 0.2)).start()
    second = Publisher(server.address, None, retry=(0.02, 0.2))
    second._secret = first._secret
    try:
        info = first.open(RunInfo("", "mine"), lambda c: None)
        eventually(broker.runs)
        first.close(1)
        second.start().open(RunInfo(info.run_id, "mine"), lambda c: None)
        eventually(lambda: second._connected)
        assert second.problem == ""
    finally:
        second.close(1)


# --- who it is -------------------------------------------------------------------------------------------------------


def test_the_certificate_beats_the_token_beats_what_a_client_calls_itself(token_file):
    judge = Auth(Keyring(token_file))
    path = f"/{codec.MONITOR}/SendCommand"
    given = (*metadata(TOKENS["controller"]), (auth.CLIENT, "eve@laptop"))
    bearer = ((auth.HEADER, f"Bearer {TOKENS['controller']}"), (auth.CLIENT, "eve@laptop"))
    caller = judge.judge(path, "ipv4:10.0.0.1:7", given, {}).caller
    assert (caller.name, caller.actor, caller.role) == ("controller-name",) * 2 + ("controller",)
    cert = {"x509_common_name": [b"ada"]}
    caller = judge.judge(path, "ipv4:10.0.0.1:7", bearer, cert).caller
    assert caller == Caller(
        "controller", "ada", "ipv4:10.0.0.1:7", holder=True, declared="eve@laptop"
    )
    owner = ((auth.HEADER, f"Bearer {OWNER}"), (auth.CLIENT, " eve\x1b[31m\n@läptop "))
    caller = judge.judge(path, "unix:", owner, {}).caller
    assert (caller.name, caller.actor) == ("", "eve[31m@lptop")
    long = ((auth.HEADER, f"Bearer {OWNER}"), (auth.CLIENT, "x" * 10_000))
    assert len(judge.judge(path, "unix:", long, {}).caller.actor) == 64


def test_a_certificate_alone_opens_nothing(token_file):
    judge = Auth(Keyring(token_file))
    verdict = judge.judge(f"/{codec.MONITOR}/ListRuns", "unix:", (), {"x509_common_name": [b"ada"]})
    assert "a token is needed" in verdict.why
    assert (verdict.caller.name, verdict.caller.holder) == ("ada", False)


def test_a_handler_is_told_who_calls(server, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "nbmonitor.rpc.limits.Call",
        lambda *a: seen.append(a[1]) or Call(*a),
    )
    client = Client(server.address, TOKENS["viewer"]).connect()
    client.close()
    assert {c.role for c in seen} == {"viewer"}
    assert {c.actor for c in seen} == {"viewer-name"}
    assert all(c.declared for c in seen), "our client says who it is"


def test_a_viewer_watches_and_cannot_steer(server, broker, token_file, eventually):
    trainer = Publisher(server.address, TOKENS["trainer"], retry=(0.02, 0.2)).start()
    trainer.open(RunInfo("", "mine", controls={"pause": {}}), lambda c: None)
    eventually(broker.runs)
    viewer = Client(server.address, TOKENS["viewer"]).connect()
    try:
        (run,) = viewer.runs()
        assert not run.steerable, "its panel offers nothing that will be refused"
        assert "only reads" in run.why
        record = viewer.send(Command(run.run_id, CommandKind.PAUSE))
        assert record.state is CommandState.REJECTED, "it is known that nothing will come of it"
        assert "needs a controller's token" in record.error
        assert not list(broker.commands(run.run_id))
    finally:
        viewer.close()
        trainer.close(1)


def test_a_token_that_is_revoked_opens_nothing_any_more(server, channel, token_file, monkeypatch):
    path = f"/{codec.MONITOR}/ListRuns"
    assert call(channel, path, TOKENS["viewer"])[0] is grpc.StatusCode.OK
    issuing.revoke(token_file, "viewer-name")
    monkeypatch.setattr(keys, "LOOK", 0.0)
    assert call(channel, path, TOKENS["viewer"])[0] is UNAUTHENTICATED
    assert call(channel, path, TOKENS["controller"])[0] is grpc.StatusCode.OK


def test_a_stream_ends_when_its_token_is_revoked_and_others_go_on(
    server, channel, token_file, monkeypatch
):
    monkeypatch.setattr(keys, "LOOK", 0.0)
    monkeypatch.setattr(limits, "AGAIN", 0.0)
    watch = channel.unary_stream(f"/{codec.MONITOR}/WatchRun")
    hers = watch(b"", metadata=metadata(TOKENS["viewer"]), timeout=10)
    his = watch(b"", metadata=metadata(TOKENS["controller"]), timeout=10)
    for stream in (hers, his):
        next(stream)
        next(stream)
    issuing.revoke(token_file, "viewer-name")
    with pytest.raises(grpc.RpcError) as caught:
        list(itertools.islice(hers, 10))  # it speaks every half second
    assert caught.value.code() is UNAUTHENTICATED
    for _ in range(3):
        next(his)
    his.cancel()


@pytest.mark.parametrize("token", ["", "ü", "a\nb"])
def test_a_server_without_a_usable_token_does_not_start(broker, token):
    before = threading.active_count()
    with pytest.raises(SettingError, match="Expected 32 random bytes"):
        Server(broker, token=token)
    assert threading.active_count() == before


def test_a_server_with_an_empty_token_file_does_not_start(broker, tmp_path):
    auth.write_private(tmp_path / "empty", "\n")
    with pytest.raises(ServerError, match="no token in it"):
        Server(broker, token_file=tmp_path / "empty")


# --- what a refusal costs --------------------------------------------------------------------------------------------


def test_refusals_beyond_five_a_second_are_short_and_logged_once(caplog, clock):
    told = []
    counts = Refusals(lambda *a: told.append(a), clock)
    eve = Caller("", "", "ipv4:10.0.0.9:1", holder=False)
    with caplog.at_level(logging.WARNING, "nbmonitor"):
        answers = [counts.note(eve, "/x/Y", "the token is wrong") for _ in range(1000)]
    assert sum("slow down" not in a for a in answers) == 5
    assert all(a.startswith("the token is wrong") for a in answers)
    assert len(caplog.records) == 1
    assert "10.0.0.9" in caplog.text
    assert len(told) == 5
    assert counts.total == 1000
    clock.now += 0.2
    assert "slow down" not in counts.note(eve, "/x/Y", "the token is wrong")
    assert "995 more refusals" in told[-1][2]
    clock.now += 3600
    assert sum("slow down" not in counts.note(eve, "/x/Y", "w") for _ in range(100)) == 5
    ada = Caller("", "", "ipv4:10.0.0.8:1", holder=False)
    assert "slow down" not in counts.note(ada, "/x/Y", "w"), "each host has its own"


def test_another_port_is_the_same_host_and_many_hosts_are_not_remembered_for_ever(clock):
    told = []
    counts = Refusals(lambda *a: told.append(a), clock)
    for port in range(20):
        counts.note(Caller("", "", f"ipv6:[::5]:{port}", holder=False), "/x/Y", "w")
    assert len(told) == 5
    for host in range(10 * HOSTS):
        counts.note(Caller("", "", f"ipv4:10.0.{host}.1:5", holder=False), "/x/Y", "w")
    assert len(counts._hosts) <= HOSTS
    assert len(counts._said) <= HOSTS
    assert len(told) <= 25, "of all hosts together the audit log is told 20 a second"
    assert host_of("unix:") == "unix:"
    assert host_of("") == "an unknown peer"


def test_the_same_is_worth_a_line_again_after_a_while(caplog, clock):
    counts = Refusals(None, clock)
    eve = Caller("", "", "unix:", holder=False)
    with caplog.at_level(logging.WARNING, "nbmonitor"):
        counts.note(eve, "/x/Y", "w")
        clock.now += QUIET - 1
        counts.note(eve, "/x/Y", "w")
        assert len(caplog.records) == 1
        clock.now += 1
        counts.note(eve, "/x/Y", "w")
        assert len(caplog.records) == 2


def test_a_stranger_on_the_same_address_does_not_lock_the_owner_out(server, channel, refused):
    path = f"/{codec.MONITOR}/ListRuns"
    for _ in range(50):
        assert call(channel, path, "wrong")[0] is UNAUTHENTICATED
    assert "slow down" in call(channel, path, "wrong")[1]
    for _ in range(20):
        assert call(channel, path, OWNER)[0] is grpc.StatusCode.OK
    assert 5 <= len(refused) < 40
    caller, method, why = refused[0]
    assert (caller.holder, method, "wrong" in why) == (False, path, True)
    assert "wrong" not in repr(caller), "what was given as token is not handed on"


def test_a_hook_that_fails_neither_opens_nor_closes_the_door(server, channel):
    def broken(*_):
        raise OSError("the disk of the audit log is full")

    server._gate.refusals.refused = broken
    path = f"/{codec.MONITOR}/ListRuns"
    code, details = call(channel, path, "wrong")
    assert (code, "disk" in details) == (UNAUTHENTICATED, False)
    assert call(channel, path, OWNER)[0] is grpc.StatusCode.OK


def test_no_token_is_ever_logged(server, channel, caplog):
    with caplog.at_level(logging.DEBUG):
        for path in list(server.serves())[:6]:
            for token in (*TOKENS.values(), EXPIRED, "w" * 43):
                with contextlib.suppress(grpc.RpcError):
                    call(channel, path, token)
    for token in (*TOKENS.values(), EXPIRED, "w" * 43):
        assert token not in caplog.text
