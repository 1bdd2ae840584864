"""A fuzzer for everything that reads bytes of strangers: the codec's functions, and the handlers behind their gate.

Valid messages of every RPC are bent, cut, spliced and blown up, and handed over in process, without sockets. What may
come back is an answer, or a refusal with a status that means something; after it the broker must still be able to tell
its viewers everything it holds. A crash is told with its seed and kept as a file: put it into ``crashers/`` under a
name that says what it was, and it is tried in every run of the tests from then on.

    python tests/faults/fuzz.py [SECONDS [SEED]]

Ten minutes of it on one shared core at nice 19 (November 2026, seed 1663970240): 594,000 inputs, nothing found,
9 MiB more memory. Before that it had found eight faults within its first minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import random
import struct
import sys
import tempfile
import threading
import time
import warnings
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import psutil

from nbmonitor.broker import Broker
from nbmonitor.errors import NbMonitorError
from nbmonitor.events import (
    Batch,
    Column,
    Command,
    CommandKind,
    CommandRecord,
    CommandState,
    Demand,
    Epoch,
    Event,
    Gap,
    Heartbeat,
    LogLine,
    Mosaic,
    Performance,
    RunInfo,
    RunState,
    RunUpdate,
    Scalars,
    Status,
)
from nbmonitor.rpc import codec
from nbmonitor.rpc.codec import audits, trainer, viewer
from nbmonitor.rpc.server import Server
from nbmonitor.rpc.trust.auth import metadata
from nbmonitor.store.memory import MemoryStore

CRASHERS = Path(__file__).parent / "crashers"
RENEW = 1_500  # inputs after which broker and server are made anew, and threads and memory are looked at
TELL = 100  # inputs after which the broker has to tell all it holds
GROWTH = 96 << 20  # bytes by which the process may grow after the first round

NOT_MEANT = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}

# --- what is valid ---------------------------------------------------------------------------------------------------

NOW = time.time()
RUN = RunInfo(
    "run-of-ours",
    "näme",
    config={"lr": "0.1", "model/depth": "3"},
    class_names=("cat", "dog"),
    total_epochs=3,
    batches_per_epoch=10,
    controls={"pause": {}, "learning_rate": {"value": 0.1}},
)
COMMAND = Command(
    RUN.run_id, CommandKind.SET_LEARNING_RATE, {"value": 0.1, "mode": "set"}, "c1", asked_at=NOW
)
PAYLOADS = (
    Scalars(
        (
            Column("loss", np.array([0, 1]), np.array([1.0, np.nan]), np.array([NOW, NOW])),
            Column("val", np.array([1]), np.array([0.5]), np.array([NOW]), "epoch"),
        )
    ),
    Batch(
        2,
        32,
        mosaic=Mosaic(b"\xff\xd8mosaic", 4, 1, 8, 8),
        predicted=(1, None),
        confidence=(0.5, None),
        truth=(0, 1),
        loss=0.5,
    ),
    Epoch(1, {"average_loss": 0.5}),
    Performance(epoch=1, epochs=3, fps=60.0),
    Status(RunState.PAUSED, "paused"),
    RunUpdate(name="new", config={"a": "b"}, controls={"stop": {}}),
    LogLine("hello"),
    Gap("lost", 3, 1, 3),
    CommandRecord(COMMAND, CommandState.APPLIED, 4, {"lr": "1"}, {"lr": "2"}, "", NOW),
    Status(RunState.COMPLETED),
)


def _message(name, **fields):
    return codec.message_class(name)(**fields).SerializeToString()


def _contract_batch():
    make = codec.message_class
    batch = make("BatchData")(
        epoch=1,
        batch_idx=2,
        images=[make("ImageData")(image_bytes=b"\xff\xd8\xff\xe0jpeg")] * 2,
        predictions=[make("Prediction")(predicted_class=1, confidence=0.5)] * 2,
        ground_truth=[1, 0],
        batch_loss=0.5,
    )
    return make("MetricsRequest")(session_id="s", timestamp_ms=int(NOW * 1000), batch_data=batch)


def valid():
    """RPC → messages that mean something to it; and under the names of the codec's readers, what those read."""
    events = [Event(RUN.run_id, k, NOW, p, seq=k + 1) for k, p in enumerate(PAYLOADS)]
    frames = [
        trainer.hello(RUN, "secret", 1),
        trainer.heartbeat(RUN, Heartbeat(RUN.run_id), 1, 0.1),
    ]
    frames += [trainer.event(RUN, e, k + 1) for k, e in enumerate(events)]
    frames += [trainer.gap(RUN, 5, 9, 3, "why"), _contract_batch().SerializeToString()]
    config = codec.message_class("TrainingConfig")(total_epochs=3, class_names=["a", "b"])
    session = _message("SessionInfo", session_id="s", client_name="c", config=config)
    registrations = [session, trainer.registration(RUN)]
    watches = [
        viewer.watch(viewer.Watch(r, s, Demand(30.0, 64), "w1"))
        for r, s in (("", None), (RUN.run_id, 0), (RUN.run_id, None), ("nobody", 7))
    ]
    asks = [
        viewer.ask_history(viewer.History(RUN.run_id, ("loss", "val"), axis=a, lo=0.0, hi=9.0))
        for a in ("step", "epoch", "time")
    ]
    asks += [
        viewer.ask_history(viewer.History(RUN.run_id, index_only=True)),
        viewer.ask_history(viewer.History(RUN.run_id, ("loss",), every_point=True)),
    ]
    sends = [
        viewer.send(Command(RUN.run_id, kind, {"value": 1, "mode": "take", "to": "x"}))
        for kind in CommandKind
    ]
    record = CommandRecord(COMMAND, CommandState.QUEUED)
    answers = [
        trainer.acknowledge("s", 1),
        trainer.acknowledge_to("r", 5),
        trainer.echo("s", 1),
        trainer.flow("r", Demand(30.0, 64)),
        trainer.fault("s", trainer.DATA_LOSS, "why", watermark=3),
        trainer.goodbye("s", "bye"),
        trainer.control("s", COMMAND),
        trainer.welcome("r", trainer.Welcome(1, "e", True)),
    ]
    seen = viewer.seen(viewer.Seen(tuple(events), (RUN,), (), tuple(events[:3]), True, False))
    window = viewer.history(points=[("loss", np.array([1, 2]), np.array([1.0, 2.0]))])
    out = {
        f"/{codec.INGEST}/StreamMetrics": frames,
        f"/{codec.CONTRACT}/StreamMetrics": frames,
        f"/{codec.INGEST}/RegisterTrainingSession": registrations,
        f"/{codec.CONTRACT}/RegisterTrainingSession": registrations,
        f"/{codec.MONITOR}/WatchRun": watches,
        f"/{codec.MONITOR}/GetHistory": asks,
        f"/{codec.MONITOR}/SendCommand": sends,
        f"/{codec.MONITOR}/ListCommands": [_message("ListCommandsRequest", run_id=RUN.run_id)],
        f"/{codec.MONITOR}/AdjustWatch": [viewer.adjust("w1", Demand(3.0, 32))],
        f"/{codec.MONITOR}/ListRuns": [_message("ListRunsRequest", include_finished=True)],
        "/grpc.health.v1.Health/Check": [b"", b"\x0a\x03abc"],
        "/grpc.health.v1.Health/Watch": [b"", b"\x0a\x03abc"],
    }
    read = {
        "trainer.read_request": frames,
        "trainer.read_session": registrations,
        "trainer.read_response": answers,
        "trainer.read_session_response": [trainer.session_response("s", "m", None)],
        "viewer.read_watch": watches,
        "viewer.read_adjust": out[f"/{codec.MONITOR}/AdjustWatch"],
        "viewer.read_history": asks,
        "viewer.read_send": sends,
        "viewer.read_list_commands": out[f"/{codec.MONITOR}/ListCommands"],
        "viewer.read_server_info": [
            viewer.server_info(viewer.ServerInfo("1", "e", NOW), 1, viewer.Limits(2, 3, 4, 5))
        ],
        "viewer.read_runs": [viewer.runs((RUN,))],
        "viewer.read_seen": [seen],
        "viewer.read_index": [window],
        "viewer.read_window": [window],
        "viewer.read_points": [window],
        "viewer.read_sent": [viewer.sent(record)],
        "viewer.read_commands": [viewer.commands([record])],
        "audits.read_ask": [audits.ask(audits.Asked())],
        "audits.read_answer": [filled("ListAuditEventsResponse")],
    }
    for file in codec.descriptors():
        for service in file.service:
            for rpc in service.method:
                asked = filled(rpc.input_type.rpartition(".")[2])
                out.setdefault(f"/{file.package}.{service.name}/{rpc.name}", [b"", asked])
    return out | read


def filled(name):
    """A message with something in each of its fields, for RPCs that nobody wrote examples for."""
    message = codec.message_class(name)()

    def fill(target, depth):
        for f in target.DESCRIPTOR.fields:
            repeated = f.is_repeated
            if f.message_type is not None and f.message_type.GetOptions().map_entry:
                continue
            if f.message_type is not None:
                if depth:
                    fill(
                        getattr(target, f.name).add() if repeated else getattr(target, f.name),
                        depth - 1,
                    )
                continue
            value = {f.TYPE_STRING: RUN.run_id, f.TYPE_BYTES: b"x", f.TYPE_BOOL: True}.get(
                f.type, 1
            )
            if repeated:
                getattr(target, f.name).append(value)
            else:
                setattr(target, f.name, value)

    fill(message, 2)
    return message.SerializeToString()


# --- what is done to it ----------------------------------------------------------------------------------------------

NUMBERS = [0, 1, 127, 128, 2**31 - 1, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
WORDS = [
    b"",
    b"\x00" * 3,
    b"../" * 8 + b"etc/passwd",
    b"'; DROP TABLE runs; --",
    "\u202egnp.exe \u0000".encode(),
    b"\xed\xa0\x80",  # a lone surrogate, which is no UTF-8
    b"x" * 10_000,
    b"NaN",
    b"1e999",
    b"-Infinity",
    b"1" * 5_000,
    b"[" * 20_000,
    b'{"a":' * 5_000,
    b'{"value": {"value": []}}',
    b"<script>alert(1)</script>",
    b"true",
    b"null",
    b"\xff\xfe",
]
DOUBLES = [0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e308, 5e-324, 2.0**63, 1e19]


def varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _take_varint(data, at):
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
    raise ValueError("no varint")


def fields(data):
    """The fields of a message as (number, wire type, value); raises ValueError for what is none."""
    out, at = [], 0
    while at < len(data):
        key, at = _take_varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _take_varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = data[at : at + size], at + size
        elif kind == 2:
            size, at = _take_varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError("an old kind")
        if at > len(data) or not number:
            raise ValueError("cut off")
        out.append((number, kind, value))
    return out


def joined(found):
    out = bytearray()
    for number, kind, value in found:
        out += varint(number << 3 | kind)
        if kind == 0:
            out += varint(value)
        elif kind == 2:
            out += varint(len(value)) + value
        else:
            out += value
    return bytes(out)


def bend(data, chance, depth=0):
    """A message with one of its fields changed, at any depth."""
    try:
        found = fields(data)
    except ValueError:
        return rough(data, chance)
    if not found:
        return joined([(chance.randint(1, 130), 0, chance.choice(NUMBERS))])
    at = chance.randrange(len(found))
    number, kind, value = found[at]
    act = chance.randrange(9)
    if kind == 2 and act < 5 and depth < 6:
        if act < 3 and value:
            found[at] = number, kind, bend(value, chance, depth + 1)
        else:
            found[at] = number, kind, chance.choice(WORDS)
    elif act == 5:
        found[at:at] = [found[at]] * chance.choice((1, 2, 40))
    elif act == 6:
        del found[at]
    elif act == 7:
        found.insert(at, (chance.randint(1, 130), 0, chance.choice(NUMBERS)))
    elif act == 8:
        chance.shuffle(found)
    elif kind == 0:
        found[at] = number, kind, chance.choice(NUMBERS)
    elif kind in (1, 5):
        packed = struct.pack("<d" if kind == 1 else "<f", min(chance.choice(DOUBLES), 3e38))
        found[at] = number, kind, packed
    return joined(found)


def rough(data, chance):
    """Bytes with flips, cuts and insertions, whatever they mean."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at, act = chance.randrange(len(out) + 1), chance.randrange(5)
        if act == 0 and at < len(out):
            out[at] ^= 1 << chance.randrange(8)
        elif act == 1:
            del out[at:]
        elif act == 2:
            del out[at : at + chance.randint(1, 20)]
        elif act == 3:
            out[at:at] = chance.randbytes(chance.randint(1, 12))
        else:
            out[at:at] = b"\xff" * 9 + b"\x01"
    return bytes(out)


def mutate(data, others, chance):
    """A message that was valid once."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        act = chance.randrange(10)
        if act < 6:
            data = bend(data, chance)
        elif act < 8:
            data = rough(data, chance)
        elif act == 8:  # the head of one, the tail of another
            other = chance.choice(others)
            data = (
                data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]
            )
        else:
            data += chance.choice(others)
    return data[: 256 << 10]


def sealed(data):
    """With a checksum that is right: else every frame of ours ends at that."""
    try:
        data = joined([f for f in fields(data) if f[0] != 103])
    except ValueError:
        return data
    return data + b"\xbd\x06" + struct.pack("<I", zlib.crc32(data))


# --- who has to take it ----------------------------------------------------------------------------------------------


class Context:
    """A call without a socket, whose client goes away after so many answers."""

    def __init__(self, token, reads):
        self._metadata = metadata(token)
        self._reads = reads
        self.status = None

    def invocation_metadata(self):
        return self._metadata

    def peer(self):
        return "ipv4:127.0.0.1:5"

    def auth_context(self):
        return {}

    def set_compression(self, _compression):
        pass

    async def write(self, _answer):
        self._reads -= 1
        if self._reads < 0:
            raise asyncio.CancelledError

    async def abort(self, code, _details):
        self.status = code
        raise Aborted


class Aborted(Exception):  # noqa: N818 - as gRPC's own, which has no name
    pass


class Errors(logging.Handler):
    """What a handler calls an error inside is a crash."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.found = []

    def emit(self, record):
        self.found.append(record)


class Scene:
    """A broker and a server that does not listen."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.broker = Broker(MemoryStore())
        self.broker.open(RUN, lambda _command: CommandState.DELIVERED)
        self.server = Server(self.broker)
        self.handlers = self.server.serves()
        self.errors = Errors()
        logging.getLogger("nbmonitor").addHandler(self.errors)

    def close(self):
        logging.getLogger("nbmonitor").removeHandler(self.errors)
        self.server._monitor.close()
        self.server._ingest.close("over")
        self.server._pool.shutdown()
        self.broker.close()
        self.loop.close()

    def call(self, path, requests):
        """Call an RPC with requests as bytes; returns its status. Raises what should not come out."""
        return self.loop.run_until_complete(self._call(path, requests))

    async def _call(self, path, requests):
        async def found(_details):
            return self.handlers[path]

        async def ask():
            for request in asked:
                yield request

        details = SimpleNamespace(method=path)
        handler = await self.server._gate.intercept_service(found, details)
        read = handler.request_deserializer or bytes
        try:
            asked = [read(r) for r in requests]
        except Exception:  # gRPC itself ends such a call
            return grpc.StatusCode.INVALID_ARGUMENT
        streams = handler.request_streaming
        context = Context(self.server.token, 10**9 if streams else 0)
        call = next(
            getattr(handler, kind)
            for kind in ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
            if getattr(handler, kind)
        )
        with contextlib.suppress(Aborted, asyncio.CancelledError):
            await call(ask() if streams else asked[0], context)
        if self.errors.found:
            record = self.errors.found.pop()
            raise Crash(record.getMessage()) from (record.exc_info or (None, None))[1]
        if context.status in NOT_MEANT:
            raise Crash(f"{path} ended with {context.status}")
        return context.status

    def tell(self):
        """Tell a viewer everything: what was taken from one stranger must not fall on the feet of others."""
        runs = self.broker.runs()
        viewer.read_runs(viewer.runs(runs))
        for info in runs:
            events = (*self.broker.events(info.run_id), *self.broker.latest(info.run_id))
            index = tuple(self.broker.series(info.run_id))
            viewer.read_seen(viewer.seen(viewer.Seen(events, (info,), index, events, True, False)))
            viewer.commands(self.broker.commands(info.run_id))
            for series in index[:5]:
                points = self.broker.window(info.run_id, series.name, series.kind)
                if len(points.x) != len(points.y):
                    raise Crash(f"{series.name} has {len(points.x)} x and {len(points.y)} y")
                viewer.history(windows=[(series.name, series.kind, points)])
            if not 0 <= info.step < 2**63:
                raise Crash(f"step {info.step}")


class Crash(AssertionError):  # noqa: N818
    """Something came out that should not."""


def read(name, data):
    """Read bytes with a function of the codec; only refusals may come out."""
    room, _, function = name.partition(".")
    take = getattr({"trainer": trainer, "viewer": viewer, "audits": audits}[room], function)
    try:
        take(data, RUN.run_id) if function == "read_response" else take(data)
    except NbMonitorError as error:
        if not str(error):
            raise Crash(f"{name} refuses without a word") from error


# --- the search ------------------------------------------------------------------------------------------------------


@dataclass
class Result:
    seed: int
    inputs: int = 0
    by_target: Counter = field(default_factory=Counter)
    statuses: Counter = field(default_factory=Counter)
    grown: int = 0


def attempt(scene, target, requests):
    """Hand requests to one target; returns the status of a call."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if target.startswith("/"):
            return scene.call(target, requests)
        for data in requests:
            read(target, data)
    return None


def search(seconds, seed=None):
    """Fuzz for some seconds. Raises Crash, with the seed and the way to reproduce it."""
    seed = seed if seed is not None else random.SystemRandom().randrange(2**32)
    corpus, result = valid(), Result(seed)
    targets = sorted(corpus)
    everything = [m for messages in corpus.values() for m in messages]
    process, before = psutil.Process(), None
    threads = threading.active_count()
    end = time.monotonic() + seconds
    scene = Scene()
    try:
        while time.monotonic() < end:
            chance = random.Random(seed * 1_000_003 + result.inputs)
            target = chance.choice(targets)
            many = chance.randint(2, 8) if "StreamMetrics" in target else 1
            requests = [
                mutate(chance.choice(corpus[target]), everything, chance) for _ in range(many)
            ]
            if "StreamMetrics" in target:
                requests = [sealed(r) if chance.random() < 0.8 else r for r in requests]
                if chance.random() < 0.7:
                    requests.insert(0, corpus[target][0])  # a Hello, so that the rest is ours
            result.inputs += 1
            result.by_target[target] += 1
            try:
                status = attempt(scene, target, requests)
                if result.inputs % TELL == 0:
                    scene.tell()
            except Exception as error:
                raise Crash(_told(seed, result.inputs, target, requests, error)) from error
            result.statuses[getattr(status, "name", "OK")] += 1
            if result.inputs % RENEW == 0:
                scene.close()
                scene = Scene()
                if before is None:
                    before = process.memory_info().rss
    finally:
        scene.close()
    result.grown = max(process.memory_info().rss - (before or process.memory_info().rss), 0)
    if result.grown > GROWTH:
        raise Crash(f"seed {seed}: {result.grown >> 20} MiB more after {result.inputs} inputs")
    wait = time.monotonic() + 15
    while threading.active_count() > threads and time.monotonic() < wait:
        time.sleep(0.05)
    if threading.active_count() > threads:
        raise Crash(f"seed {seed}: threads are left: {threading.enumerate()}")
    return result


def _told(seed, inputs, target, requests, error):
    data = kept(target, requests)
    name = f"{hashlib.sha256(data).hexdigest()[:12]}.crash"
    path = Path(tempfile.gettempdir()) / f"nbmonitor-{name}"
    path.write_bytes(data)
    return (
        f"{type(error).__name__}: {error}\n  seed {seed}, input {inputs}, target {target}\n  kept in {path}: "
        f"copy it to {CRASHERS}/WHAT-IT-WAS.crash, and it is tried from then on"
    )


def kept(target, requests):
    """A crasher as a file: the target, then each request with its length."""
    return b"".join((target.encode() + b"\n", *(struct.pack("<I", len(r)) + r for r in requests)))


def unkept(data):
    """The target and requests of such a file."""
    target, _, rest = data.partition(b"\n")
    requests, at = [], 0
    while at < len(rest):
        (size,) = struct.unpack_from("<I", rest, at)
        requests.append(rest[at + 4 : at + 4 + size])
        at += 4 + size
    return target.decode(), requests


if __name__ == "__main__":
    logging.getLogger("nbmonitor").propagate = False
    os.nice(19)
    arguments = sys.argv[1:]
    found = search(
        float(arguments[0]) if arguments else 20.0, int(arguments[1]) if arguments[1:] else None
    )
    print(f"seed {found.seed}: {found.inputs} inputs, {found.grown >> 20} MiB more")
    print(dict(found.by_target), dict(found.statuses), sep="\n")
