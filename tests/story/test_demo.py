"""The demo from start to end, and that it tells a wrong number from a right one."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from engine.cohort.anatomy import LESIONS, truth_of
from engine.report.read import ReadFinding
from engine.report.wording import DEMONSTRATION
from pacsnode.cli import app, main
from pacsnode.demo import tour
from pacsnode.demo.peers import NotSent, dcmtk_storescu, receiving, send_study
from pacsnode.demo.truth import AXES, RELATIVE, compare
from pacsnode.errors import BadSettings
from pacsnode.replay.run import Request, replay
from pacsnode.settings import read_settings
from tests.conftest import find_peer
from tests.makers import make_pet, save
from tests.peers import Receiver, free_port

PET = "1.2.840.10008.5.1.4.1.1.128"


@pytest.mark.slow
@pytest.mark.wire
def test_the_demo_in_full(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pacsnode", "demo", "--template", "--keep", tmp_path, "--json"],
        capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout)
    assert answer["agrees"]
    assert answer["words"] is None
    assert len(answer["findings"]) == 6
    assert len(answer["compared"]) == 36
    assert dcmread(answer["sr"]).SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    assert Path(answer["picture"]).read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "study" / "PET").is_dir()
    assert "Phantom" not in ended.stdout + ended.stderr
    # the same objects by the other door: one and the same document
    replayed = replay(Request((tmp_path / "study",), tmp_path / "out", read_settings(None)))
    assert not replayed.failed
    [again] = (tmp_path / "out").glob("2.25.*/*.dcm")
    assert dcmread(again).SOPInstanceUID == dcmread(answer["sr"]).SOPInstanceUID


@pytest.mark.slow
@pytest.mark.wire
def test_the_demo_shows_petars_words_with_measured_numbers(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pacsnode", "demo", "--keep", tmp_path, "--json"],
        capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    words = json.loads(ended.stdout)["words"]
    assert len(words["lesion_seconds"]) == len(words["lesions"]) > 1
    for lesion in words["lesions"]:
        assert f"{lesion['measured']['suv_max']:.1f}" in lesion["text"]
        assert "#" not in lesion["text"]
    told = [lesion["wrong"] for lesion in words["lesions"]]
    assert sum("region" not in wrong for wrong in told) > len(told) / 2  # it looks at the mask
    assert Path(words["picture"]).read_bytes().startswith(b"\x89PNG")
    first = dcmread(words["sr"]).ContentSequence
    comments = [item.TextValue for item in first if item.ValueType == "TEXT"]
    assert comments[0] == DEMONSTRATION


def finding_of(**measured: float) -> ReadFinding:
    class Found:
        tracking_uid = "2.25.1"

        def __init__(self) -> None:
            self.measured = measured

    return Found()  # type: ignore[return-value]


TRUTH = truth_of(LESIONS[0], 1, "2.25.1")
RIGHT = {name: getattr(TRUTH, name) for name in (*RELATIVE, *AXES)}


def test_true_numbers_agree() -> None:
    assert all(each.agrees for each in compare([finding_of(**RIGHT)], [TRUTH]))


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("factor", [0.8, 1.2, None])
def test_a_number_off_the_truth_or_missing_is_told(name: str, factor: float | None) -> None:
    wrong = dict(RIGHT)
    if factor is None:
        del wrong[name]
    else:
        wrong[name] *= factor
    off = [each.name for each in compare([finding_of(**wrong)], [TRUTH]) if not each.agrees]
    assert off == [name]


def test_a_lesion_that_is_not_in_the_report_agrees_with_nothing() -> None:
    other = replace(TRUTH, tracking_uid="2.25.2")
    assert not any(each.agrees for each in compare([finding_of(**RIGHT)], [other]))


@pytest.mark.wire
@pytest.mark.parametrize("installed", [True, False])
def test_the_made_scanner_sends_everything(
    installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not installed:
        monkeypatch.setattr("pacsnode.demo.peers.dcmtk_storescu", lambda: None)
    files = save(make_pet(), tmp_path)
    with Receiver(sop_class_uids=(PET,)) as receiver:
        send_study(files, ("127.0.0.1", receiver.port), "RECEIVER")
    assert len({one.sop_instance_uid for one in receiver.arrived}) == len(files)


def test_a_program_of_the_same_name_in_an_activated_environment_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = find_peer("storescu")
    other = tmp_path / "storescu"
    other.write_text("#!/bin/sh\necho usage: storescu >&2\nexit 2\n", "utf-8")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{Path(real).parent}")
    assert dcmtk_storescu() == real


@pytest.mark.wire
@pytest.mark.parametrize("installed", [True, False])
def test_a_refused_object_is_told(
    installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not installed:
        monkeypatch.setattr("pacsnode.demo.peers.dcmtk_storescu", lambda: None)
    files = save(make_pet(), tmp_path)
    with (
        Receiver(sop_class_uids=(PET,), answer=lambda _: 0xA700) as receiver,
        pytest.raises(NotSent),
    ):
        send_study(files, ("127.0.0.1", receiver.port), "RECEIVER")


@pytest.mark.wire
def test_a_node_that_is_not_there_is_told(tmp_path: Path) -> None:
    find_peer("storescu")
    with pytest.raises(NotSent):
        send_study(save(make_pet(), tmp_path), ("127.0.0.1", free_port()), "NOBODY")


@pytest.mark.parametrize("part", ["study", "patient", "home", "report"])
def test_a_folder_with_a_demonstration_in_it_is_refused_at_once(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / part).mkdir()
    monkeypatch.setattr(sys, "argv", ["pacsnode", "demo", "--keep", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"{tmp_path / part} is there already: name another folder for --keep" in said
    assert [path.name for path in tmp_path.rglob("*")] == [part]


def test_a_file_is_no_folder_to_keep_anything_in(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(BadSettings, match="is a file"):
        tour.run_demo(tmp_path / "file", None)


@pytest.mark.wire
def test_without_a_report_the_demo_fails_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_report(*_: object) -> tour.Toured:
        with receiving(tmp_path) as (_port, arrived):
            tour._reports(arrived, {"1.2.3"})
        raise AssertionError

    monkeypatch.setattr(tour, "REPORT_WITHIN_S", 0.2)
    monkeypatch.setattr(tour, "_tour", no_report)
    result = CliRunner().invoke(app, ["demo", "--keep", str(tmp_path)])
    assert result.exit_code == 1
    assert "No report came" in result.output
