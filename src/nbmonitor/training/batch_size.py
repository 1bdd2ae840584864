"""Batch size of a map-style PyTorch DataLoader, changed from the next epoch on by building the loader anew.

The loader that the script holds stays as it is: only what ``run.track`` iterates changes. Torch is not imported: a
DataLoader is told by its class.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from nbmonitor.errors import CommandError
from nbmonitor.training.params import real

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbmonitor.training.params import Change

NAME = "batch size"
_OWN = {"self", "batch_size", "shuffle", "sampler", "batch_sampler"}


def is_loader(candidate: Any) -> bool:
    """Whether this is a PyTorch DataLoader (or of a class derived from it)."""
    return _base(candidate) is not None


def objection(loader: Any) -> str:
    """Why the batch size of a loader cannot be changed; "" where it can."""
    base = _base(loader)
    if base is None:
        return f"a {type(loader).__name__} is no PyTorch DataLoader"
    if vars(base)["__init__"] is not _constructor(type(loader)):
        return f"{type(loader).__name__} has a constructor of its own, so it cannot be built anew"
    if any(c.__name__ == "IterableDataset" for c in type(loader.dataset).__mro__):
        return "the data set is an IterableDataset, which makes its own batches' order"
    if loader.batch_size is None:
        custom = getattr(loader, "batch_sampler", None) is not None
        return (
            "the loader has a batch_sampler of its own" if custom else "the loader does not batch"
        )
    try:
        len(loader.sampler)
    except Exception:  # any way of having no length
        return "its sampler has no length"
    return ""


class BatchSize:
    """Holds the loader whose size is on the dashboard, and the loaders built in its place.

    ``loader`` is the script's own; :meth:`current` what is iterated instead.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self._rebuilt: Any = None

    def current(self, iterable: Any) -> Any:
        """The loader to iterate where the script gave ``iterable``."""
        return self._rebuilt if iterable is self.loader and self._rebuilt is not None else iterable

    def take(self, loader: Any) -> None:
        """The script made a new loader: a size that was set holds for it too, where it can."""
        wanted = None if self._rebuilt is None else self._rebuilt.batch_size
        self.loader, self._rebuilt = loader, None
        if wanted is not None and wanted != loader.batch_size and wanted <= len(loader.sampler):
            self._rebuilt = _build(loader, wanted)

    @property
    def value(self) -> int:
        """Batch size from the next epoch on."""
        return int((self._rebuilt or self.loader).batch_size)

    def facts(self) -> dict[str, Any]:
        """For display."""
        return {"value": self.value, "max": len(self.loader.sampler)}

    def command(self, params: Mapping[str, Any]) -> Change:
        """Carry out ``{"value": size}``.

        Raises
        ------
        CommandError
            With the reason, when it cannot be done; nothing was changed then.
        """
        most = len(self.loader.sampler)
        wanted = real(params, f"the {NAME}")
        if wanted != wanted // 1 or not 1 <= wanted <= most:
            raise CommandError(
                f"the {NAME} must be a whole number from 1 to {most:,}, not {wanted:g}"
            )
        size, before = int(wanted), self.value
        self._rebuilt = None if size == self.loader.batch_size else _build(self.loader, size)
        after = f"{size} from the next epoch"
        if size != self.loader.batch_size:
            after += f"; len(loader) and step-count schedules still count {self.loader.batch_size}"
        return {NAME: str(before)}, {NAME: after}


def _constructor(cls: type) -> Any:
    return next(vars(c)["__init__"] for c in cls.__mro__ if "__init__" in vars(c))


def _base(candidate: Any) -> type | None:
    for cls in type(candidate).__mro__:
        if cls.__name__ == "DataLoader" and cls.__module__ == "torch.utils.data.dataloader":
            return cls
    return None


def _build(loader: Any, size: int) -> Any:
    """The same loader with another batch size: every argument of its constructor as it was, its sampler itself."""
    arguments: dict[str, Any] = {}
    for name in inspect.signature(type(loader).__init__).parameters:
        if name in _OWN or not hasattr(loader, name):
            continue
        value = getattr(loader, name)
        if name == "pin_memory_device" and not value:  # deprecated: warned of even when it is empty
            continue
        arguments[name] = value
    return type(loader)(batch_size=size, sampler=loader.sampler, **arguments)
