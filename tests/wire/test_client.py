"""What a viewer elsewhere sees is what is there, and what it asks for is done."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from nbmonitor.audit import whoami
from nbmonitor.broker import Broker
from nbmonitor.errors import AttachError, UnknownRunError
from nbmonitor.events import (
    Batch,
    Command,
    CommandKind,
    CommandRecord,
    CommandState,
    Demand,
    Event,
    LinkState,
    LogLine,
    Performance,
    RunInfo,
    RunState,
    RunUpdate,
    Scalars,
    Status,
)
from nbmonitor.rpc.absence import Absence
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.server import Server
from nbmonitor.store.memory import MemoryStore


class Local:
    """A run in the server's own process."""

    def __init__(self, broker, name="local"):
        self.broker = broker
        self.commands = []
        info = RunInfo("", name, controls={"pause": {}, "stop": {}})
        self.run_id = broker.open(info, self._deliver).run_id

    def _deliver(self, command):
        self.commands.append(command)
        return CommandState.DELIVERED

    def say(self, *payloads, step=0):
        now = time.time()
        self.broker.publish([Event(self.run_id, step, now, p) for p in payloads])

    def loss(self, first, last):
        from nbmonitor.events import Column

        steps = np.arange(first, last + 1)
        times = np.full(len(steps), time.time())
        self.say(Scalars((Column("loss", steps, 1.0 / (steps + 1), times),)), step=last)


@pytest.fixture
def local(broker):
    made = Local(broker)
    made.say(Status(RunState.RUNNING))
    return made


def drained(box, into):
    mail = box.drain()
    into.extend(mail.events)
    return mail.resync


def test_runs_come_and_change_by_themselves(local, broker, client, eventually):
    (info,) = client.runs()
    assert (info.name, info.origin, info.link) == ("local", "remote", LinkState.CONNECTED)
    box = client.subscribe(None)
    second = Local(broker, "second")
    eventually(lambda: [i.name for i in client.runs()] == ["second", "local"])
    second.say(RunUpdate(name="renamed"))
    eventually(lambda: client.run(second.run_id).name == "renamed")
    kinds = [type(e.payload) for e in box.drain().events if e.run_id == second.run_id]
    assert RunUpdate in kinds
    assert client.address.startswith("127.0.0.1:")


def test_asking_at_ten_hertz_asks_the_server_seldom(local, client, monkeypatch):
    local.loss(0, 10)
    client.series(local.run_id)
    asked = []
    ask = client._calls.ask
    monkeypatch.setattr(client._calls, "ask", lambda rpc, *a: asked.append(rpc) or ask(rpc, *a))
    for _ in range(50):
        client.runs()
        client.run(local.run_id)
        client.series(local.run_id)
        client.events(local.run_id)
        client.latest(local.run_id)
        client.window(local.run_id, "loss")
    assert asked == ["GetHistory"], "and that once: nothing was added since"


def test_the_first_picture(local, client):
    local.loss(0, 99)
    local.say(Performance(fps=30.0), Batch(1, 1, predicted=(3,)), LogLine("hello"), step=99)
    assert [s.name for s in client.series(local.run_id)] == ["loss"]
    assert client.series(local.run_id)[0].count == 100
    assert LogLine("hello") in [e.payload for e in client.events(local.run_id)]
    latest = {type(e.payload) for e in client.latest(local.run_id)}
    assert latest == {Performance, Batch}
    assert [e.payload for e in client.events(local.run_id, limit=1)] == [LogLine("hello")]


@pytest.mark.parametrize("axis", ["step", "time"])
def test_windows_are_those_of_the_server(local, broker, client, axis):
    local.loss(0, 9_999)
    for lo, hi, most in ((None, None, 100), (100.0, 200.0, 1000), (5_000.0, None, 50)):
        part = {"axis": axis, "max_points": most}
        if axis == "step":
            part |= {"lo": lo, "hi": hi}
        here = client.window(local.run_id, "loss", **part)
        there = broker.window(local.run_id, "loss", **part)
        np.testing.assert_array_equal(here.x, there.x)
        np.testing.assert_array_equal(here.y, there.y)
        assert (here.total, here.exact) == (there.total, there.exact)
        assert len(here.x) <= most + 2


def test_events_flow_in_order_without_a_gap(local, client, eventually):
    woken = threading.Event()
    box = client.subscribe(local.run_id, notify=woken.set)
    client.events(local.run_id)
    for k in range(200):
        local.say(LogLine(str(k)), step=k)
    seen = []
    eventually(
        lambda: (
            drained(box, seen) or len([e for e in seen if isinstance(e.payload, LogLine)]) == 200
        )
    )
    assert woken.is_set()
    numbers = [e.seq for e in seen]
    assert numbers == sorted(set(numbers))
    assert [e.payload.text for e in seen if isinstance(e.payload, LogLine)] == [
        str(k) for k in range(200)
    ]


def test_a_cursor_brings_what_was_missed(local, broker, client, eventually):
    mark = broker.run(local.run_id).last_seq
    local.say(LogLine("a"), LogLine("b"))
    box = client.subscribe(local.run_id, after_seq=mark)
    seen = []
    eventually(lambda: drained(box, seen) or len(seen) == 2)
    assert [e.payload.text for e in seen] == ["a", "b"]
    late = client.subscribe(local.run_id, after_seq=mark)
    assert late.drain().resync, "the watch is further: read the history again"


def test_pictures_come_at_the_rate_that_was_asked_for(local, broker, client, eventually):
    greedy = broker.subscribe(local.run_id)
    greedy.demand = Demand(60, 512)
    box = client.subscribe(local.run_id)
    box.demand = Demand(5, 128)
    eventually(lambda: broker.demand(local.run_id) == Demand(60, 512))
    client.latest(local.run_id)
    seen = []
    end = time.monotonic() + 1.5
    k = 0
    while time.monotonic() < end:
        local.say(Batch(1, 1, batch=(k := k + 1)), step=k)
        time.sleep(0.02)
        drained(box, seen)
    pictures = [e.payload.batch for e in seen if isinstance(e.payload, Batch)]
    assert 3 <= len(pictures) <= 10
    assert pictures == sorted(set(pictures))
    greedy.close()


def test_a_viewer_of_numbers_alone_is_told_apart_from_nobody(local, broker, client, eventually):
    assert not broker.demand(local.run_id).watched
    box = client.subscribe(local.run_id)
    eventually(lambda: broker.demand(local.run_id) == Demand(0, 512, live=True))
    for fps in (10, 20, 30, 40):  # wishes that follow each other closely: the last one counts
        box.demand = Demand(fps, 512)
    eventually(lambda: broker.demand(local.run_id) == Demand(40, 512))
    box.close()
    eventually(lambda: not broker.demand(local.run_id).watched)


def test_what_a_viewer_wants_reaches_the_broker(local, broker, client, eventually):
    box = client.subscribe(local.run_id)
    box.demand = Demand(30, 256)
    eventually(lambda: broker.demand(local.run_id) == Demand(30, 256))
    second = client.subscribe(local.run_id)
    second.demand = Demand(10, 512)
    eventually(lambda: broker.demand(local.run_id) == Demand(30, 512))
    box.close()
    second.close()
    eventually(lambda: broker.demand(local.run_id).fps == 0)


def test_a_command_is_asked_once_and_its_receipt_comes_as_an_event(
    local, broker, client, eventually
):
    box = client.subscribe(local.run_id)
    client.events(local.run_id)
    command = Command(local.run_id, CommandKind.PAUSE)
    record = client.send(command)
    assert record.state is CommandState.DELIVERED
    assert record.command == command
    assert client.send(command).state is CommandState.DELIVERED
    assert len(local.commands) == 1
    assert local.commands[0].actor == whoami(), "there, it is somebody else"
    assert local.commands[0].peer.startswith("ipv4:127.0.0.1")
    local.say(
        CommandRecord(local.commands[0], CommandState.APPLIED, 4, {}, {"state": "paused"}), step=4
    )
    seen = []
    eventually(lambda: drained(box, seen) or any(_applied(e) for e in seen))
    (applied,) = [e.payload for e in seen if _applied(e)]
    assert (applied.command.actor, applied.step) == ("you", 4)
    refused = client.send(Command(local.run_id, CommandKind.SET_LEARNING_RATE, {"value": 1}))
    assert (refused.state, "no control" in refused.error) == (CommandState.REJECTED, True)
    refused = client.send(Command("nobody", CommandKind.PAUSE))
    assert refused.state is CommandState.REJECTED


def _applied(event):
    return isinstance(event.payload, CommandRecord) and event.payload.state is CommandState.APPLIED


def test_an_unknown_run(client):
    for ask in (client.run, client.series, client.events, client.latest, client.subscribe):
        with pytest.raises(UnknownRunError, match="nobody"):
            ask("nobody")


def test_the_link_is_told_as_it_is(broker, local, eventually):
    server = Server(broker).start()
    client = Client(server.address, server.token).connect()
    try:
        local.loss(0, 9)
        window = client.window(local.run_id, "loss")
        assert client.series(local.run_id)[0].count == 10
        eventually(lambda: client.run(local.run_id).link_rtt)
        assert 0 < client.run(local.run_id).link_rtt < 2
        box = client.subscribe(local.run_id)
        server.close(0)
        eventually(lambda: client.run(local.run_id).link is LinkState.DISCONNECTED)
        assert client.runs()[0].name == "local", "what was seen stays in view"
        np.testing.assert_array_equal(client.window(local.run_id, "loss").x, window.x)
        lost = client.send(Command(local.run_id, CommandKind.PAUSE))
        assert lost.state is CommandState.REJECTED
        assert "was not sent" in lost.error
        local.say(LogLine("said during the cut"))
        server = Server(broker, port=server.port, token=server.token).start()
        seen = []
        eventually(lambda: drained(box, seen) or "said during the cut" in str(seen))
        eventually(lambda: client.run(local.run_id).link is LinkState.CONNECTED)
        assert client.run(local.run_id).reconnects >= 1
    finally:
        client.close()
        server.close(0.2)


def test_a_server_that_comes_back_with_other_tokens_is_not_said_to_be_silent(
    broker, local, eventually
):
    server = Server(broker).start()
    client = Client(server.address, server.token).connect()
    try:
        assert client.trouble == ""
        server.close(0)
        eventually(lambda: client.road is LinkState.DISCONNECTED)
        assert client.trouble == "", "nobody answers: no more is known"
        token = "another-token-of-a-length-that-will-do"
        server = Server(broker, port=server.port, token=token).start()
        why = eventually(lambda: client.trouble)
        assert why.startswith(f"The server at {server.address} refused: ")
        assert client.road is LinkState.DISCONNECTED
    finally:
        client.close()
        server.close(0.2)


def test_a_server_that_is_gone_leaves_its_runs_lost_and_takes_them_back(broker, local, eventually):
    ended = Local(broker, "ended")
    ended.say(Status(RunState.COMPLETED))
    server = Server(broker).start()
    client = Client(server.address, server.token, lost_after=0.5).connect()
    try:
        box, everywhere = client.subscribe(local.run_id), client.subscribe(None)
        seen, states = [], []
        server.close(0)
        eventually(lambda: client.run(local.run_id).link is LinkState.DISCONNECTED)
        assert client.run(local.run_id).state is RunState.RUNNING, "a cut is no end"
        eventually(lambda: client.run(local.run_id).state is RunState.LOST)
        message = client.run(local.run_id).message
        assert message.startswith("no connection for")
        assert "no word of an end" in message
        assert client.runs()[0].state is RunState.COMPLETED, "what had ended stays ended"
        drained(box, seen)
        drained(everywhere, states)
        assert [e.payload for e in seen][-1] == Status(RunState.LOST, message)
        assert ["connection" in e.payload.text for e in seen if isinstance(e.payload, LogLine)] == [
            True
        ]
        assert [(e.run_id, e.payload.state) for e in states if isinstance(e.payload, Status)] == [
            (local.run_id, RunState.LOST)
        ]
        assert [e.payload.state for e in client.events(local.run_id) if _status(e)][-1] == "lost"
        start = time.monotonic()
        refused = client.send(Command(local.run_id, CommandKind.PAUSE))
        assert time.monotonic() - start < 0.5
        assert refused.state is CommandState.REJECTED
        local.say(Status(RunState.PAUSED))
        server = Server(broker, port=server.port, token=server.token).start()
        eventually(lambda: client.run(local.run_id).state is RunState.PAUSED)
        seen = []
        eventually(lambda: drained(box, seen) or "answers again" in str(seen))
        assert [e.payload.state for e in seen if _status(e)][-1] is RunState.PAUSED
        assert client.run(local.run_id).link is LinkState.CONNECTED
        assert [e.payload.state for e in client.events(local.run_id) if _status(e)][-1] == "paused"
    finally:
        client.close()
        server.close(0.2)


def _status(event):
    return isinstance(event.payload, Status)


def test_what_is_said_of_a_server_that_is_silent_and_then_gone():
    absence = Absence("gpu:1", lost_after=30.0)
    running = RunInfo("r", "run", RunState.RUNNING, step=7, last_seq=40)
    over = RunInfo("o", "over", RunState.FAILED)

    def look(link, silence, now, *runs):
        events = absence.look(LinkState(link), silence, now, runs or (running, over))
        return [getattr(e.payload, "text", None) or e.payload for e in events]

    assert look("connected", 0.5, 100) == []
    assert look("stale", 3.0, 103) == [], "a moment is not worth a line"
    (line,) = look("stale", 5.4, 105.4)
    assert line == "No word from the server at gpu:1 for 5 s"
    assert look("stale", 6.0, 106) == []
    assert look("connected", 0.1, 112) == ["The server at gpu:1 answers again after 12 s"]
    assert look("disconnected", 1.0, 200) == ["The connection to the server at gpu:1 was lost"]
    assert look("disconnected", 31.0, 230) == []
    lost = Status(RunState.LOST, "no connection for 31 s and no word of an end")
    assert look("disconnected", 32.0, 231) == [lost]
    assert look("disconnected", 99.0, 299) == []
    paused = RunInfo("r", "run", RunState.PAUSED, last_seq=41)
    again = look("connected", 0.0, 300, paused, over)
    assert again == [Status(RunState.PAUSED), "The server at gpu:1 answers again after 100 s"]
    assert absence.lost == {}
    theirs = [Event("r", 1, 1.0, LogLine("a"), seq=40), Event("r", 1, 1.0, LogLine("b"), seq=42)]
    told = absence.merged("r", theirs)
    assert [e.payload for e in (told[0], told[-1])] == [LogLine("a"), LogLine("b")]
    assert len(told) == 8
    own = [e.seq for e in told[1:-1]]
    assert own == sorted(own), "a mailbox orders by them"
    assert own[-1] < 0
    assert absence.merged("o", ()) == [], "nothing is said of what had ended"


def test_a_slow_link_is_degraded(local, client, monkeypatch):
    monkeypatch.setattr("nbmonitor.rpc.standing.MEASURE", 1e9)
    client._standing.server.rtt = 2.0
    info = client.run(local.run_id)
    assert (info.link, info.link_rtt) == (LinkState.DEGRADED, 2.0)


def test_another_server_at_the_same_address_is_noticed(broker, local, eventually):
    server = Server(broker).start()
    client = Client(server.address, server.token).connect()
    other = Broker(MemoryStore())
    try:
        box = client.subscribe(local.run_id)
        for k in range(50):
            local.say(LogLine(str(k)))
        seen = []
        eventually(lambda: drained(box, seen) or len(seen) >= 50)
        server.close(0)
        info = RunInfo(local.run_id, "again", controls={})
        other.open(info, lambda c: CommandState.DELIVERED)
        server = Server(other, port=server.port, token=server.token).start()
        eventually(lambda: [i.name for i in client.runs()] == ["again"])
        eventually(lambda: box.drain().resync)
        other.publish([Event(local.run_id, 1, time.time(), LogLine("new life"))])
        seen = []
        eventually(lambda: drained(box, seen) or "new life" in str(seen))
    finally:
        client.close()
        server.close(0.2)
        other.close()


def test_a_viewer_that_does_not_keep_up_is_told_to_read_again(local, client, eventually):
    box = client.subscribe(local.run_id)
    client.events(local.run_id)
    box._max_events = 100
    for k in range(300):
        local.say(LogLine(str(k)), step=k)
    eventually(lambda: client.events(local.run_id)[-1].payload == LogLine("299"))
    assert box.drain().resync


def test_no_server_a_wrong_token_and_none(server, broker):
    with pytest.raises(AttachError, match=r"ssh -L 1:127\.0\.0\.1:1"):
        Client("127.0.0.1:1").connect(2)
    with pytest.raises(AttachError, match="token is wrong"):
        Client(server.address, "x" * 43).connect(2)
    with pytest.raises(AttachError, match="token_file="):
        Client(server.address).connect(2)
    with pytest.raises(AttachError, match="HOST:PORT"):
        Client("somewhere")
    with pytest.raises(AttachError, match=r"connect\(\)"):
        Client(server.address)._calls.ask("ListRuns", b"", 1)


def test_closing_lets_everything_go(local, server):
    client = Client(server.address, server.token).connect()
    box = client.subscribe(local.run_id)
    client.series(local.run_id)
    client.close()
    client.close()
    assert box.closed
    assert not [t.name for t in threading.enumerate() if t.name.startswith("nbmonitor-client")]
    with pytest.raises(AttachError):
        client.subscribe(local.run_id)


def test_a_watch_that_nobody_uses_ends(local, client, monkeypatch, eventually):
    monkeypatch.setattr("nbmonitor.rpc.watching.IDLE", 0.1)
    client.series(local.run_id)
    watch = client._watches[local.run_id]
    eventually(lambda: not watch._thread.is_alive())
    local.loss(0, 3)
    eventually(lambda: client.series(local.run_id) and client.series(local.run_id)[0].count == 4)


def test_a_viewer_that_never_reads_turns_into_a_resync_and_not_into_memory(local, server):
    from nbmonitor.rpc.channel import dial, method
    from nbmonitor.rpc.codec import MONITOR, viewer
    from nbmonitor.rpc.trust.auth import metadata

    asked = viewer.watch(viewer.Watch(local.run_id, None))
    with dial(server.address) as channel:
        call = method(channel, MONITOR, "WatchRun")(asked, metadata=metadata(server.token))
        assert viewer.read_seen(next(call)).caught_up
        (showing,) = server._monitor._showings
        box = showing.box
        for _ in range(60):
            local.say(*(LogLine("x" * 1_000) for _ in range(1_000)))
        assert box.dropped > 0
        assert len(box._queue) <= 20_000
        local.say(LogLine("the newest"))
        end = time.monotonic() + 20
        seen = viewer.Seen()
        while not seen.resync and time.monotonic() < end:
            seen = viewer.read_seen(next(call))
        assert seen.resync
        assert "the newest" in str(seen.snapshot[-1:]) + str(seen.events)
        call.cancel()


@pytest.mark.parametrize("_again", range(3))
def test_the_end_of_a_run_reaches_viewers_of_a_server_that_closes_at_once(
    broker, eventually, _again
):
    server = Server(broker).start()
    info = broker.open(RunInfo("", "short"), lambda _c: CommandState.DELIVERED)
    broker.publish([Event(info.run_id, 1, 1.0, Status(RunState.RUNNING))])
    client = Client(server.address, token=server.token)
    client.connect(5)
    box = client.subscribe(info.run_id)
    eventually(lambda: client.run(info.run_id).state is RunState.RUNNING)
    broker.publish([Event(info.run_id, 2, 2.0, Status(RunState.STOPPED))])
    server.close(0.5)
    try:
        eventually(lambda: client.run(info.run_id).state is RunState.STOPPED, timeout=3)
    finally:
        box.close()
        client.close()
