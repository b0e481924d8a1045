"""Drawn planes onto the PET grid: by where each lies in space, never by its number."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.geometry import Grid
from engine.reading.content import Unusable
from engine.volume import unmarked

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

# Directions this close to the PET's axes move no voxel: error over the whole grid, in pixels.
NEGLIGIBLE_PIXELS = 0.01
# Positions are written with few decimals; beyond the fourth of a pixel lies noise.
DECIMALS = 4


@dataclass(frozen=True, slots=True, eq=False)
class DrawnPlane:
    """The marked part of one frame.

    `grid_affine` maps (plane, row, column, 1) of the whole frame to LPS mm, with the plane's own
    centre at plane index 0; the slab [lower, upper) is in the same index.
    """

    pixels: Bool  # cropped, [row, column]
    first_row: int
    first_column: int
    grid_affine: Float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A segment on the PET grid, and what it was where it was drawn."""

    voxels: Bool  # [k, j, i] of the PET
    drawn_volume_cm3: float
    drawn_centroid_lps_mm: tuple[float, float, float]
    touched_voxels: int  # of the array, marked or not: what it costs in memory
    flags: tuple[str, ...]


def place(planes: Sequence[DrawnPlane], pet: Grid) -> Placed:
    """Mark each PET voxel whose centre lies in a marked pixel (nearest neighbour).

    Raises Unusable with code `outside-pet` when no drawn pixel lies in the PET.
    """
    voxels = unmarked(pet.shape)
    marked, touched = np.sum([_mark(voxels, plane, pet) for plane in planes], axis=0).tolist()
    volumes_cm3 = np.array([_pixel_volume_cm3(plane) * plane.pixels.sum() for plane in planes])
    centres = np.array([_centre_lps_mm(plane) for plane in planes])
    outside = [_count_outside(plane, pet) for plane in planes]
    if not marked and sum(outside) == sum(int(plane.pixels.sum()) for plane in planes):
        raise Unusable("it lies wholly outside the PET", code="outside-pet")
    flags = ["partly-outside-pet"] if any(outside) else []
    if not marked:
        flags.append("below-pet-resolution")
    x, y, z = np.average(centres, axis=0, weights=volumes_cm3).tolist()
    return Placed(voxels, float(volumes_cm3.sum()), (x, y, z), touched, tuple(flags))


def _mark(voxels: Bool, plane: DrawnPlane, pet: Grid) -> tuple[int, int]:
    """How many voxels the plane marked, and how many of the array it touched."""
    into_frame = np.linalg.inv(plane.grid_affine) @ pet.affine
    axes = _parallel_axes(into_frame[:3, :3], pet.shape)
    if axes is None:
        return _mark_oblique(voxels, plane, into_frame)
    return _mark_parallel(voxels, plane, into_frame, axes)


def _parallel_axes(linear: Float, shape: tuple[int, int, int]) -> tuple[int, int, int] | None:
    """Which PET axis each of (plane, row, column) runs along; None for oblique planes."""
    along = np.abs(linear).argmax(axis=1)
    if set(along.tolist()) != {0, 1, 2}:
        return None
    rest = linear.copy()
    rest[np.arange(3), along] = 0
    if (np.abs(rest) @ np.array(shape)).max() > NEGLIGIBLE_PIXELS:
        return None
    plane, row, column = along.tolist()
    return plane, row, column


def _mark_parallel(
    voxels: Bool, plane: DrawnPlane, into_frame: Float, axes: tuple[int, int, int]
) -> tuple[int, int]:
    middle = (np.array(voxels.shape) - 1) / 2
    offsets = into_frame[:3, :3] @ middle + into_frame[:3, 3]
    coordinates = [
        offset + into_frame[frame_axis, axis] * (np.arange(voxels.shape[axis]) - middle[axis])
        for frame_axis, (axis, offset) in enumerate(zip(axes, offsets, strict=True))
    ]
    in_slab = np.flatnonzero((coordinates[0] >= plane.lower) & (coordinates[0] < plane.upper))
    rows, from_rows = _nearest(coordinates[1], plane.first_row, plane.pixels.shape[0])
    columns, from_columns = _nearest(coordinates[2], plane.first_column, plane.pixels.shape[1])
    touched = len(in_slab) * len(rows) * len(columns)
    if not touched:
        return 0, 0
    pixels = plane.pixels[np.ix_(from_rows, from_columns)]
    voxels.transpose(axes)[np.ix_(in_slab, rows, columns)] |= pixels
    return len(in_slab) * int(pixels.sum()), touched


def _nearest(
    coordinate: Float, first: int, length: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The PET indices that fall on the cropped pixels, and the pixel each of them takes."""
    nearest = np.floor(np.round(coordinate, DECIMALS) + 0.5).astype(np.intp) - first
    hit = np.flatnonzero((nearest >= 0) & (nearest < length))
    return hit, nearest[hit]


def _mark_oblique(voxels: Bool, plane: DrawnPlane, into_frame: Float) -> tuple[int, int]:
    rows, columns = plane.pixels.shape
    corners = np.array(
        [
            (depth, plane.first_row + row, plane.first_column + column, 1.0)
            for depth in (plane.lower, plane.upper)
            for row in (-0.5, rows - 0.5)
            for column in (-0.5, columns - 0.5)
        ]
    )
    box = corners @ np.linalg.inv(into_frame).T[:, :3]
    first = np.clip(np.floor(box.min(axis=0)), 0, voxels.shape).astype(int)
    end = np.clip(np.ceil(box.max(axis=0)) + 1, 0, voxels.shape).astype(int)
    if np.any(end <= first):
        return 0, 0
    index = np.stack(np.meshgrid(*map(np.arange, first, end), indexing="ij"), axis=-1)
    depth, row, column = np.moveaxis(index @ into_frame[:3, :3].T + into_frame[:3, 3], -1, 0)
    row = np.floor(np.round(row, DECIMALS) + 0.5).astype(np.intp) - plane.first_row
    column = np.floor(np.round(column, DECIMALS) + 0.5).astype(np.intp) - plane.first_column
    hit = (depth >= plane.lower) & (depth < plane.upper)
    hit &= (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    hit[hit] = plane.pixels[row[hit], column[hit]]
    voxels[tuple(map(slice, first, end))] |= hit
    return int(hit.sum()), int(hit.size)


def _pixel_volume_cm3(plane: DrawnPlane) -> float:
    one_pitch = abs(float(np.linalg.det(plane.grid_affine[:3, :3]))) / 1000
    return one_pitch * (plane.upper - plane.lower)


def _centre_lps_mm(plane: DrawnPlane) -> Float:
    by_row, by_column = plane.pixels.sum(axis=1), plane.pixels.sum(axis=0)
    row = np.average(np.arange(len(by_row)), weights=by_row) + plane.first_row
    column = np.average(np.arange(len(by_column)), weights=by_column) + plane.first_column
    return np.asarray((plane.grid_affine @ (0.0, row, column, 1.0))[:3])


def _count_outside(plane: DrawnPlane, pet: Grid) -> int:
    """How many marked pixels have their centre outside every voxel of the PET."""
    rows, columns = plane.pixels.shape
    corners = np.array([(r, c) for r in (0, rows - 1) for c in (0, columns - 1)])
    if not _outside(corners, plane, pet).any():
        return 0
    return int(_outside(np.argwhere(plane.pixels), plane, pet).sum())


def _outside(pixels: npt.NDArray[np.intp], plane: DrawnPlane, pet: Grid) -> Bool:
    affine = plane.grid_affine
    first = np.array((plane.first_row, plane.first_column))
    lps_mm = (pixels + first) @ affine[:3, 1:3].T + affine[:3, 3]
    kji = np.round(pet.to_kji(lps_mm), DECIMALS)
    return np.asarray(((kji < -0.5) | (kji >= np.array(pet.shape) - 0.5)).any(axis=1))
