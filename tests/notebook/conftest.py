"""Fixtures of the notebook wing's tests; what they are made of is in showroom.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `from showroom import ...` in every file here

from typing import TYPE_CHECKING

from showroom import Show

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def show() -> Iterator[Show]:
    made = Show()
    yield made
    made.sender.close()
    made.broker.close()
