"""A PET series as a volume in the unit it states, and what SUV needs to know of its acquisition."""

from collections.abc import Sequence
from pathlib import Path

from pydicom.uid import (
    EnhancedPETImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    PositronEmissionTomographyImageStorage,
)

from engine.acquisition import PetAcquisition
from engine.errors import MissingQuantity, Unreadable
from engine.reading.pet_header import pet_acquisition, rescale
from engine.reading.rescaling import rescaled
from engine.reading.slices import Slice, read_stack
from engine.volume import Volume

PET_CLASSES = frozenset(
    map(
        str,
        (
            PositronEmissionTomographyImageStorage,
            EnhancedPETImageStorage,
            LegacyConvertedEnhancedPETImageStorage,
        ),
    )
)


def read_pet(paths: Sequence[Path]) -> tuple[Volume, PetAcquisition]:
    """All planes of one PET series; each plane by its own Rescale Slope (PS3.3 C.8.9.4)."""
    stack = read_stack(paths)
    for plane in stack.slices:
        if plane.instance.sop_class_uid not in PET_CLASSES:
            raise Unreadable(
                f"Instance {plane.instance.sop_instance_uid} is of SOP class"
                f" {plane.instance.sop_class_uid}, not a PET image",
                code="not-pet",
            )
    acquisition = pet_acquisition([plane.attributes for plane in stack.slices], stack.flags)
    scaling = [_scaling(plane) for plane in stack.slices]
    return rescaled(stack, scaling, _unit(acquisition)), acquisition


def _scaling(plane: Slice) -> tuple[float, float]:
    slope, intercept = rescale(plane.attributes)
    if slope is None:
        raise MissingQuantity(
            f"Instance {plane.instance.sop_instance_uid} states no Rescale Slope",
            keyword="RescaleSlope",
        )
    return slope, intercept


def _unit(acquisition: PetAcquisition) -> str:
    if acquisition.units == "BQML":
        return "Bq/ml"
    if acquisition.units == "GML" and acquisition.suv_type in (None, "BW"):
        return "g/ml"
    return acquisition.units or "unknown"
