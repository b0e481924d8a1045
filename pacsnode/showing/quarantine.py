"""Quarantine: two objects of one UID side by side, attribute by attribute, without their pixels.

What may tell who the patient is shows as different, never as a value: group 0010, private
attributes, and whatever holds text that somebody may have typed.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from pydicom import DataElement, Dataset, dcmread
from pydicom.datadict import dictionary_VR, keyword_for_tag

from engine.reading.part10 import FOREIGN
from storage.archive import Archive
from storage.records import Instance

MOST_DIFFERENCES: Final = 200
MOST_CHARACTERS: Final = 120
ABSENT: Final = "absent"
WITHHELD: Final = "not shown: it may tell who the patient is"
# value representations (PS3.5 6.2) that hold no free text
_SHOWN: Final = frozenset(
    {"AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "SL", "SS", "SV", "TM", "UI", "UL", "US", "UV"}
)
_BULKY: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_BEFORE_PIXELS: Final = 0x7FE00000


@dataclass(frozen=True, slots=True)
class Version:
    """One of the two objects."""

    sha256: str
    received_at: datetime  # aware, UTC
    calling_ae: str | None
    size_bytes: int
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class Difference:
    """An attribute that the two state differently; a sequence by its number of items."""

    tag: str
    keyword: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class QuarantinedShown:
    """`first` is the version that is used, None where it is gone; `second` was set apart."""

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    modality: str
    remark: str
    first: Version | None
    second: Version
    differences: tuple[Difference, ...]


def quarantine_shown(archive: Archive) -> tuple[QuarantinedShown, ...]:
    """Everything that was set apart, the latest first, without the differences."""
    return tuple(_shown(archive, one, compares=False) for one in reversed(archive.quarantined()))


def one_quarantined(archive: Archive, sha256: str) -> QuarantinedShown | None:
    """One that was set apart, with what differs."""
    found = next((one for one in archive.quarantined() if one.sha256 == sha256), None)
    return None if found is None else _shown(archive, found, compares=True)


def _shown(archive: Archive, second: Instance, *, compares: bool) -> QuarantinedShown:
    first = archive.instance(second.sop_instance_uid)
    differences: tuple[Difference, ...] = ()
    if compares and first is not None:
        differences = tuple(_differences(first.path, second.path))[:MOST_DIFFERENCES]
    return QuarantinedShown(
        sop_instance_uid=second.sop_instance_uid,
        sop_class_uid=second.sop_class_uid,
        study_instance_uid=second.study_instance_uid,
        modality=second.modality,
        remark=second.remark or "",
        first=None if first is None else _version(first),
        second=_version(second),
        differences=differences,
    )


def _version(instance: Instance) -> Version:
    return Version(
        sha256=instance.sha256,
        received_at=instance.received_at,
        calling_ae=instance.calling_ae,
        size_bytes=instance.size_bytes,
        transfer_syntax_uid=instance.transfer_syntax_uid,
    )


def _differences(first: Path, second: Path) -> Iterator[Difference]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            ours, theirs = (dcmread(path, stop_before_pixels=True) for path in (first, second))
            yield from _of(ours, theirs)
    except FOREIGN:
        yield Difference("", "", "cannot be read beside the other", "")


def _of(ours: Dataset, theirs: Dataset) -> Iterator[Difference]:
    for tag in sorted({*ours.keys(), *theirs.keys()}):
        if tag >= _BEFORE_PIXELS:
            continue
        one, other = ours.get(tag), theirs.get(tag)
        if one == other:
            continue
        keyword = keyword_for_tag(tag) or "private attribute"
        withheld = _may_tell_the_patient(one) or _may_tell_the_patient(other)
        yield Difference(
            tag=f"({tag >> 16:04X},{tag & 0xFFFF:04X})",
            keyword=keyword,
            first=_said(one, withheld=withheld),
            second=_said(other, withheld=withheld),
        )


def _may_tell_the_patient(element: DataElement | None) -> bool:
    """By what PS3.6 says of the attribute, and only where it was sent as that; group 0010 is the
    patient's. Sequences and bulk are told by their number and size alone."""
    if element is None:
        return False
    if element.tag.group == 0x0010 or not keyword_for_tag(element.tag):
        return True
    known = frozenset(dictionary_VR(element.tag).split(" or "))
    return not (known <= _SHOWN | _BULKY | {"SQ"} and element.VR in known | {"UN"})


def _said(element: DataElement | None, *, withheld: bool) -> str:
    if element is None:
        return ABSENT
    if withheld:
        return WITHHELD
    if element.VR == "SQ":
        return f"{len(element.value)} item{'' if len(element.value) == 1 else 's'}"
    if element.VR in _BULKY:
        return f"{len(element.value or b'')} bytes"
    text = str(element.value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"
