"""How far a mask or a stack of slices reaches, and what of one the other holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pacsnode.assembly.references import References
from pacsnode.assembly.slices import Vector, dot, slices_of
from pacsnode.assembly.stack import Stack
from storage.records import Instance, Series

Cover = Literal["inside", "partly", "outside", "unknown"]
EDGE_MM = 0.01  # what positions may differ by in writing
PARALLEL = 0.99995  # cosine; half a degree moves a corner 500 mm away by 4 mm
HEAD: Vector = (0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Extent:
    """From `low_mm` to `high_mm` along a unit normal in LPS: centres of the outermost planes."""

    normal: Vector
    low_mm: float
    high_mm: float

    def along(self, normal: Vector) -> tuple[float, float] | None:
        """The same, low and high, along another normal; None where the planes are not parallel."""
        turn = dot(self.normal, normal)
        if abs(turn) < PARALLEL:
            return None
        return (self.low_mm, self.high_mm) if turn > 0 else (-self.high_mm, -self.low_mm)


def extent_of(
    mask: Instance, references: References, candidates: Sequence[Series]
) -> Extent | None:
    """How far a mask reaches: by its contours, else its frames, else the images it refers to.

    None where none of these is known, or their planes are not parallel.
    """
    if mask.extent_lps_mm is not None and len(mask.extent_lps_mm) == 6:
        return Extent(HEAD, mask.extent_lps_mm[2], mask.extent_lps_mm[5])
    return _extent_of_planes([mask]) or _extent_of_planes(
        [
            instance
            for series in candidates
            for instance in series.instances
            if instance.sop_instance_uid in references.instance_uids
        ]
    )


def extent_of_stack(stack: Stack) -> Extent | None:
    """How far the slices of a stack reach; None where it has no positions."""
    if stack.normal is None or not stack.positions_mm:
        return None
    return Extent(stack.normal, stack.positions_mm[0], stack.positions_mm[-1])


def cover(stack: Stack, extent: Extent | None) -> Cover:
    """Whether the slices of a stack hold an extent: a slice reaches half a step past its centre."""
    reached = _reached(stack, extent)
    if reached is None:
        return "unknown"
    low, high, wanted_low, wanted_high = reached
    if low <= wanted_low and wanted_high <= high:
        return "inside"
    return "outside" if wanted_high < low or wanted_low > high else "partly"


def covered_part(stack: Stack, extent: Extent | None) -> float | None:
    """The part of an extent that a stack covers, 0 to 1; None where that cannot be said."""
    reached = _reached(stack, extent)
    if reached is None:
        return None
    low, high, wanted_low, wanted_high = reached
    shared = min(high, wanted_high) - max(low, wanted_low)
    if shared < 0:
        return 0.0
    length = wanted_high - wanted_low
    return shared / length if length > 0 else 1.0


def lesions_extent(extent: Extent | None, pet_stack: Stack) -> Extent | None:
    """The part of a mask's extent that lies in the PET, where alone it is measured.

    None where that is the whole PET: frames without voxels, a body contour or a list of all
    images do not tell where the lesions lie.
    """
    pet = extent_of_stack(pet_stack)
    reached = extent.along(pet.normal) if extent is not None and pet is not None else None
    if pet is None or reached is None:
        return extent
    low, high = max(reached[0], pet.low_mm), min(reached[1], pet.high_mm)
    if low > high:
        return extent
    is_whole = low <= pet.low_mm + EDGE_MM and pet.high_mm - EDGE_MM <= high
    return None if is_whole else Extent(pet.normal, low, high)


def _reached(stack: Stack, extent: Extent | None) -> tuple[float, float, float, float] | None:
    own = extent_of_stack(stack)
    wanted = extent.along(own.normal) if extent is not None and own is not None else None
    if own is None or wanted is None:
        return None
    reach = (stack.spacing_mm or 0.0) / 2 + EDGE_MM
    return own.low_mm - reach, own.high_mm + reach, *wanted


def _extent_of_planes(instances: Sequence[Instance]) -> Extent | None:
    planes = [
        (plane.normal, plane.origin_lps_mm)
        for instance in instances
        for plane in slices_of(instance)
        if plane.normal is not None and plane.origin_lps_mm is not None
    ]
    if not planes:
        return None
    normal = min(planes)[0]
    if any(abs(dot(other, normal)) < PARALLEL for other, _ in planes):
        return None
    along = [dot(origin, normal) for _, origin in planes]
    return Extent(normal, min(along), max(along))
