"""The reference finding of one lesion, in the words of a PET report, with its measured numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np

from engine.cohort.sentence_phrases import (
    GRADE_ADJECTIVES,
    GRADE_ADVERBS,
    INTERPRETATIONS,
    NORMAL_SENTENCES,
    NOUNS,
    SENTENCES,
    Style,
)
from engine.cohort.sentence_places import PLACES, SITE_WORDS
from engine.cohort.world_places import Kind

_URINARY = frozenset({"urinary bladder", "ureter", "kidney"})


@dataclass(frozen=True, slots=True)
class Told:
    """The facts that a finding states. `measured` has the names of a record's."""

    site: str
    laterality: str | None
    kind: Kind
    uptake: str
    interpretation: str
    morphology: str | None
    measured: Mapping[str, Any]
    tracer: str = "FDG"


def finding(told: Told, rng: np.random.Generator, style: Style = "home") -> str:
    """One finding, each fact in one of its wordings."""

    def one(words: tuple[str, ...]) -> str:
        return str(words[int(rng.integers(len(words)))])

    is_normal = told.kind in ("focus", "organ")
    sentence = one((NORMAL_SENTENCES if is_normal else SENTENCES)[style])
    noun = "lymph node" if told.kind == "node" else one(NOUNS[style][told.kind])
    what = _what(told, noun, style)
    adjective = one(GRADE_ADJECTIVES[style][told.uptake])
    adverb = one(GRADE_ADVERBS[style][told.uptake])
    return sentence.format(
        what=what, What=_capital(what), where=where(told.site, told.laterality, style),
        adjective=adjective, Adjective=_capital(adjective),
        adverb=adverb, Adverb=_capital(adverb), tracer=told.tracer,
        size=f"{_cm(told.measured['long_axis_mm'])} x {_cm(told.measured['short_axis_mm'])} cm",
        suv=one_decimal(told.measured["suv_max"]), slice=told.measured["slice"],
        meaning=one(_meanings(told, style)),
    )  # fmt: skip


def where(site: str, laterality: str | None, style: Style = "home") -> str:
    """The site with its side, as a noun: "left kidney", "right upper lobe"."""
    name = PLACES[style].get(site, site.replace(" LN", " lymph node"))
    return name if laterality is None or laterality in site else f"{laterality} {name}"


def one_decimal(value: float) -> str:
    """Half up, as people round."""
    return str(Decimal(value).quantize(Decimal("0.1"), ROUND_HALF_UP))


def _cm(value_mm: float) -> str:
    return one_decimal(value_mm / 10)


def _what(told: Told, noun: str, style: Style) -> str:
    """The lesion with its place before it: "left axillary lymph node", "L3 vertebra lesion"."""
    site = SITE_WORDS[style].get(told.site, told.site.removesuffix(" LN"))
    side = told.laterality if told.laterality and told.laterality not in told.site else None
    return " ".join(word for word in (told.morphology, side, site, noun) if word)


def _meanings(told: Told, style: Style) -> tuple[str, ...]:
    kind = {"node": " node", "bone": " bone"}.get(told.kind, "")
    if told.site in _URINARY:
        kind = " urine"
    rows = INTERPRETATIONS[style]
    return rows.get(told.interpretation + kind) or rows[told.interpretation]


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
