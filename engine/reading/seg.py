"""The segments of a SEG or a label map SEG on the PET grid."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from engine.lesion import Role, Segment
from engine.reading.attributes import Attributes
from engine.reading.coded import code_in, laterality_in
from engine.reading.content import Gathering, MaskContent, Unusable
from engine.reading.part10 import Instance
from engine.reading.placing import DrawnPlane, Placed, place
from engine.reading.roles import BACKGROUND, default_role
from engine.reading.seg_header import FrameHeader, SegHeader, read_seg_header
from engine.reading.seg_pixels import Pixels, SegPixels
from engine.volume import Mask, Volume

Bool = npt.NDArray[np.bool_]
Planes = Callable[[], Sequence[DrawnPlane]]


def read_seg(
    instance: Instance,
    pet: Volume,
    *,
    lesion_numbers: Collection[int] | None,
    fractional_threshold: float,
) -> MaskContent:
    """Every segment, placed by the affine of each of its frames.

    A pixel of a fractional SEG is marked where its value is at least `fractional_threshold` of
    Maximum Fractional Value; the segment says so by the flag `fractional-thresholded`.
    """
    header = read_seg_header(instance)
    pixels = SegPixels(instance, header.shape, len(header.frames), header.bits_allocated)
    if header.kind == "LABELMAP":
        planes_of = _planes_of_labels(header, pixels)
    else:
        planes_of = _planes_of_segments(header, pixels, fractional_threshold)
    gathering = Gathering(f"SEG {header.uid}")
    occurrences = Counter(number for number, _ in header.descriptions)
    for number, described in header.descriptions:
        if _is_background(header, number, described):
            continue
        role = _role(number, described, lesion_numbers)
        with gathering.segment(number, described.text("SegmentLabel") or "", role):
            if occurrences[number] > 1:
                raise Unusable("its SegmentNumber occurs twice", code="duplicate-number")
            planes = planes_of[number]() if number in planes_of else ()
            if not planes:
                raise Unusable("no pixel of it is marked", code="empty-segment")
            placed = place(planes, pet.grid)
            segment = _segment(instance, header, number, described, placed, pet, role)
            gathering.keep(segment, placed.touched_voxels)
    strangers = planes_of.keys() - occurrences.keys() - {0, header.background}
    return gathering.content(lesion_numbers, ("frame-of-unknown-segment",) if strangers else ())


def _is_background(header: SegHeader, number: int, described: Attributes) -> bool:
    if header.kind != "LABELMAP":
        return False
    property_type = code_in(described, "SegmentedPropertyTypeCodeSequence")
    return number == header.background or (
        property_type is not None and property_type == BACKGROUND
    )


def _role(number: int, described: Attributes, lesion_numbers: Collection[int] | None) -> Role:
    if lesion_numbers is not None:
        return "lesion" if number in lesion_numbers else "context"
    return default_role(
        is_roi=False,
        category=code_in(described, "SegmentedPropertyCategoryCodeSequence"),
        property_type=code_in(described, "SegmentedPropertyTypeCodeSequence"),
    ).role


def _segment(
    instance: Instance,
    header: SegHeader,
    number: int,
    described: Attributes,
    placed: Placed,
    pet: Volume,
    role: Role,
) -> Segment:
    threshold_flag = ("fractional-thresholded",) if header.kind == "FRACTIONAL" else ()
    return Segment(
        number=number,
        label=described.text("SegmentLabel") or "",
        role=role,
        mask=Mask(placed.voxels, pet.grid),
        source_class_uid=instance.sop_class_uid,
        source_instance_uid=instance.sop_instance_uid,
        tracking_id=described.text("TrackingID"),
        tracking_uid=described.text("TrackingUID"),
        property_category=code_in(described, "SegmentedPropertyCategoryCodeSequence"),
        property_type=code_in(described, "SegmentedPropertyTypeCodeSequence"),
        anatomic_region=code_in(described, "AnatomicRegionSequence"),
        laterality=laterality_in(described),
        drawn_volume_cm3=placed.drawn_volume_cm3,
        drawn_centroid_lps_mm=placed.drawn_centroid_lps_mm,
        flags=(*placed.flags, *threshold_flag),
    )


def _planes_of_segments(
    header: SegHeader, pixels: SegPixels, fractional_threshold: float
) -> Mapping[int | None, Planes]:
    is_fractional = header.kind == "FRACTIONAL"
    least = fractional_threshold * header.largest_fraction if is_fractional else 1
    frames_of: dict[int | None, list[int]] = defaultdict(list)
    for index, frame in enumerate(header.frames):
        frames_of[frame.segment_number].append(index)

    def planes(indices: list[int]) -> Sequence[DrawnPlane]:
        read = ((header.frames[i], pixels.frame(i)) for i in indices)
        marked = ((frame, values >= max(least, 1)) for frame, values in read if values is not None)
        return _without_repeats([_plane(frame, mask) for frame, mask in marked if mask.any()])

    return {number: partial(planes, indices) for number, indices in frames_of.items()}


def _planes_of_labels(header: SegHeader, pixels: SegPixels) -> Mapping[int | None, Planes]:
    background = header.background or 0
    found: dict[int | None, list[DrawnPlane]] = defaultdict(list)
    for index, frame in enumerate(header.frames):
        values = pixels.frame(index)
        if values is None and background == 0:
            continue
        if values is None:
            values = np.zeros(header.shape, np.uint8)
        for number, plane in _labels_of(frame, values, background):
            found[number].append(plane)
    return {number: partial(_without_repeats, planes) for number, planes in found.items()}


def _labels_of(
    frame: FrameHeader, values: Pixels, background: int
) -> Iterator[tuple[int, DrawnPlane]]:
    at = np.flatnonzero(values != background)
    labels = values.ravel()[at]
    order = np.argsort(labels, kind="stable")
    numbers, starts = np.unique(labels[order], return_index=True)
    for number, pixels in zip(numbers.tolist(), np.split(at[order], starts[1:]), strict=True):
        rows, columns = np.divmod(pixels, values.shape[1])
        yield number, _cropped(frame, rows, columns)


def _plane(frame: FrameHeader, mask: Bool) -> DrawnPlane:
    return _cropped(frame, *np.nonzero(mask))


def _cropped(
    frame: FrameHeader, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]
) -> DrawnPlane:
    first_row, first_column = int(rows.min()), int(columns.min())
    pixels = np.zeros((rows.max() - first_row + 1, columns.max() - first_column + 1), np.bool_)
    pixels[rows - first_row, columns - first_column] = True
    return DrawnPlane(pixels, first_row, first_column, frame.affine, frame.lower, frame.upper)


def _without_repeats(planes: list[DrawnPlane]) -> Sequence[DrawnPlane]:
    """Each plane once; two frames at one place that mark different pixels leave no choice."""
    by_place: dict[bytes, DrawnPlane] = {}
    for plane in planes:
        first = by_place.setdefault(np.round(plane.grid_affine, 3).tobytes(), plane)
        if (first.first_row, first.first_column) != (plane.first_row, plane.first_column) or (
            not np.array_equal(first.pixels, plane.pixels)
        ):
            raise Unusable("two frames at one place mark other pixels", code="duplicate-frame")
    return list(by_place.values())
