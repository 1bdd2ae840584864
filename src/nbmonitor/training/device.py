"""Numbers that lie on a CUDA device: sent to this side without the training thread waiting for the device.

All such values of one call are stacked into one small tensor, which one copy, on the stream that made them, brings
into a slot of pinned memory; an event after it says when it arrived. The outbox's worker asks the events and reads. So
the training thread only enqueues. That the stacked tensor is let go of at once is safe: the caching allocator gives its
memory to work that was enqueued on the same stream later, which runs after the copy.

What lies on other devices (MPS, XPU, ROCm) is read by ``.item()`` on the worker, of a clone.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from typing import TYPE_CHECKING, Any

from nbmonitor.training import cuda

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nbmonitor.training.cuda import Backend
    from nbmonitor.training.notices import Notices

CELLS = 32  # values that one copy brings
SLOTS = 1024  # copies on their way from a device: 256 KiB of pinned memory, allocated at the first value
_WIDTH = 8 * CELLS  # bytes

FULL = "the device was too far behind: no slot was free for further values"
CAPTURED = "they were logged while a CUDA graph was captured"
FAILED = "the device failed"
UNFINISHED = "the device had not worked them out when the run ended"


class _Slot:
    """Pinned memory for one copy, and its event."""

    __slots__ = ("_memory", "_views", "event")

    def __init__(self, memory: Any, event: Any) -> None:
        self.event = event
        self._memory = memory
        self._views: dict[tuple[Any, int], Any] = {}

    def view(self, dtype: Any, count: int) -> Any:
        """Room for ``count`` values of ``dtype``; made once, training logs the same values again and again."""
        view = self._views.get((dtype, count))
        if view is None:
            if len(self._views) > 8:
                self._views.clear()
            view = self._views[dtype, count] = self._memory.view(dtype)[:count]
        return view


class Ticket:
    """Values on their way: ``values`` is None until they are here, and empty where they were lost."""

    __slots__ = ("names", "slot", "stream", "values", "view")

    def __init__(
        self, names: Sequence[str], values: Sequence[float] | None = None, *at: Any
    ) -> None:
        self.names = names
        self.values = values
        self.slot, self.stream, self.view = at or (None, None, None)


class Pending(dict[str, Any]):
    """Values of one call, some of which are on their way: those are NaN until :meth:`settle`."""

    __slots__ = ("tickets",)

    def __init__(self, values: dict[str, Any], tickets: Sequence[Ticket]) -> None:
        super().__init__(values)
        self.tickets = tickets

    @property
    def ready(self) -> bool:
        """Whether all are here, or lost."""
        return all(ticket.values is not None for ticket in self.tickets)

    @property
    def missing(self) -> int:
        """How many values are not here yet."""
        return sum(len(ticket.names) for ticket in self.tickets if ticket.values is None)

    def settle(self) -> dict[str, Any]:
        """Return the values that are here."""
        values = dict(self)
        for ticket in self.tickets:
            if ticket.values:
                values.update(zip(ticket.names, ticket.values, strict=True))
            else:
                for name in ticket.names:
                    values.pop(name, None)
        return values


class Ring:
    """Slots of one device. Sent to by any thread, read by the worker."""

    def __init__(
        self,
        device: int,
        backend: Backend,
        lose: Callable[[int, str], None],
        wake: Callable[[], None],
    ) -> None:
        self._device, self._backend = device, backend
        self._lose, self._wake = lose, wake
        self._memory: Any = None
        self._fresh = itertools.count()
        self._free: list[_Slot] = []  # the last one back goes first: few are ever made
        self._flight: deque[Ticket] = deque()

    def send(self, names: Sequence[str], tensors: Sequence[Any]) -> Ticket | None:
        """Enqueue the copy of up to :data:`CELLS` tensors of one element each; None where no slot is free.

        Nothing here waits for the device, and the tensors need not live on or stay as they are. As for any work on a
        stream, that holds for memory of this stream; it is not promised to us by ``record_stream``, since memory that
        a compiled graph owns ("reduce-overhead") must not be, and a reference would keep what may be a view of much.
        """
        backend = self._backend
        slot = self._slot()
        if slot is None:
            return None
        try:
            stream = backend.current(self._device)
            if len(tensors) == 1:
                source = tensors[0].reshape(1)
            else:
                if len({tensor.dtype for tensor in tensors}) > 1:
                    # It holds what each of them is; a common dtype of theirs would not.
                    tensors = [tensor.double() for tensor in tensors]
                if any(tensor.ndim for tensor in tensors):
                    tensors = [tensor.reshape(()) for tensor in tensors]
                source = backend.torch.stack(tensors)
            view = slot.view(source.dtype, len(tensors))
        except BaseException:
            self._free.append(slot)
            raise
        backend.copy(
            view, source
        )  # what fails from here on keeps its slot: a copy may be under way
        slot.event.record(stream)
        ticket = Ticket(names, None, slot, stream, view)
        self._flight.append(ticket)
        if len(self._flight) > SLOTS // 2:
            self._wake()
        return ticket

    def _slot(self) -> _Slot | None:
        try:
            return self._free.pop()
        except IndexError:
            index = next(self._fresh)
        if index >= SLOTS:
            return None
        memory = self._memory
        if memory is None:
            byte = self._backend.torch.uint8
            memory = self._memory = self._backend.pinned((SLOTS * _WIDTH,), byte)
        return _Slot(memory[index * _WIDTH : (index + 1) * _WIDTH], self._backend.event())

    def poll(self) -> None:
        """Read what has arrived; for the worker."""
        flight = self._flight
        if not flight:
            return
        behind: set[Any] = set()  # streams: what is enqueued later arrives later
        rest: list[Ticket] = []
        with self._backend.on(self._device):
            for _ in range(len(flight)):
                ticket = flight.popleft()
                if ticket.stream in behind or not self._arrived(ticket):
                    behind.add(ticket.stream)
                    rest.append(ticket)
        flight.extendleft(reversed(rest))

    def _arrived(self, ticket: Ticket) -> bool:
        slot = ticket.slot
        try:
            if not slot.event.query():
                return False
            values = [float(value) for value in ticket.view.tolist()]
        except (
            Exception
        ):  # an error of the device, which every further call will meet: the slot stays out
            self._lose(len(ticket.names), FAILED)
            ticket.values = ()
        else:
            ticket.values = values
            self._free.append(slot)
        ticket.slot = ticket.view = None
        return True


class Device:
    """The way from devices to this side: a ring each, made when a tensor there is first logged.

    Parameters
    ----------
    lose
        Told how many values were lost, and why.
    notices
        Where a person is told.
    wake
        Called when slots run short: the worker is to :meth:`poll`.
    backend
        Stands in for CUDA; None: what torch offers.
    """

    def __init__(
        self,
        lose: Callable[[int, str], None],
        notices: Notices,
        wake: Callable[[], None],
        backend: Backend | None = None,
    ) -> None:
        self._lose, self._notices, self._wake = lose, notices, wake
        self._backend = backend
        self._rings: dict[int, Ring] = {}

    @property
    def backend(self) -> Backend | None:
        """CUDA, or None where it is not there."""
        if self._backend is None:
            self._backend = cuda.found()
        return self._backend

    def capturing(self) -> bool:
        """Whether the calling thread captures a graph: nothing may be enqueued, and it is said once."""
        backend = self.backend
        if backend is None or not backend.capturing():
            return False
        self._say_captured()
        return True

    def take(self, values: dict[str, Any], held: dict[str, Any]) -> Pending:
        """Send ``held``, tensors on devices by name, off: ``values`` with them pending. Never raises, never waits."""
        backend = self.backend
        if backend is None:
            return Pending(values | {name: tensor.clone() for name, tensor in held.items()}, ())
        by_device: dict[int, list[str]] = {}
        for name, tensor in held.items():
            by_device.setdefault(tensor.get_device(), []).append(name)
        tickets = []
        for device, names in by_device.items():
            for start in range(0, len(names), CELLS):
                some = names[start : start + CELLS]
                tickets.append(self._sent(backend, device, some, [held[name] for name in some]))
        return Pending(values | dict.fromkeys(held, math.nan), tickets)

    def _sent(
        self, backend: Backend, device: int, names: Sequence[str], tensors: Sequence[Any]
    ) -> Ticket:
        why = FULL
        try:
            if backend.capturing(device):
                self._say_captured()
                why = CAPTURED
            else:
                ring = self._rings.get(device)
                if ring is None:
                    ring = Ring(device, backend, self._lose, self._wake)
                    ring = self._rings.setdefault(device, ring)
                ticket = ring.send(names, tensors)
                if ticket is not None:
                    return ticket
        except Exception as error:
            why = "they could not be read from the device"
            said = " ".join(str(error).split())
            self._notices.warn(
                "device",
                f"run.log could not read {names[0]!r} from its device ({type(error).__name__}: {said[:200]}): "
                "values like it are left out and counted. Log `value.item()` where this goes on.",
            )
        self._lose(len(names), why)
        return Ticket(names, ())

    def _say_captured(self) -> None:
        self._notices.warn(
            "capture",
            "Logging to nbmonitor was met while a CUDA graph was captured, where tensors have no values yet: those are "
            "left out and counted. Log what the graph writes after `graph.replay()`.",
        )

    def poll(self) -> None:
        """Read what has arrived from every device; for the worker."""
        if self._rings and self._backend is not None:
            self._backend.tolerate_captures()
            for ring in list(self._rings.values()):
                ring.poll()
