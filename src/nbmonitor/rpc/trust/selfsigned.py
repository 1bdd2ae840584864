"""A certificate of our own making, for clients to pin; kept in the state folder."""

from __future__ import annotations

import ipaddress
import logging
import os
import platform
import re
import secrets
import shutil
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from nbmonitor.errors import EnvironmentMissingError, ServerError
from nbmonitor.rpc.trust.certificates import examine
from nbmonitor.rpc.trust.places import lasting_dir, private_folder, write_private

if TYPE_CHECKING:
    from pathlib import Path

NAME = "nbmonitor"  # in every certificate of our making: clients that pin ask for it, whatever the host is called
YEARS = 10  # a pinned certificate is good until it is replaced, as an ssh host key is

_log = logging.getLogger("nbmonitor")


def self_signed(host: str, folder: Path | None = None) -> tuple[Path, Path]:
    """Certificate and key for a server on ``host``, made when there is none yet, kept in the state folder.

    One for each machine (a home folder may be shared by many) and interface: it never changes under who pinned it.

    Raises
    ------
    EnvironmentMissingError
        When one has to be made and the extra ``tls`` is not installed.
    """
    name = "".join(c if c.isalnum() else "-" for c in f"{platform.node()}-{host}")[:100]
    folder = folder or lasting_dir() / "tls"
    home = folder / name
    cert, key = home / "cert.pem", home / "key.pem"
    if home.exists():
        try:
            examine(cert, key)
        except ServerError as error:
            _log.warning("%s A new one is made: who pinned the old one has to pin it again.", error)
            shutil.rmtree(home, ignore_errors=True)
        else:
            return cert, key
    pems = _make(host)
    beside = folder / f".{name}.{os.getpid()}.{secrets.token_hex(4)}"
    if not private_folder(folder):
        raise ServerError(f"A certificate cannot be kept in {folder}: it is not ours alone.")
    beside.mkdir(mode=0o700)
    for file, pem in zip(("cert.pem", "key.pem"), pems, strict=True):
        write_private(beside / file, pem)
    try:
        beside.rename(home)  # whole, or another process was faster
    except OSError:
        shutil.rmtree(beside, ignore_errors=True)
    examine(cert, key)
    return cert, key


def _make(host: str) -> tuple[str, str]:
    """PEM of a certificate for this machine, and of its key."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError as error:
        raise EnvironmentMissingError("a certificate of its own", "tls") from error
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"{NAME} {platform.node()}"[:64] or NAME)]
    )
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks differ
        .not_valid_after(now + timedelta(days=365 * YEARS))
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.IPAddress(ipaddress.ip_address(n)) if _is_ip(n) else x509.DNSName(n)
                    for n in names(host)
                ]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(pem).decode("ascii"), secret.decode("ascii")


def names(host: str) -> list[str]:
    """What a server on ``host`` may be called by its clients, without repetition."""
    asked = [NAME, "localhost", platform.node(), socket.getfqdn(), "127.0.0.1", "::1", host]
    usable = [n for n in asked if _is_ip(n) or re.fullmatch(r"[A-Za-z0-9_.\-]{1,253}", n)]
    return list(dict.fromkeys(n for n in usable if n not in ("0.0.0.0", "::")))  # noqa: S104


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
