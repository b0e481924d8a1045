"""Which instances an object refers to, at whatever depth it says so."""

from typing import Final

from storage.header.elements import Elements
from storage.header.uids import is_uid
from storage.header.values import plain_uid
from storage.records import Reference

REFERENCED_CLASS: Final = 0x00081150
REFERENCED_INSTANCE: Final = 0x00081155
SERIES_INSTANCE: Final = 0x0020000E

# items of these name a study, a procedure step, a patient or a visit, not an instance
NOT_INSTANCES: Final = frozenset(
    (
        0x00081110,  # ReferencedStudySequence
        0x00081111,  # ReferencedPerformedProcedureStepSequence
        0x00081120,  # ReferencedPatientSequence
        0x00081125,  # ReferencedVisitSequence
        0x30060012,  # RTReferencedStudySequence: its items' own UID; series lie below them
    )
)
MANAGEMENT_CLASSES: Final = "1.2.840.10008.3.1.2."  # detached patient, visit, study, step


def find_references(encoded: bytes, elements: Elements) -> tuple[Reference, ...]:
    """Every instance referred to, once, in the order met; its series where any mention names it.

    Covers ReferencedSeriesSequence, source images of every functional group, RTSTRUCT contour
    images and RT referenced series, SR content, evidence and predecessors. A reference whose UID
    is malformed names nothing that could be kept, and is left out.
    """
    found: dict[str, Reference] = {}
    _walk(encoded, elements, None, found)
    return tuple(found.values())


def find_series(elements: Elements, encoded: bytes) -> tuple[str, ...]:
    """SeriesInstanceUIDs that sequences name, whether or not they name instances too."""
    found: dict[str, None] = {}
    for element in elements.values():
        for item in element.items or ():
            stated = plain_uid(encoded, item.get(SERIES_INSTANCE))
            if is_uid(stated):
                found[stated] = None
            found.update(dict.fromkeys(find_series(item, encoded)))
    return tuple(found)


def _walk(
    encoded: bytes, elements: Elements, series: str | None, found: dict[str, Reference]
) -> None:
    for tag, element in elements.items():
        for item in element.items or ():
            stated = plain_uid(encoded, item.get(SERIES_INSTANCE))
            inside = stated if is_uid(stated) else series
            if tag not in NOT_INSTANCES:
                _take(encoded, item, inside, found)
            _walk(encoded, item, inside, found)


def _take(encoded: bytes, item: Elements, series: str | None, found: dict[str, Reference]) -> None:
    element = item.get(REFERENCED_INSTANCE)
    if element is None:
        return
    instance = plain_uid(encoded, element)
    sop_class = plain_uid(encoded, item.get(REFERENCED_CLASS))
    if not is_uid(instance) or sop_class.startswith(MANAGEMENT_CLASSES):
        return
    known = found.get(instance)
    if known is None or (known.series_instance_uid is None and series is not None):
        found[instance] = Reference(sop_class if is_uid(sop_class) else None, instance, series)
