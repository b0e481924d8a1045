"""How far a mask reaches, and whether a stack of slices holds it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pacsnode.assembly.references import References
from pacsnode.assembly.slices import Vector, dot, slices_of
from pacsnode.assembly.stack import PARALLEL, Stack
from storage.records import Instance, Series

Cover = Literal["inside", "partly", "outside", "unknown"]
EDGE_MM = 0.01  # what positions may differ by in writing


@dataclass(frozen=True, slots=True)
class Extent:
    """Points in LPS mm on the planes that a mask is drawn on, and those planes' unit normal."""

    normal: Vector
    points_lps_mm: tuple[Vector, ...]


def extent_of(
    mask: Instance, references: References, candidates: Sequence[Series]
) -> Extent | None:
    """The planes a mask is drawn on: its own frames', else the images' that it refers to.

    None where none of them is known, or they are not parallel.
    """
    planes = [(one.normal, one.origin_lps_mm) for one in slices_of(mask)]
    if not any(normal and origin for normal, origin in planes):
        planes = [
            (one.normal, one.origin_lps_mm)
            for series in candidates
            for instance in series.instances
            if instance.sop_instance_uid in references.instance_uids
            for one in slices_of(instance)
        ]
    return _parallel((normal, origin) for normal, origin in planes if normal and origin)


def cover(stack: Stack, extent: Extent | None) -> Cover:
    """Whether the slices of a stack hold a mask: a slice reaches half a step past its centre.

    Unknown where either has no positions, or their planes are not parallel.
    """
    interval = stack.interval_mm
    if extent is None or interval is None or stack.normal is None:
        return "unknown"
    if abs(dot(stack.normal, extent.normal)) < PARALLEL:
        return "unknown"
    reach = (stack.spacing_mm or 0.0) / 2 + EDGE_MM
    low, high = interval[0] - reach, interval[1] + reach
    along = [dot(point, stack.normal) for point in extent.points_lps_mm]
    if low <= min(along) and max(along) <= high:
        return "inside"
    return "outside" if max(along) < low or min(along) > high else "partly"


def holds(extent: Extent, stack: Stack) -> bool:
    """Whether the planes a mask is drawn on reach from end to end of a stack."""
    interval = stack.interval_mm
    if interval is None or stack.normal is None or len(stack.positions_mm) < 2:
        return False
    along = [dot(point, stack.normal) for point in extent.points_lps_mm]
    return min(along) <= interval[0] + EDGE_MM and interval[1] - EDGE_MM <= max(along)


def shared_part(stack: Stack, other: Stack) -> float:
    """The part of `other`'s length that `stack` covers, 0 to 1; 0 where that cannot be said."""
    one, two = stack.interval_mm, other.interval_mm
    if one is None or two is None or stack.normal is None or other.normal is None:
        return 0.0
    turn = dot(stack.normal, other.normal)
    if abs(turn) < PARALLEL:
        return 0.0
    if turn < 0:
        two = (-two[1], -two[0])
    reach = (stack.spacing_mm or 0.0) / 2 + EDGE_MM
    low, high = max(one[0] - reach, two[0]), min(one[1] + reach, two[1])
    if high < low:
        return 0.0
    length = two[1] - two[0]
    return 1.0 if length <= 0 else (high - low) / length


def _parallel(planes: Iterable[tuple[Vector, Vector]]) -> Extent | None:
    listed = sorted(planes)
    if not listed:
        return None
    normal = listed[0][0]
    if any(abs(dot(other, normal)) < PARALLEL for other, _ in listed):
        return None
    return Extent(normal, tuple(origin for _, origin in listed))
