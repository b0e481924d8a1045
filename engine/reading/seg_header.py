"""What a SEG says of its segments and frames, before any pixel is read."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from engine.errors import GridMismatch, Unreadable
from engine.reading.attributes import Attributes
from engine.reading.part10 import Instance
from engine.reading.planes import (
    FARTHEST_MM,
    distinct_positions,
    pitch_of,
    possible_length,
    slabs,
)
from engine.reading.unconverted import decimals, item_of, whole_number

Float = npt.NDArray[np.float64]

MAX_FRAMES = 2**18
UNIT_TOLERANCE = 1e-3

PLANE_POSITION, IMAGE_POSITION = BaseTag(0x00209113), BaseTag(0x00200032)
PLANE_ORIENTATION, IMAGE_ORIENTATION = BaseTag(0x00209116), BaseTag(0x00200037)
PIXEL_MEASURES, PIXEL_SPACING = BaseTag(0x00289110), BaseTag(0x00280030)
SPACING_BETWEEN_SLICES, SLICE_THICKNESS = BaseTag(0x00180088), BaseTag(0x00180050)
SEGMENT_IDENTIFICATION, REFERENCED_SEGMENT_NUMBER = BaseTag(0x0062000A), BaseTag(0x0062000B)


@dataclass(frozen=True, slots=True, eq=False)
class FrameHeader:
    """Where one frame lies, and whose it is.

    `affine` maps (plane, row, column, 1) to LPS mm; [lower, upper) is its slab, in planes.
    """

    segment_number: int | None  # None in a label map
    affine: Float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True, eq=False)
class SegHeader:
    """A SEG without its pixels."""

    uid: str
    kind: str  # BINARY, FRACTIONAL or LABELMAP
    shape: tuple[int, int]  # rows, columns
    bits_allocated: int
    largest_fraction: float  # Maximum Fractional Value (0062,000E)
    background: int | None  # Pixel Padding Value (0028,0120)
    descriptions: tuple[tuple[int, Attributes], ...]  # in ascending SegmentNumber
    frames: tuple[FrameHeader, ...]


@dataclass(frozen=True, slots=True)
class _Lie:
    """One frame's plane, as stated."""

    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    between_mm: float | None
    thickness_mm: float | None


@dataclass(frozen=True, slots=True)
class _Shared:
    """What the Shared Functional Groups state for every frame."""

    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    between: tuple[float, ...] | None
    thickness: tuple[float, ...] | None
    segment_number: int | None


def read_seg_header(instance: Instance) -> SegHeader:
    """Raises Unreadable where the header is damaged or contradicts itself."""
    uid = instance.sop_instance_uid
    top = Attributes((instance.header,))
    rows, columns = top.number("Rows"), top.number("Columns")
    kind = top.text("SegmentationType")
    if not rows or not columns or kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise Unreadable(
            f"SEG {uid}: Rows, Columns or SegmentationType is absent or unknown", code="bad-seg"
        )
    return SegHeader(
        uid=uid,
        kind=kind,
        shape=(int(rows), int(columns)),
        bits_allocated=int(top.number("BitsAllocated") or 0),
        largest_fraction=top.number("MaximumFractionalValue") or 255.0,
        background=_whole(top.number("PixelPaddingValue")),
        descriptions=_descriptions(top, uid),
        frames=_frames(instance, top, kind),
    )


def _descriptions(top: Attributes, uid: str) -> tuple[tuple[int, Attributes], ...]:
    numbered = []
    for item in (Attributes((each,)) for each in top.items("SegmentSequence")):
        number = _whole(item.number("SegmentNumber"))
        if number is None or not 0 <= number <= 65535:
            raise Unreadable(f"SEG {uid}: a segment has no SegmentNumber", code="bad-seg")
        numbered.append((number, item))
    if not numbered:
        raise Unreadable(f"SEG {uid}: SegmentSequence is absent or empty", code="bad-seg")
    return tuple(sorted(numbered, key=lambda each: each[0]))


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _frames(instance: Instance, top: Attributes, kind: str) -> tuple[FrameHeader, ...]:
    uid = instance.sop_instance_uid
    groups = top.items("PerFrameFunctionalGroupsSequence")
    stated = top.number("NumberOfFrames") or 1
    if len(groups) != stated or not 0 < len(groups) <= MAX_FRAMES:
        raise Unreadable(
            f"SEG {uid}: NumberOfFrames is {stated:g}, its functional groups are {len(groups)}",
            code="frame-count",
        )
    shared = _shared(next(iter(top.items("SharedFunctionalGroupsSequence")), Dataset()))
    lies = [_lie(group, shared, uid) for group in groups]
    numbers = [None if kind == "LABELMAP" else _segment_number(g, shared, uid) for g in groups]
    frames: list[FrameHeader | None] = [None] * len(groups)
    by_direction = defaultdict(list)
    for index, lie in enumerate(lies):
        by_direction[lie.orientation, lie.spacing].append(index)
    for indices in by_direction.values():
        placed = _stacked([lies[index] for index in indices], uid)
        for index, (affine, lower, upper) in zip(indices, placed, strict=True):
            frames[index] = FrameHeader(numbers[index], affine, lower, upper)
    return tuple(frame for frame in frames if frame is not None)


def _shared(group: Dataset) -> _Shared:
    measures = item_of(group, PIXEL_MEASURES)
    identified = item_of(group, SEGMENT_IDENTIFICATION)
    return _Shared(
        position=decimals(item_of(group, PLANE_POSITION), IMAGE_POSITION, 3),
        orientation=decimals(item_of(group, PLANE_ORIENTATION), IMAGE_ORIENTATION, 6),
        spacing=decimals(measures, PIXEL_SPACING, 2),
        between=decimals(measures, SPACING_BETWEEN_SLICES, 1),
        thickness=decimals(measures, SLICE_THICKNESS, 1),
        segment_number=whole_number(identified, REFERENCED_SEGMENT_NUMBER),
    )


def _lie(group: Dataset, shared: _Shared, uid: str) -> _Lie:
    position = decimals(item_of(group, PLANE_POSITION), IMAGE_POSITION, 3) or shared.position
    orientation = (
        decimals(item_of(group, PLANE_ORIENTATION), IMAGE_ORIENTATION, 6) or shared.orientation
    )
    measures = item_of(group, PIXEL_MEASURES)
    spacing = decimals(measures, PIXEL_SPACING, 2) or shared.spacing
    if position is None or orientation is None or spacing is None:
        raise Unreadable(
            f"SEG {uid}: a frame states no ImagePositionPatient, ImageOrientationPatient or"
            " PixelSpacing",
            code="unplaced-frame",
        )
    if max(map(abs, position)) > FARTHEST_MM or None in map(possible_length, spacing):
        raise Unreadable(
            f"SEG {uid}: the ImagePositionPatient or PixelSpacing of a frame is none of a"
            " patient's image",
            code="unplaced-frame",
        )
    between = decimals(measures, SPACING_BETWEEN_SLICES, 1) or shared.between
    thickness = decimals(measures, SLICE_THICKNESS, 1) or shared.thickness
    return _Lie(
        position, orientation, spacing,
        possible_length(between[0] if between else None),
        possible_length(thickness[0] if thickness else None),
    )  # fmt: skip


def _stacked(lies: list[_Lie], uid: str) -> list[tuple[Float, float, float]]:
    first = lies[0]
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    with np.errstate(over="ignore"):
        gram = np.array((row @ row - 1, column @ column - 1, row @ column))
    if not np.abs(gram).max() <= UNIT_TOLERANCE:
        raise GridMismatch(
            f"SEG {uid}: ImageOrientationPatient holds no two perpendicular unit vectors",
            code="bad-orientation",
        )
    normal = np.cross(row, column)
    positions = np.array([lie.position for lie in lies])
    planes, plane_of = distinct_positions(positions @ normal)
    pitch = pitch_of(planes, first.between_mm, first.thickness_mm)
    if pitch is None:
        raise Unreadable(
            f"SEG {uid}: a single plane without SliceThickness has no volume",
            code="no-slice-thickness",
        )
    lower, upper = slabs(planes, pitch)
    affines = np.zeros((len(lies), 4, 4))
    affines[:, :3, 0] = normal * pitch
    affines[:, :3, 1] = column * first.spacing[0]  # Pixel Spacing: first between rows
    affines[:, :3, 2] = row * first.spacing[1]
    affines[:, :3, 3] = positions
    affines[:, 3, 3] = 1
    ends = np.stack((lower - planes, upper - planes), axis=1)[plane_of] / pitch
    return [(affine, *end) for affine, end in zip(affines, ends.tolist(), strict=True)]


def _segment_number(group: Dataset, shared: _Shared, uid: str) -> int:
    number = whole_number(item_of(group, SEGMENT_IDENTIFICATION), REFERENCED_SEGMENT_NUMBER)
    if number is None:
        number = shared.segment_number
    if number is None:
        raise Unreadable(
            f"SEG {uid}: a frame states no ReferencedSegmentNumber", code="unplaced-frame"
        )
    return number
