"""The bytes of an instance on their way out: as they are kept, or as Explicit VR Little Endian."""

import threading
import warnings
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import IO, Final

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataelem import DataElement
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset

from engine.errors import Unreadable
from engine.reading.part10 import FOREIGN
from pacsnode.web.frames import PIECE_BYTES, Frames, decoded
from pacsnode.web.media import AS_STORED, EXPLICIT_BIG, EXPLICIT_LITTLE, NATIVE
from storage.errors import DiskFault
from storage.files import disk_errors, part10_header
from storage.header.part10 import open_part10
from storage.records import Instance

HEAD_BYTES: Final = 1 << 16  # group 0002 of ours is far smaller
# whole objects in memory at a time; as stored, objects go out in pieces
_CONVERTING: Final = threading.BoundedSemaphore(4)
OF_WORDS: Final = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


def syntax_of(instance: Instance, asked: str | None) -> str | None:
    """The transfer syntax an instance is given in, None where it cannot be had in the one asked.

    PS3.18 8.7.3.5.2: without one, Explicit VR Little Endian; `*` is the stored one.
    """
    if asked == AS_STORED or asked == instance.transfer_syntax_uid:
        return instance.transfer_syntax_uid
    return EXPLICIT_LITTLE if asked in (None, EXPLICIT_LITTLE) else None


def files(
    instances: Sequence[Instance], syntaxes: Sequence[str]
) -> Iterator[tuple[Instance, str, Iterator[bytes]]]:
    """Whole Part 10 files in these syntaxes, to be taken in order. Raises DiskFault, Unreadable."""
    each = list(zip(instances, syntaxes, strict=True))
    pixels = decoded([Frames(one.path) for one, syntax in each if _is_decoded(one, syntax)])
    for one, syntax in each:
        yield one, syntax, _file(one, syntax, pixels)


def _is_decoded(instance: Instance, syntax: str) -> bool:
    return syntax != instance.transfer_syntax_uid and instance.transfer_syntax_uid not in NATIVE


def _file(instance: Instance, syntax: str, pixels: Iterator[bytes]) -> Iterator[bytes]:
    yield part10_header(instance.sop_class_uid, instance.sop_instance_uid, syntax)
    if syntax == instance.transfer_syntax_uid:
        yield from _kept(instance)
    else:
        with _CONVERTING:
            converted = _explicit(instance, pixels)
        yield converted


def _kept(instance: Instance) -> Iterator[bytes]:
    with disk_errors(), instance.path.open("rb") as file:
        _to_dataset(file, instance)
        while piece := file.read(PIECE_BYTES):
            yield piece


def _to_dataset(file: IO[bytes], instance: Instance) -> None:
    start = open_part10(file.read(HEAD_BYTES)).dataset_start
    if file.seek(0, 2) - start != instance.size_bytes:
        raise DiskFault(
            f"The file of instance {instance.sop_instance_uid} is damaged: send the object again"
        )
    file.seek(start)


def _explicit(instance: Instance, pixels: Iterator[bytes]) -> bytes:
    decoded_pixels = None if instance.transfer_syntax_uid in NATIVE else next(pixels)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            dataset = dcmread(instance.path)
            if decoded_pixels is not None:
                _put(decoded_pixels, dataset)
            if instance.transfer_syntax_uid == EXPLICIT_BIG:
                dataset.walk(lambda _, element: _swap(element))
            written = BytesIO()
            encoding = DicomIO(written)
            encoding.is_implicit_VR, encoding.is_little_endian = False, True
            write_dataset(encoding, dataset)
    except FOREIGN as exc:
        raise Unreadable(
            f"Instance {instance.sop_instance_uid} cannot be written as Explicit VR Little Endian"
        ) from exc
    return written.getvalue()


def _put(pixels: bytes, dataset: Dataset) -> None:
    vr = "OW" if dataset.BitsAllocated > 8 else "OB"
    dataset[0x7FE00010] = DataElement(0x7FE00010, vr, pixels + b"\0" * (len(pixels) % 2))
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in dataset:
            delattr(dataset, keyword)
    if dataset.get("SamplesPerPixel", 1) > 1:  # the child gives colours as RGB, pixel by pixel
        dataset.PhotometricInterpretation = "RGB"
        dataset.PlanarConfiguration = 0


def _swap(element: DataElement) -> None:
    if element.VR in OF_WORDS and isinstance(element.value, bytes):
        element.value = swapped(element)


def swapped(element: DataElement) -> bytes:
    """PS3.5 7.3: words of a big endian object, in little endian; pydicom leaves them alone."""
    value: bytes = element.value
    width = OF_WORDS.get(str(element.VR), 1)
    return np.frombuffer(value, f"u{width}").byteswap().tobytes() if width > 1 else value
