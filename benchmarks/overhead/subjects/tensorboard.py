"""``torch.utils.tensorboard``."""

# ruff: noqa: ARG002 - every adapter is given what one of them needs
from __future__ import annotations

from typing import Any

from torch.utils.tensorboard import SummaryWriter

from overhead.subjects import Base


class Subject(Base):
    def open(self, folder: str, *, watched: bool) -> None:
        self.writer = SummaryWriter(folder)

    def scalars(self, step: int, values: dict[str, Any]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def picture(self, step: int, batch: Any) -> None:
        self.writer.add_images("images", batch.array, step, dataformats="NHWC")
        self.writer.add_text("labels", f"{batch.predicted} {batch.true}", step)

    def close(self) -> None:
        self.writer.close()
