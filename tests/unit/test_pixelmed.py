"""PixelMed's validator, which knows the templates, on the report of a SEG and of an RTSTRUCT."""

import pytest

from engine.report import walk
from engine.report.sr import build_sr
from tests.unit import judges
from tests.unit.reports import STYLE, Study, measured

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
FLAGGED = ("peak-at-edge",)


@pytest.mark.parametrize("rtstruct", [False, True], ids=["seg", "rtstruct"])
def test_pixelmed_finds_no_error(rtstruct, tmp_path):
    study = Study(tmp_path, lesions=1, rtstruct=rtstruct)
    report = study.report(measured(study.pet, flags=FLAGGED))
    path = judges.write(build_sr(report, study.case, STYLE), tmp_path / "sr.dcm")
    said = judges.pixelmed_lines(path)
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
