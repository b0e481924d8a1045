"""A CT series as a volume in Hounsfield units."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
)

from engine.errors import MissingQuantity, Unreadable
from engine.reading.pixels import stored_planes
from engine.reading.slices import Slice, read_stack
from engine.volume import Volume

CT_CLASSES = frozenset(
    map(
        str,
        (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage),
    )
)


def read_ct(paths: Sequence[Path]) -> Volume:
    """All planes of one CT series; each plane by its own Rescale Slope and Intercept."""
    stack = read_stack(paths)
    scaling = [_scaling(plane) for plane in stack.slices]
    values = np.empty(stack.grid.shape, np.float32)
    for k, stored in stored_planes(stack):
        slope, intercept = scaling[k]
        values[k] = stored.astype(np.float64) * slope + intercept
    return Volume(
        values=values,
        grid=stack.grid,
        unit="HU",
        slices=tuple(plane.reference for plane in stack.slices),
        series_instance_uid=stack.series_instance_uid,
    )


def _scaling(plane: Slice) -> tuple[float, float]:
    """PS3.3 C.8.2.1.1.2: the output is Hounsfield units where these two are stated."""
    uid = plane.instance.sop_instance_uid
    if plane.instance.sop_class_uid not in CT_CLASSES:
        raise Unreadable(
            f"Instance {uid} is of SOP class {plane.instance.sop_class_uid}, not a CT image",
            code="not-ct",
        )
    if plane.attributes.items("ModalityLUTSequence"):
        raise Unreadable(f"Instance {uid} has a Modality LUT, no rescale", code="modality-lut")
    return _number(plane, "RescaleSlope"), _number(plane, "RescaleIntercept")


def _number(plane: Slice, keyword: str) -> float:
    value = plane.attributes.number(keyword)
    if value is None:
        raise MissingQuantity(
            f"Instance {plane.instance.sop_instance_uid} states no {keyword}", keyword=keyword
        )
    return value
