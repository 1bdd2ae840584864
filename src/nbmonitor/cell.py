"""Roof: ``%%nbmonitor`` runs a cell's body in a thread, so that the kernel stays free for other cells."""

from __future__ import annotations

import ast
import contextvars
import inspect
import sys
import threading
from typing import TYPE_CHECKING

from nbmonitor.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

    from IPython.core.interactiveshell import InteractiveShell

    from nbmonitor.training.run import Run

NOTE = (
    "Running in a thread: other cells can run beside it. Interrupt does not reach it; Stop in the panel does. "
    "(On ipykernel 6, what it displays may appear under the cell that runs.)"
)


class CellThread:
    """One cell's body in a thread ``nbmonitor-cell``, in the user's namespace.

    The thread runs inside a copy of the cell's context, so that what it prints stays under its own cell
    (ipykernel keeps the parent message in a context variable).

    Parameters
    ----------
    ip
        The shell whose namespace and transformations are used.
    body
        Source of the cell.
    active
        Gives the run that is active, to end it as FAILED when the body raises.

    Raises
    ------
    SettingError
        When the body awaits something: a thread has no event loop of the kernel's.
    """

    def __init__(self, ip: InteractiveShell, body: str, active: Callable[[], Run | None]) -> None:
        self._ip = ip
        self._active = active
        self._parts = _compile(ip, body)
        self._thread: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """Whether the body is still running."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread, and say under the cell how to stop it."""
        print(NOTE)
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._run,), name="nbmonitor-cell", daemon=True
        )
        self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the body to end."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            # What the person typed into the cell, as IPython would run it; nothing that came over a wire gets here.
            for code, shown in self._parts:
                if shown:
                    value = eval(code, self._ip.user_ns)  # noqa: S307 - the user's own cell
                    if value is not None:
                        print(repr(value))
                else:
                    exec(code, self._ip.user_ns)  # noqa: S102 - the user's own cell
        except BaseException as caught:  # SystemExit too: it must end the thread, not the kernel
            error = caught
            text = self._ip.InteractiveTB.text(type(caught), caught, caught.__traceback__)
            print(text, file=sys.stderr)
        finally:
            run = self._active()
            if run is not None:
                run.abandon(error)


def _compile(ip: InteractiveShell, body: str) -> list[tuple[CodeType, bool]]:
    """Compile a body to (code, whether to show its value) parts: all but a last expression, and that expression."""
    source = ip.transform_cell(body)  # type: ignore[no-untyped-call]
    filename = ip.compile.cache(source)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    whole = compile(source, filename, "exec", flags=flags, dont_inherit=True)
    if whole.co_flags & inspect.CO_COROUTINE:
        raise SettingError(
            "This cell uses `await` at its top level, which a thread cannot do for the kernel's event loop. "
            "Move it into `asyncio.run(...)` inside the cell, or run the cell without %%nbmonitor."
        )
    tree = ast.parse(source, filename)
    parts: list[tuple[CodeType, bool]] = []
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    if tree.body:
        parts.append((compile(tree, filename, "exec", dont_inherit=True), False))
    if isinstance(last, ast.Expr):
        parts.append(
            (compile(ast.Expression(last.value), filename, "eval", dont_inherit=True), True)
        )
    return parts
