"""Processes killed with SIGKILL at named places and at random: one report each, none lost."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from pydicom.uid import Comprehensive3DSRStorage, KeyObjectSelectionDocumentStorage

from pacsnode.access import ROLES, Person
from pacsnode.acting import Actions
from pacsnode.assembly import assess
from pacsnode.settings import Assembly, Settings
from storage.archive import Archive
from storage.records import Decision
from tests.makers import save
from tests.peers import Arrived, Receiver, free_port, storescu, wait_until
from tests.story.killed_worker import listening, worker_that_is_killed
from tests.story.serve import port_of, serving
from tests.story.small import SmallStudy, predecessors, reports_at, settings_for, small_study

pytestmark = [pytest.mark.slow, pytest.mark.wire]

POINTS = (
    "assessed", "ready-written", "report-enqueued", "running-written", "built", "seg-kept",
    "words-kept", "sr-kept", "made-recorded", "reported-written", "deliveries-enqueued", "sending",
    "sent", "sent-recorded", "sent-written",
)  # fmt: skip

MID_JOB = ("running-written", "built", "seg-kept", "sr-kept", "made-recorded")


def test_killed_at_every_named_place_each_study_gets_one_report(tmp_path: Path) -> None:
    armed = tmp_path / "armed"
    armed.mkdir()
    studies = {point: small_study(point) for point in POINTS}
    files = {p: save(study.everything, tmp_path / "files" / p) for p, study in studies.items()}
    with Receiver() as receiver:
        settings = settings_for(tmp_path / "home", receiver, quiet_s=0.2)
        with (
            listening(settings) as (archive, port),
            worker_that_is_killed(settings, armed) as ended,
        ):
            for point, study in studies.items():
                (armed / point).write_text("once\n", "ascii")
                assert storescu(port, files[point]).returncode == 0
                wait_until(lambda p=point: not (armed / p).exists(), within_s=30, what=point)
                wait_until(
                    lambda s=study: _state(archive, s) == "delivered", within_s=30, what=point
                )
            assert ended == [-signal.SIGKILL] * len(POINTS)
            _one_report_each(receiver, list(studies.values()))


def test_a_case_that_kills_the_worker_is_given_up_and_the_next_one_is_done(
    tmp_path: Path,
) -> None:
    armed = tmp_path / "armed"
    armed.mkdir()
    poison, sound = small_study("poison"), small_study("after the poison")
    with Receiver() as receiver:
        settings = settings_for(tmp_path / "home", receiver, quiet_s=0.2)
        with (
            listening(settings) as (archive, port),
            worker_that_is_killed(settings, armed) as ended,
        ):
            (armed / "built").write_text("again\n" * 4, "ascii")
            assert storescu(port, save(poison.everything, tmp_path / "poison")).returncode == 0
            wait_until(lambda: len(ended) >= 1, within_s=30, what="the first death")
            assert storescu(port, save(sound.everything, tmp_path / "sound")).returncode == 0
            wait_until(lambda: _state(archive, poison) == "failed", within_s=60, what="giving up")
            wait_until(lambda: _state(archive, sound) == "delivered", within_s=30, what="the next")
            assert _lines(archive, poison)[-1].code == "process-ended"
            assert ended == [-signal.SIGKILL] * 4
        _one_report_each(receiver, [sound])


@contextmanager
def node_that_is_killed(settings: Settings, port: int) -> Iterator[subprocess.Popen[str]]:
    """A whole node that listens; killed without mercy at the end of the block."""
    (there,) = settings.destinations
    with serving(
        settings.home, "--port", str(port), "--quiet-s", str(settings.assembly.quiet_s),
        "--destination", f"{there.ae_title}@{there.host}:{there.port}",
    ) as node:  # fmt: skip
        assert port_of(node) == port
        yield node


@pytest.mark.parametrize("half", [1, 2])
def test_a_whole_node_killed_ten_times_while_it_receives(tmp_path: Path, half: int) -> None:
    study = small_study(f"killed node {half}")
    files = save(study.everything, tmp_path / "files")
    chance = random.Random(half)
    port = free_port()
    with Receiver() as receiver:
        settings = settings_for(tmp_path / "home", receiver, quiet_s=0.5)
        for _ in range(5):
            with node_that_is_killed(settings, port):
                chance.shuffle(files)
                sender = Thread(target=storescu, args=(port, list(files)))
                sender.start()
                time.sleep(chance.uniform(0.0, 0.4))
            sender.join()
        with node_that_is_killed(settings, port):
            assert storescu(port, files).returncode == 0
            with Archive.open(settings.home / "archive", check=False) as archive:
                wait_until(
                    lambda: _is_delivered_whole(archive, study), within_s=60, what="the report"
                )
                assert archive.counts()["quarantined"] == 0
        _one_chain(receiver, study)


@pytest.mark.timeout(300)  # six starts of a node, each once the report before is out
@pytest.mark.parametrize("also_its_worker", [False, True], ids=["alone", "with its worker"])
def test_a_whole_node_killed_ten_times_in_mid_job_makes_one_report_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, also_its_worker: bool
) -> None:
    armed = tmp_path / "armed"
    armed.mkdir()
    monkeypatch.setenv("PACSNODE_TEST_FAILPOINT", str(armed))
    studies = {point: small_study(f"{point} {also_its_worker}") for point in MID_JOB}
    port = free_port()
    with Receiver() as receiver:
        settings = settings_for(tmp_path / "home", receiver, quiet_s=0.3)
        for done, (point, study) in enumerate(studies.items()):
            with node_that_is_killed(settings, port) as node:
                wait_until(
                    lambda n=done: len(reports_at(receiver)) == n,
                    within_s=60,
                    what="the one before",
                )
                (armed / point).write_text("hold\n", "ascii")
                files = save(study.everything, tmp_path / study.study_uid)
                assert storescu(port, files).returncode == 0
                wait_until(lambda p=point: _is_held(armed / p), within_s=60, what="its job")
                with Archive.open(settings.home / "archive", check=False) as archive:
                    assert _state(archive, study) == "running"
                workers = _children(node.pid) if also_its_worker else set()
                node.kill()
                for pid in workers:
                    os.kill(pid, signal.SIGKILL)
            (armed / point).unlink()
        with node_that_is_killed(settings, port):
            wait_until(lambda: len(reports_at(receiver)) == 5, within_s=60, what="every report")
            time.sleep(2.0)  # for what should not come
        _one_report_each(receiver, list(studies.values()))


def _is_held(armed: Path) -> bool:
    return armed.read_text("ascii") == "held\n"


def test_no_worker_outlives_its_listener_and_a_killed_one_comes_back(tmp_path: Path) -> None:
    studies = [small_study(f"worker {n}") for n in range(3)]
    port = free_port()
    with Receiver() as receiver:
        settings = settings_for(tmp_path / "home", receiver, quiet_s=0.2)
        with node_that_is_killed(settings, port) as node:
            killed = set()
            for study in studies:
                wait_until(lambda: _children(node.pid) - killed, within_s=30, what="a worker")
                files = save(study.everything, tmp_path / study.study_uid)
                assert storescu(port, files).returncode == 0
                for pid in _children(node.pid):
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
            wait_until(lambda: len(reports_at(receiver)) == 3, within_s=60, what="every report")
            (last,) = _children(node.pid)
        assert len(killed) == 3
        wait_until(lambda: not Path(f"/proc/{last}").exists(), within_s=20, what="its end")
        _one_report_each(receiver, studies)


def _children(pid: int) -> set[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    tasks = children.parent.parent.glob("*/children")
    return {int(child) for task in tasks for child in task.read_text("ascii").split()}


def _lines(archive: Archive, study: SmallStudy) -> tuple[Decision, ...]:
    return archive.decisions(study.study_uid, study.mask_uid)


def _state(archive: Archive, study: SmallStudy) -> str | None:
    lines = _lines(archive, study)
    return lines[-1].state if lines else None


def _is_delivered_whole(archive: Archive, study: SmallStudy) -> bool:
    """Whether the last report delivered is that of everything that is here now."""
    mask = archive.instance(study.mask_uid)
    if mask is None or _state(archive, study) != "delivered":
        return False
    now = assess(mask, archive.candidates(mask), quiet=True, rules=Assembly())
    ready = [line for line in _lines(archive, study) if line.code == "ready"]
    return bool(ready[-1].facts["inputs_sha256"] == now.inputs_sha256)


def _one_report_each(receiver: Receiver, studies: list[SmallStudy]) -> None:
    found = reports_at(receiver)  # asserts that what came twice came with the same bytes
    assert sorted(str(report.StudyInstanceUID) for report in found.values()) == sorted(
        study.study_uid for study in studies
    )


def _one_chain(receiver: Receiver, study: SmallStudy) -> None:
    """Every report of a study but the first names one before it: none contradicts another."""
    found = reports_at(receiver, study.study_uid)
    named = [uid for report in found.values() for uid in predecessors(report)]
    assert len(named) == len(set(named)) == len(found) - 1


def test_a_whole_node_killed_once_an_action_was_answered_does_it_after_a_restart(
    tmp_path: Path,
) -> None:
    study = small_study("judged before the kill")
    port = free_port()
    with Receiver() as receiver:
        settings = settings_for(tmp_path / "home", receiver, quiet_s=0.3)
        with node_that_is_killed(settings, port) as node:
            assert storescu(port, save(study.everything, tmp_path / "files")).returncode == 0
            with Archive.open(settings.home / "archive", check=False) as archive:
                wait_until(lambda: _state(archive, study) == "delivered", within_s=60, what="it")
                (worker,) = _children(node.pid)
                os.kill(worker, signal.SIGSTOP)  # answered by a worker that does nothing any more
                draft = str(_lines(archive, study)[-1].facts["sr"])
                doctor = Person("Doe^Jane", ROLES, "password")
                Actions(archive, settings).verify(draft, doctor, "Read beside the PET.")
                node.kill()
                os.kill(worker, signal.SIGKILL)
        assert list(reports_at(receiver)) == [draft]
        with node_that_is_killed(settings, port):
            wait_until(lambda: len(reports_at(receiver)) == 2, within_s=60, what="the verified one")
            time.sleep(1.0)  # for what should not come
        _one_chain(receiver, study)
    (verified,) = (one for uid, one in reports_at(receiver).items() if uid != draft)
    assert verified.VerificationFlag == "VERIFIED"
    assert len(receiver.arrived) == 2


def test_a_report_sent_by_a_worker_that_died_is_followed_by_the_note_that_rejects_it(
    tmp_path: Path,
) -> None:
    armed = tmp_path / "armed"
    armed.mkdir()
    (armed / "sent").write_text("once\n", "ascii")
    study = small_study("rejected in between")

    def answer(one: Arrived) -> int:
        if one.sop_class_uid == Comprehensive3DSRStorage:
            (armed / "sending").write_text("hold\n", "ascii")  # the next try, after the death
        return 0x0000

    taken = (Comprehensive3DSRStorage, KeyObjectSelectionDocumentStorage)
    with Receiver(answer, sop_class_uids=taken) as receiver:
        settings = settings_for(tmp_path / "home", receiver, quiet_s=0.2)
        with (
            listening(settings) as (archive, port),
            worker_that_is_killed(settings, armed) as ended,
        ):
            assert storescu(port, save(study.everything, tmp_path / "files")).returncode == 0
            wait_until((armed / "sending").exists, within_s=60, what="the first try")
            wait_until(lambda: _is_held(armed / "sending"), within_s=60, what="the next")
            assert ended == [-signal.SIGKILL]
            (sr,) = reports_at(receiver)
            doctor = Person("Doe^Jane", ROLES, "password")
            Actions(archive, settings).reject(sr, doctor, "Another patient's contour.")
            (armed / "sending").unlink()
            wait_until(lambda: len(receiver.arrived) == 2, within_s=60, what="the note")
    assert receiver.arrived[-1].sop_class_uid == KeyObjectSelectionDocumentStorage
