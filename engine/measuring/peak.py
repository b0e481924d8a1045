"""SUVpeak: the highest mean in a sphere of 1 ml around any voxel of the lesion."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from engine.errors import UnusableCase

Float = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

RADIUS_MM = (3 * 1000 / (4 * np.pi)) ** (1 / 3)
SUBSAMPLES = 20  # along each axis of a voxel
GATHERED_AT_ONCE = 2_000_000
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
    at_hottest, _ = _means(values, hottest_kji[None], sphere)
    centres = _promising(values, lesion_kji, float(at_hottest[0]), sphere.reach)
    step = max(1, GATHERED_AT_ONCE // len(sphere.weights))
    best = Peak(-np.inf, is_at_image_edge=False)
    for start in range(0, len(centres), step):
        means, is_whole = _means(values, centres[start : start + step], sphere)
        highest = int(means.argmax())
        if means[highest] > best.value:
            best = Peak(float(means[highest]), not bool(is_whole[highest]))
    return best


def _promising(
    values: npt.NDArray[np.float32], lesion_kji: Index, at_least: float, reach: tuple[int, int, int]
) -> Index:
    """The centres whose sphere can have a mean of `at_least`: those with such a voxel in reach."""
    first = np.maximum(lesion_kji.min(axis=0) - reach, 0)
    end = np.minimum(lesion_kji.max(axis=0) + reach + 1, values.shape)
    box = values[tuple(map(slice, first, end))]
    near = box >= at_least - ROUNDING * abs(at_least)
    for axis, steps in enumerate(reach):
        near = _spread(near, axis, steps)
    return np.asarray(lesion_kji[near[tuple((lesion_kji - first).T)]])


def _spread(marked: npt.NDArray[np.bool_], axis: int, steps: int) -> npt.NDArray[np.bool_]:
    along = np.moveaxis(marked, axis, 0)
    spread = along.copy()
    for step in range(1, min(steps, len(along) - 1) + 1):
        spread[step:] |= along[:-step]
        spread[:-step] |= along[step:]
    return np.moveaxis(spread, 0, axis)


def _means(
    values: npt.NDArray[np.float32], centres: Index, sphere: _Sphere
) -> tuple[Float, npt.NDArray[np.bool_]]:
    """Mean of the sphere around each centre, and whether all of the sphere was in the image."""
    kji = centres[:, None, :] + sphere.offsets
    inside: npt.NDArray[np.bool_] = np.all((kji >= 0) & (kji < values.shape), axis=-1)
    k, j, i = np.moveaxis(np.clip(kji, 0, np.array(values.shape) - 1), -1, 0)
    weights = np.where(inside, sphere.weights, 0.0)
    sums = (values[k, j, i].astype(np.float64) * weights).sum(axis=1)
    return sums / weights.sum(axis=1), np.asarray(np.all(inside, axis=1))


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
