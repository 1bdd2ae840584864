"""swanlab, offline."""

# ruff: noqa: ARG002 - every adapter is given what one of them needs
from __future__ import annotations

from typing import Any

import swanlab

from overhead.subjects import Base


class Subject(Base):
    def open(self, folder: str, *, watched: bool) -> None:
        swanlab.init(project="overhead", mode="offline", log_dir=folder)

    def scalars(self, step: int, values: dict[str, Any]) -> None:
        swanlab.log(values, step=step)

    def picture(self, step: int, batch: Any) -> None:
        labelled = zip(batch.array, batch.predicted, batch.true, strict=True)
        images = [swanlab.Image(x, caption=f"{p}/{t}") for x, p, t in labelled]
        swanlab.log({"images": images}, step=step)

    def close(self) -> None:
        swanlab.finish()
