"""Death, hangs and shortage of memory in the worker's model: nothing lost, the next study done."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.report.read import ReadReport, read_findings
from pacsnode.settings import Settings
from storage.archive import Archive
from tests.makers import save
from tests.model.checkpoints import make_checkpoint
from tests.peers import Receiver, storescu, wait_until
from tests.story.killed_worker import listening, worker_started_anew
from tests.story.small import SmallStudy, reports_at, settings_for, small_study

pytestmark = [pytest.mark.slow, pytest.mark.wire]

SAYS = "moderate focal uptake in the left lung"
HUNG, LOST, BY_FAULTHANDLER = 75, 75, 1


@contextmanager
def worker(settings: Settings, faults: Path) -> Iterator[list[int]]:
    """A worker that starts again whenever it ends; gives the exit codes of those that did."""
    faults.mkdir(exist_ok=True)
    with worker_started_anew(
        settings, ["tests.story.petar_worker"],
        PACSNODE_TEST_FAULTS=str(faults), OMP_NUM_THREADS="1",
    ) as ended:  # fmt: skip
        yield ended


def arm(faults: Path, study: SmallStudy, what: str) -> None:
    (faults / str(study.pet[0].SeriesInstanceUID)).write_text(what, "ascii")


def last(archive: Archive, study: SmallStudy) -> tuple[str, str]:
    lines = archive.decisions(study.study_uid, study.mask_uid)
    return (lines[-1].state, lines[-1].code) if lines else ("", "")


@dataclass(frozen=True)
class Here:
    """A listener, a worker with a toy model, and a receiver: one for all tests of this file."""

    archive: Archive
    port: int
    faults: Path
    ended: list[int]
    receiver: Receiver
    folder: Path

    def send(self, *studies: SmallStudy) -> None:
        together = [one for study in studies for one in study.everything]
        files = save(together, self.folder / studies[0].study_uid)
        assert storescu(self.port, files).returncode == 0

    def wait_for(self, study: SmallStudy, state: str = "delivered") -> None:
        wait_until(lambda: last(self.archive, study)[0] == state, within_s=90, what=state)

    def read(self, study: SmallStudy) -> ReadReport:
        (report,) = reports_at(self.receiver, study.study_uid).values()
        return read_findings(report)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    folder = tmp_path_factory.mktemp("petar")
    toy = make_checkpoint(folder / "toy", says=SAYS)
    told = {"describer": "petar", "model": toy, "device": "cpu"}
    with Receiver() as receiver:
        settings = settings_for(folder / "home", receiver, quiet_s=0.2, describe=told)
        faults = folder / "faults"
        with listening(settings) as (archive, port), worker(settings, faults) as ended:
            yield Here(archive, port, faults, ended, receiver, folder)
            assert list((settings.home / "under-way").iterdir()) == []


@pytest.mark.parametrize(
    ("what", "status"),
    [("die", -signal.SIGKILL), ("hang", HUNG), ("lose", LOST), ("hold", BY_FAULTHANDLER)],
)
def test_after_one_fault_the_study_gets_the_models_words(
    here: Here, what: str, status: int
) -> None:
    study, before = small_study(what), len(here.ended)
    arm(here.faults, study, f"{what} once")
    here.send(study)
    wait_until(lambda: len(here.ended) == before + 1, within_s=60, what=f"{what} to end it")
    here.wait_for(study)
    assert here.ended[before:] == [status]
    (finding,) = here.read(study).findings
    assert finding.text.startswith(SAYS)


def test_a_study_that_always_kills_is_given_up_and_those_beside_it_are_not(here: Here) -> None:
    poison, *sound = (small_study(name) for name in ("always", "beside one", "beside two"))
    before = len(here.ended)
    arm(here.faults, poison, "die always")
    here.send(poison, *sound)
    for study in sound:
        here.wait_for(study)
        (finding,) = here.read(study).findings
        assert finding.text.startswith(SAYS)
    here.wait_for(poison, "failed")
    assert last(here.archive, poison)[1] == "process-ended"
    assert set(here.ended[before:]) == {-signal.SIGKILL}
    assert 4 <= len(here.ended) - before <= 6
    assert reports_at(here.receiver, poison.study_uid) == {}


def test_a_lesion_for_which_memory_never_suffices_gets_the_templates_words(here: Here) -> None:
    study, after = small_study("too large"), small_study("after it")
    before = len(here.ended)
    arm(here.faults, study, "exhaust once")
    here.send(study)
    here.wait_for(study)
    here.send(after)
    here.wait_for(after)
    assert here.ended[before:] == []
    read = here.read(study)
    (finding,) = read.findings
    assert "out-of-memory" in finding.flags
    assert finding.text.startswith("Lesion 1")
    assert any("out-of-memory: The model ran out of memory" in one for one in read.comments)
    (finding,) = here.read(after).findings
    assert finding.text.startswith(SAYS)
