"""The rule that holds in every ring: what a test started is stopped when it ends."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WITHIN = 5.0  # seconds a thread may take to end


@pytest.fixture(autouse=True, scope="session")
def _state_of_our_own() -> Iterator[None]:
    """What tests leave in the folder for state (audit logs, tokens) is not left in the user's."""
    with tempfile.TemporaryDirectory(prefix="nbm-", ignore_cleanup_errors=True) as folder:
        before = os.environ.get("XDG_STATE_HOME")
        os.environ["XDG_STATE_HOME"] = folder
        yield
        if before is None:
            del os.environ["XDG_STATE_HOME"]
        else:
            os.environ["XDG_STATE_HOME"] = before


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock of the test's."""
    return Clock()


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Wait until a condition holds; returns what it gave."""

    def wait(condition: Callable[[], Any], timeout: float = 10.0) -> Any:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if value := condition():
                return value
            time.sleep(0.01)
        raise AssertionError(f"not within {timeout} s: last value {condition()!r}")

    return wait


def _ours() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("nbmonitor-")]


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    before = set(
        _ours()
    )  # those of a fixture that lives longer than a test, and those that a failure told of
    yield
    end = time.monotonic() + WITHIN
    while (left := set(_ours()) - before) and time.monotonic() < end:
        time.sleep(0.01)
    if left:
        frames = sys._current_frames()
        where = [
            f"{t.name} (alive: {t.is_alive()}, closed over: {t._target!r})\n"  # type: ignore[attr-defined]
            + "".join(traceback.format_stack(frames.get(t.ident or 0)))
            for t in left
        ]
        pytest.fail("threads of ours are left:\n" + "\n".join(where))
