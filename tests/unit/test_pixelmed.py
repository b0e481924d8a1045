"""PixelMed's validator, which knows the templates, on reports of a SEG, an RTSTRUCT, a person."""

from datetime import UTC, datetime

import pytest

from engine.report import walk
from engine.report.attesting import Judgement, verified, without
from engine.report.change_check import tracking_uid
from engine.report.check import groups_of
from engine.report.sr import build_sr
from tests.unit import judges
from tests.unit.reports import STYLE, Study, measured

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
FLAGGED = ("peak-at-edge",)
JUDGEMENT = Judgement(
    "ab12", "Doe^Jane", "St Elsewhere", datetime(2024, 1, 4, 9, 30, tzinfo=UTC), "Read anew."
)


@pytest.mark.parametrize("rtstruct", [False, True], ids=["seg", "rtstruct"])
def test_pixelmed_finds_no_error(rtstruct, tmp_path):
    study = Study(tmp_path, lesions=1, rtstruct=rtstruct)
    report = study.report(measured(study.pet, flags=FLAGGED))
    path = judges.write(build_sr(report, study.case, STYLE), tmp_path / "sr.dcm")
    said = judges.pixelmed_lines(path)
    assert any("Found Root Template TID_1500" in line for line in said), said
    assert "Root Template Validation Complete" in said
    assert [line for line in said if line.startswith("Error")] == []


def _verified(draft):
    return verified(draft, JUDGEMENT)


def _without_one(draft):
    return without(draft, [tracking_uid(groups_of(draft)[0])], JUDGEMENT)


@pytest.mark.parametrize("judged", [_verified, _without_one], ids=["verified", "findings-rejected"])
def test_pixelmed_finds_no_error_in_a_report_that_a_person_judged(judged, tmp_path):
    study = Study(tmp_path, lesions=2)
    draft = build_sr(study.report(), study.case, STYLE)
    said = judges.pixelmed_lines(judges.write(judged(draft), tmp_path / "sr.dcm"))
    assert any("Found Root Template TID_1500" in line for line in said), said
    assert "Root Template Validation Complete" in said
    assert [line for line in said if line.startswith("Error")] == []


def test_pixelmed_is_heard_when_it_finds_one(tmp_path):
    study = Study(tmp_path, lesions=1)
    sr = build_sr(study.report(), study.case, STYLE)
    number = next(item for item in walk.descendants(sr) if item.get("ValueType") == "NUM")
    number.RelationshipType = "HAS OBS CONTEXT"
    said = judges.pixelmed_lines(judges.write(sr, tmp_path / "sr.dcm"))
    assert [line for line in said if line.startswith("Error")]
