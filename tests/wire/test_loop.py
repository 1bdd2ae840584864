"""The loop of the servers: one thread while somebody needs it, bells from any thread, and turns that leave room."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import grpc
import pytest
from grpc import aio

from nbmonitor.errors import ServerError
from nbmonitor.rpc import showing
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.loop import EACH, YIELD, YIELDS, Bell, Loop, Turns, shared
from nbmonitor.rpc.server import Server


def _threads():
    return [t for t in threading.enumerate() if t.name == "nbmonitor-grpc"]


@pytest.fixture
def one():
    """A loop that nobody else has."""
    made = Loop()
    yield made
    if made._loop is not None:
        made._loop.run_until_complete(asyncio.sleep(0))  # what was cancelled ends
        made._loop.close()


def test_one_thread_for_all_who_enter_and_none_when_the_last_has_left(one):
    before = _threads()
    one.enter()
    one.enter()
    (thread,) = set(_threads()) - set(before)
    assert thread.daemon, "it never keeps the interpreter from leaving"
    one.leave()
    assert one.run(asyncio.sleep(0, "still there"), 5) == "still there"
    one.leave()
    assert _threads() == before
    one.enter()
    assert one.run(asyncio.sleep(0, "again"), 5) == "again"
    one.leave()


def test_who_enters_while_it_is_held_up_has_the_same_thread(one):
    """Else a second thread would run the same loop, and end: whoever entered would wait for ever."""
    one.enter()
    held = threading.Event()
    one.begin(_hold(held))
    leaving = threading.Thread(target=one.leave)
    leaving.start()
    time.sleep(0.05)
    one.enter()
    held.set()
    leaving.join(2)
    assert not leaving.is_alive(), "it does not wait for a thread that somebody needs"
    assert one.run(asyncio.sleep(0, "runs"), 5) == "runs"
    one.leave()
    with pytest.raises(RuntimeError, match="nobody has entered"):
        one.run(work := asyncio.sleep(0), 5)
    work.close()


async def _hold(until):
    until.wait(20)


def test_what_was_cancelled_ends_before_the_loop_does(one):
    """What a handler says in the end (its run is torn, its place is free) must not wait for the next server."""
    ended, begun = [], threading.Event()

    async def handler():
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            ended.append(True)

    one.enter()
    going = one.begin(handler())
    assert begun.wait(5)
    going.cancel()
    one.leave()
    assert ended


def test_what_never_ends_keeps_nobody(one):
    one.enter()
    one.begin(asyncio.sleep(60))
    began = time.monotonic()
    one.leave()
    assert time.monotonic() - began < 2
    for task in asyncio.all_tasks(one._loop):
        task.cancel()


def test_many_come_and_go_at_once(one):
    wrong = []

    def come_and_go(k):
        for _ in range(50):
            one.enter()
            if one.run(asyncio.sleep(0, k), 5) != k:
                wrong.append(k)
            one.leave()

    before, began = _threads(), time.monotonic()
    crowd = [threading.Thread(target=come_and_go, args=(k,)) for k in range(8)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join(20)
    assert (wrong, one._users, _threads()) == ([], 0, before)
    assert time.monotonic() - began < 10


def test_a_server_that_is_closed_while_the_loop_is_held_up_listens_no_more(broker, eventually):
    """It is stopped later, and what starts meanwhile has the loop after that."""
    held, server = threading.Event(), Server(broker).start()
    shared.begin(_hold(held))
    began = time.monotonic()
    server.close(0.1)
    assert time.monotonic() - began < 3
    second, started = Server(broker), threading.Event()
    thread = threading.Thread(target=lambda: (second.start(), started.set()))
    thread.start()
    assert not started.wait(0.1)
    held.set()
    assert started.wait(5)
    thread.join()
    try:
        Client(second.address, second.token).connect().close()
        eventually(lambda: not _listens(server.port))
    finally:
        second.close(0.1)
    eventually(lambda: shared._users == 0)


def _listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_a_start_that_fails_needs_the_loop_no_more(broker, monkeypatch, error):
    def fails(*_):
        raise error

    monkeypatch.setattr("nbmonitor.rpc.server.probe", fails)
    with pytest.raises((error, ServerError)):
        Server(broker).start()
    assert shared._users == 0


def test_an_interrupt_while_a_server_closes_leaves_no_port(broker, monkeypatch):
    server = Server(broker).start()

    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(server._monitor, "close", interrupted)
    with pytest.raises(KeyboardInterrupt):
        server.close(0.1)
    assert not _listens(server.port)
    assert shared._users == 0


def test_what_runs_in_the_loop_says_how_it_ended(one):
    async def fails():
        raise ZeroDivisionError

    with pytest.raises(RuntimeError, match="nobody has entered"):
        one.run(work := asyncio.sleep(0), 5)
    work.close()
    one.enter()
    try:
        with pytest.raises(ZeroDivisionError):
            one.run(fails(), 5)
        with pytest.raises(TimeoutError):
            one.run(asyncio.sleep(10), 0.01)
    finally:
        one.leave()


def test_a_bell_is_heard_whoever_rings_it_and_whenever():
    async def hear():
        bell, began = Bell(), time.monotonic()
        bell.ring()
        await bell.wait(10)  # it rang before anybody waited
        bell.still()
        threading.Timer(0.05, bell.ring).start()
        await bell.wait(10)
        bell.still()
        await bell.wait(0.05)  # nobody rings
        return time.monotonic() - began

    assert 0.09 < asyncio.run(hear()) < 5


def test_streams_have_a_few_turns_in_every_pass_and_all_have_theirs():
    async def crowd():
        turns, passes, had = Turns(lambda: 60.0), [0], []

        async def stream(k):
            for _ in range(5):
                await turns.take()
                had.append((passes[0], k))

        def count():
            passes[0] += 1
            asyncio.get_running_loop().call_soon(count)

        count()
        await asyncio.gather(*(stream(k) for k in range(10)))
        return had

    had = asyncio.run(crowd())
    assert len(had) == 50
    each = [sum(p == which for p, _ in had) for which in {p for p, _ in had}]
    # A grant and the turn may lie in two passes, so that those of two may meet in one.
    assert max(each) <= 2 * EACH
    rounds = [k for _, k in had]
    assert set(rounds[:12]) == set(range(10)), (
        "in the order of asking, nobody twice before the others"
    )


def test_calls_go_before_streams_and_not_for_ever():
    async def busy(quiet):
        turns, began = Turns(lambda: quiet), time.monotonic()
        for _ in range(3 * EACH):
            await asyncio.gather(*(turns.take() for _ in range(2 * EACH)))
            if quiet == 0.0:
                break
        return time.monotonic() - began

    waited = asyncio.run(busy(0.0))
    assert waited > 0.5 * YIELD * YIELDS, "as long as calls arrive"
    assert waited < 100 * YIELD * YIELDS, "they wait, and have their turn all the same"


def test_who_went_away_takes_nobody_the_turn():
    async def go():
        turns = Turns(lambda: 60.0)
        for _ in range(EACH):
            await turns.take()
        gone = [asyncio.create_task(turns.take()) for _ in range(3 * EACH)]
        stays = asyncio.create_task(turns.take())
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.wait_for(stays, 5)

    asyncio.run(go())


def test_a_crowd_is_shown_less_often_by_as_much_as_its_turns_take():
    """All turns together take a share of one core."""
    assert showing.pause(0.001, 1) == pytest.approx(1 / 60 - 0.001), "no faster than a screen"
    assert showing.pause(0.001, 128) == pytest.approx(0.128 / showing.SHARE - 0.0, abs=0.08)
    assert showing.pause(0.0005, 128) == pytest.approx(0.064 / showing.SHARE)
    assert showing.pause(1.0, 128) == showing.TICK / 2, "nobody falls silent"


def test_a_users_own_grpc_aio_is_not_disturbed(server, caplog):
    """gRPC's poller is one for the process, and wakes the loop of either."""

    async def echo(request, _context):
        return request

    async def own():
        theirs = aio.server()
        handler = grpc.unary_unary_rpc_method_handler(echo)
        theirs.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("a.B", {"C": handler}),)
        )
        port = theirs.add_insecure_port("127.0.0.1:0")
        await theirs.start()
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            ask = channel.unary_unary("/a.B/C")
            for _ in range(300):
                assert await ask(b"x") == b"x"
        await theirs.stop(0)

    client, over = Client(server.address, server.token).connect(), threading.Event()

    def busy():
        while not over.is_set():
            client.ask_server()

    asking = threading.Thread(target=busy)
    asking.start()
    try:
        for _ in range(2):  # a loop of theirs comes and goes
            asyncio.run(own())
    finally:
        over.set()
        asking.join()
        client.close()
    assert [r for r in caplog.records if r.levelname in ("WARNING", "ERROR")] == []
