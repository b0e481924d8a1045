"""What the catalog needs of an object, read from its encoded dataset; pixels stay encoded.

The whole structure is walked, so an object whose stated lengths do not fit its bytes is refused,
wherever the cut is. Everything wrong is `Unkeepable`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from storage.errors import Unkeepable
from storage.header.attributes import CHOSEN, CHOSEN_TAGS
from storage.header.elements import Elements, scan
from storage.header.extent import contour_extent_lps_mm
from storage.header.part10 import open_part10
from storage.header.queried import Queried, find_queried
from storage.header.references import find_references, find_series
from storage.header.syntaxes import encoding_of
from storage.header.uids import checked_uid, is_uid, said
from storage.header.values import plain_uid, select, text
from storage.records import Reference

__all__ = ["CHOSEN", "Header", "Patient", "Queried", "is_uid", "read_header", "said"]

SEGMENTATIONS: Final = frozenset(
    (
        "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
        "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
    )
)
RTSTRUCT: Final = "1.2.840.10008.5.1.4.1.1.481.3"
MASKS: Final = SEGMENTATIONS | {RTSTRUCT}
PER_FRAME: Final = "PerFrameFunctionalGroupsSequence"
PIXELS: Final = (0x7FE00010, 0x7FE00008, 0x7FE00009)  # integer, float, double


@dataclass(frozen=True, slots=True)
class Patient:
    """Who the object is about, as stated; for keyed digests only, never stored or shown."""

    patient_id: str | None
    name: str | None
    birth_date: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """What an object says of itself; `attributes` as in `storage.records.Instance`."""

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
    modality: str
    frame_of_reference_uid: str | None
    transfer_syntax_uid: str
    references: tuple[Reference, ...]
    referenced_series: tuple[str, ...]  # named by UID, whether or not instances are named too
    patient: Patient
    queried: Queried
    is_image: bool  # has pixels, and they are no segmentation
    extent_lps_mm: tuple[float, ...] | None  # of RTSTRUCT contours: least x, y, z, greatest x, y, z
    attributes: Mapping[str, Any]


def read_header(source: bytes | Path, transfer_syntax_uid: str | None = None) -> Header:
    """The header of an encoded dataset, or of a file (PS3.10, or a bare dataset).

    `transfer_syntax_uid` is needed for bytes; of a file it is what the file says. Raises
    Unkeepable; OSError where the file cannot be read.
    """
    start = 0
    if isinstance(source, Path):
        encoded = source.read_bytes()
        part10 = open_part10(encoded)
        start, transfer_syntax_uid = part10.dataset_start, part10.transfer_syntax_uid
    else:
        encoded = source
    if transfer_syntax_uid is None:
        raise Unkeepable("No transfer syntax is stated")
    elements = scan(encoded, encoding_of(transfer_syntax_uid), start)
    if not elements:
        raise Unkeepable("The dataset is empty")
    return _header(encoded, elements, transfer_syntax_uid)


def _header(encoded: bytes, elements: Elements, transfer_syntax_uid: str) -> Header:
    def stated(tag: int, keyword: str) -> str:
        return checked_uid(plain_uid(encoded, elements.get(tag)), keyword)

    sop_class_uid = stated(0x00080016, "SOPClassUID")
    has_pixels = any(tag in elements for tag in PIXELS)
    if not has_pixels and _describes_pixels(sop_class_uid, elements):
        raise Unkeepable("An image without PixelData: it was cut off, or never complete")
    return Header(
        sop_instance_uid=stated(0x00080018, "SOPInstanceUID"),
        sop_class_uid=sop_class_uid,
        series_instance_uid=stated(0x0020000E, "SeriesInstanceUID"),
        study_instance_uid=stated(0x0020000D, "StudyInstanceUID"),
        modality=text(encoded, elements, 0x00080060) or "OT",
        frame_of_reference_uid=_frame_of_reference(encoded, elements),
        transfer_syntax_uid=transfer_syntax_uid,
        references=find_references(encoded, elements),
        referenced_series=find_series(elements, encoded),
        patient=Patient(
            patient_id=text(encoded, elements, 0x00100020),
            name=text(encoded, elements, 0x00100010),
            birth_date=text(encoded, elements, 0x00100030),
        ),
        queried=find_queried(encoded, elements),
        is_image=has_pixels and sop_class_uid not in SEGMENTATIONS,
        extent_lps_mm=(
            contour_extent_lps_mm(encoded, elements) if sop_class_uid == RTSTRUCT else None
        ),
        attributes=_attributes(encoded, elements, sop_class_uid),
    )


def _attributes(encoded: bytes, elements: Elements, sop_class_uid: str) -> Mapping[str, Any]:
    attributes = select(encoded, elements, CHOSEN_TAGS)
    if sop_class_uid not in SEGMENTATIONS or PER_FRAME not in attributes:
        return attributes
    # every segment repeats the planes it lies on: a mask's planes are remembered once
    distinct = {repr(frame): frame for frame in attributes[PER_FRAME] if frame}
    return MappingProxyType({**attributes, PER_FRAME: tuple(distinct.values())})


def _describes_pixels(sop_class_uid: str, elements: Elements) -> bool:
    # Rows and Columns announce pixels; a cut before them still shows in the class
    return (
        (0x00280010 in elements and 0x00280011 in elements and 0x00287FE0 not in elements)
        or sop_class_uid in SEGMENTATIONS
        or sop_class_uid in IMAGE_CLASSES
    )


IMAGE_CLASSES: Final = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{tail}"
    for tail in ("2", "2.1", "2.2", "4", "4.1", "4.4", "20", "128", "130", "128.1")
)  # CT, MR, NM, PET: single frame, enhanced, legacy converted


def _frame_of_reference(encoded: bytes, elements: Elements) -> str | None:
    """Contours lie where their ROIs say (PS3.3 C.8.8.5); everything else says it itself."""
    for sequence, tag in ((0x30060020, 0x30060024), (0x30060010, 0x00200052)):
        element = elements.get(sequence)
        named = {plain_uid(encoded, item.get(tag)) for item in (element and element.items) or ()}
        named = {uid for uid in named if is_uid(uid)}
        if named:
            return named.pop() if len(named) == 1 else None
    own = plain_uid(encoded, elements.get(0x00200052))
    return own if is_uid(own) else None
