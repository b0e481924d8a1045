"""Sentences of the phantom world ground to themselves with the measured numbers, and no others."""

import numpy as np
import pytest

from engine.cohort.sentence_phrases import Style
from engine.cohort.sentences import Told, finding
from engine.cohort.world_places import Place, places
from engine.grounding.numbers import grounded_numbers
from tests.unit.grammar import MEASURED

INVENTED = {"long_axis_mm": 12.0, "short_axis_mm": 11.0, "suv_max": 7.2, "slice": 112}
TRUE = {"long_axis_mm": 31.0, "short_axis_mm": 24.0, "suv_max": 9.8, "slice": 57}
UPTAKES = ("mild", "moderate", "intense")
MEANINGS = ("malignant", "inflammatory", "uncertain")
WORDINGS = 12  # of each place in each style; there are five templates at most, of few words


def told(place: Place, seed: int, measured: dict[str, float]) -> Told:
    meaning = "physiologic" if place.kind in ("focus", "organ") else MEANINGS[seed % 3]
    morphology = (None, "necrotic", "lytic", "sclerotic")[seed % 4]
    return Told(
        place.site, place.side, place.kind, UPTAKES[seed // 3 % 3], meaning, morphology, measured
    )


@pytest.mark.parametrize("style", ["home", "unseen"])
def test_phantom_sentences_come_back_with_measured_numbers(style: Style) -> None:
    for place in places():
        for seed in range(WORDINGS):
            raw = finding(told(place, seed, INVENTED), np.random.default_rng(seed), style)
            true = finding(told(place, seed, TRUE), np.random.default_rng(seed), style)
            text, spans, flags = grounded_numbers(raw, MEASURED)
            assert text == true, raw
            assert flags == (), raw
            assert all(span.action in ("replaced", "kept") for span in spans)
