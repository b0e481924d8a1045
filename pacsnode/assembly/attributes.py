"""Indexed attributes as typed values: None or empty where absent, or not what they should be."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydicom.sr.coding import Code

Attributes = Mapping[str, Any]


def texts(attributes: Attributes, keyword: str) -> tuple[str, ...]:
    """All values; a single one comes from the index without a tuple around it."""
    value = attributes.get(keyword)
    if value is None:
        return ()
    values = value if isinstance(value, tuple | list) else (value,)
    return tuple(str(one).strip() for one in values)


def text(attributes: Attributes, keyword: str) -> str | None:
    """The first value, or None where there is none or it is blank."""
    values = texts(attributes, keyword)
    return (values[0] or None) if values else None


def numbers(attributes: Attributes, keyword: str) -> tuple[float, ...]:
    """All values as float, or none of them where one is not a number."""
    value = attributes.get(keyword)
    if isinstance(value, float | int):  # as the index gives them: the quick way
        return (float(value),)
    if isinstance(value, tuple) and all(isinstance(one, float) for one in value):
        return value
    try:
        return tuple(float(value) for value in texts(attributes, keyword))
    except ValueError:
        return ()


def number(attributes: Attributes, keyword: str) -> float | None:
    """The first value as float."""
    values = numbers(attributes, keyword)
    return values[0] if values else None


def items(attributes: Attributes, keyword: str) -> tuple[Attributes, ...]:
    """The items of a sequence."""
    value = attributes.get(keyword)
    if isinstance(value, Mapping):
        return (value,)
    if not isinstance(value, tuple | list):
        return ()
    return tuple(item for item in value if isinstance(item, Mapping))


def code(attributes: Attributes, keyword: str) -> Code | None:
    """The first item of a code sequence."""
    for item in items(attributes, keyword):
        value, scheme = text(item, "CodeValue"), text(item, "CodingSchemeDesignator")
        if value and scheme:
            return Code(value, scheme, text(item, "CodeMeaning") or value)
    return None


def moment(attributes: Attributes, date_keyword: str, time_keyword: str) -> datetime | None:
    """A DA and a TM together, as the scanner's local time; None unless both are stated."""
    day, time = text(attributes, date_keyword), text(attributes, time_keyword)
    if not day or not time:
        return None
    whole, _, fraction = time.replace(":", "").partition(".")
    stamp = f"{day.replace('.', '')} {whole:0<6} {fraction[:6]:0<6}"
    try:
        return datetime.strptime(stamp, "%Y%m%d %H%M%S %f")  # noqa: DTZ007 - DICOM local time
    except ValueError:
        return None
