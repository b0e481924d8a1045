"""The 3 mm lattice on which PETAR sees a PET."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from engine.geometry import Float, Grid
from engine.petar.config import Profile
from engine.petar.sampling import ON_CENTRE, Shape

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
Kept = tuple[range, range, range]
Points = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """Points along the patient's own axes, in the box that the kept voxels of a PET span.

    Its index is (z, y, x): z from head to feet, y from front to back, x from the patient's left to
    right. `to_kji` maps the homogeneous (z, y, x, 1) to a fractional [k, j, i] of the PET.
    """

    shape: Shape
    to_kji: Float
    pet: Grid
    kept: Kept  # the PET's slices, rows and columns that take part


def towards_ras(grid: Grid) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """For right, front and head: the index axis (0 k, 1 j, 2 i) nearest to it, and its sign."""
    ras = (LPS_TO_RAS @ grid.affine)[:3, :3] / np.array(grid.spacing_mm)
    axes, free = [0, 0, 0], [0, 1, 2]
    for world in np.argsort(-np.abs(ras).max(axis=1)):
        axes[world] = max(free, key=lambda axis: abs(ras[world, axis]))
        free.remove(axes[world])
    x, y, z = (1 if ras[world, axis] > 0 else -1 for world, axis in enumerate(axes))
    return (axes[0], axes[1], axes[2]), (x, y, z)


def in_ras(values: npt.NDArray[np.float32], grid: Grid) -> npt.NDArray[np.float32]:
    """A view of [k, j, i] values as [x, y, z] whose indices grow to right, front and head."""
    axes, signs = towards_ras(grid)
    return values.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)]


def lattice_of(grid: Grid, kept: Kept, profile: Profile) -> Lattice:
    """The lattice of a PET, cropped to the profile's planes.

    Along each RAS axis it begins at the lowest voxel centre and has ceil(extent / 3 mm) + 1 points.
    """
    corners = np.array(list(product(*((voxels[0], voxels[-1]) for voxels in kept))))
    ras = grid.to_lps_mm(corners) * (-1.0, -1.0, 1.0)
    step = profile.spacing_mm
    points = np.ceil(np.ptp(ras, axis=0) / step - ON_CENTRE).astype(int) + 1
    shape = np.minimum(points, (profile.plane, profile.plane, profile.slices))
    first = (points - shape) // (2, 2, 1)  # the middle of the plane, the top of the length
    low = ras.min(axis=0) + step * first
    high = low + step * (shape - 1)
    to_ras = np.array(
        [[0, 0, step, low[0]], [0, -step, 0, high[1]], [-step, 0, 0, high[2]], [0, 0, 0, 1]]
    )
    to_kji = np.linalg.inv(grid.affine) @ LPS_TO_RAS @ to_ras
    return Lattice((int(shape[2]), int(shape[1]), int(shape[0])), to_kji, grid, kept)


def nearest_points(lattice: Lattice, marked: Points) -> Points:
    """(n, 3) lattice indices whose nearest kept PET voxel is one of `marked` (m, 3) [k, j, i].

    Ties go to the right, to the front and to the head. The points may lie beyond the lattice's
    shape, where the profile's crop has cut.
    """
    low, high = marked.min(axis=0), marked.max(axis=0)
    drawn = np.zeros(high - low + 1, np.bool_)
    drawn[tuple((marked - low).T)] = True
    first, shape = _around(lattice, low, high)
    z, y, x = np.ogrid[tuple(slice(lo, lo + n) for lo, n in zip(first, shape, strict=True))]
    axes, signs = towards_ras(lattice.pet)
    exists = np.ones(shape, np.bool_)
    voxels = []
    for axis, (by_z, by_y, by_x, start) in enumerate(lattice.to_kji[:3]):
        position = start + by_z * z + by_y * y + by_x * x
        kept, sign = lattice.kept[axis], signs[axes.index(axis)]
        nearest = sign * np.floor(sign * position + 0.5 + ON_CENTRE).astype(np.int64)
        exists &= (position >= kept[0] - ON_CENTRE) & (position <= kept[-1] + ON_CENTRE)
        exists &= (nearest >= low[axis]) & (nearest <= high[axis])
        voxels.append(nearest - low[axis])
    exists[exists] = drawn[tuple(voxel[exists] for voxel in voxels)]
    return np.argwhere(exists) + first


def _around(lattice: Lattice, low: Points, high: Points) -> tuple[Points, Points]:
    """The first index and the size of a box of the lattice that holds these PET voxels."""
    corners = np.array(list(product(*zip(low - 1.0, high + 1.0, strict=True))))
    inverse = np.linalg.inv(lattice.to_kji)
    there = corners @ inverse[:3, :3].T + inverse[:3, 3]
    first = np.floor(there.min(axis=0)).astype(np.int64)
    return first, np.ceil(there.max(axis=0)).astype(np.int64) - first + 1
