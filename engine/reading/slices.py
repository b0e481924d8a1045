"""Order the planes of a series along their normal, and refuse those that form no one grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.errors import GridMismatch, MissingQuantity, Unreadable
from engine.geometry import Grid
from engine.reading.attributes import Attributes, attributes_of_frames
from engine.reading.part10 import Instance, read_instance
from engine.volume import ImageReference

Float = npt.NDArray[np.float64]

MAX_VOXELS = 2**30  # a series; more than any scanner makes, less than would exhaust a machine

_DUPLICATE_MM = 0.01
_OFF_LATTICE = 0.1  # of the spacing: tables creep
_ROUNDED_MM = 0.11  # both neighbours printed to a tenth, and float noise
_MISSING = 0.4  # of the spacing: never so tolerant that a missing plane passes
_UNIT_VECTOR = 1e-3  # printed direction cosines are rounded
_SAME_DIRECTION = 1e-4
_SAME_SPACING = 1e-3  # relative


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """One plane: a classic file, or one frame (counted from 0) of a multi-frame file."""

    instance: Instance
    frame: int
    attributes: Attributes
    position_lps_mm: Float

    @property
    def is_multi_frame(self) -> bool:
        return "PerFrameFunctionalGroupsSequence" in self.instance.header

    @property
    def reference(self) -> ImageReference:
        """Who this plane is, for a report to refer to."""
        number = _own_number(self) if self.is_multi_frame else _stated_number(self.attributes)
        return ImageReference(
            sop_class_uid=self.instance.sop_class_uid,
            sop_instance_uid=self.instance.sop_instance_uid,
            frame_number=self.frame + 1 if self.is_multi_frame else None,
            instance_number=number,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """All planes of one series in the order of k, which grows along row x column direction."""

    slices: tuple[Slice, ...]
    grid: Grid
    series_instance_uid: str
    flags: tuple[str, ...] = ()


def read_stack(paths: Sequence[Path]) -> Stack:
    """Headers of one series, in whatever order they come, as one regular stack of planes.

    Raises GridMismatch with the code `mixed-series`, `mixed-frame-of-reference`,
    `mixed-orientation`, `mixed-spacing`, `mixed-size`, `duplicate-position`, `gap`,
    `uneven-spacing`, `bad-orientation` or `too-many-voxels`.
    """
    if not paths:
        raise Unreadable("A series needs at least one file", code="no-files")
    planes = [
        plane
        for number, path in enumerate(paths, start=1)
        for plane in _planes(read_instance(path, f"File {number} of {len(paths)}"))
    ]
    _refuse_mixed(planes)
    first = planes[0]
    directions = _directions(first)
    normal = np.cross(directions[0], directions[1])
    planes.sort(key=lambda plane: (float(plane.position_lps_mm @ normal), _identity(plane)))
    flags: tuple[str, ...] = ()
    if len(planes) > 1:
        step = _even_step(planes, normal)
    else:
        step = normal * _lone_thickness_mm(planes[0])
        flags = ("single-slice",)
    shape = (len(planes), *_size(first))
    return Stack(
        slices=tuple(planes),
        grid=Grid(shape, _affine(planes, step, directions), _frame_of_reference(first)),
        series_instance_uid=first.instance.series_instance_uid,
        flags=flags,
    )


def _stated_number(attributes: Attributes) -> int | None:
    number = attributes.number("InstanceNumber")
    return None if number is None else int(number)


def _own_number(plane: Slice) -> int:
    """The number a frame was converted from, else its place: the file's is that of all frames."""
    own = tuple(place for place in plane.attributes.places if place is not plane.instance.header)
    stated = _stated_number(Attributes(own))
    return plane.frame + 1 if stated is None else stated


def _planes(instance: Instance) -> list[Slice]:
    whole = Attributes((instance.header,))
    _refuse_oversized(whole, instance)
    count = int(whole.number("NumberOfFrames") or 1)
    planes = []
    for frame, attributes in enumerate(attributes_of_frames(instance.header, count)):
        position = attributes.numbers("ImagePositionPatient", 3)
        if position is None:
            raise MissingQuantity(
                f"{_name(instance, frame)} does not state its Image Position (Patient)",
                keyword="ImagePositionPatient",
            )
        planes.append(Slice(instance, frame, attributes, np.asarray(position)))
    return planes


def _refuse_oversized(whole: Attributes, instance: Instance) -> None:
    """Before a frame is looked at: the number of frames is what the peer says it is."""
    frames, rows, columns = (
        int(whole.number(keyword) or 1) for keyword in ("NumberOfFrames", "Rows", "Columns")
    )
    groups = len(whole.items("PerFrameFunctionalGroupsSequence"))
    if frames * rows * columns > MAX_VOXELS:
        raise GridMismatch(
            f"Instance {instance.sop_instance_uid} states {frames} frames of {rows} x {columns}",
            code="too-many-voxels",
        )
    if frames < 1 or (frames > 1 and groups != frames):
        raise Unreadable(
            f"Instance {instance.sop_instance_uid} states Number of Frames {frames}"
            f" and has functional groups for {groups}",
            code="bad-frame-count",
        )


def _refuse_mixed(planes: list[Slice]) -> None:
    first = planes[0]
    size, spacing, directions = _size(first), _spacing(first), _directions(first)
    if len(planes) * size[0] * size[1] > MAX_VOXELS:
        raise GridMismatch(
            f"Series {first.instance.series_instance_uid} has {len(planes)} planes of"
            f" {size[0]} x {size[1]}, more voxels than are accepted",
            code="too-many-voxels",
        )
    for plane in planes[1:]:
        _refuse_other(
            plane, plane.instance.series_instance_uid, first.instance.series_instance_uid, "series"
        )
        _refuse_other(
            plane, _frame_of_reference(plane), _frame_of_reference(first), "frame-of-reference"
        )
        _refuse_other(plane, _size(plane), size, "size")
        if not np.allclose(_spacing(plane), spacing, rtol=_SAME_SPACING, atol=0):
            _refuse_other(plane, _spacing(plane), spacing, "spacing")
        if not np.allclose(_directions(plane), directions, rtol=0, atol=_SAME_DIRECTION):
            raise GridMismatch(
                f"{_name_of(plane)} has another Image Orientation (Patient) than the series",
                code="mixed-orientation",
            )


def _refuse_other(plane: Slice, its: object, series: object, what: str) -> None:
    if its != series:
        raise GridMismatch(
            f"{_name_of(plane)} has another {what.replace('-', ' ')} ({its}) than the series"
            f" ({series})",
            code=f"mixed-{what}",
        )


def _even_step(planes: list[Slice], normal: Float) -> Float:
    """The vector from one plane to the next, the same for all, or a refusal."""
    positions = np.array([plane.position_lps_mm for plane in planes])
    depth = positions @ normal
    gaps = np.diff(depth)
    if gaps.min() < _DUPLICATE_MM:
        k = int(gaps.argmin())
        raise GridMismatch(
            f"{_name_of(planes[k])} and {_name_of(planes[k + 1])} lie at one position"
            f" ({depth[k]:.3f} mm along the normal)",
            code="duplicate-position",
        )
    usual = float(np.median(gaps))
    k = int(np.abs(gaps - usual).argmax())
    tolerance_mm = min(max(_OFF_LATTICE * usual, _ROUNDED_MM), _MISSING * usual)
    if abs(gaps[k] - usual) > tolerance_mm:
        raise GridMismatch(
            f"Between {_name_of(planes[k])} and {_name_of(planes[k + 1])} lie {gaps[k]:.3f} mm,"
            f" elsewhere {usual:.3f} mm",
            code="gap" if gaps[k] > 1.5 * usual else "uneven-spacing",
        )
    step = (positions[-1] - positions[0]) / (len(planes) - 1)
    lattice = positions[0] + np.arange(len(planes))[:, None] * step
    astray = np.linalg.norm(positions - lattice, axis=1)
    k = int(astray.argmax())
    if astray[k] > tolerance_mm:
        raise GridMismatch(
            f"{_name_of(planes[k])} lies {astray[k]:.3f} mm off the line of the others",
            code="uneven-spacing",
        )
    return np.asarray(step, dtype=np.float64)


def _lone_thickness_mm(plane: Slice) -> float:
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        thickness = plane.attributes.number(keyword)
        if thickness is not None and thickness > 0:
            return thickness
    raise MissingQuantity(
        f"{_name_of(plane)} is the only plane and states no Slice Thickness",
        keyword="SliceThickness",
    )


def _affine(planes: list[Slice], step: Float, directions: Float) -> Float:
    """PS3.3 C.7.6.2.1.1: Pixel Spacing is the distance between rows, then between columns."""
    between_rows, between_columns = _spacing(planes[0])
    row_direction, column_direction = directions
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = column_direction * between_rows
    affine[:3, 2] = row_direction * between_columns
    affine[:3, 3] = planes[0].position_lps_mm
    return affine


def _directions(plane: Slice) -> Float:
    """Unit vectors along a row and along a column."""
    stated = plane.attributes.numbers("ImageOrientationPatient", 6)
    if stated is None:
        raise MissingQuantity(
            f"{_name_of(plane)} does not state its Image Orientation (Patient)",
            keyword="ImageOrientationPatient",
        )
    vectors = np.asarray(stated).reshape(2, 3)
    lengths = np.linalg.norm(vectors, axis=1)
    skew = abs(float(vectors[0] @ vectors[1]))
    if np.any(np.abs(lengths - 1) > _UNIT_VECTOR) or skew > _UNIT_VECTOR:
        raise GridMismatch(
            f"{_name_of(plane)} states an Image Orientation (Patient) that is no pair of"
            " perpendicular unit vectors",
            code="bad-orientation",
        )
    return np.asarray(vectors / lengths[:, None], dtype=np.float64)


def _spacing(plane: Slice) -> tuple[float, ...]:
    spacing = plane.attributes.numbers("PixelSpacing", 2)
    if spacing is None or min(spacing) <= 0:
        raise MissingQuantity(
            f"{_name_of(plane)} does not state its Pixel Spacing", keyword="PixelSpacing"
        )
    return spacing


def _size(plane: Slice) -> tuple[int, int]:
    rows, columns = (plane.attributes.number(keyword) for keyword in ("Rows", "Columns"))
    if not rows or not columns:
        raise MissingQuantity(f"{_name_of(plane)} does not state Rows and Columns", keyword="Rows")
    return int(rows), int(columns)


def _frame_of_reference(plane: Slice) -> str | None:
    return plane.attributes.text("FrameOfReferenceUID")


def _identity(plane: Slice) -> tuple[str, int]:
    return plane.instance.sop_instance_uid, plane.frame


def _name_of(plane: Slice) -> str:
    return _name(plane.instance, plane.frame if plane.is_multi_frame else None)


def _name(instance: Instance, frame: int | None) -> str:
    of_frame = "" if frame is None else f" frame {frame + 1}"
    return f"Instance {instance.sop_instance_uid}{of_frame}"
