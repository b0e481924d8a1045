"""Any TID 1500 SR comes back as it was written, ours exactly, other tools' without a crash."""

from copy import deepcopy
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.sr.coding import Code

from engine import codes
from engine.report import items, walk
from engine.report.check import groups_of, problems_of
from engine.report.quantities import QUANTITIES
from engine.report.read import read_findings
from engine.report.sr import build_sr
from tests import makers
from tests.unit.reports import LEFT, LUNG, REFUSAL, STYLE, Study, measured, refused

SUV = st.floats(0, 1e6, allow_subnormal=False)
MAYBE = st.none() | st.floats(0, 1e6, allow_subnormal=False)
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=200)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return Study(tmp_path_factory.mktemp("read"), lesions=2)


@settings(max_examples=40, deadline=None)
@given(SUV, SUV, SUV, st.floats(1e-6, 1e5), MAYBE, MAYBE, MAYBE, TEXT)
def test_values_and_words_come_back_exactly(
    study, suv_max, suv_mean, suv_peak, volume, tlg, long_axis, short_axis, text
):
    values = measured(
        study.pet, suv_max=suv_max, suv_mean=suv_mean, suv_peak=suv_peak, volume_cm3=volume,
        total_lesion_glycolysis_g=tlg, long_axis_mm=long_axis, short_axis_mm=short_axis,
    )  # fmt: skip
    report = study.report(values)
    worded = replace(report.findings[0].description, text=text)
    first = replace(report.findings[0], description=worded)
    report = replace(report, findings=(first, *report.findings[1:]))
    sr = makers.written(build_sr(report, study.case, STYLE))
    assert problems_of(sr, mask=study.mask, images=study.pet.slices, report=report) == ()
    read = read_findings(sr)
    for finding in read.findings:
        stated = {
            quantity.name: value
            for quantity in QUANTITIES
            if (value := getattr(values, quantity.name)) is not None
        }
        assert finding.measured == stated
    assert read.findings[0].text == text.strip()


def test_everything_of_a_group_comes_back(study):
    sr = makers.written(build_sr(study.report(), study.case, STYLE))
    read = read_findings(sr)
    assert read.title == codes.IMAGING_MEASUREMENT_REPORT
    assert read.sop_instance_uid == sr.SOPInstanceUID
    assert read.study_instance_uid == study.pet_datasets[0].StudyInstanceUID
    first, second = read.findings
    assert (first.tracking_identifier, second.tracking_identifier) == ("Lesion 1", "Lesion 2")
    assert first.tracking_uid == study.segments[0].tracking_uid
    assert (first.finding, first.site, first.laterality) == (makers.NEOPLASM, LUNG, LEFT)
    assert (first.segmentation_uid, first.segment_number) == (study.mask.SOPInstanceUID, 1)
    assert first.flags == ()
    assert first.values[0].derivation == codes.MAXIMUM
    assert first.values[0].method == codes.SUV_BODY_WEIGHT_METHOD
    assert read.comments[0].startswith("PET: tracer")


def test_refusals_and_flags_come_back(study):
    values = replace(refused(study.pet), flags=("peak-at-edge",))
    report = study.report(values, scan=replace(study.scan, suv=REFUSAL))
    [finding, _] = read_findings(makers.written(build_sr(report, study.case, STYLE))).findings
    assert finding.flags == ("missing-weight", "peak-at-edge")
    assert "suv_max" not in finding.measured


def _unit(sr, code):
    measured_value = walk.of_type(groups_of(sr)[0], "NUM")[0].MeasuredValueSequence[0]
    measured_value.MeasurementUnitsCodeSequence = items.code_sequence(code)


def test_the_old_unit_of_suv_is_understood(study):
    sr = build_sr(study.report(), study.case, STYLE)
    _unit(sr, Code("{SUVbw}g/ml", "UCUM", "Standardized Uptake Value body weight"))
    value = read_findings(sr).findings[0].values[0]
    assert value.unit == codes.GRAM_PER_ML_SUVBW
    assert read_findings(sr).findings[0].measured["suv_max"] == 8.25


def test_a_value_in_another_unit_is_not_taken_for_ours(study):
    sr = build_sr(study.report(), study.case, STYLE)
    _unit(sr, Code("Bq/ml", "UCUM", "Becquerels/milliliter"))
    finding = read_findings(sr).findings[0]
    assert finding.values[0].value == 8.25
    assert "suv_max" not in finding.measured


def test_a_decimal_alone_is_read(study):
    sr = build_sr(study.report(), study.case, STYLE)
    value = walk.of_type(groups_of(sr)[0], "NUM")[0].MeasuredValueSequence[0]
    del value.FloatingPointValue
    assert read_findings(sr).findings[0].measured["suv_max"] == 8.25
    value.NumericValue = None
    assert read_findings(sr).findings[0].values[0].value is None


def test_a_dcmqi_report_is_read(data):
    folder = data / "sr_other_tools" / "dcmqi_ct_liver"
    [finding] = read_findings(dcmread(folder / "sr-tid1500-ct-liver-example.dcm")).findings
    assert finding.tracking_identifier == "Measurements group 1"
    assert finding.site.meaning == "Liver"
    assert finding.segment_number == 1
    assert finding.measured == {"volume_cm3": pytest.approx(70.3619)}
    stated = [
        (v.concept.meaning, v.derivation and v.derivation.meaning, v.value) for v in finding.values
    ]
    assert ("Attenuation Coefficient", "Standard Deviation", 59.1691) in stated


def test_reports_of_other_tools_are_read_without_a_crash(data):
    files = sorted((data / "sr_other_tools").rglob("*.dcm"))
    read = {file.name: read_findings(dcmread(file, force=True)) for file in files}
    assert len(read) == 8
    [highdicom] = read["highdicom_sr_document.dcm"].findings
    assert [(v.value, v.unit.value) for v in highdicom.values] == [(1.7, "cm2")]
    [ohif] = read["ohif_dcmjs_cornerstone3D_bidirectional_px.dcm"].findings
    assert ohif.tracking_identifier == "Cornerstone3DTools@^0.1.0:Bidirectional"
    assert ohif.measured == {}  # its lengths are not in mm
    assert read["01.dcm"].findings == ()


def _no_concept(group):
    del walk.of_type(group, "NUM")[0].ConceptNameCodeSequence


def _empty_sequences(group):
    for item in walk.children(group):
        for keyword in ("ConceptCodeSequence", "MeasuredValueSequence", "ReferencedSOPSequence"):
            if keyword in item:
                setattr(item, keyword, [])


def _no_values(group):
    for item in walk.children(group):
        for keyword in ("TextValue", "UID", "ValueType", "RelationshipType"):
            if keyword in item:
                delattr(item, keyword)


def _several_segments(group):
    [item] = walk.named(group, codes.REFERENCED_SEGMENT)
    item.ReferencedSOPSequence[0].ReferencedSegmentNumber = [2, 3]


def _childless(group):
    group.ContentSequence = []


@pytest.mark.parametrize(
    "damage", [_no_concept, _empty_sequences, _no_values, _several_segments, _childless]
)
def test_damaged_groups_are_read_as_far_as_they_go(study, damage):
    sr = deepcopy(build_sr(study.report(), study.case, STYLE))
    damage(groups_of(sr)[0])
    read = read_findings(makers.written(sr))
    assert len(read.findings) == 2
    assert read.findings[1].measured["suv_max"] == 8.25


def test_a_document_without_groups_gives_none():
    assert read_findings(Dataset()).findings == ()


def test_a_deep_tree_is_walked_without_recursion():
    root = item = Dataset()
    for _ in range(3000):
        item.ContentSequence = [Dataset()]
        item = item.ContentSequence[0]
    assert len(list(walk.descendants(root))) == 3000
