"""The dashboard in a notebook: one widget, its frames, its road to ipykernel. Wing: imports ground only."""

from __future__ import annotations
