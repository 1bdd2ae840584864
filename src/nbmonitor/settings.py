"""Settings and where each value came from. Ground.

Falling precedence: argument, ``%config NBMonitor.x``, ``NBMONITOR_X``, a ``GRPC_*`` alias (what other gRPC trainers
call the same thing), default.
"""

from __future__ import annotations

import os
from dataclasses import Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from nbmonitor.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping


def _setting(
    default: Any,
    help_: str,
    *aliases: str,
    bounds: tuple[float, float] | None = None,
    wanted: str = "",
    secret: bool = False,
) -> Any:
    """A field: its default, what it is for, other names for it in the environment, and what is taken."""
    about = {"help": help_, "aliases": aliases, "bounds": bounds, "wanted": wanted}
    return field(default=default, metadata=about | {"secret": secret}, repr=not secret)


@dataclass(frozen=True)
class Settings:
    """What can be set, by name; :func:`described` tells what each is for.

    ``origin`` tells by name where a value came from. Secrets are taken from the environment alone (a ``%config`` would
    be saved with the notebook) and never shown.
    """

    host: str = _setting(
        "127.0.0.1",
        "Interface of the server: a loopback address; another one with tls alone.",
        "GRPC_BACKEND_HOST",
    )
    port: int = _setting(
        0,
        "Port of the server; 0 takes a free one.",
        "GRPC_BACKEND_PORT",
        bounds=(0, 65535),
        wanted="a port number from 0 to 65535",
    )
    unix_socket: str = _setting("", "Path of a Unix socket that the server listens on as well.")
    address: str = _setting("", "Server that runs of this process report to.")
    token_file: str = _setting("", "File with the token for that server.")
    server_token_file: str = _setting(
        "", "File with the tokens that this process's server takes; one is made for it by default."
    )
    auth_tokens: str = _setting(
        "",
        "Tokens that this process's server takes as its owner's, with commas.",
        "GRPC_AUTH_TOKENS",
        "GRPC_AUTH_TOKEN",
        secret=True,
    )
    tokenless: bool = _setting(
        True, "Take new runs from clients of this machine that have no token."
    )
    tls: bool = _setting(
        False,
        "Speak TLS: with tls_cert and tls_key, or a certificate that is made (extra tls).",
        "GRPC_TLS_ENABLED",
    )
    tls_cert: str = _setting(
        "",
        "PEM file of the certificate: the server's with tls, a client's where it attaches.",
        "GRPC_TLS_CERT_FILE",
    )
    tls_key: str = _setting("", "PEM file of its private key.", "GRPC_TLS_KEY_FILE")
    tls_ca: str = _setting(
        "", "PEM file of what signed the other side's certificate.", "GRPC_TLS_CA_FILE"
    )
    tls_require_client: bool = _setting(
        False,
        "The server refuses clients without a certificate signed by tls_ca.",
        "GRPC_TLS_REQUIRE_CLIENT_AUTH",
    )
    tls_fingerprint: str = _setting(
        "", "SHA-256 of the certificate that a server elsewhere has to show."
    )
    max_message_bytes: int = _setting(
        16 << 20,
        "Bytes of the largest message that the server takes.",
        "GRPC_MAX_MESSAGE_BYTES",
        bounds=(8 << 20, 1 << 30),
        wanted="bytes from 8388608 (8 MiB, what a trainer may send) to 1073741824 (1 GiB)",
    )
    max_streams: int = _setting(
        64,
        "Viewers' streams at a time, and as many of trainers.",
        "GRPC_MAX_CONCURRENT_RPCS",
        bounds=(1, 512),
        wanted="a number of streams from 1 to 512",
    )
    store: str = _setting("memory:", "URL of the history: memory:")
    audit: str = _setting(
        "",
        'File of the audit log ("": audit-MACHINE.jsonl in the folder for state; off: memory alone).',
    )
    disabled: bool = _setting(False, "Turn runs into no-ops.")
    takeover: bool = _setting(
        True, "Answer a reload in the middle of a running cell (private ipykernel paths)."
    )
    overhead: float = _setting(
        0.02,
        "What training may feel: our calls on its thread and at the boundary, as a share of a step.",
        bounds=(1e-6, 1.0),
        wanted="a share of a step, above 0 and at most 1, say 0.02,",
    )
    worker_cpu: float = _setting(
        0.25,
        "What our own threads may take beside it, in cores.",
        bounds=(1e-3, 1e3),
        wanted="a number of cores above 0, say 0.25,",
    )
    otel: bool = _setting(False, "Offer the server's figures to OpenTelemetry (extra otel).")
    ssh: str = _setting(
        "ssh", "How ssh is called for ssh:// addresses: a command line, such as ssh -F my_config."
    )
    origin: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Described:
    """What one setting is: its name, its default (which tells its type), what it is for, its names elsewhere."""

    name: str
    default: Any
    help: str
    variables: tuple[str, ...]
    secret: bool


def described() -> tuple[Described, ...]:
    """Every setting, in the order they are told in; ``variables`` are those of the environment, best first."""
    return tuple(
        Described(
            f.name,
            f.default,
            f.metadata["help"],
            (f"NBMONITOR_{f.name.upper()}", *f.metadata["aliases"]),
            f.metadata["secret"],
        )
        for f in _FIELDS
    )


_FIELDS: tuple[Field[Any], ...] = tuple(f for f in fields(Settings) if f.name != "origin")


def load(
    arguments: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Settle every setting.

    Parameters
    ----------
    arguments
        Given in code; a value of None means "not given".
    config
        Set by ``%config NBMonitor.x = ...``.
    environ
        Environment variables; ``os.environ`` by default.

    Raises
    ------
    SettingError
        When a value cannot be read as what it should be.
    """
    env = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for f in _FIELDS:
        own = f"%config NBMonitor.{f.name}"
        given = [((arguments or {}).get(f.name), "argument"), ((config or {}).get(f.name), own)]
        names = (f"NBMONITOR_{f.name.upper()}", *f.metadata["aliases"])
        for raw, where in (*given, *((env.get(n), n) for n in names)):
            if raw is not None and raw != "":
                values[f.name] = _read(f, raw, where)
                origin[f.name] = where
                break
        else:
            origin[f.name] = "default"
    return Settings(**values, origin=origin)


def _read(f: Field[Any], raw: Any, where: str) -> Any:
    kind: Any = type(f.default)
    bounds = f.metadata["bounds"]
    try:
        value = _SWITCH[raw.strip().lower()] if kind is bool and isinstance(raw, str) else kind(raw)
    except (KeyError, TypeError, ValueError):
        value = None
    if value is None or (bounds is not None and not bounds[0] <= value <= bounds[1]):
        wanted = f.metadata["wanted"] or _WANTED[kind]
        shown = "a value that is not shown" if f.metadata["secret"] else f"the value {raw!r}"
        msg = f"Setting {f.name} has {shown} (from {where}), but {wanted} was expected."
        raise SettingError(msg)
    return value


_WANTED = {bool: "1 or 0", int: "a whole number", float: "a number", str: "text"}
_SWITCH = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(
    ("0", "false", "no", "off"), False
)
