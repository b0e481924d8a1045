"""The SR: what it holds, and what independent tools say of it."""

from dataclasses import replace

import pytest
from highdicom.sr import Comprehensive3DSR
from pydicom import dcmread
from pydicom.sr.coding import Code

from engine import codes
from engine.acquisition import SuvRefusal
from engine.errors import InvalidReport, Unreadable
from engine.finding import ModelIdentity, Unreported
from engine.report import walk
from engine.report.check import problems_of
from engine.report.groups import EDITABLE
from engine.report.sr import build_sr
from engine.report.style import Predecessor, ReportStyle
from tests import makers
from tests.unit import judges
from tests.unit.reports import CONVERSION, REFUSAL, STYLE, Study, measured, refused

EARLIER = Predecessor(
    makers.uid("study study"), makers.uid("s"), "1.2.840.10008.5.1.4.1.1.88.34", makers.uid("e")
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return Study(tmp_path_factory.mktemp("sr"), lesions=3)


def _plain(folder):
    study = Study(folder, lesions=2)
    return study, study.report(), STYLE


def _editable(folder):
    study = Study(folder, lesions=2)
    return study, study.report(), replace(STYLE, tracking_identifier="editable")


def _refused(folder):
    study = Study(folder, lesions=2, suv=REFUSAL)
    return study, study.report(refused(study.pet)), STYLE


def _without_ct(folder):
    study = Study(folder, with_ct=False)
    return study, study.report(notes=("No CT: reported from the PET alone.",)), STYLE


def _unreported(folder):
    study = Study(folder, lesions=2)
    absent = Unreported(9, "Käse", "empty-segment", "It marks no voxel.")
    return study, study.report(unreported=(absent,)), STYLE


def _revised(folder):
    study = Study(folder)
    return study, study.report(), replace(STYLE, predecessors=(EARLIER,))


def _flagged(folder):
    study = Study(folder)
    report = study.report(measured(study.pet, flags=("peak-at-edge",)))
    told = report.findings[0].description
    warned = replace(told, warnings=("laterality-conflict", "no code: spaces"))
    finding = replace(report.findings[0], description=warned)
    return study, replace(report, findings=(finding,)), STYLE


def _demonstration(folder):
    study = Study(folder)
    model = ModelIdentity("petar", "0", "ab" * 32, "cpu", "float32", is_demonstration=True)
    return study, study.report(model=model), STYLE


def _one_voxel(folder):
    study = Study(folder)
    square = ((3.0, 3.0), (4.0, 3.0), (4.0, 4.0), (3.0, 4.0), (3.0, 3.0))
    values = measured(study.pet, long_axis_mm=None, short_axis_mm=None, suv_peak=None,
                      hottest_slice_contour=square)  # fmt: skip
    return study, study.report(values), STYLE


VARIANTS = [
    _plain, _editable, _refused, _without_ct, _unreported, _revised, _flagged, _demonstration,
    _one_voxel,
]  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda made: made.__name__.strip("_"))
def test_the_judges_find_no_error(variant, tmp_path):
    study, report, style = variant(tmp_path)
    sr = build_sr(report, study.case, style)
    path = judges.write(sr, tmp_path / "sr.dcm")
    assert problems_of(dcmread(path), mask=study.mask, images=study.pet.slices, report=report) == ()
    assert judges.dciodvfy_errors(path) == []
    assert judges.dsrdump_complaints(path) == []
    groups = judges.tid1500_groups(path)
    assert len(groups) == len(report.findings)
    for group, finding in zip(groups, report.findings, strict=True):
        stated = {_quantity(item): float(item["value"]) for item in group["measurementItems"]}
        values = finding.lesion.measurements
        assert group["ReferencedSegment"] == finding.lesion.segment.number
        assert stated.get("SUVbw Maximum") == values.suv_max
        assert stated.get("SUVbw Mean") == values.suv_mean
        assert stated.get("SUVbw Peak Value Within ROI") == values.suv_peak
        assert stated["Metabolic Volume"] == values.volume_cm3
        assert stated.get("Total Lesion Glycolysis") == values.total_lesion_glycolysis_g
        assert stated.get("Long axis") == values.long_axis_mm
        assert stated.get("Short axis") == values.short_axis_mm
    Comprehensive3DSR.from_dataset(dcmread(path))


def _quantity(item):
    derivation = item.get("derivationModifier", {}).get("CodeMeaning", "")
    return f"{item['quantity']['CodeMeaning']} {derivation}".strip()


def groups_in(sr):
    return walk.named(walk.named(sr, codes.IMAGING_MEASUREMENTS)[0], codes.MEASUREMENT_GROUP)


def comments_in(item):
    return [str(child.TextValue) for child in walk.named(item, codes.COMMENT)]


def test_highdicom_reads_the_groups_back(study, tmp_path):
    sr = build_sr(study.report(), study.case, STYLE)
    read = Comprehensive3DSR.from_dataset(dcmread(judges.write(sr, tmp_path / "sr.dcm")))
    groups = read.content.get_volumetric_roi_measurement_groups()
    assert [group.tracking_uid for group in groups] == [s.tracking_uid for s in study.segments]
    assert [group.tracking_identifier for group in groups] == ["Lesion 1", "Lesion 2", "Lesion 3"]
    assert groups[0].finding_sites[0].topographical_modifier is None
    assert groups[0].finding_type == makers.NEOPLASM
    suv = [m for m in groups[0].get_measurements() if m.name == codes.SUV_BODY_WEIGHT]
    assert next((m.value, m.unit) for m in suv) == (8.25, codes.GRAM_PER_ML_SUVBW)


def test_the_numbers_come_in_the_order_viewers_show(study):
    group = groups_in(build_sr(study.report(), study.case, STYLE))[0]
    nums = walk.of_type(group, "NUM")
    assert [walk.concept(num).meaning for num in nums] == [
        "SUVbw", "SUVbw", "SUVbw", "Metabolic Volume", "Total Lesion Glycolysis", "Long axis",
        "Short axis",
    ]  # fmt: skip
    for num in nums:
        assert bool(walk.children(num)) == bool(walk.of_type(num, "SCOORD"))


def test_every_outline_lies_on_the_hottest_slice(study):
    sr = build_sr(study.report(measured(study.pet, k=2)), study.case, STYLE)
    regions = [item for item in walk.descendants(sr) if item.get("ValueType") == "SCOORD"]
    assert len(regions) == 3 * 4
    for region in regions:
        assert region.GraphicType == "POLYLINE"
        assert region.GraphicData[:2] == region.GraphicData[-2:] == [12.0, 12.5]
        reference = next(walk.referenced(walk.children(region)))
        assert reference.ReferencedSOPInstanceUID == study.pet_datasets[2].SOPInstanceUID
        assert "ReferencedFrameNumber" not in reference


def test_a_frame_of_a_multiframe_pet_is_named(study):
    slices = tuple(replace(one, frame_number=k + 1) for k, one in enumerate(study.pet.slices))
    pet = replace(study.pet, slices=slices)
    report = study.report(measured(pet), scan=replace(study.scan, pet=pet))
    sr = build_sr(report, study.case, STYLE)
    region = next(item for item in walk.descendants(sr) if item.get("ValueType") == "SCOORD")
    assert next(walk.referenced(walk.children(region))).ReferencedFrameNumber == 5


def test_the_first_number_of_a_refused_group_is_the_volume(study):
    scan = replace(study.scan, suv=REFUSAL)
    sr = build_sr(study.report(refused(study.pet), scan=scan), study.case, STYLE)
    group = groups_in(sr)[0]
    first = walk.of_type(group, "NUM")[0]
    assert codes.same(walk.concept(first), codes.METABOLIC_VOLUME)
    assert walk.of_type(first, "SCOORD")
    reason = walk.named(group, codes.SUV_REFUSED)[0]
    assert walk.code_in(reason, "ConceptCodeSequence").value == "missing-weight"
    assert any(
        c.startswith("SUV refused (missing-weight): Patient's Weight") for c in comments_in(sr)
    )


def test_flags_are_codes_and_plain_words(tmp_path):
    study, report, style = _flagged(tmp_path)
    group = groups_in(build_sr(report, study.case, style))[0]
    quality, consistency = (
        [walk.code_in(item, "ConceptCodeSequence").value for item in walk.named(group, name)]
        for name in (codes.QUALITY_FLAG, codes.CONSISTENCY_FLAG)
    )
    assert (quality, consistency) == (["peak-at-edge"], ["laterality-conflict"])
    [comment] = comments_in(group)
    assert comment.endswith("Flags: peak at edge, laterality conflict, no code: spaces.")


DEMONSTRATED = (
    "DEMONSTRATION. Words by a demonstration trained on synthetic phantoms, not for clinical use."
)


def test_a_demonstration_says_so_in_its_first_line_and_every_group(tmp_path):
    study, report, style = _demonstration(tmp_path)
    sr = build_sr(report, study.case, style)
    assert walk.children(sr)[0].TextValue == DEMONSTRATED
    assert all(comments_in(group)[0].startswith(DEMONSTRATED) for group in groups_in(sr))


def test_a_model_that_is_no_demonstration_is_not_called_one(study):
    sr = build_sr(study.report(model=ModelIdentity("petar", "1", "00" * 32)), study.case, STYLE)
    assert "demonstration" not in " ".join(comments_in(sr)).lower()
    assert not any("demonstration" in c.lower() for g in groups_in(sr) for c in comments_in(g))


def test_provenance_is_in_the_document(study):
    comments = " ".join(comments_in(build_sr(study.report(), study.case, STYLE)))
    for said in (
        "tracer Fluorodeoxyglucose F-18", "Units BQML", "DecayCorrection START",
        "injected dose 368.1 MBq", "body weight 70.0 kg", "uptake time 60.0 min",
        "Reference time: Series Date and Time.", "SUVpeak is the highest mean of a 1 cm3 sphere",
        "0.5 iso-contour", "definitions, version 1",
    ):  # fmt: skip
        assert said in comments


def test_a_dose_or_weight_that_nothing_converted_is_not_printed(tmp_path):
    """The header's own numbers may be in MBq or grams: only the conversion has told."""
    refusal = SuvRefusal("missing-weight", "Patient's Weight (0010,1030) is empty", dose_bq=4e8)
    for suv, said in (
        (replace(CONVERSION, dose_bq=None, weight_kg=None),
         "injected dose not stated, body weight not stated"),
        (refusal, "injected dose 400.0 MBq, body weight not stated"),
    ):  # fmt: skip
        study = Study(tmp_path, suv=suv)
        assert said in " ".join(comments_in(build_sr(study.report(), study.case, STYLE)))


def test_what_is_not_measured_is_named(tmp_path):
    study, report, style = _unreported(tmp_path)
    said = comments_in(build_sr(report, study.case, style))
    assert 'Not measured: segment 9 ("Käse"), empty-segment: It marks no voxel.' in said


def test_evidence_lists_images_first_then_the_mask(study):
    sr = build_sr(study.report(), study.case, STYLE)
    listed = [instance for _, _, instance in walk.evidence(sr)]
    images = [image.SOPInstanceUID for image in (*study.pet_datasets, *study.ct_datasets)]
    assert listed == [*images, study.mask.SOPInstanceUID]
    assert "PertinentOtherEvidenceSequence" not in sr


def test_a_ct_of_another_study_is_pertinent_evidence(tmp_path):
    study = Study(tmp_path)
    elsewhere = makers.make_ct(study="another", frame_of_reference="space")
    case = replace(study.case, ct=tuple(makers.save(elsewhere, tmp_path / "other")))
    sr = build_sr(study.report(), case, STYLE)
    [item] = sr.PertinentOtherEvidenceSequence
    assert item.StudyInstanceUID == elsewhere[0].StudyInstanceUID
    assert judges.dciodvfy_errors(judges.write(sr, tmp_path / "sr.dcm")) == []


def test_a_segment_without_tracking_uid_keeps_its_own_in_every_report(tmp_path):
    study = Study(tmp_path)
    study.segments = (replace(study.segments[0], tracking_uid=None),)
    one, other = (build_sr(study.report(), study.case, ReportStyle(seed=seed)) for seed in "ab")
    uids = [walk.of_type(groups_in(sr)[0], "UIDREF")[0].UID for sr in (one, other)]
    assert uids[0] == uids[1]


def test_context_segments_are_groups_too(study):
    segments = (study.segments[0], replace(study.segments[1], role="context"), study.segments[2])
    made = Study.report
    study_segments, study.segments = study.segments, segments
    try:
        sr = build_sr(made(study), study.case, STYLE)
    finally:
        study.segments = study_segments
    identifiers = [walk.named(g, codes.TRACKING_IDENTIFIER)[0].TextValue for g in groups_in(sr)]
    assert identifiers == ["Lesion 1", "Context 2", "Lesion 3"]
    assert "not reported as a lesion" in comments_in(groups_in(sr)[1])[0]


def test_the_editable_identifier_is_ohifs(study):
    sr = build_sr(study.report(), study.case, replace(STYLE, tracking_identifier="editable"))
    assert walk.named(groups_in(sr)[0], codes.TRACKING_IDENTIFIER)[0].TextValue == EDITABLE


def test_a_predecessor_is_referenced(study):
    sr = build_sr(study.report(), study.case, replace(STYLE, predecessors=(EARLIER,)))
    series = sr.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    reference = series.ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == EARLIER.sop_instance_uid


def test_a_peers_label_cannot_bring_control_characters(tmp_path):
    study = Study(tmp_path)
    study.segments = (replace(study.segments[0], label="a\x1b[31m\nb\x00" + "x" * 9000),)
    sr = build_sr(study.report(), study.case, STYLE)
    [comment] = comments_in(groups_in(sr)[0])
    assert comment.isprintable()
    assert len(comment) < 400


def test_long_codes_of_the_mask_fit(tmp_path):
    study = Study(tmp_path)
    long = Code("a-code-value-that-is-over-sixteen", "99OTHER", "Odd")
    study.segments = (replace(study.segments[0], property_type=long),)
    sr = build_sr(study.report(), study.case, STYLE)
    assert judges.dciodvfy_errors(judges.write(sr, tmp_path / "sr.dcm")) == []


@pytest.mark.parametrize(
    "values",
    [{"suv_max": float("nan")}, {"volume_cm3": float("inf")}, {"hottest_slice_contour": ()}],
)
def test_what_cannot_be_stated_is_not_written(study, values):
    with pytest.raises(InvalidReport, match="segment 1"):
        build_sr(study.report(measured(study.pet, **values)), study.case, STYLE)


def test_an_unreadable_header_is_told_without_its_path(study, tmp_path):
    broken = tmp_path / "Phantom^Made.dcm"
    broken.write_bytes(b"no DICOM")
    with pytest.raises(Unreadable) as told:
        build_sr(study.report(), replace(study.case, mask=broken), STYLE)
    assert "Phantom" not in str(told.value)


def test_a_hundred_lesions_are_built_and_checked(tmp_path):
    study = Study(tmp_path, lesions=100)
    report = study.report()
    sr = build_sr(report, study.case, STYLE)
    assert problems_of(sr, mask=study.mask, images=study.pet.slices, report=report) == ()
