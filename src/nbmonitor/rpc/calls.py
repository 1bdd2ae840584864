"""A viewer's channel to a server, and its unary calls: each has a deadline, and a sentence for what goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from nbmonitor.errors import AttachError
from nbmonitor.rpc import codec
from nbmonitor.rpc.channel import check, dial, method

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbmonitor.rpc.roads.bearer import Bearer
    from nbmonitor.rpc.trust.tls import Tls


class Calls:
    """Calls of the monitor service.

    Parameters
    ----------
    address
        ``host:port`` or ``unix:/path`` of the server.
    tls
        How to check it; see :func:`nbmonitor.rpc.channel.dial`.
    metadata
        Says who calls.

    Raises
    ------
    AttachError
        When ``address`` is none.
    """

    def __init__(self, address: str, tls: Tls | bool | None, metadata: Bearer) -> None:
        self.target = check(address)
        self.tls = tls
        self.metadata = metadata
        self._channel: grpc.Channel | None = None

    @property
    def channel(self) -> grpc.Channel:
        """The channel. Raises AttachError while there is none."""
        if self._channel is None:
            raise AttachError("This client is not connected. Call connect() first.")
        return self._channel

    def open(self) -> grpc.Channel:
        """Open the channel; the first call dials."""
        self._channel = dial(self.target, self.tls)
        return self._channel

    def close(self) -> None:
        """Close the channel. Idempotent."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def first(self, rpc: str, timeout: float) -> bytes:
        """Ask as soon as the server is there, which may be late; raises RpcError after ``timeout`` seconds."""
        ask = method(self.channel, codec.MONITOR, rpc)
        try:
            answer = ask(b"", timeout=timeout, metadata=self.metadata, wait_for_ready=True)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
            answer = ask(
                b"", timeout=0.2, metadata=self.metadata
            )  # says why there is no connection
        found: bytes = answer
        return found

    def ask(self, rpc: str, request: bytes, timeout: float) -> bytes:
        """One call. Raises RpcError, and AttachError without a channel."""
        ask = method(self.channel, codec.MONITOR, rpc)
        try:
            answer: bytes = ask(request, timeout=timeout, metadata=self.metadata)
        except ValueError as error:  # closed meanwhile
            raise AttachError("This client was closed.") from error
        return answer

    def begin(
        self, rpc: str, timeout: float, note: Callable[[bytes | None], None], request: bytes = b""
    ) -> bool:
        """Call without waiting; ``note`` gets the answer or None, from a thread of gRPC. False when it was closed."""

        def done(call: Any) -> None:
            note(call.result() if call.code() is grpc.StatusCode.OK else None)

        try:
            ask = method(self.channel, codec.MONITOR, rpc)
            call = ask.future(request, timeout=timeout, metadata=self.metadata)
        except (AttachError, ValueError):  # closed meanwhile
            return False
        call.add_done_callback(done)
        return True
