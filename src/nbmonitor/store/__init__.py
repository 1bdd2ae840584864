"""Durable and in-memory history behind the `Store` interface. Wing: imports ground only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmonitor.errors import StoreError
from nbmonitor.store.memory import MemoryStore

if TYPE_CHECKING:
    from nbmonitor.interfaces import Store

__all__ = ["MemoryStore", "open_store"]


def open_store(url: str = "memory:") -> Store:
    """Open a store by URL.

    Parameters
    ----------
    url
        ``memory:`` keeps history for the life of this process.

    Raises
    ------
    StoreError
        For any other scheme.
    """
    if url == "memory:":
        return MemoryStore()
    msg = f"No store can be opened from {url!r}: only 'memory:' is known. Unset NBMONITOR_STORE or set it to 'memory:'."
    raise StoreError(msg)
