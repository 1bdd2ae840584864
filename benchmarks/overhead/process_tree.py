"""CPU time and memory of this process and all its descendants. Standard library alone: peers' environments have it."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

LINUX = sys.platform == "linux"
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER


def adopt() -> None:
    """Become the parent of orphans, so that a helper that detaches itself is still counted."""
    if LINUX:
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def descendants() -> list[int]:
    """Ids of all processes below this one; none where there is no /proc."""
    found: list[int] = []
    ask = [os.getpid()] if LINUX else []
    while ask:
        for task in Path(f"/proc/{ask.pop()}/task").glob("*/children"):
            try:
                children = [int(pid) for pid in task.read_text().split()]
            except OSError:  # it ended meanwhile
                continue
            found += children
            ask += children
    return found


def cpu() -> float:
    """CPU seconds of all processes, to the nanosecond; those of a child that ended and was not waited for are lost."""
    times = os.times()
    total = time.process_time() + times.children_user + times.children_system
    for pid in descendants():
        try:
            total += time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3)
        except OSError:
            continue
    return total


def memory(pid: int | None = None) -> float:
    """Resident MiB of ``pid``, or of this process and its descendants."""
    total = 0
    for one in (os.getpid(), *descendants()) if pid is None else (pid,):
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
    return total * _PAGE / 2**20
