"""What an image states of one of its planes, wherever in the dataset it stands."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from engine.reading.part10 import FOREIGN


@dataclass(frozen=True, slots=True, eq=False)
class Attributes:
    """The places to look in, nearest to the frame first: the first that has a value is believed.

    A value that cannot be converted (text in a DS, say) counts as absent.
    """

    places: tuple[Dataset, ...]

    def value(self, keyword: str) -> Any:
        """The value as pydicom gives it, or None where absent or empty."""
        for place in self.places:
            value = _value(place, keyword)
            if value is not None:
                return value
        return None

    def number(self, keyword: str) -> float | None:
        """A finite number, of an attribute with one value."""
        return as_number(self.value(keyword))

    def numbers(self, keyword: str, count: int) -> tuple[float, ...] | None:
        """Exactly `count` finite numbers."""
        value = self.value(keyword)
        if not isinstance(value, MultiValue | list | tuple) or len(value) != count:
            return None
        numbers = tuple(as_number(each) for each in value)
        return None if None in numbers else tuple(n for n in numbers if n is not None)

    def texts(self, keyword: str) -> tuple[str, ...]:
        """All values; pydicom gives a plain str where there is one only."""
        value = self.value(keyword)
        if value is None:
            return ()
        many = value if isinstance(value, MultiValue | list | tuple) else [value]
        return tuple(stripped for each in many if (stripped := as_text(each)))

    def text(self, keyword: str) -> str | None:
        """The one value; None where there are several."""
        texts = self.texts(keyword)
        return texts[0] if len(texts) == 1 else None

    def items(self, keyword: str) -> list[Dataset]:
        """The items of a sequence, none where it is absent."""
        value = self.value(keyword)
        return list(value) if _is_sequence(value) else []

    def private(self, group: int, creator: str, element: int) -> Any:
        """A private element by its creator (PS3.5 7.8.1), None where absent or empty."""
        for place in self.places:
            try:
                value = place.private_block(group, creator)[element].value
            except (KeyError, *FOREIGN):
                continue
            if value not in (None, "", b""):
                return value
        return None


def attributes_of_frames(header: Dataset, count: int) -> list[Attributes]:
    """A classic image's dataset; of a multi-frame one, each frame's functional groups before it.

    PS3.3 C.7.6.16: per-frame groups go before shared ones. The Unassigned Converted Attributes of
    a Legacy Converted object are such groups, so the classic attributes are found as well.
    """
    per_frame = _items(header, "PerFrameFunctionalGroupsSequence")
    shared = _items(header, "SharedFunctionalGroupsSequence")[:1]
    shared_macros = [item for group in shared for item in _first_items(group)]
    frames = []
    for frame in range(count):
        own = per_frame[frame : frame + 1]
        macros = [item for group in own for item in _first_items(group)]
        frames.append(Attributes((*macros, *shared_macros, *own, *shared, header)))
    return frames


def without_creator(places: tuple[Dataset, ...], group: int, element: int) -> Any:
    """A private element of block 0x10 where no Private Creator owns that block any more."""
    for place in places:
        try:
            if (group, 0x0010) not in place and (group, element) in place:
                return place[group, element].value
        except FOREIGN:
            continue
    return None


def as_number(value: Any) -> float | None:
    """A finite float from a number, a text or the bytes of an unknown VR."""
    try:
        number = float(as_text(value)) if isinstance(value, bytes | str) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_text(value: Any) -> str:
    """Text without padding, also from the bytes of an unknown VR."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return text.strip(" \0")


def _value(place: Dataset, keyword: str) -> Any:
    try:
        value = place[keyword].value if keyword in place else None
    except FOREIGN:
        return None
    empty = value is None or (not isinstance(value, int | float) and len(value) == 0)
    return None if empty else value


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and all(isinstance(each, Dataset) for each in value)


def _items(place: Dataset, keyword: str) -> list[Dataset]:
    value = _value(place, keyword)
    return list(value) if _is_sequence(value) else []


def _first_items(group: Dataset) -> Iterator[Dataset]:
    """The first item of every functional group macro."""
    try:
        for element in group:
            if element.VR == "SQ" and len(element.value) > 0:
                yield element.value[0]
    except FOREIGN:
        return
