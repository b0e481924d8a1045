"""The ROIs of an RTSTRUCT as segments on the PET grid."""

from collections import Counter
from collections.abc import Collection

from engine.errors import GridMismatch
from engine.lesion import Role, Segment
from engine.reading.content import Gathering, MaskContent, Unusable
from engine.reading.part10 import Instance
from engine.reading.placing import Placed
from engine.reading.roles import default_role
from engine.reading.rt_filling import fill
from engine.reading.rt_planes import RoiPlanes, drawn_pitch_mm, planes_of, smallest_gap_mm
from engine.reading.rt_rois import Roi, read_rois
from engine.volume import Mask, Volume


def read_rtstruct(
    instance: Instance, pet: Volume, *, lesion_numbers: Collection[int] | None
) -> MaskContent:
    """Every ROI of closed planar contours that are parallel to the PET's slices.

    Raises GridMismatch when no ROI lies in the PET's frame of reference.
    """
    rois = read_rois(instance)
    _require_one_in_the_space(rois, instance, pet)
    gathering = Gathering(f"RTSTRUCT {instance.sop_instance_uid}")
    occurrences = Counter(roi.number for roi in rois)
    drawn: list[tuple[Roi, RoiPlanes]] = []
    for roi in rois:
        with gathering.segment(roi.number, roi.name, _role(roi, lesion_numbers)):
            if occurrences[roi.number] > 1:
                raise Unusable("its ROINumber occurs twice", code="duplicate-number")
            _require_same_space(roi, pet)
            drawn.append((roi, planes_of(roi, pet.grid)))
    gap_mm = smallest_gap_mm([planes for _, planes in drawn])
    for roi, planes in drawn:
        with gathering.segment(roi.number, roi.name, _role(roi, lesion_numbers)):
            placed = fill(planes, drawn_pitch_mm(planes, gap_mm, pet.grid), pet.grid)
            segment = _segment(instance, roi, placed, pet, _role(roi, lesion_numbers))
            gathering.keep(segment, placed.touched_voxels)
    return gathering.content(lesion_numbers)


def _role(roi: Roi, lesion_numbers: Collection[int] | None) -> Role:
    if lesion_numbers is not None:
        return "lesion" if roi.number in lesion_numbers else "context"
    return default_role(
        is_roi=True, property_type=roi.identification, interpreted_type=roi.interpreted_type
    ).role


def _segment(instance: Instance, roi: Roi, placed: Placed, pet: Volume, role: Role) -> Segment:
    return Segment(
        number=roi.number,
        label=roi.name,
        role=role,
        mask=Mask(placed.voxels, pet.grid),
        source_class_uid=instance.sop_class_uid,
        source_instance_uid=instance.sop_instance_uid,
        property_type=roi.identification,
        drawn_volume_cm3=placed.drawn_volume_cm3,
        drawn_centroid_lps_mm=placed.drawn_centroid_lps_mm,
        flags=placed.flags,
    )


def _require_one_in_the_space(rois: tuple[Roi, ...], instance: Instance, pet: Volume) -> None:
    space = pet.grid.frame_of_reference_uid
    if space is None or all(roi.frame_of_reference_uid != space for roi in rois):
        raise GridMismatch(
            f"RTSTRUCT {instance.sop_instance_uid} lies in frame of reference"
            f" {rois[0].frame_of_reference_uid}, the PET in {space}",
            code="frame-of-reference-differs",
        )


def _require_same_space(roi: Roi, pet: Volume) -> None:
    if roi.frame_of_reference_uid != pet.grid.frame_of_reference_uid:
        raise Unusable(
            f"it lies in frame of reference {roi.frame_of_reference_uid}",
            code="frame-of-reference-differs",
        )
