"""TLS: certificates of all kinds against servers of all kinds; every failure has a cause in words."""

from __future__ import annotations

import contextlib
import datetime as dt
import gc
import ipaddress
import logging
import os
import re
import socket
import ssl
import stat
import struct
import subprocess
import sys
import tempfile
import threading
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nbmonitor.address import parse
from nbmonitor.errors import AttachError, EnvironmentMissingError, ServerError
from nbmonitor.events import RunInfo
from nbmonitor.rpc.channel import dial
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.limits import Call
from nbmonitor.rpc.publisher import Publisher
from nbmonitor.rpc.server import Server
from nbmonitor.rpc.trust import certificates, places, selfsigned, tls
from nbmonitor.rpc.trust.certificates import (
    CertificateFiles,
    Certificates,
    fingerprint,
    same_fingerprint,
)
from nbmonitor.rpc.trust.known import Known
from nbmonitor.rpc.trust.tls import Tls

DAY = dt.timedelta(days=1)


class Authority:
    """Signs certificates of any kind."""

    def __init__(self, folder):
        self.folder = folder
        self.key, self.cert = self._make("an authority", [], None, ca=True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(self._pem(self.cert))

    def issue(self, name, names=(), *, days=10, start=-1, signed=True, stem=None):
        """Certificate and key files."""
        key, cert = self._make(name, names, self if signed else None, days=days, start=start)
        stem = stem or re.sub(r"\W", "-", name)
        files = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        places.write_private(files[0], self._pem(cert).decode())
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        places.write_private(files[1], secret.decode())
        return files

    @staticmethod
    def _pem(cert):
        return cert.public_bytes(serialization.Encoding.PEM)

    @staticmethod
    def _make(name, names, issuer, *, ca=False, days=10, start=-1):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer, said = (key, subject) if issuer is None else (issuer.key, issuer.cert.subject)
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(said)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start * DAY)
            .not_valid_after(now + days * DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            alternatives = [
                x509.IPAddress(ipaddress.ip_address(n)) if n[0].isdigit() else x509.DNSName(n)
                for n in names
            ]
            made = made.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return key, made.sign(signer, hashes.SHA256())


@pytest.fixture(autouse=True)
def _own_state(tmp_path, monkeypatch):
    (tmp_path / "runtime").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def authority(tmp_path):
    (tmp_path / "authority").mkdir()
    return Authority(tmp_path / "authority")


@pytest.fixture
def serve(broker):
    with contextlib.ExitStack() as stack:

        def start(**options):
            made = Server(broker, **options).start()
            stack.callback(made.close, 0.2)
            return made

        yield start


def attach(server, **options):
    client = Client(server.address, server.token, **options)
    try:
        return client.connect(3.0).runs()
    finally:
        client.close()


# --- pinning ---------------------------------------------------------------------------------------------------------


def test_a_certificate_of_our_own_is_private_lasting_and_names_the_machine(serve, tmp_path):
    first = serve(tls=True)
    cert, key = selfsigned.self_signed("127.0.0.1")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert tmp_path / "state" in key.parents
    said = certificates.examine(cert, key)
    named = {value for _, value in said["subjectAltName"]}
    assert {"nbmonitor", "localhost", "127.0.0.1", socket.gethostname()} <= named
    assert any(v in named for v in ("::1", "0:0:0:0:0:0:0:1"))
    der = certificates.first_der(cert.read_text())
    out = subprocess.run(
        ["openssl", "x509", "-in", str(cert), "-noout", "-fingerprint", "-sha256", "-text"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert first.fingerprint == fingerprint(der)
    assert f"={first.fingerprint}" in out, "as openssl prints it"
    assert "prime256v1" in out
    assert serve(tls=True).fingerprint == first.fingerprint, "the next server has the same"


def test_the_first_use_pins_and_every_later_one_checks(serve, tmp_path):
    server = serve(tls=True)
    assert list(attach(server, tls=True)) == []
    known = Known()
    assert stat.S_IMODE(known.path.stat().st_mode) == 0o600
    assert known.get(server.address).fingerprint == server.fingerprint
    assert server.token not in known.path.read_text()


def test_a_pinned_server_costs_no_handshake_of_ours_the_second_time(serve, monkeypatch):
    server = serve(tls=True)
    attach(server, tls=True)

    def never(*_, **__):
        raise AssertionError("a round trip too many")

    monkeypatch.setattr(tls, "connected", never)
    attach(server, tls=True)


def test_another_certificate_at_a_pinned_address_is_refused_with_both_fingerprints(
    serve, authority, broker
):
    server = serve(tls=True)
    attach(server, tls=True)
    port, was = server.port, server.fingerprint
    server.close(0.2)
    cert, key = authority.issue("nbmonitor", ["nbmonitor", "127.0.0.1"], signed=False)
    thief = serve(port=port, tls=CertificateFiles(cert, key), token=server.token)
    with pytest.raises(AttachError, match="not the one that was pinned") as caught:
        attach(thief, tls=True)
    for told in (was, thief.fingerprint, str(Known().path), "tls_fingerprint=", "in between"):
        assert told in str(caught.value)
    assert Known().get(thief.address).fingerprint == was, "and the pin stands"
    # What was told beforehand takes the place of what was pinned; what is wrong does not.
    with pytest.raises(AttachError, match="another certificate than the one that was asked for"):
        attach(thief, tls=Tls(fingerprint="AB:" * 31 + "AB"))
    assert Known().get(thief.address).fingerprint == was
    attach(thief, tls=Tls(fingerprint=thief.fingerprint.lower().replace(":", "")))
    assert Known().get(thief.address).fingerprint == thief.fingerprint
    attach(thief, tls=True)


def test_no_token_reaches_a_server_that_is_not_believed(serve, authority):
    """The channel is never opened: gRPC itself holds the server to the pinned certificate."""
    server = serve(tls=True)
    attach(server, tls=True)
    port = server.port
    server.close(0.2)
    cert, key = authority.issue("nbmonitor", ["nbmonitor"], signed=False)
    heard = []

    class Thief(grpc.ServerInterceptor):
        def intercept_service(self, continuation, details):
            heard.append(details.invocation_metadata)
            return continuation(details)

    thief = grpc.server(futures.ThreadPoolExecutor(1), interceptors=[Thief()])
    files = [(key.read_bytes(), cert.read_bytes())]
    thief.add_secure_port(f"127.0.0.1:{port}", grpc.ssl_server_credentials(files))
    thief.start()
    try:
        with pytest.raises(AttachError):
            attach(server, tls=True)
        assert heard == []
    finally:
        thief.stop(0).wait()


def test_forgetting_pins_anew(serve):
    server = serve(tls=True)
    attach(server, tls=True)
    assert Known().forget(server.address) is True
    assert Known().forget(server.address) is False
    assert Known().get(server.address) is None
    attach(server, tls=True)
    assert Known().get(server.address) is not None


def test_lines_that_are_broken_are_as_none(tmp_path):
    known = Known(tmp_path / "known")
    known.path.write_text("h:1 AB name\nh:1 AB:CD name %%%\n\nh:1 00 name QUJD\n")
    assert known.get("h:1") is None
    known.put("h:1", tls.Pinned(fingerprint(b"ABC"), "name", b"ABC"))
    assert known.get("h:1").der == b"ABC"
    assert known.get("h:2") is None


def test_fingerprints_are_compared_however_they_are_written():
    one = fingerprint(b"x")
    for other in (one.lower(), one.replace(":", ""), f"SHA256:{one}", f" {one}\n"):
        assert same_fingerprint(one, other)
    for other in ("", "AB", one[:-1], fingerprint(b"y")):
        assert not same_fingerprint(one, other)
    assert not same_fingerprint("", "")


def test_a_certificate_of_an_authority_can_be_pinned_too(serve, authority):
    cert, key = authority.issue("box", ["box.lan"])
    server = serve(tls=CertificateFiles(cert, key))
    attach(server, tls=True)
    assert Known().get(server.address).name == "box.lan"


# --- an authority ----------------------------------------------------------------------------------------------------


def test_with_an_authority_names_are_checked(serve, authority):
    cert, key = authority.issue("box", ["localhost", "127.0.0.1"])
    attach(serve(tls=CertificateFiles(cert, key)), tls=Tls(ca=str(authority.file)))
    cert, key = authority.issue("elsewhere", ["elsewhere.example"])
    server = serve(tls=CertificateFiles(cert, key))
    with pytest.raises(AttachError, match=r"certificate is refused.*(mismatch|not valid for)"):
        attach(server, tls=Tls(ca=str(authority.file)))
    assert not Known().path.exists(), "nothing is pinned where an authority decides"


def test_what_another_authority_signed_is_refused(serve, authority, tmp_path):
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    cert, key = other.issue("box", ["127.0.0.1"])
    with pytest.raises(AttachError, match="certificate is refused"):
        attach(serve(tls=CertificateFiles(cert, key)), tls=Tls(ca=str(authority.file)))


@pytest.mark.parametrize("missing", ["ca", "cert", "key"])
def test_files_of_a_client_that_cannot_be_read(serve, missing):
    with pytest.raises(AttachError, match=f"tls_{missing} cannot be read.*PEM file"):
        attach(serve(tls=True), tls=Tls(**{missing: "/nowhere.pem"}))


# --- mutual TLS ------------------------------------------------------------------------------------------------------


def test_the_name_in_a_clients_certificate_is_the_actor(
    serve, authority, broker, eventually, monkeypatch
):
    cert, key = authority.issue("box", ["127.0.0.1", "nbmonitor"])
    files = CertificateFiles(cert, key, ca=authority.file, require_client=True)
    server = serve(tls=files)
    ada = dict(zip(("cert", "key"), map(str, authority.issue("ada")), strict=True))
    callers = []
    monkeypatch.setattr(
        "nbmonitor.rpc.limits.Call",
        lambda *a: callers.append(a[1]) or Call(*a),
    )
    attach(server, tls=Tls(**ada))
    assert {c.name for c in callers} == {"ada"}
    assert {c.role for c in callers} == {"owner"}
    with pytest.raises(AttachError, match=r"asks for a client's certificate.*tls_cert="):
        attach(server, tls=True)
    stranger = dict(
        zip(("cert", "key"), map(str, authority.issue("eve", signed=False)), strict=True)
    )
    with pytest.raises(AttachError, match="does not accept the certificate"):
        attach(server, tls=Tls(**stranger))
    with pytest.raises(AttachError, match="both tls_cert= and tls_key="):
        attach(server, tls=Tls(cert=ada["cert"]))
    client = Client(server.address, "w" * 43, tls=Tls(**ada))
    with pytest.raises(
        AttachError, match="token is wrong"
    ):  # a certificate opens nothing by itself
        client.connect(3.0)


def test_an_authority_is_needed_for_clients(authority):
    cert, key = authority.issue("box", ["127.0.0.1"])
    with pytest.raises(ServerError, match="tls_ca="):
        Certificates(CertificateFiles(cert, key, require_client=True))


# --- the wrong kind --------------------------------------------------------------------------------------------------


def test_plaintext_to_tls_and_back(serve):
    with pytest.raises(AttachError, match=r"speaks TLS.*tls=True"):
        attach(serve(tls=True))
    with pytest.raises(AttachError, match=r"does not speak TLS.*serve --tls"):
        attach(serve(), tls=True)


def test_an_expired_certificate_is_named_on_both_sides(serve, authority, monkeypatch):
    cert, key = authority.issue("old", ["127.0.0.1"], days=-0.5, start=-3)
    with pytest.raises(ServerError, match="expired"):
        serve(tls=CertificateFiles(cert, key))
    monkeypatch.setattr(certificates, "examine", lambda *_: {})
    server = serve(tls=CertificateFiles(cert, key))
    for how in (Tls(), Tls(ca=str(authority.file))):
        with pytest.raises(AttachError, match="expired"):
            attach(server, tls=how)
    assert Known().get(server.address) is None


def test_to_another_machine_nothing_goes_in_the_clear(monkeypatch):
    for address in ("10.0.0.9:5", "gpu-box:5", "[2001:db8::1]:5"):
        with pytest.raises(AttachError, match=r"in the clear.*ssh://HOST"):
            dial(address, tls=False)
        assert tls.wanted(parse(address), None) == Tls()
    for address in ("127.0.0.1:5", "localhost:5", "[::1]:5", "unix:/x"):
        assert tls.wanted(parse(address), None) is None
    assert tls.wanted(parse("127.0.0.1:5"), True) == Tls()
    assert tls.wanted(parse("unix:/x"), True) is None
    opened = []
    monkeypatch.setattr(grpc, "insecure_channel", lambda *a, **k: opened.append(a))
    monkeypatch.setattr(tls, "PATIENCE", 0.2)
    with pytest.raises(AttachError):
        Client("192.0.2.1:5", "t" * 43).connect(0.2)
    assert opened == []


def test_nobody_there_reads_well(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(AttachError, match="No TLS server answers"):
        Client(f"127.0.0.1:{port}", "t" * 43, tls=True).connect(1.0)
    with pytest.raises(AttachError, match="No nbmonitor server answers"):
        Client(f"127.0.0.1:{port}", "t" * 43).connect(1.0)


def test_what_hangs_up_at_once_neither_speaks_tls_nor_leaves_a_socket_open():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        over = threading.Event()

        def hang_up():
            listening.settimeout(0.1)
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = listening.accept()
                    reset = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                    connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        where = parse(f"127.0.0.1:{listening.getsockname()[1]}")
        try:
            for _ in range(30):  # an unclosed socket is a warning, and a warning an error
                assert tls.diagnose(where, None, 1.0) == ""
                assert "accept" not in tls.diagnose(where, Tls(), 1.0)
        finally:
            over.set()
            thread.join()
    gc.collect()


def test_a_trainer_says_what_is_wrong_and_goes_on(serve, eventually, broker):
    server = serve(tls=True)
    plain = Publisher(server.address, server.token, retry=(0.02, 0.1)).start()
    right = Publisher(server.address, server.token, tls=True, retry=(0.02, 0.1)).start()
    try:
        plain.open(RunInfo("", "plain"), lambda c: None)
        right.open(RunInfo("", "right"), lambda c: None)
        eventually(lambda: "speaks TLS" in plain.problem)
        eventually(lambda: [r.name for r in broker.runs()] == ["right"])
        assert right.problem == ""
    finally:
        plain.close(0.5)
        right.close(1)


# --- files that change -----------------------------------------------------------------------------------------------


def shown(port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), 3) as raw,
        context.wrap_socket(raw) as wrapped,
    ):
        return fingerprint(wrapped.getpeercert(binary_form=True))


def test_a_renewed_certificate_is_taken_up_and_a_broken_one_is_not(
    serve, authority, monkeypatch, caplog
):
    monkeypatch.setattr(certificates, "LOOK", 0.0)
    cert, key = authority.issue("box", ["127.0.0.1"])
    server = serve(tls=CertificateFiles(cert, key))
    first = server.fingerprint
    assert shown(server.port) == first
    client = Client(server.address, server.token, tls=Tls(ca=str(authority.file))).connect(3)
    try:
        authority.issue("box", ["127.0.0.1"])
        second = shown(server.port)
        assert second == server.fingerprint != first
        client.runs()  # a connection that stands is not touched
        with caplog.at_level(logging.WARNING, "nbmonitor"):
            places.write_private(cert, "no certificate")
            for _ in range(5):
                assert shown(server.port) == second
        assert caplog.text.count("stays in use") == 1
        authority.issue("box", ["127.0.0.1"])
        assert shown(server.port) not in (first, second)
    finally:
        client.close()


@pytest.mark.parametrize(
    "fault", ["other key", "no key", "no cert", "garbage", "readable", "password"]
)
def test_files_that_do_not_fit_are_refused_before_anything_listens(authority, broker, fault):
    cert, key = authority.issue("box", ["127.0.0.1"])
    if fault == "other key":
        _, key = authority.issue("other", ["127.0.0.1"])
    elif fault == "no key":
        key.unlink()
    elif fault == "no cert":
        cert.unlink()
    elif fault == "garbage":
        places.write_private(cert, "garbage")
    elif fault == "readable":
        key.chmod(0o644)
    else:
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        secret = loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
        places.write_private(key, secret.decode())
    before = threading.active_count()
    with pytest.raises(ServerError, match=r"cannot be used"):
        Server(broker, tls=CertificateFiles(cert, key))
    assert threading.active_count() == before


def test_without_the_extra_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(EnvironmentMissingError, match=r"nbmonitor\[tls\]"):
        selfsigned.self_signed("127.0.0.1")


def test_a_broken_certificate_of_our_own_is_made_anew_and_said(caplog):
    cert, key = selfsigned.self_signed("127.0.0.1")
    places.write_private(cert, "broken")
    with caplog.at_level(logging.WARNING, "nbmonitor"):
        again, _ = selfsigned.self_signed("127.0.0.1")
    assert certificates.examine(again, key)
    assert "pin it again" in caplog.text


def test_many_processes_that_begin_at_once_agree_on_one_certificate():
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(selfsigned.self_signed("127.0.0.1")))
        for _ in range(8)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 8
    assert len({certificates.first_der(c.read_text()) for c, _ in found}) == 1
    assert len(list(found[0][0].parent.parent.iterdir())) == 1, "nothing is left beside it"


# --- where a server may listen ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.org"])
def test_an_interface_that_others_reach_is_refused_without_tls(broker, host):
    with pytest.raises(ServerError, match=r"could read on the way.*ssh -L.*serve --tls"):
        Server(broker, host=host)
    with pytest.raises(ServerError, match="can be guessed"):
        Server(broker, host=host, tls=True, token="short")
    with pytest.raises(ServerError, match="no interface"):
        Server(broker, host="")


def test_with_tls_every_interface_is_served_and_a_token_is_needed(serve):
    server = serve(host="0.0.0.0", tls=True)
    address = f"127.0.0.1:{server.port}"
    with dial(address, tls=True) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/nbmonitor.rpc.v1.MonitorService/ListRuns")(b"", timeout=3)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    client = Client(address, server.token, tls=True)
    client.connect(3).close()


def test_a_port_and_a_socket_are_one_server(serve, tmp_path, eventually, broker):
    path = tmp_path / "sockets" / "nbmonitor.sock"
    server = serve(unix_socket=path, tls=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    trainer = Publisher(f"unix:{path}", None, retry=(0.02, 0.1)).start()
    try:
        trainer.open(RunInfo("", "by socket"), lambda c: None)
        eventually(broker.runs)
        assert [r.name for r in attach(server, tls=True)] == ["by socket"]
        client = Client(f"unix:{path}", server.token).connect(3)
        assert [r.name for r in client.runs()] == ["by socket"]
        client.close()
    finally:
        trainer.close(1)
    server.close(0.2)
    assert not path.exists()


def test_a_socket_alone(serve, tmp_path):
    server = serve(port=None, unix_socket=tmp_path / "s")
    assert server.address == f"unix:{tmp_path / 's'}"
    assert list(attach(server)) == []


def test_a_socket_of_a_dead_server_makes_room_and_a_live_one_does_not(serve, tmp_path, broker):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    server = serve(port=None, unix_socket=path)
    attach(server)
    with pytest.raises(ServerError, match=r"listens on .* already.*attach unix:"):
        Server(broker, port=None, unix_socket=path).start()
    attach(server)  # and it was not disturbed


def test_paths_that_cannot_be_sockets(broker, tmp_path):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    for path, why in (
        (tmp_path / ("x" * 120), "takes 107"),
        ("relative", "absolute"),
        (tmp_path / "file", "is no socket"),
        (tmp_path / "open" / "s", "chmod 700"),
        ("/proc/nope/s", "cannot be made"),
    ):
        with pytest.raises(ServerError, match=why):
            Server(broker, port=None, unix_socket=path).start()
    assert (tmp_path / "file").read_text() == "precious"
    with pytest.raises(ServerError, match="neither a port nor"):
        Server(broker, port=None)


def test_another_user_cannot_connect_to_the_socket(serve, tmp_path):
    if os.name != "posix" or os.getuid() != 0:
        pytest.skip("needs root, to become somebody else")
    with tempfile.TemporaryDirectory() as open_to_all:  # pytest's own folders are closed further up
        Path(open_to_all).chmod(0o755)
        path = Path(open_to_all, "ours", "s")
        server = serve(port=None, unix_socket=path)
        code = (
            "import os, socket, sys\nos.setgid(65534); os.setuid(65534)\nos.listdir(sys.argv[1])\n"
            "try:\n    socket.socket(socket.AF_UNIX).connect(sys.argv[2])\n"
            "except PermissionError:\n    print('refused')"
        )
        argv = [sys.executable, "-c", code, open_to_all, str(path)]
        out = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert out.stdout == "refused\n", out.stderr
        server.close(0.2)
