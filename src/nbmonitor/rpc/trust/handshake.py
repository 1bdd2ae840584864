"""Handshakes of our own, of TLS and of HTTP/2: gRPC says "Socket closed" or "Deadline Exceeded" for many things."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbmonitor.address import Address


# What every client of HTTP/2 says first, with an empty SETTINGS frame; a server answers with a SETTINGS frame of its
# own: https://www.rfc-editor.org/rfc/rfc9113#section-3.4
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_HEADER = 9  # bytes of the header of a frame
_SETTINGS = 4  # the type of that frame
_ALERT = b"\x15\x03"  # what TLS says to words without it

Greeting = Literal["http2", "other", "closed", "silent"]
"""``closed``: it hung up without a word, as what speaks TLS does, and a forward that leads nowhere."""


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

    def http2(self) -> bool:
        """Whether the server chose HTTP/2 (ALPN), without which there is no gRPC over TLS."""
        return self._talk.selected_alpn_protocol() == "h2"

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


def greeting(address: Address, timeout: float) -> Greeting:
    """How what listens at an address takes a client's first words in HTTP/2, without TLS.

    Raises OSError where nobody listens.
    """
    said, end = b"", time.monotonic() + timeout
    with _opened(address, timeout) as raw:
        try:
            raw.sendall(_PREFACE)
            while len(said) < _HEADER and (left := end - time.monotonic()) > 0:
                raw.settimeout(left)
                data = raw.recv(_HEADER - len(said))
                if not data:
                    break
                said += data
        except TimeoutError:
            if said[:1] in (b"", b"\0"):  # nothing, or the beginning of a frame: a slow road
                return "silent"
        except OSError:  # it hung up
            pass
    if not said or said.startswith(_ALERT):
        return "closed"
    right = len(said) == _HEADER and said[3] == _SETTINGS and said[5:] == bytes(4)
    return "http2" if right else "other"


def _opened(address: Address, timeout: float) -> socket.socket:
    if address.kind == "tcp":
        return socket.create_connection((address.host, address.port or 0), timeout)
    raw = socket.socket(socket.AF_UNIX)
    raw.settimeout(timeout)
    try:
        raw.connect(address.path)
    except OSError:
        raw.close()
        raise
    return raw
