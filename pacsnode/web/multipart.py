"""multipart/related (RFC 2387, RFC 2046 5.1) as a stream: no part is ever held whole."""

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pacsnode.web.refusal import BAD_REQUEST, TOO_LARGE, Refusal

MOST_PARTS: Final = 20_000
MOST_HEADER_BYTES: Final = 8192  # of one part
MOST_PREAMBLE_BYTES: Final = 65536
MOST_PADDING_BYTES: Final = 256  # white space behind a boundary
# RFC 2046 5.1.1, but for the length: 70 there, and Orthanc writes 73
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,199}[0-9A-Za-z'()+_,\-./:=?]")
_END: Final = b"\r\n\r\n"

State: TypeAlias = Literal["preamble", "boundary", "headers", "content", "epilogue"]


@dataclass(frozen=True, slots=True)
class Begin:
    """A part begins; header names in lower case."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class End:
    """A part ends."""


Event: TypeAlias = Begin | bytes | End


class Splitter:
    """Takes a body in pieces of any size, gives what its parts are made of, in order.

    The pieces' sizes make no difference. Raises Refusal: 400 where the body is no multipart one,
    413 where it has more than `most_parts` parts.
    """

    def __init__(self, boundary: str, most_parts: int = MOST_PARTS) -> None:
        if _BOUNDARY.fullmatch(boundary) is None:
            raise Refusal(BAD_REQUEST, "The boundary is none (RFC 2046 5.1.1)")
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._most_parts = most_parts
        self._count = 0
        self._skipped = 0
        # the first delimiter needs no line break before it, so one is put there
        self._left = bytearray(b"\r\n")
        self._state: State = "preamble"

    def feed(self, piece: bytes) -> Iterator[Event]:
        """What the next piece of the body tells; it must be taken in whole."""
        self._left += piece
        steps = {
            "preamble": self._preamble,
            "boundary": self._boundary,
            "headers": self._headers,
            "content": self._content,
            "epilogue": self._epilogue,
        }
        before: tuple[State, int] | None = None
        while before != (before := (self._state, len(self._left))):
            yield from steps[self._state]()

    def close(self) -> None:
        """The body is over. Raises Refusal where its last boundary has not come."""
        if self._state != "epilogue":
            raise Refusal(
                BAD_REQUEST, "The body ends before its last boundary: nothing of it is kept"
            )

    def _preamble(self) -> Iterator[Event]:
        at = self._left.find(self._delimiter)
        done = at if at >= 0 else max(len(self._left) - len(self._delimiter) + 1, 0)
        self._skipped += done
        if self._skipped > MOST_PREAMBLE_BYTES:
            raise Refusal(BAD_REQUEST, "The body does not begin with its boundary")
        del self._left[:done]
        if at >= 0:
            self._passed()
        return iter(())

    def _boundary(self) -> Iterator[Event]:
        if self._left.startswith(b"--"):
            self._state = "epilogue"
            return
        at = self._left.find(b"\r\n")
        padding = self._left[:at] if at >= 0 else self._left.rstrip(b"\r-")
        if padding.strip(b" \t") or len(padding) > MOST_PADDING_BYTES:
            raise Refusal(BAD_REQUEST, "Something stands behind a boundary on its line")
        if at < 0:
            return
        # the line break stays: it ends the headers of a part that has none
        del self._left[:at]
        self._count += 1
        if self._count > self._most_parts:
            raise Refusal(
                TOO_LARGE, f"The body has more than {self._most_parts} parts: send it in several"
            )
        self._state = "headers"
        yield from ()

    def _headers(self) -> Iterator[Event]:
        at = self._left.find(_END)
        if max(at, len(self._left) if at < 0 else 0) > MOST_HEADER_BYTES:
            raise Refusal(BAD_REQUEST, f"A part has more than {MOST_HEADER_BYTES} bytes of headers")
        if at < 0:
            return
        headers = _parsed(bytes(self._left[2:at]))
        del self._left[: at + len(_END)]
        self._state = "content"
        yield Begin(headers)

    def _content(self) -> Iterator[Event]:
        at = self._left.find(self._delimiter)
        done = at if at >= 0 else max(len(self._left) - len(self._delimiter) + 1, 0)
        if done:
            yield bytes(memoryview(self._left)[:done])
            del self._left[:done]
        if at >= 0:
            self._passed()
            yield End()

    def _passed(self) -> None:
        del self._left[: len(self._delimiter)]
        self._state = "boundary"

    def _epilogue(self) -> Iterator[Event]:
        self._left.clear()
        return iter(())


def _parsed(block: bytes) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for line in block.decode("latin-1").split("\r\n") if block else ():
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise Refusal(BAD_REQUEST, "A part has a header line without a colon")
        headers[name.strip().lower()] = value.strip()
    return headers


class Writer:
    """Writes a multipart/related body, piece by piece, with a boundary of its own."""

    def __init__(self, kind: str) -> None:
        self._boundary = secrets.token_hex(16)
        self.content_type = f'multipart/related; type="{kind}"; boundary={self._boundary}'

    def body(self, parts: Iterable[tuple[str, Iterable[bytes]]]) -> Iterator[bytes]:
        """Parts as Content-Type and content, joined by boundaries."""
        for content_type, content in parts:
            yield f"--{self._boundary}\r\nContent-Type: {content_type}\r\n\r\n".encode("ascii")
            yield from content
            yield b"\r\n"
        yield f"--{self._boundary}--\r\n".encode("ascii")
