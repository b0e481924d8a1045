"""The modules around an SR's content: patient, study, equipment, times and UIDs."""

import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydicom import dcmread

from engine.finding import ModelIdentity
from engine.report.modules import device_uid
from engine.report.sr import build_sr
from engine.report.style import derived_uid
from tests.unit import judges
from tests.unit.reports import STYLE, Study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return Study(tmp_path_factory.mktemp("modules"))


def _with_first_slice(study, **attributes):
    """The study's case with a PET header that states other patient or study attributes."""
    dataset = dcmread(study.case.pet[0])
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # some values are wrong on purpose
                setattr(dataset, keyword, value)
    dataset.save_as(study.case.pet[0], enforce_file_format=True)
    return study.case


def test_patient_and_study_are_copied_in_utf8(tmp_path):
    study = Study(tmp_path)
    case = _with_first_slice(
        study,
        SpecificCharacterSet=["", "ISO 2022 IR 87"],
        PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
        AccessionNumber="ACC-7",
        StudyDescription="検査",
        PatientComments="not in the modules we copy",
    )
    sr = dcmread(judges.write(build_sr(study.report(), case, STYLE), tmp_path / "sr.dcm"))
    assert sr.SpecificCharacterSet == "ISO_IR 192"
    assert str(sr.PatientName) == "Yamada^Tarou=山田^太郎=やまだ^たろう"
    assert (sr.AccessionNumber, sr.StudyDescription, sr.PatientID) == ("ACC-7", "検査", "MADE-1")
    assert sr.StudyInstanceUID == study.pet_datasets[0].StudyInstanceUID
    assert sr.SeriesInstanceUID not in {study.pet.series_instance_uid, study.mask.SeriesInstanceUID}
    assert "PatientComments" not in sr
    assert "PatientWeight" not in sr


def test_absent_patient_attributes_are_empty_not_invented(tmp_path):
    study = Study(tmp_path)
    case = _with_first_slice(study, PatientBirthDate=None, AccessionNumber=None, StudyID=None)
    sr = build_sr(study.report(), case, STYLE)
    assert sr["PatientBirthDate"].is_empty
    assert sr["AccessionNumber"].is_empty
    assert judges.dciodvfy_errors(judges.write(sr, tmp_path / "sr.dcm")) == []


def test_a_study_id_too_long_for_its_vr_is_left_empty(tmp_path):
    study = Study(tmp_path)
    case = _with_first_slice(study, StudyID="IBSI_1_STS_003_PET", AccessionNumber="A" * 20)
    sr = build_sr(study.report(), case, STYLE)
    assert sr["StudyID"].is_empty
    assert sr.AccessionNumber == "A" * 20  # it links to the order, right or wrong


def test_content_time_is_in_the_offset_the_study_states(tmp_path):
    study = Study(tmp_path, TimezoneOffsetFromUTC="-0330")
    done = datetime(2024, 1, 3, 2, 0, tzinfo=UTC)
    sr = build_sr(study.report(completed_at=done), study.case, STYLE)
    assert (sr.ContentDate, sr.ContentTime[:6]) == ("20240102", "223000")
    assert sr.TimezoneOffsetFromUTC == "-0330"


@pytest.mark.parametrize("stated", ["+2400", "-1300", "+0560", "+5", "local", ["+0100", "+0200"]])
def test_an_offset_that_is_none_costs_no_report_and_is_not_handed_on(stated, tmp_path):
    study = Study(tmp_path, TimezoneOffsetFromUTC=stated)
    report = study.report()
    sr = build_sr(report, study.case, STYLE)
    local = report.completed_at.astimezone()
    assert (sr.ContentDate, sr.ContentTime) == (f"{local:%Y%m%d}", f"{local:%H%M%S.%f}")
    assert "TimezoneOffsetFromUTC" not in sr


def test_content_time_without_an_offset_is_local(study):
    done = datetime(2024, 1, 3, 2, 0, tzinfo=timezone(timedelta(hours=5)))
    sr = build_sr(study.report(completed_at=done), study.case, STYLE)
    local = done.astimezone()
    assert sr.ContentDate + sr.ContentTime[:6] == local.strftime("%Y%m%d%H%M%S")


def test_uids_derive_from_the_seed_and_nothing_else(study):
    one, again = (build_sr(study.report(), study.case, STYLE) for _ in range(2))
    other = build_sr(study.report(), study.case, replace(STYLE, seed="other"))
    assert one == again
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert one[keyword].value != other[keyword].value
        assert one[keyword].value.startswith("2.25.")
    assert one.SOPInstanceUID == derived_uid("5eed", "sr")


def test_other_weights_are_another_device(study):
    model = ModelIdentity("petar", "1", "aa" * 32)
    one, other = (
        build_sr(study.report(model=replace(model, weights_sha256=digest)), study.case, STYLE)
        for digest in ("aa" * 32, "bb" * 32)
    )
    uids = [sr.ContributingEquipmentSequence[0].DeviceUID for sr in (one, other)]
    assert uids[0] != uids[1]
    assert device_uid(study.report(model=model), STYLE) == uids[0]
    assert "aa" * 32 in one.ContributingEquipmentSequence[0].ContributionDescription
