"""All that is asked of CUDA: streams, events, pinned memory. Torch is found where it was imported, never imported."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager


def found() -> Backend | None:
    """CUDA, once a person uses it; None before, without it, and with ROCm.

    There, asking an event spoils the capture of a graph in another thread, whatever that or this thread says.
    """
    torch = sys.modules.get("torch")
    if torch is None or torch.version.hip is not None or not torch.cuda.is_initialized():
        return None
    return Cuda(torch)


class Backend(Protocol):
    """What is asked of a device and its streams; tests bring one without a device."""

    torch: Any

    def capturing(self, device: int | None = None) -> bool:
        """Whether the calling thread captures a graph on its stream of ``device`` (None: the one it is on)."""
        ...

    def current(self, device: int) -> Any:
        """The calling thread's stream of ``device``."""
        ...

    def on(self, device: int) -> AbstractContextManager[Any]:
        """Make ``device`` the calling thread's within."""
        ...

    def side(self, device: int) -> AbstractContextManager[Any]:
        """Enqueue on a stream of our own, which it gives, within."""
        ...

    def event(self) -> Any:
        """Make an event, to be recorded."""
        ...

    def pinned(self, shape: Sequence[int], dtype: Any) -> Any:
        """Make a tensor in pinned memory."""
        ...

    def copy(self, target: Any, source: Any) -> None:
        """Enqueue a copy from the device on the stream that is current."""
        ...

    def tolerate_captures(self) -> None:
        """Have what this thread asks not spoil a capture in another one."""
        ...


class Cuda:
    """CUDA as :class:`Backend`."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self._cuda = torch.cuda
        self._sides: dict[int, Any] = {}
        self._tolerant = threading.local()

    def capturing(self, device: int | None = None) -> bool:
        """See :class:`Backend`."""
        cuda = self._cuda
        if device is None or cuda.current_device() == device:
            return bool(cuda.is_current_stream_capturing())
        with cuda.device(device):
            return bool(cuda.is_current_stream_capturing())

    def current(self, device: int) -> Any:
        """See :class:`Backend`."""
        return self._cuda.current_stream(device)

    def on(self, device: int) -> AbstractContextManager[Any]:
        """See :class:`Backend`. A thread that asks events on device 0 by default would make a context there."""
        return self._cuda.device(device)  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def side(self, device: int) -> Any:
        """See :class:`Backend`."""
        with self._cuda.device(device):
            stream = self._sides.get(device)
            if stream is None:
                stream = self._sides[device] = self._cuda.Stream(device)
            with self._cuda.stream(stream):
                yield stream

    def event(self) -> Any:
        """See :class:`Backend`."""
        return self._cuda.Event()

    def pinned(self, shape: Sequence[int], dtype: Any) -> Any:
        """See :class:`Backend`. Torch keeps pinned memory that was let go of for the next ones."""
        # Outside of inference mode, which a validation loop may be in: its tensors could never be written again. The
        # device is named since a person may have set another default.
        with self.torch.inference_mode(False):
            return self.torch.empty(tuple(shape), dtype=dtype, device="cpu", pin_memory=True)

    def copy(self, target: Any, source: Any) -> None:
        """See :class:`Backend`."""
        target.copy_(source, non_blocking=True)

    def tolerate_captures(self) -> None:
        """See :class:`Backend`.

        While a thread captures a graph in the default, "global" mode, ``cudaEventQuery`` in any other thread makes the
        capture fail, unless that thread's own mode is laxer. Torch does the same for its NCCL watchdog.
        """
        if getattr(self._tolerant, "set", False):
            return
        self._tolerant.set = True
        with contextlib.suppress(OSError, AttributeError):
            # The driver, not the runtime: that one would make a context on device 0.
            driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
            mode = ctypes.c_int(1)  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
            driver.cuThreadExchangeStreamCaptureMode(ctypes.byref(mode))
