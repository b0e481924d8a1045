"""Whose a number is, where the words say that it is not the lesion's own."""

import re
from dataclasses import dataclass
from typing import Literal

from engine.grounding.cues import NEAR_CUES
from engine.grounding.marks import NAME
from engine.grounding.phrases import (
    BEFORE_A_SITE,
    COMPARATOR,
    COMPARING,
    FILLER,
    LESION,
    NOT_THE_SITE,
    REFERENCE,
    SUV_PHRASE,
    THING,
)
from engine.grounding.site_table import Site, is_within
from engine.grounding.terms import mentions_of, words_of

Whose = Literal["reference", "threshold", "derived", "other"]


@dataclass(frozen=True, slots=True)
class Foreign:
    """Whose a number is, and the part of the sentence that is to go with it."""

    whose: Whose
    start: int
    end: int


# An organ to compare with, and what leads from it to the name of an uptake
_OWNER = re.compile(
    rf"(?P<owner>(?:\b(?:the|an?|mean|average|adjacent|surrounding|right|left)\s+)*(?:{REFERENCE.pattern}\s*)+"
    r"(?:\b(?:uptake|activity|avidity|tissue|parenchyma|intensity|lobe)\b\s*)*)"
    r"(?P<joint>(?P<bracket>\s*[(\[]\s*)|(?P<verb>,?\s*(?:\b(?:which|that)\s+)?\b(?:has|had|have|having|measur\w+"
    r"|show\w*|demonstrat\w+|is|are|was|were|reach\w*|(?P<with>with|of|at))\s+"
    r"(?:\b(?:up|to|at|of|an?|the|its|about|approximately)\s+)*)|\s*(?:[:=]\s*)?)$",
    re.I,
)
_SITE_OF_LESION = re.compile(r"\b(?:in|of|within|involving)\s+(?:the\s+)?(?:\w+\s+)?$", re.I)
_CLAUSE_BEGINS = re.compile(
    r"(?:^|[.;,:(\[]|\b(?:and|while|whereas|but|where|although|versus|vs)\b)\s*$", re.I
)
_OF_REFERENCE = re.compile(
    r"\s*(?:(?:for|in|of|at)\s+(?:the\s+)?(?:(?:mediastinal|aortic|thoracic|normal|adjacent)\s+)*"
    rf"(?:blood[\s-]?pool|background|aorta|muscle)\b|for\s+(?:the\s+)?(?:{REFERENCE.pattern}\s*)+)",
    re.I,
)
_ORGAN_MEASURES = re.compile(
    r"(?:(?<![^.;,(])|(?<=\band )|(?<=[.;,(] ))(?:(?:the|right|left|enlarged|normal|an?)\s+)*"
    r"\b(?:liver|spleen|aorta|uterus|prostate|kidney|heart|thyroid|pancreas|gallbladder|bladder|brain)"
    rf"\s+(?:measur\w+|is|was|spans?)\b{FILLER}$",
    re.I,
)
_DERIVED = (
    r"(?:ratios?|differences?|deltas?|gradients?|increments?|variations?|ind(?:ex|ices)"
    r"|(?P<change>changes?|increase|decrease|drop|rise|fall|reduction|decline|growth)|\u0394|\u03b4)"
)
_DERIVED_WITHIN = re.compile(rf"\b{_DERIVED}(?!\w)", re.I)
_DERIVED_BEFORE = re.compile(
    rf"(?:\b|(?=\u0394)|(?=\u03b4)){_DERIVED}[\s-]*(?:\b(?:of|in|between|for)\s+)?(?:the\s+|its\s+)?$",
    re.I,
)
_TO = re.compile(r"\bto\b", re.I)
_MORE_THAN = re.compile(r"\s*(?:units?\s+)?(?:higher|lower|greater|more|less)\s+than\b", re.I)
_IS = re.compile(r"\b(?:is|was|are|were)\b", re.I)
_LIMIT = (
    r"(?:thresholds?|cut-?\s?offs?|limits?|segment\w*|contour\w*|delineat\w*|window\w*|iso-?contours?|criteri\w+"
    r"|outlin\w*|display\w*|scal(?:e|ed|ing))"
)
_LIMIT_BEFORE = re.compile(
    rf"\b{_LIMIT}\s*(?:\b(?:is|was|set|fixed|done|performed|made|drawn|at|with|using|by|to|above|from|of|over|an?|the|level)\s+)*$",
    re.I,
)
_LIMIT_AFTER = re.compile(
    r"\s*(?:(?:was|is|were|being)\s+)?(?:(?:used|chosen|taken|set|applied)\s+)?"
    rf"(?:(?:as|for)\s+(?:an?\s+|the\s+)?(?:[a-z]+\s+){{0,2}})?{_LIMIT}\b",
    re.I,
)
_JUDGED_AFTER = re.compile(
    r"\s*(?:(?:is|are|was|were|being|to\s+be)\s+)?(?:[a-z]+ly\s+)?"
    rf"(?:considered|regarded|deemed|defined|taken|suggest\w*|indicat\w*)\b[^,;.()\d{NAME}]*",
    re.I,
)
_ANY_BEFORE = re.compile(r"\b(?:if|whenever|any|all|every|each)\b[^,;.]*$", re.I)

_WORD = (
    r"(?:(?!(?:with|which|that|is|are|was|were|in|at|of|from|to|than|has|have|and)\b)"
    rf"[\w{NAME}/'.\[\]#-]+[\s,]+)"
)
_OTHER_LESION = re.compile(
    r"\b(?:another|others?|second|third|additional|separate|satellite|further|neighbou?ring|daughter"
    rf"|different|remaining|adjacent)[\s-]+{_WORD}{{0,6}}?{LESION}\b",
    re.I,
)
_DENIED_BEFORE = re.compile(r"\b(?:no|without|not|nor|any|neither)\b[^,;.]*$", re.I)
_LEADS_TO_OTHER = re.compile(
    r"[\s-]*(?:(?!(?:with|and|or|in|at|of|from|to|is|was|has)\b)[\w'/-]+[\s-]+){0,4}$", re.I
)
_IS_NO_PLACE = frozenset(("over", "below", "between", "level of", "toward", "outside", "above"))
_BESIDE = "|".join(cue for cue in NEAR_CUES if cue not in _IS_NO_PLACE)
_BESIDE_LESION = re.compile(rf"\b(?:{_BESIDE})\s+{_WORD}{{0,8}}?{THING}\b", re.I)
# What the lesion is compared with, and what leads from it to a number of its own
_THAN = (
    r"\b(?:than|versus|vs\.?|(?:compared|relative|similar|equal)\s+(?:to|with))\s+"
    r"(?:(?:that|those)\s+(?:of|in)\s+)?"
)
_NO_NOUN = (
    r"(?:in|on|at|of|for|with|and|or|but|is|are|was|were|has|had|have|which|that|expected|usual"
    r"|typical)"
)
_OF_NOUN = rf"(?!{_NO_NOUN}\b)[\w/'{NAME}-]+"
_COMPARED = re.compile(
    rf"{_THAN}(?P<owner>{_OF_NOUN}(?:\s+{_OF_NOUN}){{0,7}})"
    rf"(?:\s+(?:in|at|of)(?:\s+{_OF_NOUN}){{1,5}})?"
    r"\s*(?:[(\[]\s*|,?\s*(?:which|that)\s+(?:\w+\s+){1,4}|(?:with|of|at)\s+(?:(?:an?|the|its)\s+)?)?$",
    re.I,
)
_COMPARED_SIZE = re.compile(rf"{_THAN}(?:the|an?|its|this)\s+$", re.I)
_THING_AFTER = re.compile(rf"\s+{_WORD}{{0,4}}?{THING}\b", re.I)
_OF_SIDES = re.compile(r"\b(?:left|right)\s+\w+\s+than\s+(?:left|right)\b", re.I)
# A sentence that begins with a site
_SITE_LEADS = re.compile(
    rf"\s*(?P<compares>for\s+(?:comparison|reference),?\s+)?(?P<site>[^,;:.()\d{NAME}]*?)\s*"
    rf"(?:\b(?:has|had|shows?|showed|demonstrat\w+|measur\w+|is|was|reach\w*)\b|[:=]|{SUV_PHRASE})",
    re.I,
)
_CLAUSE_ENDS = re.compile(
    r",(?!\d)(?!\s*(?:which|that)\b)|[;)]|[.!?](?=\s|$)|\b(?:is|are|there)\s+(?:an?|is|seen|noted)\b"
    r"|\band\s+(?:it|has|shows?|measur\w+|is|demonstrat\w+)\b",
    re.I,
)
_LESION, _THING = (re.compile(rf"\b{one}\b", re.I) for one in (LESION, THING))
_GOES_ON = re.compile(r"\s*(?:it|its|this|they)\b", re.I)


def goes_on(sentence: str) -> bool:
    """Whether a sentence is about what the one before it is about."""
    return _GOES_ON.match(sentence) is not None


def foreign_in(text: str, kind: str, start: int, at: int, end: int) -> Foreign | None:
    """Whose a number is, if not the lesion's: it stands at [at, end), its words begin at `start`.

    `text` is the folded sentence, with the one before it where it goes on from that.
    """
    if kind in ("suv", "volume", "glycolysis"):
        found = _limit(text, start, at, end) or _derived(text, start, at, end)
        if found := found or _reference(text, start, at, end):
            return found
    elif kind == "slice":
        return None
    elif organ := _ORGAN_MEASURES.search(text, 0, at):
        return Foreign("reference", organ.start(), end)
    if _is_others(text, at, end):
        return Foreign("other", start, end)
    return _compared(text, start, at, end)


def of_another_site(before: str, sentence: str, start: int, end: int) -> Foreign | None:
    """A number at [start, end) of a sentence whose subject is another site than the lesion's.

    `before` are the sentences before it, which say where the lesion is: "Nodule in the lung. Heart
    SUV 8." A sentence that calls anything a lesion is of that.
    """
    led = _SITE_LEADS.match(sentence)
    if led is None or led.end("site") > start or _LESION.search(sentence):
        return None
    words = words_of(led["site"])
    named, own = mentions_of(words), [one.site for one in mentions_of(words_of(before))]
    if len(named) != 1:
        return None
    ahead, site = {one.text for one in words[: named[0].first]}, named[0].site
    is_apart = site.rank == 2 and not any(_may_be_same(site, one) for one in own)
    if ahead <= BEFORE_A_SITE and (ahead & NOT_THE_SITE or led["compares"] or (own and is_apart)):
        return Foreign("reference", 0, end)
    return None


def _may_be_same(site: Site, own: Site) -> bool:
    is_part = is_within(site, own) or is_within(own, site) or site.node == own.name
    return is_part or (own.rank < 2 and own.region in (None, site.region))


def _limit(text: str, start: int, at: int, end: int) -> Foreign | None:
    if behind := _LIMIT_AFTER.match(text, end):
        return Foreign("threshold", start, behind.end())
    if _LIMIT_BEFORE.search(text, 0, start):
        return Foreign("threshold", start, end)
    if COMPARATOR.search(text, start, at):
        if judged := _JUDGED_AFTER.match(text, end):  # else the lesion would be judged so
            return Foreign("threshold", start, judged.end())
        if _ANY_BEFORE.search(text, 0, start):
            return Foreign("threshold", start, end)
    return None


def _derived(text: str, start: int, at: int, end: int) -> Foreign | None:
    """A ratio, a difference or a change; "an increase to 6.3" is none."""
    for found in (_DERIVED_WITHIN.search(text, start, at), _DERIVED_BEFORE.search(text, 0, start)):
        if found and not (found["change"] and _TO.search(text, found.end(), at)):
            return Foreign("derived", min(start, found.start()), end)
    if _MORE_THAN.match(text, end) and _IS.search(text, start, at):
        return Foreign("derived", start, end)
    return None


def _reference(text: str, start: int, at: int, end: int) -> Foreign | None:
    if REFERENCE.search(text, start, at):  # "SUV of the liver is 2.2"
        return Foreign("reference", start, end)
    if behind := _OF_REFERENCE.match(text, end):
        return Foreign("reference", start, behind.end())
    owned = _OWNER.search(text, 0, start)
    if owned is None:
        return None
    lead = text[: owned.start()]
    is_compared, begins = COMPARING.search(lead), _CLAUSE_BEGINS.search(lead)
    if owned["bracket"] or owned["verb"]:  # the organ stays where it says how hot the lesion is
        if is_compared:
            return Foreign("reference", owned.start("joint") if owned["verb"] else start, end)
        is_own = not begins or owned["with"]
        return None if is_own else Foreign("reference", owned.start(), end)
    if not is_compared and _SITE_OF_LESION.search(lead):
        return None
    return Foreign("reference", owned.start(), end)


def _compared(text: str, start: int, at: int, end: int) -> Foreign | None:
    """The number of what a lesion is compared with; "SUV greater than 6.3" is the lesion's."""
    if _COMPARED_SIZE.search(text, 0, at) and _THING_AFTER.match(text, end):
        return Foreign("other", start, end)
    compared = _COMPARED.search(text, 0, start)
    if compared is None or _OF_SIDES.search(text, 0, start):
        return None
    owner = compared["owner"]
    if _THING.search(owner) or NAME in owner:
        return Foreign("other", start, end)
    is_site = REFERENCE.search(owner) or mentions_of(words_of(owner))
    return Foreign("reference", start, end) if is_site else None


def _is_others(text: str, at: int, end: int) -> bool:
    """Whether another lesion is the subject: named as another, or as what this one is beside."""
    for other in _OTHER_LESION.finditer(text):
        if _DENIED_BEFORE.search(text, 0, other.start()):
            continue
        if end <= other.start():
            if _LEADS_TO_OTHER.match(text[end : other.start()]):
                return True
        elif ";" not in text[other.start() : at]:
            return True
    for beside in _BESIDE_LESION.finditer(text):
        ends = _CLAUSE_ENDS.search(text, beside.end())
        if beside.start() < at < (ends.start() if ends else len(text)):
            return True
    return False
