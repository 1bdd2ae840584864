"""What happens to runs when their process forks or ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import weakref
from typing import Protocol


class Mortal(Protocol):
    """A run, as seen from here."""

    def _forked(self) -> None: ...

    def _exit(self, error: BaseException | None) -> None: ...


_runs: weakref.WeakSet[Mortal] = weakref.WeakSet()
_told: list[bool] = []  # not empty: this child was told
_watching: list[bool] = []  # not empty: the process is watched
_hurried: list[bool] = []  # not empty: Ctrl-C was pressed while a run handed over at the end


def watch(run: Mortal) -> None:
    """Tell ``run`` when this process forks (in the child) or ends."""
    if not _watching:
        _watching.append(True)
        os.register_at_fork(after_in_child=_in_child)
        atexit.register(_at_exit, last_error())
    _runs.add(run)


def say_forked(name: str) -> None:
    """Say, once a child process, that nothing is logged from it."""
    if _told:
        return
    _told.append(True)
    text = (
        f"nbmonitor: run {name!r} is not logged to from a forked process ({os.getpid()}), such as a worker of a "
        "DataLoader. Give the values back and log them where nbmonitor.init was called.\n"
    )
    with contextlib.suppress(
        OSError
    ):  # straight out: a lock of a stream may have been held when it forked
        os.write(2, text.encode())


def last_error() -> BaseException | None:
    """The exception that last went uncaught in this process: set before `atexit` when one ends a script."""
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return error if isinstance(error, BaseException) else None


def hurried() -> bool:
    """Whether the end of this process is not to be waited for: somebody pressed Ctrl-C while a run handed over."""
    return bool(_hurried)


def _in_child() -> None:
    _told.clear()
    for run in list(_runs):
        run._forked()
    _runs.clear()


def _at_exit(old: BaseException | None) -> None:
    error = last_error()
    for run in list(_runs):
        try:
            run._exit(None if error is old else error)
        except KeyboardInterrupt:  # meant for the wait, and no fault that a traceback would explain
            _hurried.append(True)
