"""What goes wrong around the jobs: damage, hanging, records that could not be written, age."""

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from engine.describing.template import Template
from engine.finding import Description
from engine.lesion import Lesion
from engine.volume import Scan
from pacsnode.errors import NodeError, Unavailable
from pacsnode.jobs import journal, making
from pacsnode.jobs.desk import Backoff, Desk
from pacsnode.jobs.orders import ReportOrder
from pacsnode.jobs.reviving import Reviver
from pacsnode.node import Node
from pacsnode.worker import deciding, running
from storage.errors import IndexFault, StorageFull
from storage.records import Instance, Series
from tests.peers import Receiver, free_port
from tests.story.small import settings_for, site, small_study

pytestmark = [pytest.mark.slow, pytest.mark.wire]

QUICK = Backoff(first_s=0.1, cap_s=0.3)
A_MONTH_AND_MORE_MS = 31 * 86400 * 1000


def change_jobs(home: Path, statement: str, *values: object) -> int:
    """Change rows of the job file while no worker has it; gives how many."""
    database = sqlite3.connect(home / "jobs.sqlite")
    try:
        with database:
            return database.execute(statement, values).rowcount
    finally:
        database.close()


def test_a_damaged_job_file_is_named_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"no database at all" * 100)
    with (
        pytest.raises(NodeError, match=r"jobs\.sqlite.*Move it"),
        running.working(settings_for(tmp_path)),
    ):
        pass
    (tmp_path / "jobs.sqlite").unlink()
    with running.working(settings_for(tmp_path)) as worker:
        worker.turn()


def test_one_home_has_one_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PREDECESSOR_ENDS_WITHIN_S", 0.2)
    settings = settings_for(tmp_path)
    with (
        running.working(settings),
        pytest.raises(NodeError, match="Another worker"),
        running.working(settings),
    ):
        pass


def test_a_port_that_is_taken_is_said_and_starts_no_worker(tmp_path: Path) -> None:
    with Receiver() as taken:
        settings = settings_for(tmp_path)
        listen = settings.listen.model_copy(update={"port": taken.port})
        node = Node(settings.model_copy(update={"listen": listen}))
        with pytest.raises(Unavailable):
            node.start()
        assert node.worker_pid is None
        node.stop()


class Hanging(Template):
    """A describer that does not come back until it is let go."""

    def __init__(self, let_go: threading.Event) -> None:
        self._let_go = let_go

    def describe(self, scan: Scan, lesions: Sequence[Lesion]) -> Sequence[Description]:
        self._let_go.wait(30)
        return super().describe(scan, lesions)


def test_a_case_that_hangs_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(
        making, "end_hung_process", let_go.set
    )  # in place of the end of this process
    study = small_study("hanging")
    settings = settings_for(tmp_path, quiet_s=0.3)
    with site(settings, describer=Hanging(let_go), deadline_s=1.0) as here:
        here.send(study.everything)
        here.work_until(let_go.is_set, what="the deadline")
        here.work_until(lambda: here.state(study) == "reported", what="the end of the case")


def failing(times: int, really: Callable[..., None]) -> Callable[..., None]:
    """A function that finds no space so many times, then works."""
    left = [times]

    def write(*args: Any, **kwargs: Any) -> None:
        if left[0] > 0:
            left[0] -= 1
            raise StorageFull("No space left")
        really(*args, **kwargs)

    return write


def test_a_journal_without_space_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "write_reported", failing(2, journal.write_reported))
    study = small_study("full")
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
    assert len(receiver.arrived) == 1


@pytest.mark.parametrize("name", ["report", "deliver"])
def test_a_job_that_ended_in_an_error_is_tried_again(tmp_path: Path, name: str) -> None:
    study = small_study(f"error {name}")
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        (there,) = settings.destinations
        closed = there.model_copy(update={"port": free_port()})
        with site(settings.model_copy(update={"destinations": (closed,)}), backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(
                lambda: any(line.code == "delivery-postponed" for line in here.lines(study)),
                what="a first try",
            )
        changed = change_jobs(
            tmp_path,
            "UPDATE workflow_status SET status = 'ERROR' WHERE workflow_uuid IN "
            "(SELECT workflow_uuid FROM workflow_status WHERE name = ? "
            "ORDER BY created_at DESC LIMIT 1)",
            name,
        )
        assert changed == 1
        with site(settings, backoff=QUICK) as here:
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
            here.work_for(1.5)
            assert here.state(study) == "delivered"
    assert len({one.sop_instance_uid for one in receiver.arrived}) == 1
    left = "UPDATE workflow_status SET status = status WHERE status <> 'SUCCESS'"
    assert change_jobs(tmp_path, left) == 0  # nothing to revive at each start from now on


def test_an_order_that_newer_inputs_overtook_in_the_queue_is_dropped(tmp_path: Path) -> None:
    let_go = threading.Event()
    ahead, study = small_study("ahead"), small_study("overtaken")
    settings = settings_for(tmp_path, quiet_s=0.3)
    with site(settings, describer=Hanging(let_go), backoff=QUICK) as here:
        here.send(ahead.everything)
        here.work_until(lambda: here.state(ahead) == "running", what="what holds up the queue")
        here.send([*study.pet[:-1], *study.ct, study.seg])
        here.work_until(lambda: here.state(study) == "ready", what="the first order")
        here.send(study.pet[-1:])
        here.work_until(
            lambda: [line.code for line in here.lines(study)].count("ready") == 2,
            what="the second",
        )
        let_go.set()
        here.work_until(lambda: here.state(study) == "reported", what="the report")
        here.work_for(1)
        codes = [line.code for line in here.lines(study)]
        assert [code for code in codes if code != "waiting"] == [
            "ready", "ready", "running", "reported",
        ]  # fmt: skip
        assert len(here.archive.reports_of(study.mask_uid)) == 1


def test_jobs_done_long_ago_are_forgotten_and_not_done_again(tmp_path: Path) -> None:
    study = small_study("forgotten")
    with Receiver() as receiver:
        settings = settings_for(tmp_path, receiver, quiet_s=0.3)
        with site(settings, backoff=QUICK) as here:
            here.send(study.everything)
            here.work_until(lambda: here.state(study) == "delivered", what="the delivery")
        ago = int(time.time() * 1000) - A_MONTH_AND_MORE_MS
        assert change_jobs(tmp_path, "UPDATE workflow_status SET completed_at = ?", ago) == 2
        with site(settings, backoff=QUICK) as here:
            here.send(study.everything)
            here.work_for(2)
            lines = here.lines(study)
        assert change_jobs(tmp_path, "DELETE FROM workflow_status") == 0
    assert len(receiver.arrived) == 1
    assert lines[-1].state == "delivered"


def test_a_job_whose_record_could_not_be_written_calls_for_a_new_process(tmp_path: Path) -> None:
    let_go = threading.Event()
    study = small_study("stuck")
    settings = settings_for(tmp_path, quiet_s=0.3)
    with site(settings, describer=Hanging(let_go)) as here:
        here.send(study.everything)
        here.work_until(lambda: here.state(study) == "running", what="the start of the case")
        assert not Reviver(Desk(here.archive, settings, Template(), deadline_s=60)).stuck()
        assert Reviver(Desk(here.archive, settings, Template(), deadline_s=0)).stuck()
        let_go.set()
        impatient = Reviver(Desk(here.archive, settings, Template(), deadline_s=0))
        here.work_until(lambda: not impatient.stuck(), what="the end of the case")


def test_a_defect_in_one_study_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd, sound = small_study("odd"), small_study("even")
    really = running.decide

    def decide(study: str, *rest: Any) -> Any:  # no input is known that breaks it
        if study == odd.study_uid:
            raise ZeroDivisionError("Phantom^Made")
        return really(study, *rest)

    monkeypatch.setattr(running, "decide", decide)
    with site(settings_for(tmp_path, quiet_s=0.3), backoff=QUICK) as here:
        here.send([*odd.everything, *sound.everything])
        here.work_until(lambda: here.state(sound) == "reported", what="the sound study")
        (line,) = here.archive.decisions(odd.study_uid)
    assert (line.state, line.code, line.mask_instance_uid) == ("failed", "defect", None)
    assert "ZeroDivisionError" in line.reasons[0]
    assert "Phantom" not in line.reasons[0]


def test_an_order_that_the_job_file_cannot_take_is_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = deciding.start_report
    full = [OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))]

    def start_report(order: ReportOrder) -> None:
        if full:
            raise full.pop()
        really(order)

    monkeypatch.setattr(deciding, "start_report", start_report)
    study = small_study("no room for jobs")
    with site(settings_for(tmp_path, quiet_s=0.3), backoff=QUICK) as here:
        here.send(study.everything)
        here.work_until(lambda: here.state(study) == "reported", what="the report")
        of_study = [line for line in here.archive.decisions(study.study_uid)
                    if line.mask_instance_uid is None]  # fmt: skip
    assert [line.code for line in of_study] == ["defect"]


def test_a_study_whose_rows_cannot_be_read_is_put_off_and_the_others_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ill, sound = small_study("ill"), small_study("sound beside it")
    with site(settings_for(tmp_path, quiet_s=0.3), backoff=QUICK) as here:
        really = here.archive.candidates
        looks: list[float] = []
        mended = threading.Event()

        def candidates(mask: Instance) -> tuple[Series, ...]:
            if mask.sop_instance_uid == ill.mask_uid:
                looks.append(time.monotonic())
                if not mended.is_set():
                    raise IndexFault("The index cannot be used")
            return really(mask)

        monkeypatch.setattr(type(here.archive), "candidates", lambda _, mask: candidates(mask))
        here.send(ill.everything)
        here.work_until(lambda: looks, what="the first look")
        here.send(sound.everything)
        here.work_until(lambda: here.state(sound) == "reported", what="the sound study")
        here.work_until(lambda: len(looks) > 5, what="further looks")
        assert here.state(ill) is None
        mended.set()
        here.work_until(lambda: here.state(ill) == "reported", what="the other, once it can be")
        gaps_s = [later - earlier for earlier, later in pairwise(looks[2:6])]
    assert min(gaps_s) >= QUICK.cap_s / 2  # not asked at every turn
