"""Values straight from their bytes, where an object has so many that converting them is slow."""

import math
from typing import Any

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from engine.reading.part10 import FOREIGN


def item_of(group: Dataset, sequence: BaseTag) -> Dataset | None:
    """The first item of a sequence, None where there is none."""
    if sequence not in group:
        return None
    try:
        item = group[sequence].value[0]
    except FOREIGN:
        return None
    return item if isinstance(item, Dataset) else None


def decimals(item: Dataset | None, tag: BaseTag, count: int) -> tuple[float, ...] | None:
    """Exactly `count` finite numbers of a Decimal String, else None."""
    value = _value(item, tag)
    try:
        if isinstance(value, bytes):
            numbers = tuple(map(float, value.strip(b" \0").split(b"\\")))
        else:
            numbers = tuple(map(float, [value] if count == 1 else value))
    except FOREIGN:
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def whole_number(item: Dataset | None, tag: BaseTag) -> int | None:
    """An Unsigned Short, else None."""
    value = _value(item, tag)
    if isinstance(value, bytes):
        return int.from_bytes(value, "little") if len(value) == 2 else None
    return value if isinstance(value, int) else None


def _value(item: Dataset | None, tag: BaseTag) -> Any:
    """Bytes where pydicom has not converted the element yet."""
    if item is None or tag not in item:
        return None
    try:
        element: Any = item.get_item(tag)
    except FOREIGN:
        return None
    if isinstance(element, RawDataElement):
        return element.value or b""
    return element.value
