"""A person verifies or rejects: the documents that reach the destinations, and what stands."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    KeyObjectSelectionDocumentStorage,
    SegmentationStorage,
)
from typer.testing import CliRunner

from engine import codes
from engine.report import walk
from engine.report.read import read_findings
from pacsnode.access import ROLES, Person
from pacsnode.acting import Actions, CannotAct
from pacsnode.cli import app
from pacsnode.jobs.desk import Backoff
from pacsnode.settings import Settings
from tests.makers import make_ct, make_pet, make_seg
from tests.peers import Receiver
from tests.story.small import (
    HOT,
    SLICES,
    Site,
    SmallStudy,
    predecessors,
    reports_at,
    settings_for,
    site,
    small_study,
)

pytestmark = [pytest.mark.slow, pytest.mark.wire]

QUICK = Backoff(first_s=0.1, cap_s=0.3)
JANE = Person("Doe^Jane", ROLES, "password")
TAKEN = (Comprehensive3DSRStorage, SegmentationStorage, KeyObjectSelectionDocumentStorage)
OUT_OF_RESOURCES = 0xA700


def _two_lesions(name: str) -> SmallStudy:
    values = np.full((SLICES, 16, 16), 1000.0)
    masks = {}
    for number, hot in enumerate((HOT, (slice(2, 4), slice(10, 13), slice(10, 13)))):
        values[hot] = 20000.0
        masks[f"Lesion {number}"] = np.zeros(values.shape, bool)
        masks[f"Lesion {number}"][hot] = True
    pet = make_pet(values, study=name, frame_of_reference=name)
    ct = make_ct(np.zeros(values.shape), study=name, frame_of_reference=name)
    return SmallStudy(pet, ct, make_seg(masks, pet, series=f"seg {name}"))


def _settings(home: Path, receiver: Receiver, mode: str = "send") -> Settings:
    settings = settings_for(
        home, receiver, quiet_s=0.3, report={"verifying_organization": "St Elsewhere"}
    )
    (there,) = settings.destinations
    return settings.model_copy(update={"destinations": (there.model_copy(update={"mode": mode}),)})


def _actions(here: Site) -> Actions:
    return Actions(here.archive, here.settings)


def _standing(here: Site, study: SmallStudy) -> str:
    return str(here.lines(study)[-1].facts["sr"])


def _notes(receiver: Receiver) -> list[Dataset]:
    return [
        dcmread(BytesIO(one.encoded), force=True)
        for one in receiver.arrived
        if one.sop_class_uid == KeyObjectSelectionDocumentStorage
    ]


def test_a_report_is_verified_once_and_a_revision_names_the_verified_one(tmp_path: Path) -> None:
    study = small_study("verified")
    with Receiver(sop_class_uids=TAKEN) as receiver:
        with site(_settings(tmp_path, receiver), backoff=QUICK) as here:
            here.send([*study.pet[:-1], *study.ct, study.seg])
            here.work_until(lambda: here.state(study) == "delivered", what="the draft")
            draft = _standing(here, study)
            with pytest.raises(CannotAct, match="reason"):
                _actions(here).verify(draft, JANE, "")
            _actions(here).verify(draft, JANE, "Read beside the PET.")
            here.work_until(lambda: len(reports_at(receiver)) == 2, what="the verified report")
            here.work_until(lambda: here.state(study) == "delivered", what="its delivery")
            new = _standing(here, study)
            with pytest.raises(CannotAct, match="verified already"):
                _actions(here).verify(new, JANE, "Once more.")
            with pytest.raises(CannotAct, match="taken the place"):
                _actions(here).reject(draft, JANE, "Too late.")
            found = reports_at(receiver)
            assert (found[new].VerificationFlag, predecessors(found[new])) == ("VERIFIED", [draft])
            (observer,) = found[new].VerifyingObserverSequence
            assert observer.VerifyingOrganization == "St Elsewhere"
            _actions(here).requeue(study.study_uid, JANE)
            here.work_until(lambda: here.state(study) == "delivered", what="the second look")
            assert _standing(here, study) == new  # the same inputs: what was verified stands
            here.send(study.pet[-1:])
            here.work_until(lambda: len(reports_at(receiver)) == 3, what="the revision")
            here.work_until(lambda: here.state(study) == "delivered", what="its delivery")
        last = reports_at(receiver)[_standing_of(receiver, {draft, new})]
    assert predecessors(last) == [new]
    assert last.VerificationFlag == "UNVERIFIED"
    assert len(receiver.arrived) == 3


def _standing_of(receiver: Receiver, but: set[str]) -> str:
    (left,) = set(reports_at(receiver)) - but
    return left


def test_what_is_held_goes_out_once_it_is_verified_and_the_draft_never(tmp_path: Path) -> None:
    study = _two_lesions("reviewed")
    with Receiver(sop_class_uids=TAKEN) as receiver:
        with site(_settings(tmp_path, receiver, "review"), backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: _is_held(here, study), what="the draft")
            draft = _standing(here, study)
            with pytest.raises(CannotAct, match="no finding"):
                _actions(here).reject(draft, JANE, "No lesion.", ["9"])
            with pytest.raises(CannotAct, match="as a whole"):
                _actions(here).reject(draft, JANE, "No lesion.", ["1", "Lesion 2"])
            _actions(here).reject(draft, JANE, "Bowel.", ["Lesion 2"])
            here.work_until(
                lambda: _is_held(here, study) and _standing(here, study) != draft,
                what="the rest of it",
            )
            rest = _standing(here, study)
            here.work_for(0.5)
            assert receiver.arrived == []
            _actions(here).verify(rest, JANE, "Agreed.")
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
            verified = _standing(here, study)
        with site(_settings(tmp_path, receiver), backoff=QUICK) as here:
            here.work_for(0.8)
    (sent,) = reports_at(receiver).values()
    assert (sent.SOPInstanceUID, predecessors(sent)) == (verified, [rest])
    said = read_findings(sent)
    assert [one.tracking_identifier for one in said.findings] == ["Lesion 1"]
    assert said.comments[0].startswith("AI draft verified by Jane Doe (St Elsewhere) on ")
    assert "Lesion 2 (segment 2). Reason: Bowel." in said.comments[1]


def _is_held(here: Site, study: SmallStudy) -> bool:
    return [line.code for line in here.lines(study)][-1:] == ["delivery-held"]


def test_a_rejected_report_is_followed_by_a_note_where_it_may_have_gone(tmp_path: Path) -> None:
    study = small_study("rejected")
    with (
        Receiver(sop_class_uids=TAKEN, ae_title="HAS") as has,
        Receiver(sop_class_uids=TAKEN, ae_title="HOLDS") as holds,
    ):
        settings = settings_for(tmp_path, has, holds, quiet_s=0.3)
        first, second = settings.destinations
        reviewed = second.model_copy(update={"mode": "review"})
        settings = settings.model_copy(update={"destinations": (first, reviewed)})
        with site(settings, backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: len(_ends(here, study)) == 2, what="both ends")
            sr = _standing(here, study)
            _actions(here).reject(sr, JANE, "Another patient's contour.")
            here.work_until(lambda: _notes(has), what="the note")
            here.work_for(0.7)
            assert here.state(study) == "rejected"
            for late in (_actions(here).verify, _actions(here).reject):
                with pytest.raises(CannotAct, match="rejected already"):
                    late(sr, JANE, "Late.")
            with pytest.raises(CannotAct, match="No report of this mask is held"):
                _actions(here).accept(study.study_uid, study.mask_uid, JANE, "Late.")
            _actions(here).requeue(study.study_uid, JANE)
            here.work_until(lambda: here.state(study) == "rejected", what="the second look")
        with site(settings, backoff=QUICK) as here:
            here.work_for(0.8)
            assert here.state(study) == "rejected"
    (note,) = _notes(has)
    assert note.StudyInstanceUID == study.study_uid
    (pointed,) = walk.referenced(walk.of_type(note, "COMPOSITE"))
    assert pointed.ReferencedSOPInstanceUID == sr
    (why,) = walk.named(note, codes.KEY_OBJECT_DESCRIPTION)
    assert why.TextValue.endswith("Reason: Another patient's contour.")
    assert holds.arrived == []
    assert len(has.arrived) == 2
    drawn = CliRunner().invoke(app, ["pdf", study.study_uid, "--home", str(tmp_path)])
    assert (drawn.exit_code, drawn.stdout) == (1, "")
    assert f"A person rejected the report {sr}: it is not drawn." in drawn.stderr


def _ends(here: Site, study: SmallStudy) -> set[str]:
    return {line.code for line in here.lines(study)} & {"delivered-to", "delivery-held"}


def test_a_report_rejected_while_its_destination_is_busy_is_not_sent_again(tmp_path: Path) -> None:
    study = small_study("rejected early")
    answers = [OUT_OF_RESOURCES]
    with (
        Receiver(sop_class_uids=TAKEN, answer=lambda one: answers[-1]) as receiver,
        site(_settings(tmp_path, receiver), backoff=QUICK) as here,
    ):
        here.send(study.everything)
        here.work_until(lambda: "delivery-postponed" in _codes(here, study), what="a try")
        sr = _standing(here, study)
        _actions(here).reject(sr, JANE, "Wrong.")
        here.work_until(lambda: "delivery-stopped" in _codes(here, study), what="its end")
        tried = _tries(receiver, sr)
        answers.append(0x0000)
        # a try may have reached it and its answer not us: so the note is sent
        here.work_until(lambda: _codes(here, study)[-1] == "delivered", what="the note")
        assert here.state(study) == "rejected"
        assert len({str(note.SOPInstanceUID) for note in _notes(receiver)}) == 1
        assert _tries(receiver, sr) == tried


def _codes(here: Site, study: SmallStudy) -> list[str]:
    return [line.code for line in here.lines(study)]


def _tries(receiver: Receiver, sr: str) -> int:
    return sum(one.sop_instance_uid == sr for one in receiver.arrived)


def test_what_is_no_report_of_ours_is_not_judged(tmp_path: Path) -> None:
    study = small_study("foreign")
    with site(settings_for(tmp_path, quiet_s=0.3), backoff=QUICK) as here:
        here.send(study.everything)
        here.work_until(lambda: here.state(study) == "reported", what="the report")
        with pytest.raises(CannotAct, match="holds no report"):
            _actions(here).verify("1.2.3", JANE, "x")
        with pytest.raises(CannotAct, match="no lesion report"):
            _actions(here).verify(study.mask_uid, JANE, "x")
