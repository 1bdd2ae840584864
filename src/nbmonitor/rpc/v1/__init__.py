"""Generated from protos/ by scripts/generate_protos.sh; imported by nbmonitor.rpc.codec alone."""

from __future__ import annotations
