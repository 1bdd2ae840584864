"""The four kinds of calls, made against a server of its own: what fails here fails for every other server too."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np

from nbmonitor.broker import Broker
from nbmonitor.doctor.report import Finding
from nbmonitor.errors import NbMonitorError
from nbmonitor.events import Column, CommandState, Event, RunInfo, RunState, Scalars, Status
from nbmonitor.rpc import codec
from nbmonitor.rpc.channel import method
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.publisher import Publisher
from nbmonitor.rpc.server import Server
from nbmonitor.rpc.trust import auth
from nbmonitor.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbmonitor.doctor.report import Check, Scene

VALUES = 100

_REMEDY = "look at firewalls on 127.0.0.1, at GRPC_* variables, and at GRPC_VERBOSITY=debug"


def _four(scene: Scene) -> Iterator[Finding]:
    broker = Broker(open_store("memory:"))
    server = Server(broker)
    try:
        server.start()
    except NbMonitorError as error:
        yield Finding("self-test", "fail", f"No server can be started: {error}")
        broker.close()
        return
    publisher = Publisher(server.address, server.token)
    client = Client(server.address, server.token)
    try:
        yield _timed("bidi stream", lambda: _report(publisher, broker, scene.timeout))
        yield _timed("unary call", lambda: _ask(client, scene.timeout))
        yield _timed("server stream", lambda: _watch(client, publisher, scene.timeout))
        yield _timed("client stream", lambda: _upload(server, scene.timeout))
    finally:
        client.close()
        publisher.close(0.5)
        server.close(0.2)
        broker.close()


def _timed(name: str, action: Callable[[], str]) -> Finding:
    began = time.perf_counter()
    try:
        text = action()
    except (NbMonitorError, grpc.RpcError, TimeoutError) as error:
        return Finding(name, "fail", f"It does not work: {error}", _REMEDY)
    return Finding(name, "ok", f"{text} ({(time.perf_counter() - began) * 1000:.0f} ms)")


def _report(publisher: Publisher, broker: Broker, timeout: float) -> str:
    """A trainer registers, reports values, and has them acknowledged."""
    publisher.start()
    opened = publisher.open(RunInfo("", "self-test"), lambda _: CommandState.QUEUED)
    steps = np.arange(VALUES, dtype=np.int64)
    values = 1.0 / (1.0 + steps.astype(np.float64))
    column = Column("loss", steps, values, np.full(VALUES, time.time()))
    publisher.publish([Event(opened.run_id, VALUES - 1, time.time(), Scalars((column,)))])
    if not publisher.flush(timeout):
        raise TimeoutError(f"{VALUES} values were not acknowledged within {timeout:g} s")
    kept = len(broker.history(opened.run_id, "loss")[0])
    if kept != VALUES:
        raise TimeoutError(f"of {VALUES} values {kept} are there")
    return f"A trainer reported {VALUES} values and had them acknowledged."


def _ask(client: Client, timeout: float) -> str:
    """A viewer asks who answers, and for the runs."""
    client.connect(timeout)
    there, took = client.ask_server(timeout)
    names = [run.name for run in client.runs()]
    if names != ["self-test"]:
        raise TimeoutError(f"the list of runs is {names}")
    return f"nbmonitor {there.version} answered in {took * 1000:.1f} ms."


def _watch(client: Client, publisher: Publisher, timeout: float) -> str:
    """A viewer watches the run, and sees its end."""
    (run,) = client.runs()
    box = client.subscribe(run.run_id)
    now = time.time()
    publisher.publish([Event(run.run_id, VALUES, now, Status(RunState.COMPLETED))])
    end = time.monotonic() + timeout
    seen: list[Any] = []
    while time.monotonic() < end:
        box.wait(0.1)
        seen += [e.payload for e in box.drain().events]
        if any(isinstance(p, Status) and p.state is RunState.COMPLETED for p in seen):
            box.close()
            return "A viewer watched the run and saw its end."
    raise TimeoutError(f"what was reported did not reach a viewer within {timeout:g} s")


def _upload(server: Server, timeout: float) -> str:
    """An upload, which this server refuses in words."""
    with grpc.insecure_channel(server.address, (("grpc.enable_http_proxy", 0),)) as channel:
        send = method(channel, codec.INGEST, "UploadCheckpoint")
        try:
            send(iter([b"", b""]), timeout=timeout, metadata=auth.metadata(server.token))
        except grpc.RpcError as error:
            if getattr(error, "code", lambda: None)() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
            return f"An upload was refused as it should be: {getattr(error, 'details', str)()}."
    return "An upload was taken."


CHECKS: tuple[Check, ...] = (_four,)
