"""A device without one: streams that run when a test says so, events, tensors that nobody may read."""

from __future__ import annotations

import contextlib
import threading
from collections import deque

import torch


class OnDevice(torch.Tensor):
    """A tensor that claims to lie on a device: whatever would wait for it fails."""

    is_cpu = False
    is_cuda = True
    where = 0
    streams: list = []  # noqa: RUF012  # whom its memory was promised to, all tensors together

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        out = super().__torch_function__(func, types, args, kwargs or {})
        first = args[0][0] if args and isinstance(args[0], (list, tuple)) else (args or [None])[0]
        if isinstance(out, OnDevice):
            out.where = getattr(first, "where", 0)
        return out

    def get_device(self):
        return self.where

    def record_stream(self, stream):
        OnDevice.streams.append(stream)


def _waits(self, *_):
    raise AssertionError(f"{threading.current_thread().name} waited for the device")


for _name in ("item", "tolist", "numpy", "cpu", "nonzero", "__array__", "__iter__"):
    setattr(OnDevice, _name, _waits)
for _name in ("__float__", "__int__", "__bool__", "__index__"):
    setattr(OnDevice, _name, _waits)


def on_device(value, where=0, **options):
    """A tensor on device ``where``."""
    made = torch.as_tensor(value, **options).as_subclass(OnDevice)
    made.where = where
    return made


class Event:
    def __init__(self, backend):
        self._backend = backend
        self.fired = False

    def record(self, stream):
        self.fired = False
        stream.add(lambda: setattr(self, "fired", True))

    def query(self):
        if self._backend.error:
            raise self._backend.error
        self._backend.asked_by.add(threading.current_thread().name)
        return self.fired


class Stream:
    def __init__(self, backend, name):
        self._backend, self.name = backend, name
        self._work = deque()
        self._lock = threading.Lock()

    def add(self, work, until=None):
        """Enqueue; ``until``: an event to wait for first."""
        self._work.append((work, until))
        if self._backend.prompt:
            self._backend.run()

    def wait_event(self, event):
        self.add(lambda: None, until=event)

    def run(self, most):
        with self._lock:
            done = 0
            while self._work and done < most:
                work, until = self._work[0]
                if until is not None and not until.fired:
                    break
                self._work.popleft()
                work()
                done += 1
            return done


class Backend:
    """Work waits in streams until :meth:`run`; with ``prompt`` it is done as it comes."""

    def __init__(self):
        self.torch = torch
        self.prompt = False
        self.captures = False
        self.error = None  # of the device
        self.refuses = None  # error of enqueueing
        self.pinned_bytes = []
        self.copies = []  # shapes
        self.asked_by, self.tolerant = set(), set()
        self.currents, self.sides = {}, {}
        self._streams = {}
        self._here = threading.local()

    def run(self, *streams, most=10**9):
        """Have the device do what waits (in ``streams`` alone)."""
        while sum(s.run(most) for s in streams or list(self._streams.values())):
            pass

    def stream(self, name):
        if name not in self._streams:
            self._streams[name] = Stream(self, name)
        return self._streams[name]

    # --- what nbmonitor asks for ---------------------------------------------------------------

    def capturing(self, device=None):
        return self.captures

    def current(self, device):
        return self.currents.get(device) or self.stream(f"main {device}")

    @contextlib.contextmanager
    def on(self, device):
        yield

    @contextlib.contextmanager
    def side(self, device):
        self._here.stream = self.stream(f"side {device}")
        try:
            yield self._here.stream
        finally:
            self._here.stream = None

    def event(self):
        return Event(self)

    def pinned(self, shape, dtype):
        made = torch.full(tuple(shape), 77, dtype=dtype)  # what nobody wrote is not what was logged
        self.pinned_bytes.append(made.nbytes)
        return made

    def copy(self, target, source):
        if self.refuses:
            raise self.refuses
        # What a stream does later to the source comes after the copy: it reads what is there now.
        with torch._C.DisableTorchFunctionSubclass():
            plain = source.as_subclass(torch.Tensor).clone()
        assert plain.shape == target.shape
        assert plain.dtype == target.dtype
        self.copies.append(tuple(plain.shape))
        stream = getattr(self._here, "stream", None) or self.current(
            source.get_device() if type(source) is OnDevice else 0
        )
        stream.add(lambda: target.copy_(plain))

    def tolerate_captures(self):
        self.tolerant.add(threading.current_thread().name)
