"""trackio, local: its data base is a file."""

# ruff: noqa: ARG002 - every adapter is given what one of them needs
from __future__ import annotations

from typing import Any

import trackio

from overhead.subjects import Base


class Subject(Base):
    runs = 0

    def open(self, folder: str, *, watched: bool) -> None:
        Subject.runs += 1
        options = {"embed": False, "auto_log_gpu": False, "auto_log_cpu": False}
        trackio.init("overhead", f"run-{Subject.runs}", **options)

    def scalars(self, step: int, values: dict[str, Any]) -> None:
        trackio.log(values, step=step)

    def picture(self, step: int, batch: Any) -> None:
        labelled = enumerate(zip(batch.array, batch.predicted, batch.true, strict=True))
        trackio.log(
            {f"image{i}": trackio.Image(x, caption=f"{p}/{t}") for i, (x, p, t) in labelled},
            step=step,
        )

    def close(self) -> None:
        trackio.finish()
