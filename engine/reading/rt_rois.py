"""The ROIs of an RTSTRUCT with their contours as points, before any grid is known."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sr.coding import Code
from pydicom.tag import Tag

from engine.errors import Unreadable
from engine.reading.attributes import Attributes
from engine.reading.coded import code_in
from engine.reading.content import Unusable
from engine.reading.part10 import FOREIGN, Instance
from engine.reading.planes import FARTHEST_MM, possible_length

Float = npt.NDArray[np.float64]

MAX_POINTS = 5_000_000  # of all contours of one ROI; a dense body outline has some 200000
CONTOUR_DATA = Tag(0x3006, 0x0050)


@dataclass(frozen=True, slots=True)
class Contour:
    """One contour, still as its item: points are read when the ROI is."""

    geometric_type: str  # (3006,0042)
    item: Dataset
    slab_thickness_mm: float | None  # (3006,0044)


@dataclass(frozen=True, slots=True, eq=False)
class Roi:
    """One item of the Structure Set ROI Sequence with what other sequences say of it."""

    number: int
    name: str
    frame_of_reference_uid: str | None
    interpreted_type: str | None
    identification: Code | None
    contours: tuple[Contour, ...]


def read_rois(instance: Instance) -> tuple[Roi, ...]:
    """All ROIs in ascending ROINumber. Raises Unreadable where none is stated."""
    top = Attributes((instance.header,))
    contours = _by_roi(top, "ROIContourSequence")
    observations = _by_roi(top, "RTROIObservationsSequence")
    whole_set = _frame_of_reference_of_the_set(top)
    rois = []
    for roi in (Attributes((item,)) for item in top.items("StructureSetROISequence")):
        number = roi.number("ROINumber")
        if number is None:
            continue
        observed = Attributes(tuple(observations[int(number)]))
        rois.append(
            Roi(
                number=int(number),
                name=roi.text("ROIName") or "",
                frame_of_reference_uid=roi.text("ReferencedFrameOfReferenceUID") or whole_set,
                interpreted_type=observed.text("RTROIInterpretedType"),
                identification=code_in(observed, "RTROIIdentificationCodeSequence"),
                contours=tuple(
                    contour for item in contours[int(number)] for contour in _contours(item)
                ),
            )
        )
    if not rois:
        raise Unreadable(
            f"RTSTRUCT {instance.sop_instance_uid}: StructureSetROISequence names no ROI",
            code="no-roi",
        )
    return tuple(sorted(rois, key=lambda roi: roi.number))


def points_lps_mm(contours: Sequence[Contour]) -> list[Float]:
    """The points [n, 3] of each contour. Raises Unusable for what is no list of points."""
    texts = [_coordinates(contour.item) for contour in contours]
    if sum(map(len, texts)) > 3 * MAX_POINTS:
        raise Unusable(f"it has more than {MAX_POINTS} contour points", code="too-many-points")
    return [_points(text) for text in texts]


def _points(texts: Sequence[object]) -> Float:
    try:
        values = np.array([float(each) for each in texts])  # type: ignore[arg-type]
    except (TypeError, ValueError) as exc:
        raise Unusable("a ContourData value is no number", code="bad-contour") from exc
    if len(values) % 3 or not np.all(np.isfinite(values)):
        raise Unusable("ContourData does not hold finite triplets", code="bad-contour")
    if len(values) and np.abs(values).max() > FARTHEST_MM:
        raise Unusable(
            f"ContourData lies more than {FARTHEST_MM:.0f} mm from the origin", code="bad-contour"
        )
    return values.reshape(-1, 3)


def _coordinates(item: Dataset) -> Sequence[object]:
    """The values unconverted where pydicom has not touched them yet: there are so many."""
    try:
        element: Any = item.get_item(CONTOUR_DATA)
    except FOREIGN as exc:
        raise Unusable("ContourData cannot be read", code="bad-contour") from exc
    if isinstance(element, RawDataElement):
        raw: bytes = element.value or b""
        if raw.count(b"\\") > 3 * MAX_POINTS:
            raise Unusable(f"it has more than {MAX_POINTS} contour points", code="too-many-points")
        return raw.split(b"\\") if raw.strip(b" \0") else ()
    value = element.value if element is not None else None
    return value if isinstance(value, MultiValue | list) else ()


def _contours(item: Dataset) -> list[Contour]:
    drawn = (Attributes((contour,)) for contour in Attributes((item,)).items("ContourSequence"))
    return [
        Contour(
            (contour.text("ContourGeometricType") or "").upper(),
            contour.places[0],
            possible_length(contour.number("ContourSlabThickness")),
        )
        for contour in drawn
    ]


def _by_roi(top: Attributes, keyword: str) -> defaultdict[int, list[Dataset]]:
    found = defaultdict(list)
    for item in top.items(keyword):
        number = Attributes((item,)).number("ReferencedROINumber")
        if number is not None and math.isfinite(number):
            found[int(number)].append(item)
    return found


def _frame_of_reference_of_the_set(top: Attributes) -> str | None:
    """Where an ROI names no frame of reference: that of the object, if it has one only."""
    listed = {
        Attributes((item,)).text("FrameOfReferenceUID")
        for item in top.items("ReferencedFrameOfReferenceSequence")
    }
    own = top.text("FrameOfReferenceUID")
    return own or (listed.pop() if len(listed) == 1 else None)
