"""The body of a STOW-RS request, on the disk before any of it is kept: memory stays flat.

A body is kept whole or not at all: what was cut off, or is no multipart body to its end, has
stored nothing. The file has no name, so that nothing of it outlives the request.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from pacsnode.web import media
from pacsnode.web.multipart import Begin, End, Splitter
from pacsnode.web.refusal import BAD_REQUEST, TIMEOUT, TOO_LARGE, UNSUPPORTED_MEDIA, Refusal
from storage.errors import StorageError

PIECE_BYTES: Final = 1 << 20  # what is gathered before it is split and written
LEAST_BYTES_A_S: Final = 1024  # a body that drips more slowly holds a connection for nothing
DRAINED_BYTES: Final = 256 << 20  # of a refused body, so that its sender reads why
DRAINED_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one request may bring, and how long it may be silent."""

    object_bytes: int
    request_bytes: int
    silence_s: float


@dataclass(slots=True)
class Part:
    """Where the content of one part lies."""

    start: int
    stop: int

    @property
    def size_bytes(self) -> int:
        return self.stop - self.start


class Spool:
    """Parts one after another in a file without a name; a context manager."""

    def __init__(
        self, folder: Path, boundary: str, bounds: Bounds, check_space: Callable[[int], None]
    ) -> None:
        self._splitter = Splitter(boundary)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._bounds = bounds
        self._check_space = check_space
        self.parts: list[Part] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def take(self, piece: bytes) -> None:
        """Split and write one piece of the body. Raises Refusal, StorageFull, DiskFault."""
        self._check_space(len(piece))
        for event in self._splitter.feed(piece):
            if isinstance(event, Begin):
                _refuse_other_types(event)
                at = self._file.tell()
                self.parts.append(Part(at, at))
            elif isinstance(event, End):
                continue
            else:
                self._file.write(event)
                self._grow(len(event))

    def _grow(self, more: int) -> None:
        part = self.parts[-1]
        part.stop += more
        if part.size_bytes > self._bounds.object_bytes:
            raise Refusal(
                TOO_LARGE,
                f"Part {len(self.parts)} is larger than {self._bounds.object_bytes >> 20} MiB: "
                "see 'listen.maximum_object_mb'",
            )

    def close(self) -> None:
        """The body is over. Raises Refusal where it has no end, or no parts."""
        self._splitter.close()
        if not self.parts:
            raise Refusal(BAD_REQUEST, "The body has no part")
        self._file.flush()

    def content(self, part: Part) -> bytes:
        """The bytes of one part; threads may read at once."""
        return os.pread(self._file.fileno(), part.size_bytes, part.start)


def _refuse_other_types(part: Begin) -> None:
    stated = part.headers.get("content-type")
    if stated is not None and media.parse(stated).kind != media.DICOM:
        raise Refusal(UNSUPPORTED_MEDIA, f"Every part must be {media.DICOM}: nothing is kept")
    if part.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(UNSUPPORTED_MEDIA, "Parts are taken without Content-Encoding")


async def fill(spool: Spool, request: Request, bounds: Bounds) -> None:
    """Bring the whole body of a request into a spool. Raises Refusal, StorageError."""
    body = _Body(request, bounds)
    try:
        async for piece in body.pieces():
            await run_in_threadpool(spool.take, piece)
        await run_in_threadpool(spool.close)
    except ClientDisconnect as exc:
        raise Refusal(BAD_REQUEST, "The sender went away within the body") from exc
    except (Refusal, StorageError):
        await body.drain()
        raise


class _Body:
    """What is left to come of a request."""

    def __init__(self, request: Request, bounds: Bounds) -> None:
        self._receive = request.receive
        self._bounds = bounds
        self._is_over = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body in pieces worth a write. Raises Refusal (408, 413), ClientDisconnect."""
        silence_s, most = self._bounds.silence_s, self._bounds.request_bytes
        began = time.monotonic()
        received = 0
        gathered = bytearray()
        async for chunk in self._chunks():
            received += len(chunk)
            if received > most:
                raise Refusal(
                    TOO_LARGE,
                    f"The body is larger than {most >> 20} MiB: send it in several requests, or "
                    "see 'web.maximum_request_mb'",
                )
            if time.monotonic() - began > silence_s + received / LEAST_BYTES_A_S:
                raise Refusal(TIMEOUT, f"Fewer than {LEAST_BYTES_A_S} bytes come in a second")
            gathered += chunk
            if len(gathered) >= PIECE_BYTES:
                yield bytes(gathered)
                gathered.clear()
        yield bytes(gathered)

    async def drain(self) -> None:
        """Read on for a while: a sender that is still sending does not see an answer."""
        drained = 0
        with suppress(TimeoutError, ClientDisconnect, Refusal):
            async with asyncio.timeout(DRAINED_S):
                async for chunk in self._chunks():
                    drained += len(chunk)
                    if drained > DRAINED_BYTES:
                        return

    async def _chunks(self) -> AsyncIterator[bytes]:
        while not self._is_over:
            try:
                message = await asyncio.wait_for(self._receive(), self._bounds.silence_s)
            except TimeoutError as exc:
                self._is_over = True
                raise Refusal(
                    TIMEOUT,
                    f"No byte of the body came for {self._bounds.silence_s:g} s; was "
                    "Content-Length too large?",
                ) from exc
            self._is_over = not message.get("more_body", False)
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            yield message.get("body", b"")
