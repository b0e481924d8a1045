"""A real study from a real sender to a real PACS, judged by other people's tools."""

import json
import random
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from engine.report.read import read_findings
from tests.peers import LOOPBACK, Orthanc, storescu, wait_until
from tests.story.serve import port_of, serving
from tests.unit.judges import dciodvfy_errors, dsrdump_complaints, tid1500_groups

pytestmark = [pytest.mark.slow, pytest.mark.wire]

ASSOCIATIONS = 4
DRAWN_ON_PET = "RTSTRUCT_PET.dcm"


def test_a_real_study_over_four_associations_comes_back_as_reports_and_segmentations(
    data: Path, tmp_path: Path
) -> None:
    study = data / "ibsi_sts" / "STS_003"
    files = sorted(study.rglob("*.dcm"))
    random.Random(3).shuffle(files)
    parts = [files[n::ASSOCIATIONS] for n in range(ASSOCIATIONS)]
    with Orthanc(tmp_path / "orthanc") as orthanc:
        there = f"{orthanc.ae_title}@{LOOPBACK}:{orthanc.port}"
        options = ("--port", "0", "--quiet-s", "3", "--destination", there)
        with serving(tmp_path / "home", *options) as node:
            port = port_of(node)
            with ThreadPoolExecutor(ASSOCIATIONS) as senders:
                sent = list(senders.map(lambda part: storescu(port, part), parts))
            assert [one.returncode for one in sent] == [0] * ASSOCIATIONS
            wait_until(lambda: len(orthanc.instances()) >= 4, within_s=90, what="four documents")
            node.terminate()  # as a service manager ends it
            assert node.wait(30) == 0
        arrived = [dcmread(BytesIO(orthanc.file(one))) for one in orthanc.instances()]
    classes = sorted(str(one.SOPClassUID) for one in arrived)
    assert classes == sorted([Comprehensive3DSRStorage, SegmentationStorage] * 2)
    for document in arrived:
        path = tmp_path / f"{document.SOPInstanceUID}.dcm"
        document.save_as(path)
        assert dciodvfy_errors(path) == []
        if document.SOPClassUID == Comprehensive3DSRStorage:
            assert dsrdump_complaints(path) == []
    reports = [one for one in arrived if one.SOPClassUID == Comprehensive3DSRStorage]
    groups = {str(report.SOPInstanceUID): _group_of(report, tmp_path) for report in reports}
    for report in reports:
        assert _values(groups[str(report.SOPInstanceUID)]) == _our_values(report)
    drawn_on_pet = _report_of(reports, study / DRAWN_ON_PET)
    _agrees_with_the_published_values(groups[str(drawn_on_pet.SOPInstanceUID)], data)


def _group_of(report: Dataset, folder: Path) -> dict[str, Any]:
    """The one measurement group as dcmqi reads it."""
    (group,) = tid1500_groups(folder / f"{report.SOPInstanceUID}.dcm")
    return group


def _values(group: dict[str, Any]) -> dict[tuple[str, str, str], float]:
    """Every measurement by quantity, derivation and unit (code values)."""
    found = {
        (
            item["quantity"]["CodeValue"],
            item.get("derivationModifier", {}).get("CodeValue", ""),
            item["units"]["CodeValue"],
        ): float(item["value"])
        for item in group["measurementItems"]
    }
    assert len(found) == len(group["measurementItems"])
    return found


def _our_values(report: Dataset) -> dict[tuple[str, str, str], Any]:
    """The same as our own reader gives them."""
    (finding,) = read_findings(report).findings
    assert len(finding.measured) >= 5
    return {
        (
            value.concept.value,
            value.derivation.value if value.derivation else "",
            value.unit.value if value.unit else "",
        ): pytest.approx(value.value, rel=1e-6)
        for value in finding.values
    }


def _report_of(reports: list[Dataset], mask: Path) -> Dataset:
    """The SR that has this mask object among its evidence."""
    uid = str(dcmread(mask, stop_before_pixels=True).SOPInstanceUID)
    (report,) = (one for one in reports if uid in str(one))
    return report


def _agrees_with_the_published_values(group: dict[str, Any], data: Path) -> None:
    published = data / "ibsi_sts" / "expected_gtv_mass_pet.json"
    expected = json.loads(published.read_text())["STS_003"]
    stated = {_quantity(item): float(item["value"]) for item in group["measurementItems"]}
    assert stated["SUVbw Maximum"] == pytest.approx(expected["max"], rel=1e-3)
    assert stated["SUVbw Mean"] == pytest.approx(expected["mean"], rel=1e-3)
    assert stated["Metabolic Volume"] == pytest.approx(expected["vol"], rel=1e-3)


def _quantity(item: dict[str, Any]) -> str:
    derivation = item.get("derivationModifier", {}).get("CodeMeaning", "")
    return f"{item['quantity']['CodeMeaning']} {derivation}".strip()
