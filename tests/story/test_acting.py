"""What persons ask for, from the line in the journal to what reaches the destinations."""

import json
import threading
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from time import sleep

import pytest
from typer.testing import CliRunner

from engine.describing.template import Template
from engine.finding import Description, Unable
from engine.lesion import Lesion
from engine.volume import Scan
from pacsnode.access import ROLES, Person
from pacsnode.acting import Actions, CannotAct
from pacsnode.cli import app
from pacsnode.jobs.bookmark import BOOKMARK, Bookmark
from pacsnode.jobs.desk import Backoff
from pacsnode.settings import RoleRule, Settings
from pacsnode.showing.studies import study_shown
from pacsnode.worker import deciding
from storage.archive import Archive
from storage.archive.door import INDEX_FILE
from tests.peers import Receiver
from tests.story.small import (
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
SLOW = Backoff(first_s=600, cap_s=900)
JANE = Person("Doe^Jane", ROLES, "password")
DOES_NOT_MATCH_CLASS = 0xA900
OUT_OF_RESOURCES = 0xA700


def _actions(here: Site) -> Actions:
    return Actions(here.archive, here.settings)


def _codes(here: Site, study: SmallStudy) -> list[str]:
    return [line.code for line in here.lines(study)]


def test_a_retry_brings_a_parked_report_at_once_and_names_who_asked(tmp_path: Path) -> None:
    study = small_study("parked and asked")
    answers = [DOES_NOT_MATCH_CLASS]
    with Receiver(answer=lambda one: answers[-1]) as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=SLOW) as here:
            here.send(study.everything)
            here.work_until(lambda: here.state(study) == "failed", what="the refusal")
            answers.append(0x0000)
            written = _actions(here).retry(study.study_uid, study.mask_uid, JANE)
            assert written == here.lines(study)[-1]
            assert written.reasons == ("Another try asked for by Doe^Jane.",)
            assert written.facts["by"] == "Doe^Jane"
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
            with pytest.raises(CannotAct, match="nothing of it is left to deliver"):
                _actions(here).retry(study.study_uid, study.mask_uid, JANE)
    assert len(receiver.arrived) == 2
    assert len(reports_at(receiver)) == 1


def test_a_retry_does_not_wait_for_the_pause_and_a_failing_one_is_told(tmp_path: Path) -> None:
    study = small_study("paused")
    answers = [OUT_OF_RESOURCES]
    with Receiver(answer=lambda one: answers[-1]) as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=SLOW) as here:
            here.send(study.everything)
            here.work_until(lambda: "delivery-postponed" in _codes(here, study), what="a try")
            for code, tries in ((OUT_OF_RESOURCES, 2), (0x0000, 3)):
                answers.append(code)
                _actions(here).retry(study.study_uid, study.mask_uid, JANE)
                here.work_until(lambda n=tries: len(receiver.arrived) == n, what="the next")
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
    assert len(reports_at(receiver)) == 1


def test_what_is_cancelled_stays_so_until_it_is_retried(tmp_path: Path) -> None:
    study = small_study("cancelled")
    answers = [OUT_OF_RESOURCES]
    with Receiver(answer=lambda one: answers[-1]) as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: "delivery-postponed" in _codes(here, study), what="a try")
            with pytest.raises(CannotAct, match="reason"):
                _actions(here).cancel(study.study_uid, study.mask_uid, JANE, " ")
            _actions(here).cancel(study.study_uid, study.mask_uid, JANE, "Wrong patient\n drawn.")
            answers.append(0x0000)
            tried = len(receiver.arrived)
            here.send(study.pet[:1])
            here.work_for(0.8)
            assert len(receiver.arrived) == tried
            assert here.lines(study)[-1].reasons == ("Cancelled by Doe^Jane: Wrong patient drawn.",)
        with site(settings, backoff=QUICK) as here:
            here.work_for(0.8)
            assert here.state(study) == "cancelled"
            _actions(here).retry(study.study_uid, study.mask_uid, JANE)
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
    assert len(reports_at(receiver)) == 1


class Slow:
    """The template, which says nothing before it may."""

    identity = Template.identity

    def __init__(self) -> None:
        self.may_go_on = threading.Event()

    def describe(self, scan: Scan, lesions: Sequence[Lesion]) -> Sequence[Description | Unable]:
        self.may_go_on.wait(60)
        return Template().describe(scan, lesions)


def test_what_is_cancelled_while_it_is_made_is_kept_and_sent_only_when_it_is_retried(
    tmp_path: Path,
) -> None:
    study, slow = small_study("in the middle"), Slow()
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=QUICK, describer=slow) as here:
            here.send(study.everything)
            here.work_until(lambda: here.state(study) == "running", what="the job")
            with pytest.raises(CannotAct, match="being made"):
                _actions(here).retry(study.study_uid, study.mask_uid, JANE)
            _actions(here).cancel(study.study_uid, study.mask_uid, JANE, "Not this one.")
            slow.may_go_on.set()
            here.work_until(lambda: "reported" in _codes(here, study), what="its end")
            here.work_for(0.7)
            assert here.state(study) == "cancelled"
            assert receiver.arrived == []
            _actions(here).retry(study.study_uid, study.mask_uid, JANE)
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
            assert _codes(here, study).count("reported") == 1
    assert len(receiver.arrived) == 1


def test_a_mask_cancelled_before_its_report_is_made_once_it_is_retried(tmp_path: Path) -> None:
    study = small_study("early")
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=QUICK) as here:
            here.send([*study.ct, study.seg])
            here.work_until(lambda: here.state(study) is not None, what="the first look")
            _actions(here).cancel(study.study_uid, study.mask_uid, JANE, "Not yet.")
            here.send(study.pet)
            here.work_for(0.8)
            assert here.state(study) == "cancelled"
            assert here.archive.reports_of(study.mask_uid) == ()
            with pytest.raises(CannotAct, match="cancelled already"):
                _actions(here).cancel(study.study_uid, study.mask_uid, JANE, "Again.")
            _actions(here).retry(study.study_uid, study.mask_uid, JANE)
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
    assert len(reports_at(receiver)) == 1


def test_a_refused_report_is_tried_again_when_asked_for(tmp_path: Path) -> None:
    study = small_study("refused")
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: here.state(study) == "delivered", what="the report")
            first = here.lines(study)
            refused = first[-1].facts["seed"]
            # as if the engine had refused it: the journal is what the worker goes by
            line = replace(first[-1], state="refused", code="bad-day", facts={"seed": refused})
            here.archive.write_down(line)
            here.work_for(0.5)
            assert here.state(study) == "refused"
            _actions(here).retry(study.study_uid, study.mask_uid, JANE)
            here.work_until(
                lambda: (
                    _codes(here, study)[-4:].count("reported") == 1
                    or here.state(study) == "delivered"
                ),
                what="another try",
            )
            here.work_for(0.5)
    assert len(reports_at(receiver)) == 1  # the same bytes under the same UID


def test_a_requeue_reports_with_the_settings_of_today_and_once(tmp_path: Path) -> None:
    study = small_study("anew")
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: here.state(study) == "delivered", what="the first report")
            _actions(here).requeue(study.study_uid, JANE)
            here.work_until(lambda: here.state(study) == "delivered", what="the same again")
            here.work_for(0.5)
            (first,) = reports_at(receiver)
        look = settings.report.model_copy(update={"series_number": 77})
        with site(settings.model_copy(update={"report": look}), backoff=QUICK) as here:
            here.work_for(0.8)
            assert list(reports_at(receiver)) == [first]
            _actions(here).requeue(study.study_uid, JANE)
            here.work_until(lambda: len(reports_at(receiver)) == 2, what="the second report")
            here.work_until(lambda: here.state(study) == "delivered", what="its delivery")
            here.send(study.pet[:1])
            here.work_for(0.8)
    second = next(one for uid, one in reports_at(receiver).items() if uid != first)
    assert predecessors(second) == [first]
    assert second.SeriesNumber == 77
    assert len(receiver.arrived) == 2


def _read_to_the_end(here: Site) -> bool:
    """Whether a worker that starts now looks at nothing because it came."""
    bookmark = Bookmark(here.home / BOOKMARK, here.archive.root / INDEX_FILE)
    return bookmark.read() == here.archive.changed_since(0)[0]


def test_a_requeue_of_context_that_no_worker_saw_is_done_after_the_next_start(
    tmp_path: Path,
) -> None:
    study = small_study("all context")
    settings = settings_for(tmp_path, quiet_s=0.3)
    rules = (RoleRule(label="Lesion", role="context"),)
    assembly = settings.assembly.model_copy(update={"role_rules": rules})
    with site(settings.model_copy(update={"assembly": assembly}), backoff=QUICK) as here:
        here.send(study.everything)
        here.work_until(lambda: here.state(study) == "context", what="the first look")
        here.work_until(lambda: _read_to_the_end(here), what="the bookmark")
    with Archive.open(tmp_path / "archive") as archive:
        Actions(archive, settings).requeue(study.study_uid, JANE)
    with site(settings, backoff=QUICK) as here:
        here.work_until(lambda: here.state(study) == "reported", what="the report")


def test_a_cancelled_later_version_that_no_worker_saw_gives_way_after_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = small_study("earlier", ContentTime="110000")
    later = deepcopy(study.seg)
    later.SOPInstanceUID, later.SeriesInstanceUID = "2.25.97", "2.25.98"
    later.ContentTime = "113000"
    settings = settings_for(tmp_path, quiet_s=0.3)
    with site(settings, backoff=QUICK) as here:
        here.send(study.everything)
        here.work_until(lambda: here.state(study) == "reported", what="the first report")
        monkeypatch.setattr(deciding, "start_report", lambda _: None)  # it dies before it orders
        here.send([later])
        here.work_until(lambda: here.state(study) == "superseded", what="the later version")
        here.work_until(lambda: _read_to_the_end(here), what="the bookmark")
        Actions(here.archive, settings).cancel(study.study_uid, "2.25.97", JANE, "Not this one.")
    with site(settings, backoff=QUICK) as here:
        here.work_until(lambda: here.state(study) == "reported", what="the earlier version")


def test_an_action_on_what_is_not_there_says_so(tmp_path: Path) -> None:
    study = small_study("absent")
    settings = settings_for(tmp_path, quiet_s=0.3)
    with site(settings, backoff=QUICK) as here:
        with pytest.raises(CannotAct, match="holds no mask"):
            _actions(here).retry(study.study_uid, study.mask_uid, JANE)
        with pytest.raises(CannotAct, match="nothing to requeue"):
            _actions(here).requeue(study.study_uid, JANE)


def _with_mode(settings: Settings, mode: str) -> Settings:
    destinations = tuple(one.model_copy(update={"mode": mode}) for one in settings.destinations)
    return settings.model_copy(update={"destinations": destinations})


def test_a_report_for_review_is_held_until_it_is_accepted_whatever_the_mode_is_by_then(
    tmp_path: Path,
) -> None:
    study = small_study("review")
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(_with_mode(settings, "review"), backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: _codes(here, study)[-1:] == ["delivery-held"], what="the hold")
            with pytest.raises(CannotAct, match="accept it"):
                _actions(here).retry(study.study_uid, study.mask_uid, JANE)
            status = CliRunner().invoke(app, ["status", "--home", str(tmp_path), "--json"])
            (held,) = json.loads(status.stdout)["held"]
            assert held["mask_instance_uid"] == study.mask_uid
        with site(settings, backoff=QUICK) as here:  # the node goes live
            here.work_for(0.8)
            assert receiver.arrived == []
            _actions(here).accept(study.study_uid, study.mask_uid, JANE, "Looks right.")
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
            with pytest.raises(CannotAct, match="No report of this mask is held"):
                _actions(here).accept(study.study_uid, study.mask_uid, JANE, "Again.")
            here.work_for(0.5)
    assert len(receiver.arrived) == 1


def test_what_is_held_for_one_destination_is_told_last_also_where_another_is_slower(
    tmp_path: Path,
) -> None:
    study = small_study("held beside")
    with (
        Receiver(answer=lambda one: sleep(0.5) or 0x0000) as slow,
        Receiver(ae_title="REVIEWED") as reviewed,
    ):
        settings = settings_for(tmp_path, slow, reviewed, quiet_s=0.3)
        first, second = settings.destinations
        both = (first, second.model_copy(update={"mode": "review"}))
        settings = settings.model_copy(update={"destinations": both})
        with site(settings, backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: "delivered-to" in _codes(here, study), what="the slow one")
            here.work_for(0.5)
            assert _codes(here, study)[-1] == "delivery-held"
            shown = study_shown(here.archive, study.study_uid, quiet_s=0.3)
            assert shown is not None
            assert (shown.state.key, shown.masks[0].is_held) == ("held", True)
            _actions(here).accept(study.study_uid, study.mask_uid, JANE, "Looks right.")
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
            shown = study_shown(here.archive, study.study_uid, quiet_s=0.3)
            assert shown is not None
            assert not shown.masks[0].is_held
    assert len(slow.arrived) == len(reviewed.arrived) == 1


def test_what_was_made_in_the_shadow_is_never_sent_and_holds_up_no_later_report(
    tmp_path: Path,
) -> None:
    study = small_study("shadow")
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(_with_mode(settings, "shadow"), backoff=QUICK) as here:
            here.send([*study.pet[:-1], *study.ct, study.seg])
            here.work_until(lambda: "delivery-shadowed" in _codes(here, study), what="the report")
            with pytest.raises(CannotAct, match="nothing of it is left to deliver"):
                _actions(here).retry(study.study_uid, study.mask_uid, JANE)
        with site(settings, backoff=QUICK) as here:
            here.work_for(0.8)
            assert receiver.arrived == []
            here.send(study.pet[-1:])
            here.work_until(lambda: here.state(study) == "delivered", what="the revision")
    assert len(receiver.arrived) == 1


def test_a_stricter_mode_counts_for_what_waits_for_its_destination(tmp_path: Path) -> None:
    study = small_study("stricter")
    with Receiver(answer=lambda one: OUT_OF_RESOURCES) as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: "delivery-postponed" in _codes(here, study), what="a try")
        tried = len(receiver.arrived)
        with site(_with_mode(settings, "review"), backoff=QUICK) as here:
            here.work_until(lambda: _codes(here, study)[-1] == "delivery-held", what="the hold")
            here.work_for(0.8)
    assert len(receiver.arrived) == tried
