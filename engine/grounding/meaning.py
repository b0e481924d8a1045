"""What a quantity is said to be: an uptake, a size, a slice, a volume; from the words around it."""

import re
from dataclasses import dataclass

from engine.grounding.quantities import ATOM, Quantity


@dataclass(frozen=True, slots=True)
class Meaning:
    """`kind` as in Span; `role` the statistic of an uptake, or the axis of a size.

    `start` and `end` enclose the words that only make sense with the number.
    """

    kind: str
    role: str
    start: int
    end: int


_STATISTIC = r"(?:max(?:imum|imal)?|mean|peak|avg|average|min(?:imum)?|median|highest|bw|lbm|bsa|lean)"
_SUV = (
    rf"(?:(?<![A-Za-z])(?:{_STATISTIC}\s+)?(?:(?:FDG|tracer)\s+)?"
    r"(?:suvs?|s\.\s?u\.\s?v\.?|suls?|standard(?:i[sz]ed)?\s+uptake\s+values?(?:\s*\(\s*suvs?\s*\))?)"
    rf"(?:[\s_/,(\[-]*(?:suv)?{_STATISTIC}(?![A-Za-z])\.?[)\]]?)*(?![A-Za-z]))"
)
_FILLER = (
    r"(?:[\s:=~,(\[<>≤≥≈-]|\b(?:of|is|was|at|are|were|values?|measur(?:es|ing|ed)|to|up|reach\w*|an?"
    r"|the|now|currently|today|about|around|approximately|approx\.?|roughly|nearly|equals?|rang\w+"
    r"|from|between|in|greater|more|less|higher|lower|than|above|below|over|under|exceeding|least|most"
    r"|much|as|high|only|measured|overall|region|ca)\b\.?)*"
)
_SUV_BEFORE = re.compile(rf"{_SUV}(?P<between>{_FILLER})$", re.I)
_SUV_AFAR = re.compile(
    rf"{_SUV}(?P<between>[^.;:()\[\]\d#]{{0,60}}?\b(?:of|is|was|at|to|measur\w+|reach\w*|=)\s*{_FILLER})$",
    re.I,
)
_SUV_AFTER = re.compile(rf"\s*-?\s*(?>{_SUV})(?!{_FILLER}[\d\[#])", re.I)
_REFERENCE = re.compile(
    r"\b(?:liver|hepatic|blood[\s-]?pool|aort(?:a|ic)|mediastin(?:al|um)|background|reference"
    r"|spleen|splenic|muscle|brain|parotid|contralateral|normal|physiologic\w*|threshold|cut-?\s?off"
    r"|window|prior)\b",
    re.I,
)
_SITE_OF_LESION = re.compile(r"\b(?:in|of|within|involving|at|near)\s+(?:the\s+)?(?:\w+\s+)?$", re.I)
_COMPARATOR = re.compile(r"[<>≤≥]|\b(?:above|over|greater|more|higher|exceeding|larger|least)\b", re.I)
_NEGATION = re.compile(r"\b(?:no|without|not|never|none)\b[^,;.()]*$", re.I)

_SLICE_BEFORE = re.compile(
    r"(?:\b(?:pet\s*/\s*ct|pet|fused|ct|mri?|transaxial|axial|coronal|sagittal)\s+)*"
    r"\b(?:slices?|images?|img|im|instances?|frames?)\b\.?"
    r"(?:[\s:=(#,~-]|\b(?:numbers?|nos?|num|at|of|between|from|about|approximately)\b\.?)*$",
    re.I,
)
_NOT_A_PET_SLICE = re.compile(r"(?<!pet/)(?<!pet /)(?<!pet / )\bct\b|\bmr|coronal|sagittal", re.I)
_TOTAL_AFTER = re.compile(rf"\s*(?:of|/)\s*{ATOM.pattern}", re.I)
_SERIES_BEFORE = re.compile(r"\b(?:series|ser?)\b\.?(?:[\s:#=(]|\b(?:number|no)\b\.?)*$", re.I)
_VOLUME_BEFORE = re.compile(rf"\b(?:volumes?|MTV)(?P<between>{_FILLER})$", re.I)
_GLYCOLYSIS_BEFORE = re.compile(rf"\b(?:TLG|total\s+lesion\s+glycolysis)(?P<between>{_FILLER})$", re.I)
_DISTANCE_AFTER = re.compile(
    r"\s*(?:away\s+)?(?P<gone>(?:from|of|off)\b[^,;.()\[\]\d#\x00]*?"
    r"(?=[,;.()\[\]\d#\x00]|$|\s(?:with|and|SUV|suv|is|which|at|near|in|on|along|involving)\b))"
    r"|\s*(?:away|above|below|superior|inferior|proximal|distal|deep|apart|beneath|cranial|caudal"
    r"|lateral|medial|anterior|posterior|short\s+of|thick\w*|slices?|collimation|margins?)\b",
    re.I,
)
_DISTANCE_BEFORE = re.compile(
    r"\b(?:within|thick\w*|margins?|distances?|depth|gap|collimation|spacing|spaced)\b[\s:,]*"
    r"(?:of|is|was|about|approximately)?\s*$",
    re.I,
)
_UNMEASURED_AXIS = re.compile(
    r"\s*\(?\s*(?:in\s+)?(?:AP\b|TR\b|transverse|anteroposterior|mediolateral|width|wide|depth|deep"
    r"|tall|height)",
    re.I,
)
_SHORT_AFTER = re.compile(r"\s*(?:\(|in\s+|along\s+(?:the\s+)?)?\s*(?:short|minor)", re.I)
_SHORT_BEFORE = re.compile(rf"\b(?:short|minor)(?:est)?[\s-](?:axis|diameter){_FILLER}$", re.I)
_CRANIOCAUDAL = re.compile(
    r"\s*(?:\(|in\s+)?\s*(?:cranio-?\s?caudal|superoinferior|CC\s+dim)", re.I
)
_SHARE_AFTER = re.compile(rf"\s*(?:(?:out\s+)?of\s+(?:the\s+)?{ATOM.pattern}|of\b)", re.I)


def meaning_of(text: str, head: str, quantity: Quantity) -> Meaning:
    """What a quantity means in a folded text; `head` is what stands before it in its sentence."""
    tail = text[quantity.end :]
    if quantity.is_date or quantity.is_glued:
        return Meaning("unknown", "", quantity.start, quantity.end)
    if quantity.unit == "length" or len(quantity.factors) > 1:
        return _size(head, tail, quantity)
    for reading in (_suv, _volume, _slice, _suv_behind):
        if found := reading(head, tail, quantity):
            return found
    return _unknown(head, tail, quantity)


def _size(head: str, tail: str, quantity: Quantity) -> Meaning:
    start, end = quantity.start, quantity.end
    if quantity.unit not in ("length", "none") or len(quantity.factors) > 3:
        return Meaning("unknown", "", start, end)
    distance = _DISTANCE_AFTER.match(tail)
    if distance or _DISTANCE_BEFORE.search(head):
        end += distance.end() if distance and distance["gone"] else 0
        return Meaning("unknown", "", start, end)
    if _COMPARATOR.search(head[-20:]) and _NEGATION.search(head):
        return Meaning("unknown", "", start, end)
    if len(quantity.factors) > 1:
        return Meaning(f"size{len(quantity.factors)}", "", start, end)
    if _SHORT_AFTER.match(tail) or _SHORT_BEFORE.search(head):
        return Meaning("size1", "short", start, end)
    if _CRANIOCAUDAL.match(tail):
        return Meaning("size1", "craniocaudal", start, end)
    return Meaning("unknown" if _UNMEASURED_AXIS.match(tail) else "size1", "long", start, end)


def _suv(head: str, tail: str, quantity: Quantity) -> Meaning | None:
    if quantity.unit not in ("none", "suv"):
        return None
    before = _SUV_BEFORE.search(head) or _SUV_AFAR.search(head)
    if before:
        start, named = quantity.start - len(head) + before.start(), before[0]
        if _is_of_something_else(head, before):
            reference = _REFERENCE.search(head[max(0, before.start() - 16) :])
            assert reference is not None  # noqa: S101 (the line above found it)
            first = max(0, before.start() - 16) + reference.start()
            return Meaning("unknown", "", min(start, quantity.start - len(head) + first), quantity.end)
        return Meaning("suv", _statistic(named[: before.start("between") - before.start()]), start,
                       quantity.end)  # fmt: skip
    return None


def _suv_behind(head: str, tail: str, quantity: Quantity) -> Meaning | None:
    if quantity.unit not in ("none", "suv"):
        return None
    if after := _SUV_AFTER.match(tail):
        return Meaning("suv", _statistic(after[0]), quantity.start, quantity.end + after.end())
    return Meaning("suv", "max", quantity.start, quantity.end) if quantity.unit == "suv" else None


def _is_of_something_else(head: str, before: re.Match[str]) -> bool:
    """Whether the uptake is that of an organ to compare with, a threshold, or denied."""
    lead, between = head[: before.start()], before["between"]
    if _REFERENCE.search(between):
        return True
    beside = re.search(rf"(?:{_REFERENCE.pattern})\s*$", lead, re.I)
    if beside and not _SITE_OF_LESION.search(lead[: beside.start()]):
        return True
    return False


def is_denied(head: str) -> bool:
    """Whether the words before say that there is nothing above the number."""
    return bool(_NEGATION.search(head) and _COMPARATOR.search(_NEGATION.search(head)[0]))  # type: ignore[index]


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


def _volume(head: str, tail: str, quantity: Quantity) -> Meaning | None:
    if quantity.unit not in ("none", "volume"):
        return None
    if before := _GLYCOLYSIS_BEFORE.search(head):
        start = quantity.start - len(head) + before.start()
        grams = re.match(r"\s*g(?:rams?)?\b", tail)
        return Meaning("glycolysis", "", start, quantity.end + (grams.end() if grams else 0))
    before = _VOLUME_BEFORE.search(head)
    if before is None and quantity.unit == "none":
        return None
    start = quantity.start if before is None else quantity.start - len(head) + before.start()
    return Meaning("volume", "", start, quantity.end)


def _slice(head: str, tail: str, quantity: Quantity) -> Meaning | None:
    if quantity.unit != "none":
        return None
    if before := _SERIES_BEFORE.search(head):
        return Meaning("unknown", "", quantity.start - len(head) + before.start(), quantity.end)
    before = _SLICE_BEFORE.search(head)
    if before is None:
        return None
    start = quantity.start - len(head) + before.start()
    total = _TOTAL_AFTER.match(tail)
    end = quantity.end + (total.end() if total and not quantity.is_range else 0)
    if _NOT_A_PET_SLICE.search(before[0]):
        return Meaning("unknown", "", start, end)
    spread = quantity.is_range and "/" not in quantity.factors[0]
    plural = re.search(r"\b(?:slices|images|frames|instances)\b", before[0], re.I)
    return Meaning("slice", "range" if spread and plural else "", start, end)


def _unknown(head: str, tail: str, quantity: Quantity) -> Meaning:
    """A number no mask can vouch for; "3 of" and "30 % of the" go with it."""
    share = _SHARE_AFTER.match(tail)
    return Meaning("unknown", "", quantity.start, quantity.end + (share.end() if share else 0))
