"""The version, in a place of its own: every part of the house imports it without a circle."""

from __future__ import annotations

__version__ = "0.1.0"
