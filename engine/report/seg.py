"""build_seg: the ROIs of an RTSTRUCT as a SEG on the PET grid, exactly the voxels measured."""

from collections.abc import Sequence
from math import prod
from pathlib import Path

import highdicom as hd
import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.valuerep import DS

from engine import codes
from engine.case import Case
from engine.errors import EmptySegment, UnusableCase
from engine.finding import Report
from engine.lesion import Segment
from engine.report import modules
from engine.report.groups import finding_code, tracking_identifier
from engine.report.sources import Sources, grouped, read_header, read_sources, tracking_uid
from engine.report.style import MANUFACTURER, ReportStyle, derived_uid, seg_uid
from engine.volume import Volume, unmarked

ALGORITHM = "pacsnode RTSTRUCT contours to PET voxels"
MAX_PIXELS = 2**33


def build_seg(report: Report, case: Case, style: ReportStyle) -> Dataset:
    """A binary SEG with one segment a measured ROI, which the SR then refers to.

    Raises Unreadable, EmptySegment where no ROI holds a voxel, and UnusableCase where the PET's
    headers do not carry a SEG.
    """
    sources = read_sources(report, case, style)
    segments = [finding.lesion.segment for finding in grouped(report)]
    if not segments:
        raise EmptySegment("A SEG needs a segment with a voxel")
    try:
        seg = _segmentation(report.scan.pet, case, segments, style)
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        told = f"The ROIs cannot be written as a SEG on this PET ({type(exc).__name__})"
        raise UnusableCase(told, code="seg-not-writable") from exc
    _settle(seg, report, sources, style)
    return seg


def _segmentation(
    pet: Volume, case: Case, segments: Sequence[Segment], style: ReportStyle
) -> Dataset:
    images, pixels = _frames(pet, case, segments)
    seg: Dataset = hd.seg.Segmentation(
        source_images=images,
        pixel_array=pixels,
        segmentation_type="BINARY",
        segment_descriptions=[
            _description(number, segment, style) for number, segment in enumerate(segments, start=1)
        ],
        series_instance_uid=derived_uid(style.seed, "seg-series"),
        series_number=style.series_number + 1,
        sop_instance_uid=seg_uid(style),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=style.software_version,
        device_serial_number=style.device_serial_number,
        content_label="RTSTRUCT_ROIS",
        content_description="RTSTRUCT ROIs as voxels of the PET",
        series_description="RTSTRUCT ROIs as measured on PET",
        specific_character_set="ISO_IR 192",  # highdicom refuses the PET's where value 1 is empty
    )
    return seg


def _settle(seg: Dataset, report: Report, sources: Sources, style: ReportStyle) -> None:
    """What is the same in all our documents, and nothing that differs from run to run."""
    modules.copy_patient_and_study(sources.pet_header, seg)
    modules.set_content_time(seg, report.completed_at)
    modules.set_contributing_equipment(seg, report, style)
    seg.CodingSchemeIdentificationSequence = modules.coding_scheme()
    for keyword in ("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime"):
        if keyword in seg:
            del seg[keyword]
    dimensions = derived_uid(style.seed, "seg-dimensions")
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions
    _refer_to_rtstruct(seg, sources)


def _refer_to_rtstruct(seg: Dataset, sources: Sources) -> None:
    """Common Instance Reference (PS3.3 C.12.2): the RTSTRUCT beside the PET."""
    rtstruct = sources.evidence[-1]
    item = Dataset()
    item.SeriesInstanceUID = rtstruct.series_instance_uid
    item.ReferencedInstanceSequence = [
        modules.sop_reference(*instance) for instance in rtstruct.instances
    ]
    if rtstruct.study_instance_uid == sources.study_instance_uid:
        seg.ReferencedSeriesSequence.append(item)
        return
    study = Dataset()
    study.StudyInstanceUID = rtstruct.study_instance_uid
    study.ReferencedSeriesSequence = [item]
    seg.StudiesContainingOtherReferencedInstancesSequence = [study]


def _description(number: int, segment: Segment, style: ReportStyle) -> hd.seg.SegmentDescription:
    is_lesion = segment.role == "lesion"
    own = codes.MORPHOLOGICALLY_ALTERED_STRUCTURE if is_lesion else codes.SPATIAL_CONCEPT
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.label.strip()[:64] or f"ROI {segment.number}",
        segmented_property_category=segment.property_category or own,
        segmented_property_type=finding_code(segment),
        algorithm_type="SEMIAUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=ALGORITHM,
            family=codes.CONTOUR_PROCESSING,
            version=style.software_version,
        ),
        tracking_uid=tracking_uid(segment),
        tracking_id=tracking_identifier(segment, style),
        anatomic_regions=[segment.anatomic_region] if segment.anatomic_region else None,
    )


def _nameless_header(path: Path, spacing_mm: float) -> Dataset:
    """A PET header without its patient, whose name highdicom's warnings would print.

    `spacing_mm` of the slices is its Slice Thickness (type 2) where it states none.
    """
    header = read_header(path)
    for element in header.group_dataset(0x0010):
        del header[element.tag]
    for keyword in modules.REQUIRED:
        setattr(header, keyword, None)
    if not header.get("SliceThickness"):
        header.SliceThickness = DS(spacing_mm, auto_format=True)
    return header


def _frames(
    pet: Volume, case: Case, segments: Sequence[Segment]
) -> tuple[list[Dataset], npt.NDArray[np.bool_]]:
    """The PET headers that hold a voxel of any segment, and the voxels, [frame, row, column, s]."""
    _refuse_several_multi_frame(pet)
    touched = np.zeros(len(pet.slices), bool)
    for segment in segments:
        touched |= segment.mask.voxels.any(axis=(1, 2))
    nameless = (_nameless_header(path, pet.grid.spacing_mm[0]) for path in case.pet)
    headers = {str(header.SOPInstanceUID): header for header in nameless}
    planes = np.flatnonzero(touched).tolist()
    if pet.slices[0].frame_number is None:
        images = [headers[pet.slices[k].sop_instance_uid] for k in planes]
        positions = list(range(len(planes)))
    else:
        images = [headers[pet.slices[0].sop_instance_uid]]
        positions = [(pet.slices[k].frame_number or 1) - 1 for k in planes]
    count = len(images) if len(images) > 1 else int(images[0].get("NumberOfFrames") or 1)
    return images, _pixels(segments, planes, positions, count)


def _pixels(
    segments: Sequence[Segment], planes: Sequence[int], positions: Sequence[int], count: int
) -> npt.NDArray[np.bool_]:
    """The masks [frame, row, column, s]; in memory s goes first, so that most is never written.

    Raises UnusableCase with the code `seg-too-large` beyond MAX_PIXELS.
    """
    shape = (len(segments), count, *segments[0].mask.voxels.shape[1:])
    if prod(shape) > MAX_PIXELS:
        raise UnusableCase(
            f"{len(segments)} ROIs on {count} PET slices of {shape[2]} x {shape[3]} are more than"
            " one SEG is made of: send them in several RTSTRUCTs",
            code="seg-too-large",
        )
    pixels = unmarked(shape)
    for s, segment in enumerate(segments):
        for position, k in zip(positions, planes, strict=True):
            plane = segment.mask.voxels[k]
            if plane.any():
                pixels[s, position] = plane
    return np.moveaxis(pixels, 0, -1)


def _refuse_several_multi_frame(pet: Volume) -> None:
    """A frame number says which frame only where all are of one file."""
    files = len({image.sop_instance_uid for image in pet.slices})
    if files > 1 and any(image.frame_number is not None for image in pet.slices):
        raise UnusableCase(
            f"The PET lies in {files} multi-frame files, and a SEG of RTSTRUCT contours can be made"
            " on one only: send the PET as one object, or slice by slice",
            code="seg-not-writable",
        )
