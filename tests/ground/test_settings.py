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
