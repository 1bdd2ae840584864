"""Tensors of a batch that lie on a CUDA device: a snapshot there, worked on and sent by the worker.

On the training thread a parcel is one clone on the stream that is current, so that what is done to the tensor later
cannot reach it, and one event. The worker enqueues the rest on a stream of our own, beside the training: it waits there
for that event, makes the snapshot small (``reduce``) and copies it into pinned memory, which torch keeps for the next
ones. No thread waits: the worker asks the last event now and then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nbmonitor.training.cuda import Backend
    from nbmonitor.training.device import Device

Work = Callable[[Any, Any, int], "Sequence[Any]"]
"""``work(torch, snapshot, side)`` gives the tensors to send; it enqueues only."""


class Parcel:
    """A snapshot of ``tensor``, which is detached, of any stride, and may change after this call."""

    def __init__(self, backend: Backend, tensor: Any, work: Work) -> None:
        self._backend, self._work = backend, work
        self._device = tensor.get_device()
        self._snapshot = tensor.clone()
        self._taken = backend.event()
        self._taken.record(backend.current(self._device))
        self._sent: list[Any] = []
        self._here: Any = None
        self._error: Exception | None = None

    def arrived(self, side: int) -> bool:
        """Whether it is here, or never will be; for the worker, which is to ask again.

        ``side``: widest side of a tile, in pixels.
        """
        try:
            self._backend.tolerate_captures()
            if self._here is None:
                self._send(side)
            with self._backend.on(self._device):
                return bool(self._here.query())
        except Exception as error:
            self._error = error
            return True

    def _send(self, side: int) -> None:
        backend, snapshot = self._backend, self._snapshot
        with backend.side(self._device) as stream:
            stream.wait_event(self._taken)
            snapshot.record_stream(
                stream
            )  # its memory is the training stream's: not before we read it
            for result in self._work(backend.torch, snapshot, side):
                target = backend.pinned(result.shape, result.dtype)
                backend.copy(target, result)
                self._sent.append(target)
            here = backend.event()
            here.record(stream)
        self._snapshot = None
        self._here = here

    def arrays(self) -> list[NDArray[Any]]:
        """Views of what came, once it :meth:`arrived`.

        Raises
        ------
        InputError
            When the tensor cannot be shown. Errors of the device come as torch raised them.
        """
        if self._error is not None:
            raise self._error
        return [target.numpy() for target in self._sent]


def on_cuda(device: Device | None, value: Any) -> Backend | None:
    """What brings ``value`` here when it is a tensor on a CUDA device; else None."""
    if device is None or not getattr(value, "is_cuda", False):
        return None
    return device.backend


def arrived(content: Any, side: int) -> bool:
    """Whether a part of a frame is here: a parcel, a list that holds some; anything else is."""
    if isinstance(content, Parcel):
        return content.arrived(side)
    if isinstance(content, list):
        here = [part.arrived(side) for part in content if isinstance(part, Parcel)]
        return all(here)  # all were asked, so that all are sent
    return True
