"""The relay does what it says, and nothing else."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time

import pytest


@pytest.fixture
def echo():
    """A server that sends everything back."""
    door = socket.create_server(("127.0.0.1", 0))
    threads = []

    def serve(sock):
        with sock:
            try:
                while data := sock.recv(65536):
                    sock.sendall(data)
            except OSError:
                pass

    def accept():
        while True:
            try:
                sock, _ = door.accept()
            except OSError:
                return
            thread = threading.Thread(target=serve, args=(sock,), daemon=True)
            thread.start()
            threads.append(thread)

    threads.append(threading.Thread(target=accept, daemon=True))
    threads[0].start()
    yield door.getsockname()[1]
    door.shutdown(socket.SHUT_RDWR)
    door.close()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


def dial(proxy):
    sock = socket.create_connection(("127.0.0.1", proxy.port))
    sock.settimeout(10)
    return sock


def ask(sock, data):
    sender = threading.Thread(target=sock.sendall, args=(data,))
    sender.start()
    got = b""
    while len(got) < len(data):
        part = sock.recv(1 << 20)
        assert part, "closed early"
        got += part
    sender.join()
    return got


def test_a_pair_that_is_cut_before_its_first_step_is_closed(proxy):
    near, far = socket.socketpair()

    async def at_once():
        proxy._pair(asyncio.get_running_loop(), near, far)
        await proxy._cut()
        await asyncio.sleep(0)

    asyncio.run_coroutine_threadsafe(at_once(), proxy._loop).result(5)
    assert (near.fileno(), far.fileno()) == (-1, -1)


def test_it_passes_everything_on_in_order_and_ends_with_its_ends(echo, make_proxy):
    proxy = make_proxy(echo)
    data = random.Random(1).randbytes(3_000_000)
    with dial(proxy) as sock:
        assert ask(sock, data) == data
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b"", "an end of the stream goes through, and comes back"
    assert (proxy.counts.up, proxy.counts.down, proxy.counts.accepted) == (len(data), len(data), 1)
    assert proxy.counts.flipped == 0


def test_delay_and_width_are_those_of_the_road(echo, make_proxy):
    proxy = make_proxy(echo)
    with dial(proxy) as sock:
        ask(sock, b"warm")
        proxy.set(delay=0.1)
        began = time.monotonic()
        ask(sock, b"x")
        assert 0.2 <= time.monotonic() - began < 1.0, "there and back"
        proxy.set(delay=0.0)
        proxy.set("down", rate=100_000.0)
        began = time.monotonic()
        data = random.Random(2).randbytes(60_000)
        assert ask(sock, data) == data
        assert 0.55 <= time.monotonic() - began < 2.0


def test_a_hole_swallows_nothing_for_good_and_closes_nothing(echo, make_proxy):
    proxy = make_proxy(echo)
    with dial(proxy) as sock:
        ask(sock, b"warm")
        with proxy.fault("down", hole=True):
            sock.sendall(b"lost?")
            sock.settimeout(0.3)
            with pytest.raises(TimeoutError):
                sock.recv(10)
        sock.settimeout(10)
        assert sock.recv(10) == b"lost?"


def test_a_cut_resets_and_a_refused_road_takes_nobody(echo, make_proxy):
    proxy = make_proxy(echo)
    with dial(proxy) as sock:
        ask(sock, b"warm")
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    assert proxy.connections == 0
    proxy.refuse = True
    with pytest.raises(ConnectionResetError), dial(proxy) as sock:
        sock.recv(1)
    proxy.heal()
    with dial(proxy) as sock:
        assert ask(sock, b"again") == b"again"


def test_bits_flip_as_often_as_asked_and_the_same_for_a_seed(echo, make_proxy):
    data = bytes(200_000)
    seen = []
    for _ in range(2):
        proxy = make_proxy(echo, seed=3)
        proxy.set("down", flip=1e-3)
        with dial(proxy) as sock:
            got = ask(sock, data)
        assert sum(b.bit_count() for b in got) == proxy.counts.flipped
        seen.append(proxy.counts.flipped)
    assert all(120 <= n <= 280 for n in seen)
