"""Channels to a server, and what their errors mean."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc

from nbmonitor.address import parse
from nbmonitor.rpc import codec
from nbmonitor.rpc.trust.handshake import greeting
from nbmonitor.rpc.trust.tls import Tls, credentials, diagnose, wanted

if TYPE_CHECKING:
    from nbmonitor.rpc.trust.handshake import Greeting

READS = ("GetServerInfo", "ListRuns", "GetHistory", "ListCommands", "ListAuditEvents")
"""RPCs that may be asked again without harm. A command is not among them: nobody knows whether it arrived."""


def retries() -> str:
    """A service config after which gRPC itself asks again for what only reads, when a server was not there."""
    again = {
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    names = [{"service": codec.MONITOR, "method": name} for name in READS]
    return json.dumps({"methodConfig": [{"name": names, "retryPolicy": again}]})


LOOK = 2.0  # seconds for each look of our own at a road that fails

OPTIONS = (
    ("grpc.enable_http_proxy", 0),  # a company's http_proxy would swallow loopback
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 16 << 20),
    # A server that is gone, or a cut cable, is noticed within 9 s even when nothing is said.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 4_000),
    # While anything is written no keepalive ping is sent; the pings that are have a time-out of their own, of a minute.
    ("grpc.http2.ping_timeout_ms", 4_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.service_config", retries()),
)


def dial(address: str, tls: Tls | bool | None = None) -> grpc.Channel:
    """Open a channel of its own (channels of equal options would share one connection).

    Parameters
    ----------
    address
        ``host:port`` or ``unix:/path``.
    tls
        How to check the server; by default, and with True, its certificate is pinned on first use. To another machine
        there is no channel without TLS; to this one there is, by default.

    Raises
    ------
    AttachError
        When the server cannot be believed, or a file cannot be read. The first time, this waits for a handshake.
    """
    where = parse(address)
    options = (*OPTIONS, ("grpc.use_local_subchannel_pool", 1))
    secure = wanted(where, tls)
    if secure is None:
        return grpc.insecure_channel(where.target, options=options)
    proof, more = credentials(where, secure)
    return grpc.secure_channel(where.target, proof, options=(*options, *more))


def check(address: str) -> str:
    """An address as ``host:port`` or ``unix:/path``; raises AttachError for anything else."""
    return parse(address).target


def explain_closely(error: grpc.RpcError, address: str, tls: Tls | bool | None = None) -> str:
    """As :func:`explain`, after a look of our own at a road that fails: gRPC says "Socket closed" for many things.

    Waits for a handshake; not for a thread that paints.
    """
    if code_of(error) in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, None):
        where = parse(address)
        secure = wanted(where, tls)
        how = _greeting(address) if secure is None else "closed"
        if how == "other":
            return _STRANGE.format(address)
        why = diagnose(where, secure, LOOK) if how == "closed" else ""
        if why:
            return f"The server at {address} cannot be used: {why}."
    return explain(error, address)


def strange(address: str) -> str:
    """That what listens there, without TLS, is no server of ours, in a sentence; "" where that is not known.

    Waits for an answer.
    """
    return _STRANGE.format(address) if _greeting(address) == "other" else ""


def _greeting(address: str) -> Greeting | None:
    try:
        return greeting(parse(address), LOOK)
    except OSError:  # nobody listens
        return None


# What a server says to whom it does not let in, before anything of the call is looked at.
REFUSALS = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)

_STRANGE = (
    "Something listens at {}, but it is no nbmonitor server: it does not speak gRPC (HTTP/2). Check the port; "
    "`nbmonitor runs`, on the machine that trains, lists the servers there."
)


def explain(error: grpc.RpcError, address: str) -> str:
    """What went wrong with a call, what was expected, and what to do."""
    code = code_of(error)
    detail = str(error) if code is None else getattr(error, "details", str)() or ""
    port = address.rpartition(":")[2]
    if code in REFUSALS:
        return f"The server at {address} refused: {detail}."
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return f"What answers at {address} is no nbmonitor server ({detail}). Expected one: check the port."
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return f"The server at {address} has no room: {detail}."
    if not port.isdecimal():
        return (
            f"No nbmonitor server answers at {address} ({detail or code}). Does it still run there?"
        )
    return (
        f"No nbmonitor server answers at {address} ({detail or code}). Expected one to listen there: is the "
        "port right, and does it still run? On another machine: `%nbmonitor attach ssh://THAT_MACHINE`, or, for a "
        f"trainer, `ssh -L {port}:127.0.0.1:{port} USER@THAT_MACHINE` first."
    )


def method(channel: grpc.Channel, service: str, name: str) -> Any:
    """An RPC by name, of the kind that the descriptor says, with bytes in and out."""
    asks, answers = codec.methods(service)[name]
    kind = f"{'stream' if asks else 'unary'}_{'stream' if answers else 'unary'}"
    return getattr(channel, kind)(f"/{service}/{name}")


def code_of(error: grpc.RpcError) -> grpc.StatusCode | None:
    """Status of a failed call, None where the call never got one."""
    code = getattr(error, "code", None)
    return code() if callable(code) else None
