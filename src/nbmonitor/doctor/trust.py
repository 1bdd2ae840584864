"""Tokens and certificates: whether they are there, private, of use today."""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nbmonitor.doctor.report import Finding
from nbmonitor.errors import NbMonitorError, SettingError
from nbmonitor.process import process
from nbmonitor.rpc.trust import certificates, keys
from nbmonitor.rpc.trust.places import exposed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbmonitor.doctor.report import Check, Scene

SOON = 14  # days before the end of a certificate that are worth a word


def _token_files(scene: Scene) -> Iterator[Finding]:
    own = scene.settings.server_token_file or str(process.token_file or "")
    files = {"token file": scene.settings.token_file, "own token file": own}
    given = {name: Path(path).expanduser() for name, path in files.items() if path}
    if len(set(given.values())) < len(given):
        del given["token file"]
    for name, path in given.items():
        yield _token_file(name, path)
    if not given:
        text = "None is set: a server's token is found by its announcement on this machine."
        yield Finding("token file", "skip", text)


def _token_file(name: str, path: Path) -> Finding:
    try:
        found = keys.read_lines(path.read_text(encoding="utf-8"))
        why = exposed(path)
    except OSError as error:
        text = f"{path} cannot be read ({error.strerror})."
        return Finding(name, "fail", text, "name the file that the server wrote, or unset it")
    except (UnicodeDecodeError, SettingError) as error:
        text = f"{path} holds no tokens: {error}."
        return Finding(
            name, "fail", text, "copy the server's token file again, or `nbmonitor token`"
        )
    if why:
        return Finding(name, "fail", f"{path} is not private.", why)
    now, ours = time.time(), found[0][1]
    if ours.expired(now):
        text = f"The token in {path} expired on {ours.until()}."
        return Finding(name, "fail", text, "ask the owner of the server for another")
    late = [k.name or k.hint for _, k in found if k.expired(now)]
    if late:
        text = f"{path}: {len(found)} tokens, of which {', '.join(late)} expired."
        return Finding(
            name, "warn", text, "take those lines out (`nbmonitor token` makes new ones)"
        )
    roles = f"{len(found)} tokens" if len(found) > 1 else f"a token, role {ours.role}"
    until = f", good until {ours.until()}" if ours.expires is not None else ""
    return Finding(name, "ok", f"{path} has {roles}{until}, and can be read by you alone.")


def _certificates(scene: Scene) -> Iterator[Finding]:
    """What a server here would show, or a client; and whose certificates count."""
    names = ("tls_cert", "tls_key", "tls_ca")
    files = {n: str(getattr(scene.settings, n)) for n in names}
    given = {n: Path(p).expanduser() for n, p in files.items() if p}
    if "tls_cert" not in given and "tls_key" not in given:
        yield Finding("certificate", "skip", "None is set (tls_cert); with TLS one would be made.")
    elif not {"tls_cert", "tls_key"} <= set(given):
        text = "Of tls_cert and tls_key one is set alone."
        yield Finding("certificate", "fail", text, "set both, or neither to have one made")
    else:
        yield _certificate(given["tls_cert"], given["tls_key"])
    if "tls_ca" in given:
        try:
            ssl.create_default_context(cafile=str(given["tls_ca"]))
        except OSError as error:  # ssl.SSLError is one
            text = f"{given['tls_ca']} cannot be used ({error})."
            yield Finding("authority", "fail", text, "name a PEM file with certificates (tls_ca)")
        else:
            yield Finding("authority", "ok", f"{given['tls_ca']} says whose certificates count.")


def _certificate(cert: Path, key: Path) -> Finding:
    try:
        said = certificates.examine(cert, key)
        told = certificates.fingerprint(certificates.first_der(cert.read_text(encoding="ascii")))
    except NbMonitorError as error:
        return Finding("certificate", "fail", str(error))
    left = (ssl.cert_time_to_seconds(said["notAfter"]) - time.time()) / 86_400
    names = ", ".join(str(value) for _, value in said.get("subjectAltName", ())) or "none"
    text = f"{cert} is good for {left:.0f} days, for {names}. SHA-256 {told}"
    if left < SOON:
        return Finding("certificate", "warn", text, "renew it; the server reads it again by itself")
    return Finding("certificate", "ok", text)


CHECKS: tuple[Check, ...] = (_token_files, _certificates)
