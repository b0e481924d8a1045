"""From C-STORE to a report at its destination: made once, revised, superseded, refused, ignored."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless
from typer.testing import CliRunner

from engine.errors import ModelFault
from engine.finding import Description, ModelIdentity
from engine.lesion import Lesion
from engine.volume import Scan
from pacsnode.cli import app
from pacsnode.jobs import desk
from pacsnode.jobs.desk import Backoff
from tests.makers import make_pet, make_seg
from tests.peers import Receiver
from tests.story.small import (
    HOT,
    HOT_BQ_ML,
    SmallStudy,
    predecessors,
    reports_at,
    settings_for,
    site,
    small_study,
)

pytestmark = [pytest.mark.slow, pytest.mark.wire]

QUICK = Backoff(first_s=0.1, cap_s=0.3)


def test_a_study_becomes_one_report_and_stays_one(tmp_path: Path) -> None:
    study = small_study("once")
    with Receiver() as receiver, site(settings_for(tmp_path, receiver), backoff=QUICK) as here:
        here.send(study.everything)
        here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
        (report,) = reports_at(receiver).values()
        assert report.StudyInstanceUID == study.study_uid
        assert f"{_suv(HOT_BQ_ML):.1f}" in str(report)
        codes = [line.code for line in here.lines(study)]
        assert codes[-4:] == ["running", "reported", "delivered-to", "delivered"]

        here.send(study.everything)
        kept = [dcmread(one.path) for one in here.archive.reports_of(study.mask_uid)]
        here.send(kept)  # our own report comes back from the PACS
        here.work_for(2.5)
        assert len(reports_at(receiver)) == 1
        assert [line.code for line in here.lines(study)] == codes


def test_a_late_slice_makes_a_revision_that_names_its_predecessor(tmp_path: Path) -> None:
    study = small_study("late")
    with Receiver() as receiver, site(settings_for(tmp_path, receiver), backoff=QUICK) as here:
        here.send([*study.pet[:-1], *study.ct, study.seg])
        here.work_until(lambda: here.state(study) == "delivered", what="the first report")
        (first,) = reports_at(receiver)
        here.send(study.pet[-1:])
        here.work_until(lambda: len(reports_at(receiver)) == 2, what="the revision")
        (revision,) = (one for uid, one in reports_at(receiver).items() if uid != first)
        assert predecessors(revision) == [first]
        here.work_until(lambda: here.state(study) == "delivered", what="its delivery")
        here.send(study.ct[:1])  # nothing new
        here.work_for(2)
        assert len(reports_at(receiver)) == 2


def test_after_a_restart_a_late_slice_in_another_study_makes_a_revision(tmp_path: Path) -> None:
    study = small_study("apart", StudyInstanceUID="2.25.7654321")
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=QUICK) as here:
            here.send([*study.pet[:-1], *study.ct, study.seg])
            here.work_until(lambda: here.state(study) == "delivered", what="the first report")
            here.work_for(3)  # past the bookmark: nothing is looked at again for its own sake
            (first,) = reports_at(receiver)
        with site(settings, backoff=QUICK) as here:
            here.work_for(1)
            here.send(study.pet[-1:])
            here.work_until(lambda: len(reports_at(receiver)) == 2, what="the revision")
        (revision,) = (one for uid, one in reports_at(receiver).items() if uid != first)
        assert predecessors(revision) == [first]


def test_a_late_slice_that_waits_for_quiet_is_not_forgotten_by_a_restart(tmp_path: Path) -> None:
    study = small_study("late and waiting")
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=QUICK) as here:
            here.send([*study.pet[:-1], *study.ct, study.seg])
            here.work_until(lambda: here.state(study) == "delivered", what="the first report")
            (first,) = reports_at(receiver)
        patient = settings_for(tmp_path, receiver, quiet_s=3600)
        with site(patient, backoff=QUICK) as here:
            here.send(study.pet[-1:])
            here.work_for(4)  # past the bookmark, looked at, and still waiting
            assert here.state(study) == "delivered"
        with site(settings, backoff=QUICK) as here:
            here.work_until(lambda: len(reports_at(receiver)) == 2, what="the revision")
        (revision,) = (one for uid, one in reports_at(receiver).items() if uid != first)
        assert predecessors(revision) == [first]


def test_a_later_version_of_a_mask_supersedes_the_earlier_one(tmp_path: Path) -> None:
    study = small_study("versions", ContentTime="110000")
    saved_again = make_seg(
        {"Lesion": _lesion(study.pet)}, study.pet, series="seg versions",
        ContentTime="113000", SOPInstanceUID="2.25.77", SeriesInstanceUID="2.25.78",
    )  # fmt: skip
    with Receiver() as receiver, site(settings_for(tmp_path, receiver), backoff=QUICK) as here:
        here.send(study.everything)
        here.work_until(lambda: here.state(study) == "delivered", what="the first report")
        (first,) = reports_at(receiver)
        here.send([saved_again])
        here.work_until(lambda: len(reports_at(receiver)) == 2, what="the second report")
        (second,) = (one for uid, one in reports_at(receiver).items() if uid != first)
        assert predecessors(second) == [first]
        here.work_until(lambda: here.state(study) == "superseded", what="the first to step back")


def test_two_versions_that_come_together_make_one_report(tmp_path: Path) -> None:
    study = small_study("together", ContentTime="110000")
    saved_again = make_seg(
        {"Lesion": _lesion(study.pet)}, study.pet, series="seg together",
        ContentTime="113000", SOPInstanceUID="2.25.87", SeriesInstanceUID="2.25.88",
    )  # fmt: skip
    with Receiver() as receiver, site(settings_for(tmp_path, receiver), backoff=QUICK) as here:
        here.send([*study.everything, saved_again])
        here.work_until(lambda: here.state(study) == "superseded", what="the first to step back")
        here.work_until(lambda: reports_at(receiver), what="the report")
        here.work_for(1)
        (report,) = reports_at(receiver).values()
        assert predecessors(report) == []


def test_what_makes_the_choice_ambiguous_after_a_report_hides_no_report(tmp_path: Path) -> None:
    study = small_study("two of them", ReferencedSeriesSequence=None, SourceImageSequence=None)
    for frame in study.seg.PerFrameFunctionalGroupsSequence:
        del frame.DerivationImageSequence
    second = make_pet(
        np.full((len(study.pet), 16, 16), 1000.0),
        study="two of them", series="second", frame_of_reference="two of them",
    )  # fmt: skip
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: here.state(study) == "delivered", what="the report")
            here.send(second)
            here.work_until(lambda: "now" in here.lines(study)[-1].facts, what="the second look")
            here.send(second[:1])
            here.work_for(1.5)  # nothing new is said
            *_, delivered, last = here.lines(study)
            status = json.loads(CliRunner().invoke(
                app, ["status", "--home", str(tmp_path), "--json"]).stdout)  # fmt: skip
    assert (last.state, last.code, last.facts["now"]) == ("delivered", "delivered", "ambiguous-pet")
    assert last.reasons[: len(delivered.reasons)] == delivered.reasons
    assert any("would be refused (ambiguous-pet)" in reason for reason in last.reasons)
    assert any("2 PETs fit equally well" in reason for reason in last.reasons)
    assert "now" not in delivered.facts
    assert status["masks"] == {"delivered": 1}
    assert [one["mask_instance_uid"] for one in status["attention"]] == [study.mask_uid]
    assert len(receiver.arrived) == 1


@pytest.mark.parametrize("comes", ["afterwards", "together, and the process ends"])
def test_a_later_version_that_cannot_be_reported_leaves_the_earlier_one_standing(
    comes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = small_study("emptied", ContentTime="110000")
    emptied = replace(study, seg=_emptied(study, "emptied"))
    if comes == "together, and the process ends":  # before it could look at the study again
        monkeypatch.setattr(desk, "SimpleQueue", _Forgetful)
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=QUICK) as here:
            if comes == "afterwards":
                here.send(study.everything)
                here.work_until(lambda: here.state(study) == "delivered", what="the report")
            here.send([*study.everything, emptied.seg])
            here.work_until(lambda: here.state(emptied) == "refused", what="the refusal")
            assert here.lines(emptied)[-1].code == "empty-segment"
            if comes == "afterwards":
                here.work_until(lambda: here.state(study) == "delivered", what="the earlier one")
            else:
                assert here.state(study) == "superseded"
        monkeypatch.undo()
        with site(settings, backoff=QUICK) as here:
            here.work_until(lambda: here.state(study) == "delivered", what="the earlier one")
            lines = here.lines(study), here.lines(emptied)
            here.work_for(1)
            assert (here.lines(study), here.lines(emptied)) == lines
    assert len(receiver.arrived) == 1


class _Forgetful(SimpleQueue[str]):
    def put(self, item: str, block: bool = True, timeout: float | None = None) -> None:
        """Nothing is remembered."""


def _emptied(study: SmallStudy, name: str) -> Dataset:
    saved = make_seg(
        {"Lesion": _lesion(study.pet)}, study.pet, series=f"seg {name}",
        ContentTime="113000", SOPInstanceUID="2.25.97", SeriesInstanceUID="2.25.98",
    )  # fmt: skip
    saved.PixelData = bytes(len(saved.PixelData))
    return saved


def test_a_case_that_cannot_be_read_is_refused_and_the_next_one_is_done(tmp_path: Path) -> None:
    broken, sound = small_study("broken"), small_study("sound")
    for image in broken.pet:
        _damage(image)
    with Receiver() as receiver, site(settings_for(tmp_path, receiver), backoff=QUICK) as here:
        here.send(broken.pet, "--propose-j2k-lossless")
        here.send([*broken.ct, broken.seg])
        here.send(sound.everything)
        here.work_until(lambda: here.state(sound) == "delivered", what="the sound study")
        here.work_until(lambda: here.state(broken) == "refused", what="the refusal")
        (last,) = here.lines(broken)[-1:]
        assert last.code == "undecodable"
        assert last.reasons[0]
        assert set(reports_at(receiver)) == set(reports_at(receiver, sound.study_uid))


def test_a_pet_that_comes_in_another_study_after_the_mask_was_refused(tmp_path: Path) -> None:
    study = small_study("images", StudyInstanceUID="2.25.1234567")
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=QUICK) as here:
            here.send([study.seg])
            here.work_until(lambda: here.state(study) == "refused", what="the refusal")
            assert here.lines(study)[-1].code == "no-pet"
            here.send([*study.pet, *study.ct])
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
    assert len(reports_at(receiver)) == 1


def test_new_settings_and_a_lost_bookmark_report_no_study_again(tmp_path: Path) -> None:
    study = small_study("settled")
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
            here.work_until((tmp_path / "worker.json").exists, what="the bookmark")
            lines = here.lines(study)
        (tmp_path / "worker.json").unlink()
        look = settings.report.model_copy(update={"series_description": "Another title"})
        with site(settings.model_copy(update={"report": look}), backoff=QUICK) as here:
            here.work_for(2)
            assert here.lines(study) == lines
    assert len(receiver.arrived) == 1


class Faulty:
    """A describer whose model fails so many times before it works."""

    identity = ModelIdentity(name="faulty", version="1")

    def __init__(self, faults: int) -> None:
        self.faults = faults

    def describe(self, scan: Scan, lesions: Sequence[Lesion]) -> Sequence[Description]:
        if self.faults > 0:
            self.faults -= 1
            raise ModelFault("The model ran out of memory")
        return [Description("A lesion.") for _ in lesions]


@pytest.mark.parametrize(("faults", "end"), [(2, "delivered"), (9, "failed")])
def test_a_faulty_model_is_tried_again_and_then_given_up(
    tmp_path: Path, faults: int, end: str
) -> None:
    study = small_study("faulty")
    settings = settings_for(tmp_path, quiet_s=0.3)
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=QUICK, describer=Faulty(faults)) as here:
            here.send(study.everything)
            here.work_until(lambda: here.state(study) == end, what=end)
            assert len(reports_at(receiver)) == (1 if end == "delivered" else 0)
            assert any(
                "out of memory" in line.reasons[0]
                for line in here.lines(study)[2:-1]
                if line.reasons
            )


def _suv(bq_ml: float) -> float:
    """SUVbw of the made PET: 70 kg, 368.08 MBq at 09:00, half-life 6586.2 s, scan at 10:00."""
    decayed: float = 368080000 * 0.5 ** (3600 / 6586.2)
    return bq_ml * 70000 / decayed


def _lesion(pet: Sequence[Dataset]) -> npt.NDArray[np.bool_]:
    lesion = np.zeros((len(pet), pet[0].Rows, pet[0].Columns), bool)
    lesion[HOT] = True
    return lesion


def _damage(image: Dataset) -> None:
    """Claim JPEG 2000, and hold no codestream."""
    image.file_meta.TransferSyntaxUID = JPEG2000Lossless
    image.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(60)])
    image["PixelData"].VR = "OB"
    image["PixelData"].is_undefined_length = True
