"""What a quantity is said to be: an uptake, a size, a slice, a volume; from the words around it."""

import re
from dataclasses import dataclass

from engine.grounding.lengths import TO_ITS_END, distance, extent_of, other_axes
from engine.grounding.marks import NAME
from engine.grounding.phrases import (
    COMPARATOR,
    FILLER,
    FILLING_WORD,
    LESION,
    REFERENCE,
    SUV_PHRASE,
    THING,
)
from engine.grounding.quantities import ATOM, Quantity, is_unitless


@dataclass(frozen=True, slots=True)
class Meaning:
    """`kind` as in Span; `role` the statistic of an uptake, or the axis of a size.

    `start` and `end` enclose the words that only make sense with the number; where they are taken
    out, `instead` stands in their place. What is an `aside` parts no uptake from its number.
    """

    kind: str
    role: str
    start: int
    end: int
    instead: str = ""
    is_aside: bool = False


_SUV_BEFORE = re.compile(rf"{SUV_PHRASE}(?P<between>{FILLER})$", re.I)
_SUV_AFAR = re.compile(
    rf"{SUV_PHRASE}(?P<between>[^.;:()\[\]\d#]{{0,60}}?\b(?:of|is|was|at|to|measur\w+|reach\w*|=)\s*{FILLER})$",
    re.I,
)
# "SUV max of the T9 lesion: 7.3"
_SUV_OF_NAME = re.compile(
    rf"{SUV_PHRASE}(?P<between>\s+(?:of|at|in|for)\s+(?:the\s+|an?\s+)?(?:[a-z]+\s+){{0,2}}{NAME}+"
    rf"(?:[\s-]+(?:lymph\s+)?(?:vertebral\s+)?(?:body|{LESION}|vertebrae?))?{FILLER})$",
    re.I,
)
_SUV_AFTER = re.compile(rf"\s*-?\s*(?>{SUV_PHRASE})(?P<ahead>{FILLER}{ATOM.pattern})?", re.I)
_NEGATION = re.compile(r"\b(?:no|without|not|never|none)\b[^,;.()]*$", re.I)

_SLICE_BEFORE = re.compile(
    r"(?:\b(?:pet\s*/\s*ct|pet|fused|ct|mri?|transaxial|axial|coronal|sagittal)\s+)*"
    r"\b(?:slices?|images?|img|im|instances?|frames?)\b\.?"
    r"(?:[\s:=(#,~-]|\b(?:numbers?|nos?|num|at|of|between|from|about|approximately)\b\.?)*$",
    re.I,
)
_NOT_A_PET_SLICE = re.compile(r"(?<!pet/)(?<!pet /)(?<!pet / )\bct\b|\bmr|coronal|sagittal", re.I)
_UPTAKE_WAITS = re.compile(rf"{SUV_PHRASE}[^.;:,()\[\]\d#]{{0,60}}$", re.I)
_UPTAKE_FOLLOWS = re.compile(
    rf"\s*(?:[:=]|\b(?:is|was|of|measur\w+|reach\w*)\b){FILLER}{ATOM.pattern}", re.I
)
_FRACTION = re.compile(r"\d[.,]\d{1,2}(?!\d)|(?<!\d)[.,]\d|\bpoint\b|\bhalf\b", re.I)
_TOTAL_AFTER = re.compile(rf"\s*(?:of|/)\s*{ATOM.pattern}", re.I)
_SERIES_BEFORE = re.compile(r"\b(?:series|ser?)\b\.?(?:[\s:#=(]|\b(?:number|no)\b\.?)*$", re.I)
_VOLUME_BEFORE = re.compile(
    rf"\b(?:volumes?|MTV|(?P<glycolysis>TLG|glycolysis))\b(?:\s*\((?:MTV|TLG)\))?"
    rf"(?P<between>{FILLER})$",
    re.I,
)
_GRAMS = re.compile(r"\s*-?\s*(?:g(?:rams?)?|SUV\s*[*.x]?\s*(?:ml|cc|cm3))(?![\w/])", re.I)
_PER_VOLUME = re.compile(r"\s*[*.x]\s*(?:ml|cc|cm3)(?!\w)", re.I)  # g/mL x cm3
# What may follow a number that has no unit; any other word might be one.
_NO_UNIT_FOLLOWS = re.compile(
    r"\s*(?:$|[^\w\s-]|-(?!\w)|[\x00-\x02]|(?:and|or|with|without|in|on|at|of|for|within|near|along"
    r"|but|which|that|is|was|has|from|to|than|as|by|consistent|suspicious|compatible|likely|seen|noted"
    r"|previously|compared|versus|vs|now|axial|slice|image|series|pet|ct|TLG|MTV|volume|total)\b)",
    re.I,
)
_UNKNOWN_UNIT = re.compile(r"[\s-]*[^\W\d_][^\s,;:()\[\]\d]*(?<![.!?])")
_LITRE_OR_LEFT = re.compile(r"[\s-]*l", re.I)
_FLUID_BEFORE = re.compile(
    r"\b(?:inject\w*|administ\w*|instill\w*|receiv\w*|void\w*|drain\w*|urine|bladder|contrast)\b"
    r"[^,;.()]*$",
    re.I,
)
_FLUID_AFTER = re.compile(
    r"\s*(?:of\b|(?:\w+\s+){0,2}(?:contrast|saline|water|urine|fluid|bolus|syringe)\b)", re.I
)
_SHARE_AFTER = re.compile(
    rf"\s*(?:(?:out\s+)?of\s+(?:the\s+)?{ATOM.pattern}|of\b|(?:after|post)[\s-]+inj\w+|ago\b"
    r"|old\b)",
    re.I,
)

_MULTIPLE = re.compile(r".*(?:twice|thrice|fold|times|\dx$)", re.I | re.S)
_TIMES = re.compile(r"\s*x\b", re.I)
_OF_ANOTHER = re.compile(
    rf"\s*(?:as|that|those|the|its|their)\b{TO_ITS_END}|\s*{REFERENCE.pattern}{TO_ITS_END}", re.I
)
# A share of an uptake; "SUV 6.3 of the liver lesion" is the lesion's own
_OF_REFERENCE = re.compile(
    rf"\s*(?:(?:that|those)\s+)?of\s+(?:the\s+)?{REFERENCE.pattern}(?!\s+(?:[a-z]+\s+)?{THING}\b)"
    rf"{TO_ITS_END}",
    re.I,
)
_LEADS_TO_ONE = re.compile(
    rf"(?:{SUV_PHRASE}|\b(?:slices?|images?|img|frames?|instances?|series|volumes?|MTV|TLG|glycolysis"
    rf"|scores?|grades?|stages?|deauville|krenning|category|number)\b)(?:[^\w.;!?]|{FILLING_WORD})*$"
    rf"|{SUV_PHRASE}[^.;:()\[\]\d#]{{0,60}}?\b(?:is|was|measur\w+|reach\w*)\s+$",
    re.I,
)
_IS_VALUE = re.compile(
    rf"{SUV_PHRASE}(?:[\s:=~-]|\b(?:of|is|was|at|about|approximately|up|to|measur(?:es|ing|ed)|around|nearly)\b)*$",
    re.I,
)
_COUNTED = re.compile(
    r"\s+(?:of\s+(?:the|these|those|them|its|several|many|multiple)\b"
    r"|(?!(?:and|or|with|without|in|on|at|of|for|within|near|which|that|is|was|but|than|from)\b)[a-z])",
    re.I,
)


def leads_to_one(head: str) -> bool:
    """Whether the words before a "one" make it a number."""
    return _LEADS_TO_ONE.search(head) is not None


def is_value(head: str) -> bool:
    """Whether the words before a numeral such as "VIII" make it an uptake."""
    return _IS_VALUE.search(head) is not None


def meaning_of(text: str, head: str, quantity: Quantity) -> Meaning:
    """What a quantity means in a folded text; `head` is what stands before it in its sentence."""
    tail = text[quantity.end :]
    plain = Meaning("unknown", "", quantity.start, quantity.end)
    if quantity.is_date or quantity.is_glued:  # "3x that of the liver" is written in one word
        return plain if quantity.is_date else _multiple(text, head, tail, quantity) or plain
    if quantity.is_word and _COUNTED.match(tail) and not _SLICE_BEFORE.search(head):
        return _unknown(text, head, tail, quantity)
    if volume := _volume(text, head, tail, quantity):
        return volume
    if quantity.unit == "length" or len(quantity.factors) > 1:
        return _size(head, tail, quantity)
    if multiple := _multiple(text, head, tail, quantity):
        return multiple
    for reading in (_suv, _slice, _suv_behind):
        if found := reading(head, tail, quantity):
            return found
    return _unknown(text, head, tail, quantity)


def _size(head: str, tail: str, quantity: Quantity) -> Meaning:
    start, end = quantity.start, quantity.end
    if quantity.unit not in ("length", "none") or len(quantity.factors) > 3:
        return Meaning("unknown", "", start, end)
    if apart := distance(head, tail):
        return Meaning("unknown", "", start - apart.lead, end + apart.gone, apart.instead)
    other = _SUV_BEFORE.search(head) or _VOLUME_BEFORE.search(head)
    if other and "," not in other["between"]:  # "SUV: 1.2 cm" is neither
        return Meaning("unknown", "", start - len(head) + other.start(), end)
    if COMPARATOR.search(head[-20:]) and _NEGATION.search(head):
        return Meaning("unknown", "", start, end)
    if len(quantity.factors) > 1:
        if axes := other_axes(head, tail):
            return Meaning("unknown", "", start - axes.lead, end + axes.gone)
        return Meaning(f"size{len(quantity.factors)}", "", start, end)
    extent = extent_of(head, tail)
    if not extent.axis:
        return Meaning("unknown", "", start - extent.lead, end + extent.gone)
    return Meaning("size1", extent.axis, start, end + extent.gone)


def _suv(head: str, tail: str, quantity: Quantity) -> Meaning | None:
    if quantity.unit not in ("none", "suv"):
        return None
    before = _SUV_BEFORE.search(head) or _SUV_AFAR.search(head) or _SUV_OF_NAME.search(head)
    if before is None:
        return None
    role = _statistic(head[before.start() : before.start("between")])
    return Meaning("suv", role, quantity.start - len(head) + before.start(), quantity.end)


def _suv_behind(head: str, tail: str, quantity: Quantity) -> Meaning | None:
    if quantity.unit not in ("none", "suv"):
        return None
    after = _SUV_AFTER.match(tail)
    if after and not (after["ahead"] and is_unitless(tail, after.end())):
        end = after.start("ahead") if after["ahead"] else after.end()
        return Meaning("suv", _statistic(tail[:end]), quantity.start, quantity.end + end)
    return Meaning("suv", "max", quantity.start, quantity.end) if quantity.unit == "suv" else None


def is_denied(head: str) -> bool:
    """Whether the words before say that there is nothing above the number."""
    denial = _NEGATION.search(head)
    return bool(denial and COMPARATOR.search(denial[0]))


def _statistic(words: str) -> str:
    """max, mean, peak or median; "" where the words name another, or several."""
    lowered = words.lower()
    if re.search(r"\bsul|lbm|bsa|lean|\bmin", lowered):
        return ""
    named = {
        role
        for role, pattern in (
            ("max", "max|highest"), ("mean", "mean|avg|average"), ("peak", "peak"),
            ("median", "median"),
        )
        if re.search(pattern, lowered)
    }  # fmt: skip
    if len(named) > 1:
        return ""
    return named.pop() if named else "max"


def _volume(text: str, head: str, tail: str, quantity: Quantity) -> Meaning | None:
    """A volume or a glycolysis, in whatever unit; unknown where that is no unit of it."""
    led = _VOLUME_BEFORE.search(head)
    if led is None:
        return _volume_without_words(text, head, tail, quantity)
    if quantity.unit == "length" or len(quantity.factors) > 1:
        return None
    start, end = quantity.start - len(head) + led.start(), quantity.end
    if quantity.unit == "volume":
        return Meaning("glycolysis" if led["glycolysis"] else "volume", "", start, end)
    unit = {"none": _GRAMS, "suv": _PER_VOLUME}.get(quantity.unit)
    if led["glycolysis"] and unit and (written := unit.match(tail)):
        return Meaning("glycolysis", "", start, end + written.end())
    if quantity.unit == "none" and _NO_UNIT_FOLLOWS.match(tail):
        return Meaning("glycolysis" if led["glycolysis"] else "volume", "", start, end)
    another = _UNKNOWN_UNIT.match(tail) if quantity.unit == "none" else None
    return Meaning("unknown", "", start, end + (another.end() if another else 0))


def _volume_without_words(text: str, head: str, tail: str, quantity: Quantity) -> Meaning | None:
    """What the unit alone says; "3 L" may be three on the left, and a fluid is no lesion."""
    if quantity.unit != "volume" or len(quantity.factors) > 1:
        return None
    is_left = _LITRE_OR_LEFT.fullmatch(text, quantity.unit_start, quantity.end)
    is_fluid = _FLUID_BEFORE.search(head) or _FLUID_AFTER.match(tail)
    kind = "unknown" if is_left or is_fluid else "volume"
    return Meaning(kind, "", quantity.start, quantity.end)


def _slice(head: str, tail: str, quantity: Quantity) -> Meaning | None:
    """A slice, by whole numbers; none where an uptake still waits for its number."""
    if quantity.unit != "none":
        return None
    if before := _SERIES_BEFORE.search(head):
        return Meaning("unknown", "", quantity.start - len(head) + before.start(), quantity.end)
    before = _SLICE_BEFORE.search(head)
    if before is None:
        return None
    start = quantity.start - len(head) + before.start()
    waits = _UPTAKE_WAITS.search(head, 0, before.start()) is not None
    follows = _UPTAKE_FOLLOWS.match(tail)
    if waits and not (follows and is_unitless(tail, follows.end())):
        return Meaning("unknown", "", quantity.start, quantity.end)
    total = _TOTAL_AFTER.match(tail)
    end = quantity.end + (total.end() if total and not quantity.is_range else 0)
    if _NOT_A_PET_SLICE.search(before[0]) or _FRACTION.search(quantity.factors[0]):
        return Meaning("unknown", "", start, end)
    spread = quantity.is_range and "/" not in quantity.factors[0]
    plural = re.search(r"\b(?:slices|images|frames|instances)\b", before[0], re.I)
    role = "range" if spread and plural else ""
    return Meaning("slice", role, start, end, is_aside=waits)


def _multiple(text: str, head: str, tail: str, quantity: Quantity) -> Meaning | None:
    """An uptake told by another's, which goes with it: "twice that of the liver", "3 x liver"."""
    start, end = quantity.start, quantity.end
    led, times = _SUV_BEFORE.search(head), _TIMES.match(tail)
    is_multiple = _MULTIPLE.match(text, start, end)
    if is_multiple or (times and quantity.unit == "none"):
        end += times.end() if times else 0
        share = _OF_ANOTHER.match(text, end)
        if share and text.startswith(NAME, share.end()):  # else the name would be the place
            return Meaning("unknown", "", start, end, "relative to")
    else:
        share = _OF_REFERENCE.match(text, end) if led else None
    if share is None and not is_multiple:
        return None
    start -= len(head) - led.start() if led else 0
    return Meaning("unknown", "", start, share.end() if share else end)


def _unknown(text: str, head: str, tail: str, quantity: Quantity) -> Meaning:
    """A number no mask can vouch for; "3 of" and "30 % of the" go too."""
    share = _SHARE_AFTER.match(tail)
    end = quantity.end + (share.end() if share else 0)
    return Meaning("unknown", "", quantity.start, end)
