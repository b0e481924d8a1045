"""Coded concepts of an item, with the wordings of several editions of the standard."""

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from engine.codes import BILATERAL, LEFT, RIGHT, stated_code
from engine.reading.attributes import Attributes


def code_in(item: Attributes, keyword: str) -> Code | None:
    """The first code of a code sequence; None where it is absent, empty or without a value."""
    first = item.items(keyword)[:1]
    return _code(first[0]) if first else None


def laterality_in(item: Attributes) -> Code | None:
    """Left, right or both, from the modifiers of the property type or of the anatomic region."""
    modifiers = item.items("SegmentedPropertyTypeModifierCodeSequence") + [
        modifier
        for holder in ("SegmentedPropertyTypeCodeSequence", "AnatomicRegionSequence")
        for coded in item.items(holder)[:1]
        for keyword in (
            "SegmentedPropertyTypeModifierCodeSequence",
            "AnatomicRegionModifierSequence",
        )
        for modifier in Attributes((coded,)).items(keyword)
    ]
    stated = [code for modifier in modifiers if (code := _code(modifier))]
    return next((side for side in (RIGHT, LEFT, BILATERAL) if side in stated), None)


def _code(item: Dataset) -> Code | None:
    return stated_code(Attributes((item,)).text)
