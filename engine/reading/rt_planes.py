"""The area contours of one ROI in the index space of the PET, plane by plane."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.geometry import Grid
from engine.reading.content import Unusable
from engine.reading.planes import SAME_PLANE_MM, distinct_positions, pitch_of
from engine.reading.rt_rois import Roi, points_lps_mm

Float = npt.NDArray[np.float64]

AREAS = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
DECIMALS = 6  # of a voxel: beyond lies the noise of the transformation
LARGEST_TILT = 0.5  # of the PET's slice spacing, which a contour may leave its plane by
SMALLEST_GAP_MM = 0.5  # no images of a person lie nearer: one plane was drawn on twice


@dataclass(frozen=True, slots=True, eq=False)
class RoiPlanes:
    """Closed polygons [n, (i, j)] of each drawn plane, planes ascending along k."""

    planes_mm: Float
    polygons: tuple[tuple[Float, ...], ...]
    thickness_mm: float | None  # Contour Slab Thickness (3006,0044)
    flags: tuple[str, ...]


def planes_of(roi: Roi, pet: Grid) -> RoiPlanes:
    """Raises Unusable for an ROI that encloses nothing, or not in planes parallel to the PET's."""
    areas = [contour for contour in roi.contours if contour.geometric_type in AREAS]
    points = [each for each in points_lps_mm(areas) if len(each) > 2]
    if not points:
        if any(len(each) for each in points_lps_mm(roi.contours)):
            raise Unusable("its contours are points or lines, not areas", code="not-an-area")
        raise Unusable("it has no contour", code="empty-segment")
    kji = [np.round(pet.to_kji(each), DECIMALS) for each in points]
    if max(float(np.ptp(each[:, 0])) for each in kji) > LARGEST_TILT:
        raise Unusable(
            "its contours are not parallel to the PET's slices", code="contour-not-parallel"
        )
    middles = np.array([(each[:, 0].min() + each[:, 0].max()) / 2 for each in kji])
    planes, plane_at = distinct_positions(middles * pet.spacing_mm[0])
    polygons: list[dict[bytes, Float]] = [{} for _ in planes]
    for plane, each in zip(plane_at.tolist(), kji, strict=True):
        polygon = np.ascontiguousarray(each[:, :0:-1])
        polygons[plane][polygon.tobytes()] = polygon  # drawn twice, even-odd would erase it
    flags = []
    if len(points) < len(roi.contours):
        flags.append("other-contours-ignored")
    if sum(map(len, polygons)) < len(points):
        flags.append("duplicate-contour")
    stated = [each.slab_thickness_mm for each in areas if each.slab_thickness_mm]
    return RoiPlanes(
        planes, tuple(tuple(each.values()) for each in polygons), min(stated, default=None),
        tuple(flags),
    )  # fmt: skip


def smallest_gap_mm(every_roi: Sequence[RoiPlanes]) -> float | None:
    """The smallest distance of two planes of one ROI in the whole structure set, from 0.5 mm on."""
    gaps = np.concatenate([np.empty(0), *(np.diff(roi.planes_mm) for roi in every_roi)])
    return min(gaps[gaps >= SMALLEST_GAP_MM].tolist(), default=None)


def drawn_pitch_mm(roi: RoiPlanes, gap_of_the_set_mm: float | None, pet: Grid) -> float:
    """The spacing that the ROI was drawn on.

    What its own planes and thickness tell. Where they are two planes alone, the smallest gap of
    the structure set that theirs is a multiple of (planes were left out); for a single plane that
    gap, else the PET's slice spacing.
    """
    own = pitch_of(roi.planes_mm, None, roi.thickness_mm)
    if own is None:
        return gap_of_the_set_mm or pet.spacing_mm[0]
    if gap_of_the_set_mm is not None and len(roi.planes_mm) == 2 and roi.thickness_mm is None:
        steps = round(own / gap_of_the_set_mm)
        if steps > 1 and abs(own - steps * gap_of_the_set_mm) <= SAME_PLANE_MM:
            return gap_of_the_set_mm
    return own
