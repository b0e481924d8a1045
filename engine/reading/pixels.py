"""Stored pixel values of a stack's planes, bit for bit as they were before any compression."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from engine.errors import Unreadable
from engine.reading.attributes import Attributes
from engine.reading.decoding import COMPRESSED, Undecodable, decode
from engine.reading.part10 import Instance
from engine.reading.slices import Slice, Stack

Stored = npt.NDArray[np.integer]

_NATIVE = {
    str(ImplicitVRLittleEndian): "<",
    str(ExplicitVRLittleEndian): "<",
    str(ExplicitVRBigEndian): ">",
}
_PIXEL_DATA = {"<": b"\xe0\x7f\x10\x00", ">": b"\x7f\xe0\x00\x10"}


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How one instance states its pixels: PS3.3 C.7.6.3, PS3.5 8.1.1."""

    frames: int
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.frames, self.rows, self.columns

    @property
    def frame_bytes(self) -> int:
        return self.rows * self.columns * self.bits_allocated // 8

    def dtype(self, byte_order: str = "<") -> np.dtype[np.integer]:
        return np.dtype(f"{byte_order}{'i' if self.is_signed else 'u'}{self.bits_allocated // 8}")


def stored_planes(stack: Stack) -> Iterator[tuple[int, Stored]]:
    """Each k with its plane [j, i] of stored values, one file after another, not in order of k.

    Raises Unreadable, naming the instance: truncated or overlong pixel data, a size that is not
    the stated one, an unknown transfer syntax, a decoder that fails, dies or takes too long.
    """
    places = sorted(enumerate(stack.slices), key=lambda place: str(place[1].instance.path))
    files = [list(planes) for _, planes in groupby(places, key=lambda p: p[1].instance.path)]
    compressed = [f for f in files if f[0][1].instance.transfer_syntax_uid in COMPRESSED]
    for file in files:
        if file[0][1].instance.transfer_syntax_uid not in COMPRESSED:
            yield from _native_planes(file)
    instances = [file[0][1].instance for file in compressed]
    formats = [pixel_format(instance) for instance in instances]
    requests = [(i.path, f.shape, f.dtype().str) for i, f in zip(instances, formats, strict=True)]
    try:
        for file, form, frames in zip(compressed, formats, decode(requests), strict=True):
            for k, plane in file:
                yield k, _used_bits(frames[plane.frame], form)
    except Undecodable as exc:
        raise _unreadable(
            instances[exc.index], f"cannot be decoded: {exc.why}", "undecodable"
        ) from exc


def pixel_format(instance: Instance) -> PixelFormat:
    """The stated format, or Unreadable where we do not read such pixels."""
    stated = Attributes((instance.header,))

    def whole(keyword: str, default: int | None = None) -> int:
        number = stated.number(keyword)
        if number is None:
            number = default
        if number is None:
            raise _unreadable(instance, f"does not state {keyword}", "bad-pixel-format")
        return int(number)

    allocated = whole("BitsAllocated")
    bits_stored = whole("BitsStored", allocated)
    form = PixelFormat(
        frames=whole("NumberOfFrames", 1),
        rows=whole("Rows"),
        columns=whole("Columns"),
        bits_allocated=allocated,
        bits_stored=bits_stored,
        high_bit=whole("HighBit", bits_stored - 1),
        is_signed=whole("PixelRepresentation", 0) == 1,
    )
    photometric = stated.text("PhotometricInterpretation") or "MONOCHROME2"
    if whole("SamplesPerPixel", 1) != 1 or not photometric.startswith("MONOCHROME"):
        raise _unreadable(instance, f"has {photometric} pixels", "not-monochrome")
    if allocated not in (8, 16, 32) or not 0 < bits_stored <= form.high_bit + 1 <= allocated:
        raise _unreadable(
            instance,
            f"states {bits_stored} bits stored of {allocated}, the highest {form.high_bit}",
            "bad-pixel-format",
        )
    return form


def _native_planes(file: list[tuple[int, Slice]]) -> Iterator[tuple[int, Stored]]:
    instance = file[0][1].instance
    form = pixel_format(instance)
    byte_order = _NATIVE.get(instance.transfer_syntax_uid)
    if byte_order is None:
        raise _unreadable(
            instance,
            f"is in transfer syntax {instance.transfer_syntax_uid}, which is not read",
            "unknown-transfer-syntax",
        )
    begins_at = _first_pixel_at(instance, form, byte_order)
    with instance.path.open("rb") as source:
        for k, plane in file:
            source.seek(begins_at + plane.frame * form.frame_bytes)
            values = np.frombuffer(source.read(form.frame_bytes), form.dtype(byte_order))
            yield k, _used_bits(values.reshape(form.rows, form.columns), form)


def _first_pixel_at(instance: Instance, form: PixelFormat, byte_order: str) -> int:
    """Where the value of native Pixel Data begins, once its length is proven on the disk."""
    is_implicit = instance.transfer_syntax_uid == ImplicitVRLittleEndian
    length_at = 4 if is_implicit else 8
    with instance.path.open("rb") as source:
        source.seek(instance.pixels_at)
        head = source.read(length_at + 4)
        on_disk = instance.path.stat().st_size - instance.pixels_at - len(head)
    if not head.startswith(_PIXEL_DATA[byte_order]) or len(head) < length_at + 4:
        raise _unreadable(instance, "has no Pixel Data", "no-pixel-data")
    stated = int.from_bytes(head[length_at:], "little" if byte_order == "<" else "big")
    needed = form.frames * form.frame_bytes
    if min(stated, on_disk) < needed or on_disk < stated:
        raise _unreadable(
            instance,
            f"has {min(stated, on_disk)} of the {max(stated, needed)} bytes of its Pixel Data",
            "truncated-pixel-data",
        )
    if stated >= needed + form.frame_bytes:
        raise _unreadable(
            instance,
            f"has {stated} bytes of Pixel Data where its size needs {needed}",
            "overlong-pixel-data",
        )
    return instance.pixels_at + len(head)


def _used_bits(values: Stored, form: PixelFormat) -> Stored:
    """Without what older objects hide in unused bits (overlays), and with the sign extended."""
    if form.bits_stored == form.bits_allocated:
        return values
    native = values.astype(values.dtype.newbyteorder("="))
    above = form.bits_allocated - 1 - form.high_bit
    return (native << above) >> (form.bits_allocated - form.bits_stored)


def _unreadable(instance: Instance, what: str, code: str) -> Unreadable:
    return Unreadable(f"Instance {instance.sop_instance_uid} {what}", code=code)
