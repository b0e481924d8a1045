"""The other two forms of a report: valid, the same again, and complete in their words."""

import subprocess
from dataclasses import replace

import pytest
from pydicom.uid import BasicTextSRStorage, ComprehensiveSRStorage

from engine import codes
from engine.finding import ModelIdentity
from engine.report import items, walk
from engine.report.plain_forms import CLASSES, form_uid, in_form
from engine.report.sr import build_sr
from engine.report.style import Predecessor
from tests import makers
from tests.conftest import find_peer
from tests.unit import judges
from tests.unit.reports import REFUSAL, STYLE, Study, measured, refused

DEMONSTRATION = "DEMONSTRATION. Words by a demonstration trained on synthetic phantoms"


def _plain(folder):
    study = Study(folder, lesions=3)
    return build_sr(study.report(), study.case, STYLE)


def _refused(folder):
    study = Study(folder, lesions=2, suv=REFUSAL)
    return build_sr(study.report(refused(study.pet)), study.case, STYLE)


def _demonstration(folder):
    study = Study(folder, lesions=2)
    report = study.report(measured(study.pet, flags=("peak-at-edge",)))
    model = ModelIdentity("petar", "0", "ab" * 32, "cpu", "float32", is_demonstration=True)
    findings = tuple(_warned(one) for one in report.findings)
    told = replace(report, model=model, findings=findings)
    return build_sr(told, study.case, replace(STYLE, tracking_identifier="editable"))


def _warned(finding):
    told = replace(
        finding.description, text="Intense uptake.", warnings=("laterality-conflict",)
    )  # fmt: skip
    return replace(finding, description=told)


def _rtstruct(folder):
    study = Study(folder, lesions=2, rtstruct=True)
    return build_sr(study.report(), study.case, STYLE)


VARIANTS = [_plain, _refused, _demonstration, _rtstruct]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return _plain(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda made: made.__name__.strip("_"))
def test_the_judges_find_no_error_in_either_form(variant, tmp_path):
    sr = variant(tmp_path)
    for form in CLASSES:
        path = judges.write(in_form(sr, form), tmp_path / "other.dcm")
        assert judges.dciodvfy_errors(path) == []
        assert judges.dsrdump_complaints(path) == []


@pytest.mark.parametrize("form", CLASSES)
def test_the_same_report_gives_the_same_document_again(form, plain):
    sr = plain
    before = sr.to_json()
    one, other = in_form(sr, form), in_form(sr, form)
    assert sr.to_json() == before
    assert one.to_json() == other.to_json()
    assert one.SOPInstanceUID == form_uid(sr.SOPInstanceUID, form)
    assert len({form_uid(sr.SOPInstanceUID, each) for each in CLASSES} | {sr.SOPInstanceUID}) == 3
    assert one.StudyInstanceUID == sr.StudyInstanceUID
    assert one.SeriesInstanceUID not in (sr.SeriesInstanceUID, one.SOPInstanceUID)


@pytest.mark.parametrize("form", CLASSES)
def test_it_names_the_report_it_was_made_of_and_what_it_replaces(form, plain):
    sr = plain
    earlier = Predecessor(str(sr.StudyInstanceUID), "2.25.8", str(CLASSES[form]), "2.25.7")
    other = in_form(sr, form, [earlier])
    named = [
        (instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID)
        for study in other.PredecessorDocumentsSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]
    assert named == [(sr.SOPClassUID, sr.SOPInstanceUID), (CLASSES[form], "2.25.7")]
    assert "IdenticalDocumentsSequence" not in other


def test_a_comprehensive_sr_has_the_same_content(plain, tmp_path):
    sr = plain
    other = in_form(sr, "comprehensive")
    assert other.SOPClassUID == ComprehensiveSRStorage
    assert other.ContentSequence == sr.ContentSequence
    assert len(judges.tid1500_groups(judges.write(other, tmp_path / "other.dcm"))) == 3


def test_a_text_holds_nothing_that_its_class_forbids(plain):
    other = in_form(plain, "text")
    assert other.SOPClassUID == BasicTextSRStorage
    kinds = {item.ValueType for item in walk.descendants(other)}
    assert kinds == {"CODE", "UIDREF", "TEXT", "CONTAINER", "IMAGE"}
    assert not codes.same(walk.concept(other), codes.IMAGING_MEASUREMENT_REPORT)


def test_a_verified_report_is_not_called_unverified(tmp_path):
    sr = _plain(tmp_path)
    sr.VerificationFlag = "VERIFIED"
    said = _tree(in_form(sr, "text"))
    assert "VERIFIED by a person" in said
    assert "UNVERIFIED" not in said


def test_what_a_report_opens_with_is_read_first_in_a_text_too(tmp_path):
    sr = _demonstration(tmp_path)
    sentence = "AI draft verified by Somebody."
    sr.ContentSequence.insert(1, items.text(codes.COMMENT, sentence, "CONTAINS"))
    other = in_form(sr, "text")
    (summary,) = walk.named(other, codes.SUMMARY)
    said = [str(item.TextValue) for item in walk.children(summary)]
    assert said[0].startswith("UNVERIFIED")
    assert said[1].startswith(DEMONSTRATION)
    assert said[2] == sentence


def _tree(sr):
    """The document as a reader of plain trees shows it: names and values, nothing else."""
    lines = []
    for item in walk.descendants(sr):
        name = walk.concept(item)
        coded = walk.code_in(item, "ConceptCodeSequence")
        measured = item.get("MeasuredValueSequence") or [{}]
        unit = walk.code_in(item, "MeasuredValueSequence")
        value = [
            str(item.get("TextValue") or ""), coded.meaning if coded else "",
            str(measured[0].get("NumericValue") or ""), unit.value if unit else "",
        ]  # fmt: skip
        lines.append(f"{name.meaning if name else ''}: {' '.join(value).strip()}")
    return "\n".join(lines)


def _html(path):
    made = path.with_suffix(".html")
    command = [find_peer("dsr2html"), "--unknown-relationship", str(path), str(made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return made.read_text("utf-8")


WORDS = {
    "plain": ["Left", "Lung", "8.25", "4.123", "24.5", "18", "SUVmax 8.3", "2.5 x 1.8 cm"],
    "refused": ["Left", "Lung", "missing weight", "24.5", "18", "2.5 x 1.8 cm"],
    "demonstration": [
        "Left", "Lung", "8.25", "24.5", "Intense uptake", "laterality conflict", "peak at edge",
        DEMONSTRATION,
    ],
}  # fmt: skip
IN_TEXT = {
    "plain": ["Left Lung", "SUVmax 8.3", "SUVmean 4.1", "SUVpeak 6.0", "5.1 cm3", "2.5 x 1.8 cm"],
    "refused": ["Left Lung", "missing weight", "5.1 cm3", "2.5 x 1.8 cm"],
    "demonstration": [
        "Left Lung", "SUVmax 8.3", "2.5 x 1.8 cm", "Intense uptake", "laterality conflict",
        "peak at edge", DEMONSTRATION,
    ],
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS[:3], ids=lambda made: made.__name__.strip("_"))
def test_every_form_says_all_of_every_lesion_to_who_reads_text_alone(variant, tmp_path):
    sr = variant(tmp_path)
    for form in (None, *CLASSES):
        _says_all(sr, form, variant, tmp_path)


def _says_all(sr, form, variant, tmp_path):
    name = variant.__name__.strip("_")
    told = sr if form is None else in_form(sr, form)
    lesions = 3 if variant is _plain else 2
    tree, html = _tree(told), _html(judges.write(told, tmp_path / "told.dcm"))
    flat = " ".join(html.replace("<br>", " ").split())
    assert "UNVERIFIED" in html
    if form == "text":
        assert "UNVERIFIED: written by software" in tree
    heading = "Finding: " if form == "text" else "Measurement Group: "
    parts = tree.split(f"\n{heading}")[1:]
    assert len(parts) == lesions
    for number, part in enumerate(parts, start=1):
        assert f"Lesion {number}" in part
        assert f"Lesion {number}" in flat
        for word in IN_TEXT[name] if form == "text" else WORDS[name]:
            assert word in part
            assert word in flat


def test_words_that_do_not_say_their_number_get_it_where_the_identifier_is_a_viewers(tmp_path):
    sr = _demonstration(tmp_path)
    for number, group in enumerate(
        (item for item in walk.descendants(sr) if item.get("ValueType") == "CONTAINER"
         and codes.same(walk.concept(item), codes.MEASUREMENT_GROUP)), start=1
    ):  # fmt: skip
        (comment,) = walk.named(group, codes.COMMENT)
        assert f"Lesion {number}: Intense uptake." in comment.TextValue


def test_no_patient_is_named_in_the_words(plain):
    said = _tree(in_form(plain, "text"))
    assert makers.uid("study study") not in said
    assert "Phantom" not in said
