from __future__ import annotations

import pytest

from nbmonitor import settings
from nbmonitor.errors import SettingError


def test_precedence_argument_config_environment_alias_default():
    env = {"NBMONITOR_PORT": "1", "GRPC_BACKEND_PORT": "2", "GRPC_BACKEND_HOST": "127.0.0.2"}
    assert settings.load(environ={}).port == 0
    assert settings.load(environ={"GRPC_BACKEND_PORT": "2"}).port == 2
    assert settings.load(environ=env).port == 1
    assert settings.load(config={"port": 3}, environ=env).port == 3
    both = settings.load({"port": 4}, {"port": 3}, env)
    assert both.port == 4
    assert both.origin["port"] == "argument"
    assert both.origin["host"] == "GRPC_BACKEND_HOST"
    assert both.origin["store"] == "default"


@pytest.mark.parametrize("port", ["abc", "-1", "65536"])
def test_a_bad_port_says_where_it_came_from(port):
    with pytest.raises(SettingError, match=r"NBMONITOR_PORT.*from 0 to 65535"):
        settings.load(environ={"NBMONITOR_PORT": port})


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("true", True), ("0", False), ("no", False)]
)
def test_switches_from_the_environment(text, value):
    assert settings.load(environ={"NBMONITOR_DISABLED": text}).disabled is value


def test_budgets_come_from_the_environment_and_are_checked():
    settled = settings.load({"overhead": None}, environ={"NBMONITOR_WORKER_CPU": "0.5"})
    assert (settled.overhead, settled.worker_cpu) == (0.02, 0.5)
    assert settled.origin["worker_cpu"] == "NBMONITOR_WORKER_CPU"
    for name, bad in (("overhead", 0.0), ("overhead", 2.0), ("worker_cpu", 0), ("overhead", "x")):
        with pytest.raises(SettingError, match=rf"{name}.*was expected"):
            settings.load({name: bad}, environ={})


ALIASES = {
    "GRPC_BACKEND_HOST": ("host", "10.0.0.1", "10.0.0.1"),
    "GRPC_BACKEND_PORT": ("port", "50051", 50051),
    "GRPC_TLS_ENABLED": ("tls", "1", True),
    "GRPC_TLS_KEY_FILE": ("tls_key", "k", "k"),
    "GRPC_TLS_CERT_FILE": ("tls_cert", "c", "c"),
    "GRPC_TLS_CA_FILE": ("tls_ca", "a", "a"),
    "GRPC_TLS_REQUIRE_CLIENT_AUTH": ("tls_require_client", "1", True),
    "GRPC_AUTH_TOKEN": ("auth_tokens", "t", "t"),
    "GRPC_AUTH_TOKENS": ("auth_tokens", "t,u", "t,u"),
    "GRPC_MAX_MESSAGE_BYTES": ("max_message_bytes", "268435456", 256 << 20),
    "GRPC_MAX_CONCURRENT_RPCS": ("max_streams", "32", 32),
}


@pytest.mark.parametrize("alias", ALIASES)
def test_names_of_other_trainers_are_understood_and_rank_below_ours(alias):
    name, given, value = ALIASES[alias]
    settled = settings.load(environ={alias: given})
    assert getattr(settled, name) == value
    assert settled.origin[name] == alias
    ours = {"host": "h", "port": "7", "max_message_bytes": "9000000", "max_streams": "9"}
    own = ours.get(name, "0" if isinstance(value, bool) else "own")
    both = settings.load(environ={alias: given, f"NBMONITOR_{name.upper()}": own})
    assert both.origin[name] == f"NBMONITOR_{name.upper()}"
    assert getattr(both, name) != value


def test_no_alias_is_forgotten():
    known = {v for d in settings.described() for v in d.variables if v.startswith("GRPC_")}
    assert known == set(ALIASES)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("tls", "maybe"),
        ("tokenless", "nein"),
        ("max_message_bytes", "1000"),
        ("max_message_bytes", str(1 << 31)),
        ("max_message_bytes", "1.5"),
        ("max_streams", "0"),
        ("max_streams", "100000"),
    ],
)
def test_a_switch_or_limit_that_cannot_be_read_is_an_error_and_not_its_default(name, bad):
    with pytest.raises(SettingError, match=rf"{name}.*NBMONITOR_{name.upper()}.*was expected"):
        settings.load(environ={f"NBMONITOR_{name.upper()}": bad})


def test_secrets_are_not_shown():
    settled = settings.load(environ={"GRPC_AUTH_TOKEN": "hush-hush"})
    assert "hush" not in repr(settled)
    assert [d.name for d in settings.described() if d.secret] == ["auth_tokens"]


def test_every_setting_is_described_and_has_a_default_of_its_type():
    told = settings.described()
    assert {d.name for d in told} | {"origin"} == set(settings.Settings.__dataclass_fields__)
    for d in told:
        assert d.help.endswith((".", ":", ")")), d.name
        assert getattr(settings.Settings(), d.name) == d.default
        assert settings.load({d.name: d.default}, environ={}).origin[d.name] in {
            "argument",
            "default",
        }
