"""Words of a model on their way into an SR: grounded, replaced where there are none, identified."""

from dataclasses import replace

import numpy as np
import pytest
from pydicom.sr.coding import Code

from engine import codes
from engine.case import Case
from engine.describing.template import Template
from engine.finding import Description, ModelIdentity, Unable
from engine.pipeline import raw_words_of, report_case
from engine.report import walk
from engine.report.check import groups_of
from engine.report.read import read_findings
from engine.report.style import ReportStyle
from tests import makers
from tests.unit import judges

STYLE = ReportStyle(seed="abcd")
SHAPE = (8, 32, 32)
IDENTITY = ModelIdentity(
    "petar-toy", "1+abc", "5e" * 32, "cpu", "float32", profile="petar-release", prompt="What is it?"
)
NO_CT = Unable("no-ct", "The model sees PET and CT, and there is no usable CT.")


class Model:
    """A model that gives these answers."""

    identity = IDENTITY

    def __init__(self, *answers):
        self.answers = answers
        self.asked = []

    def describe(self, scan, lesions):
        self.asked += lesions
        return self.answers


def block(j, i):
    voxels = np.zeros(SHAPE, bool)
    voxels[3:6, j, i] = True
    return voxels


HOT, COLD = block(slice(12, 18), slice(12, 18)), block(slice(4, 8), slice(20, 23))


def case_of(folder, **pet):
    images = makers.make_pet(**pet)
    mask = makers.make_seg({"hot": HOT, "cold": COLD}, images)
    ct = makers.save(makers.make_ct(), folder / "ct")
    paths = makers.save(images, folder / "pet")
    return Case(tuple(paths), tuple(ct), makers.save(mask, folder / "mask")[0])


def report(folder, *answers, **pet):
    documents = report_case(case_of(folder, **pet), Model(*answers), STYLE)
    path = judges.write(documents.sr, folder / "sr.dcm")
    assert judges.dciodvfy_errors(path) == []
    assert judges.dsrdump_complaints(path) == []
    return documents


def evaluations(finding):
    return {(question.value, answer.value) for question, answer in finding.evaluations}


def algorithm(group):
    return [
        str(item.TextValue)
        for name in (codes.ALGORITHM_NAME, codes.ALGORITHM_VERSION, codes.ALGORITHM_PARAMETERS)
        for item in walk.named(group, name)
    ]


def test_numbers_that_a_model_invents_become_measured_ones(tmp_path):
    said = "Intense uptake, SUV max of 99.7, measuring 77.7 x 66.6 cm."
    documents = report(tmp_path, Description(said), Description("Mild uptake."))
    first, second = read_findings(documents.sr).findings
    measured = documents.report.findings[0].lesion.measurements
    assert f"{measured.suv_max:.1f}" in first.text
    assert f"{measured.long_axis_mm / 10:.1f} x {measured.short_axis_mm / 10:.1f} cm" in first.text
    assert not any(number in str(documents.sr) for number in ("99.7", "77.7", "66.6"))
    assert second.text.startswith("Mild uptake.")
    assert documents.report.model == IDENTITY


def test_raw_words_go_beside_the_report_and_not_into_it(tmp_path):
    said = "Intense uptake, SUV max of 99.7."
    documents = report(tmp_path, Description(said), NO_CT)
    told = raw_words_of(documents)
    assert told["sr_sop_instance_uid"] == documents.sr.SOPInstanceUID
    assert told["model"]["weights_sha256"] == IDENTITY.weights_sha256
    first, second = told["lesions"]
    assert first["raw_text"] == said
    (span,) = first["spans"]
    assert said[span["start"] : span["end"]] == span["raw"]
    assert "99.7" in span["raw"]
    assert span["measured"] in first["text"]
    assert second["raw_text"] is None
    assert second["unable"] == {"code": NO_CT.code, "sentence": NO_CT.sentence}


def test_a_template_leaves_no_raw_words(tmp_path):
    assert raw_words_of(report_case(case_of(tmp_path), Template(), STYLE)) is None
    assert raw_words_of(report(tmp_path, NO_CT, NO_CT)) is None


def test_where_the_model_has_no_words_the_template_speaks_and_the_report_says_why(tmp_path):
    documents = report(tmp_path, Description("Mild uptake."), NO_CT)
    read = read_findings(documents.sr)
    described, other = read.findings
    assert not evaluations(described) & {("model-unable", "no-ct")}
    assert ("model-unable", "no-ct") in evaluations(other)
    assert "no-ct" in other.flags
    assert other.text.startswith("Lesion 2")
    assert "Not described by the model: no ct." in other.text
    (note,) = (one for one in read.comments if "by the template" in one)
    assert note == (
        "Not described by petar-toy 1+abc but by the template: segment 2, no-ct: " + NO_CT.sentence
    )
    names = [algorithm(group)[0] for group in groups_of(documents.sr)]
    assert names == ["petar-toy", "template"]


def test_a_model_without_a_word_for_any_lesion_is_not_called_the_writer(tmp_path):
    documents = report(tmp_path, NO_CT, NO_CT)
    assert documents.report.model == Template.identity
    assert any("segments 1, 2, no-ct" in one for one in read_findings(documents.sr).comments)
    (equipment,) = documents.sr.ContributingEquipmentSequence
    assert equipment.ContributionDescription.startswith("Words by template 1")


@pytest.mark.parametrize("said", ["", "  ", "...", "\n,;"])
def test_words_without_a_word_are_none(tmp_path, said):
    documents = report(tmp_path, Description(said), Description("Mild uptake."))
    first, second = read_findings(documents.sr).findings
    assert ("model-unable", "empty-text") in evaluations(first)
    assert first.text.startswith("Lesion 1")
    assert second.text.startswith("Mild uptake.")


def test_a_refused_suv_is_not_shown_to_the_model(tmp_path):
    model = Model()
    documents = report_case(case_of(tmp_path, PatientWeight=None), model, STYLE)
    assert model.asked == []
    read = read_findings(documents.sr)
    assert all(("model-unable", "suv-refused") in evaluations(one) for one in read.findings)
    assert any("suv-refused: Patient's Weight" in one for one in read.comments)


def test_the_model_is_identified_in_every_group_and_in_the_equipment(tmp_path):
    documents = report(tmp_path, *[Description("Mild uptake.")] * 2)
    for group in groups_of(documents.sr):
        name, version, *parameters = algorithm(group)
        assert (name, version) == (IDENTITY.name, IDENTITY.version)
        assert parameters[:-1] == [
            f"weights sha256 {IDENTITY.weights_sha256}",
            "profile petar-release",
            "on cpu float32",
            'asked "What is it?"',
        ]
        assert parameters[-1].startswith("measured by")
    (equipment,) = documents.sr.ContributingEquipmentSequence
    for part in (IDENTITY.weights_sha256, "petar-release", "cpu float32", "What is it?"):
        assert part in equipment.ContributionDescription


def test_another_profile_or_prompt_is_another_device(tmp_path):
    case = case_of(tmp_path)
    uids = set()
    for change in ({}, {"profile": "paper"}, {"prompt": "Else?"}, {"weights_sha256": "00" * 32}):
        model = Model(*[Description("Mild uptake.")] * 2)
        model.identity = replace(IDENTITY, **change)
        (equipment,) = report_case(case, model, STYLE).sr.ContributingEquipmentSequence
        uids.add(equipment.DeviceUID)
    assert len(uids) == 4


def test_warnings_of_the_model_become_flags(tmp_path):
    warned = Description("Mild uptake.", warnings=("mask-vanished-in-global-view", "truncated"))
    first, second = read_findings(report(tmp_path, warned, Description("Mild uptake.")).sr).findings
    assert {"mask-vanished-in-global-view", "truncated"} <= set(first.flags)
    assert "truncated" not in second.flags


def test_the_site_that_the_mask_states_wins_over_the_words(tmp_path):
    lung = Code("39607008", "SCT", "Lung")
    images = makers.make_pet()
    mask = makers.make_seg({"hot": HOT}, images, anatomic_region=lung)
    paths = makers.save(images, tmp_path / "pet")
    case = Case(tuple(paths), (), makers.save(mask, tmp_path / "mask")[0])
    documents = report_case(case, Model(Description("Uptake in the liver.")), STYLE)
    (finding,) = read_findings(documents.sr).findings
    assert codes.same(finding.site, lung)


def test_context_segments_are_the_templates_and_the_models_context(tmp_path, monkeypatch):
    from engine.pipeline import words

    seen = []

    def ground(description, lesion, scan, context):
        seen.append(([one.segment.number for one in context], lesion.segment.number))
        return real(description, lesion, scan, context)

    real = words.ground
    monkeypatch.setattr(words, "ground", ground)
    model = Model(Description("Mild uptake."))
    case = replace(case_of(tmp_path), lesion_numbers=(2,))
    documents = report_case(case, model, STYLE)
    assert seen == [([1], 2)]
    assert [one.segment.number for one in model.asked] == [2]
    names = [algorithm(group)[0] for group in groups_of(documents.sr)]
    assert names == ["template", "petar-toy"]


def organs(images, series="organs", **masks):
    seg = makers.make_seg(masks, images, series=series)
    for item in seg.SegmentSequence:
        item.SegmentedPropertyCategoryCodeSequence[0].CodeValue = "123037004"  # an anatomy
    return makers.written(seg)


def with_label_map(folder):
    case = case_of(folder)
    images = makers.make_pet()
    label_map = organs(images, lung_upper_lobe_left=HOT | COLD, liver=block(slice(24, 30), 3))
    return replace(case, label_maps=tuple(makers.save(label_map, folder / "organs")))


LIVER = Description("Uptake in the liver.")


def test_words_are_judged_by_a_label_map_that_came_as_an_object_of_its_own(tmp_path):
    case = with_label_map(tmp_path)
    for label_maps, expected in (((), False), (case.label_maps, True)):
        documents = report_case(replace(case, label_maps=label_maps), Model(LIVER, LIVER), STYLE)
        findings = read_findings(documents.sr).findings
        assert [one.segment_number for one in findings] == [1, 2]  # organs are not reported
        assert ["organ-mismatch" in one.flags for one in findings] == [expected] * 2
        assert all("liver" in one.text for one in findings)  # flagged, not edited


def test_a_label_map_that_cannot_be_used_costs_no_report(tmp_path, monkeypatch):
    from engine.pipeline import elsewhere

    case = with_label_map(tmp_path)
    damaged = tmp_path / "damaged.dcm"
    damaged.write_bytes(case.label_maps[0].read_bytes()[:2000])
    broken = replace(case, label_maps=(damaged,))
    documents = report_case(broken, Model(LIVER, LIVER), STYLE)
    assert any(one.startswith("A label map was not used") for one in documents.report.notes)
    monkeypatch.setattr(elsewhere, "MOST_BYTES", 1000)
    documents = report_case(case, Model(LIVER, LIVER), STYLE)
    assert any("too large for this PET grid" in one for one in documents.report.notes)
    report_case(replace(case, label_maps=(tmp_path / "absent",)), Template(), STYLE)  # never read
