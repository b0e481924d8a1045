"""SUV factors against published numbers and against arithmetic done by hand."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from engine.acquisition import SuvConversion
from engine.geometry import Grid
from engine.measuring.decay import mean_decay_s
from engine.measuring.norms import (
    body_surface_area_cm2,
    ideal_body_weight_kg,
    lean_body_mass_kg,
)
from engine.measuring.suv import suv_conversion, to_suv
from engine.reading.attributes import Attributes
from engine.reading.pet_header import pet_acquisition
from engine.volume import ImageReference, Volume
from tests.unit.pet_headers import acquisition, converted, refused

F18_S = 6586.2
HOUR_LATER = 0.000277778124960682


def test_the_headline_vector() -> None:
    conversion = converted()
    assert conversion.factors == pytest.approx(HOUR_LATER, rel=1e-10)
    assert 5000 * conversion.factors[0] == pytest.approx(1.38889, abs=5e-6)
    assert 1000 * 70 / conversion.factors[0] == pytest.approx(251_999_685.036, rel=1e-11)
    assert (conversion.uptake_min, conversion.norm, conversion.flags) == (60.0, "bw", ())
    assert conversion.rule == "Series Date and Time"


@pytest.mark.parametrize(
    ("duration_s", "mean_s"), [(120, 59.936855), (300, 149.605345), (603, 299.905592)]
)
def test_mean_decay_lies_a_little_before_the_middle(duration_s: float, mean_s: float) -> None:
    assert mean_decay_s(duration_s, F18_S) == pytest.approx(mean_s, abs=1e-6)


@pytest.mark.parametrize(
    ("weight", "height", "sex", "lbm", "james", "janma", "ibw", "bsa"),
    [
        (70, 175, "M", 57.8000, 56.5200, 55.8571, 72.3800, 18481.43),
        (70, 175, "F", 51.2200, 51.2200, 45.1970, 66.4300, 18481.43),
        (75, 185, "M", 62.7776, 61.4627, 60.9153, 82.9800, 19813.76),
        (120, 165, "F", 50.1190, 50.1190, 56.9445, 57.3300, 22268.67),
        (200, 160, "F", -17.25, -17.25, 66.5888, 52.7800, 27057.71),
    ],
)
def test_norms(
    weight: float, height: float, sex: str, lbm: float, james: float, janma: float, ibw: float,
    bsa: float,
) -> None:  # fmt: skip
    assert lean_body_mass_kg("LBM", weight, height, sex) == pytest.approx(lbm, abs=5e-5)
    assert lean_body_mass_kg("LBMJAMES128", weight, height, sex) == pytest.approx(james, abs=5e-5)
    assert lean_body_mass_kg("LBMJANMA", weight, height, sex) == pytest.approx(janma, abs=5e-5)
    assert ideal_body_weight_kg(height, sex) == pytest.approx(ibw, abs=5e-5)
    assert body_surface_area_cm2(weight, height) == pytest.approx(bsa, abs=5e-3)


def test_published_factors_of_real_headers(data: Path) -> None:
    folder = data / "suv_headers"
    expected = json.loads((folder / "expected_suvbw_factor.json").read_text())
    for name, factor in expected.items():
        slices = json.loads((folder / f"{name}-instances.json").read_text())
        headers = [Attributes((_dataset(each),)) for each in slices]
        conversion = suv_conversion(pet_acquisition(headers))
        assert isinstance(conversion, SuvConversion), (name, conversion)
        assert conversion.factors == pytest.approx(factor, rel=1e-6), name
    assert len(expected) == 4


def _dataset(stated: dict[str, object]) -> Dataset:
    dataset, dose = Dataset(), Dataset()
    philips = stated.pop("PhilipsPETPrivateGroup")
    for keyword, value in stated.items():
        target = dose if keyword.startswith("Radio") else dataset
        setattr(target, keyword, value)
    dataset.RadiopharmaceuticalInformationSequence = [dose]
    assert isinstance(philips, dict)
    block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
    for element, keyword in ((0x00, "SUVScaleFactor"), (0x09, "ActivityConcentrationScaleFactor")):
        if keyword in philips:
            block.add_new(element, "DS", philips[keyword])
    return dataset


def test_admin_takes_the_dose_as_it_is() -> None:
    conversion = converted(DecayCorrection="ADMIN")
    assert conversion.factors == pytest.approx(1000 * 70 / 368_080_000, rel=1e-12)
    assert conversion.uptake_min == 60.0


def test_admin_needs_neither_half_life_nor_time() -> None:
    dose = {
        "RadionuclideHalfLife": None,
        "RadiopharmaceuticalStartTime": None,
        "RadiopharmaceuticalStartDateTime": None,
    }
    conversion = converted(DecayCorrection="ADMIN", dose=dose)
    assert conversion.factors == pytest.approx(1000 * 70 / 368_080_000, rel=1e-12)
    assert conversion.uptake_min is None


def test_none_corrects_each_slice_over_its_own_frame() -> None:
    starts = iter(("100000", "101000"))

    def next_bed(dataset: Dataset) -> None:
        dataset.AcquisitionTime = next(starts)
        dataset.CorrectedImage = ["ATTN"]

    conversion = converted(next_bed, DecayCorrection="NONE")
    rate = math.log(2) / F18_S
    # The mean of exp(-rate t) over the frame, by summing it up.
    for factor, begins_s in zip(conversion.factors, (3600, 4200), strict=True):
        t = begins_s + (np.arange(120_000) + 0.5) / 1000
        left = np.exp(-rate * t).mean()
        assert factor == pytest.approx(1000 * 70 / 368_080_000 / left, rel=1e-9)


def test_none_with_decy_is_flagged() -> None:
    assert "corrected-image-says-decy" in converted(DecayCorrection="NONE").flags


@pytest.mark.parametrize(
    ("suv_type", "sex", "factor"),
    [
        (None, "M", 1.0),
        ("BW", None, 1.0),
        ("LBM", "M", 70 / 57.8),
        ("LBM", "F", 70 / 51.22),
        ("LBMJAMES128", "M", 70 / 56.52),
        ("LBMJANMA", "F", 70 / 45.1970149),
        ("IBW", "F", 70 / 66.43),
        ("IBW", "O", 70 / 69.405),
    ],
)
def test_suv_of_another_norm_is_brought_to_body_weight(
    suv_type: str | None, sex: str | None, factor: float
) -> None:
    conversion = converted(Units="GML", SUVType=suv_type, PatientSex=sex)
    assert conversion.factors == pytest.approx(factor, rel=1e-7)
    assert conversion.norm == (suv_type or "BW").lower()
    assert ("mean-of-both-sexes" in conversion.flags) == (sex == "O")


def test_suv_by_body_weight_is_left_alone_whatever_else_the_header_says() -> None:
    """A GML image with ADMIN and a full dose must not be rescaled again."""
    conversion = converted(Units="GML", DecayCorrection="ADMIN", PatientWeight=None)
    assert list(conversion.factors) == [1.0, 1.0]


def test_surface_area() -> None:
    conversion = converted(Units="CM2ML", SUVType="BSA")
    assert conversion.factors == pytest.approx(1000 * 70 / 18481.43, rel=1e-6)


@pytest.mark.parametrize(
    ("suv_factor", "activity_factor", "expected", "has_creator"),
    [
        ("0.0005", None, 0.0005, True),
        ("0.0005", "2", 0.0005, True),
        ("0", "2", 2 * HOUR_LATER, True),
        ("0.0005", None, 0.0005, False),
        (None, "2", 2 * HOUR_LATER, False),
    ],
)
def test_philips_counts(
    suv_factor: str | None, activity_factor: str | None, expected: float, has_creator: bool
) -> None:
    def private(dataset: Dataset) -> None:
        block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
        for element, value in ((0x00, suv_factor), (0x09, activity_factor)):
            if value is not None:
                block.add_new(element, "UN", value.encode())
        if not has_creator:
            del dataset[0x7053, 0x0010]

    conversion = converted(private, Units="CNTS")
    assert conversion.factors == pytest.approx(expected, rel=1e-10)
    assert ("private-creator-missing" in conversion.flags) != has_creator


@pytest.mark.parametrize(
    ("keywords", "flag"),
    [
        ({"dose": {"RadionuclideTotalDose": "368.08"}}, "dose-in-mbq"),
        ({"PatientWeight": "70000"}, "weight-in-grams"),
    ],
)
def test_a_unit_that_can_only_be_another_is_put_right_and_flagged(
    keywords: dict[str, object], flag: str
) -> None:
    conversion = converted(**keywords)
    assert conversion.factors == pytest.approx(HOUR_LATER, rel=1e-10)
    assert flag in conversion.flags


MISSTATED: dict[str, Any] = {"PatientWeight": "70000", "dose": {"RadionuclideTotalDose": "368.08"}}


@pytest.mark.parametrize(
    "keywords",
    [{}, {"Units": "GML"}, {"Units": "CM2ML"}, {"Units": "PROPCNTS"}, {"CorrectedImage": "DECY"}],
    ids=["activity", "SUV already", "surface", "refused", "unfit"],
)
def test_dose_and_weight_are_told_in_their_unit_whether_used_or_not(
    keywords: dict[str, Any],
) -> None:
    outcome = suv_conversion(acquisition(**MISSTATED, **keywords))
    assert (outcome.dose_bq, outcome.weight_kg) == (pytest.approx(368.08e6), 70.0)
    assert {"dose-in-mbq", "weight-in-grams"} <= set(outcome.flags)


def _second_item(dataset: Dataset) -> None:
    items = dataset.RadiopharmaceuticalInformationSequence
    items.append(items[0])


def _heavier_by_the_slice(dataset: Dataset) -> None:
    dataset.PatientWeight = str(60 + 10 * int(dataset.InstanceNumber))


@pytest.mark.parametrize(
    ("keywords", "told"),
    [
        ({"dose": {"RadionuclideTotalDose": "0.37"}}, (None, 70.0)),  # kBq, or a wrong number
        ({"dose": {"RadionuclideTotalDose": None}}, (None, 70.0)),
        ({"change": _second_item}, (None, 70.0)),
        ({"change": _heavier_by_the_slice}, (368.08e6, None)),
        ({"PatientWeight": "0"}, (368.08e6, None)),
        ({"PatientWeight": None}, (368.08e6, None)),
    ],
)
@pytest.mark.parametrize("units", ["BQML", "GML"])
def test_a_dose_or_weight_in_doubt_is_not_told(
    units: str, keywords: dict[str, Any], told: tuple[float | None, float | None]
) -> None:
    outcome = suv_conversion(acquisition(Units=units, **keywords))
    assert (outcome.dose_bq, outcome.weight_kg) == told
    assert outcome.flags == ()


def test_a_height_in_centimetres_is_put_right_and_flagged() -> None:
    conversion = converted(Units="GML", SUVType="LBM", PatientSex="M", PatientSize="175")
    assert conversion.factors == pytest.approx(70 / 57.8, rel=1e-12)
    assert "height-in-cm" in conversion.flags


def test_one_correction_only_is_a_plain_string_to_pydicom() -> None:
    conversion = converted(CorrectedImage="ATTN", DecayCorrection="ADMIN")
    assert conversion.factors == pytest.approx(1000 * 70 / 368_080_000)


def test_an_enhanced_pet_says_itself_what_it_is_corrected_to() -> None:
    """Not earlier than the injection: half an hour after it the dose is what is left then."""
    conversion = converted(
        DecayCorrection=None, CorrectedImage=None, DecayCorrected="YES",
        AttenuationCorrected="YES", DecayCorrectionDateTime="20240102093000",
    )  # fmt: skip
    expected = 70_000 / (368_080_000 * 2 ** (-1800 / F18_S))
    assert conversion.factors == pytest.approx(expected, rel=1e-12)
    assert conversion.rule == "Decay Correction DateTime"


def test_an_enhanced_pet_that_is_not_decay_corrected() -> None:
    conversion = converted(
        DecayCorrection=None, CorrectedImage=None, DecayCorrected="NO", AttenuationCorrected="YES"
    )
    assert conversion.flags == ()
    # 120 s at F-18, an hour after the injection: T_ave is 59.936855 s.
    left = 2 ** (-(3600 + 59.936855) / F18_S)
    assert conversion.factors == pytest.approx(1000 * 70 / 368_080_000 / left, rel=1e-9)


def test_slices_may_differ_in_what_their_unit_does_not_need() -> None:
    def taller(dataset: Dataset) -> None:
        dataset.PatientSize = str(1.7 + 0.01 * int(dataset.InstanceNumber))

    assert converted(taller).factors == pytest.approx(HOUR_LATER, rel=1e-10)
    assert refused(taller, Units="CM2ML").code == "inconsistent-header"


@given(
    weight_kg=st.floats(11, 300),
    dose_mbq=st.floats(1.1, 90_000),
    half_life_s=st.floats(60, 1e7),
    half_lives=st.floats(0, 5.9),
)
def test_an_evenly_spread_dose_has_suv_1(
    weight_kg: float, dose_mbq: float, half_life_s: float, half_lives: float
) -> None:
    from dataclasses import replace
    from datetime import timedelta

    at = acquisition(slices=1).series_at
    assert at is not None
    elapsed_s = min(half_lives * half_life_s, 1e8)
    stated = replace(
        acquisition(slices=1),
        patient_weight_kg=weight_kg,
        radionuclide_total_dose_bq=dose_mbq * 1e6,
        radionuclide_half_life_s=half_life_s,
        injected_at=at - timedelta(seconds=elapsed_s),
    )
    conversion = suv_conversion(stated)
    assert isinstance(conversion, SuvConversion), conversion
    left_bq = dose_mbq * 1e6 * math.exp(-math.log(2) * elapsed_s / half_life_s)
    spread = _volume(np.full((1, 2, 2), left_bq / (weight_kg * 1000), np.float32))
    suv = to_suv(spread, conversion)
    assert suv.values == pytest.approx(1.0, rel=1e-5)
    assert (suv.unit, suv.values.dtype) == ("g/ml", np.float32)


def test_each_slice_has_its_own_factor() -> None:
    volume = _volume(np.ones((3, 2, 2), np.float32))
    suv = to_suv(volume, SuvConversion(np.array([1.0, 2.0, 4.0]), "bw", "stated"))
    assert suv.values[:, 0, 0].tolist() == [1.0, 2.0, 4.0]
    assert volume.values.max() == 1.0


def _volume(values: np.ndarray) -> Volume:
    reference = ImageReference("1.2.840.10008.5.1.4.1.1.128", "2.25.1", None, 1)
    return Volume(
        values, Grid(values.shape, np.eye(4)), "Bq/ml", (reference,) * len(values), "2.25"
    )
