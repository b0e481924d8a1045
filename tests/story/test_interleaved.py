"""Two PETs, two CTs, an organ SEG and two lesion masks of one study, arriving interleaved."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.sr.coding import Code

from engine.report.read import read_findings
from tests.makers import make_ct, make_pet, make_rtstruct, make_seg, save
from tests.peers import Receiver, storescu
from tests.story.small import HOT, SLICES, reports_at, settings_for, site

pytestmark = [pytest.mark.slow, pytest.mark.wire]

ASSOCIATIONS = 4
ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
LIVER = Code("10200004", "SCT", "Liver")
SHAPE = (SLICES, 16, 16)
HOT_BQ_ML = {"early": 20000.0, "delayed": 30000.0}
TIMES = {"early": "100000", "delayed": "120000", "early ct": "095500", "delayed ct": "115500"}


def _at(series: str) -> dict[str, str]:
    return dict.fromkeys(("SeriesTime", "AcquisitionTime", "ContentTime"), TIMES[series])


def _pet(series: str) -> list[Dataset]:
    values = np.full(SHAPE, 1000.0)
    values[HOT] = HOT_BQ_ML[series]
    return make_pet(values, series=series, **_at(series))


def _series(images: Sequence[Dataset]) -> str:
    return str(images[0].SeriesInstanceUID)


def test_each_mask_is_measured_on_its_own_pet_and_ct_and_the_organs_are_context(
    tmp_path: Path,
) -> None:
    early, delayed = _pet("early"), _pet("delayed")
    early_ct, delayed_ct = (
        make_ct(np.zeros(SHAPE), series=series, **_at(series))
        for series in ("early ct", "delayed ct")
    )
    lesion = np.zeros(SHAPE, bool)
    lesion[HOT] = True
    organs = make_seg(
        {"Liver": lesion}, early_ct, series="organs", category=ANATOMY, property_type=LIVER
    )
    seg = make_seg({"Lesion": lesion}, early, series="lesions")
    square = [(-41.0, -41.0), (-23.0, -41.0), (-23.0, -23.0), (-41.0, -23.0)]
    contours = {"GTV": [[(x, y, z) for x, y in square] for z in (6.0, 9.0)]}
    rtstruct = make_rtstruct(contours, delayed)
    everything = [*early, *delayed, *early_ct, *delayed_ct, organs, seg, rtstruct]
    random.Random(7).shuffle(everything)
    files = save(everything, tmp_path / "files")
    images = {_series(each) for each in (early, delayed, early_ct, delayed_ct)}
    with Receiver() as receiver, site(settings_for(tmp_path / "home", receiver)) as here:
        port = here.listener.address[1]
        with ThreadPoolExecutor(ASSOCIATIONS) as senders:
            parts = [files[n::ASSOCIATIONS] for n in range(ASSOCIATIONS)]
            sent = list(senders.map(lambda part: storescu(port, part), parts))
        assert [one.returncode for one in sent] == [0] * ASSOCIATIONS
        here.work_until(lambda: len(reports_at(receiver)) == 2, what="two reports")
        (of_organs,) = here.archive.decisions(organs.StudyInstanceUID, organs.SOPInstanceUID)
        here.work_for(1)
    assert (of_organs.state, of_organs.code) == ("context", "no-lesion")
    reports = list(reports_at(receiver).values())
    assert len(reports) == 2
    measured_on = {}
    for report in reports:
        (finding,) = read_findings(report).findings
        measured_on[round(finding.measured["suv_max"], 1)] = _evidence(report) & images
    assert [measured_on[suv] for suv in sorted(measured_on)] == [
        {_series(early), _series(early_ct)},
        {_series(delayed), _series(delayed_ct)},
    ]


def _evidence(report: Dataset) -> set[str]:
    return {
        str(series.SeriesInstanceUID)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
    }
