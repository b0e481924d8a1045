"""Numbers that are names: anatomy, tracers and scores, which stay as the describer wrote them."""

import re
from collections.abc import Iterator

from engine.grounding.meaning import SUV_PHRASE
from engine.grounding.quantities import ATOM

_NUMBER = r"(?:\d|\[[\s#]|#|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b)"
_SUV = r"(?:suv|sul|standardi[sz]ed\s+uptake)"
# What must not follow a number that is a name: it would be a size, or a longer number.
_NOT_A_SIZE = (
    r"(?!\d|[.,]\d|\s*-?\s*(?:cm|mm|ml|cc|centimet|millimet|milli|g/m|hu\b|%|mci|mbq"
    r"|x\s*[\d.\[]|\*|by\s+\d|\u00b1"
    r"|(?:to|through|or|-|/)\s*(?:\d+[.,]\d|[\d.,]+\s?-?[cm]m|\[|#|[.,]\d)))"
)
# Nor, behind the first of several, a number of things or an uptake, but for one that has its own
# number: "levels 2 and 3 SUV 4.1".
_NOT_A_QUANTITY = (
    rf"{_NOT_A_SIZE}(?!\s*-?\s*(?:hours?|years?|months?|days?|weeks?|minutes?|foci|times|fold"
    rf"|(?:(?:max\w*|mean|peak)\s+)?{_SUV}(?!(?:[^.;)]|\.(?=\d)){{0,40}}?{_NUMBER})))"
)
# What may follow the last of several: "levels 2, 3 and 4", not "level 2 and 4 foci".
_ENDS = (
    r"(?=\s*(?:[,.;:()\[\]!?~<>=\u2264\u2265]|$|(?:with|without|is|are|was|were|has|have|show|demonstrat"
    r"|measur|lymph|nod|vertebra|rib|bod|level|near|in|on|along|from|than|which|and|or|but|also"
    r"|approximately|about|prior|previous|former|initial|last|compared|versus|vs|increase|decrease|down"
    r"|up|unchanged|stable|likely|grade|stage|consistent|compatible|suspicious|less|greater|more|between|at"
    r"|of\s+the\s+(?:liver|neck|right|left)"
    rf"|(?:the|an?|it|im|img|se|axial|slice|image|series|pet|volume|mtv|tlg|max\w*|mean|peak|{_SUV})(?!\w)|{_SUV}"
    rf"|{_NUMBER}|(?-i:[A-Z]))))"
)


def _listed(name: str, joined: str = r"\s*[-/]\s*") -> str:
    """One name or several: 2/3, 2-4, 2 and 3, 2, 3 and 4."""
    more = rf"{name}{_NOT_A_QUANTITY}"
    return (
        rf"{name}{_NOT_A_SIZE}(?:{joined}{name}{_NOT_A_SIZE})*(?!\s*[-/]\s*\d)"
        rf"(?:(?:\s*,\s*{more})*\s*,?\s*(?:and|to|through|&)\s+{more}{_ENDS})?"
    )


_ONE_VERTEBRA = r"(?:(?:C-?[1-8]|[TD]-?(?:1[0-3]|[1-9])|L-?[1-6]|S-?[1-5])(?!\w))"
_VERTEBRA = (
    rf"(?<![\w.])(?<!stage\s)(?:{_ONE_VERTEBRA}(?![.,]\d)"
    rf"(?:\s*[-/]\s*(?:{_ONE_VERTEBRA}|(?:1[0-3]|[1-9])(?!\w){_NOT_A_QUANTITY}))*)"
)
_ORDINALS = "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth"
_NTH = rf"(?:(?:1[0-2]|[1-9])\s?-?(?:st|nd|rd|th)|{_ORDINALS})"
_ORDINAL_ANATOMY = (
    r"(?:ribs?|costal|costo\w+|intercostal|metatars\w+|metacarp\w+|phalan\w+|toes?|fingers?|digits?"
    r"|lumbar|thoracic|cervical|sacral|coccyg\w+|vertebra\w*|ventricles?|portion|part|segment"
    r"|cranial|nerves?|molars?|branchial|sternal|rays?|dorsal)"
)
_LEVEL = r"(?:[1-7][A-C]?|[IVX]+[A-C]?)(?!\w)"
_STATION = r"(?:1[0-4]|[1-9])(?:\s?(?-i:[RL]i?)|[RLap]i?)?(?!\w)"
_SEGMENT = r"(?:(?:10|[1-9])\s?[ab]?|[IVX]+[ab]?)(?!\w)"
_NUMBERED = r"[1-9]\d?(?!\w)"
_RIB = r"(?:1[0-2]|[1-9])(?!\w)"

_ANATOMY = (
    _VERTEBRA,
    rf"(?<![\w.])(?:{_NTH}(?:\s*(?:,|-|/|and|to|through|,\s*and)\s*)){{0,6}}{_NTH}"
    rf"(?=\s+(?:[a-z]+\s+){{0,2}}{_ORDINAL_ANATOMY}\b)",
    rf"\bribs?\s+(?:number\s+)?{_listed(_RIB)}",
    rf"\blevels?\s+{_listed(_LEVEL)}",
    rf"\bstations?\s+{_listed(_STATION)}",
    r"(?<![\w.])(?:1[0-4]|[1-9])(?:[RL]i?)(?!\w)(?:\s*/\s*(?:1[0-4]|[1-9])[RL]i?(?!\w))*",
    rf"\b(?:segments?|couinaud)\s+{_listed(_SEGMENT)}",
    rf"\b(?:cranial\s+nerves?|CN|brodmann\s+areas?)\s+{_listed(_NUMBERED)}",
)
_NUCLIDES = {
    "C": "11", "N": "13", "O": "15", "F": "18", "Sc": "4[347]", "Cu": "6[0147]", "Ga": "6[678]",
    "Rb": "82", "Y": "86|90", "Zr": "89", "Tc": "99m", "In": "111", "I": "12[345]|131",
    "Tb": "1(?:49|52|55|61)", "Lu": "177", "Ac": "225", "Tl": "201",
}  # fmt: skip
_MAY_BE_APART = frozenset({"F", "Ga", "Cu", "Zr", "Lu"})  # "F 18", and not "in 111"


def _joint(symbol: str) -> str:
    return r"\s?-?" if symbol in _MAY_BE_APART else "-?"


_MASS_FIRST = "|".join(rf"(?:{mass}){_joint(one)}{one}" for one, mass in _NUCLIDES.items())
_SYMBOL_FIRST = "|".join(rf"{one}{_joint(one)}(?:{mass})" for one, mass in _NUCLIDES.items())
_TRACER = (
    rf"(?<!\w)(?-i:{_SYMBOL_FIRST})(?!\w)",
    rf"(?<![\w.])\[?(?-i:{_MASS_FIRST})(?!\w)\]?",
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
_NUMBER_BEFORE = re.compile(rf"{ATOM.pattern}[\s-]*$", re.I)
_KEPT = tuple(
    (f"keep-{kind}", re.compile(pattern, re.IGNORECASE))
    for kind, patterns in (("score", _SCORE), ("tracer", _TRACER), ("anatomy", _ANATOMY))
    for pattern in patterns
)


def kept_in(text: str) -> Iterator[tuple[str, int, int]]:
    """(kind, start, end) of each name with a number in a folded text, none overlapping another."""
    taken: list[tuple[int, int]] = []
    for kind, pattern in _KEPT:
        for match in pattern.finditer(text):
            start, end = match.span()
            if any(start < other_end and other_start < end for other_start, other_end in taken):
                continue
            if any(character.isdigit() for character in match[0]):
                taken.append((start, end))
                if kind != "keep-anatomy" or not _is_value(text, match):
                    yield kind, start, end


def _is_value(text: str, name: re.Match[str]) -> bool:
    """Whether a name stands where an uptake's number would; an ordinal has its noun behind it."""
    led = _LEADS_TO_VALUE.search(text, 0, name.start())
    if led is None or re.match(_NTH, name[0], re.I):
        return False
    return not (led["suv"] and _NUMBER_BEFORE.search(text, 0, led.start()))
