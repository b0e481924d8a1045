"""SUVpeak: the highest mean in a sphere of 1 ml around any voxel of the lesion."""

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
import numpy.typing as npt

from engine.errors import UnusableCase

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]

RADIUS_MM = (3 * 1000 / (4 * np.pi)) ** (1 / 3)
SUBSAMPLES = 20  # along each axis of a voxel
VOXELS_AT_ONCE = 2**16  # fits a processor's cache
ROUNDING = 1e-9
FINEST_MM, COARSEST_MM = 0.2, 100.0


@dataclass(frozen=True, slots=True)
class Peak:
    """The value, and whether the sphere was cut by the border of the image."""

    value: float
    is_at_image_edge: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Sphere:
    offsets: Index  # [n, (k, j, i)]
    weights: Float  # [n], the part of each voxel that lies in the sphere
    reach: tuple[int, int, int]


def peak(
    values: npt.NDArray[np.float32],
    lesion_kji: Index,
    hottest_kji: Index,
    spacing_mm: tuple[float, float, float],
) -> Peak:
    """The highest sphere mean over centres in `lesion_kji` [n, 3]; the sphere may leave the lesion.

    A voxel weighs as much as the part of it inside the sphere. Voxels outside the image are left
    out and the rest weighs more.
    """
    sphere = _sphere(spacing_mm)
    at_hottest, _ = _means(values, hottest_kji, hottest_kji + 1, sphere)
    first, promising = _promising(values, lesion_kji, float(at_hottest[0, 0, 0]), sphere.reach)
    slices, *size = promising.shape
    step = max(1, VOXELS_AT_ONCE // prod(size))
    best = Peak(-np.inf, is_at_image_edge=False)
    for k in range(0, slices, step):
        centres = promising[k : k + step]
        if centres.any():
            start = first + np.array((k, 0, 0))
            means, is_whole = _means(values, start, start + centres.shape, sphere)
            highest = np.unravel_index(np.where(centres, means, -np.inf).argmax(), means.shape)
            if means[highest] > best.value:
                best = Peak(float(means[highest]), not bool(is_whole[highest]))
    return best


def _promising(
    values: npt.NDArray[np.float32], lesion_kji: Index, at_least: float, reach: tuple[int, int, int]
) -> tuple[Index, Bool]:
    """The centres whose sphere can have a mean of `at_least`: those with such a voxel in reach.

    As the first index of a box and the marks within it.
    """
    first = np.maximum(lesion_kji.min(axis=0) - reach, 0)
    end = np.minimum(lesion_kji.max(axis=0) + reach + 1, values.shape)
    near: Bool = values[_box(first, end)] >= at_least - ROUNDING * abs(at_least)
    for axis, steps in enumerate(reach):
        near = _spread(near, axis, steps)
    kji = lesion_kji[near[tuple((lesion_kji - first).T)]]
    lowest = kji.min(axis=0)
    marks = np.zeros(kji.max(axis=0) - lowest + 1, np.bool_)
    marks[tuple((kji - lowest).T)] = True
    return lowest, marks


def _spread(marked: Bool, axis: int, steps: int) -> Bool:
    along = np.moveaxis(marked, axis, 0)
    spread = along.copy()
    for step in range(1, min(steps, len(along) - 1) + 1):
        spread[step:] |= along[:-step]
        spread[:-step] |= along[step:]
    return np.moveaxis(spread, 0, axis)


def _means(
    values: npt.NDArray[np.float32], first: Index, end: Index, sphere: _Sphere
) -> tuple[Float, Bool]:
    """Mean of the sphere around each voxel of a box, and whether all of it was in the image."""
    low, high = first - sphere.reach, end + sphere.reach
    inner_low, inner_high = np.maximum(low, 0), np.minimum(high, values.shape)
    beyond = list(zip(inner_low - low, high - inner_high, strict=True))
    around = np.pad(values[_box(inner_low, inner_high)].astype(np.float64), beyond)
    sums = _weighted(around, sphere, end - first)
    if not np.any(beyond):
        return sums / sphere.weights.sum(), np.ones(sums.shape, np.bool_)
    in_image = np.pad(np.ones(inner_high - inner_low), beyond)
    weights = _weighted(in_image, sphere, end - first)
    is_whole = weights >= sphere.weights.sum() * (1 - ROUNDING)
    return sums / weights, is_whole


def _weighted(around: Float, sphere: _Sphere, size: Index) -> Float:
    total = np.zeros(size)
    for offset, weight in zip(sphere.offsets + sphere.reach, sphere.weights, strict=True):
        total += weight * around[_box(offset, offset + size)]
    return total


def _box(first: Index, end: Index) -> tuple[slice, ...]:
    return tuple(map(slice, first.tolist(), end.tolist()))


@lru_cache(maxsize=16)
def _sphere(spacing_mm: tuple[float, float, float]) -> _Sphere:
    if min(spacing_mm) < FINEST_MM or max(spacing_mm) > COARSEST_MM:
        raise UnusableCase(
            f"A PET with voxels of {spacing_mm} mm has no peak of 1 ml", code="implausible-spacing"
        )
    reach = tuple(int(np.floor(RADIUS_MM / spacing + 0.5)) for spacing in spacing_mm)
    within_a_voxel = (np.arange(SUBSAMPLES) + 0.5) / SUBSAMPLES - 0.5
    squares = [
        ((np.arange(-n, n + 1)[:, None] + within_a_voxel) * spacing) ** 2
        for n, spacing in zip(reach, spacing_mm, strict=True)
    ]
    # [k, sub-k, j, sub-j] at a time for each i: the whole lattice of a fine grid is too large.
    in_plane = squares[0][:, :, None, None] + squares[1][None, None]
    parts = [
        np.mean(
            [(in_plane + square <= RADIUS_MM**2).mean(axis=(1, 3)) for square in across], axis=0
        )
        for across in squares[2]
    ]
    fraction = np.stack(parts, axis=-1)
    offsets = np.argwhere(fraction > 0)
    return _Sphere(
        offsets - np.array(reach), fraction[tuple(offsets.T)], (reach[0], reach[1], reach[2])
    )
