"""Where every element of an encoded dataset lies (PS3.5 section 7); no value is decoded."""

import struct
from typing import Final, NamedTuple, TypeAlias

from pydicom.datadict import dictionary_VR, keyword_dict

from storage.errors import Unkeepable
from storage.header.syntaxes import Encoding

Elements: TypeAlias = "dict[int, Element]"

UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
PIXEL_DATA: Final = 0x7FE00010
FIRST_GROUP: Final = 0x0008  # PS3.5 7.1: groups below belong to commands, files and media

# beyond what is written in earnest (a SEG of 20,000 frames has some 800,000 elements); they bound
# the time and memory that a hostile object can cost
MOST_ELEMENTS: Final = 1_000_000
DEEPEST: Final = 32

SEQUENCES: Final = frozenset(tag for tag in keyword_dict.values() if dictionary_VR(tag) == "SQ")
LONG_VRS: Final = frozenset(
    b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split()  # PS3.5 7.1.2: 32-bit length
)


class Element(NamedTuple):
    """Value bytes at [start:stop]; `items` for sequences, `fragments` for encapsulated pixels."""

    vr: str  # "" where the encoding states none
    start: int
    stop: int
    little_endian: bool
    items: "tuple[Elements, ...] | None" = None
    fragments: tuple[tuple[int, int], ...] | None = None


def scan(encoded: bytes, encoding: Encoding, start: int = 0) -> Elements:
    """Every element from `start` to the very end. Raises Unkeepable where bytes are missing."""
    scanner = _Scanner(encoded, encoding.little_endian)
    elements, _ = scanner.dataset(
        start, len(encoded), encoding.implicit_vr, depth=0, open_end=False
    )
    return elements


def name(tag: int) -> str:
    """(gggg,eeee) for a message."""
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"


class _Scanner:
    def __init__(self, encoded: bytes, little_endian: bool) -> None:
        self.encoded = encoded
        self.little_endian = little_endian
        self.count = 0
        mark = "<" if little_endian else ">"
        self.tag_vr_length = struct.Struct(f"{mark}HH2sH").unpack_from
        self.tag_length = struct.Struct(f"{mark}HHL").unpack_from
        self.length = struct.Struct(f"{mark}L").unpack_from

    def dataset(
        self, at: int, end: int, implicit: bool, depth: int, open_end: bool
    ) -> tuple[Elements, int]:
        """Elements up to `end`, or to an item delimiter where the item's end is open."""
        elements: Elements = {}
        while at < end:
            tag, vr, length, at = self.prefix(at, end, implicit)
            if tag == ITEM_END and open_end:
                return elements, at
            if tag >> 16 < FIRST_GROUP or tag >> 16 == 0xFFFE:
                raise Unkeepable(f"Element {name(tag)} does not belong into a dataset")
            element, at = self.value(tag, vr, length, at, end, implicit, depth)
            if tag in elements and not self.alike(elements[tag], element):
                raise Unkeepable(f"Element {name(tag)} is stated twice, differently")
            elements[tag] = element
        if open_end:
            raise Unkeepable("An item has no end: the object was cut off")
        return elements, at

    def prefix(self, at: int, end: int, implicit: bool) -> tuple[int, str, int, int]:
        """Tag, VR, stated length, and where the value begins."""
        self.counted()
        if end - at < 8:
            raise Unkeepable("The object was cut off within an element's tag or length")
        if implicit:
            group, number, length = self.tag_length(self.encoded, at)
            return group << 16 | number, "", length, at + 8
        group, number, vr, length = self.tag_vr_length(self.encoded, at)
        tag = group << 16 | number
        if vr in LONG_VRS:
            if end - at < 12:
                raise Unkeepable(f"The object was cut off within element {name(tag)}")
            return tag, vr.decode("ascii"), self.length(self.encoded, at + 8)[0], at + 12
        if vr.isalpha() and vr.isupper():
            return tag, vr.decode("ascii"), length, at + 8
        # delimiters have no VR, and some writers fall into implicit VR inside sequences
        return tag, "", self.length(self.encoded, at + 4)[0], at + 8

    def value(
        self, tag: int, vr: str, length: int, at: int, end: int, implicit: bool, depth: int
    ) -> tuple[Element, int]:
        sequence = vr == "SQ" or (vr in ("", "UN") and self.looks_like_sequence(tag, at))
        if length == UNDEFINED:
            if tag == PIXEL_DATA:
                return self.encapsulated(at, end)
            if not (sequence or vr in ("", "UN")):
                raise Unkeepable(f"Element {name(tag)} of VR {vr} states no length")
            # PS3.5 6.2.2 note 2: a sequence behind UN is implicit VR, little endian
            return self.sequence(at, end, implicit or vr == "UN", depth + 1, open_end=True)
        stop = at + length
        if stop > end:
            raise Unkeepable(
                f"Element {name(tag)} states {length} bytes, {end - at} are there: it was cut off"
            )
        if sequence and length:
            try:
                return self.sequence(at, stop, implicit or vr == "UN", depth + 1, open_end=False)
            except _TooDeep:
                raise
            except Unkeepable:
                if not tag >> 16 & 1:
                    raise
                # what a vendor wrote inside its own element is nobody else's to judge
        items = () if sequence and not length else None
        return Element(vr, at, stop, self.little_endian, items), stop

    def sequence(
        self, at: int, end: int, implicit: bool, depth: int, open_end: bool
    ) -> tuple[Element, int]:
        if depth > DEEPEST:
            raise _TooDeep(f"Sequences are nested deeper than {DEEPEST}")
        start = at
        items: list[Elements] = []
        while at < end:
            tag, length, at = self.item_prefix(at, end)
            if tag == SEQUENCE_END and open_end:
                return self.closed(start, at - 8, items), at
            if tag != ITEM:
                raise Unkeepable(f"{name(tag)} stands where a sequence item should")
            item_open = length == UNDEFINED
            stop = end if item_open else at + length
            if stop > end:
                raise Unkeepable("A sequence item reaches beyond the end: it was cut off")
            item, at = self.dataset(at, stop, implicit, depth, item_open)
            items.append(item)
        if open_end:
            raise Unkeepable("A sequence has no end: the object was cut off")
        return self.closed(start, at, items), at

    def encapsulated(self, at: int, end: int) -> tuple[Element, int]:
        """PS3.5 A.4: fragments of stated length, closed by a sequence delimiter."""
        start = at
        fragments: list[tuple[int, int]] = []
        while at < end:
            tag, length, at = self.item_prefix(at, end)
            if tag == SEQUENCE_END:
                return (
                    Element("OB", start, at - 8, self.little_endian, None, tuple(fragments)),
                    at,
                )
            if tag != ITEM or at + length > end:
                raise Unkeepable("The compressed pixel data were cut off")
            fragments.append((at, at + length))
            at += length
        raise Unkeepable("The compressed pixel data have no end: they were cut off")

    def item_prefix(self, at: int, end: int) -> tuple[int, int, int]:
        self.counted()
        if end - at < 8:
            raise Unkeepable("The object was cut off within a sequence")
        group, number, length = self.tag_length(self.encoded, at)
        return group << 16 | number, length, at + 8

    def counted(self) -> None:
        self.count += 1
        if self.count > MOST_ELEMENTS:
            raise Unkeepable(f"More than {MOST_ELEMENTS} elements and items")

    def closed(self, start: int, stop: int, items: list[Elements]) -> Element:
        return Element("SQ", start, stop, self.little_endian, tuple(items))

    def looks_like_sequence(self, tag: int, at: int) -> bool:
        """Where the encoding does not say: by the dictionary, or a private value's first item."""
        return tag in SEQUENCES or (
            bool(tag >> 16 & 1) and self.encoded[at : at + 4] == b"\xfe\xff\x00\xe0"
        )

    def alike(self, first: Element, second: Element) -> bool:
        encoded = self.encoded
        return encoded[first.start : first.stop] == encoded[second.start : second.stop]


class _TooDeep(Unkeepable):
    """Kept apart, for it is refused inside private elements too."""
