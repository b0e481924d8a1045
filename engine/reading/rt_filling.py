"""Contours of one ROI filled on the PET grid: pixel centre, even-odd, each plane a slab."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.geometry import Grid
from engine.reading.content import Unusable
from engine.reading.evenodd import TooManyCrossings, area_and_centroid, filled
from engine.reading.placing import Placed
from engine.reading.planes import plane_at, slabs
from engine.reading.rt_planes import RoiPlanes
from engine.volume import unmarked

Float = npt.NDArray[np.float64]


def fill(roi: RoiPlanes, pitch_mm: float, pet: Grid) -> Placed:
    """Each PET slice takes the contours of the drawn plane in whose slab its centre lies.

    Raises Unusable when the contours enclose nothing, or nothing of the PET.
    """
    lower, upper = slabs(roi.planes_mm, pitch_mm)
    spacing_k, spacing_j, spacing_i = pet.spacing_mm
    plane_of_slice = plane_at(np.arange(pet.shape[0], dtype=np.float64) * spacing_k, lower, upper)
    try:
        voxels, marked, touched = _filled(roi, plane_of_slice, pet)
        areas = np.array([area_and_centroid(polygons) for polygons in roi.polygons])
    except TooManyCrossings as exc:
        raise Unusable("its contours are too entangled", code="contour-too-complex") from exc
    volumes_cm3 = areas[:, 0] * (upper - lower) * spacing_j * spacing_i / 1000
    if not volumes_cm3.sum() > 0:
        raise Unusable("its contours enclose no area", code="empty-segment")
    meets, is_within = _extent(roi, pet)
    if not marked and not meets:
        raise Unusable("it lies wholly outside the PET", code="outside-pet")
    i, j = np.average(areas[:, 1:], axis=0, weights=volumes_cm3)
    k = np.average(roi.planes_mm, weights=volumes_cm3) / spacing_k
    x, y, z = pet.to_lps_mm((k, j, i)).tolist()
    flags = [*roi.flags]
    if not is_within:
        flags.append("partly-outside-pet")
    if not marked:
        flags.append("below-pet-resolution")
    return Placed(voxels, float(volumes_cm3.sum()), (x, y, z), touched, tuple(flags))


def _filled(
    roi: RoiPlanes, plane_of_slice: npt.NDArray[np.intp], pet: Grid
) -> tuple[npt.NDArray[np.bool_], int, int]:
    voxels = unmarked(pet.shape)
    marked = touched = 0
    for plane in np.unique(plane_of_slice[plane_of_slice >= 0]).tolist():
        polygons = roi.polygons[plane]
        first, end = _box(polygons, pet)
        columns, rows = (end - first).tolist()
        if rows <= 0 or columns <= 0:
            continue
        pixels = filled([polygon - first for polygon in polygons], (rows, columns))
        for k in np.flatnonzero(plane_of_slice == plane).tolist():
            voxels[k, first[1] : end[1], first[0] : end[0]] = pixels
            touched += pixels.size
            marked += int(pixels.sum())
    return voxels, marked, touched


def _box(polygons: Sequence[Float], pet: Grid) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """First and end (i, j) of the pixels that the polygons can reach, within the PET."""
    points = np.concatenate(polygons)
    size = (pet.shape[2], pet.shape[1])
    first = np.clip(np.floor(points.min(axis=0)), 0, size).astype(np.intp)
    return first, np.clip(np.ceil(points.max(axis=0)) + 1, 0, size).astype(np.intp)


def _extent(roi: RoiPlanes, pet: Grid) -> tuple[bool, bool]:
    """Whether any contour reaches into the PET, and whether all lie in it."""
    last = np.array((pet.shape[2], pet.shape[1])) - 0.5
    k = roi.planes_mm / pet.spacing_mm[0]
    in_slices = (k >= -0.5) & (k < pet.shape[0] - 0.5)
    low = np.array([np.concatenate(polygons).min(axis=0) for polygons in roi.polygons])
    high = np.array([np.concatenate(polygons).max(axis=0) for polygons in roi.polygons])
    meets = in_slices & (high > -0.5).all(axis=1) & (low < last).all(axis=1)
    is_within = in_slices & (low >= -0.5).all(axis=1) & (high <= last).all(axis=1)
    return bool(meets.any()), bool(is_within.all())
