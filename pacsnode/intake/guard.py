"""A connection that bounds what a stranger can make us hold: bytes a PDU, bytes unanswered, time.

It watches the stream below pynetdicom, which would buffer whatever length a PDU claims, and wait
for ever for the rest of it.
"""

import logging
import socket
import time
from contextlib import suppress
from dataclasses import dataclass

from pacsnode import log

LARGEST_P_DATA = 1 << 20  # bytes
# 128 contexts of 24 syntaxes each need 84 KiB; pynetdicom decodes in time that grows as a square,
# half a minute for 1 MiB
LARGEST_OTHER = 1 << 17
P_DATA_TF = 4
HEADER_LENGTH = 6  # PS3.8 9.3.1: type, reserved, length of the rest


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much and how long one connection may ask for."""

    first_pdu_s: float
    later_pdu_s: float
    unanswered_bytes: int


class GuardedConnection(socket.socket):
    """An accepted socket whose reads fail as a closed connection does once a bound is passed."""

    __slots__ = (
        "_address",
        "_bounds",
        "_deadline",
        "_first",
        "_header",
        "_remaining",
        "_unanswered",
    )

    def __init__(self, accepted: socket.socket, bounds: Bounds) -> None:
        super().__init__(fileno=accepted.detach())
        self._address = str(self.getpeername()[0])
        self._bounds = bounds
        self._header = b""
        self._remaining = 0
        self._first = True
        self._deadline = 0.0
        self._unanswered = 0
        self.settimeout(bounds.later_pdu_s)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Bytes of the PDU in progress. Raises TimeoutError, or ConnectionError past a bound."""
        if not self._header:
            self._begin()
        left_s = self._deadline - time.monotonic()
        try:
            # a timeout of 0 would mean "do not block"
            self.settimeout(max(left_s, 0.001))
            found = super().recv(bufsize, flags)
        except TimeoutError:
            self._cut("the peer took too long over one PDU")
            raise
        finally:
            self.settimeout(self._bounds.later_pdu_s)
        self._follow(found)
        return found

    def send(self, content: bytes, flags: int = 0, /) -> int:  # type: ignore[override]
        """Send, and count what came before as answered."""
        self._unanswered = 0
        return super().send(content, flags)

    def shutdown(self, how: int, /) -> None:
        """Shut down; a peer that is gone already is no error, or pynetdicom would never close."""
        with suppress(OSError):
            super().shutdown(how)

    def _begin(self) -> None:
        allowed_s = self._bounds.first_pdu_s if self._first else self._bounds.later_pdu_s
        self._deadline = time.monotonic() + allowed_s
        # senders that keep Nagle's delay wait for our ACK; asking for it at once saves 40 ms each
        if hasattr(socket, "TCP_QUICKACK"):
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _follow(self, found: bytes) -> None:
        self._unanswered += len(found)
        if self._unanswered > self._bounds.unanswered_bytes:
            raise self._cut("more bytes than listen.maximum_object_mb came without an answer due")
        while found:
            found = self._follow_header(found) if self._remaining == 0 else self._follow_rest(found)

    def _follow_header(self, found: bytes) -> bytes:
        wanted = HEADER_LENGTH - len(self._header)
        self._header += found[:wanted]
        if len(self._header) == HEADER_LENGTH:
            self._remaining = int.from_bytes(self._header[2:], "big")
            largest = LARGEST_P_DATA if self._header[0] == P_DATA_TF else LARGEST_OTHER
            if self._remaining > largest:
                raise self._cut(f"a PDU claims {self._remaining} bytes")
            if self._remaining == 0:
                self._end()
        return found[wanted:]

    def _follow_rest(self, found: bytes) -> bytes:
        taken = min(self._remaining, len(found))
        self._remaining -= taken
        if self._remaining == 0:
            self._end()
        return found[taken:]

    def _cut(self, reason: str) -> ConnectionAbortedError:
        log.event("connection-cut", level=logging.WARNING, address=self._address, reason=reason)
        return ConnectionAbortedError(reason)

    def _end(self) -> None:
        self._header = b""
        self._first = False
