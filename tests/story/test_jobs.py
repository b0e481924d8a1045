"""Delivery as durable jobs: put off while a destination is down, parked when it refuses."""

import sqlite3
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pacsnode.jobs.desk import Backoff
from tests.makers import make_seg
from tests.peers import Arrived, Receiver, free_port
from tests.story.small import (
    HOT,
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
OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH_CLASS = 0xA900


def _codes(here: Site, study: SmallStudy) -> list[str]:
    return [line.code for line in here.lines(study)]


def test_a_destination_that_is_down_for_a_while_gets_the_report_once(tmp_path: Path) -> None:
    study = small_study("down")
    asked: list[Arrived] = []

    def busy_twice(one: Arrived) -> int:
        asked.append(one)
        return OUT_OF_RESOURCES if len(asked) <= 2 else 0x0000

    with Receiver(answer=busy_twice) as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
            here.work_for(1.5)
            assert len(asked) == 3
            assert len({one.sop_instance_uid for one in asked}) == 1
            assert _codes(here, study).count("delivery-postponed") == 1


def test_a_report_waits_through_a_restart_for_a_destination_that_does_not_answer(
    tmp_path: Path,
) -> None:
    study = small_study("closed")
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        (there,) = settings.destinations
        closed = there.model_copy(update={"port": free_port()})
        down = settings.model_copy(update={"destinations": (closed,)})
        with site(down, backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: "delivery-postponed" in _codes(here, study), what="a try")
            here.work_for(1)
        assert receiver.arrived == []
        with site(settings, backoff=QUICK) as here:
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
            here.work_for(1)
    assert len(receiver.arrived) == 1


def test_a_refusal_for_good_is_parked_at_once_and_tried_again_after_a_restart(
    tmp_path: Path,
) -> None:
    study = small_study("parked")
    answers = [DOES_NOT_MATCH_CLASS]
    with (
        Receiver(answer=lambda one: answers[-1], ae_title="FUSSY") as fussy,
        Receiver(ae_title="EASY") as easy,
    ):
        settings = settings_for(tmp_path, fussy, easy, quiet_s=0.3)
        with site(settings, backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: _settled(here, study), what="both answers")
            here.work_for(1.5)
            assert len(fussy.arrived) == 1  # not asked again
            assert len(easy.arrived) == 1
            last = here.lines(study)[-1]
            assert (last.state, last.code) == ("failed", "delivery-parked")
            assert last.facts["destination"] == "FUSSY"
            assert "To fix" in " ".join(last.reasons)
        answers.append(0x0000)
        with site(settings, backoff=QUICK) as here:
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
    assert len(fussy.arrived) == 2
    assert len(easy.arrived) == 1


def _settled(here: Site, study: SmallStudy) -> bool:
    codes = _codes(here, study)
    return "delivery-parked" in codes and "delivered-to" in codes


def test_without_a_destination_the_report_is_made_and_stays(tmp_path: Path) -> None:
    study = small_study("nowhere")
    with site(settings_for(tmp_path, quiet_s=0.3), backoff=QUICK) as here:
        here.send(study.everything)
        here.work_until(lambda: here.state(study) == "reported", what="the report")
        here.work_for(1)
        assert here.state(study) == "reported"


def test_a_lost_job_file_loses_no_report_and_repeats_none(tmp_path: Path) -> None:
    waiting, done = small_study("not yet sent"), small_study("sent")
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=QUICK) as here:
            here.send(done.everything)
            here.work_until(lambda: here.state(done) == "delivered", what="the delivery")
        (there,) = settings.destinations
        closed = there.model_copy(update={"port": free_port()})
        with site(settings.model_copy(update={"destinations": (closed,)}), backoff=QUICK) as here:
            here.send(waiting.everything)
            here.work_until(lambda: "delivery-postponed" in _codes(here, waiting), what="a try")
        for file in tmp_path.glob("jobs.sqlite*"):
            file.unlink()
        with site(settings, backoff=QUICK) as here:
            here.work_until(lambda: here.state(waiting) == "delivered", what="the delivery")
            here.work_for(1)
    assert len(receiver.arrived) == 2
    assert len(reports_at(receiver)) == 2


def test_the_job_file_holds_json_and_no_patient(tmp_path: Path) -> None:
    study = small_study("plain")
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
    database = sqlite3.connect(tmp_path / "jobs.sqlite")
    try:
        formats = set(database.execute("SELECT serialization FROM workflow_status"))
        dump = "\n".join(database.iterdump())
    finally:
        database.close()
    assert formats == {("portable_json",)}
    assert study.mask_uid in dump
    for identity in ("Phantom", "MADE-1", "19600101", "ACC-1"):
        assert identity not in dump


def test_a_revision_waits_for_the_report_that_it_replaces(tmp_path: Path) -> None:
    study = small_study("in order")
    taken: list[str] = []
    free = threading.Event()

    def busy(one: Arrived) -> int:
        if not free.is_set():
            return OUT_OF_RESOURCES
        taken.append(one.sop_instance_uid)
        return 0x0000

    with Receiver(answer=busy) as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=Backoff(first_s=6, cap_s=6)) as here:
            here.send([*study.pet[:-1], *study.ct, study.seg])
            here.work_until(lambda: "delivery-postponed" in _codes(here, study), what="a try")
            free.set()
            here.send(study.pet[-1:])
            here.work_until(lambda: len(taken) == 2, what="both")
            here.work_until(lambda: here.state(study) == "delivered", what="the end")
            revision = here.lines(study)[-1].facts["sr"]
            found = reports_at(receiver)
    assert taken == [*predecessors(found[revision]), revision]


def test_reports_that_a_lost_job_file_forgot_go_out_in_their_order(tmp_path: Path) -> None:
    study = small_study("both")
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        (there,) = settings.destinations
        closed = there.model_copy(update={"port": free_port()})
        with site(settings.model_copy(update={"destinations": (closed,)}), backoff=QUICK) as here:
            here.send([*study.pet[:-1], *study.ct, study.seg])
            here.work_until(lambda: "delivery-postponed" in _codes(here, study), what="a try")
            here.send(study.pet[-1:])
            here.work_until(lambda: len(_made(here, study)) == 2, what="the revision")
            made = _made(here, study)
            here.work_for(1)
        for file in tmp_path.glob("jobs.sqlite*"):
            file.unlink()
        with site(settings, backoff=QUICK) as here:
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
            assert here.lines(study)[-1].facts["sr"] == made[1]
    assert [one.sop_instance_uid for one in receiver.arrived] == made


def _made(here: Site, study: SmallStudy) -> list[str]:
    lines = here.lines(study)
    return list(dict.fromkeys(line.facts["sr"] for line in lines if line.code == "reported"))


def test_a_mask_that_was_superseded_stays_so_when_its_report_is_delivered(tmp_path: Path) -> None:
    study = small_study("stays", ContentTime="110000")
    lesion = np.zeros((len(study.pet), 16, 16), bool)
    lesion[HOT] = True
    later = make_seg(
        {"Lesion": lesion}, study.pet, series="seg stays", ContentTime="113000",
        SOPInstanceUID="2.25.97", SeriesInstanceUID="2.25.98",
    )  # fmt: skip
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        (there,) = settings.destinations
        closed = there.model_copy(update={"port": free_port()})
        with site(settings.model_copy(update={"destinations": (closed,)}), backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: "delivery-postponed" in _codes(here, study), what="a try")
            here.send([later])
            here.work_until(lambda: here.state(study) == "superseded", what="the step back")
        with site(settings, backoff=QUICK) as here:
            here.work_until(lambda: len(reports_at(receiver)) == 2, what="both reports")
            here.work_until(lambda: "delivered" in _codes(here, study), what="its lines")
            assert here.state(study) == "superseded"


@pytest.mark.parametrize("tries", [1, 2, 8, 500])
def test_pauses_double_up_to_their_cap(tries: int) -> None:
    pauses = [Backoff().delay_s(tries) for _ in range(200)]
    assert max(pauses) <= min(5 * 2 ** (tries - 1), 900)
    assert min(pauses) >= min(5 * 2 ** (tries - 1), 900) / 2
    assert len({round(pause, 6) for pause in pauses}) > 1  # spread


def test_a_delay_that_a_clock_stretched_is_cut_to_the_cap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = small_study("clock")
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        (there,) = settings.destinations
        closed = there.model_copy(update={"port": free_port()})
        day_ahead = time.time() + 86400
        with site(settings.model_copy(update={"destinations": (closed,)}), backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: "delivery-postponed" in _codes(here, study), what="a try")
        database = sqlite3.connect(tmp_path / "jobs.sqlite")
        with database:  # as if the clock had been a day ahead when the pause was chosen
            changed = database.execute(
                "UPDATE workflow_status SET status = 'DELAYED', delay_until_epoch_ms = ? "
                "WHERE status IN ('DELAYED', 'ENQUEUED', 'PENDING')",
                (int(day_ahead * 1000),),
            )
        database.close()
        assert changed.rowcount == 1
        with site(settings, backoff=QUICK) as here:
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
