"""Reference sentences state the facts they were made of, as our own rules read them back."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cohort.sentence_phrases import Style
from engine.cohort.sentence_places import SITE_WORDS
from engine.cohort.sentences import Told, finding, one_decimal, where
from engine.cohort.world_places import Place, places
from engine.evaluating.facts import facts_in
from engine.grounding.site_table import table
from engine.grounding.sites import site_of

MEASURED = {"long_axis_mm": 23.46, "short_axis_mm": 11.0, "suv_max": 7.25, "slice": 112}
STYLES: tuple[Style, ...] = ("home", "unseen")
MEANINGS = ("malignant", "inflammatory", "uncertain")
TOLD = st.builds(
    lambda place, uptake, meaning, morphology: Told(
        place.site, place.side, place.kind, uptake,
        "physiologic" if place.kind in ("focus", "organ") else meaning, morphology, MEASURED,
    ),
    st.sampled_from(places()), st.sampled_from(["mild", "moderate", "intense"]),
    st.sampled_from(MEANINGS), st.sampled_from([None, "necrotic", "lytic", "sclerotic"]),
)  # fmt: skip


@given(told=TOLD, seed=st.integers(0, 10**6), style=st.sampled_from(STYLES))
@settings(max_examples=300, deadline=None)
def test_a_sentence_says_what_it_was_told(told: Told, seed: int, style) -> None:
    text = finding(told, np.random.default_rng(seed), style)
    said = facts_in(text)
    assert said.site == told.site, text
    assert said.laterality in ((told.laterality,) if told.laterality else (None, "none")), text
    assert said.uptake == told.uptake, text
    assert said.interpretation == told.interpretation, text
    assert "7.3" in text  # half up
    assert "112" in text
    if told.kind not in ("focus", "organ"):
        assert "2.3 x 1.1 cm" in text
    numbers = set(re.findall(r"\d+\.\d+|(?<![A-Z\d.])\d{2,}", text))
    assert numbers <= {"7.3", "112", "2.3", "1.1"}, text


def test_every_place_is_a_row_of_the_table_that_a_text_can_name() -> None:
    for place in places():
        assert place.site in table()
        located = site_of(f"Uptake in the {where(place.site, place.side)}.")
        assert located.name == place.site


def test_each_fact_has_several_wordings() -> None:
    told = Told("liver", None, "mass", "intense", "malignant", None, MEASURED)
    texts = {finding(told, np.random.default_rng(seed)) for seed in range(200)}
    assert len(texts) >= 20
    unseen = {finding(told, np.random.default_rng(seed), "unseen") for seed in range(200)}
    assert not texts & unseen


# language has no other word that the table of sites knows, or it would claim more than is known
SAME_WORDS = {
    "gallbladder", "ascending colon", "descending colon", "transverse colon", "frontal lobe",
    "parietal lobe", "thigh", "shoulder", "femoral head", "supraclavicular LN", "paratracheal LN",
    "obturator LN",
}  # fmt: skip
SAME_NOUNS = {"ascending colon", "jejunum", "ileum", "larynx", "stomach", "ureter"}


def said_of_place(place: Place, style: Style) -> str:
    if place.kind in ("focus", "organ"):
        return where(place.site, place.side, style)
    return SITE_WORDS[style].get(place.site, place.site.removesuffix(" LN"))


def test_the_shifted_world_has_other_words_for_places() -> None:
    same: dict[bool, set[str]] = {True: set(), False: set()}
    for place in places():
        is_normal = place.kind in ("focus", "organ")
        if said_of_place(place, "home") == said_of_place(place, "unseen"):
            same[is_normal].add(place.site)
    assert same == {True: SAME_NOUNS, False: SAME_WORDS}


def test_every_place_in_words_reads_back_as_itself() -> None:
    for seed, place in enumerate(places()):
        for style in STYLES:
            meaning = "physiologic" if place.kind in ("focus", "organ") else "malignant"
            told = Told(place.site, place.side, place.kind, "intense", meaning, None, MEASURED)
            for each in range(12):
                text = finding(told, np.random.default_rng([seed, each]), style)
                said = facts_in(text)
                assert said.site == place.site, text
                assert said.laterality in ((place.side,) if place.side else (None, "none")), text


def test_sides_are_equally_often_drawn() -> None:
    weights = {"left": 0.0, "right": 0.0}
    for place in places():
        if place.side is not None and place.site != "right middle lobe":
            weights[place.side] += place.weight
    assert weights["left"] == pytest.approx(weights["right"])


@pytest.mark.parametrize(
    ("value", "said"), [(2.25, "2.3"), (2.35, "2.4"), (0.05, "0.1"), (12.0, "12.0")]
)
def test_rounding_is_half_up(value: float, said: str) -> None:
    # of the binary value: 2.35 lies a little above
    assert one_decimal(value) == said
