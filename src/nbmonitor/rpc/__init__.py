"""The wire: server, publisher (a ``Sink``) and client (a ``Source``) over gRPC. A wing."""

from __future__ import annotations
