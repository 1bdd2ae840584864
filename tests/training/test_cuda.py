"""What is asked of CUDA, by a stand-in for torch: how a real one answers is in test_gpu."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from types import SimpleNamespace

import pytest

from nbmonitor.training import cuda
from nbmonitor.training.cuda import Cuda


class Torch:
    """Torch with two devices, the first of which is current; says what it was asked."""

    def __init__(self):
        self.asked = []
        self.current = 0
        self.capturing = set()  # devices
        self.version = SimpleNamespace(hip=None)
        self.cuda = SimpleNamespace(
            is_initialized=lambda: True,
            current_device=lambda: self.current,
            is_current_stream_capturing=lambda: self.current in self.capturing,
            current_stream=lambda device: f"current of {device}",
            device=self._device,
            stream=lambda stream: self._within("stream", stream),
            Stream=lambda device: f"own {device}, made on {self.current}",
            Event=lambda: "event",
        )

    @contextlib.contextmanager
    def _within(self, *what):
        self.asked.append(what)
        yield
        self.asked.append(("out of", *what))

    @contextlib.contextmanager
    def _device(self, device):
        before, self.current = self.current, device
        yield
        self.current = before

    def inference_mode(self, mode):
        return self._within("inference_mode", mode)

    def empty(self, shape, **options):
        self.asked.append(("empty", shape, options))
        return "pinned"


@pytest.fixture
def torch():
    return Torch()


@pytest.fixture
def backend(torch):
    return Cuda(torch)


def test_it_is_found_where_it_is_used_and_not_with_rocm(torch, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert isinstance(cuda.found(), Cuda)
    torch.version.hip = "6.3"
    assert cuda.found() is None
    torch.version.hip = None
    torch.cuda.is_initialized = lambda: False
    assert cuda.found() is None
    monkeypatch.delitem(sys.modules, "torch")
    assert cuda.found() is None


def test_a_capture_is_seen_on_the_device_that_is_asked_of(torch, backend):
    assert not backend.capturing()
    torch.capturing = {1}
    assert (backend.capturing(), backend.capturing(0), backend.capturing(1)) == (False, False, True)
    torch.capturing = {0}
    assert (backend.capturing(), backend.capturing(0), backend.capturing(1)) == (True, True, False)
    assert torch.current == 0


def test_pinned_memory_is_of_the_host_and_writable_whatever_the_mode(torch, backend):
    assert backend.pinned([3, 4], "uint8") == "pinned"
    assert torch.asked == [
        ("inference_mode", False),
        ("empty", (3, 4), {"dtype": "uint8", "device": "cpu", "pin_memory": True}),
        ("out of", "inference_mode", False),
    ]


def test_a_copy_is_not_waited_for(backend):
    said = []
    target = SimpleNamespace(copy_=lambda *a, **k: said.append((a, k)))
    backend.copy(target, "source")
    assert said == [(("source",), {"non_blocking": True})]


def test_each_device_has_one_stream_of_ours(torch, backend):
    for device in (1, 0, 1):
        with backend.side(device) as stream:
            assert torch.current == device
            assert torch.asked[-1] == ("stream", stream)
            assert stream == f"own {device}, made on {device}"
    assert torch.current == 0
    assert len(backend._sides) == 2


def test_each_thread_that_asks_is_made_tolerant_once(backend, monkeypatch):
    said = []

    def exchange(mode):
        said.append((threading.current_thread().name, mode._obj.value))
        return 0

    driver = SimpleNamespace(cuThreadExchangeStreamCaptureMode=exchange)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    thread = threading.Thread(
        target=lambda: [backend.tolerate_captures() for _ in "ab"], name="another"
    )
    thread.start()
    thread.join()
    backend.tolerate_captures()
    backend.tolerate_captures()
    assert said == [("another", 1), (threading.current_thread().name, 1)]


def test_without_a_driver_it_goes_on(backend, monkeypatch):
    def absent(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    backend.tolerate_captures()
    backend.tolerate_captures()
