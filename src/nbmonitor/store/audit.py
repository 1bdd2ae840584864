"""The audit log's file: JSON lines, appended by a thread of its own, one file a machine for all processes of a person.

Processes take turns under a lock beside the file, so that the chain of hashes stays one. A row is one ``write``; a row
that was cut short (power, a full disk) is closed by an end of line and said in a row of its own. When the file is large
it becomes ``audit-NAME.1.jsonl`` (then 2, 3, …) and the chain goes on in a new one; none is ever removed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import re
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from nbmonitor.audit import KEPT, AuditRow, line, newest, read, sealed
from nbmonitor.errors import InputError, StoreError

try:
    import fcntl

    LOCKS = True
except ImportError:  # Windows: there one process at a time keeps the chain whole
    LOCKS = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

QUEUE = 10_000  # rows that wait for the disk, at most
ROTATE = 16 << 20  # bytes of a file
BLOCK = 64 << 10
PATIENCE = 1.0  # seconds that another process may hold the lock before we try again later
AGAIN = 1.0  # seconds until then

_log = logging.getLogger("nbmonitor")


def default_path() -> Path:
    """Where this machine's log stands: in the folder for state, which may be shared between machines."""
    folder = Path(platformdirs.user_state_dir("nbmonitor", appauthor=False))
    machine = re.sub(r"[^A-Za-z0-9_.-]", "_", platform.node()).strip(".") or "localhost"
    return folder / f"audit-{machine[:100]}.jsonl"


def parts(path: Path) -> list[Path]:
    """Every file of a log, oldest first; those that are there."""
    numbered: dict[int, Path] = {}
    for other in path.parent.glob(f"{path.stem}.*{path.suffix}"):
        number = other.name[len(path.stem) + 1 : -len(path.suffix) or None]
        if number.isdecimal():
            numbered[int(number)] = other
    found = [numbered[n] for n in sorted(numbered)]
    return [*found, path] if path.exists() else found


class AuditLog:
    """Takes rows from any thread and writes them down.

    Parameters
    ----------
    path
        The file; ``default_path()`` by default. It is made with mode 0600, its folder with 0700.
    rotate
        Bytes after which a new file begins.
    queue
        Rows that may wait for the disk. What is too much is counted and said in a row of its own.
    clock
        Epoch seconds.

    Raises
    ------
    StoreError
        From :meth:`start`, when the file cannot be opened.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        rotate: int = ROTATE,
        queue: int = QUEUE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path or default_path()
        self.problem = ""  # why nothing can be written now
        self._rotate, self._most, self._clock = rotate, queue, clock
        self._waiting: deque[AuditRow] = deque()
        self._written: deque[AuditRow] = deque(maxlen=KEPT)
        self._dropped = 0
        self._lock = (
            threading.Lock()
        )  # of the count of what was dropped, and of the move from waiting to written
        self._woken = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    # --- in and out ------------------------------------------------------------------------------------------------

    def record(self, row: AuditRow) -> None:
        """Take a row. Only appends it, so that a broker may call this in the middle of its work."""
        if len(self._waiting) >= self._most:
            with self._lock:
                self._dropped += 1
            return
        self._waiting.append(row)
        if not self._woken.is_set():
            self._woken.set()

    def rows(self, run_id: str = "", limit: int = 200) -> Sequence[AuditRow]:
        """The newest rows of this process about a run ("": about all), newest last; without hashes while they wait."""
        with self._lock:
            found = [*self._written, *self._waiting.copy()]
        return newest(found, run_id, limit)

    # --- life ------------------------------------------------------------------------------------------------------

    def start(self) -> AuditLog:
        """Open the file and start the thread. Raises :class:`~nbmonitor.errors.StoreError`."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(TimeoutError), self._turn(), self._opened():
                pass  # where another process holds the lock, rows wait until it does no more
        except OSError as error:
            msg = (
                f"The audit log {self.path} cannot be opened ({error.strerror or error}). Expected a file of yours: "
                "name another with NBMONITOR_AUDIT=PATH, or turn the log off with NBMONITOR_AUDIT=off."
            )
            raise StoreError(msg) from error
        self._thread = threading.Thread(target=self._run, name="nbmonitor-audit", daemon=True)
        self._thread.start()
        return self

    def close(self, timeout: float = 2.0) -> None:
        """Write what waits and end the thread; what the disk does not take within ``timeout`` seconds is lost."""
        self._closing = True
        self._woken.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(timeout)

    def _run(self) -> None:
        while True:
            self._woken.wait()
            self._woken.clear()
            while self._waiting or self._dropped:
                try:
                    self._write()
                except OSError as error:
                    self._complain(error)
                    if self._closing:
                        return
                    self._woken.wait(AGAIN)
                    self._woken.clear()
                else:
                    self.problem = ""
            if self._closing:
                return

    def _complain(self, error: OSError) -> None:
        if not self.problem:
            _log.warning("the audit log %s cannot be written: %s", self.path, error)
        self.problem = str(error)

    # --- the file --------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        """Write what waits, row by row; a row leaves the queue when it is in the file."""
        with self._turn(), self._opened() as file:
            prev, torn = _end(file, self.path)
            if torn:
                _append(file, b"\n")
                text = f"the row before this one was cut short: {torn} bytes are left of it"
                prev = self._put(
                    file, AuditRow(self._clock(), "log", outcome="failed", error=text), prev
                )
            while self._waiting:
                prev = self._put(file, self._waiting[0], prev, queued=True)
            with self._lock:
                lost, self._dropped = self._dropped, 0
            if lost:
                text = f"{lost} rows were dropped: more came than could be written"
                self._put(file, AuditRow(self._clock(), "log", outcome="failed", error=text), prev)

    def _put(self, file: int, row: AuditRow, prev: str, *, queued: bool = False) -> str:
        row = sealed(row, prev)
        _append(file, line(row).encode() + b"\n")
        with self._lock:
            if queued:
                self._waiting.popleft()
            self._written.append(row)
        return row.sha256

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        if self.path.exists() and self.path.stat().st_size >= self._rotate:
            newest_part = parts(self.path)[-2:-1]
            last = int(newest_part[0].stem.rpartition(".")[2]) if newest_part else 0
            self.path.rename(self.path.with_name(f"{self.path.stem}.{last + 1}{self.path.suffix}"))
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        file = os.open(self.path, flags, 0o600)
        try:
            if os.fstat(file).st_mode & 0o077 and hasattr(os, "fchmod"):
                os.fchmod(file, 0o600)
            yield file
        finally:
            os.close(file)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for the other processes; a stopped one must not hold us for ever."""
        if not LOCKS:
            yield
            return
        beside = self.path.with_name(f".{self.path.name}.lock")
        lock = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            end = time.monotonic() + PATIENCE
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise TimeoutError("another process holds its lock") from None
                    time.sleep(0.005)
            yield
        finally:
            # Said, not left to the close: a child that was forked meanwhile has the lock file open too, and with it
            # the lock (https://man7.org/linux/man-pages/man2/flock.2.html).
            fcntl.flock(lock, fcntl.LOCK_UN)
            os.close(lock)


def _append(file: int, data: bytes) -> None:
    if os.write(file, data) < len(data):
        raise OSError(
            "the disk took a part of a row"
        )  # closed by an end of line at the next attempt


def _end(file: int, path: Path) -> tuple[str, int]:
    """Hash of the last row ("": there is none), and the bytes of a row that was cut short behind it."""
    size = os.fstat(file).st_size
    if size == 0:
        before = [p for p in parts(path) if p != path]
        if not before:
            return "", 0
        older = os.open(before[-1], os.O_RDONLY)
        try:
            return _end(older, before[-1])[0], 0
        finally:
            os.close(older)
    data, start = b"", size
    while start > 0:
        start = max(start - BLOCK, 0)
        os.lseek(file, start, os.SEEK_SET)
        data = os.read(file, min(BLOCK, size - start)) + data
        whole, end, rest = data.rpartition(b"\n")
        lines = whole.split(b"\n")[0 if start == 0 else 1 :] if end else []
        for text in reversed(lines):
            with contextlib.suppress(InputError, UnicodeDecodeError):
                return read(text.decode()).sha256, len(rest)
    return "", len(data.rpartition(b"\n")[2])
