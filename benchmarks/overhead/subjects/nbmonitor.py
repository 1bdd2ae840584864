"""nbmonitor as a script uses it: broker and server in its process; ``watched``: a viewer wants 60 pictures a second."""

# ruff: noqa: ARG002 - every adapter is given what one of them needs
from __future__ import annotations

import contextlib
import io
from typing import Any

import nbmonitor
from overhead.subjects import Base
from overhead.viewer import Viewer, local_broker
from overhead.workload import CLASSES


class Subject(Base):
    skips = True

    def open(self, folder: str, *, watched: bool) -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # the line that tells where it serves
            self.run = nbmonitor.init("overhead", class_names=CLASSES, overhead=self._share())
        self._viewer = Viewer(local_broker(), self.run.run_id) if watched else None
        self._begin()

    def _begin(self) -> None:
        self._ahead = 0.0
        if self.keep_all:
            clock = self.run._monotonic
            self.run._monotonic = lambda: clock() + self._ahead
        self.run.step()  # from here on the loop counts the steps

    def hurry(self, seconds: float) -> None:
        self._ahead += seconds

    def _share(self) -> float:
        return 1.0 if self.keep_all else 0.02

    def scalars(self, step: int, values: dict[str, Any]) -> None:
        self.run.log(**values)

    def mapping(self, step: int, values: dict[str, Any]) -> None:
        self.run.log(values)

    tensors = scalars

    def picture(self, step: int, batch: Any) -> None:
        self.run.log_batch(batch.array, logits=batch.logits, targets=batch.targets)

    def picture_floats(self, step: int, batch: Any) -> None:
        self.run.log_batch(batch.tensor, logits=batch.logits, targets=batch.targets)

    def boundary(self) -> None:
        self.run.step()

    def kept(self) -> int | None:
        arrived = self._viewer.pictures if self._viewer is not None else 0
        return arrived + self.run._outbox.replaced  # taken, and replaced by a newer one on the way

    def spent(self) -> float | None:
        return self.run._progress.spent

    def close(self) -> None:
        self.run.finish()
