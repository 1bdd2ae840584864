"""What the machine does: CPU, memory, GPUs. Sampled once a second on the outbox's worker."""

from __future__ import annotations

from typing import Any

import psutil

from nbmonitor.events import Device, Resources

_MIB = 1 << 20


class Sampler:
    """Reads psutil and, where there is an NVIDIA driver, NVML. Calling it gives a :class:`Resources`."""

    def __init__(self) -> None:
        self._process: psutil.Process | None = None
        self._handles: list[tuple[int, str, Any]] | None = None

    def __call__(self) -> Resources:
        """Sample. CPU in percent since the last call (0 in the first one)."""
        if self._process is None:
            self._process = psutil.Process()
        return Resources(
            cpu_percent=float(psutil.cpu_percent(None)),
            memory_mb=self._process.memory_info().rss / _MIB,
            memory_total_mb=psutil.virtual_memory().total / _MIB,
            devices=tuple(self._devices()),
        )

    def _devices(self) -> list[Device]:
        if self._handles is None:
            self._handles = _open()
        return [_device(index, name, handle) for index, name, handle in self._handles]


def _open() -> list[tuple[int, str, Any]]:
    """Handles of the GPUs; none without the library, the driver or a GPU."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            name = pynvml.nvmlDeviceGetName(handle)
            handles.append((index, name.decode() if isinstance(name, bytes) else str(name), handle))
    except Exception:  # NVML tells "there is no GPU" by a dozen errors
        return []
    return handles


def _device(index: int, name: str, handle: Any) -> Device:
    import pynvml

    def ask(function: str, *arguments: Any) -> Any:
        try:
            return getattr(pynvml, function)(handle, *arguments)
        except Exception:  # this figure is not supported by this device
            return None

    use = ask("nvmlDeviceGetUtilizationRates")
    memory = ask("nvmlDeviceGetMemoryInfo")
    heat = ask("nvmlDeviceGetTemperature", 0)
    power = ask("nvmlDeviceGetPowerUsage")
    return Device(
        index,
        name,
        percent=None if use is None else float(use.gpu),
        memory_mb=None if memory is None else memory.used / _MIB,
        memory_total_mb=None if memory is None else memory.total / _MIB,
        temperature_c=None if heat is None else float(heat),
        power_w=None if power is None else power / 1000.0,
    )
