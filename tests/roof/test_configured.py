"""What the settings mean for a server and its clients; `%config` knows every one of them."""

from __future__ import annotations

import grpc
import pytest

from nbmonitor import settings
from nbmonitor.broker import Broker
from nbmonitor.errors import SettingError
from nbmonitor.rpc import configured
from nbmonitor.rpc.client import Client
from nbmonitor.rpc.server import Server
from nbmonitor.rpc.trust import places
from nbmonitor.rpc.trust.certificates import CertificateFiles
from nbmonitor.rpc.trust.tls import Tls
from nbmonitor.store.memory import MemoryStore


def options(**environ):
    return configured.server_options(settings.load(environ=environ))


def test_config_knows_every_setting_but_the_secret_ones():
    from nbmonitor.extension import NBMonitor

    ours = set(NBMonitor.class_trait_names(config=True))
    assert ours == {d.name for d in settings.described() if not d.secret}
    fresh = NBMonitor()
    for d in settings.described():
        if not d.secret:
            assert getattr(fresh, d.name) is None, "what nobody set outranks nothing"
            setattr(fresh, d.name, d.default)
            assert d.help in NBMonitor.class_traits()[d.name].help


def test_by_default_a_server_is_as_it_was():
    told = options()
    assert (told["host"], told["port"], told["unix_socket"]) == ("127.0.0.1", 0, None)
    assert (told["tls"], told["token_file"], told["tokens"]) == (False, None, ())
    assert told["tokenless"] is True


def test_a_server_as_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    places.write_private(tmp_path / "tokens", "f" * 43)
    told = options(
        GRPC_TLS_ENABLED="1",
        GRPC_AUTH_TOKENS=" one-of-two-tokens , another-token-here ",
        NBMONITOR_SERVER_TOKEN_FILE=str(tmp_path / "tokens"),
        NBMONITOR_UNIX_SOCKET=str(tmp_path / "s"),
        NBMONITOR_TOKENLESS="0",
        GRPC_MAX_CONCURRENT_RPCS="5",
    )
    broker = Broker(MemoryStore())
    server = Server(broker, **told).start()
    try:
        assert server._gate.caps["viewers"] == server._gate.caps["trainers"] == 5
        known = Tls(known=tmp_path / "known")
        for token in ("one-of-two-tokens", "another-token-here", "f" * 43):
            Client(server.address, token, tls=known).connect(3).close()
        with grpc.insecure_channel(f"unix:{tmp_path / 's'}") as channel:
            register = channel.unary_unary("/metrics.MetricsService/RegisterTrainingSession")
            with pytest.raises(grpc.RpcError) as caught:
                register(b"", timeout=3)
        assert "NBMONITOR_TOKENLESS=0" in caught.value.details()
    finally:
        server.close(0.2)
        broker.close()


def test_settings_of_a_certificate_by_halves_are_refused():
    for half, other in (("CERT", "tls_key"), ("KEY", "tls_cert")):
        with pytest.raises(SettingError, match=f"NBMONITOR_TLS_{half}.*without {other}"):
            options(NBMONITOR_TLS="1", **{f"NBMONITOR_TLS_{half}": "/x"})
    with pytest.raises(SettingError, match="NBMONITOR_TLS_CA=FILE"):
        options(NBMONITOR_TLS="1", NBMONITOR_TLS_REQUIRE_CLIENT="1")
    files = {"NBMONITOR_TLS_CERT": "/c", "NBMONITOR_TLS_KEY": "/k", "NBMONITOR_TLS_CA": "/a"}
    told = options(NBMONITOR_TLS="1", NBMONITOR_TLS_REQUIRE_CLIENT="1", **files)["tls"]
    assert isinstance(told, CertificateFiles)
    assert (str(told.ca), told.require_client) == ("/a", True)
    assert options(**files)["tls"] is False, "files alone turn nothing on: they may be a client's"


def test_how_a_client_checks_a_server_follows_from_the_address_and_the_settings():
    plain = settings.load(environ={})
    assert configured.client_tls(plain, "127.0.0.1:5") is None
    assert configured.client_tls(plain, "unix:/x") is None
    assert configured.client_tls(plain, "gpu-box:5") == Tls()
    told = settings.load(
        environ={"NBMONITOR_TLS": "1", "NBMONITOR_TLS_CA": "a", "NBMONITOR_TLS_FINGERPRINT": "AB"}
    )
    for address in ("127.0.0.1:5", "gpu-box:5"):
        assert configured.client_tls(told, address) == Tls(ca="a", fingerprint="AB")
    assert configured.client_tls(told, "unix:/x") is None
