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
