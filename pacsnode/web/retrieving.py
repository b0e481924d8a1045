"""WADO-RS (PS3.18 10.4): instances, metadata, frames and bulk data, from disk as they are read."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from pacsnode.web import media
from pacsnode.web.answers import encoded
from pacsnode.web.frames import Frames, decoded
from pacsnode.web.media import AS_STORED, DICOM, EXPLICIT_LITTLE, OCTETS, OF_SYNTAX, MediaType
from pacsnode.web.metadata import attributes_of, bulk_pieces
from pacsnode.web.multipart import Writer
from pacsnode.web.outgoing import files, syntax_of
from pacsnode.web.refusal import BAD_REQUEST, NOT_ACCEPTABLE, Refusal
from pacsnode.web.resources import instance_of, instances_of, url_of
from storage.archive import Archive
from storage.records import Instance

BLOCK_BYTES: Final = 1 << 20
MOST_FRAMES: Final = 1000  # of one request, listed in its path

Pieces = Iterable[bytes]
Parts = Iterator[tuple[str, Pieces]]


@dataclass(frozen=True, slots=True)
class Shape:
    """How pixels go out: in which type, compressed as stored or plain, in parts or bare."""

    kind: str
    transfer_syntax_uid: str
    as_stored: bool
    in_parts: bool

    @property
    def content_type(self) -> str:
        return f"{self.kind};transfer-syntax={self.transfer_syntax_uid}"


class Retrieve:
    """The Retrieve transactions but the rendered ones."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def instances(self, request: Request) -> Response:
        """A study, series or instance as Part 10 files."""
        found = instances_of(self._archive, request)
        for asked in media.asked(request):
            syntaxes = [syntax_of(one, asked.transfer_syntax_uid) for one in found]
            given = [syntax for syntax in syntaxes if syntax is not None]
            if len(given) < len(found):
                continue
            if asked.covers_parts(DICOM):
                parts = (
                    (f"{DICOM};transfer-syntax={syntax}", pieces)
                    for _, syntax, pieces in files(found, given)
                )
                return in_parts(DICOM, parts)
            if asked.kind == DICOM and len(found) == 1:
                ((_, _, pieces),) = files(found, given)
                return _streamed(pieces, DICOM)
        raise Refusal(
            NOT_ACCEPTABLE,
            f'Instances come as multipart/related; type="{DICOM}", in the syntax they are stored '
            f"in (transfer-syntax=*) or in {EXPLICIT_LITTLE}",
        )

    def metadata(self, request: Request) -> Response:
        """The attributes of a study, series or instance as a JSON array."""
        found = instances_of(self._archive, request)
        kind = json_kind(request)

        def pieces() -> Iterator[bytes]:
            for number, one in enumerate(found):
                yield (b"," if number else b"[") + encoded(attributes_of(one, url_of(request, one)))
            yield b"]"

        return _streamed(pieces(), kind)

    def frames(self, request: Request) -> Response:
        """Some frames of an instance, by their numbers from 1."""
        instance = instance_of(self._archive, request)
        wanted = _numbers(str(request.path_params["frames"]))
        frames = Frames(instance.path)
        for number in wanted:
            frames.check(number)
        shape = _shape(request, frames, alone=len(wanted) == 1)
        given = map(frames.stored, wanted) if shape.as_stored else frames.plains(wanted)
        if not shape.in_parts:
            return _streamed(iter(given), shape.kind)
        return in_parts(shape.kind, ((shape.content_type, (frame,)) for frame in given))

    def bulk(self, request: Request) -> Response:
        """What a BulkDataURI of the metadata names."""
        instance = instance_of(self._archive, request)
        path = str(request.path_params["path"])
        if path.strip("/").upper() in ("7FE00010", "7FE00008", "7FE00009"):
            return self._pixels(request, instance)
        for asked in media.asked(request):
            if asked.transfer_syntax_uid not in (None, AS_STORED, EXPLICIT_LITTLE):
                continue
            if asked.covers_parts(OCTETS):
                return in_parts(OCTETS, iter([(OCTETS, bulk_pieces(instance, path))]))
            if asked.kind == OCTETS:
                return _streamed(bulk_pieces(instance, path), OCTETS)
        raise Refusal(NOT_ACCEPTABLE, f"Bulk data come as {OCTETS}")

    def _pixels(self, request: Request, instance: Instance) -> Response:
        """All frames: native ones in one part, compressed ones in a part each (8.7.3.2)."""
        frames = Frames(instance.path)
        shape = _shape(request, frames, alone=not frames.is_compressed)
        if shape.as_stored and frames.is_compressed:
            stored = map(frames.stored, range(1, frames.layout.frames + 1))
            return in_parts(shape.kind, ((shape.content_type, (frame,)) for frame in stored))
        pieces = decoded([frames]) if frames.is_compressed else frames.value_pieces()
        if not shape.in_parts:
            return _streamed(pieces, shape.kind)
        return in_parts(shape.kind, iter([(shape.content_type, pieces)]))


def json_kind(request: Request) -> str:
    """Which of the two names of DICOM JSON the requester knows. Raises Refusal (406)."""
    for asked in media.asked(request):
        for kind in (media.DICOM_JSON, media.JSON):
            if asked.covers(kind):
                return kind
    raise Refusal(NOT_ACCEPTABLE, f"Attributes come as {media.DICOM_JSON}")


def _shape(request: Request, frames: Frames, *, alone: bool) -> Shape:
    """How the requester takes these pixels best (tables 8.7.3-2, 8.7.3-5). Raises Refusal."""
    stored = frames.layout.transfer_syntax_uid
    own = OF_SYNTAX.get(stored) if frames.is_compressed else None
    as_own = Shape(own, stored, True, True) if own is not None else None
    plain = Shape(OCTETS, EXPLICIT_LITTLE, False, True)
    for asked in media.asked(request):
        for shape in (plain, as_own):
            if shape is None or not _syntax_fits(asked, shape, stored):
                continue
            # OHIF asks for octets in any syntax, and reads the type of the parts
            if asked.covers_parts(shape.kind) or _in_octets(asked, shape):
                return shape
            if asked.kind == shape.kind and alone:
                return replace(shape, in_parts=False)
    raise Refusal(
        NOT_ACCEPTABLE,
        f"These pixels are stored in {stored}: they come so (transfer-syntax=*), or decoded as "
        f'multipart/related; type="{OCTETS}"',
    )


def _syntax_fits(asked: MediaType, shape: Shape, stored: str) -> bool:
    syntax = asked.transfer_syntax_uid
    if shape.as_stored:
        return syntax in (None, AS_STORED, stored)
    return syntax in (None, EXPLICIT_LITTLE) or (syntax == AS_STORED and stored in media.NATIVE)


def _in_octets(asked: MediaType, shape: Shape) -> bool:
    return shape.as_stored and asked.transfer_syntax_uid is not None and asked.covers_parts(OCTETS)


def _numbers(text: str) -> list[int]:
    """PS3.18 10.4.1.1.6: numbers from 1, joined by commas. Raises Refusal (400)."""
    words = text.replace("%2C", ",").split(",")
    if len(words) > MOST_FRAMES:
        raise Refusal(BAD_REQUEST, f"More than {MOST_FRAMES} frames are asked for at once")
    if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise Refusal(BAD_REQUEST, "Frames are numbers from 1, joined by commas")
    return [int(word) for word in words]


def in_parts(kind: str, parts: Parts) -> Response:
    """A multipart/related answer, as its parts are made."""
    writer = Writer(kind)
    return _streamed(writer.body(parts), writer.content_type)


def _streamed(pieces: Iterator[bytes], content_type: str) -> Response:
    """An answer in pieces. What goes wrong with the first ones still becomes a status; later, the
    body ends without its last boundary and the connection with it."""
    blocks = _blocks(pieces)
    begun = list(itertools.islice(blocks, 1))
    return StreamingResponse(itertools.chain(begun, blocks), media_type=content_type)


def _blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Pieces joined until they are worth a turn of the server's loop."""
    gathered: list[bytes] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= BLOCK_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    yield b"".join(gathered)
