"""Servers and viewers with a bad road between them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def _load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


ChaosProxy = _load("chaos_proxy", HERE / "chaos_proxy.py").ChaosProxy


@pytest.fixture
def make_proxy():
    made = []

    def start(port, **how):
        proxy = ChaosProxy("127.0.0.1", port, **how).start()
        made.append(proxy)
        return proxy

    yield start
    for proxy in made:
        proxy.close()
