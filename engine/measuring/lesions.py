"""The numbers of one segment on the PET's own grid, as docs/reference/measurements.md says."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from engine.acquisition import SuvRefusal
from engine.errors import EmptySegment, GridMismatch
from engine.geometry import Grid
from engine.lesion import Measurements, Segment
from engine.measuring.axes import axes
from engine.measuring.outline import corners, outlines
from engine.measuring.peak import peak
from engine.volume import Scan

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]

BELOW_PET_RESOLUTION = "below-pet-resolution"


def measure(segment: Segment, scan: Scan) -> Measurements:
    """Measure a segment in the PET; with SUV refused its geometry alone.

    Raises GridMismatch when the mask is not on the PET's grid, EmptySegment when it marks nothing.
    """
    if segment.mask.voxels.shape != scan.pet.values.shape:
        raise GridMismatch(
            f"The mask of segment {segment.number} has shape {segment.mask.voxels.shape}, the PET"
            f" {scan.pet.values.shape}"
        )
    box = _marked_box(segment.mask.voxels)
    if box is None:
        return _unmarked(segment, scan)
    lesion_kji = np.argwhere(segment.mask.voxels[box]) + [side.start for side in box]
    values = scan.pet.values[tuple(lesion_kji.T)].astype(np.float64)
    grid = scan.pet.grid
    hottest = _hottest(lesion_kji, values, grid)
    k, j, i = hottest.tolist()
    extent = axes(segment.mask.voxels[box], grid.spacing_mm)
    x, y, z = grid.to_lps_mm(lesion_kji.mean(axis=0)).tolist()
    volume_cm3 = len(lesion_kji) * grid.voxel_volume_cm3
    flags = ("single-voxel",) if len(lesion_kji) == 1 else ()
    geometry = Measurements(
        volume_cm3=volume_cm3,
        long_axis_mm=extent.long_mm,
        short_axis_mm=extent.short_mm,
        centroid_lps_mm=(x, y, z),
        hottest_voxel_kji=(k, j, i),
        hottest_slice=scan.pet.slices[k],
        hottest_slice_contour=_contour(segment.mask.voxels[k], j, i),
        flags=flags,
    )
    if isinstance(scan.suv, SuvRefusal):
        return replace(geometry, suv_refusal=scan.suv.code)
    highest = peak(scan.pet.values, lesion_kji, hottest, grid.spacing_mm)
    mean = float(values.mean())
    return replace(
        geometry,
        suv_max=float(values.max()),
        suv_peak=highest.value,
        suv_mean=mean,
        suv_median=float(np.median(values)),
        suv_sd=float(values.std()),
        total_lesion_glycolysis_g=mean * volume_cm3,
        flags=(*flags, "peak-at-image-edge") if highest.is_at_image_edge else flags,
    )


def _unmarked(segment: Segment, scan: Scan) -> Measurements:
    """A segment finer than the PET: where and how large it was drawn, and no value of the image."""
    drawn_at, volume_cm3 = segment.drawn_centroid_lps_mm, segment.drawn_volume_cm3
    if BELOW_PET_RESOLUTION not in segment.flags or drawn_at is None or volume_cm3 is None:
        raise EmptySegment(f"Segment {segment.number} marks no voxel of the PET")
    last = np.array(scan.pet.values.shape) - 1
    nearest = np.clip(np.rint(scan.pet.grid.to_kji(drawn_at)), 0, last).astype(int)
    k, j, i = nearest.tolist()
    pixels = np.zeros(scan.pet.values.shape[1:], np.bool_)
    pixels[j, i] = True
    return Measurements(
        volume_cm3=volume_cm3,
        suv_refusal=BELOW_PET_RESOLUTION,
        centroid_lps_mm=drawn_at,
        hottest_slice=scan.pet.slices[k],
        hottest_slice_contour=_contour(pixels, j, i),
    )


def _marked_box(voxels: Bool) -> tuple[slice, slice, slice] | None:
    """The smallest box around the mask; None when it is empty."""
    slices = np.flatnonzero(np.any(voxels.reshape(len(voxels), -1), axis=1))
    if not len(slices):
        return None
    k = slice(int(slices[0]), int(slices[-1]) + 1)
    plane: Bool = np.any(voxels[k], axis=0)
    rows, columns = np.flatnonzero(np.any(plane, axis=1)), np.flatnonzero(np.any(plane, axis=0))
    return (
        k,
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )


def _hottest(lesion_kji: Index, values: Float, grid: Grid) -> Index:
    """The voxel of the maximum; of several the most cranial slice's, then lowest row and column.

    `lesion_kji` is in ascending order of k, j, i.
    """
    hottest = lesion_kji[values == values.max()]
    k_rises_to_the_head = grid.affine[2, 0] > 0
    k = hottest[-1, 0] if k_rises_to_the_head else hottest[0, 0]
    return np.asarray(hottest[hottest[:, 0] == k][0])


def _contour(pixels: Bool, row: int, column: int) -> tuple[tuple[float, float], ...]:
    """Outer ring of the part that holds the pixel, as (column, row) with centres at + 0.5."""
    ring = next(corners(part.outer) for part in outlines(pixels) if part.holds(row, column))
    return tuple((x + 0.5, y + 0.5) for x, y in ring.tolist())
