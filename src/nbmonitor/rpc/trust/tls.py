"""A client's side of TLS: whom it believes, the certificates it pinned, and what is wrong when gRPC says little.

A server off this machine is believed for a certificate that a given authority signed or, without one, for the very
certificate that it showed the first time. That one is kept whole, so that later it costs no round trip to compare.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from nbmonitor.errors import AttachError
from nbmonitor.rpc.trust.certificates import fingerprint, same_fingerprint
from nbmonitor.rpc.trust.handshake import connected
from nbmonitor.rpc.trust.known import Known, Pinned
from nbmonitor.rpc.trust.selfsigned import NAME

if TYPE_CHECKING:
    from nbmonitor.address import Address

PATIENCE = 5.0  # seconds for a handshake of our own

Option = tuple[str, Any]

_NO_GRPC = "what listens there speaks TLS, and no gRPC (HTTP/2) over it: it is no nbmonitor server. Check the port"


@dataclass(frozen=True, slots=True)
class Tls:
    """How a client checks a server, and who it is itself.

    Parameters
    ----------
    ca
        PEM file of what signed the server's certificate; "" to pin the certificate on first use.
    cert, key
        PEM files of the client's own certificate, for servers that ask for one; "" for none.
    fingerprint
        SHA-256 of the server's certificate, where it is known beforehand: it is checked from the first time on, and
        takes the place of one that was pinned.
    known
        File of the pinned certificates; one in the state folder by default.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""
    fingerprint: str = ""
    known: Path | None = None


def wanted(address: Address, tls: Tls | bool | None) -> Tls | None:
    """How to speak to an address: TLS, or None for plain. Raises AttachError for plain to another machine."""
    if address.kind == "tcp" and not address.loopback:
        if tls is False:
            raise AttachError(
                f"{address} is on another machine, and without TLS its token would travel in the clear. Expected TLS: "
                "leave tls=False out, or go by ssh (ssh://HOST)."
            )
        return tls if isinstance(tls, Tls) else Tls()
    if address.kind != "tcp" or not tls:
        return None
    return tls if isinstance(tls, Tls) else Tls()


def credentials(address: Address, tls: Tls) -> tuple[grpc.ChannelCredentials, tuple[Option, ...]]:
    """What a channel to an address needs; the first time it looks at the server's certificate, and pins it.

    Raises
    ------
    AttachError
        When a file cannot be read, nobody answers, what answers speaks no TLS or shows another certificate than
        before.
    """
    key, cert = _bytes(tls.key, "tls_key"), _bytes(tls.cert, "tls_cert")
    if bool(key) != bool(cert):
        raise AttachError(
            "A client's certificate needs its key, and a key its certificate. Expected both tls_cert= and tls_key=."
        )
    if tls.ca:
        return grpc.ssl_channel_credentials(_bytes(tls.ca, "tls_ca"), key, cert), ()
    pinned = Known(tls.known).get(address.target)
    if pinned is None or (
        tls.fingerprint and not same_fingerprint(tls.fingerprint, pinned.fingerprint)
    ):
        pinned = pin(address, tls)
    root = ssl.DER_cert_to_PEM_cert(pinned.der).encode()
    name: Option = ("grpc.ssl_target_name_override", pinned.name)
    return grpc.ssl_channel_credentials(root, key, cert), (name,)


def pin(address: Address, tls: Tls) -> Pinned:
    """Look at a server's certificate and keep it; raises AttachError where it is not the one that was told."""
    try:
        der = _shown(address, tls)
    except OSError as error:
        why = diagnose(address, tls) or f"nobody answers there ({error})"
        raise AttachError(f"No TLS server answers at {address}: {why}.") from error
    now = fingerprint(der)
    if tls.fingerprint and not same_fingerprint(tls.fingerprint, now):
        raise AttachError(
            f"The server at {address} shows another certificate than the one that was asked for. Expected "
            f"{tls.fingerprint}, and it is {now}. Compare with what the server printed when it started; if you do not "
            "know why they differ, somebody may be in between."
        )
    try:
        said = _verified(address, tls, der)
    except OSError as error:
        why = getattr(error, "verify_message", "") or str(error)
        raise AttachError(f"The server at {address} cannot be believed: {why}.") from error
    pinned = Pinned(now, _name(said), der)
    Known(tls.known).put(address.target, pinned)
    return pinned


def pinned_fingerprint(address: Address, tls: Tls | None) -> str:
    """The fingerprint that a server is held to; "" where it is not pinned."""
    if tls is None or tls.ca:
        return ""
    found = Known(tls.known).get(address.target)
    return found.fingerprint if found is not None else ""


def diagnose(address: Address, tls: Tls | None, timeout: float = PATIENCE) -> str:
    """What is wrong with the road to a server, in words; "" where nothing is found. Waits for a handshake."""
    if address.kind != "tcp":
        return ""
    where = (address.host, address.port or 0)
    with contextlib.suppress(OSError):
        socket.create_connection(where, timeout).close()
        if tls is None:
            return _speaks_tls(address, timeout)
        return _objection(address, tls, timeout)
    return ""


def _speaks_tls(address: Address, timeout: float) -> str:
    try:
        with connected(address, _context(None), timeout) as talk:
            if not talk.http2():
                return _NO_GRPC
            return (
                "what listens there speaks TLS, and it was addressed without: pass tls=True (`%nbmonitor attach "
                f"{address} tls=1`)"
            )
    except OSError:
        return ""


def _objection(address: Address, tls: Tls, timeout: float) -> str:
    try:
        with connected(address, _context(tls), timeout) as talk:
            der = talk.der()
            if not talk.http2():
                return _NO_GRPC
            # A server that is content speaks first (HTTP/2 settings); one that misses a certificate hangs up.
            try:
                content = bool(talk.first())
            except TimeoutError:
                content = True
            except OSError:
                content = False
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is refused: {error.verify_message}"
    except ssl.SSLEOFError:
        return ""  # it hung up: nothing can be said
    except ssl.SSLError:
        return (
            "what listens there does not speak TLS, and to another machine nothing goes in the clear: start that "
            "server with TLS (`nbmonitor serve --tls`), or go by ssh (ssh://HOST)"
        )
    now, then = fingerprint(der), tls.fingerprint or pinned_fingerprint(address, tls)
    if not tls.ca and then and not same_fingerprint(now, then):
        return _changed(address, tls, then, now)
    if not tls.ca:
        try:
            _verified(address, tls, der)
        except ssl.SSLCertVerificationError as error:
            return f"its certificate is refused: {error.verify_message}"
    if not content and tls.cert:
        return f"it does not accept the certificate in {tls.cert}: its owner's tls_ca must have signed it"
    if not content:
        return "it asks for a client's certificate: pass tls_cert= and tls_key="
    return ""


def _changed(address: Address, tls: Tls, then: str, now: str) -> str:
    known = Known(tls.known)
    return (
        f"its certificate is not the one that was pinned. It was {then}, and it is {now} now. When the server was set "
        f"up anew, compare with what it printed when it started and pass tls_fingerprint={now}, or take the line of "
        f"{address} out of {known.path}; if you do not know why they differ, somebody may be in between"
    )


# --- handshakes of our own -------------------------------------------------------------------------------------------


def _context(tls: Tls | None) -> ssl.SSLContext:
    """A context that verifies by the given authority, or not at all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    if tls is not None and tls.cert:
        context.load_cert_chain(tls.cert, tls.key, password=lambda: "")
    if tls is not None and tls.ca:
        context.load_verify_locations(tls.ca)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _shown(address: Address, tls: Tls) -> bytes:
    """The certificate that a server shows, unverified."""
    with connected(address, _context(tls), PATIENCE) as talk:
        return talk.der()


def _verified(address: Address, tls: Tls, der: bytes) -> dict[str, Any]:
    """What a certificate says; raises SSLCertVerificationError where it is not valid today, or not the one shown."""
    context = _context(tls)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(der))
    with connected(address, context, PATIENCE) as talk:
        return talk.said()


def _name(said: dict[str, Any]) -> str:
    """A name that the certificate answers to: gRPC insists on one."""
    alternative = [str(value) for _, value in said.get("subjectAltName", ())]
    common = [v for part in said.get("subject", ()) for k, v in part if k == "commonName"]
    found = NAME if NAME in alternative else next(iter((*alternative, *common)), NAME)
    return "".join(found.split()) or NAME


def _bytes(path: str, setting: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise AttachError(
            f"{setting} cannot be read ({error}). Expected the path of a PEM file."
        ) from error
