"""A CT series as a volume in Hounsfield units."""

from collections.abc import Sequence
from pathlib import Path

from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
)

from engine.errors import MissingQuantity, Unreadable
from engine.reading.rescaling import rescaled
from engine.reading.slices import Slice, read_stack
from engine.volume import Volume

CT_CLASSES = frozenset(
    map(
        str,
        (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage),
    )
)


def read_ct(paths: Sequence[Path]) -> Volume:
    """All planes of one CT series; each plane by its own Rescale Slope and Intercept.

    Raises MissingQuantity without them, Unreadable (`not-hu`) where Rescale Type says another unit.
    """
    stack = read_stack(paths)
    return rescaled(stack, [_scaling(plane) for plane in stack.slices], "HU")


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
    # US says nothing; all else (Z_EFF, MGML, ED, PCT, ...) is another quantity of a spectral CT
    if (plane.attributes.text("RescaleType") or "US").upper() not in ("HU", "US"):
        raise Unreadable(f"Instance {uid} states a Rescale Type that is not HU", code="not-hu")
    return _number(plane, "RescaleSlope"), _number(plane, "RescaleIntercept")


def _number(plane: Slice, keyword: str) -> float:
    value = plane.attributes.number(keyword)
    if value is None:
        raise MissingQuantity(
            f"Instance {plane.instance.sop_instance_uid} states no {keyword}", keyword=keyword
        )
    return value
