"""The frames of one instance: as they are stored, or as plain little endian values.

Compressed frames are decoded by the limited child process of `engine.reading`, never here.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.encaps import get_frame

from engine.errors import Unreadable
from engine.reading.attributes import Attributes
from engine.reading.decoding import Request, decode, decode_frame
from engine.reading.packed import expand_rle
from engine.reading.part10 import FOREIGN, Instance, read_instance
from pacsnode.web.media import EXPLICIT_BIG, IMPLICIT_LITTLE, NATIVE
from pacsnode.web.refusal import NOT_ACCEPTABLE, NOT_FOUND, Refusal

PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA = 0x7FE00010, 0x7FE00008, 0x7FE00009
RLE: Final = "1.2.840.10008.1.2.5"
BITS: Final = frozenset((1, 8, 16, 32, 64))
MOST_DECODED_BYTES: Final = 1 << 30
PIECE_BYTES: Final = 1 << 20
# children at a time: each takes a processor, and memory of its own
_DECODING: Final = threading.BoundedSemaphore(2)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the frames are stated (PS3.3 C.7.6.3), and where they begin."""

    sop_instance_uid: str
    transfer_syntax_uid: str
    pixel_tag: int
    pixels_at: int
    frames: int
    rows: int
    columns: int
    samples: int
    bits_allocated: int
    is_signed: bool
    is_planar: bool
    is_subsampled: bool  # YBR_FULL_422: two samples a pixel, on average
    extended_offsets: tuple[bytes, bytes] | None

    @property
    def frame_bits(self) -> int:
        samples = 2 if self.is_subsampled else self.samples
        return self.rows * self.columns * samples * self.bits_allocated

    @property
    def dtype(self) -> np.dtype[Any]:
        kind = "f" if self.pixel_tag != PIXEL_DATA else "i" if self.is_signed else "u"
        return np.dtype(f"<{kind}{max(self.bits_allocated // 8, 1)}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one frame, [row, column] or [row, column, sample]."""
        return (self.rows, self.columns) + ((self.samples,) if self.samples > 1 else ())


class Frames:
    """The pixels of one file. Raises Unreadable where it has none that can be told apart."""

    def __init__(self, path: Path) -> None:
        self.layout = _layout(path)
        self._path = path

    @property
    def is_compressed(self) -> bool:
        return self.layout.transfer_syntax_uid not in NATIVE

    @property
    def is_packed(self) -> bool:
        """Whether it is a run-length encoded mask of single bits, which no decoder takes."""
        return self.layout.transfer_syntax_uid == RLE and self.layout.bits_allocated == 1

    def check(self, frame: int) -> None:
        """Raises Refusal (404) where there is no such frame; they count from 1."""
        if not 1 <= frame <= self.layout.frames:
            raise Refusal(NOT_FOUND, f"There are {self.layout.frames} frames, and no {frame}")

    def stored(self, frame: int) -> bytes:
        """One frame as it is compressed."""
        with self._value() as (file, _):
            try:
                return get_frame(
                    file,
                    frame - 1,
                    extended_offsets=self.layout.extended_offsets,
                    number_of_frames=self.layout.frames,
                )
            except FOREIGN as exc:
                raise Unreadable("The compressed frames cannot be told apart") from exc

    def plain(self, frame: int) -> bytes:
        """One frame in the encoding of Explicit VR Little Endian."""
        if self.is_packed:
            return self._expanded(frame)
        if self.is_compressed:
            return self.values(frame).tobytes()
        bits = self.layout.frame_bits
        first = (frame - 1) * bits
        with self._value() as (file, length):
            if (first + bits + 7) // 8 > length:
                raise Unreadable(f"The pixels end before frame {frame}")
            file.seek(first // 8, 1)
            found = file.read((first % 8 + bits + 7) // 8)
        if first % 8 or bits % 8:
            # PS3.5 8.1.1: single bits run on from frame to frame
            unpacked = np.unpackbits(np.frombuffer(found, np.uint8), bitorder="little")
            return np.packbits(unpacked[first % 8 :][:bits], bitorder="little").tobytes()
        if self.layout.transfer_syntax_uid == EXPLICIT_BIG and self.layout.bits_allocated > 8:
            width = self.layout.bits_allocated // 8
            return np.frombuffer(found, f">u{width}").astype(f"<u{width}").tobytes()
        return found

    def values(self, frame: int) -> npt.NDArray[Any]:
        """One frame as stored values, [row, column] or [row, column, sample]."""
        layout = self.layout
        if self.is_compressed and not self.is_packed:
            with _DECODING:
                return decode_frame(self.request(1), frame - 1)
        plain = self.plain(frame)
        if layout.bits_allocated == 1:
            bits = np.unpackbits(np.frombuffer(plain, np.uint8), bitorder="little")
            return bits[: layout.rows * layout.columns].reshape(layout.shape)
        if layout.is_subsampled:
            raise Refusal(NOT_ACCEPTABLE, "Pixels with subsampled colours are given as stored only")
        values = np.frombuffer(plain, layout.dtype)
        if layout.samples > 1 and layout.is_planar:
            return np.moveaxis(values.reshape((layout.samples, *layout.shape[:2])), 0, -1)
        return values.reshape(layout.shape)

    def plains(self, frames: Sequence[int]) -> Iterator[bytes]:
        """Some frames as `plain` gives one; compressed ones are decoded together."""
        if not self.is_compressed or self.is_packed or len(frames) == 1:
            yield from map(self.plain, frames)
            return
        (whole,) = decoded([self])
        size = self.layout.frame_bits // 8
        for frame in frames:
            yield whole[(frame - 1) * size : frame * size]

    def expanded(self) -> bytes:
        """The whole Pixel Data of a packed mask; its bits run on from frame to frame."""
        values = [self.values(number + 1) for number in range(self.layout.frames)]
        return np.packbits(np.concatenate(values), bitorder="little").tobytes()

    def value_pieces(self) -> Iterator[bytes]:
        """The whole native Pixel Data in the encoding of Explicit VR Little Endian."""
        swapped = self.layout.transfer_syntax_uid == EXPLICIT_BIG
        width = self.layout.bits_allocated // 8 if swapped and self.layout.bits_allocated > 8 else 1
        with self._value() as (file, length):
            while length > 0 and (piece := file.read(min(PIECE_BYTES, length))):
                length -= len(piece)
                yield np.frombuffer(piece, f">u{width}").astype(f"<u{width}").tobytes()

    def _expanded(self, frame: int) -> bytes:
        """Single bits, packed eight to a byte before they were run-length encoded."""
        size = -(-self.layout.frame_bits // 8)
        try:
            expanded = expand_rle(self.stored(frame), size)
        except FOREIGN as exc:
            raise Unreadable(f"Frame {frame} cannot be decompressed") from exc
        if len(expanded) < size:
            raise Unreadable(f"Frame {frame} is too short")
        return expanded[:size]

    def request(self, frames: int) -> Request:
        """What the decoding child is asked. Raises Unreadable where it is too much."""
        layout = self.layout
        if layout.bits_allocated not in (8, 16, 32) and not self.is_packed:
            raise Unreadable(f"Frames of {layout.bits_allocated} bits a sample are not decoded")
        if frames * layout.frame_bits > 8 * MOST_DECODED_BYTES:
            raise Unreadable(f"Decoded, they would take more than {MOST_DECODED_BYTES >> 20} MiB")
        return self._path, (frames, *layout.shape), layout.dtype.str

    @contextmanager
    def _value(self) -> Iterator[tuple[IO[bytes], int]]:
        """The file at the first byte of the pixels' value, and the value's length."""
        with self._path.open("rb") as file:
            file.seek(self.layout.pixels_at + 4)
            if self.layout.transfer_syntax_uid != IMPLICIT_LITTLE:
                file.seek(4, 1)  # VR and reserved
            big = self.layout.transfer_syntax_uid == EXPLICIT_BIG
            yield file, int.from_bytes(file.read(4), "big" if big else "little")


def decoded(compressed: Sequence[Frames]) -> Iterator[bytes]:
    """The whole Pixel Data of each, encoded as Explicit VR Little Endian does; one child decodes
    many. Raises Unreadable."""
    requests = [one.request(one.layout.frames) for one in compressed if not one.is_packed]
    values = decode(requests)
    for one in compressed:
        if one.is_packed:
            yield one.expanded()
            continue
        with _DECODING:
            told = next(values)
        yield told.tobytes()


# the name of a file is the digest of what is in it, so what was read of it stays true
@lru_cache(maxsize=256)
def _layout(path: Path) -> Layout:
    instance = read_instance(path, "The instance")
    stated = Attributes((instance.header,))

    def whole(keyword: str, default: int | None = None) -> int:
        number = stated.number(keyword)
        if number is None and default is None:
            raise Unreadable(f"It does not state {keyword}: it has no frames", code="no-pixel-data")
        return int(number if number is not None else default or 0)

    is_native = instance.transfer_syntax_uid in NATIVE
    photometric = stated.text("PhotometricInterpretation")
    layout = Layout(
        sop_instance_uid=instance.sop_instance_uid,
        transfer_syntax_uid=instance.transfer_syntax_uid,
        pixel_tag=_pixel_tag(instance),
        pixels_at=instance.pixels_at,
        frames=max(whole("NumberOfFrames", 1), 1),
        rows=whole("Rows"),
        columns=whole("Columns"),
        samples=whole("SamplesPerPixel", 1),
        bits_allocated=whole("BitsAllocated"),
        is_signed=whole("PixelRepresentation", 0) == 1,
        is_planar=whole("PlanarConfiguration", 0) == 1,
        is_subsampled=photometric == "YBR_FULL_422" and is_native,
        extended_offsets=_extended_offsets(stated),
    )
    if min(layout.rows, layout.columns, layout.samples) < 1 or layout.bits_allocated not in BITS:
        raise Unreadable("It states pixels of a size that is none", code="bad-pixel-format")
    return layout


def _pixel_tag(instance: Instance) -> int:
    with instance.path.open("rb") as file:
        file.seek(instance.pixels_at)
        head = file.read(4)
    order: Any = "big" if instance.transfer_syntax_uid == EXPLICIT_BIG else "little"
    tag = int.from_bytes(head[:2], order) << 16 | int.from_bytes(head[2:], order)
    if tag not in (PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA):
        raise Unreadable("It has no pixels", code="no-pixel-data")
    return tag


def _extended_offsets(stated: Attributes) -> tuple[bytes, bytes] | None:
    offsets, lengths = map(stated.value, ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"))
    return (offsets, lengths) if offsets and lengths else None
