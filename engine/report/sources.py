"""What a report was made from: the headers and references of its PET, CT and mask object."""

from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, config, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import RTStructureSetStorage, SegmentationStorage

from engine.case import Case
from engine.errors import Unreadable
from engine.finding import Finding, Report
from engine.lesion import Segment
from engine.report.style import ReportStyle, derived_uid, seg_uid
from engine.volume import Volume

# what pydicom warns of while reading would print the value, which may be a patient's
config.settings.reading_validation_mode = config.IGNORE


@dataclass(frozen=True, slots=True)
class ReferencedSeries:
    """Instances of one series: (SOP class, SOP instance) pairs in order."""

    study_instance_uid: str
    series_instance_uid: str
    instances: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """Everything that our documents refer to.

    `segmentation` is the (class, instance) that segments are referenced in: the mask object, or
    the SEG made from it when it is an RTSTRUCT. `evidence` lists images first, masks after them.
    """

    pet_header: Dataset
    mask_header: Dataset
    segmentation: tuple[str, str]
    segment_source_series_uid: str
    evidence: tuple[ReferencedSeries, ...]

    @property
    def study_instance_uid(self) -> str:
        return str(self.pet_header.StudyInstanceUID)


def read_sources(report: Report, case: Case, style: ReportStyle) -> Sources:
    """The references of a report, from one header of each series. Raises Unreadable."""
    pet_header, mask_header = read_header(case.pet[0]), read_header(case.mask)
    study, scan = str(pet_header.StudyInstanceUID), report.scan
    evidence = [_referenced(scan.pet, study)]
    if scan.ct is not None and case.ct:
        evidence.append(_referenced(scan.ct, str(read_header(case.ct[0]).StudyInstanceUID)))
    mask = (str(mask_header.SOPClassUID), str(mask_header.SOPInstanceUID))
    segmentation = mask
    if is_rtstruct(mask_header):
        segmentation = (SegmentationStorage, seg_uid(style))
        series = derived_uid(style.seed, "seg-series")
        evidence.append(ReferencedSeries(study, series, (segmentation,)))
    evidence.append(
        ReferencedSeries(
            str(mask_header.StudyInstanceUID), str(mask_header.SeriesInstanceUID), (mask,)
        )
    )
    return Sources(
        pet_header=pet_header,
        mask_header=mask_header,
        segmentation=segmentation,
        segment_source_series_uid=_source_series(mask_header, scan.pet.series_instance_uid),
        evidence=tuple(evidence),
    )


def read_header(path: Path) -> Dataset:
    """A dataset without its pixels. Raises Unreadable."""
    try:
        return dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, OSError, ValueError, KeyError, AttributeError, TypeError) as exc:
        raise Unreadable("The header of a source object cannot be read: send it again") from exc


def is_rtstruct(mask_header: Dataset) -> bool:
    return str(mask_header.SOPClassUID) == RTStructureSetStorage


def tracking_uid(segment: Segment) -> str:
    """The segment's own tracking UID, or one that is the same in every report on its mask."""
    if segment.tracking_uid is not None:
        return segment.tracking_uid
    return derived_uid(segment.source_instance_uid, f"tracking/{segment.number}")


def has_voxels_to_show(segment: Segment) -> bool:
    """Whether the referenced SEG holds a voxel of the segment, so that it gets a group.

    An ROI that vanishes on the PET grid has no voxel in the SEG made from it; a segment of a SEG
    that vanishes on the PET grid still has those of its own grid.
    """
    return segment.source_class_uid != RTStructureSetStorage or bool(segment.mask.voxels.any())


def grouped(report: Report) -> tuple[Finding, ...]:
    """The findings that get a measurement group."""
    return tuple(one for one in report.findings if has_voxels_to_show(one.lesion.segment))


def segment_numbers(findings: tuple[Finding, ...], mask_header: Dataset) -> dict[int, int]:
    """Segment or ROI number -> number of the referenced segment.

    Segments of a SEG are numbered from 1 without gaps (PS3.3 C.8.20.4), ROIs are not.
    """
    numbers = [finding.lesion.segment.number for finding in findings]
    if is_rtstruct(mask_header):
        return {number: position for position, number in enumerate(numbers, start=1)}
    return {number: number for number in numbers}


def _referenced(volume: Volume, study_instance_uid: str) -> ReferencedSeries:
    instances = dict.fromkeys(
        (image.sop_class_uid, image.sop_instance_uid) for image in volume.slices
    )
    return ReferencedSeries(study_instance_uid, volume.series_instance_uid, tuple(instances))


def _source_series(mask_header: Dataset, pet_series_uid: str) -> str:
    """The series a SEG says it was drawn on; the PET's where it says so, or says nothing."""
    stated = [
        str(item.SeriesInstanceUID)
        for item in mask_header.get("ReferencedSeriesSequence", None) or []
        if item.get("SeriesInstanceUID")
    ]
    return stated[0] if stated and pet_series_uid not in stated else pet_series_uid
