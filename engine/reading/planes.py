"""The slab of space that each drawn plane stands for."""

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]

SAME_PLANE_MM = 0.05
# Neighbours up to this many pitches apart share the gap between them; farther apart it is a hole.
LARGEST_SHARED_GAP = 1.5
# A voxel centre this near to the border between two slabs counts as on it.
ON_THE_BORDER_MM = 1e-4
FARTHEST_MM = 1e5  # no patient lies a hundred metres from the origin
LENGTHS_MM = (1e-3, 1e3)  # between which a spacing or thickness of a person's image lies


def possible_length(stated_mm: float | None) -> float | None:
    """A stated spacing or thickness, None where it can be none."""
    lowest, highest = LENGTHS_MM
    return stated_mm if stated_mm is not None and lowest <= stated_mm <= highest else None


def distinct_positions(positions_mm: Float) -> tuple[Float, npt.NDArray[np.intp]]:
    """The planes in ascending order, those within 0.05 mm as one, and the plane of each input."""
    order = np.argsort(positions_mm, kind="stable")
    starts = np.diff(positions_mm[order], prepend=-np.inf) > SAME_PLANE_MM
    plane_of = np.empty(len(order), np.intp)
    plane_of[order] = np.cumsum(starts) - 1
    return positions_mm[order][starts], plane_of


def pitch_of(
    planes_mm: Float, stated_spacing_mm: float | None, thickness_mm: float | None
) -> float | None:
    """The spacing on which ascending planes were drawn; None when nothing tells.

    Spacing Between Slices where it is stated, unless two planes lie clearly nearer; else the one
    gap that three or more planes share; else the smaller of the smallest gap and Slice Thickness,
    for planes may have been left out.
    """
    gaps = np.diff(planes_mm)
    smallest = float(gaps.min()) if len(gaps) else np.inf
    if stated_spacing_mm and 0 < stated_spacing_mm <= LARGEST_SHARED_GAP * smallest:
        return stated_spacing_mm
    if len(gaps) > 1 and np.ptp(gaps) <= SAME_PLANE_MM:
        return float(gaps.mean())
    candidates = [smallest] if len(gaps) else []
    if thickness_mm and thickness_mm > 0:
        candidates.append(thickness_mm)
    return min(candidates, default=None)


def slabs(planes_mm: Float, pitch_mm: float) -> tuple[Float, Float]:
    """The lower and upper end of each ascending plane's slab, half open: [lower, upper).

    A slab ends midway to the next plane, and half a pitch from the plane where none is near.
    """
    gaps = np.diff(planes_mm)
    shared = gaps <= LARGEST_SHARED_GAP * pitch_mm
    half = pitch_mm / 2
    upper = planes_mm + half
    lower = planes_mm - half
    upper[:-1] = np.where(shared, planes_mm[:-1] + gaps / 2, upper[:-1])
    lower[1:] = np.where(shared, upper[:-1], lower[1:])
    return lower - ON_THE_BORDER_MM, upper - ON_THE_BORDER_MM


def plane_at(positions_mm: Float, lower: Float, upper: Float) -> npt.NDArray[np.intp]:
    """Index of the slab that holds each position; -1 where none does."""
    index = np.searchsorted(lower, positions_mm, side="right") - 1
    held = (index >= 0) & (positions_mm < upper[np.clip(index, 0, None)])
    return np.where(held, index, -1)
