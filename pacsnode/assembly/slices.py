"""The slices of an object as placed in space: one for a single-frame image, one a frame else."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pacsnode.assembly.attributes import Attributes, items, number, numbers, text
from storage.records import Instance

Vector = tuple[float, float, float]

# what tells time slices (of a dynamic or gated series) at one position apart
_TIMES = (
    "TemporalPositionIndex",
    "TriggerTime",
    "FrameReferenceTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "FrameAcquisitionDateTime",
    "FrameReferenceDateTime",
)


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """One plane: its unit normal and the centre of its first voxel, LPS mm; None where unstated."""

    normal: Vector | None
    origin_lps_mm: Vector | None
    timing: Attributes  # states the times of this plane

    @property
    def times(self) -> tuple[str | None, ...]:
        """Everything that can tell two time slices at one position apart."""
        return tuple(text(self.timing, keyword) for keyword in _TIMES)


def slices_of(instance: Instance) -> Iterator[Slice]:
    """The planes of an image or a SEG; of a multi-frame object without functional groups, none."""
    attributes = instance.attributes
    frames = items(attributes, "PerFrameFunctionalGroupsSequence")
    if frames:
        shared = next(iter(items(attributes, "SharedFunctionalGroupsSequence")), {})
        for frame in frames:
            yield _frame(frame, shared)
    elif number(attributes, "NumberOfFrames") in (None, 1.0):
        yield Slice(
            normal_from(numbers(attributes, "ImageOrientationPatient")),
            vector_from(numbers(attributes, "ImagePositionPatient")),
            attributes,
        )


def _frame(frame: Attributes, shared: Attributes) -> Slice:
    def group(keyword: str) -> Attributes:
        own = items(frame, keyword) or items(shared, keyword)
        return own[0] if own else {}

    return Slice(
        normal_from(numbers(group("PlaneOrientationSequence"), "ImageOrientationPatient")),
        vector_from(numbers(group("PlanePositionSequence"), "ImagePositionPatient")),
        group("FrameContentSequence"),
    )


@lru_cache(maxsize=64)  # a series has one orientation, written on every slice
def normal_from(orientation: tuple[float, ...]) -> Vector | None:
    """Row direction x column direction (PS3.3 C.7.6.2.1.1); None where they span no plane."""
    row, column = vector_from(orientation[:3]), vector_from(orientation[3:])
    if row is None or column is None:
        return None
    normal = (
        row[1] * column[2] - row[2] * column[1],
        row[2] * column[0] - row[0] * column[2],
        row[0] * column[1] - row[1] * column[0],
    )
    length = math.sqrt(dot(normal, normal))
    if length < 1e-3:
        return None
    return (normal[0] / length, normal[1] / length, normal[2] / length)


def vector_from(values: Sequence[float]) -> Vector | None:
    """Three finite numbers, or None."""
    if len(values) != 3 or not all(math.isfinite(value) for value in values):
        return None
    return (values[0], values[1], values[2])


def dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
