"""No number that a model wrote comes out of grounding, and every name with a number does."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.grounding.measured import Measured
from engine.grounding.numbers import grounded_numbers
from tests.unit.grammar import Sentence, descriptions, numberless, numbers_in

MEASURED = Measured(
    suv={"max": "9.8", "mean": "5.7", "peak": "8.6", "median": "5.5"},
    long_cm="3.1",
    short_cm="2.4",
    craniocaudal_cm="2.9",
    slice="57",
    slices="52-61",
    volume_cm3="13.6",
    glycolysis_g="78.8",
)
REFUSED = Measured(
    suv=dict.fromkeys(("max", "mean", "peak", "median")),
    long_cm=None,
    short_cm=None,
    craniocaudal_cm=None,
    slice=None,
    slices=None,
    volume_cm3="0.031",
    glycolysis_g=None,
)
PROPERTY = settings(
    max_examples=2500, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
UPTAKE = {value for value in MEASURED.suv.values() if value}
SIZES = {"3.1", "2.4", "2.9"}


def without(text: str, names: tuple[str, ...]) -> str:
    """The text with each name blotted out once; a name that is not there fails."""
    for name in sorted(names, key=len, reverse=True):
        assert name in text, f"{name!r} did not survive in {text!r}"
        text = text.replace(name, "~" * 3, 1)
    return text


def check_numbers(text: str, measured: Measured) -> None:
    """Every number is a measured one, and of the kind that the words beside it say."""
    known = {value for value in measured.suv.values() if value} | {
        value
        for value in (
            measured.long_cm, measured.short_cm, measured.craniocaudal_cm, measured.slice,
            measured.volume_cm3, measured.glycolysis_g, *(measured.slices or "").split("-"),
        )
        if value
    }  # fmt: skip
    for before, number, after in numbers_in(text):
        if before.lower().endswith(("cm", "cm^")) and number in ("3", "³"):
            continue  # the unit of a volume
        assert number in known, f"{number!r} in {text!r}"
        if after.lstrip(" -").startswith("cm") and not after.lstrip(" -").startswith(("cm3", "cm³")):
            assert number in SIZES, text
        if before.rstrip(" :=(").lower().endswith(("suv", "suvmax", "suv max", "max suv")):
            assert number in UPTAKE, text
        if re.search(r"(?:slice|image)s?\s*$", before):
            assert number in {"57", "52", "61"}, text


def check_everything(sentence: Sentence, measured: Measured) -> None:
    text, spans, _ = grounded_numbers(sentence.text, measured)
    rest = without(text, sentence.must_survive)
    check_numbers(rest, measured)
    assert "[#]" not in text
    assert grounded_numbers(text, measured)[0] == text, "not idempotent"
    for at, character in enumerate(sentence.text):
        if character.isnumeric() or character == "#":
            assert any(span.start <= at < span.end for span in spans), f"no span has [{at}]"


@given(descriptions())
@PROPERTY
def test_numbers_of_sentences_of_another_grammar_are_measured(sentence: Sentence) -> None:
    check_everything(sentence, MEASURED)
