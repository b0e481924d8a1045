"""Value bytes to plain values: str, int, float, tuples of them; mappings for sequence items."""

import math
import struct
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from pydicom.charset import decode_bytes, python_encoding

from storage.header.attributes import ChosenTags, Wanted
from storage.header.elements import Element, Elements

Plain: TypeAlias = str | int | float | tuple[Any, ...]

SPECIFIC_CHARACTER_SET: Final = 0x00080005
TEXT: Final = frozenset(("SH", "LO", "UC", "PN", "ST", "LT", "UT"))  # PS3.5 6.1.2.3
SINGLE: Final = frozenset(("ST", "LT", "UT", "UR"))  # a backslash in them is a letter
BINARY: Final = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d"}
TEXT_DELIMITERS: Final = set(b"\\^=\t\n\f\r")  # an escape ends at them, PS3.5 6.1.2.5.3
PADDING: Final = " \0"


def select(encoded: bytes, elements: Elements, chosen: ChosenTags) -> Mapping[str, Any]:
    """The chosen attributes of one dataset or item; absent, empty and undecodable ones left out."""
    codecs = character_sets(encoded, elements, ("ascii",))
    return _select(encoded, elements, chosen, codecs)


def text(encoded: bytes, elements: Elements, tag: int) -> str | None:
    """One attribute as text, without its padding; None where absent or empty."""
    if tag not in elements:
        return None
    codecs = character_sets(encoded, elements, ("ascii",))
    element = elements[tag]
    return decode_text(encoded[element.start : element.stop], codecs).strip(PADDING) or None


def plain_uid(encoded: bytes, element: Element | None) -> str:
    """A UID as stated, without padding; "" where absent. Its form is not judged here."""
    if element is None:
        return ""
    return encoded[element.start : element.stop].decode("latin-1").rstrip(PADDING)


def character_sets(
    encoded: bytes, elements: Elements, inherited: tuple[str, ...]
) -> tuple[str, ...]:
    """Python's names of the codecs that SpecificCharacterSet states (PS3.3 C.12.1.1.2)."""
    element = elements.get(SPECIFIC_CHARACTER_SET)
    if element is None:
        return inherited
    stated = encoded[element.start : element.stop].decode("latin-1").split("\\")
    known = (python_encoding.get(term.strip(PADDING)) for term in stated)
    return tuple(codec or "ascii" for codec in known)


def decode_text(value: bytes, codecs: tuple[str, ...]) -> str:
    """Text in the stated character sets; what cannot be decoded is replaced, never raised."""
    if b"\x1b" not in value:
        try:
            return value.decode(codecs[0])
        except UnicodeDecodeError:
            return value.decode("latin-1" if codecs[0] == "ascii" else codecs[0], "replace")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns where it replaces
            return decode_bytes(value, list(codecs), TEXT_DELIMITERS)
    except (LookupError, ValueError):
        return value.decode("latin-1")


def _select(
    encoded: bytes, elements: Elements, chosen: ChosenTags, codecs: tuple[str, ...]
) -> Mapping[str, Any]:
    selected: dict[str, Any] = {}
    for tag, element in elements.items():
        wanted = chosen.get(tag)
        if wanted is None:
            continue
        if wanted.nested is not None:
            value: Plain | None = _items(encoded, element, wanted.nested, codecs)
        else:
            value = _decode(encoded, element, wanted, codecs)
        if value is not None:
            selected[wanted.keyword] = value
    return MappingProxyType(selected)


def _items(
    encoded: bytes, element: Element, nested: ChosenTags, codecs: tuple[str, ...]
) -> tuple[Mapping[str, Any], ...] | None:
    if not element.items:
        return None
    return tuple(
        _select(encoded, item, nested, character_sets(encoded, item, codecs))
        for item in element.items
    )


def _decode(
    encoded: bytes, element: Element, wanted: Wanted, codecs: tuple[str, ...]
) -> Plain | None:
    vr = element.vr if element.vr not in ("", "UN") else wanted.vr
    value = encoded[element.start : element.stop]
    if vr in BINARY:
        return _numbers(value, BINARY[vr], element.little_endian)
    letters = decode_text(value, codecs) if vr in TEXT else value.decode("latin-1")
    if vr in SINGLE:
        return letters.rstrip(PADDING) or None
    parts = [part.strip(PADDING) for part in letters.split("\\")]
    if not any(parts):
        return None
    if vr in NUMBER_STRINGS:
        return _numbers_of_text(parts, NUMBER_STRINGS[vr])
    return parts[0] if len(parts) == 1 else tuple(parts)


def _integer(number: str) -> int:
    value = int(number)
    if value.bit_length() > 63:  # PS3.5 6.2 allows 32 bits, some write more, the index holds 64
        raise ValueError("beyond 64 bits")
    return value


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(number)
    return value


NUMBER_STRINGS: Final[Mapping[str, Callable[[str], int | float]]] = {"IS": _integer, "DS": _finite}


def _numbers_of_text(parts: list[str], number: Callable[[str], int | float]) -> Plain | None:
    # one number that is none makes all of them worthless: a position has three or is unknown
    try:
        numbers = tuple(number(part) for part in parts)
    except ValueError:
        return None
    return numbers[0] if len(numbers) == 1 else numbers


def _numbers(value: bytes, letter: str, little_endian: bool) -> Plain | None:
    width = struct.calcsize(f"<{letter}")
    count, rest = divmod(len(value), width)
    if rest or not count:
        return None
    numbers = struct.unpack(f"{'<' if little_endian else '>'}{count}{letter}", value)
    if not all(map(math.isfinite, numbers)):
        return None
    return numbers[0] if count == 1 else numbers
