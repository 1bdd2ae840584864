"""A TLS handshake of our own: gRPC says "Socket closed" for many things."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbmonitor.address import Address


class Talk:
    """A handshake, and what a server says first, over a socket that stays ours.

    ``SSLContext.wrap_socket`` takes the socket, and loses it where the peer hangs up at once (Python 3.11's
    ``SSLSocket._create``).
    """

    def __init__(self, raw: socket.socket, context: ssl.SSLContext, name: str) -> None:
        self._raw = raw
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._talk = context.wrap_bio(self._in, self._out, server_hostname=name)
        self._turn(self._talk.do_handshake)

    def der(self) -> bytes:
        """The server's certificate."""
        return self._talk.getpeercert(binary_form=True) or b""

    def said(self) -> dict[str, Any]:
        """What is in it, once it is verified."""
        return self._talk.getpeercert() or {}

    def first(self) -> bytes:
        """The first byte that the server says; b"" where it hangs up."""
        return bytes(self._turn(lambda: self._talk.read(1)))

    def _turn(self, act: Callable[[], Any]) -> Any:
        while True:
            try:
                result = act()
            except ssl.SSLWantReadError:
                self._raw.sendall(self._out.read())
                data = self._raw.recv(65536)
                if data:
                    self._in.write(data)
                else:
                    self._in.write_eof()
                continue
            self._raw.sendall(self._out.read())
            return result


@contextlib.contextmanager
def connected(address: Address, context: ssl.SSLContext, timeout: float) -> Iterator[Talk]:
    """Shake hands with what listens at an address; raises OSError (of which ssl.SSLError is one) where it fails."""
    with socket.create_connection((address.host, address.port or 0), timeout) as raw:
        yield Talk(raw, context, address.host)
