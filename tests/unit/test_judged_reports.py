"""A report that a person judged: verified, without a finding, rejected; and what judges say."""

from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime

import highdicom
import pytest
from highdicom.sr import Comprehensive3DSR
from pydicom import Dataset, dcmread

from engine import codes
from engine.errors import InvalidReport
from engine.finding import ModelIdentity
from engine.report import walk
from engine.report.attesting import Judgement, verified, without
from engine.report.change_check import change_problems, tracking_uid
from engine.report.check import groups_of, problems_of
from engine.report.modules import predecessor_references
from engine.report.read import read_findings
from engine.report.rejecting import note_problems, rejection_note
from engine.report.sr import build_sr
from engine.report.style import Predecessor
from engine.report.wording import DEMONSTRATION
from tests import makers
from tests.unit import judges
from tests.unit.reports import STYLE, Study

AT = datetime(2024, 1, 4, 9, 30, tzinfo=UTC)
JUDGEMENT = Judgement("ab12", "Doe^Jane", "St Elsewhere", AT, "Read beside the PET.")
DRAFT_DESCRIPTION = "PET/CT lesion report (AI, unverified)"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return Study(tmp_path_factory.mktemp("judged"), lesions=3)


@pytest.fixture(scope="module")
def draft(study):
    return build_sr(study.report(), study.case, STYLE)


def _predecessors(document):
    return [
        str(one.ReferencedSOPInstanceUID)
        for study in document.PredecessorDocumentsSequence
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    ]


def test_a_verified_report_says_who_vouches_for_the_same_content(study, draft):
    new = verified(draft, JUDGEMENT)
    (observer,) = new.VerifyingObserverSequence
    assert (new.CompletionFlag, new.VerificationFlag, new.PreliminaryFlag) == (
        "COMPLETE", "VERIFIED", "FINAL",
    )  # fmt: skip
    assert observer.VerifyingObserverName == "Doe^Jane"
    assert observer.VerifyingOrganization == "St Elsewhere"
    assert observer.VerificationDateTime == "20240104093000.000000+0000"
    assert len(observer.VerifyingObserverIdentificationCodeSequence) == 0
    assert new.SOPInstanceUID != draft.SOPInstanceUID
    assert new.SeriesInstanceUID != draft.SeriesInstanceUID
    assert _predecessors(new) == [draft.SOPInstanceUID]
    assert new.SeriesDescription == "PET/CT lesion report (AI, verified)"
    assert new.ContentSequence[0].TextValue == (
        "AI draft verified by Jane Doe (St Elsewhere) on 2024-01-04 09:30 UTC. Reason: Read beside"
        " the PET. A program wrote and measured what follows; it was not edited."
    )
    assert list(new.ContentSequence)[1:] == list(draft.ContentSequence)
    assert "unverified" not in str(new).lower()
    images, report = study.pet.slices, study.report()
    assert problems_of(new, mask=study.mask, images=images, report=report) == ()
    assert draft.VerificationFlag == "UNVERIFIED"  # the draft itself is left alone


def test_one_finding_is_taken_out_and_named(draft):
    gone = groups_of(draft)[1]
    new = without(draft, [tracking_uid(gone)], JUDGEMENT)
    assert [tracking_uid(one) for one in groups_of(new)] == [
        tracking_uid(groups_of(draft)[0]), tracking_uid(groups_of(draft)[2]),
    ]  # fmt: skip
    assert new.ContentSequence[0].TextValue == (
        "Findings rejected by Jane Doe (St Elsewhere) on 2024-01-04 09:30 UTC: Lesion 2 (segment"
        " 2). Reason: Read beside the PET. What follows is the rest of the AI draft, unverified."
    )
    assert (new.VerificationFlag, new.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert _predecessors(new) == [draft.SOPInstanceUID]


def test_a_finding_rejected_after_verification_leaves_nobody_to_vouch(draft):
    first = verified(draft, JUDGEMENT)
    second = without(first, [tracking_uid(groups_of(first)[0])], replace(JUDGEMENT, seed="cd"))
    assert "VerifyingObserverSequence" not in second
    assert second.SeriesDescription == DRAFT_DESCRIPTION
    assert "verified by" not in str(second)
    third = verified(second, replace(JUDGEMENT, seed="ef"))
    assert [one.TextValue[:20] for one in list(third.ContentSequence)[:2]] == [
        "AI draft verified by", "Findings rejected by",
    ]  # fmt: skip
    assert _predecessors(third) == [second.SOPInstanceUID]


def test_what_is_a_demonstration_says_so_before_who_verified_it(study):
    model = ModelIdentity("petar", "0", "ab" * 32, "cpu", "float32", is_demonstration=True)
    draft = build_sr(study.report(model=model), study.case, STYLE)
    new = verified(draft, JUDGEMENT)
    assert new.ContentSequence[0].TextValue == DEMONSTRATION
    assert new.ContentSequence[1].TextValue.startswith("AI draft verified by")


def test_identical_documents_of_the_draft_are_predecessors_too(draft):
    """PS3.3 C.17.2.2: all duplicates of the original are named, and the new one has none."""
    copy = deepcopy(draft)
    twin = Predecessor(makers.uid("other"), makers.uid("s"), draft.SOPClassUID, makers.uid("twin"))
    copy.IdenticalDocumentsSequence = predecessor_references([twin])
    new = verified(copy, JUDGEMENT)
    assert _predecessors(new) == [draft.SOPInstanceUID, makers.uid("twin")]
    assert "IdenticalDocumentsSequence" not in new


def test_the_last_finding_cannot_be_taken_out(draft):
    every = [tracking_uid(group) for group in groups_of(draft)]
    with pytest.raises(InvalidReport, match="Measurement Group"):
        without(draft, every, JUDGEMENT)


def test_a_name_is_written_as_its_vr_allows(draft):
    who = replace(JUDGEMENT, name="a\\b=c" + "x" * 90, organization="o" * 90)
    (observer,) = verified(draft, who).VerifyingObserverSequence
    assert observer.VerifyingObserverName == "a b c" + "x" * 59
    assert observer.VerifyingOrganization == "o" * 64


@pytest.mark.parametrize("change", [
    "VerifyingObserverSequence", "PredecessorDocumentsSequence", "VerifyingOrganization",
    "VerifyingObserverIdentificationCodeSequence", "wording", "description", "preliminary",
    "number", "patient", "uid",
])  # fmt: skip
def test_a_broken_verified_report_is_held_back(draft, change):
    new = verified(draft, JUDGEMENT)
    (observer,) = new.VerifyingObserverSequence
    if change.startswith(("VerifyingObserverS", "Pred")):
        del new[change]
    elif change.startswith("Verifying"):
        del observer[change]
    elif change == "wording":
        new.ContentSequence = list(new.ContentSequence)[1:]
    elif change == "description":
        new.SeriesDescription = DRAFT_DESCRIPTION
    elif change == "preliminary":
        new.PreliminaryFlag = "PRELIMINARY"
    elif change == "number":
        measured = walk.of_type(groups_of(new)[0], "NUM")[0].MeasuredValueSequence[0]
        measured.FloatingPointValue *= 1.5
        measured.NumericValue = measured.FloatingPointValue
    elif change == "patient":
        new.PatientID = "another"
    elif change == "uid":
        new.SOPInstanceUID = draft.SOPInstanceUID
    assert change_problems(new, draft)


def test_an_unverified_report_that_names_an_observer_is_held_back(draft):
    new = deepcopy(draft)
    new.VerifyingObserverSequence = [Dataset()]
    assert any("unverified document" in one for one in problems_of(new, mask=None, images=()))


def _judge(document, tmp_path, groups):
    path = judges.write(document, tmp_path / "sr.dcm")
    assert judges.dciodvfy_errors(path) == []
    assert judges.dsrdump_complaints(path) == []
    assert len(judges.tid1500_groups(path)) == groups
    Comprehensive3DSR.from_dataset(dcmread(path))
    return path


def test_the_judges_find_no_error_in_a_verified_report(draft, tmp_path):
    path = _judge(verified(draft, JUDGEMENT), tmp_path, 3)
    said = judges.dsrdump_text(path)
    assert "Jane Doe" in said
    assert "VERIFIED" in said.split("Verification Flag")[1].splitlines()[0]
    before = [finding.measured for finding in read_findings(draft).findings]
    assert [finding.measured for finding in read_findings(dcmread(path)).findings] == before


def test_the_judges_find_no_error_in_a_report_without_a_finding(draft, tmp_path):
    _judge(without(draft, [tracking_uid(groups_of(draft)[2])], JUDGEMENT), tmp_path, 2)


def test_a_rejection_note_points_at_the_report_and_says_why(draft, tmp_path):
    note = rejection_note(draft, JUDGEMENT)
    path = judges.write(note, tmp_path / "note.dcm")
    assert judges.dciodvfy_errors(path) == []
    assert judges.dsrdump_complaints(path) == []
    said = judges.dsrdump_text(path)
    assert "Rejected for Quality Reasons" in said
    read = highdicom.ko.KeyObjectSelectionDocument.from_dataset(dcmread(path))
    (reference,) = walk.referenced(walk.of_type(read, "COMPOSITE"))
    assert reference.ReferencedSOPInstanceUID == draft.SOPInstanceUID
    (why,) = walk.named(read, codes.KEY_OBJECT_DESCRIPTION)
    assert why.TextValue == (
        "AI report rejected by Jane Doe (St Elsewhere) on 2024-01-04 09:30 UTC. Reason: Read beside"
        " the PET."
    )
    (modifier,) = walk.named(read, codes.DOCUMENT_TITLE_MODIFIER)
    assert codes.same(walk.code_in(modifier, "ConceptCodeSequence"), codes.OTHER_FAILURE)


@pytest.mark.parametrize("keyword", [
    "PatientID", "StudyInstanceUID", "CurrentRequestedProcedureEvidenceSequence",
    "ContentSequence", "ConceptNameCodeSequence",
])  # fmt: skip
def test_a_broken_rejection_note_is_held_back(draft, keyword):
    note = rejection_note(draft, JUDGEMENT)
    assert list(note_problems(note, draft)) == []
    del note[keyword]
    assert list(note_problems(note, draft))
