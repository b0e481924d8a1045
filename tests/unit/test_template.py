"""The describer without a model: every number in its words was measured."""

import re
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.sr.coding import Code

from engine.describing.template import BELOW_PET_RESOLUTION, Template, site_of
from engine.finding import printed, printed_cm
from engine.lesion import Lesion
from tests.unit.reports import LEFT, LUNG, REFUSAL, Study, measured, refused

SUV = st.floats(0, 1e4)
LENGTH = st.floats(0, 2000)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return Study(tmp_path_factory.mktemp("template"))


def say(study, measurements, **segment):
    lesion = Lesion(replace(study.segments[0], **segment), measurements)
    return Template().describe(study.scan, [lesion])[0]


def test_the_essential_sentence_comes_first_and_short(study):
    said = say(study, measured(study.pet, suv_max=8.25, long_axis_mm=24.5, short_axis_mm=18.0))
    first = said.text.split(". ")[0]
    assert first == "Lesion 1, left lung: SUVmax 8.3, 2.5 x 1.8 cm, 5.1 cm3"
    assert said.text.endswith('Hottest in PET image 5. Drawn as "GTV 1".')
    assert (said.site, said.laterality) == (LUNG, LEFT)


def test_a_label_names_the_lesion_where_no_anatomy_is_stated(study):
    said = say(study, measured(study.pet), anatomic_region=None, laterality=None, label="Node A")
    assert said.text.startswith("Lesion 1 (Node A): SUVmax")
    assert said.site is None


def test_a_segment_that_is_an_organ_lies_in_it(study):
    liver, anatomy = (
        Code("10200004", "SCT", "Liver"),
        Code("T-D000A", "SRT", "Anatomical Structure"),
    )
    segment = replace(
        study.segments[0], anatomic_region=None, property_category=anatomy, property_type=liver
    )
    assert site_of(segment) == liver
    assert site_of(replace(segment, property_category=None)) is None


def test_context_is_no_lesion(study):
    said = say(study, measured(study.pet), role="context", laterality=None)
    assert said.text.startswith("Context: lung. Context segment, not reported as a lesion. SUVmax")
    assert "Lesion" not in said.text


def test_a_refusal_is_said_with_its_reason(study):
    scan = replace(study.scan, suv=REFUSAL)
    lesion = Lesion(study.segments[0], refused(study.pet))
    text = Template().describe(scan, [lesion])[0].text
    assert text.startswith("Lesion 1, left lung: 2.5 x 1.8 cm, 5.1 cm3, no SUV.")
    assert "SUV is not stated: Patient's Weight (0010,1030) is empty." in text
    assert "SUVmax" not in text


def test_a_segment_below_the_resolution_says_so(study):
    text = say(study, refused(study.pet, "below-pet-resolution")).text
    assert text.endswith(BELOW_PET_RESOLUTION)


def test_other_refusals_are_said_in_plain_words(study):
    assert "not stated: odd reason." in say(study, refused(study.pet, "odd-reason")).text


def test_acronyms_keep_their_case_in_a_sentence(study):
    c6 = Code("36978003", "SCT", "C6 vertebra")
    assert (
        ", C6 vertebra:"
        in say(study, measured(study.pet), anatomic_region=c6, laterality=None).text
    )
    both = Code("51440002", "SCT", "Bilateral")
    assert ", bilateral lung:" in say(study, measured(study.pet), laterality=both).text


@pytest.mark.parametrize(
    ("value", "decimals", "words"),
    [
        (0.25, 1, "0.3"),  # half up: to even would say 0.2
        (8.25, 1, "8.3"),
        (6.05, 1, "6.0"),  # the float64 lies below 6.05
        (2.5, 0, "3"),
        (-0.01, 1, "0.0"),
        (1e300, 1, str(int(1e300)) + ".0"),
    ],
)
def test_printing_rounds_half_up_on_the_exact_value(value, decimals, words):
    assert printed(value, decimals) == words


def test_lengths_are_divided_exactly():
    assert printed_cm(24.5) == "2.5"
    assert printed_cm(0.0) == "0.0"


@given(SUV, SUV, SUV, st.floats(0, 1e5), st.floats(0, 1e6), LENGTH, LENGTH, st.integers(1, 900))
def test_every_number_in_the_words_was_measured(
    study, suv_max, suv_mean, peak, volume, tlg, long_axis, short_axis, number
):
    measurements = measured(
        study.pet, suv_max=suv_max, suv_mean=suv_mean, suv_peak=peak, volume_cm3=volume,
        total_lesion_glycolysis_g=tlg, long_axis_mm=long_axis, short_axis_mm=short_axis,
    )  # fmt: skip
    text = say(study, measurements, number=number, label="").text
    words = text.replace("cm3", "cm")
    told = [Decimal(one) for one in re.findall(r"\d+(?:\.\d+)?", words)]
    measured_values = [
        Decimal(suv_max), Decimal(long_axis) / 10, Decimal(short_axis) / 10, Decimal(volume),
        Decimal(suv_mean), Decimal(peak), Decimal(tlg), Decimal(5),
    ]  # fmt: skip
    assert told[0] == number
    assert len(told) == 1 + len(measured_values)
    for said, value in zip(told[1:], measured_values, strict=True):
        assert said == value.quantize(said, rounding=ROUND_HALF_UP)
