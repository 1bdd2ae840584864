"""rerun, to its gRPC server within the process, where a viewer can attach."""

# ruff: noqa: ARG002 - every adapter is given what one of them needs
from __future__ import annotations

import socket
from typing import Any

import rerun

from overhead.subjects import Base


class Subject(Base):
    def open(self, folder: str, *, watched: bool) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        rerun.init("overhead", spawn=False)
        rerun.serve_grpc(grpc_port=port, server_memory_limit="500MB")

    def scalars(self, step: int, values: dict[str, Any]) -> None:
        rerun.set_time("step", sequence=step)
        for name, value in values.items():
            rerun.log(name, rerun.Scalars(value))

    def picture(self, step: int, batch: Any) -> None:
        rerun.set_time("step", sequence=step)
        for i, x in enumerate(batch.array):
            rerun.log(f"image/{i}", rerun.Image(x))
        rerun.log("labels", rerun.AnyValues(predicted=batch.predicted, true=batch.true))

    def close(self) -> None:
        rerun.disconnect()
