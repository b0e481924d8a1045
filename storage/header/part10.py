"""Where the dataset of a DICOM file begins, and how it is encoded (PS3.10 section 7)."""

import struct
from typing import Final, NamedTuple

from storage.errors import Unkeepable
from storage.header.elements import LONG_VRS
from storage.header.syntaxes import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE

PREAMBLE: Final = 128
TRANSFER_SYNTAX: Final = 0x00020010
_HEAD: Final = struct.Struct("<HH2sH").unpack_from
_LENGTH: Final = struct.Struct("<L").unpack_from


class Part10(NamedTuple):
    """Group 0002 as value bytes by tag, and what follows it."""

    meta: dict[int, bytes]
    dataset_start: int
    transfer_syntax_uid: str


def open_part10(encoded: bytes) -> Part10:
    """A file with preamble and group 0002, or without either. Raises Unkeepable."""
    at = PREAMBLE + 4 if encoded[PREAMBLE : PREAMBLE + 4] == b"DICM" else 0
    meta, at = _group_2(encoded, at)
    stated = meta.get(TRANSFER_SYNTAX, b"").decode("latin-1").rstrip(" \0")
    return Part10(meta, at, stated or _recognised(encoded, at))


def _group_2(encoded: bytes, at: int) -> tuple[dict[int, bytes], int]:
    # the elements count, not the group length: some writers state a wrong one
    meta: dict[int, bytes] = {}
    while encoded[at : at + 2] == b"\x02\x00":
        if len(encoded) - at < 12:
            raise Unkeepable("The file ends within its group 0002")
        group, number, vr, length = _HEAD(encoded, at)
        at += 8
        if vr in LONG_VRS:
            length = _LENGTH(encoded, at)[0]
            at += 4
        if at + length > len(encoded):
            raise Unkeepable("The file ends within its group 0002")
        meta[group << 16 | number] = encoded[at : at + length]
        at += length
    return meta, at


def _recognised(encoded: bytes, at: int) -> str:
    """The uncompressed syntax that the first element shows, where no group 0002 states one."""
    head = encoded[at : at + 8]
    if len(head) < 8:
        raise Unkeepable("Not a DICOM file: too short")
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    if head[0] and not head[1] and head[0] % 2 == 0:
        return EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE
    if explicit and head[1] and not head[0]:
        return EXPLICIT_BIG
    raise Unkeepable("Not a DICOM file: no DICM mark, and it does not begin with an element")
