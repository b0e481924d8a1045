"""Scans in memory for the model's tests: a made whole body, and any scan stored another way."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.acquisition import PetAcquisition, SuvConversion
from engine.geometry import Grid
from engine.volume import Mask, Scan, Volume

# how an axial LPS scan (i to the left, j to the back, k to the head) is stored otherwise:
# the old axis that each new axis runs along, and which new axes run against it
STORAGES: dict[str, tuple[tuple[int, int, int], tuple[int, ...]]] = {
    "LPS": ((0, 1, 2), ()),
    "RAS": ((0, 1, 2), (1, 2)),
    "LAS": ((0, 1, 2), (1,)),
    "LPI": ((0, 1, 2), (0,)),  # the last slice nearest to the head comes first
    "sagittal": ((2, 0, 1), (1,)),
}


def axial(
    shape: tuple[int, int, int],
    spacing_kji_mm: tuple[float, float, float],
    first_lps_mm: tuple[float, float, float] = (0, 0, 0),
) -> Grid:
    """k to the head, j to the back, i to the left."""
    affine = np.eye(4)
    affine[:3, :3] = np.fliplr(np.diag(spacing_kji_mm[::-1]))
    affine[:3, 3] = first_lps_mm
    return Grid(shape, affine)


def centred(shape: tuple[int, int, int], spacing_kji_mm: tuple[float, float, float]) -> Grid:
    """The same with x = y = 0 in the middle, and z = 0 at the feet."""
    x, y = (-spacing_kji_mm[axis] * (shape[axis] - 1) / 2 for axis in (2, 1))
    return axial(shape, spacing_kji_mm, (x, y, 0.0))


def volume(values: npt.ArrayLike, grid: Grid, unit: str = "g/ml") -> Volume:
    return Volume(np.asarray(values, np.float32), grid, unit, (), "1.2")


def scan(pet: Volume, ct: Volume | None = None) -> Scan:
    nothing: Any = dict.fromkeys(PetAcquisition.__dataclass_fields__)
    suv = SuvConversion(np.ones(len(pet.values)), "bw", "stated")
    return Scan(pet, ct, PetAcquisition(**nothing), suv)


def stored(values: npt.NDArray[Any], grid: Grid, storage: str) -> tuple[npt.NDArray[Any], Grid]:
    """The same values at the same places, in another order of storage."""
    order, against = STORAGES[storage]
    values, affine = values.transpose(order), grid.affine[:, [*order, 3]].copy()
    for axis in against:
        affine[:, 3] += affine[:, axis] * (values.shape[axis] - 1)
        affine[:, axis] *= -1
    shape = (values.shape[0], values.shape[1], values.shape[2])
    flipped = values[tuple(slice(None, None, -1 if a in against else 1) for a in range(3))]
    return np.ascontiguousarray(flipped), Grid(shape, affine, grid.frame_of_reference_uid)


def stored_scan(one: Scan, storage: str) -> Scan:
    def turned(part: Volume) -> Volume:
        values, grid = stored(part.values, part.grid, storage)
        return replace(part, values=values, grid=grid)

    return replace(one, pet=turned(one.pet), ct=None if one.ct is None else turned(one.ct))


def stored_mask(mask: Mask, storage: str) -> Mask:
    return Mask(*stored(mask.voxels, mask.grid, storage))


def positions(grid: Grid) -> tuple[npt.NDArray[np.float64], ...]:
    """x, y, z in LPS mm of every voxel, each broadcastable to [k, j, i]."""
    k, j, i = np.ogrid[tuple(slice(0, n) for n in grid.shape)]
    x, y, z = (
        start + sum(step * index for step, index in zip(steps, (k, j, i), strict=True) if step)
        for *steps, start in grid.affine[:3].tolist()
    )
    return x, y, z


def body_suv(grid: Grid, height_mm: float) -> npt.NDArray[np.float64]:
    """A trunk with a hot head at the top, a hotter left side and texture; nothing outside."""
    x, y, z = positions(grid)
    trunk = (x / 190) ** 2 + (y / 120) ** 2 < 1
    texture = 1 + 0.3 * np.sin(x / 17) * np.cos(y / 23) * np.sin(z / 31)
    suv = np.where(trunk, 1.2 * texture + 0.004 * (x + 190), 0.0)
    head = (x / 70) ** 2 + (y / 90) ** 2 + ((z - (height_mm - 110)) / 100) ** 2 < 1
    return np.where(z > height_mm - 10, 0.0, np.where(head, 9.0 * texture, suv))


def body_hu(grid: Grid, height_mm: float, feet_lps_mm=(0, 0, 0)) -> npt.NDArray[np.float64]:
    """Air, soft tissue with texture, two lungs and a spine; defined everywhere."""
    x, y, z = (axis - at for axis, at in zip(positions(grid), feet_lps_mm, strict=True))
    hu = np.where((x / 200) ** 2 + (y / 130) ** 2 < 1, 40 + 60 * np.sin(x / 11 + z / 19), -1000)
    for side in (-1, 1):
        lung = ((x - 90 * side) / 60) ** 2 + (y / 80) ** 2 + ((z - 0.6 * height_mm) / 120) ** 2 < 1
        hu = np.where(lung, -850 + 0.2 * z, hu)
    return np.where((x / 25) ** 2 + ((y - 70) / 25) ** 2 < 1, 700.0, hu)


def ellipsoid(grid: Grid, centre_lps_mm, radii_mm) -> Mask:
    squares = [
        ((axis - c) / r) ** 2
        for axis, c, r in zip(positions(grid), centre_lps_mm, radii_mm, strict=True)
    ]
    return Mask(squares[0] + squares[1] + squares[2] <= 1, grid)


def whole_body() -> Scan:
    """620 mm from the feet to the crown, wider than the 200 points of the network's plane."""
    pet_grid = centred((190, 152, 152), (3.27, 4.07283, 4.07283))
    ct_grid = centred((120, 256, 256), (5.0, 1.9531, 1.9531))
    return scan(
        volume(body_suv(pet_grid, 618.0), pet_grid),
        volume(body_hu(ct_grid, 618.0), ct_grid, "HU"),
    )


def warm(shape, spacing=(3.0, 3.0, 3.0), suv=1.0) -> Scan:
    """An even PET that nothing is hot in, and a CT of water on the same grid."""
    grid = axial(shape, spacing)
    return scan(volume(np.full(shape, suv), grid), volume(np.zeros(shape), grid, "HU"))


def mask(one: Scan, *box) -> Mask:
    voxels = np.zeros(one.pet.grid.shape, np.bool_)
    voxels[box] = True
    return Mask(voxels, one.pet.grid)
