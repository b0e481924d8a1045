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


def check_numbers(text: str, known: set[str]) -> None:
    """Every number is a measured one, and of the kind that the words beside it say."""
    for before, number, after in numbers_in(text):
        before, after = before.lower(), after.lower().lstrip(" -")
        if before.endswith(("cm", "mm")) and number in ("3", "\u00b3"):
            continue  # the unit of a volume
        assert number in known, f"{number!r} in {text!r}"
        if after.startswith(("cm", "x ")) and not after.startswith(("cm3", "cm\u00b3")):
            assert number in SIZES, text
        elif before.rstrip(" :=(").endswith(("suv", "suvmax", "suv max", "max suv", "suv of")):
            assert number in UPTAKE, text
        elif re.search(r"(?:slice|image)s?\s*$", before):
            assert number in SLICES, text
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
            assert any(span.start <= at < span.end for span in spans), f"no span has [{at}]"


@given(descriptions())
@examples(3500)
def test_numbers_of_sentences_of_another_grammar_are_measured(sentence: Sentence) -> None:
    check_everything(sentence, MEASURED, UPTAKE | SIZES | SLICES | AMOUNTS)


@given(descriptions())
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
)  # fmt: skip


def shuffled(seed: int) -> str:
    choices = Random(seed)
    pieces = choices.choices(FRAGMENTS, k=choices.randrange(15))
    return "".join(piece + choices.choice((" ", " ", " ", "")) for piece in pieces)


@given(st.integers(0, 2**64 - 1).map(shuffled))
@examples(4500)
def test_no_order_of_words_lets_a_number_through(text: str) -> None:
    grounded, _, _ = grounded_numbers(text, MEASURED)
    known = UPTAKE | SIZES | SLICES | AMOUNTS
    left = [number for _, number, _ in numbers_in(grounded) if number not in {*known, "3"}]
    assert left == [], grounded
    assert grounded_numbers(grounded, MEASURED)[0] == grounded


@given(st.one_of(numberless(), st.text(max_size=40)))
@examples(800)
def test_text_without_numbers_stays_byte_for_byte(text: str) -> None:
    if not numbers_in(text) and not re.search(r"teen|ty\b|hundred|thousand|dozen", text, re.I):
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


SENTENCES = [
    # uptake
    ("Node with SUV max of 6.3.", "Node with SUV max of 9.8."),
    ("Nodule, max SUV 15.8.", "Nodule, max SUV 9.8."),
    ("Focus, SUVmax: 3.25", "Focus, SUVmax: 9.8"),
    ("SUV max measures up to 4.", "SUV max measures up to 9.8."),
    ("SUV 8-10.", "SUV 9.8."),
    ("SUV 8 to 10.", "SUV 9.8."),
    ("SUV between 8 and 10.", "SUV 9.8."),
    ("SUV greater than 6.", "SUV 9.8."),
    ("SUV 6,3.", "SUV 9.8."),
    ("SUV of six point three.", "SUV of 9.8."),
    ("A mean SUV of 3, SUVpeak 5.", "A mean SUV of 5.7, SUVpeak 8.6."),
    ("SUV max in this node is 6.3 g/mL.", "SUV max in this node is 9.8 g/mL."),
    ("A 6.3 SUV focus.", "A 9.8 SUV focus."),
    ("Node (SULmax 4.1).", "Node."),  # normalised to lean mass: not measured
    # sizes
    ("Measuring 1.2 x 1.1 cm.", "Measuring 3.1 x 2.4 cm."),
    ("Measuring 5.5 x 3.5 x 5 cm.", "Measuring 3.1 x 2.4 x 2.9 cm."),
    ("A 1.2cm node.", "A 3.1 cm node."),
    ("A 12-mm node.", "A 3.1-cm node."),
    ("An 8 mm node.", "A 3.1 cm node."),
    ("Two centimeter node.", "3.1 cm node."),
    ("Node of 12 \u00d7 11 mm.", "Node of 3.1 x 2.4 cm."),
    ("Node of 12 mm by 11 mm.", "Node of 3.1 x 2.4 cm."),
    ("1.2 cm in short axis.", "2.4 cm in short axis."),
    ("A node less than 5 mm.", "A node 3.1 cm."),
    # slices
    ("Node (PET/CT axial slice 86, SUV max 6.3).", "Node (PET/CT axial slice 57, SUV max 9.8)."),
    ("Axial slices 101-104.", "Axial slices 52-61."),
    ("Image 77 of 267.", "Image 57."),
    ("Node (series 3, image 77).", "Node (image 57)."),
    ("Node on CT image 77.", "Node."),
    # volumes
    ("Volume of 3 mL.", "Volume of 13.6 cm3."),
    ("Volume of 3.", "Volume of 13.6 cm3."),
    ("Volume of 3, SUV 4.", "Volume of 13.6 cm3, SUV 9.8."),
    ("Volume of 3 liters.", "Volume of 13.6 cm3."),
    ("Volume of 3 L.", "Volume of 13.6 cm3."),
    ("Volume of 3 dL.", "Volume of 13.6 cm3."),
    ("Volume 300 microliters.", "Volume 13.6 cm3."),
    ("Volume 300 \u00b5L in the lung.", "Volume 13.6 cm3 in the lung."),
    ("Volume 3 \u3396.", "Volume 13.6 cm3."),
    ("MTV 3 cubic inches.", "MTV 13.6 cm3."),
    ("Volume of 3 m3.", "Volume of 13.6 cm3."),
    ("A 3-mL focus.", "A 13.6-cm3 focus."),
    ("An 8 liter mass.", "A 13.6 cm3 mass."),
    ("Node, SUV high, volume of 3.", "Node, SUV high, volume of 13.6 cm3."),
    ("Node with a volume of 3 gallons.", "Node."),  # in no unit that is known
    ("Node with a volume of 3 cm.", "Node."),
    ("Node with a volume of 3 cm2.", "Node."),
    ("Node with a volume of 3 g/mL.", "Node."),
    ("Node with 3 L side nodules.", "Node with side nodules."),  # left, perhaps
    ("TLG 33 g.", "TLG 78.8 g."),
    ("TLG of 33.", "TLG of 78.8 g."),
    ("TLG 33 grams and stable.", "TLG 78.8 g and stable."),
    ("TLG 300 mL.", "TLG 78.8 g."),  # SUV taken as a bare number
    ("TLG 300 SUV*mL.", "TLG 78.8 g."),
    ("TLG 300 g/mL x cm3.", "TLG 78.8 g."),
    ("Node, TLG 33 g/mL.", "Node."),
    ("Node, TLG 33 kg.", "Node."),
    ("Node, TLG 3 cm.", "Node."),
    ("Node, TLG 3 ounces.", "Node."),
    # what one scan cannot know
    ("SUV max 6.3, previously SUV max 8.2.", "SUV max 9.8."),
    ("SUV 6.3 (previously 8.2).", "SUV 9.8."),
    ("SUV decreased from 8.2 to 6.3.", "SUV decreased to 9.8."),
    ("Size decreased from 1.5 x 1.2 cm to 8 x 7 mm.", "Size decreased to 3.1 x 2.4 cm."),
    ("SUV 6.3, compared to 12.2 on the prior exam dated 3/4/2021.", "SUV 9.8."),
    ("SUV was 8.2 previously, now 6.3.", "SUV, now 9.8."),
    # other lesions, other subjects
    ("Nodes with SUV 6.3 and SUV 5.1.", "Nodes with SUV 9.8."),
    ("Node, SUV 6.3. Another node, SUV 5.1.", "Node, SUV 9.8. Another node."),
    ("Node, SUV 6.3. Its SUV of 6.3 is high.", "Node, SUV 9.8. Its SUV of 9.8 is high."),
    ("Uptake above liver SUV max 2.4.", "Uptake."),
    ("Uptake above liver (SUV max 3.1).", "Uptake above liver."),
    ("Uptake above that of the liver SUV of 2.", "Uptake."),
    ("Focus in the liver (SUV max 3.1).", "Focus in the liver (SUV max 9.8)."),
    ("Nodes, SUV 6.3 and SUV 6.3.", "Nodes, SUV 9.8."),
    ("No uptake above SUV 2.5.", "No uptake."),
    # nobody's
    ("Attenuation of 35 HU.", "Attenuation."),
    ("Three lesions in the liver.", "Lesions in the liver."),
    ("3 of 5 nodes are avid.", "Nodes are avid."),
    ("Involving 30% of the vertebral body.", "Involving the vertebral body."),
    ("Node, 2 cm from the carina.", "Node."),
    ("Stage T4 tumor.", "Stage tumor."),
    ("Stage T2N1, HER2 positive.", "Stage positive."),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "expected"), SENTENCES, ids=[raw for raw, _ in SENTENCES])
def test_sentences(raw: str, expected: str) -> None:
    assert grounded_numbers(raw, MEASURED)[0] == expected


REPORTS = [
    (
        "There is a hypermetabolic right lobe nodule measuring approximately 2.3 x 1.9 cm with"
        " SUV max of 12.4 (axial slice 118), consistent with primary malignancy.",
        "There is a hypermetabolic right lobe nodule measuring approximately 3.1 x 2.4 cm with"
        " SUV max of 9.8 (axial slice 57), consistent with primary malignancy.",
    ),
    (
        "Left supraclavicular node measures 1.4 x 1.0 cm with max SUV 8.9 (previously 1.1 x 0.8 cm"
        " with max SUV 5.2).",
        "Left supraclavicular node measures 3.1 x 2.4 cm with max SUV 9.8.",
    ),
    (
        "For example a right lower paratracheal (station 4R) node measuring 9 mm in short axis"
        " with SUV max 3.4 and a subcarinal (station 7) node with SUV max 4.1.",
        "For example a right lower paratracheal (station 4R) node measuring 2.4 cm in short axis"
        " with SUV max 9.8 and a subcarinal (station 7) node.",
    ),
    (
        "Lytic lesion in the T9 vertebral body with SUV max of 7.7, increased compared to prior"
        " where it measured 4.3.",
        "Lytic lesion in the T9 vertebral body with SUV max of 9.8, increased.",
    ),
    (
        "Interval decrease in size of the left axillary node, now 0.8 x 0.6 cm with SUV max 1.9,"
        " previously 1.6 x 1.2 cm with SUV max 7.8.",
        "Interval decrease in size of the left axillary node, now 3.1 x 2.4 cm with SUV max 9.8.",
    ),
    (
        "DCFPyL avid 5 mm perirectal node with SUV max [#] (PET/CT axial slice [#]).",
        "DCFPyL avid 3.1 cm perirectal node with SUV max 9.8 (PET/CT axial slice 57).",
    ),
    (
        "Ga-68 DOTATATE avid lesion, 1.5 cm, SUV max 22.3, levels IIA IIB and III, 7th rib.",
        "Ga-68 DOTATATE avid lesion, 3.1 cm, SUV max 9.8, levels IIA IIB and III, 7th rib.",
    ),
]


@pytest.mark.parametrize(("raw", "expected"), REPORTS)
def test_report_sentences(raw: str, expected: str) -> None:
    assert grounded_numbers(raw, MEASURED)[0] == expected


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
