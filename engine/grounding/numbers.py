"""Every number of a text replaced by the measured one, kept as a name, or taken out."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from engine.grounding.claims import UNSUPPORTED_CLAIM
from engine.grounding.folding import folded
from engine.grounding.keeping import names_in
from engine.grounding.marks import ASIDE, DATE, NAME, PRIOR
from engine.grounding.meaning import Meaning, is_denied, is_value, leads_to_one, meaning_of
from engine.grounding.measured import Measured
from engine.grounding.priors import (
    cue_after,
    cue_before,
    earlier_thing_before,
    elsewhere,
    past_before_now,
    trailing,
)
from engine.grounding.quantities import Quantity, quantities_in
from engine.grounding.spans import Action, Span
from engine.grounding.subjects import Foreign, foreign_in, goes_on, of_another_site
from engine.grounding.tidying import GAP, article, tidied

UNVERIFIED_NUMBER = "unverified-number"
PRIOR_NUMBER = "prior-number-removed"
OTHER_LESION = "other-lesion-removed"
NOT_MEASURED = "unmeasured-number-removed"


_SENTENCE_END = re.compile(
    r"(?<!\bvs)(?<!\bno)(?<!\bca)(?<!\bmax)(?<!\bapprox)(?<!\bim)(?<!\bse)(?<!\be\.g)(?<!\bi\.e)"
    r"(?<!\bimg)(?<!\bs)(?<!\bu)(?<!\bv)(?<!\bprev)[.!?]+(?=\s|$)|\n",
    re.I,
)
_COMPARISON_BEFORE = re.compile(
    r"(?:[<>≤≥]=?|\b(?:less|greater|more|larger|smaller|higher|lower)\s+than|\b(?:above|below|over|under"
    r"|exceeding|between|sub)|\bat\s+(?:least|most)|\bas\s+(?:much|high|large)\s+as"
    r"|\b(?:in\s+the\s+)?rang(?:e|es|ing)\s+(?:from|of|between))[\s-]*$",
    re.I,
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*|#|[a-z]+")
_NOW = re.compile(r"\s*[,;]?\s*(?:and\s+|but\s+)?(?:now|currently|today|presently)\b", re.I)
_PASSED_OVER = str.maketrans(PRIOR + ASIDE, "  ")
_ALSO_COMPARED = re.compile(rf"{PRIOR}\s*(?:and|or)\s*$", re.I)
_UNITS = {"volume": "cm3", "glycolysis": "g"}  # of the measured number: never the model's
_ARTICLE_BEFORE = re.compile(r"\b(an?)(\s+)$", re.I)


@dataclass(frozen=True, slots=True)
class _Prior:
    """What goes with a number of an earlier examination, or of what the lesion is compared with."""

    start: int
    end: int
    kind: str = "prior"
    flag: str = PRIOR_NUMBER
    instead: str = ""


@dataclass(slots=True)
class _Reading:
    """The state of one walk over the quantities of a text."""

    text: str  # as it was written
    view: str  # folded; kept names, prior numbers and dates blotted out
    spans: list[Span] = field(default_factory=list)
    edits: list[tuple[int, int, str]] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)  # of sentences
    said: dict[str, set[str]] = field(default_factory=dict)  # kind and role -> numbers, as written
    in_sentence: set[tuple[int, str]] = field(default_factory=set)
    last_end: int = 0  # of the last quantity that is not a prior one
    covered: int = 0  # up to here all is decided

    def sentence_of(self, at: int) -> tuple[int, int]:
        """(number, start) of the sentence that holds a position."""
        before = [end for end in self.ends if end <= at]
        return len(before), before[-1] if before else 0

    def foreign(self, quantity: Quantity, meaning: Meaning, start: int) -> Foreign | None:
        """Whose the quantity is, if not the lesion's, in positions of the whole text."""
        number, begin = self.sentence_of(quantity.start)
        before = self.text[:begin]
        end = self.ends[number] if number < len(self.ends) else len(self.view)
        if number and goes_on(self.view[begin:end]):
            begin = self.ends[number - 2] if number > 1 else 0
        at = (start - begin, quantity.start - begin, max(meaning.end, quantity.end) - begin)
        sentence = self.view[begin:end]
        found = foreign_in(sentence, meaning.kind, *at)
        if found is None and meaning.kind != "slice":
            found = of_another_site(before, sentence, at[0], at[2])
        return found and replace(found, start=found.start + begin, end=found.end + begin)

    def sparing_names(self, start: int, end: int, quantity: Quantity) -> tuple[int, int]:
        """The range around a quantity, or the quantity alone on a side where a name lies."""
        has_before = NAME in self.view[start : quantity.start]
        has_behind = NAME in self.view[quantity.end : end]
        return quantity.start if has_before else start, quantity.end if has_behind else end

    def take_out(self, start: int, end: int, kind: str, flag: str, instead: str = "") -> None:
        start, end = self._balanced(start, end)
        self.note(start, end, kind, None, "removed")
        self.edits.append((start, end, instead or GAP))
        self.flags.append(flag)

    def _balanced(self, start: int, end: int) -> tuple[int, int]:
        """The range with the bracket that closes one opened in it, or begun behind that one."""
        for opening, closing in ("()", "[]"):
            inside = self.view[start:end]
            if inside.count(opening) <= inside.count(closing):
                continue
            rest = self.view[end:]
            if rest.lstrip().startswith(closing):
                end += len(rest) - len(rest.lstrip()) + 1
            else:
                start += inside.rindex(opening) + 1
        return start, end

    def note(self, start: int, end: int, kind: str, measured: str | None, action: Action) -> None:
        self.spans.append(Span(self.text[start:end], kind, measured, action, start, end))

    def blot(self, start: int, end: int, mark: str) -> None:
        self.view = self.view[:start] + mark * (end - start) + self.view[end:]


def grounded_numbers(
    text: str, measured: Measured
) -> tuple[str, tuple[Span, ...], tuple[str, ...]]:
    """The text with measured numbers alone, the table of its numbers, and flags.

    Text without a number comes back as it is. What comes back, put in again, stays as it is.
    """
    once, spans, flags = _once(text, measured)
    for _ in range(8):  # a number that was read anew without its neighbours
        again, more, more_flags = _once(once, measured)
        if again == once:
            return once, spans, flags
        once, flags = again, (*flags, *more_flags)
        spans = (*spans, *(_read_anew(span) for span in more if span.action == "removed"))
    return "", spans, (*flags, UNVERIFIED_NUMBER)


def _read_anew(span: Span) -> Span:
    return replace(span, start=-1, end=-1)


def _once(text: str, measured: Measured) -> tuple[str, tuple[Span, ...], tuple[str, ...]]:
    reading = _read_names(text)
    view = reading.view

    def led_by(leads: Callable[[str], bool]) -> Callable[[int], bool]:
        return lambda at: leads(view[reading.sentence_of(at)[1] : at])

    quantities = list(quantities_in(view, led_by(leads_to_one), led_by(is_value)))
    for quantity in quantities:
        if quantity.is_date:
            reading.blot(quantity.start, quantity.end, DATE)
    for index, quantity in enumerate(quantities):
        following = quantities[index + 1].start if index + 1 < len(quantities) else None
        _settle(reading, quantity, following, measured)
    spans = tuple(sorted(reading.spans, key=lambda span: span.start))
    return _edited(reading), spans, tuple(reading.flags)


def _read_names(text: str) -> _Reading:
    reading = _Reading(text, folded(text))
    reading.ends = [match.end() for match in _SENTENCE_END.finditer(reading.view)]
    names = list(names_in(reading.view))
    for kind, start, end in names:
        if any(character.isdigit() for character in reading.view[start:end]):
            reading.note(start, end, kind, None, "kept")
        if kind == "keep-score":
            reading.flags.append(UNSUPPORTED_CLAIM)
    for _, start, end in names:
        reading.blot(start, end, NAME)
    return reading


def _settle(
    reading: _Reading, quantity: Quantity, following: int | None, measured: Measured
) -> None:
    """Decide one quantity: prior, nobody's, another lesion's, or a measured one."""
    if quantity.start < reading.covered:  # the one before took it along: "image 77 of 267"
        if quantity.end > reading.covered:
            reading.take_out(reading.covered, quantity.end, "unknown", UNVERIFIED_NUMBER)
            reading.last_end = reading.covered = quantity.end
        return
    _, sentence_start = reading.sentence_of(quantity.start)
    floor = max(sentence_start, reading.last_end)
    head = reading.view[floor : quantity.start]
    meaning = meaning_of(reading.view, head.translate(_PASSED_OVER), quantity)
    start, end = max(meaning.start, floor), meaning.end
    prior = _prior_range(reading, quantity, following, floor, start)
    if prior is not None:
        begin, stop = reading.sparing_names(prior.start, prior.end, quantity)
        reading.take_out(begin, stop, prior.kind, prior.flag, prior.instead)
        reading.blot(begin, stop, PRIOR)
        reading.covered = stop
        return
    decided = max(floor, reading.covered)  # there may be an aside behind the floor
    start = max(start, decided)
    foreign = reading.foreign(quantity, meaning, start) if meaning.kind != "unknown" else None
    if foreign is not None:
        start, end = max(foreign.start, decided), foreign.end
    start, end = reading.sparing_names(start, end, quantity)
    reading.last_end = reading.covered = end
    value = _value(meaning, measured)
    refusal = _refusal(reading, quantity, meaning, foreign, value, is_denied(head))
    if refusal is not None:
        kind = meaning.kind if refusal in (NOT_MEASURED, OTHER_LESION) else "unknown"
        reading.take_out(start, end, kind, refusal, meaning.instead)
    elif value is not None:
        _replace(reading, quantity, meaning, decided, value, (start, end))
        if meaning.is_aside:
            reading.blot(quantity.start, quantity.end, ASIDE)
            reading.last_end = floor


def _refusal(
    reading: _Reading,
    quantity: Quantity,
    meaning: Meaning,
    foreign: Foreign | None,
    value: str | None,
    denied: bool,
) -> str | None:
    """The flag of a number that is taken out; None where the measured one takes its place."""
    if foreign is not None:
        return OTHER_LESION if foreign.whose == "other" else UNVERIFIED_NUMBER
    if meaning.kind == "unknown" or (meaning.kind == "suv" and not meaning.role) or denied:
        return UNVERIFIED_NUMBER
    if value is None:
        return NOT_MEASURED
    number, _ = reading.sentence_of(quantity.start)
    return OTHER_LESION if _is_anothers(reading, meaning, quantity, number) else None


def _prior_range(
    reading: _Reading, quantity: Quantity, following: int | None, floor: int, start: int
) -> _Prior | None:
    """What to take out where the number is one of an earlier examination, or compared with."""
    head, tail = reading.view[floor : quantity.start], reading.view[quantity.end :]
    cue = cue_before(head)
    if cue is not None:
        begin = max(floor + cue, floor + head.rfind(PRIOR) + 1)
        if there := elsewhere(head[cue:], tail):
            instead = "compared with " if tail.startswith(NAME, there) else ""  # else: its place
            return _Prior(begin, quantity.end + there, "unknown", UNVERIFIED_NUMBER, instead)
        return _Prior(begin, quantity.end + trailing(tail))
    if _ALSO_COMPARED.search(head) and (there := elsewhere("compared", tail)):
        return _Prior(quantity.start, quantity.end + there, "unknown", UNVERIFIED_NUMBER)
    if past := past_before_now(head, tail):
        return _Prior(quantity.start - past[0], quantity.end + past[1])
    thing = earlier_thing_before(reading.view[floor:start])
    if thing is not None and not quantity.is_date:
        has_name = NAME in reading.view[floor + thing : start]
        return _Prior(start if has_name else floor + thing, quantity.end)
    after = cue_after(tail, None if following is None else following - quantity.end)
    if after is None or quantity.is_date:
        return None
    has_its_own = not _NOW.match(tail, after)  # "SUV was 8.2 previously, now 6.3" shares one "SUV"
    return _Prior(start if has_its_own else quantity.start, quantity.end + after)


def _value(meaning: Meaning, measured: Measured) -> str | None:
    """The measured number that takes the place of one with this meaning."""
    long_cm, short_cm, high_cm = measured.long_cm, measured.short_cm, measured.craniocaudal_cm
    match meaning.kind:
        case "suv":
            return measured.suv.get(meaning.role)
        case "size1":
            return {"short": short_cm, "craniocaudal": high_cm}.get(meaning.role, long_cm)
        case "size2":
            return f"{long_cm} x {short_cm}" if long_cm and short_cm else None
        case "size3":
            return (
                f"{long_cm} x {short_cm} x {high_cm}" if long_cm and short_cm and high_cm else None
            )
        case "slice":
            return measured.slices if meaning.role == "range" else measured.slice
        case "volume":
            return measured.volume_cm3
        case "glycolysis":
            return measured.glycolysis_g
    return None


def _is_anothers(reading: _Reading, meaning: Meaning, quantity: Quantity, sentence: int) -> bool:
    """Whether this lesion's number was said already, and this one is not the same."""
    role = "" if meaning.role == "long" else meaning.role
    key = f"{meaning.kind.rstrip('123')} {role}"
    numbers = {number for factor in quantity.factors for number in _NUMBER.findall(factor.lower())}
    said = reading.said.setdefault(key, set())
    if (sentence, key) in reading.in_sentence or (said and said.isdisjoint(numbers)):
        return True
    reading.in_sentence.add((sentence, key))
    said |= numbers
    return False


def _replace(
    reading: _Reading,
    quantity: Quantity,
    meaning: Meaning,
    floor: int,
    value: str,
    phrase: tuple[int, int],
) -> None:
    text, view = reading.text, reading.view
    start, end = quantity.start, quantity.end
    unit = text[quantity.unit_start : quantity.end] if not quantity.is_bare else ""
    if meaning.kind.startswith("size"):
        unit = "-cm" if unit.strip().startswith("-") else " cm"
    elif meaning.kind in _UNITS:
        unit = ("-" if unit.strip().startswith("-") else " ") + _UNITS[meaning.kind]
    if meaning.kind in ("slice", *_UNITS):
        end = meaning.end
    if comparison := _COMPARISON_BEFORE.search(view[floor:start]):
        start = floor + comparison.start()
    if written := _ARTICLE_BEFORE.search(text[floor:start]):
        indefinite = article(written[1], value)
        if indefinite != written[1]:
            reading.edits.append((floor + written.start(1), floor + written.end(1), indefinite))
    reading.edits.append((start, end, value + unit))
    reading.note(min(phrase[0], start), phrase[1], meaning.kind, value + unit, "replaced")


def _edited(reading: _Reading) -> str:
    if not reading.edits:
        return reading.text
    pieces, at = [], 0
    for start, end, replacement in sorted(reading.edits):
        if start >= at:
            pieces += [reading.text[at:start].replace(GAP, " "), replacement]
        elif replacement == GAP and end > at:
            pieces.append(GAP)
        at = max(at, end)
    pieces.append(reading.text[at:].replace(GAP, " "))
    text = "".join(pieces)
    return tidied(text) if GAP in text else text
