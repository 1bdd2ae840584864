"""nbmonitor with its server in another process, whose CPU and memory count too; the viewer is there."""

# ruff: noqa: ARG002 - every adapter is given what one of them needs
from __future__ import annotations

import nbmonitor
from overhead.subjects.nbmonitor import Subject as Ours
from overhead.viewer import Server
from overhead.workload import CLASSES


class Subject(Ours):
    server: Server | None = None

    def open(self, folder: str, *, watched: bool) -> None:
        if self.server is None:
            self.server = Server()
        where = {"address": self.server.address, "token_file": self.server.token_file}
        self.run = nbmonitor.init("overhead", class_names=CLASSES, overhead=self._share(), **where)
        self._watched = watched
        if watched:
            self.server.ask("watch", self.run.run_id)
        self._begin()

    def kept(self) -> int | None:
        assert self.server is not None
        arrived = self.server.ask("pictures", self.run.run_id) if self._watched else 0
        return int(arrived) + self.run._outbox.replaced
