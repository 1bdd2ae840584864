"""One adapter a subject: how it is opened, given numbers and pictures, and closed.

An adapter's module is named as the peer in ``peers.txt`` (without "-sdk") and holds a class ``Subject``.
"""

from __future__ import annotations

import importlib
from typing import Any


class Base:
    """What an adapter fills in. Calls are timed as a user would write them; conversions are part of them."""

    pictures = True  # whether it can show any
    skips = False  # whether it leaves out pictures that nobody would see
    keep_all = False  # set where none may be left out: the clock is put forward before each

    def open(self, folder: str, *, watched: bool) -> None:
        """Begin a run that writes below ``folder``; ``watched``: somebody looks at its pictures."""

    def scalars(self, step: int, values: dict[str, Any]) -> None:
        """Log numbers."""
        raise NotImplementedError

    def tensors(self, step: int, values: dict[str, Any]) -> None:
        """Log 0-d tensors; by default as the documentation of most tools has it."""
        self.scalars(step, {name: value.item() for name, value in values.items()})

    def picture(self, step: int, batch: Any) -> None:
        """Log 16 pictures with predictions and truths."""
        raise NotImplementedError

    def hurry(self, seconds: float) -> None:
        """Put the clock forward, so that the next picture is due at once."""

    def boundary(self) -> None:
        """A step of the training is done; not part of what is timed as a call, but of the loop."""

    def kept(self) -> int | None:
        """Pictures that arrived where they can be seen; None where that is not known."""
        return None

    def spent(self) -> float | None:
        """Seconds that the training thread was inside its calls so far, where it counts them."""
        return None

    def close(self) -> None:
        """End the run."""


def make(name: str) -> Base:
    """Adapter of a subject."""
    subject: Base = importlib.import_module(f"overhead.subjects.{name}").Subject()
    return subject
