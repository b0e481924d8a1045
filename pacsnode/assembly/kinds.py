"""What an image series is: PET or CT, volume or projection, still or moving."""

import re
from collections.abc import Iterable
from typing import Final

from pydicom import uid

from pacsnode.assembly.attributes import texts
from storage.records import Instance, Series

MULTI_FRAME_PET: Final = frozenset(
    {uid.EnhancedPETImageStorage, uid.LegacyConvertedEnhancedPETImageStorage}
)
MULTI_FRAME_CT: Final = frozenset(
    {uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage}
)
PET_CLASSES: Final = MULTI_FRAME_PET | {uid.PositronEmissionTomographyImageStorage}
CT_CLASSES: Final = MULTI_FRAME_CT | {uid.CTImageStorage}
LABEL_MAP_SEGMENTATION: Final = "1.2.840.10008.5.1.4.1.1.66.7"  # younger than pydicom's list
SEGMENTATION_CLASSES: Final = frozenset({uid.SegmentationStorage, LABEL_MAP_SEGMENTATION})
MASK_CLASSES: Final = SEGMENTATION_CLASSES | {uid.RTStructureSetStorage}

_PROJECTION = re.compile(r"\b(T?MIP|MINIP|M(AX|IN)[ _]?IP|(RE)?PROJECTION|VRT?|RENDERED)\b")
_REFORMAT = re.compile(r"\b(CSA)?(MPR|MPVR|CPR)\b|\b(REFORMAT(TED)?|CURVED|OBLIQUE)\b")
# PS3.3 C.8.16.1.4: value 4 of an enhanced image says how its pixels were derived
_ENHANCED_PROJECTIONS = frozenset({"MAXIMUM", "MINIMUM"})


def is_pet(series: Series) -> bool:
    return series.sop_class_uid in PET_CLASSES


def is_ct(series: Series) -> bool:
    return series.sop_class_uid in CT_CLASSES


def is_multi_frame(series: Series) -> bool:
    return series.sop_class_uid in MULTI_FRAME_PET | MULTI_FRAME_CT


def not_a_volume(series: Series) -> str | None:
    """Why a series is no stack of slices: "projection", "reformat" or "localizer"; else None."""
    flavours = _values_after(series.instances, "ImageType", start=2)
    # PS3.3 C.8.9.1.1.3: REPROJECTION as the second value of Series Type
    if _matches(_PROJECTION, flavours) or "REPROJECTION" in _series_type(series, 1):
        return "projection"
    if is_multi_frame(series) and flavours & _ENHANCED_PROJECTIONS:
        return "projection"
    if _matches(_REFORMAT, flavours):
        return "reformat"
    if any(value.startswith(("LOCALIZER", "TOPOGRAM", "SCOUT")) for value in flavours):
        return "localizer"
    return None


def motion(series: Series) -> str | None:
    """ "gated" or "dynamic" by Series Type, or an enhanced image's flavour; else None."""
    # PS3.3 C.8.9.1.1.3: STATIC, DYNAMIC, GATED, WHOLE BODY
    stated = _series_type(series, 0)
    if is_multi_frame(series):
        stated |= _values_after(series.instances, "ImageType", start=2)
    if any("GATED" in value for value in stated):
        return "gated"
    return "dynamic" if "DYNAMIC" in stated else None


def is_derived(series: Series) -> bool:
    """Whether ImageType says DERIVED of any image."""
    return any(
        "DERIVED" in (value.upper() for value in texts(one.attributes, "ImageType")[:1])
        for one in series.instances
    )


def _series_type(series: Series, index: int) -> set[str]:
    stated = (texts(one.attributes, "SeriesType") for one in series.instances)
    return {values[index].upper() for values in stated if len(values) > index}


def _values_after(instances: Iterable[Instance], keyword: str, *, start: int) -> set[str]:
    return {
        value.upper()
        for one in instances
        for value in texts(one.attributes, keyword)[start:]
    }  # fmt: skip


def _matches(pattern: re.Pattern[str], values: set[str]) -> bool:
    return any(pattern.search(value.replace("_", " ")) for value in values)
