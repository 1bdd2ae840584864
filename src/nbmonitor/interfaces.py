"""The doors between the rooms: Protocols that the wings implement and the roof wires. Ground.

::

    Run ──Sink──▶ Broker ──Source──▶ Dashboard          in one kernel
    Run ──Sink──▶ Publisher ⇒ Server ─▶ Broker          a trainer in another process
    Broker ─▶ Server ⇐ Client ──Source──▶ Dashboard     attached to a server elsewhere
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nbmonitor.audit import AuditRow
    from nbmonitor.events import (
        Command,
        CommandRecord,
        CommandState,
        Demand,
        Event,
        Heartbeat,
        LinkState,
        RunInfo,
        SeriesKind,
    )
    from nbmonitor.subscription import Subscription

Axis = Literal["step", "epoch", "time"]
"""Unit of x: the step number, (fractional) epochs, or epoch seconds."""


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """What a store can say of a series without reading it: ``count`` points, the newest ``last_step`` and ``last``."""

    name: str
    kind: SeriesKind
    count: int
    last_step: int
    last: float


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Points of a series for drawing: ``x`` float64 and ``y`` float32 of one length, x in the unit that was asked for.

    ``exact`` says that no point of the range was left out, ``stale`` that a newer one is on its way: look again soon.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float32]
    total: int
    exact: bool
    stale: bool = False


class Sink(Protocol):
    """Where a run reports to. Every method may be called from any thread; none may block a caller for long."""

    def open(self, info: RunInfo, deliver: Callable[[Command], CommandState]) -> RunInfo:
        """Announce a run, or take one up again (same id). Returns the description as it now stands.

        Commands for it are handed to ``deliver``, which only posts to a mailbox and says how far they got: DELIVERED
        (in the run's own mailbox), SENT (on the road to it) or QUEUED.
        """
        ...

    def publish(self, events: Sequence[Event]) -> None:
        """Take events of one run, in order."""
        ...

    def heartbeat(self, beat: Heartbeat) -> None:
        """Take a sign of life."""
        ...

    def demand(self, run_id: str) -> Demand:
        """What the viewers of this run want now (asked before every frame: must cost next to nothing)."""
        ...

    @property
    def problem(self) -> str:
        """Why nothing reaches whoever keeps the run, in a sentence with its remedy; "" while all is well."""
        ...

    def held(self, run_id: str) -> int:
        """Bytes of what was published and waits to be handed on (asked often: must cost next to nothing)."""
        ...

    def heed(self, run_id: str, changed: Callable[[], None]) -> None:
        """Call ``changed`` whenever that may have become something else, from any thread: it must only set a flag."""
        ...

    def history(self, run_id: str, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Every point kept of a per-step series (the epoch series where there is no other), as (steps, values)."""
        ...

    def flush(self, timeout: float = 5.0) -> bool:
        """Hand over what was published; False when that did not succeed within ``timeout`` seconds.

        A run calls this when it ends. Closing a sink is its owner's business (the roof's).
        """
        ...


class Source(Protocol):
    """What a viewer looks at: a broker in this process or a client of one elsewhere."""

    @property
    def address(self) -> str:
        """Where the data lives, for display: "" in this process."""
        ...

    @property
    def road(self) -> LinkState:
        """State of the road from here to the data; :attr:`RunInfo.link` is that of the whole road to a trainer."""
        ...

    @property
    def trouble(self) -> str:
        """Why the road is cut, in words, where more than silence is known: a refusal; "" otherwise."""
        ...

    def runs(self) -> Sequence[RunInfo]:
        """All runs, newest first."""
        ...

    def run(self, run_id: str) -> RunInfo:
        """One run; raises :class:`~nbmonitor.errors.UnknownRunError`."""
        ...

    def subscribe(
        self,
        run_id: str | None,
        *,
        after_seq: int | None = None,
        notify: Callable[[], None] | None = None,
    ) -> Subscription:
        """Open a mailbox for a run's events from now on (``after_seq=None``) or after a cursor.

        ``run_id=None`` gets the Status and RunUpdate events of every run. ``notify`` is called, from any thread, when
        something arrived; it must only set a flag.
        """
        ...

    def series(self, run_id: str) -> Sequence[SeriesInfo]:
        """The series of a run, in the order in which they were first seen."""
        ...

    def window(
        self,
        run_id: str,
        name: str,
        kind: SeriesKind = "step",
        *,
        axis: Axis = "step",
        lo: float | None = None,
        hi: float | None = None,
        max_points: int = 1000,
        wait: bool = True,
    ) -> Window:
        """Points within ``[lo, hi]`` (and one neighbour beyond each end), decimated to ``max_points``.

        Without ``wait`` a source that has to ask elsewhere may give an earlier one, and says so (``stale``).
        """
        ...

    def events(self, run_id: str, *, limit: int = 200) -> Sequence[Event]:
        """The latest sparse events (status, commands, epochs, lines, gaps), oldest first."""
        ...

    def latest(self, run_id: str) -> Sequence[Event]:
        """The newest Performance event and the newest Batch event of each split: what a first picture needs."""
        ...

    def send(self, command: Command) -> CommandRecord:
        """Post a command; the answer says queued, sent or rejected. What became of it comes as events."""
        ...

    def audit(self, run_id: str = "", limit: int = 200) -> Sequence[AuditRow]:
        """The newest rows of the audit log about a run ("": about everything), newest last.

        Raises :class:`~nbmonitor.errors.AttachError` where a server does not tell them.
        """
        ...

    def close(self) -> None:
        """Let go of what the source holds: mailboxes, threads, connections."""
        ...


class Audit(Protocol):
    """Where is written down who did what. Every method may be called from any thread."""

    def record(self, row: AuditRow) -> None:
        """Take a row; must not block."""
        ...

    def rows(self, run_id: str = "", limit: int = 200) -> Sequence[AuditRow]:
        """See :meth:`Source.audit`."""
        ...

    def close(self) -> None:
        """Write down what waits and let go."""
        ...


class Store(Protocol):
    """Where history is kept. The broker alone writes, in order, from one thread at a time; reads may come from any."""

    @property
    def volatile(self) -> bool:
        """Whether what was appended is gone with this process."""
        ...

    def put_run(self, info: RunInfo) -> None:
        """Create or replace the description of a run."""
        ...

    def append(self, event: Event) -> None:
        """Keep one event."""
        ...

    def runs(self) -> Sequence[RunInfo]:
        """The runs kept, oldest first."""
        ...

    def series(self, run_id: str) -> Sequence[SeriesInfo]:
        """The series of a run."""
        ...

    def window(
        self,
        run_id: str,
        name: str,
        kind: SeriesKind,
        *,
        axis: Axis,
        lo: float | None,
        hi: float | None,
        max_points: int,
    ) -> Window:
        """See :meth:`Source.window`."""
        ...

    def points(
        self, run_id: str, name: str, kind: SeriesKind
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Every point kept of a series as (steps, values, times); copies."""
        ...

    def events(
        self, run_id: str, *, after_seq: int = 0, limit: int | None = None
    ) -> Sequence[Event]:
        """Sparse events kept, oldest first."""
        ...

    def latest(self, run_id: str) -> Sequence[Event]:
        """See :meth:`Source.latest`."""
        ...

    def close(self) -> None:
        """Flush and close."""
        ...
