"""Long and short axis of a lesion in the axial slices of the PET grid."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from engine.measuring.outline import Outline, outlines

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

EQUAL = 1e-9  # relative: lengths this near are a tie
SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
MOST_CHORDS = 4096  # an outline with more corners than any lesion's is sampled


@dataclass(frozen=True, slots=True, order=True)
class Axes:
    """Lengths of two perpendicular axes in one part of one slice."""

    long_mm: float
    short_mm: float


def axes(voxels: Bool, spacing_mm: tuple[float, float, float]) -> Axes:
    """The axes of a mask [k, j, i] that marks at least one voxel.

    The long axis is the largest distance of two points of one connected part's iso-contour, in any
    slice. The short axis is the longest chord perpendicular to it within the same part. Among
    equally long ones the larger short axis wins.
    """
    _, spacing_j, spacing_i = spacing_mm
    marked = np.flatnonzero(voxels.any(axis=(1, 2)))
    bounds = np.array([_diagonal_mm(voxels[k], spacing_j, spacing_i) for k in marked])
    best = Axes(0.0, 0.0)
    for nth in np.argsort(-bounds, kind="stable"):
        if bounds[nth] < best.long_mm * (1 - EQUAL):
            break
        for part in outlines(voxels[marked[nth]]):
            best = _longest(part, np.array((spacing_i, spacing_j)), best)
    return best


def _diagonal_mm(pixels: Bool, spacing_j: float, spacing_i: float) -> float:
    """No two points of the slice's iso-contour lie farther apart."""
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    return float(np.hypot(height * spacing_j, width * spacing_i))


def _longest(part: Outline, spacing_mm: Float, best: Axes) -> Axes:
    if np.hypot(*(np.ptp(part.outer, axis=0) * spacing_mm)) < best.long_mm * (1 - EQUAL):
        return best
    points = _row_extremes(part.outer * spacing_mm)
    away = points[:, None] - points[None]
    distance = np.hypot(away[..., 0], away[..., 1])
    longest = float(distance.max())
    if longest < best.long_mm * (1 - EQUAL):
        return best
    first, second = np.nonzero(np.triu(distance >= longest * (1 - EQUAL)))
    across = max(
        _longest_chord(part, spacing_mm, away[p, q] / distance[p, q])
        for p, q in zip(first.tolist(), second.tolist(), strict=True)
    )
    if longest > best.long_mm * (1 + EQUAL):
        return Axes(longest, across)
    return Axes(best.long_mm, max(best.short_mm, across))


def _row_extremes(ring: Float) -> Float:
    """The outermost points of each row: the ends of the longest distance are among them."""
    rows, row_of = np.unique(ring[:, 1], return_inverse=True)
    left, right = np.full(len(rows), np.inf), np.full(len(rows), -np.inf)
    np.minimum.at(left, row_of, ring[:, 0])
    np.maximum.at(right, row_of, ring[:, 0])
    return np.concatenate((np.column_stack((left, rows)), np.column_stack((right, rows))))


def _longest_chord(part: Outline, spacing_mm: Float, direction: Float) -> float:
    """The longest line inside the part at a right angle to the unit vector `direction`.

    The length changes linearly between corners and may jump there: so a line through each corner
    is taken twice, as the limit of the lines on its one side and on its other.
    """
    perpendicular = np.array((-direction[1], direction[0]))
    starts, ends = (points * spacing_mm for points in part.edges())
    s0, s1 = starts @ direction, ends @ direction
    t0, t1 = starts @ perpendicular, ends @ perpendicular
    offsets = np.unique(s0)
    if len(offsets) > MOST_CHORDS:
        offsets = offsets[np.linspace(0, len(offsets) - 1, MOST_CHORDS).astype(np.intp)]
    longest = 0.0
    for side in SIDES:
        first = np.searchsorted(offsets, np.minimum(s0, s1), side)
        count = np.searchsorted(offsets, np.maximum(s0, s1), side) - first
        edge = np.repeat(np.arange(len(count)), count)
        line = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
        share = (offsets[line] - s0[edge]) / (s1[edge] - s0[edge])
        t = t0[edge] + share * (t1[edge] - t0[edge])
        t = t[np.lexsort((t, line))]
        longest = max(longest, float((t[1::2] - t[0::2]).max(initial=0.0)))
    return longest
