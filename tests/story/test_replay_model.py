"""Replay with a model: one process for it, and what follows when it or the model fails."""

from pathlib import Path

import pytest
from pydicom import dcmread

from engine.report.read import read_findings
from pacsnode.errors import BadSettings
from pacsnode.replay import run as running
from pacsnode.replay.model_process import ModelProcess
from pacsnode.replay.run import Outcome, Request, replay
from pacsnode.settings import Settings
from tests.makers import save
from tests.story.faulty_model import SAYS, faulty_model
from tests.story.small import SmallStudy, small_study
from tests.story.test_replay import rows_of

pytestmark = pytest.mark.slow

NAMES = ("one", "two", "three", "four")


@pytest.fixture
def studies(tmp_path: Path) -> dict[str, SmallStudy]:
    made = {name: small_study(name) for name in NAMES}
    for name, study in made.items():
        save(study.everything, tmp_path / "in" / name)
    (tmp_path / "model").mkdir()
    return made


@pytest.fixture(autouse=True)
def _faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        running, "_writer",
        lambda request: ModelProcess(request.settings.describe, 3, faulty_model),
    )  # fmt: skip


def arm(folder: Path, study: SmallStudy, what: str) -> None:
    (folder / "model" / str(study.pet[0].SeriesInstanceUID)).write_text(what, "ascii")


def run(folder: Path, **describe: object) -> Outcome:
    told = {"describer": "petar", "model": folder / "model", **describe}
    return replay(Request((folder / "in",), folder / "out", Settings(describe=told)))


def codes(outcome: Outcome, studies: dict[str, SmallStudy]) -> dict[str, str]:
    by_study = {result.study_instance_uid: result.code for result in outcome.results}
    return {name: by_study[study.study_uid] for name, study in studies.items()}


def test_cases_share_one_process(tmp_path: Path, studies: dict[str, SmallStudy]) -> None:
    outcome = run(tmp_path)
    assert set(codes(outcome, studies).values()) == {"reported"}
    rows = rows_of(tmp_path / "out")
    assert [row["raw_text"] for row in rows] == [SAYS] * 4
    assert outcome.model is not None
    assert outcome.model.name == "faulty"


@pytest.mark.parametrize("kind", ["die", "hang", "device-lost"])
def test_a_case_that_ends_the_process_fails_alone(
    tmp_path: Path, studies: dict[str, SmallStudy], kind: str
) -> None:
    arm(tmp_path, studies["two"], f"{kind} always")
    outcome = run(tmp_path)
    expected = dict.fromkeys(NAMES, "reported") | {"two": "process-died"}
    assert codes(outcome, studies) == expected
    (tmp_path / "model" / str(studies["two"].pet[0].SeriesInstanceUID)).unlink()
    again = run(tmp_path)
    assert set(codes(again, studies).values()) == {"reported"}
    assert again.resumed == 3


def test_a_device_lost_once_costs_nothing(tmp_path: Path, studies: dict[str, SmallStudy]) -> None:
    arm(tmp_path, studies["one"], "device-lost once")
    outcome = run(tmp_path)
    assert codes(outcome, studies) == dict.fromkeys(NAMES, "reported")
    armed = tmp_path / "model" / str(studies["one"].pet[0].SeriesInstanceUID)
    assert not armed.exists()  # it was lost, and no lesion went without the model's words
    assert [row["raw_text"] for row in rows_of(tmp_path / "out")] == [SAYS] * 4


@pytest.mark.parametrize("policy", ["wait", "template"])
def test_a_model_that_fails_is_failed_or_replaced_as_configured(
    tmp_path: Path, studies: dict[str, SmallStudy], policy: str
) -> None:
    arm(tmp_path, studies["two"], "model-fault always")
    outcome = run(tmp_path, when_unable=policy)
    instead = policy == "template"
    assert codes(outcome, studies)["two"] == ("reported" if instead else "model-fault")
    flags = [row["flags"] for row in rows_of(tmp_path / "out") if "model-fault" in row["flags"]]
    assert len(flags) == instead
    for result in outcome.results:
        if result.sr is None:
            continue
        (finding,) = read_findings(dcmread(tmp_path / "out" / result.sr)).findings
        is_two = result.study_instance_uid == studies["two"].study_uid
        assert ("model-fault" in finding.flags) == (is_two and instead)


def test_a_refused_model_ends_it_before_anything_is_read(
    tmp_path: Path, studies: dict[str, SmallStudy]
) -> None:
    (tmp_path / "model").rmdir()
    with pytest.raises(BadSettings, match="refused"):
        run(tmp_path)
    assert not (tmp_path / "out" / "run.json").exists()
