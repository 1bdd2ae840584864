"""A server's certificate: what is in its files, and credentials that follow when the files change."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import re
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from nbmonitor.errors import ServerError
from nbmonitor.rpc.trust.places import exposed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOOK = 1.0  # seconds between two looks at the files

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s(.+?)-----END CERTIFICATE-----", re.DOTALL)
_log = logging.getLogger("nbmonitor")


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """What a server shows of itself, and whom it lets in.

    Parameters
    ----------
    cert, key
        PEM files: the certificate with its chain, and its private key (without a password).
    ca
        PEM file with what signed the clients' certificates; "" for none.
    require_client
        Refuse clients without a certificate signed by ``ca`` (mutual TLS).
    """

    cert: Path
    key: Path
    ca: Path | None = None
    require_client: bool = False


def fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate as ``openssl x509 -fingerprint -sha256`` writes it: 32 pairs with colons."""
    word = hashlib.sha256(der).hexdigest().upper()
    return ":".join(word[i : i + 2] for i in range(0, len(word), 2))


def same_fingerprint(one: str, other: str) -> bool:
    """Whether two ways of writing are one fingerprint."""
    plain = [re.sub(r"^sha-?256[:=\s]*|[^0-9a-f]", "", x.strip().lower()) for x in (one, other)]
    return len(plain[0]) == 64 and plain[0] == plain[1]


def first_der(pem: str) -> bytes:
    """The first certificate in a PEM text; raises ValueError where there is none."""
    found = _PEM.search(pem)
    if found is None:
        raise ValueError("there is no certificate in it")
    return base64.b64decode(found.group(1))


def examine(cert: Path, key: Path) -> dict[str, Any]:
    """What a certificate says, as ``ssl.SSLSocket.getpeercert`` does; raises ServerError for what cannot be used.

    A handshake in memory tells everything that a client would object to (no package is needed that reads certificates).
    """
    try:
        why = exposed(key, 0o007)
        if why:
            raise ServerError(f"The private key cannot be used: {why}.")
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(cert, key, password=lambda: "")  # else it asks at the terminal
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        pem = ssl.DER_cert_to_PEM_cert(first_der(cert.read_text(encoding="ascii")))
        client.load_verify_locations(cadata=pem)
        return _handshake(server, client)
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message
    except ssl.SSLError as error:
        mismatch = "KEY_VALUES_MISMATCH" in str(error)
        why = "the key belongs to another certificate" if mismatch else str(error)
    except (OSError, ValueError) as error:
        why = str(error)
    raise ServerError(
        f"The certificate {cert} with the key {key} cannot be used: {why}. Expected two PEM files that belong "
        "together, the key without a password, the certificate valid today (tls_cert, tls_key); leave both out to have "
        "one made."
    )


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, Any]:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True))
    for _ in range(4):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return ends[0].getpeercert() or {}


class Certificates:
    """The credentials of a server, with files that are read again when they change.

    A change that cannot be used leaves the certificate as it was, and that is said once.

    Parameters
    ----------
    files
        Where they are.
    monotonic
        A monotonic clock, in seconds.

    Raises
    ------
    ServerError
        When the files cannot be used, or ``require_client`` is asked for without a ``ca``.
    """

    def __init__(
        self, files: CertificateFiles, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        if files.require_client and files.ca is None:
            raise ServerError(
                "Clients shall show a certificate (tls_require_client), but nothing says whose. Expected the PEM file "
                "of what signed theirs: tls_ca=FILE or NBMONITOR_TLS_CA."
            )
        self._files = files
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._looked = monotonic()
        self._stamp = self._look()
        self._configuration = self._read()

    @property
    def fingerprint(self) -> str:
        """What clients pin; whoever serves prints it."""
        return self._fingerprint

    def credentials(self) -> grpc.ServerCredentials:
        """For ``grpc.Server.add_secure_port``."""
        made: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
            self._configuration, self._changed, self._files.require_client
        )
        return made

    def _changed(self) -> Any:
        """Called by gRPC at every handshake, in a thread of its own: must be quick and never raise."""
        with self._lock:
            if self._monotonic() - self._looked < LOOK:
                return None
            self._looked = self._monotonic()
            stamp = self._look()
            if stamp == self._stamp:
                return None
            self._stamp = stamp
            try:
                self._configuration = self._read()
            except Exception as error:  # a broken file must not take the server's door away
                _log.warning("%s The certificate that was read before stays in use.", error)
                return None
            _log.info("%s was read again: %s", self._files.cert, self._fingerprint)
            return self._configuration

    def _read(self) -> Any:
        examine(self._files.cert, self._files.key)
        ca = self._files.ca
        try:
            chain = self._files.cert.read_bytes()
            key = self._files.key.read_bytes()
            roots = ca.read_bytes() if ca is not None else None
            if roots is not None:
                ssl.create_default_context().load_verify_locations(cadata=roots.decode("ascii"))
            self._fingerprint = fingerprint(first_der(chain.decode("ascii")))
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ServerError(
                f"The certificates in {ca or self._files.cert} cannot be used: {error}. Expected a PEM file."
            ) from error
        return grpc.ssl_server_certificate_configuration([(key, chain)], roots)

    def _look(self) -> tuple[Any, ...]:
        out: list[Any] = []
        for path in (self._files.cert, self._files.key, self._files.ca):
            try:
                found = path.stat() if path is not None else None
            except OSError:
                found = None
            out.append(found and (found.st_mtime_ns, found.st_size, found.st_ino))
        return tuple(out)
