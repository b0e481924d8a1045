"""Every reason for which no SUV is stated, each from one change to a header that has one."""

import re
from dataclasses import replace

import pytest
from pydicom import Dataset

from engine.acquisition import SuvRefusal
from engine.measuring.suv import suv_conversion
from tests.conftest import ROOT
from tests.unit.pet_headers import acquisition, converted, refused

NO_TIME = {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": None}
TIME_ONLY = {"RadiopharmaceuticalStartDateTime": None}
ZR_89 = {"RadionuclideHalfLife": "282276"}


def _no_dates(dataset: Dataset) -> None:
    for keyword in ("SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime"):
        delattr(dataset, keyword)


def _two_doses(dataset: Dataset) -> None:
    items = dataset.RadiopharmaceuticalInformationSequence
    items.append(items[0])


def _second_slice_heavier(dataset: Dataset) -> None:
    dataset.PatientWeight = str(60 + 10 * int(dataset.InstanceNumber))


def test_the_header_that_is_mutated_below_converts() -> None:
    assert converted().flags == ()


@pytest.mark.parametrize(
    ("code", "says", "keywords"),
    [
        ("missing-weight", "(0010,1030)", {"PatientWeight": None}),
        ("missing-weight", "(0010,1030)", {"PatientWeight": ""}),
        ("missing-weight", "(0010,1030)", {"PatientWeight": "0"}),
        ("missing-weight", "(0010,1030)", {"PatientWeight": "-70"}),
        ("missing-dose", "(0018,1074)", {"dose": {"RadionuclideTotalDose": None}}),
        ("missing-dose", "(0018,1074)", {"dose": {"RadionuclideTotalDose": "0"}}),
        ("implausible-dose", "unit is in doubt", {"dose": {"RadionuclideTotalDose": "368080"}}),
        ("implausible-dose", "unit is in doubt", {"dose": {"RadionuclideTotalDose": "3.7e14"}}),
        ("missing-half-life", "(0018,1075)", {"dose": {"RadionuclideHalfLife": None}}),
        ("missing-half-life", "(0018,1075)", {"dose": {"RadionuclideHalfLife": "0"}}),
        ("missing-radiopharm", "(0054,0016)", {"RadiopharmaceuticalInformationSequence": []}),
        ("several-radiopharmaceuticals", "2 items", {"change": _two_doses}),
        ("missing-injection-time", "(0018,1078)", {"dose": NO_TIME}),
        ("missing-injection-time", "(0018,1078)",
         {"dose": {**TIME_ONLY, "RadiopharmaceuticalStartTime": "09"}}),
        ("missing-injection-date", "another day", {"dose": {**TIME_ONLY, **ZR_89}}),
        ("missing-ref-time", "Acquisition Date", {"change": _no_dates}),
        ("unsupported-units", "PROPCNTS", {"Units": "PROPCNTS"}),
        ("unsupported-units", "CPS", {"Units": "CPS"}),
        ("unsupported-units", "absent", {"Units": None}),
        ("cnts-without-scale", "(7053,xx00)", {"Units": "CNTS"}),
        ("unsupported-suv-type", "LBMX", {"Units": "GML", "SUVType": "LBMX"}),
        ("unsupported-suv-type", "BW", {"Units": "CM2ML", "SUVType": "BW"}),
        ("not-attenuation-corrected", "(0028,0051)", {"CorrectedImage": ["DECY", "SCAT"]}),
        ("not-attenuation-corrected", "(0028,0051)", {"CorrectedImage": None}),
        ("not-attenuation-corrected", "(0028,0051)", {"CorrectedImage": "NOATTN"}),
        ("start-without-decy", "DECY", {"CorrectedImage": "ATTN"}),
        ("bad-decay-correction", "SOMETIMES", {"DecayCorrection": "SOMETIMES"}),
        ("bad-decay-correction", "absent", {"DecayCorrection": None}),
        ("intercept-nonzero", "(0028,1052)", {"RescaleIntercept": "-5"}),
        ("injection-after-scan", "60.0 min after",
         {"dose": {"RadiopharmaceuticalStartDateTime": "20240102110000"}}),
        ("uptake-over-6-half-lives", "half-lives",
         {"dose": {"RadiopharmaceuticalStartDateTime": "20240101220000"}}),
        ("inconsistent-header", "PatientWeight", {"change": _second_slice_heavier}),
        ("missing-height", "(0010,1020)", {"Units": "CM2ML", "PatientSize": None}),
        ("missing-height", "(0010,1020)",
         {"Units": "GML", "SUVType": "LBM", "PatientSize": None}),
        ("lean-body-mass-not-positive", "-17.2",
         {"Units": "GML", "SUVType": "LBM", "PatientSex": "F", "PatientWeight": "200",
          "PatientSize": "1.6"}),
        ("sex-not-m-or-f", "O", {"Units": "GML", "SUVType": "LBM", "PatientSex": "O"}),
        ("sex-not-m-or-f", "absent", {"Units": "GML", "SUVType": "IBW", "PatientSex": None}),
        ("missing-frame-duration", "Duration",
         {"DecayCorrection": "NONE", "ActualFrameDuration": None}),
        ("missing-ref-time", "Acquisition Date",
         {"DecayCorrection": "NONE", "AcquisitionTime": None}),
        ("time-zone-unknown", "(0008,0201)",
         {"dose": {"RadiopharmaceuticalStartTime": None,
                   "RadiopharmaceuticalStartDateTime": "20240102090000+0100"}}),
    ],
)  # fmt: skip
def test_refused_with_a_code_and_the_attribute(
    code: str, says: str, keywords: dict[str, object]
) -> None:
    refusal = refused(**keywords)
    assert refusal.code == code
    assert says in refusal.sentence


def test_philips_factors_of_zero_are_none() -> None:
    def zeros(dataset: Dataset) -> None:
        block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
        block.add_new(0x00, "DS", "0")
        block.add_new(0x09, "DS", "0")

    assert refused(zeros, Units="CNTS").code == "cnts-without-scale"


def test_a_refusal_keeps_the_flags_that_came_before_it() -> None:
    refusal = suv_conversion(
        replace(acquisition(), flags=("single-slice",), patient_weight_kg=None)
    )
    assert isinstance(refusal, SuvRefusal)
    assert refusal.flags == ("single-slice",)


def test_a_small_animal_may_have_a_small_dose() -> None:
    conversion = converted(PatientWeight="0.025", dose={"RadionuclideTotalDose": "370000"})
    assert conversion.flags == ()


def test_every_code_is_told_in_the_reference() -> None:
    told = (ROOT / "docs" / "reference" / "suv.md").read_text()
    source = "".join(
        (ROOT / "engine" / "measuring" / name).read_text() for name in ("suv.py", "decay.py")
    )
    codes = set(re.findall(r'Refused\(\s*"([a-z0-9-]+)"', source))
    codes |= set(re.findall(r'"(missing-[a-z-]+)"', source))
    assert len(codes) >= 20
    assert {code for code in codes if f"`{code}`" not in told} == set()
