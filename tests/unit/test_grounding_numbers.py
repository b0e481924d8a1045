"""No number that a model wrote comes out of grounding, and every name with a number does."""

import re
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.grounding.measured import Measured
from engine.grounding.numbers import grounded_numbers
from tests.unit.grammar import (
    ANATOMY,
    LARGE_WORDS,
    MEASURED,
    NUMERALS,
    PLACEHOLDERS,
    SCORES,
    SMALL_WORDS,
    TRACERS,
    Sentence,
    descriptions,
    numberless,
    numbers_in,
)

NOTHING_BUT_VOLUME = Measured(
    suv=dict.fromkeys(("max", "mean", "peak", "median")),
    long_cm=None,
    short_cm=None,
    craniocaudal_cm=None,
    slice=None,
    slices=None,
    volume_cm3="0.031",
    glycolysis_g=None,
)
UPTAKE, SIZES = {"9.8", "5.7", "8.6", "5.5"}, {"3.1", "2.4", "2.9"}
SLICES, VOLUMES = {"57", "52", "61"}, {"13.6", "0.031"}
AMOUNTS = VOLUMES | {"78.8"}


def examples(count: int) -> settings:
    """As many, and the same in every run: what fails in one, fails in all."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


def without(text: str, names: tuple[str, ...]) -> str:
    """The text with each name blotted out once; a name that is not there fails."""
    for name in sorted(names, key=len, reverse=True):
        assert name in text, f"{name!r} did not survive in {text!r}"
        text = text.replace(name, "~" * 3, 1)
    return text


NO_SIZE_BEFORE = (
    "extending", "inferiorly by", "displacing the trachea by", "width of", "height of", "radius",
    "circumference of", "transverse diameter of", "area of", "thickness", "within", "from",
)  # fmt: skip
NO_SIZE_AFTER = (
    "right of", "left of", "into", "in width", "in radius", "behind", "from", "(ap", "thickness",
)  # fmt: skip


def check_length(before: str, number: str, after: str, text: str) -> None:
    """One length is the long axis, unless the words beside it say short or craniocaudal."""
    before, after = before.rstrip(" ~:=-"), after.removeprefix("cm").lstrip(" -")
    for hedge in ("approximately", "about", "up to"):
        before = before.removesuffix(hedge).rstrip()
    assert not before.endswith(NO_SIZE_BEFORE), text
    assert not after.startswith(NO_SIZE_AFTER), text
    is_short = before.endswith(("short axis", "short axis of")) and "in short" not in before[-14:]
    if after.startswith("in short axis") or is_short:
        assert number == "2.4", text
    elif after.startswith("craniocaudal") or before.endswith("craniocaudal extent of"):
        assert number == "2.9", text
    else:
        assert number == "3.1", text


def check_numbers(text: str, known: set[str]) -> None:
    """Every number is a measured one, and of the kind that the words beside it say."""
    for before, number, after in numbers_in(text):
        before, after = before.lower(), after.lower().lstrip(" -")
        if before.endswith(("cm", "mm")) and number in ("3", "\u00b3"):
            continue  # the unit of a volume
        assert number in known, f"{number!r} in {text!r}"
        if after.startswith(("cm", "x ")) and not after.startswith(("cm3", "cm\u00b3")):
            assert number in SIZES, text
            if after.startswith("cm") and not before.endswith(" x "):
                check_length(before, number, after, text)
            elif after.startswith("cm"):
                assert number == ("2.9" if before.count(" x ", -12) > 1 else "2.4"), text
            else:
                assert number == ("2.4" if before.endswith(" x ") else "3.1"), text
        elif before.rstrip(" :=(").endswith(("suv", "suvmax", "suv max", "max suv", "suv of")):
            assert number in UPTAKE, text
        elif re.search(r"(?:slice|image)s?\s*$", before):
            assert number in SLICES, text
            # an uptake "on the delayed images" is no number of an image
            assert not re.search(r"suv[^.;:,()\[\]\d]*$", before), text
        elif after.startswith("cm3"):
            assert number in VOLUMES, text
        elif re.match(r"g(?!/ml)\b", after):
            assert number == "78.8", text
        assert not re.match(r"(?:[mcd\u03bcu]?l|cc|[cmd]?m\u00b3|\w*lit(?:er|re)s?)\b", after), text


def check_everything(sentence: Sentence, measured: Measured, known: set[str]) -> None:
    text, spans, _ = grounded_numbers(sentence.text, measured)
    check_numbers(without(text, sentence.must_survive), known)
    assert "[#]" not in text
    assert grounded_numbers(text, measured)[0] == text, "not idempotent"
    assert all(
        span.raw == sentence.text[span.start : span.end] for span in spans if span.start >= 0
    )
    for at, character in enumerate(sentence.text):
        if character.isnumeric() or character == "#":
            holding = [span for span in spans if span.start <= at < span.end]
            assert len(holding) == 1, f"[{at}] is in {holding}"


@given(descriptions())
@pytest.mark.timeout(300)
@examples(5000)
def test_numbers_of_sentences_of_another_grammar_are_measured(sentence: Sentence) -> None:
    check_everything(sentence, MEASURED, UPTAKE | SIZES | SLICES | AMOUNTS)


@given(descriptions())
@pytest.mark.timeout(300)
@examples(1500)
def test_where_nothing_is_measured_no_number_is_left(sentence: Sentence) -> None:
    check_everything(sentence, NOTHING_BUT_VOLUME, {"0.031"})


FRAGMENTS = (
    *NUMERALS, *NUMERALS, *SMALL_WORDS, *PLACEHOLDERS, "SUV", "SUVmax", "SUV max of", "mean",
    "peak", "cm", "mm", "mL", "g/mL", "HU", "%", "x", "by", "-", "to", "/", "(", ")", "[", "]",
    ",", ".", ";", ":", "and", "with", "previously", "compared to", "from", "prior",
    "decreased from", "now", "image", "axial slice", "slices", "series", "of", "lesion",
    "node", "measuring", "short axis", "a", "an", "The", "is", "less than", ">",
    "approximately", "volume of", "TLG", "in", "no", "above", "liver", "March", "on", "2021",
    "short", "\n", "two point five", "\u00b1", "\u00bd", "half", "one", "#",
    *LARGE_WORDS, "twice", "twofold", "fold", "a couple of", "score", "Deauville", "one",
)  # fmt: skip


def shuffled(seed: int) -> str:
    choices = Random(seed)
    pieces = choices.choices(FRAGMENTS, k=choices.randrange(15))
    return "".join(piece + choices.choice((" ", " ", " ", "")) for piece in pieces)


@given(st.integers(0, 2**64 - 1).map(shuffled))
@pytest.mark.timeout(300)
@examples(5000)
def test_no_order_of_words_lets_a_number_through(text: str) -> None:
    grounded, _, _ = grounded_numbers(text, MEASURED)
    known = UPTAKE | SIZES | SLICES | AMOUNTS
    left = [number for _, number, _ in numbers_in(grounded) if number not in {*known, "3"}]
    assert left == [], grounded
    assert grounded_numbers(grounded, MEASURED)[0] == grounded


@given(st.one_of(numberless(), st.text(max_size=40)))
@examples(800)
def test_text_without_numbers_stays_byte_for_byte(text: str) -> None:
    if not numbers_in(text):
        assert grounded_numbers(text, MEASURED) == (text, (), ())


@given(
    st.text(st.characters(categories=["Nd", "Nl", "No", "L", "P", "Zs", "S", "Cc"]), max_size=30)
)
@examples(400)
def test_numerals_of_every_script_are_numbers(text: str) -> None:
    grounded, _, _ = grounded_numbers(text, MEASURED)
    assert grounded_numbers(grounded, MEASURED)[0] == grounded
    kept = "".join(
        span.raw for span in grounded_numbers(text, MEASURED)[1] if span.action == "kept"
    )
    known = set("".join([*UPTAKE, *SIZES, *SLICES, *AMOUNTS]) + kept)
    assert all(not character.isnumeric() or character in known for character in grounded)


@pytest.mark.parametrize("name", [*ANATOMY, *TRACERS, *SCORES])
@pytest.mark.parametrize(
    "frame",
    [
        "{}",
        "Focus at {}.",
        "{}, SUV max [#], 1.2 x 1.1 cm.",
        "Node ({}) with SUV 6.3.",
        "{}: 12 mm",
    ],
)
def test_names_with_numbers_survive(name: str, frame: str) -> None:
    text, spans, _ = grounded_numbers(frame.format(name), MEASURED)
    assert name in text
    assert all(span.action == "kept" for span in spans if span.raw in name)


@pytest.mark.parametrize(
    "name", ["C9", "T14", "L7", "13th rib", "level 8", "segment 11", "station 15"]
)
def test_numbers_that_name_nothing_do_not_survive(name: str) -> None:
    text, _, flags = grounded_numbers(f"Focus at {name}.", MEASURED)
    assert numbers_in(text) == []
    assert "unverified-number" in flags


def test_the_table_says_what_became_of_each_number() -> None:
    raw = "C6 node, SUV max of 6.3, previously 8.2, 35 HU."
    text, spans, flags = grounded_numbers(raw, MEASURED)
    assert text == "C6 node, SUV max of 9.8."
    assert [(span.raw, span.kind, span.measured, span.action) for span in spans] == [
        ("C6", "keep-anatomy", None, "kept"),
        ("SUV max of 6.3", "suv", "9.8", "replaced"),
        ("previously 8.2", "prior", None, "removed"),
        ("35 HU", "unknown", None, "removed"),
    ]
    assert all(raw[span.start : span.end] == span.raw for span in spans)
    assert flags == ("prior-number-removed", "unverified-number")
