"""Where the slices of a series lie along their normal: spacing, gaps, crowded positions."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

from pacsnode.assembly.attributes import number, text
from pacsnode.assembly.kinds import is_multi_frame
from pacsnode.assembly.slices import Slice, Vector, dot, slices_of
from storage.records import Series

SAME_POSITION_MM = 0.01
GAP = 1.5  # a step this many times the usual one: a slice is missing
PARALLEL = 0.999  # cosine: within 2.5 degrees


@dataclass(frozen=True)
class Stack:
    """The slices of a series, placed along `normal` (a unit vector in LPS).

    `positions_mm` are the distinct ones, ascending; `crowded` holds the slices of every position
    that has several.
    """

    normal: Vector | None
    positions_mm: tuple[float, ...]
    crowded: tuple[tuple[Slice, ...], ...] = ()
    unplaced: int = 0  # slices that state no position or no orientation
    tilted: int = 0  # slices of another orientation than the rest

    @cached_property
    def spacing_mm(self) -> float | None:
        """The usual step: the lower median, for a gap must not pass for the spacing."""
        steps = sorted(self._steps())
        return steps[(len(steps) - 1) // 2] if steps else None

    @cached_property
    def missing(self) -> int:
        """How many slices the gaps would hold."""
        usual = self.spacing_mm
        if usual is None:
            return 0
        return sum(max(1, round(step / usual) - 1) for step in self._steps() if step > GAP * usual)

    @property
    def interval_mm(self) -> tuple[float, float] | None:
        """From the first slice's centre to the last one's, along the normal."""
        return (self.positions_mm[0], self.positions_mm[-1]) if self.positions_mm else None

    def has_time_slices(self) -> bool:
        """Whether slices at one position differ in time: a dynamic or gated series."""
        return any(len({one.times for one in together}) > 1 for together in self.crowded)

    def _steps(self) -> list[float]:
        return [after - before for before, after in pairwise(self.positions_mm)]


def stack_of(series: Series) -> Stack:
    """Place the slices of a series; the order they are listed in does not matter."""
    ordered = sorted(series.instances, key=lambda one: one.sop_instance_uid)
    slices = [plane for one in ordered for plane in slices_of(one)]
    normal = next((plane.normal for plane in slices if plane.normal is not None), None)
    if normal is None:
        return Stack(None, (), unplaced=len(slices))
    placed: list[tuple[float, Slice]] = []
    unplaced = tilted = 0
    for plane in slices:
        if plane.normal is None or plane.origin_lps_mm is None:
            unplaced += 1
        elif dot(plane.normal, normal) < PARALLEL:
            tilted += 1
        else:
            placed.append((dot(plane.origin_lps_mm, normal), plane))
    groups = _by_position(placed)
    return Stack(
        normal=normal,
        positions_mm=tuple(groups),
        crowded=tuple(tuple(group) for group in groups.values() if len(group) > 1),
        unplaced=unplaced,
        tilted=tilted,
    )


def _by_position(placed: Iterable[tuple[float, Slice]]) -> dict[float, list[Slice]]:
    groups: dict[float, list[Slice]] = defaultdict(list)
    current = -math.inf
    for position, plane in sorted(placed, key=lambda pair: pair[0]):
        if position - current > SAME_POSITION_MM:
            current = position
        groups[current].append(plane)
    return dict(groups)


@dataclass(frozen=True, slots=True)
class Fault:
    """What keeps a stack from being one volume: a stable code, and a clause that says it."""

    code: Literal["gaps", "duplicate-positions", "mixed-orientations", "missing-positions"]
    clause: str


def faults_of(series: Series, stack: Stack) -> tuple[Fault, ...]:
    """Everything that keeps the slices which are here from being one volume without holes."""
    faults = []
    if stack.unplaced:
        clause = f"{stack.unplaced} of its slices state no position or orientation"
        faults.append(Fault("missing-positions", clause))
    if stack.tilted:
        clause = f"{stack.tilted} of its slices have another orientation than the others"
        faults.append(Fault("mixed-orientations", clause))
    if stack.crowded:
        clause = f"{len(stack.crowded)} of its positions hold more than one slice"
        faults.append(Fault("duplicate-positions", clause))
    if stack.missing:
        many = "slices are" if stack.missing > 1 else "slice is"
        clause = f"it has gaps: {stack.missing} {many} missing inside"
        faults.append(Fault("gaps", clause))
    elif _is_thinned(series, stack):
        clause = (
            f"it has gaps: its slices lie {stack.spacing_mm:g} mm apart, far more than they are "
            f"thick, and only {len(stack.positions_mm)} of the {stated_slices(series)} it states "
            "are here"
        )
        faults.append(Fault("gaps", clause))
    return tuple(faults)


def stated_slices(series: Series) -> int | None:
    """How many slices the headers say there are: Number of Slices (0054,0081) of a PET, else
    Images in Acquisition (0020,1002) where the series is one acquisition.
    """
    stated = _stated(series, "NumberOfSlices")
    if stated:
        return int(max(stated))
    acquisitions = {text(one.attributes, "AcquisitionNumber") for one in series.instances}
    stated = _stated(series, "ImagesInAcquisition")
    return int(max(stated)) if stated and len(acquisitions) == 1 else None


def is_whole(series: Series, stack: Stack) -> bool:
    """Whether the headers prove that nothing more of this series can come.

    One multi-frame object is whole by itself unless it states more slices than it has frames; of
    a series in several of them only a stated number tells that the last has come.
    """
    stated = stated_slices(series)
    if is_multi_frame(series):
        frames = sum(_stated(series, "NumberOfFrames"))
        here = len(stack.positions_mm) or frames
        return len(series.instances) == 1 if stated is None else here >= stated
    return stated is not None and len(stack.positions_mm) >= stated


def _is_thinned(series: Series, stack: Stack) -> bool:
    # every second slice lost leaves no uneven step: only the headers tell
    stated, spacing = stated_slices(series), stack.spacing_mm
    if stated is None or spacing is None or len(stack.positions_mm) >= stated:
        return False
    thickness = min(_stated(series, "SliceThickness"), default=None)
    return thickness is not None and spacing > GAP * thickness


def _stated(series: Series, keyword: str) -> list[float]:
    found = (number(one.attributes, keyword) for one in series.instances)
    return [value for value in found if value is not None and 0 < value < math.inf]
