"""Which axis of a lesion a length is said of; a length that nothing calls a size is of none."""

import re
from dataclasses import dataclass

from engine.grounding.marks import NAME
from engine.grounding.phrases import LESION
from engine.grounding.quantities import ATOM


@dataclass(frozen=True, slots=True)
class Extent:
    """`axis` is long, short or craniocaudal, "" where no measured one is meant.

    `lead` and `gone` count the characters before and behind that only make sense with the number;
    `instead` says without a number what they said.
    """

    axis: str
    lead: int = 0
    gone: int = 0
    instead: str = ""


@dataclass(frozen=True, slots=True)
class _Before:
    """The axis named before a length; its own where no comma parts them."""

    axis: str
    is_own: bool
    lead: int


TO_ITS_END = (  # of a phrase that only makes sense with the number before it
    r"[^,;.()\[\]\d#\x00]*?"
    r"(?=[,;.()\[\]\d#\x00]|$|\s(?:with|and|SUV|suv|is|which|at|near|in|on|along|involving)\b)"
)
_DISTANCE_AFTER = re.compile(
    r"\s*(?P<gone>(?P<away>(?:away\s+)?from\b(?!(?P<span>[^,;.]{0,40}?\bto\b)))|of\b|thick(?:ness)?\b)"
    r"|\s*(?:away|off|from|above|below|deep|apart|beneath|under|over|behind|beyond|across|into|through|past"
    r"|(?:super|infer|anter|poster)ior\w*|(?:proxim|dist|crani|caud|later|medi|ventr|dors)al\w*"
    r"|towards?|upwards?|downwards?|outside|inside|(?:to\s+(?:the|its)\s+)?(?:left|right)\s+(?:of|from)"
    r"|short\s+of|(?:out|in)ward\w*|higher|lower|slices?|collimation|margins?)\b",
    re.I,
)
_HEDGE = (
    r"(?:[~<>\u2264\u2265\u2248]|\b(?:about|approximately|approx|around|roughly|nearly|some|up\s+to"
    r"|at\s+(?:least|most)|(?:less|more)\s+than|over)\b\.?)"
)
_HEDGED = re.compile(rf"(?:{_HEDGE}\s*)?$", re.I)
_WITHIN = re.compile(rf"\bwithin\s*(?:an?\s+)?(?:{_HEDGE}\s*)?$", re.I)
_DISTANCE_BEFORE = re.compile(
    r"\b(?:within|thick(?:ness)?|margins?|distances?|gap|collimation|spacing|spaced)\b[\s:,]*"
    r"(?:of|is|was|about|approximately)?\s*$",
    re.I,
)
# A number behind one of these that is no name might be meant as one: "level 2 to 3 cm"
_NUMBERED_BEFORE = re.compile(r"\b(?:levels?|stations?|segments?|zones?|ribs?)\s+$", re.I)

_FILLER = (
    r"(?:[\s:=~,(\[<>\u2264\u2265\u2248-]|\b(?:of|is|was|are|were|up|to|about|around|approximately|approx|ca"
    r"|roughly|nearly|almost|currently|now|today|an?|the|only|measur\w+|reach\w*|rang\w+\s+from|rang\w+"
    r"|between|greater|more|less|larger|smaller|than|over|under|above|below|exceeding|at\s+(?:least|most)"
    r"|as\s+(?:much|large|small)\s+as)\b\.?)*"
)
_MEASURED_AXES = {
    "short": r"(?:short|minor)(?:est)?(?:[\s-](?:axis|axes|diameters?|dimensions?))",
    "craniocaudal": r"(?:cranio-?\s?caudal(?:ly)?|supero-?inferior(?:ly)?|CC(?=\s+dim)|(?-i:CC)\b)",
}
_ANOTHER_AXIS = (
    r"(?:AP|TR|TV|ML|transverse|antero-?posterior|medio-?lateral|width|wide|breadth|broad|depth|deep"
    r"|tall|height|high|lengths?|long(?!\w|[\s-]*(?:axis|axes|diam|dim))|radius|radii|area|circumference"
    r"|perimeter|thickness|thick"
    r"|(?:mean|average|minimum|minimal|min|smallest|least|perpendicular|orthogonal|equivalent|second)"
    r"(?=\s+(?:\w+\s+)?(?:axis|diam|dim|size)))\b"
)
_TO_AXIS = (
    r"\s*(?P<opened>\()?\s*"
    r"(?:\b(?:in|along|on|by|the|its|greatest|largest|longest|maxim\w+|max)\s+)*"
)
_AXIS_NOUN = r"(?:\s+(?:dimensions?|diameters?|extents?|extension|axis|lengths?|sizes?|spans?))?"

_AXES = {"": _ANOTHER_AXIS, **_MEASURED_AXES}
_AXIS_AFTER = {
    axis: re.compile(rf"{_TO_AXIS}{words}{_AXIS_NOUN}(?P<closed>\s*\))?", re.I)
    for axis, words in {
        **_AXES, "short": r"(?:short|minor)",
        "craniocaudal": r"(?:cranio-?\s?caudal|supero-?inferior|CC\s+dim|(?-i:CC)\b)",
    }.items()
}  # fmt: skip
_MAXIMUM = r"(?:greatest|largest|longest|maximum|maximal|max\.?|long|major|overall)"
_AXIS_BEFORE = {
    axis: re.compile(rf"\b{words}{_AXIS_NOUN}(?P<between>[\s,]*{_FILLER})$", re.I)
    for axis, words in {
        **_AXES, "long": rf"{_MAXIMUM}[\s-]+(?:axis|axes|diameters?|dimensions?|extent|size)",
    }.items()
}  # fmt: skip
# Axes that a product is said of; the long and the short are what is measured, in this order
_ONE_OF_AXES = (
    r"(?:AP|TR|TV|CC|ML|SI|transverse|antero-?posterior|medio-?lateral|cranio-?\s?caudal(?:ly)?"
    r"|supero-?inferior(?:ly)?|sagittal|coronal|short|minor|width|height|depth|lengths?|thickness)\b"
    r"(?:[\s-]+(?:dimensions?|diameters?|extents?|ax[ei]s|planes?|sizes?|spans?|images?|views?)\b)?"
)
_LONG_AXIS = r"(?:long|major)(?:[\s-]+ax[ei]s)?\b"
_AND = r"\s*(?:[x/,&]|\bby\b|\band\b)\s*"
_SEVERAL_AXES = rf"{_ONE_OF_AXES}(?:{_AND}(?:{_ONE_OF_AXES}|{_LONG_AXIS}))*"
_TO_AXES = r"(?:\b(?:in|along|on|by|the|its)\s+)*"
_AXES_BEFORE = re.compile(
    rf"(?P<in_order>\b{_LONG_AXIS}{_AND})?\b{_SEVERAL_AXES}\s*{_FILLER}$", re.I
)
_AXES_AFTER = re.compile(
    rf"\s*(?:\(\s*{_TO_AXES}{_SEVERAL_AXES}\s*\)|{_TO_AXES}{_SEVERAL_AXES}"
    r"(?=\s*(?:$|[^\s\w]|(?:with|and|which|that|in|at|on|is|was)\b)))",
    re.I,
)
_LENGTH_FOLLOWS = re.compile(
    rf"[\s:=]*(?:\b(?:of|is|at|measur\w+)\s+)?{ATOM.pattern}\s*-?(?:[cm]m|(?:centi|milli)met\w+)\b",
    re.I,
)
_NO_SIZE_BEFORE = re.compile(
    r"\b(?:exten[ds]\w*|(?<!greatest )(?<!largest )(?<!maximum )(?<!maximal )(?<!longest )extent"
    r"|displac\w*|shift\w*|invad\w*|invasion|protrud\w*|herniat\w*|project(?:s|ed|ing)|travers\w*"
    r"|penetrat\w*|infiltrat\w*|deviat\w*|elevat\w*|retract\w*|advanc\w*|moves?|moved|lies|lying|located"
    r"|situated|positioned|cent(?:er|re)(?:ed|d)|begin\w*|start\w*|ends|separat\w*|offset|span(?:s|ning)"
    r"|midline|distan\w+|migrat\w*|descend\w*|ascend\w*|dilat\w*|narrow\w*|push\w*|compress\w*)\b"
    r"(?:(?!measur|\bsize|diameter|dimension)[^,;.\d]){0,60}$"
    # "away from T9: 3 cm" would be read as the distance
    r"|\b(?:away|[cm]m|(?:centi|milli)met\w+)\s+from\b"
    r"(?:(?!measur|\bsize|diameter|dimension)[^,;.]){0,80}$",
    re.I,
)
_SIZE_BEFORE = re.compile(
    rf"\b(?:measur\w+|sizes?|sized|dimensions?|diameters?|{_MAXIMUM}[\s-](?:axis|extent)|{LESION})\b{_FILLER}$"
    rf"|\b(?:measur\w+|sizes?|dimensions?|diameters?)\b[^;.()\d#]{{0,60}}?\b(?:to|of|is|was|at|are|now"
    rf"|currently)\b{_FILLER}$"
    rf"|\b(?:increas|decreas|grow|grew|enlarg|shr[iu]nk)\w*\s+to\b{_FILLER}$",
    re.I,
)
_SIZE_AFTER = re.compile(
    rf"\s*\(?\s*(?:(?:in|along|on|by|at|the|its)\s+)*(?:{_MAXIMUM}[\s-]+(?:[a-z]+\s+)?"
    r"(?:axis|dimensions?|diameters?|extent|size)|diameters?|dimensions?|size[ds]?)\b",
    re.I,
)
_LESION_AFTER = re.compile(
    r"[\s,-]*(?:(?!(?:in|at|on|of|to|from|by|with|and|or|is|was|are|the|an?|for|into|between|which|that"
    rf"|distance|gap|shift|away|behind)\b)[\w/'{NAME}-]+[\s,]+){{0,7}}?{LESION}\b",
    re.I,
)
_STANDS_ALONE_BEFORE = re.compile(rf"(?:^\s*|[,;:(\[]\s*){_FILLER}$", re.I)
_STANDS_ALONE_AFTER = re.compile(
    r"\s*(?:$|[,;:.)(\]\[!?\n\x00-\x02]|(?:with|and|or|but|which|that|showing|demonstrating|previously"
    rf"|max|peak|mean|suv\w*)\b|{ATOM.pattern})",
    re.I,
)


def distance(head: str, tail: str) -> Extent | None:
    """What a length is that lies between two things, or is a thickness; None where it is none.

    "2 cm from the hilum" is away from it: without these words the hilum would be the place.
    """
    if _NUMBERED_BEFORE.search(head):
        return Extent("")
    after = _DISTANCE_AFTER.match(tail)
    within = _WITHIN.search(head)
    if after is None and within is None and not _DISTANCE_BEFORE.search(head):
        return None
    gone = after.end() if after and after["gone"] else 0
    if within:
        return Extent("", len(head) - within.start(), gone, "near")
    if after is None or not after["away"]:
        return Extent("", 0, gone)
    hedge = _HEDGED.search(head)
    return Extent("", len(hedge[0]) if hedge else 0, gone, "away from")


def other_axes(head: str, tail: str) -> Extent | None:
    """The words that say a product of other axes than of the long and the short, in this order."""
    before, after = _AXES_BEFORE.search(head), _AXES_AFTER.match(tail)
    if before and before["in_order"]:
        before = None
    if not before and not after:
        return None
    lead = len(head) - before.start() if before else 0
    return Extent("", lead, after.end() if after else 0)


def extent_of(head: str, tail: str) -> Extent:
    """The axis that one length is said of: by the words right before it, or right behind it.

    Words behind that another length follows are that one's, unless it has its own behind it:
    "long axis 10 mm short axis 8 mm", "10 mm long axis 8 mm short axis".
    """
    before, after = _axis_before(head), _axis_after(tail)
    if after and _leads_on(tail, after.gone):
        after = None
    if before and before.is_own:
        if after and after.axis != before.axis:
            return Extent("")
        return Extent(before.axis, 0 if before.axis else before.lead, after.gone if after else 0)
    if after:
        return after
    if before:
        return Extent("")  # it may be the axis of the number before
    if _NO_SIZE_BEFORE.search(head):
        return Extent("")
    is_size = _SIZE_BEFORE.search(head) or _LESION_AFTER.match(tail)
    is_alone = _STANDS_ALONE_BEFORE.search(head) and _STANDS_ALONE_AFTER.match(tail)
    return Extent("long" if is_size or is_alone else "")


def _axis_before(head: str) -> _Before | None:
    for axis, ahead in _AXIS_BEFORE.items():
        if before := ahead.search(head):
            return _Before(axis, "," not in before["between"], len(head) - before.start())
    return None


def _axis_after(tail: str) -> Extent | None:
    for axis, behind in _AXIS_AFTER.items():
        if after := behind.match(tail):
            return Extent(axis, 0, _in_brackets(after))
    after = _SIZE_AFTER.match(tail)
    return Extent("long", 0, after.end()) if after else None


def _leads_on(tail: str, end: int) -> bool:
    """Whether the axis that ends there is the next length's, which has no other behind it."""
    following = _LENGTH_FOLLOWS.match(tail, end)
    return following is not None and _axis_after(tail[following.end() :]) is None


def _in_brackets(after: re.Match[str]) -> int:
    """How much of what matched can go with the number and leave no bracket behind."""
    if after["opened"] and not after["closed"]:
        return 0
    return after.end() if after["opened"] or not after["closed"] else after.start("closed")
