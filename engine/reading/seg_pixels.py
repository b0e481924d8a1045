"""The frames of a SEG as arrays, one at a time; those without a mark are passed over."""

import struct
import zlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from engine.errors import Unreadable
from engine.reading.decoding import COMPRESSED, LOSSY, decode
from engine.reading.packed import expand_rle, inflate
from engine.reading.part10 import FOREIGN, Instance

Bytes = npt.NDArray[np.uint8]
Pixels = Bytes | npt.NDArray[np.uint16]

DEFLATED_IMAGE_FRAME = "1.2.840.10008.1.2.8.1"
NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
MAX_FRAME_PIXELS = 2**26
MAX_COMPRESSED_PIXELS = 2**31
PIXEL_DATA = b"\xe0\x7f\x10\x00"
UNDEFINED_LENGTH = 0xFFFFFFFF


class SegPixels:
    """Frames of `shape` [row, column] with 1, 8 or 16 bits allocated.

    Raises Unreadable when the pixel data is shorter than the header says, or cannot be decoded.
    """

    def __init__(
        self, instance: Instance, shape: tuple[int, int], frames: int, bits_allocated: int
    ) -> None:
        self._instance = instance
        self._shape = shape
        self._frames = frames
        self._bits = bits_allocated
        self._bits_a_frame = shape[0] * shape[1] * bits_allocated
        self._bytes_a_frame = -(-self._bits_a_frame // 8)
        if bits_allocated not in (1, 8, 16) or not 0 < shape[0] * shape[1] <= MAX_FRAME_PIXELS:
            what = f"has frames of {shape[0]} x {shape[1]} with {bits_allocated} bits allocated"
            raise self._unreadable(what, "unsupported-seg")
        self._stored = self._source(instance.transfer_syntax_uid)

    def frame(self, number: int) -> Pixels | None:
        """Frame `number`, counted from 0; None when no pixel in it is set."""
        stored, first_bit = self._stored(number)
        if not stored.any():
            return None
        if self._bits == 16:
            return stored.view("<u2").reshape(self._shape)
        if self._bits == 8:
            return stored.reshape(self._shape)
        # PS3.5 8.1.1: single bits are packed from the least significant bit, frames unpadded.
        bits = np.unpackbits(stored, bitorder="little", count=first_bit + self._bits_a_frame)
        return bits[first_bit:].reshape(self._shape)

    def _source(self, syntax: str) -> Callable[[int], tuple[Bytes, int]]:
        if syntax in NATIVE:
            return self._native()
        if self._shape[0] * self._shape[1] * self._frames > MAX_COMPRESSED_PIXELS:
            raise self._unreadable("is larger than compressed pixel data may be", "mask-too-large")
        if syntax == DEFLATED_IMAGE_FRAME:
            return self._expanded(inflate)
        if syntax == RLELossless and self._bits == 1:
            return self._expanded(expand_rle)
        if syntax in COMPRESSED and syntax not in LOSSY and self._bits > 1:
            return self._decoded()
        what = f"is in transfer syntax {syntax}, not read with {self._bits} bits allocated"
        raise self._unreadable(what, "unsupported-transfer-syntax")

    def _native(self) -> Callable[[int], tuple[Bytes, int]]:
        body = self._body()
        if body.size * 8 < self._frames * self._bits_a_frame:
            raise self._unreadable(f"is too short for {self._frames} frames")

        def stored(number: int) -> tuple[Bytes, int]:
            start = number * self._bits_a_frame
            return body[start // 8 : -(-(start + self._bits_a_frame) // 8)], start % 8

        return stored

    def _expanded(
        self, expand: Callable[[bytes, int], bytes]
    ) -> Callable[[int], tuple[Bytes, int]]:
        body = self._body().tobytes()
        try:
            fragments = list(generate_frames(body, number_of_frames=self._frames))
        except (*FOREIGN, struct.error) as exc:
            raise self._unreadable("is no sequence of frames") from exc
        if len(fragments) != self._frames:
            raise self._unreadable(f"holds {len(fragments)} of {self._frames} frames")

        def stored(number: int) -> tuple[Bytes, int]:
            try:
                expanded = expand(fragments[number], self._bytes_a_frame)
            except (*FOREIGN, zlib.error, struct.error) as exc:
                raise self._unreadable("cannot be decompressed") from exc
            if len(expanded) < self._bytes_a_frame:
                raise self._unreadable("holds a frame that is too short")
            return np.frombuffer(expanded, np.uint8)[: self._bytes_a_frame], 0

        return stored

    def _decoded(self) -> Callable[[int], tuple[Bytes, int]]:
        request = (self._instance.path, (self._frames, *self._shape), f"<u{self._bits // 8}")
        (frames,) = decode([request])
        as_bytes = frames.reshape(self._frames, -1).view(np.uint8)
        return lambda number: (as_bytes[number], 0)

    def _body(self) -> Bytes:
        """The value of Pixel Data, mapped into memory rather than read."""
        instance = self._instance
        try:
            with instance.path.open("rb") as file:
                file.seek(instance.pixels_at)
                element = file.read(12)
            explicit = instance.transfer_syntax_uid != ImplicitVRLittleEndian
            (length,) = struct.unpack("<I", element[8:12] if explicit else element[4:8])
            start = instance.pixels_at + (12 if explicit else 8)
            available = instance.path.stat().st_size - start
            if element[:4] != PIXEL_DATA or available <= 0:
                raise self._unreadable("is absent")
            size = available if length == UNDEFINED_LENGTH else min(length, available)
            return np.memmap(instance.path, np.uint8, "r", offset=start, shape=(size,))
        except (*FOREIGN, struct.error) as exc:
            raise self._unreadable("cannot be read") from exc

    def _unreadable(self, what: str, code: str = "bad-pixel-data") -> Unreadable:
        uid = self._instance.sop_instance_uid
        return Unreadable(f"SEG {uid}: its pixel data {what}", code=code)
