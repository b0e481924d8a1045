"""Quantities: the numbers of a folded text with their units, whatever they mean."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Unit = Literal["none", "length", "volume", "suv", "other"]

_ONES = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen"
    "|fifteen|sixteen|seventeen|eighteen|nineteen"
)
_SPELLED = rf"(?:{_ONES}|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand)"
_BEHIND_X = "|".join(  # an x that joins, behind a unit or a number in letters
    rf"(?<={end}x)"
    for end in (
        "ter", "tre", "ters", "tres", "nch", "ches", "one", "two", "ree", "four", "ive", "six",
        "ven", "ght", "nine", "ten", "elve", "een", "ty",
    )
)  # fmt: skip
_WORDS = (
    rf"(?:\ban?\s+(?=dozen|hundred))?(?:\b|(?<=[\d\s\]m]x)|{_BEHIND_X})(?:dozens?|{_SPELLED}(?:(?:\s+|-){_SPELLED})*)"
    rf"(?:\s+point(?:\s+(?:{_ONES}))+)?(?![A-Za-z](?<!x)(?![cm]?m\b|m?x|old\b))"
)
_TIMES_WORDS = r"\b(?:twice|thrice)\b"
_TWO = r"(?:\ban?\s+)?\b(?:couple|pair)\b(?:\s+of\b)?"
_PLACEHOLDER = r"\[[\s#.,]*#[\s#.,]*\]|\[\s*(?:number|num|value)\s*\]|(?:[#][.,]?)+(?!\s*\d)"
_LETTER_DIGIT = r"[OolI]{1,2}(?![A-Za-z])"  # a letter written for a zero or a one: "3.O"
_DIGITS = (
    r"(?:(?<![\d.,])(?:(?-i:(?<![A-Za-z])[OlI]))?[.,](?=\d))?\d+"
    rf"(?:[.,](?:\d+(?-i:{_LETTER_DIGIT})?|(?-i:{_LETTER_DIGIT})))*"
)
_HALF = r"(?:(?:\s+|-)and(?:\s+|-)(?:an?(?:\s+|-))?(?:half|quarter)\b)?"
_DECADE = (  # in the mid-twenties, in the 20s
    r"(?:\bin\s+(?:the\s+)?)?(?:\b(?:low|mid|middle|high|upper|lower|early|late|to)[\s-]+)*"
    r"(?:\b(?:teens|(?:twent|thirt|fort|fift|sixt|sevent|eight|ninet)ies|(?:single|double|triple)[\s-]digits?"
    r"|hundreds|thousands)\b|(?<![\d.,])[1-9]0'?s\b)"
)
ATOM = re.compile(
    rf"(?:{_DECADE}|(?:{_PLACEHOLDER}|(?:\#\s?)?{_DIGITS}|{_WORDS}|\bhalf(?:\s+an?)?(?=\s+-?[cm]))"
    rf"{_HALF}|{_TIMES_WORDS}|{_TWO})",
    re.I,
)
# Numbers where an uptake leads to them, else words of their own: "SUV of nil", "SUV of VIII"
_LED_TO = re.compile(
    r"\b(?:nil|nought|naught|(?-i:[IVX]+)(?!\s+contrast)"
    r"|(?:four|fif|six|seven|eigh|nin|ten|eleven|twelf|(?:thir|four|fif|six|seven|eigh|nine)teen)th"
    r"|(?:twent|thirt|fort|fift|sixt|sevent|eight|ninet)ieth)\b",
    re.I,
)
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DATE = re.compile(
    r"(?<![\d.,])(?:\d{1,4}(?P<mark>[/.-])\d{1,2}(?P=mark)\d{2,4}(?!\d|[.,]\d)"
    rf"|\b{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?\s*,?\s+\d{{4}}\b"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?\s+{_MONTH}(?:\s*,?\s*\d{{4}}\b)?"
    rf"|\b{_MONTH}\s+(?:\d{{4}}|\d{{1,2}})\b(?![.,]\d|\s*(?:x|cm|mm))"
    r"|(?:(?<=in )|(?<=on )|(?<=since )|(?<=from )|(?<=dated ))(?:19|20)\d\d\b"
    r"(?![.,]\d|\s*(?:x|cm|mm))"
    r"|\d{1,2}:\d{2}(?::\d{2})?(?:\s*[ap]m\b)?)",
    re.I,
)
_LENGTH = (
    r"(?:[cm]ms?|㎝|㎜|c\.m\.?|m\.m\.?|(?:centi|milli)met(?:er|re)s?|inch(?:es)?)"
    rf"(?!(?!x\s*(?:[\d.\#\[]|{_SPELLED}(?![a-z])))[A-Za-z\d^])"  # x joins the next factor
)
_VOLUME = (
    r"(?:(?:mc|[cdkmnu\u03bc])ls?|l(?!-)|cc|ccm|[a-z\u03bc]?m\^?3|in\^?3|cubic\s+[a-z]+"
    r"|(?:[a-z]+-?)?lit(?:er|re)s?|[\u3395-\u3398\u33a3-\u33a6\u33c4])(?![A-Za-z\d]|[.,]\d|\s*/)"
)
_SUV = r"g\s*/\s*(?:ml|cc|cm3)(?![A-Za-z])"
_OTHER = (
    r"(?:m?l\s*/\s*[a-z]+|[cm]m\^?2|square\s+\w+|hu\b|hounsfield(?:\s+units?)?|%|percent\b|mbq\b|kbq(?:/\w+)?|bq\b"
    r"|mci\b|hours?\b|hrs?\b|min(?:utes?|s)?\b|sec(?:onds?)?\b|days?\b|weeks?\b|months?\b"
    r"|years?\b|yrs?\b|kg\b|mg\b|fold\b|times\b|[-\s]thirds?\b|[-\s]quarters?\b|[-\s]halves\b"
    r"|[-\s]dimensional\b|[-\s]points?\b|f(?:oo|ee)t\b|yards?\b|microns?\b|degrees?\b|counts?\b)"
)
_UNITS = tuple(
    (name, re.compile(rf"\s*-?\s*{pattern}", re.I))
    for name, pattern in (
        ("suv", _SUV),
        ("volume", _VOLUME),
        ("length", _LENGTH),
        ("other", _OTHER),
    )
)
_AXIS = r"(?:\s*\(?\s*(?:AP|TR|TV|CC|ML|SI|transverse|craniocaudal)\b\s*\)?)?"
_TIMES = re.compile(rf"{_AXIS}\s*(?:x|\*|\bby\b)\s*(?=[\d.#\[]|{_SPELLED}(?:\b|[cm]m)|an?\s)", re.I)
# "transverse" with a noun behind it is of the noun: "transverse colon"; of "AP x TR" none is last
_LAST_AXIS = (
    r"(?:(?:AP|TR|TV|CC|ML|SI)\b|(?:transverse|craniocaudal)\b(?!\s+[a-z]))"
    r"(?!\s*(?:[x/,&]|by\b|and\b)\s*[A-Za-z])"
)
_TRAILING_AXIS = re.compile(rf"\s*(?:\(\s*{_LAST_AXIS}\s*\)|{_LAST_AXIS})", re.I)
_RANGE = re.compile(r"\s*(?:-|/|±|\+\s*/?\s*-|\bto\b|\bthrough\b|\bthru\b|\bor\b|\.\.+)\s*", re.I)
_SPREAD = re.compile(r"\s*(?:±|\+\s*/?\s*-|\*|\.\.)")
_BETWEEN = re.compile(r"\s*(?:-|\band\b|\bto\b)\s*", re.I)
_CHANGED_FROM = re.compile(r"\bfrom\s*$", re.I)
_RANGING_FROM = re.compile(r"\brang\w+\s+from\s*$", re.I)
_IS_BETWEEN = re.compile(r"\bbetween\s*$", re.I)
_LETTERS_BEFORE = re.compile(r"[A-Za-z][\w-]*$")
_LETTERS_AFTER = re.compile(r"(?:[A-Za-z]|-[A-Za-z]{2})[\w-]*(?:[.,]\d[\w-]*)*")
_MAY_BE_GLUED = re.compile(r"(?:suvs?|suls?|max|mean|peak|im|slice|image)-?$", re.I)
_MAY_FOLLOW = re.compile(r"su[vl]", re.I)


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number, range or product in a folded text; `end` is behind its unit."""

    start: int
    end: int
    factors: tuple[str, ...]  # 1.2 x 1.1: two; a range is one factor
    unit: Unit
    is_range: bool = False
    is_date: bool = False
    is_glued: bool = False  # to letters that are no unit: HER2, T4N0, 3-fold
    is_bare: bool = True  # without a unit
    is_word: bool = False  # "one" or "half" alone: a pronoun, unless something leads to a number
    unit_start: int = 0  # where the last unit is written; `end` where there is none


def quantities_in(
    text: str,
    is_led_to: Callable[[int], bool] = lambda start: False,
    is_value: Callable[[int], bool] = lambda start: False,
) -> Iterator[Quantity]:
    """Every quantity of a folded text, in order, dates among them.

    "one" alone is a quantity where `is_led_to` says so of its start; "nil" or "VIII" where
    `is_value` does.
    """
    at = 0
    dates = [match.span() for match in _DATE.finditer(text)]
    words = [match for match in _LED_TO.finditer(text) if is_value(match.start())]
    while True:
        atom = ATOM.search(text, at)
        words = [word for word in words if word.start() >= at]
        if words and (atom is None or words[0].start() < atom.start()):
            start, at = words[0].span()
            yield Quantity(start, at, (words[0][0],), "none", is_word=True, unit_start=at)
            continue
        if atom is None:
            return
        date = next((span for span in dates if span[0] <= atom.start() < span[1]), None)
        if date is not None:
            yield Quantity(*date, (text[slice(*date)],), "other", is_date=True, is_bare=False)
            at = max(date[1], at + 1)
            continue
        quantity = _quantity(text, atom, min((s for s, _ in dates if s > atom.start()), default=-1))
        at = max(quantity.end, atom.end())
        if not quantity.is_word or is_led_to(quantity.start):
            yield quantity


def _quantity(text: str, atom: re.Match[str], limit: int) -> Quantity:
    start, factors = atom.start(), [atom[0]]
    unit, end = _unit(text, atom.end())
    if re.fullmatch(_TIMES_WORDS, atom[0], re.I):
        unit = "other"
    unit_start = atom.end()
    head, is_range = text[:start], False
    while True:
        step, joined = _joined(text, head, end, unit)
        if step is None or (limit >= 0 and step.end() > limit):
            break
        unit_after, end = _unit(text, step.end())
        unit_start = step.end()
        unit = unit if unit_after == "none" else unit_after
        if joined == "times":
            factors.append(step[0])
        else:
            is_range = True
            factors[-1] += f" {step[0]}"
    if len(factors) > 1 and (axis := _TRAILING_AXIS.match(text, end)):
        end = axis.end()
    start, end, is_glued = _unglued(text, start, end, unit, len(factors))
    is_alone = len(factors) == 1 and not is_range and unit == "none"
    return Quantity(
        start, end, tuple(factors), unit, is_range, False, is_glued, unit == "none",
        is_alone and atom[0].lower() in ("one", "half", "half a", "half an"), unit_start,
    )  # fmt: skip


def _unit(text: str, at: int) -> tuple[Unit, int]:
    for name, pattern in _UNITS:
        if match := pattern.match(text, at):
            return name, match.end()  # type: ignore[return-value]
    return "none", at


def is_bare_number(text: str, start: int, end: int) -> bool:
    """Whether the digits there are a whole number, or the first of several, without a unit."""
    atom = ATOM.match(text, start)
    if atom is None or atom.end() != end or _SPREAD.match(text, end):
        return False
    quantity = _quantity(text, atom, -1)
    numbers = quantity.factors[0].split()
    return (
        quantity.unit == "none"
        and len(quantity.factors) == 1
        and all(number.isdigit() for number in numbers)
    )


def is_unitless(text: str, at: int) -> bool:
    """Whether a number that ends there has no unit and is no factor of a product."""
    return _unit(text, at)[0] in ("none", "suv") and not _TIMES.match(text, at)


def _joined(
    text: str, head: str, end: int, unit: Unit
) -> tuple[re.Match[str] | None, Literal["times", "range"]]:
    if (times := _TIMES.match(text, end)) and (atom := ATOM.match(text, times.end())):
        return atom, "times"
    changed = _CHANGED_FROM.search(head) and not _RANGING_FROM.search(head)
    pattern = _BETWEEN if _IS_BETWEEN.search(head) else _RANGE
    joint = pattern.match(text, end)
    if joint is None or (changed and joint[0].strip().lower() in ("to", "through")):
        return None, "range"
    return ATOM.match(text, joint.end()), "range"


def _unglued(text: str, start: int, end: int, unit: Unit, factors: int) -> tuple[int, int, bool]:
    """The quantity with the letters it is written in one word with, unless they may stand there."""
    glued = False
    before = _LETTERS_BEFORE.search(text[max(0, start - 30) : start])
    if before and text[start].isdigit() and not _MAY_BE_GLUED.search(before[0]):
        start, glued = start - len(before[0]), True
    after = _LETTERS_AFTER.match(text, end) if unit == "none" else None
    if after and not _MAY_FOLLOW.match(after[0]) and not (after[0][0] == "-" and factors > 1):
        end, glued = after.end(), True
    return start, end, glued
