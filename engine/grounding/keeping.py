"""Numbers that are names: anatomy, tracers and scores, which stay as the describer wrote them.

Names are found first, over the whole text, each by what stands before and behind it. Where a name
may as well be a quantity it is none: an invented number is worse than a lost name.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from engine.grounding.marks import NAME
from engine.grounding.phrases import SUV_PHRASE
from engine.grounding.quantities import ATOM, is_bare_number, is_unitless

_NUMBER = (
    r"(?:\d|\[[\s#]|#|\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
    r"|(?:thir|four|fif|six|seven|eigh|nine)teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|half)\b)"
)
_SUV = r"(?:suv|sul|standardi[sz]ed\s+uptake)"
# Behind the first of several: no number of things, nor an uptake that has no other number
_COUNTS = re.compile(
    rf"\s*-?\s*(?:foci|(?:(?:max\w*|mean|peak)\s+)?{_SUV}(?!(?:[^.;)]|\.(?=\d)){{0,40}}?{_NUMBER}))",
    re.I,
)
# What may follow the last of several: "levels 2, 3 and 4", not "level 2 and 4 foci".
_ENDS = re.compile(
    r"(?=\s*(?:[,.;:()\[\]!?~<>=\u2264\u2265]|$|(?:with|without|is|are|was|were|has|have|show|demonstrat"
    r"|measur|lymph|nod|vertebra|rib|bod|level|station|segment|lesion|mass|focus|activity|uptake|near|away|relative|no|in|on|along|from|than|which|and|or|but|also"
    r"|approximately|about|prior|previous|former|initial|last|compared|versus|vs|increase|decrease|down"
    r"|up|unchanged|stable|likely|grade|stage|consistent|compatible|suspicious|less|greater|more|between|at"
    r"|of\s+the\s+(?:liver|neck|right|left)"
    rf"|(?:the|an?|it|im|img|se|axial|slice|image|series|pet|volume|mtv|tlg|max\w*|mean|peak|{_SUV})(?!\w)|{_SUV}"
    rf"|{_NUMBER}|(?-i:[A-Z]))))",
    re.I,
)
_VERTEBRAE_FOLLOW = re.compile(r"(?=\s+(?:vertebra|thoracic|lumbar|cervical|bod|spin|lev))", re.I)


@dataclass(frozen=True, slots=True)
class _Series:
    """One name or several: a word that leads to them, and what each of them looks like."""

    lead: re.Pattern[str]
    one: re.Pattern[str]
    more: re.Pattern[str]  # what may be joined to the first
    ends: re.Pattern[str] = _ENDS  # what follows the last where "and" joins it
    may_be_cut: bool = False  # whether the first stands although what is joined to it does not


def _series(lead: str, one: str, more: str = "", **values: object) -> _Series:
    patterns = (re.compile(pattern, re.I) for pattern in (lead, one, more or one))
    return _Series(*patterns, **values)  # type: ignore[arg-type]


_ONE_VERTEBRA = r"(?:(?:C-?[1-8]|(?:Th|T|D)-?(?:1[0-3]|[1-9])|L-?[1-6]|S-?[1-5])(?!\w)(?![.,]\d))"
_APART = r"(?:(?:C\s[1-8]|(?:Th|T|D)\s(?:1[0-3]|[1-9])|L\s[1-6]|S\s[1-5])(?!\w)(?![.,]\d))"
_STAGED = re.compile(
    r"(?:\b(?:stage[ds]?|staging|categor\w+|clinical(?:ly)?|patholog\w+|AJCC|TNM|UICC)\b[\s:]*(?:of\s+|is\s+)?"
    r"(?:[TNM]-?stage\s+)?)$",
    re.I,
)
_STAGE_FOLLOWS = re.compile(
    r"(?-i:\s*N[0-3X]|\s*M[01X]\b)|\s*-?\s*(?:disease|tumou?rs?|cancer|carcinoma|primary|stage[ds]?|staging)\b",
    re.I,
)
_ORDINALS = "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth"
_NTH = rf"(?:(?:1[0-2]|[1-9])\s?-?(?:st|nd|rd|th)|{_ORDINALS})"
_ORDINAL_ANATOMY = (
    r"(?:ribs?|costal|costo\w+|intercostal|metatars\w+|metacarp\w+|phalan\w+|toes?|fingers?|digits?"
    r"|lumbar|thoracic|cervical|sacral|coccyg\w+|vertebra\w*|ventricles?|portion|part|segment"
    r"|cranial|nerves?|molars?|branchial|sternal|rays?|dorsal)"
)
_ROMAN = r"(?-i:[IVX]+|[ivx]{2,})"
_STATION = r"(?:1[0-4]|[1-9])"
_SERIES = (
    _series(r"(?<![\w.])(?=[CTDLS]h?-?\d)", _ONE_VERTEBRA,
            rf"{_ONE_VERTEBRA}|(?:1[0-3]|[1-9])(?!\w)", ends=_VERTEBRAE_FOLLOW, may_be_cut=True),
    _series(r"\bribs?\s+(?:number\s+)?", r"(?:1[0-2]|[1-9])(?!\w)"),
    _series(r"\blevels?\s+", rf"(?:[1-7][A-C]?|{_ROMAN}[A-C]?)(?!\w)"),
    _series(r"\bstations?\s+", rf"{_STATION}(?:\s?(?-i:[RL]i?)|[RLap]i?)?(?!\w)"),
    _series(r"\b(?:segments?|couinaud)\s+", rf"(?:S?(?:10|[1-9])\s?[ab]?|{_ROMAN}[ab]?)(?!\w)"),
    _series(r"\bzones?\s+", rf"(?:[1-9]|{_ROMAN})[ab]?(?!\w)"),
    _series(r"\b(?:cranial\s+nerves?|CN|brodmann\s+areas?)\s+", rf"(?:[1-9]\d?|{_ROMAN})(?!\w)"),
)  # fmt: skip
_JOINT = re.compile(r"\s*[-/]\s*")
_COMMA = re.compile(r"\s*,\s*")
_LAST = re.compile(r"\s*,?\s*(?:and|or|to|through|&)\s+", re.I)
_CUT = re.compile(r"\s*[-/]\s*\d")
_ORDINAL = (
    rf"(?<![\w.])(?:{_NTH}(?:\s*(?:,|-|/|and|to|through|,\s*and)\s*)){{0,6}}{_NTH}"
    rf"\s+(?:[a-z]+\s+){{0,2}}?{_ORDINAL_ANATOMY}\b"
)
_ANATOMY = (
    rf"(?<=vertebra )(?:{_APART})|(?<=vertebrae )(?:{_APART})"
    rf"|(?<![\w.]){_APART}(?=\s+(?:vertebra|bod(?:y|ies)\b|spinous))",
    rf"(?<![\w.]){_STATION}[RL]i?(?!\w)(?:\s*[-/,&]\s*{_STATION}(?:[RL]i?)?(?!\w))*(?=\s+stations?\b)",
    rf"(?<![\w.]){_STATION}[RL]i?(?!\w)(?:\s*/\s*{_STATION}[RL]i?(?!\w))*",
    r"(?<![\w.])S-?(?:10|[1-9])[ab]?(?:\s*[-/]\s*S?(?:10|[1-9])[ab]?)*(?!\w)(?![.,]\d)",
)
# "4L" is a volume unless the words around it are of lymph nodes
_LITRES = re.compile(rf"{_STATION}L", re.I)
_NODE = (
    r"(?:stations?|nod(?:e|es|al)|LNs?|lymph\w*|(?:para|pre|retro)tracheal|hilar|mediastin\w+"
    r"|(?:lymph)?adenopathy)"
)
_NODE_BEFORE = re.compile(
    rf"\b(?:{_NODE}|{_STATION}[RL])[\s,(/&-]*(?:\b(?:and|at|in|the)\s+)*$", re.I
)
_NODE_AFTER = re.compile(rf"[\s)/-]*(?:{_NODE}\b|{_STATION}[RL]\b)", re.I)
# A grade of uptake, or of a reader's confidence, unless a node is there
_LEVEL = re.compile(r"levels?\s+[1-7]", re.I)
_GRADED_BEFORE = re.compile(r"\b(?:uptake|intensity|avidity|confidence|visual)\s+$", re.I)
_GRADED_AFTER = re.compile(r"\s+(?:of\s+)?intensity\b", re.I)
_LEVEL_OF = re.compile(r"\s+(?:lymph|nod\w+|LNs?\b|lesions?\b|mass|foc(?:us|i)\b|metasta)", re.I)
_LENGTH_UNIT = re.compile(r"\s*-?[cm]m\b", re.I)
_NUCLIDES = {
    "C": "11", "N": "13", "O": "15", "F": "18", "Sc": "4[347]", "Cu": "6[0147]", "Ga": "6[678]",
    "Rb": "82", "Y": "86|90", "Zr": "89", "Tc": "99m", "In": "111", "I": "12[345]|131",
    "Tb": "1(?:49|52|55|61)", "Lu": "177", "Ac": "225", "Tl": "201",
}  # fmt: skip
_MAY_BE_APART = frozenset({"F", "Ga", "Cu", "Zr", "Lu"})  # "F 18", and not "in 111"


def _joint(symbol: str) -> str:
    return r"\s?-?" if symbol in _MAY_BE_APART else "-?"


_MASS_FIRST = "|".join(rf"(?:{mass}){_joint(one)}{one}" for one, mass in _NUCLIDES.items())
_BRACKETED = "|".join(
    rf"[(\[](?:{mass})[)\]]\s?-?{one}|{one}\s?-?[(\[](?:{mass})[)\]]"
    for one, mass in _NUCLIDES.items()
)
_SYMBOL_FIRST = "|".join(rf"{one}{_joint(one)}(?:{mass})" for one, mass in _NUCLIDES.items())
_TRACER = (
    rf"(?<!\w)(?-i:{_SYMBOL_FIRST})(?!\w)",
    rf"(?<![\w.])\[?(?-i:{_MASS_FIRST})(?!\w)\]?",
    rf"(?<![\w.])(?-i:{_BRACKETED})(?!\w)",
    r"(?<![\w.])18\s?-?F?-?(?:FDG|DG|FES|ES|FLT|LT|FCH|FET|FMISO|NaF|DOPA|FDOPA|DCFPyL)\b",
    r"\bPSMA-(?:11|617|1007|I&T|D4)(?!\w)",
)
_SCORE = (
    r"\b(?:deauville|krenning|hopkins|mipsma)\s+(?:(?:[1-5]-point\s+)?(?:scale|score|grade|category)"
    r"\s+(?:of\s+|is\s+)?)?[0-5](?!\w|[.,]\d)",
)
# An uptake of "level 6" is an uptake of 6; but "6.3 SUV at level 6" has its number.
_LEADS_TO_VALUE = re.compile(
    rf"(?:(?P<suv>{SUV_PHRASE})"
    r"(?:[\s:=~<>\u2264\u2265\u2248-]|\b(?:of|(?<!: )at|about|up|to|level"
    r"|approximately|is|was|measur(?:es|ing|ed)|reach(?:es|ing|ed)|around|roughly|nearly|than|greater|less)\b)*"
    r"|\buptake(?:\s+(?:value|level))?\s*(?:\b(?:is|was|measur(?:es|ing|ed)|reach(?:es|ing|ed))\b)"
    r"(?:[\s:=~-]|\b(?:at|of|up|to|about|approximately|level)\b)*)$",
    re.I,
)
_AT = re.compile(rf"{SUV_PHRASE}\s+at\s+", re.I)  # a place
_OF = re.compile(rf"{SUV_PHRASE}\s+(?:of|at|in)\s+", re.I)
# What makes it a name there after all: it is said of a thing, or the number is still to come
_THING_FOLLOWS = re.compile(
    rf"(?:[\s,/{NAME}-]|\band\b)*(?:vertebra\w*|bod(?:y|ies)|spin\w+|lymph|nod\w+|LNs?\b|lesions?|mass|foc(?:us|i)|metasta\w+|ribs?"
    r"|stations?|levels?|segments?|uptake|activity|region)\b",
    re.I,
)
_VALUE_FOLLOWS = re.compile(
    rf"(?:(?:(?!{_SUV})[^.;,()\[\]\d#]){{0,40}}?(?:[:=]|\b(?:is|was|measur\w+))\s*)?(?:\s*(?:of|up\s+to)\s)?\s*{ATOM.pattern}",
    re.I,
)
_NUMBER_BEFORE = re.compile(rf"{ATOM.pattern}[\s-]*$", re.I)
_PATTERNS = {
    kind: tuple(re.compile(pattern, re.I) for pattern in patterns)
    for kind, patterns in (
        ("score", _SCORE), ("tracer", _TRACER), ("anatomy", (_ORDINAL,)),
    )
}  # fmt: skip
_ALONE = tuple(re.compile(pattern, re.I) for pattern in _ANATOMY)
_MAY_HOLD_A_NAME = re.compile(rf"\d|{_ORDINALS}|\b{_ROMAN}[A-Ca-c]?\b", re.I)


def names_in(text: str) -> Iterator[tuple[str, int, int]]:
    """(kind, start, end) of each name in a folded text, none overlapping another.

    Names whose numbers are roman or words are among them: no number may take them along.
    """
    if not _MAY_HOLD_A_NAME.search(text):
        return
    found: list[tuple[str, int, int]] = []
    for kind, start, end in _candidates(text):
        if all(end <= other_start or other_end <= start for _, other_start, other_end in found):
            found.append((kind, start, end))
    blotted = text
    for _, start, end in found:
        blotted = blotted[:start] + NAME * (end - start) + blotted[end:]
    for kind, start, end in found:
        if kind != "anatomy" or not _is_quantity(text, blotted, start, end):
            yield f"keep-{kind}", start, end


def kept_in(text: str) -> Iterator[tuple[str, int, int]]:
    """The names that have a digit: those that must not be taken for a quantity."""
    for kind, start, end in names_in(text):
        if any(character.isdigit() for character in text[start:end]):
            yield kind, start, end


def _candidates(text: str) -> Iterator[tuple[str, int, int]]:
    for kind, patterns in _PATTERNS.items():
        for pattern in patterns:
            for match in pattern.finditer(text):
                yield kind, *match.span()
    for series in _SERIES:
        for lead in series.lead.finditer(text):
            end = _end_of(series, text, lead.end())
            if end is not None:
                yield "anatomy", lead.start(), end
    for pattern in _ALONE:
        for match in pattern.finditer(text):
            yield "anatomy", *match.span()


def _end_of(series: _Series, text: str, at: int) -> int | None:
    """Where a series of names ends: 2/3, 2-4, 2 and 3, 2, 3 and 4; None where it is none."""
    end = _one_at(series.one, text, at)
    if end is None:
        return None
    while (joint := _JOINT.match(text, end)) and (more := _one_at(series.more, text, joint.end())):
        end = more
    if _CUT.match(text, end) and not series.may_be_cut:
        return None
    last = end
    while comma := _COMMA.match(text, last):
        more = _one_at(series.more, text, comma.end())
        if more is None or _COUNTS.match(text, more):
            break
        last = more
    if joint := _LAST.match(text, last):
        more = _one_at(series.more, text, joint.end())
        if more is not None and series.ends.match(text, more) and not _COUNTS.match(text, more):
            return more
    return end


def _one_at(pattern: re.Pattern[str], text: str, at: int) -> int | None:
    """Where the name of a series that begins there ends; one with a unit is no name."""
    one = pattern.match(text, at)
    if one is None or (one[0].isdigit() and not is_bare_number(text, *one.span())):
        return None
    return one.end()


def _is_quantity(text: str, blotted: str, start: int, end: int) -> bool:
    """Whether a name of anatomy stands where a stage, a volume or an uptake would.

    `blotted` is the text without any name.
    """
    name = text[start:end]
    if re.fullmatch(r"T-?[1-4]", name, re.I) and (
        _STAGED.search(text, 0, start) or _STAGE_FOLLOWS.match(text, end)
    ):
        return True
    if _LENGTH_UNIT.match(text, end):
        return True
    if _LEVEL.fullmatch(name) and (
        _GRADED_AFTER.match(text, end)
        or (_GRADED_BEFORE.search(text, 0, start) and not _LEVEL_OF.match(text, end))
    ):
        return True
    if _LITRES.fullmatch(name):
        is_station = _NODE_BEFORE.search(text, 0, start) or _NODE_AFTER.match(text, end)
        return not is_station or _is_uptake(text, blotted, start, end)
    return _is_uptake(text, blotted, start, end)


def _is_uptake(text: str, blotted: str, start: int, end: int) -> bool:
    led = _LEADS_TO_VALUE.search(text, 0, start)
    if led is None or re.match(_NTH, text[start:end], re.I):
        return False
    if led["suv"] and _NUMBER_BEFORE.search(text, 0, led.start()):
        return False
    if _AT.fullmatch(led[0]) or _THING_FOLLOWS.match(blotted, end):
        return False
    follows = _VALUE_FOLLOWS.match(blotted, end) if _OF.fullmatch(led[0]) else None
    return follows is None or not is_unitless(blotted, follows.end())
