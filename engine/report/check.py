"""problems_of: whether an SR of ours may leave, checked across the objects it refers to."""

from collections.abc import Iterator, Sequence

from pydicom import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from engine import codes
from engine.finding import Report
from engine.report import rows, walk
from engine.report.group_check import group_problems, segment_number
from engine.report.state_check import state_problems
from engine.report.style import has_uid_form, is_uid
from engine.report.value_check import value_problems
from engine.volume import ImageReference

_STATED = {
    "SOPClassUID": Comprehensive3DSRStorage,
    "Modality": "SR",
    "CompletionFlag": "COMPLETE",
    "SpecificCharacterSet": "ISO_IR 192",
    "ValueType": "CONTAINER",
}
_NOT_EMPTY = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "ContentDate",
    "ContentTime",
    "Manufacturer",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "ContributingEquipmentSequence",
)
_PRESENT = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
    "ReferencedPerformedProcedureStepSequence",
    "PerformedProcedureCodeSequence",
)


def problems_of(
    sr: Dataset,
    *,
    mask: Dataset | None,
    images: Sequence[ImageReference],
    report: Report | None = None,
) -> tuple[str, ...]:
    """Every rule that `sr` breaks, in words; empty when it may leave.

    `mask` is the SEG its segments lie in, `images` are the slices of the PET; with `report` the
    stated values must be the measured ones.
    """
    groups = groups_of(sr)
    found = [*_document_problems(sr), *state_problems(sr), *_tree_problems(sr)]
    for position, group in enumerate(groups, start=1):
        found += group_problems(group, f"group {position}")
    found += _order_problems(groups)
    found += _reference_problems(sr, groups, images)
    if mask is not None:
        found += _mask_problems(groups, mask)
    if report is not None:
        found += value_problems(groups, report)
    return tuple(dict.fromkeys(found))


def groups_of(sr: Dataset) -> list[Dataset]:
    """The measurement groups at their place in the tree."""
    return [
        group
        for measurements in walk.named(sr, codes.IMAGING_MEASUREMENTS)
        for group in walk.named(measurements, codes.MEASUREMENT_GROUP)
    ]


def _document_problems(sr: Dataset) -> Iterator[str]:
    for keyword, value in _STATED.items():
        if sr.get(keyword) != value:
            yield f"{keyword} is {sr.get(keyword)!r}, {value!r} expected"
    for keyword in _NOT_EMPTY:
        if not sr.get(keyword):
            yield f"{keyword} is absent or empty"
    for keyword in _PRESENT:
        if keyword not in sr:
            yield f"{keyword} is absent"
    if not codes.same(walk.concept(sr), codes.IMAGING_MEASUREMENT_REPORT):
        yield "The title is not 'Imaging Measurement Report'"
    templates = [
        (item.get("MappingResource"), item.get("TemplateIdentifier"))
        for item in sr.get("ContentTemplateSequence") or []
    ]
    if templates != [("DCMR", "1500")]:
        yield "The template is not stated as DCMR 1500"


def _tree_problems(sr: Dataset) -> Iterator[str]:
    yield from rows.row_problems(sr, rows.ROOT, "document")
    for measurements in walk.named(sr, codes.IMAGING_MEASUREMENTS):
        yield from rows.row_problems(measurements, rows.MEASUREMENTS, "Imaging Measurements")
    for item in (sr, *walk.descendants(sr)):
        if item.get("ValueType") == "CONTAINER" and item.get("ContinuityOfContent") != "SEPARATE":
            yield "A container is not SEPARATE"
        if item.get("ValueType") == "UIDREF" and not _may_be_stated(item):
            yield f"{item.get('UID')!r} is no UID"


def _may_be_stated(uidref: Dataset) -> bool:
    """Ours are UIDs; the series' is repeated as its images state it (ADR 0005)."""
    is_stated = codes.same(walk.concept(uidref), codes.SOURCE_SERIES_FOR_SEGMENTATION)
    return (has_uid_form if is_stated else is_uid)(str(uidref.get("UID", "")))


def _order_problems(groups: Sequence[Dataset]) -> Iterator[str]:
    numbers = [segment_number(group) for group in groups]
    known = [number for number in numbers if number is not None]
    if known != sorted(set(known)):
        yield f"Groups are not one a segment in ascending order: segments {known}"
    trackings = [_tracking_uid(group) for group in groups]
    if len(set(trackings)) != len(trackings):
        yield "Two groups have the same Tracking Unique Identifier"


def _reference_problems(
    sr: Dataset, groups: Sequence[Dataset], images: Sequence[ImageReference]
) -> Iterator[str]:
    kept = set(walk.evidence(sr))
    instances = {(sop_class, instance) for _, sop_class, instance in kept}
    series = {one for one, _, _ in kept}
    if not sr.get("CurrentRequestedProcedureEvidenceSequence"):
        yield "No evidence: CurrentRequestedProcedureEvidenceSequence is absent or empty"
    for reference in walk.referenced(walk.descendants(sr)):
        if _reference(reference) not in instances:
            yield f"Instance {reference.get('ReferencedSOPInstanceUID')} is not in the evidence"
    known = {(image.sop_class_uid, image.sop_instance_uid, image.frame_number) for image in images}
    for item in (item for group in groups for item in walk.descendants(group)):
        if item.get("RelationshipType") == "SELECTED FROM":
            for reference in walk.referenced([item]):
                if (*_reference(reference), reference.get("ReferencedFrameNumber")) not in known:
                    yield "Coordinates lie on an image that is not a slice of the PET"
    missing = {(image.sop_class_uid, image.sop_instance_uid) for image in images} - instances
    if missing:
        yield f"{len(missing)} images that were measured are not in the evidence"
    if "" in series:
        yield "Evidence without a series"


def _mask_problems(groups: Sequence[Dataset], mask: Dataset) -> Iterator[str]:
    segments = {int(item.SegmentNumber): item for item in mask.get("SegmentSequence") or []}
    own = (str(mask.SOPClassUID), str(mask.SOPInstanceUID))
    # one that several segments share, or that is no UID, cannot tell a lesion from another
    trackings = [uid for item in segments.values() if (uid := _valid(item.get("TrackingUID")))]
    for position, group in enumerate(groups, start=1):
        for item in walk.named(group, codes.REFERENCED_SEGMENT):
            if [_reference(reference) for reference in walk.referenced([item])] != [own]:
                yield f"group {position}: refers to another object than SEG {own[1]}"
        number = segment_number(group)
        if number not in segments:
            yield f"group {position}: segment {number} is not in SEG {own[1]}"
            continue
        stated = segments[number].get("TrackingUID")
        if trackings.count(stated) == 1 and str(stated) != _tracking_uid(group):
            yield f"group {position}: Tracking Unique Identifier is not that of segment {number}"


def _reference(item: Dataset) -> tuple[str, str]:
    return str(item.get("ReferencedSOPClassUID")), str(item.get("ReferencedSOPInstanceUID"))


def _valid(uid: object) -> str | None:
    return str(uid) if uid and is_uid(str(uid)) else None


def _tracking_uid(group: Dataset) -> str | None:
    stated = [item.get("UID") for item in walk.named(group, codes.TRACKING_UNIQUE_IDENTIFIER)]
    return str(stated[0]) if stated else None
