"""What our validator catches: nine broken SRs that other tools let pass in part, and more."""

from copy import deepcopy
from dataclasses import replace

import pytest
from pydicom import Dataset

from engine import codes
from engine.report import items, walk
from engine.report.check import groups_of, problems_of
from engine.report.sr import build_sr
from tests import makers
from tests.unit.reports import REFUSAL, STYLE, Study, refused


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return Study(tmp_path_factory.mktemp("check"), lesions=2)


@pytest.fixture(scope="module")
def good(study):
    return build_sr(study.report(), study.case, STYLE)


def judged(study, sr, mask=None):
    report = study.report()
    images = study.pet.slices
    return problems_of(sr, mask=mask or study.mask, images=images, report=report)


def first_group(sr):
    return groups_of(sr)[0]


def child(item, name):
    return walk.named(item, name)[0]


def drop(item, name):
    item.ContentSequence = [
        one for one in item.ContentSequence if not codes.same(walk.concept(one), name)
    ]


def first_num(sr):
    return walk.of_type(first_group(sr), "NUM")[0]


def segment_reference(sr):
    return next(walk.referenced(walk.named(first_group(sr), codes.REFERENCED_SEGMENT)))


def without_tracking_uid(sr):
    drop(first_group(sr), codes.TRACKING_UNIQUE_IDENTIFIER)


def without_referenced_segment(sr):
    drop(first_group(sr), codes.REFERENCED_SEGMENT)


def num_by_another_relationship(sr):
    first_num(sr).RelationshipType = "HAS PROPERTIES"


def num_without_units(sr):
    del first_num(sr).MeasuredValueSequence[0].MeasurementUnitsCodeSequence


def suv_in_mm(sr):
    measured = first_num(sr).MeasuredValueSequence[0]
    measured.MeasurementUnitsCodeSequence = items.code_sequence(codes.MILLIMETER)


def without_evidence(sr):
    del sr.CurrentRequestedProcedureEvidenceSequence


def without_procedure_reported(sr):
    drop(sr, codes.PROCEDURE_REPORTED)


def site_by_contains(sr):
    child(first_group(sr), codes.FINDING_SITE).RelationshipType = "CONTAINS"


def segment_99(sr):
    segment_reference(sr).ReferencedSegmentNumber = 99


NINE = {
    without_tracking_uid: "0 items 'Tracking Unique Identifier'",
    without_referenced_segment: "0 items 'Referenced Segment'",
    num_by_another_relationship: "is related by HAS PROPERTIES, CONTAINS expected",
    num_without_units: "is in None, 'g/ml{SUVbw}' expected",
    suv_in_mm: "is in 'mm', 'g/ml{SUVbw}' expected",
    without_evidence: "No evidence",
    without_procedure_reported: "0 items 'Procedure reported'",
    site_by_contains: "'Finding Site' is related by CONTAINS",
    segment_99: "segment 99 is not in SEG",
}


def _set_title(sr):
    sr.ConceptNameCodeSequence = items.code_sequence(codes.COMMENT)


def _set_template(sr):
    sr.ContentTemplateSequence[0].TemplateIdentifier = "1501"


def _set_continuous(sr):
    child(sr, codes.IMAGING_MEASUREMENTS).ContinuityOfContent = "CONTINUOUS"


def _swap_groups(sr):
    measurements = child(sr, codes.IMAGING_MEASUREMENTS)
    measurements.ContentSequence = measurements.ContentSequence[::-1]


def _double_group(sr):
    child(sr, codes.IMAGING_MEASUREMENTS).ContentSequence.append(deepcopy(first_group(sr)))


def _no_groups(sr):
    child(sr, codes.IMAGING_MEASUREMENTS).ContentSequence = []


def _other_tracking_uid(sr):
    child(first_group(sr), codes.TRACKING_UNIQUE_IDENTIFIER).UID = "2.25.1"


def _no_uid(sr):
    item = child(first_group(sr), codes.TRACKING_UNIQUE_IDENTIFIER)
    item.UID = "Lesion.1"


def _series_before_tracking(sr):
    group = first_group(sr)
    series = child(group, codes.SOURCE_SERIES_FOR_SEGMENTATION)
    drop(group, codes.SOURCE_SERIES_FOR_SEGMENTATION)
    group.ContentSequence.insert(0, series)


def _other_segmentation(sr):
    segment_reference(sr).ReferencedSOPInstanceUID = "2.25.2"


def _frame_of_segment(sr):
    segment_reference(sr).ReferencedFrameNumber = 1


def _two_findings(sr):
    group = first_group(sr)
    group.ContentSequence.append(deepcopy(child(group, codes.FINDING)))


def _no_comment(sr):
    drop(first_group(sr), codes.COMMENT)


def _empty_comment(sr):
    child(first_group(sr), codes.COMMENT).TextValue = ""


def _text_as_code(sr):
    child(first_group(sr), codes.COMMENT).ValueType = "CODE"


def _stranger(sr):
    text = items.text(codes.DEVICE_OBSERVER_NAME, "x", "CONTAINS")
    first_group(sr).ContentSequence.append(text)


def _no_derivation(sr):
    drop(first_num(sr), codes.DERIVATION)


def _other_method(sr):
    method = child(first_num(sr), codes.MEASUREMENT_METHOD)
    method.ConceptCodeSequence = items.code_sequence(codes.SEGMENTED_VOXELS_METHOD)


def _no_outline(sr):
    drop(first_num(sr), codes.IMAGE_REGION)


def _open_outline(sr):
    region = child(first_num(sr), codes.IMAGE_REGION)
    region.GraphicData = [*list(region.GraphicData)[:-2], 1.0, 1.0]


def _polygon_of_two(sr):
    child(first_num(sr), codes.IMAGE_REGION).GraphicData = [1.0, 1.0, 1.0, 1.0]


def _outline_on_nothing(sr):
    del child(first_num(sr), codes.IMAGE_REGION).ContentSequence


def _outline_on_ct(sr):
    reference = next(walk.referenced(walk.children(child(first_num(sr), codes.IMAGE_REGION))))
    reference.ReferencedSOPInstanceUID = makers.uid("image study ct 0")
    reference.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"


def _values_out_of_order(sr):
    group = first_group(sr)
    nums = walk.of_type(group, "NUM")
    others = [one for one in group.ContentSequence if one.ValueType != "NUM"]
    group.ContentSequence = [*others, *nums[::-1]]


def _suv_neither_stated_nor_refused(sr):
    drop(first_group(sr), codes.SUV_BODY_WEIGHT)


def _suv_stated_and_refused(sr):
    refusal = items.code(codes.SUV_REFUSED, codes.private_code("missing-dose"), "CONTAINS")
    first_group(sr).ContentSequence.append(refusal)


def _another_value(sr):
    measured = first_num(sr).MeasuredValueSequence[0]
    measured.NumericValue, measured.FloatingPointValue = "8.2", 8.2


def _two_values(sr):
    first_num(sr).MeasuredValueSequence[0].NumericValue = "9"


def _no_value(sr):
    del first_num(sr).MeasuredValueSequence[0].FloatingPointValue


def _no_measured_value(sr):
    first_num(sr).MeasuredValueSequence = []


def _verified(sr):
    sr.VerificationFlag = "VERIFIED"


def _no_patient_id(sr):
    del sr.PatientID


def _no_device(sr):
    sr.DeviceSerialNumber = ""


def _latin_1(sr):
    sr.SpecificCharacterSet = "ISO_IR 100"


def _one_image_less(sr):
    study_item = sr.CurrentRequestedProcedureEvidenceSequence[0]
    del study_item.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]


def _segmentation_not_in_evidence(sr):
    del sr.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[-1]


def _evidence_without_series(sr):
    study_item = sr.CurrentRequestedProcedureEvidenceSequence[0]
    study_item.ReferencedSeriesSequence[0].SeriesInstanceUID = ""


MORE = {
    _set_title: "title is not",
    _set_template: "DCMR 1500",
    _set_continuous: "not SEPARATE",
    _swap_groups: "ascending order: segments [2, 1]",
    _double_group: "Two groups have the same Tracking",
    _no_groups: "'Imaging Measurements' has no value",
    _other_tracking_uid: "is not that of segment 1",
    _no_uid: "'Lesion.1' is no UID",
    _series_before_tracking: "first UIDREF is not",
    _other_segmentation: "refers to another object",
    _frame_of_segment: "with frame numbers",
    _two_findings: "2 items 'Finding'",
    _no_comment: "0 items 'Comment'",
    _empty_comment: "'Comment' has no value",
    _text_as_code: "'Comment' is CODE, TEXT expected",
    _stranger: "'Device Observer Name' has no place here",
    _no_derivation: "states no known measurement",
    _other_method: "another measurement method",
    _no_outline: "carries no coordinates",
    _open_outline: "not closed",
    _polygon_of_two: "no POLYLINE of three points",
    _outline_on_nothing: "not SELECTED FROM one image",
    _outline_on_ct: "not a slice of the PET",
    _values_out_of_order: "out of order",
    _suv_neither_stated_nor_refused: "either stated or refused",
    _suv_stated_and_refused: "either stated or refused",
    _another_value: "suv_max is stated as 8.2, measured as 8.25",
    _two_values: "not one value",
    _no_value: "no finite value",
    _no_measured_value: "has 0 values",
    _verified: "VerifyingObserverSequence is absent",
    _no_patient_id: "PatientID is absent",
    _no_device: "DeviceSerialNumber is absent or empty",
    _latin_1: "SpecificCharacterSet is 'ISO_IR 100'",
    _one_image_less: "1 images that were measured are not in the evidence",
    _segmentation_not_in_evidence: "is not in the evidence",
    _evidence_without_series: "Evidence without a series",
}


def test_a_good_sr_has_no_problem(study, good):
    assert judged(study, good) == ()
    assert judged(study, makers.written(deepcopy(good))) == ()


@pytest.mark.parametrize("broken", NINE, ids=lambda one: one.__name__)
def test_the_nine_broken_srs_are_caught(study, good, broken):
    sr = deepcopy(good)
    broken(sr)
    assert any(NINE[broken] in problem for problem in judged(study, sr)), judged(study, sr)
    assert judged(study, good) == ()


@pytest.mark.parametrize("broken", MORE, ids=lambda one: one.__name__.strip("_"))
def test_other_broken_srs_are_caught(study, good, broken):
    sr = deepcopy(good)
    broken(sr)
    assert any(MORE[broken] in problem for problem in judged(study, sr)), judged(study, sr)


def test_a_refused_suv_is_no_problem(study):
    report = study.report(refused(study.pet), scan=replace(study.scan, suv=REFUSAL))
    sr = build_sr(report, study.case, STYLE)
    assert problems_of(sr, mask=study.mask, images=study.pet.slices, report=report) == ()


def test_a_tracking_uid_that_segments_share_is_not_demanded(study, good):
    mask = deepcopy(study.mask)
    for item in mask.SegmentSequence:
        item.TrackingUID = "2.25.77"
    assert judged(study, good, mask) == ()


def test_a_finding_without_its_group_is_caught(study, good):
    sr = deepcopy(good)
    child(sr, codes.IMAGING_MEASUREMENTS).ContentSequence.pop()
    assert any("segment 2 was measured and has no group" in one for one in judged(study, sr))


def test_an_empty_dataset_is_full_of_problems(study):
    assert len(judged(study, Dataset())) > 20
