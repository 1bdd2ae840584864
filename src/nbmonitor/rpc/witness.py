"""What a server writes down in the audit log: who attached and left, who was refused, when it began and ended."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from nbmonitor.audit import NOTEBOOK, OWN, AuditRow, whoami

if TYPE_CHECKING:
    from nbmonitor.interfaces import Audit
    from nbmonitor.rpc.trust.auth import Caller

NOBODY = "another viewer"


def actor_of(caller: Caller) -> str:
    """Name of a caller, for others: "you" is whoever looks, which is somebody else in every other notebook."""
    return caller.actor if caller.actor not in ("", OWN, NOTEBOOK) else NOBODY


class Witness:
    """Makes rows of what happens at the door.

    Parameters
    ----------
    journal
        Takes them.
    """

    def __init__(self, journal: Audit) -> None:
        self._journal = journal

    def attached(self, caller: Caller, run_id: str) -> None:
        """Somebody begins to watch a run ("": all of them)."""
        self._note("attach", actor_of(caller), caller.peer, run_id)

    def left(self, caller: Caller, run_id: str) -> None:
        """Somebody watches no more."""
        self._note("detach", actor_of(caller), caller.peer, run_id)

    def refused(self, caller: Caller, method: str, why: str) -> None:
        """Somebody was turned away from an RPC, given by its path."""
        asked = {"asked for": method.rpartition("/")[2]}
        row = AuditRow(
            time.time(),
            "refused",
            caller.name
            or "unknown",  # what somebody calls himself proves nothing, and may be meant to harm
            caller.peer,
            after=asked | ({"says to be": caller.declared} if not caller.name else {}),
            outcome="refused",
            error=why,
        )
        self._journal.record(row)

    def served(self, address: str) -> None:
        """The server listens."""
        self._note("serve", whoami(), f"process {os.getpid()}", after={"address": address})

    def stopped(self, address: str) -> None:
        """The server listens no more."""
        self._note("stop", whoami(), f"process {os.getpid()}", after={"address": address})

    def _note(
        self,
        action: str,
        actor: str,
        peer: str,
        run_id: str = "",
        after: dict[str, str] | None = None,
    ) -> None:
        self._journal.record(AuditRow(time.time(), action, actor, peer, run_id, after=after or {}))
