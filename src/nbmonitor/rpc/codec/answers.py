"""What a server says to a trainer: written there, read here."""

from __future__ import annotations

import json
import time
from typing import Any

from nbmonitor.events import Command, CommandKind, Demand, new_id
from nbmonitor.rpc.codec.terms import (
    BUFFER,
    HEARTBEAT_MS,
    MAX_BATCH,
    MAX_DIMENSION,
    MAX_UNACKED,
    PROTOCOL,
    TYPE,
    TYPE_BACK,
    Reply,
    Terms,
    Welcome,
)
from nbmonitor.rpc.codec.values import NAME, from_json, parsed, read_params, text, u32, u64
from nbmonitor.rpc.v1 import ingest_pb2 as pb


def _limits(out: pb.ServerConfig, terms: Terms) -> None:
    out.max_batch_size, out.max_image_dimension = MAX_BATCH, MAX_DIMENSION
    out.heartbeat_interval_ms, out.buffer_size = HEARTBEAT_MS, BUFFER
    out.max_message_bytes, out.max_unacked = terms.message_bytes, MAX_UNACKED
    out.max_name_characters, out.max_streams = NAME, terms.streams


def _answer(session_id: str) -> pb.MetricsResponse:
    return pb.MetricsResponse(session_id=session_id, timestamp_ms=int(time.time() * 1000))


def session_response(
    session_id: str, message: str, welcome: Welcome | None, terms: Terms | None = None
) -> bytes:
    """Answer to a registration; ``welcome`` only for a trainer of ours."""
    out = pb.SessionResponse(success=True, session_id=session_id, message=message)
    _limits(out.server_config, terms or Terms())
    if welcome is not None:
        _put_welcome(welcome, session_id, out.welcome)
    return out.SerializeToString()


def _put_welcome(welcome: Welcome, run_id: str, out: pb.Welcome) -> None:
    out.run_id, out.watermark, out.server_epoch = run_id, welcome.watermark, welcome.epoch
    out.protocol_major, out.protocol_minor = PROTOCOL
    out.volatile_store = welcome.volatile
    _limits(out.config, welcome.terms)


def welcome(run_id: str, told: Welcome) -> bytes:
    """First answer to a Hello."""
    out = _answer(run_id)
    _put_welcome(told, run_id, out.welcome)
    return out.SerializeToString()


def acknowledge(session_id: str, batch: int, *, epoch: int = 0, ok: bool = True) -> bytes:
    """Acknowledgment of the contract: for batches alone."""
    out = _answer(session_id)
    out.ack.batch_idx, out.ack.success, out.ack.epoch = u32(batch), ok, u32(epoch)
    return out.SerializeToString()


def acknowledge_to(run_id: str, up_to: int) -> bytes:
    """Cumulative acknowledgment for our own trainer."""
    out = _answer(run_id)
    out.event_ack.up_to_seq, out.event_ack.stored = up_to, True
    return out.SerializeToString()


def echo(session_id: str, number: int) -> bytes:
    """Answer to a heartbeat of our own trainer."""
    out = _answer(session_id)
    out.heartbeat_echo.sequence_number = u32(number)
    out.heartbeat_echo.server_time_ms = int(time.time() * 1000)
    return out.SerializeToString()


def flow(run_id: str, demand: Demand) -> bytes:
    """Tell a trainer what its viewers want."""
    out = _answer(run_id)
    out.flow.max_batches_per_second = demand.fps
    out.flow.images_wanted = demand.fps > 0
    out.flow.max_image_dimension = u32(demand.pixels)
    out.flow.live = demand.live
    return out.SerializeToString()


def fault(session_id: str, code: int, message: str, *, watermark: int = 0, seq: int = 0) -> bytes:
    """Error in the stream, which goes on."""
    out = _answer(session_id)
    out.error.code, out.error.message = code, text(message)  # type: ignore[assignment]
    out.error.watermark, out.error.seq = u64(watermark), u64(seq)
    return out.SerializeToString()


def goodbye(session_id: str, reason: str, retry_after: float = 1.0) -> bytes:
    """Tell a trainer of ours that the server stops on purpose."""
    out = _answer(session_id)
    out.goodbye.reason, out.goodbye.retry_after_ms = reason, int(retry_after * 1000)
    return out.SerializeToString()


def control(session_id: str, command: Command) -> bytes:
    """Send a command down.

    The contract names no keys, so a client of it gets the likely ones; ours reads ``text``, which has every parameter.
    """
    out = _answer(session_id)
    c = out.command
    c.type = TYPE[command.kind]  # type: ignore[assignment]
    value = command.params.get("value")
    said = "" if value is None else _plain(value)
    keys = {
        CommandKind.SET_LEARNING_RATE: ("learning_rate", "lr", "value"),
        CommandKind.SET_BATCH_SIZE: ("batch_size", "value"),
    }.get(command.kind, ())
    c.parameters.update({k: said for k in keys if said})
    c.parameters["command_id"] = text(command.command_id)
    c.command_id, c.actor = text(command.command_id), text(command.actor)
    c.peer, c.mode = text(command.peer), text(command.params.get("mode", ""))
    c.ttl_ms = u32(max(command.asked_at + command.ttl - time.time(), 0.0) * 1000)
    if isinstance(value, int | float):
        c.number = float(value)
    c.text = text(json.dumps(dict(command.params), default=str))
    return out.SerializeToString()


def _plain(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def read_session_response(data: bytes) -> tuple[bool, Welcome | None, str]:
    """``(success, welcome, message)``; no welcome from a server that knows only the contract."""
    r = parsed(pb.SessionResponse, data)
    return r.success, _get_welcome(r.welcome) if r.HasField("welcome") else None, r.message


def _get_welcome(w: pb.Welcome) -> Welcome:
    return Welcome(w.watermark, w.server_epoch, w.volatile_store)


def read_response(data: bytes, run_id: str) -> Reply:
    """Read one answer; raises InputError, which ends the stream (it is re-opened)."""
    r = parsed(pb.MetricsResponse, data)
    kind = r.WhichOneof("payload")
    if kind == "command":
        command = _get_command(r.command, run_id)
        return Reply(kind, command=command, message="" if command else r.command.command_id)
    if kind == "error":
        return Reply(kind, r.error.code, message=r.error.message, watermark=r.error.watermark)
    if kind == "ack":
        return Reply(kind, r.ack.batch_idx, r.ack.success)
    if kind == "event_ack":
        return Reply(kind, r.event_ack.up_to_seq)
    if kind == "heartbeat_echo":
        return Reply(kind, r.heartbeat_echo.sequence_number)
    if kind == "welcome":
        return Reply(kind, welcome=_get_welcome(r.welcome))
    if kind == "flow":
        f = r.flow
        fps = f.max_batches_per_second if f.images_wanted else 0.0
        return Reply(kind, demand=Demand(fps, f.max_image_dimension or MAX_DIMENSION, f.live))
    if kind == "goodbye":
        after = r.goodbye.retry_after_ms / 1000.0
        return Reply(kind, message=r.goodbye.reason, retry_after=after)
    return Reply("")


def _get_command(c: pb.ControlCommand, run_id: str) -> Command | None:
    kind = TYPE_BACK.get(c.type)
    if kind is None:
        return None
    if c.HasField("text"):
        loaded = from_json(c.text, {})
        params = loaded if isinstance(loaded, dict) else {}
    else:  # a server of the contract: no key names are fixed, so take the likely ones
        params = {}
        for key in ("value", "learning_rate", "lr", "batch_size"):
            raw = c.parameters.get(key)
            if raw:
                params["value"] = read_params({key: raw})[key]
                break
        if kind is CommandKind.SET_LEARNING_RATE:
            params["mode"] = "set"
    command_id = c.command_id or c.parameters.get("command_id", "")
    ttl = c.ttl_ms / 1000.0 if c.ttl_ms else 60.0
    return Command(
        run_id, kind, params, command_id or new_id("c"), c.actor or "the monitor", c.peer, ttl
    )
