"""What the settings mean for a server and for those who dial one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmonitor.address import parse
from nbmonitor.errors import SettingError
from nbmonitor.rpc.trust.certificates import CertificateFiles
from nbmonitor.rpc.trust.tls import Tls

if TYPE_CHECKING:
    from nbmonitor.settings import Settings


def server_options(settings: Settings) -> dict[str, Any]:
    """Arguments of :class:`nbmonitor.rpc.server.Server`, as the settings say.

    Raises
    ------
    SettingError
        When settings of the certificate are given by halves.
    """
    file = settings.server_token_file
    return {
        "host": settings.host,
        "port": settings.port,
        "unix_socket": settings.unix_socket or None,
        "tls": _certificate(settings),
        "token_file": Path(file).expanduser() if file else None,
        "tokens": tokens(settings),
        "tokenless": settings.tokenless,
        "caps": {"viewers": settings.max_streams, "trainers": settings.max_streams},
        "message_bytes": settings.max_message_bytes,
    }


def tokens(settings: Settings) -> tuple[str, ...]:
    """The tokens that were given in the environment."""
    return tuple(t for t in (w.strip() for w in settings.auth_tokens.split(",")) if t)


def client_tls(settings: Settings, address: str) -> Tls | bool | None:
    """How a client checks the server at an address; for ``dial``, ``Client`` and ``Publisher``.

    Where nothing is set, the address decides: to another machine TLS, pinned on first use.
    """
    where = parse(address)
    if where.kind != "tcp":
        return None
    if where.loopback and not settings.tls:
        return None
    return Tls(settings.tls_ca, settings.tls_cert, settings.tls_key, settings.tls_fingerprint)


def _certificate(settings: Settings) -> CertificateFiles | bool:
    if not settings.tls:
        return False
    cert, key, ca = settings.tls_cert, settings.tls_key, settings.tls_ca
    if bool(cert) != bool(key):
        given, missing = ("tls_cert", "tls_key") if cert else ("tls_key", "tls_cert")
        raise SettingError(
            f"Setting {given} is given ({settings.origin.get(given)}) without {missing}. Expected both, or neither "
            "to have a certificate made."
        )
    if settings.tls_require_client and not ca:
        raise SettingError(
            "Setting tls_require_client asks clients for a certificate, but tls_ca does not say whose. Expected the "
            "PEM file of what signs theirs: NBMONITOR_TLS_CA=FILE."
        )
    if not cert and not ca:
        return True
    from nbmonitor.rpc.trust.selfsigned import self_signed

    files = (
        (Path(cert).expanduser(), Path(key).expanduser()) if cert else self_signed(settings.host)
    )
    authority = Path(ca).expanduser() if ca and settings.tls_require_client else None
    return CertificateFiles(*files, ca=authority, require_client=settings.tls_require_client)
