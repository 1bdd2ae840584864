"""The least that keeps what was logged: a stamp, a copy, one append to a bounded deque. Nobody reads it."""

# ruff: noqa: ARG002 - every adapter is given what one of them needs
from __future__ import annotations

import time
from collections import deque
from typing import Any

from overhead.subjects import Base


class Subject(Base):
    def open(self, folder: str, *, watched: bool) -> None:
        self.rows: deque[Any] = deque(maxlen=20_000)
        self.frames: deque[Any] = deque(maxlen=1)

    def scalars(self, step: int, values: dict[str, Any]) -> None:
        self.rows.append((step, time.time(), values.copy()))

    def picture(self, step: int, batch: Any) -> None:
        self.frames.append((step, time.time(), batch.array.copy(), batch.logits.clone()))

    mapping = scalars

    def picture_floats(self, step: int, batch: Any) -> None:
        self.frames.append((step, time.time(), batch.tensor.clone(), batch.logits.clone()))
