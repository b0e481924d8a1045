"""Whether two objects of one SOP Instance UID say the same: first the pixels, then the rest.

Compressed pixels are decoded in a child process with limits: native decoders meet hostile bytes
there, never in the node. Run as a program, this module is that child.
"""

import os
import resource
import subprocess
import sys
from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from pydicom.datadict import dictionary_VR

from storage.errors import Exhausted
from storage.header import PIXELS
from storage.header.elements import Element, Elements, scan
from storage.header.part10 import open_part10
from storage.header.syntaxes import encoding_of

if TYPE_CHECKING:
    from pydicom import Dataset

Likeness = Literal["same", "header-differs", "other-pixels"]

# what an object of a class without pixels exists for
CONTOURS_AND_CONTENT: Final = (0x30060039, 0x0040A730)  # ROIContourSequence, ContentSequence
BODIES: Final = frozenset((*PIXELS, *CONTOURS_AND_CONTENT))
# what changes with the encoding of the pixels, and nothing else
TIED_TO_SYNTAX: Final = frozenset(
    (
        0x00280004,  # PhotometricInterpretation
        0x00280006,  # PlanarConfiguration
        0x7FE00001,  # ExtendedOffsetTable
        0x7FE00002,  # ExtendedOffsetTableLengths
    )
)
TRAILING_PADDING: Final = 0xFFFCFFFC

PADDED: Final = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI",
     "UR", "UT")
)  # fmt: skip
WIDTHS: Final = {
    "AT": 2, "OW": 2, "SS": 2, "US": 2, "FL": 4, "OF": 4, "OL": 4, "SL": 4, "UL": 4,
    "FD": 8, "OD": 8, "OV": 8, "SV": 8, "UV": 8,
}  # fmt: skip

SAME, OTHER = 0, 10  # exit statuses of the child; any other: undecided
MEMORY_BYTES: Final = 4 << 30
MOST_PIXELS: Final = 1 << 30
PATIENCE_S: Final = 60


class Encoded(NamedTuple):
    """An object's bytes, where its dataset begins, and its transfer syntax."""

    encoded: bytes
    start: int
    transfer_syntax_uid: str

    @classmethod
    def of_file(cls, encoded: bytes) -> "Encoded":
        """The bytes of a Part 10 file."""
        part10 = open_part10(encoded)
        return cls(encoded, part10.dataset_start, part10.transfer_syntax_uid)

    def elements(self) -> Elements:
        """Where its elements lie."""
        return scan(self.encoded, encoding_of(self.transfer_syntax_uid), self.start)


class Comparison(NamedTuple):
    """How alike two objects are, and in words what differs."""

    likeness: Likeness
    remark: str | None


def compare(first: Encoded, second: Encoded, patience_s: float = PATIENCE_S) -> Comparison:
    """Pixels that cannot be compared count as other pixels: the second object is set apart."""
    ours, theirs = first.elements(), second.elements()
    for tag in CONTOURS_AND_CONTENT:
        if not _same_element(first, ours.get(tag), second, theirs.get(tag)):
            return Comparison("other-pixels", "its contours or content differ from the first's")
    remark = _pixels_differ(first, ours, second, theirs, patience_s)
    if remark is not None:
        return Comparison("other-pixels", remark)
    apart = BODIES | {TRAILING_PADDING}
    if first.transfer_syntax_uid != second.transfer_syntax_uid:
        apart |= TIED_TO_SYNTAX
    if _same_elements(first, ours, second, theirs, apart):
        return Comparison("same", None)
    return Comparison("header-differs", "its attributes differ from the first's, the pixels do not")


def _pixels_differ(
    first: Encoded, ours: Elements, second: Encoded, theirs: Elements, patience_s: float
) -> str | None:
    """What is wrong with the second's pixels, or None where they are the first's."""
    undecoded = [(ours[tag], theirs[tag]) for tag in PIXELS if tag in ours and tag in theirs]
    if {tag for tag in PIXELS if tag in ours} != {tag for tag in PIXELS if tag in theirs}:
        return "only one of the two has pixels"
    if all(_same_bytes(first, one, second, other) for one, other in undecoded):
        return None
    if all(_is_native(one) and _is_native(other) for one, other in undecoded):
        return "its pixels differ from the first's"
    return _decode_and_compare(first, second, patience_s)


def _is_native(element: Element) -> bool:
    return element.fragments is None and element.little_endian


def _same_bytes(first: Encoded, one: Element, second: Encoded, other: Element) -> bool:
    if one.fragments is None or other.fragments is None:
        return _is_native(one) and _is_native(other) and _value(first, one) == _value(second, other)
    if first.transfer_syntax_uid != second.transfer_syntax_uid:
        return False
    return _fragments(first, one) == _fragments(second, other)


def _fragments(source: Encoded, element: Element) -> list[bytes]:
    # the first item is the offset table: it may be empty or not, the pixels are the same
    return [source.encoded[start:stop] for start, stop in (element.fragments or ())[1:]]


def _same_elements(
    first: Encoded,
    ours: Elements,
    second: Encoded,
    theirs: Elements,
    apart: frozenset[int] = frozenset(),
) -> bool:
    # group lengths tell of the encoding alone, and are retired
    own = [tag for tag in sorted(ours) if tag not in apart and tag & 0xFFFF]
    if own != [tag for tag in sorted(theirs) if tag not in apart and tag & 0xFFFF]:
        return False
    return all(_same_element(first, ours[tag], second, theirs[tag], tag) for tag in own)


def _same_element(
    first: Encoded, one: Element | None, second: Encoded, other: Element | None, tag: int = 0
) -> bool:
    if one is None or other is None:
        return one is other
    if one.items is not None or other.items is not None:
        if one.items is None or other.items is None or len(one.items) != len(other.items):
            return False
        pairs = zip(one.items, other.items, strict=True)
        return all(_same_elements(first, ours, second, theirs) for ours, theirs in pairs)
    ours, theirs = _value(first, one), _value(second, other)
    if ours == theirs:
        return True
    # one padding byte more or less, or another padding letter, is the same text
    textual = PADDED & {one.vr, other.vr, _dictionary_vr(tag)}
    return bool(textual) and ours.rstrip(b" \0") == theirs.rstrip(b" \0")


def _value(source: Encoded, element: Element) -> bytes:
    """The value, little endian."""
    value = source.encoded[element.start : element.stop]
    width = 1 if element.little_endian else WIDTHS.get(element.vr, 1)
    if width == 1 or len(value) % width:
        return value
    swapped = bytearray(len(value))
    for byte in range(width):
        swapped[byte::width] = value[width - 1 - byte :: width]
    return bytes(swapped)


def _dictionary_vr(tag: int) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""


def _decode_and_compare(first: Encoded, second: Encoded, patience_s: float) -> str | None:
    command = [
        sys.executable, "-P", "-m", "storage.comparison",
        first.transfer_syntax_uid, str(len(first.encoded) - first.start),
        second.transfer_syntax_uid,
    ]  # fmt: skip
    # a spare environment: what the node was told (passwords, say) is none of a decoder's business
    environment = {
        name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG") if name in os.environ
    }
    environment |= {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    datasets = first.encoded[first.start :] + second.encoded[second.start :]
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter, checked UIDs and a number
            command, input=datasets, env=environment, timeout=patience_s, check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"its pixels could not be compared with the first's within {patience_s:g} s"
    except OSError as exc:
        raise Exhausted(f"The comparing process did not start: {exc.strerror}") from exc
    if done.returncode == SAME:
        return None
    if done.returncode == OTHER:
        return "its pixels differ from the first's"
    return "its pixels could not be decoded, so not compared with the first's"


def _child(first_syntax: str, first_length: str, second_syntax: str) -> int:
    limits = (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, PATIENCE_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    )
    for limit, most in limits:
        resource.setrlimit(limit, (most, most))
    import numpy as np
    from pydicom.pixels.utils import iter_pixels

    received = sys.stdin.buffer.read()
    first = _readable(received[: int(first_length)], first_syntax)
    second = _readable(received[int(first_length) :], second_syntax)
    # a frame more on one side is another image: there it meets None
    pairs = zip_longest(iter_pixels(first, raw=True), iter_pixels(second, raw=True))
    return SAME if all(np.array_equal(one, other) for one, other in pairs) else OTHER


def _readable(encoded: bytes, transfer_syntax_uid: str) -> "Dataset":
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset
    from pydicom.uid import UID

    encoding = encoding_of(transfer_syntax_uid)
    dataset = read_dataset(BytesIO(encoded), encoding.implicit_vr, encoding.little_endian)
    dataset.set_original_encoding(encoding.implicit_vr, encoding.little_endian)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if int(dataset.Rows) * int(dataset.Columns) * frames > MOST_PIXELS:
        raise ValueError("too many pixels")
    return dataset


if __name__ == "__main__":
    # whatever a decoder raises ends in another status, and the pixels stay undecided
    sys.exit(_child(*sys.argv[1:]))
