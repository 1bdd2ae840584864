"""wandb, offline."""

# ruff: noqa: ARG002 - every adapter is given what one of them needs
from __future__ import annotations

from typing import Any

import wandb

from overhead.subjects import Base


class Subject(Base):
    def open(self, folder: str, *, watched: bool) -> None:
        settings = wandb.Settings(console="off", x_disable_stats=True)
        self.run = wandb.init(project="overhead", mode="offline", dir=folder, settings=settings)

    def scalars(self, step: int, values: dict[str, Any]) -> None:
        self.run.log(values, step=step)

    def picture(self, step: int, batch: Any) -> None:
        labelled = zip(batch.array, batch.predicted, batch.true, strict=True)
        self.run.log(
            {"images": [wandb.Image(x, caption=f"{p}/{t}") for x, p, t in labelled]}, step=step
        )

    def close(self) -> None:
        self.run.finish()
