"""`--model demo`: what it means, who may use it, and what its reports say."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from pydicom import dcmread
from typer.testing import CliRunner

from engine.cohort.world import WorldOptions, make_world_study
from engine.cohort.world_dicom import write_dicom
from engine.petar.checkpoint import UnusableCheckpoint, load_checkpoint
from engine.petar.config import PAPER
from engine.petar.shipped import FOLDER, is_demonstration, named_folder
from engine.report.wording import DEMONSTRATION
from pacsnode.cli import app, main
from pacsnode.errors import BadSettings
from pacsnode.jobs.describers import describing
from pacsnode.jobs.model_status import ModelStatus
from pacsnode.settings import Describe, read_settings
from tests.conftest import ROOT
from tests.model.checkpoints import make_checkpoint
from tests.model.shipped import STATED, ship_toy

torch.set_num_threads(1)
SAYS = "Intense uptake in the liver."


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_demo_means_the_folder_that_is_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = ship_toy(tmp_path / "demonstration", monkeypatch)
    assert named_folder("demo") == shipped
    assert named_folder("./demo") == Path("demo")
    assert Describe(describer="petar", model="demo").model == shipped  # type: ignore[arg-type]
    config = tmp_path / "node.toml"
    config.write_text('[describe]\ndescriber = "petar"\nmodel = "demo"\n', "utf-8")
    assert read_settings(config).describe.model == shipped
    code, told = run("model", "inspect", "demo", "--json")
    assert code == 0
    answer = json.loads(told)
    assert (answer["name"], answer["profile"]) == ("demonstration", "paper")
    called = "A demonstration trained on synthetic phantoms, not for clinical use"
    assert called in answer["notes"]


def test_its_profile_is_its_own_unless_another_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship_toy(tmp_path / "demonstration", monkeypatch)
    told = read_settings(
        None, {"describe": {"describer": "petar", "model": "demo", "allow_demonstration": True}}
    ).describe
    with describing(told) as describer:
        assert describer.identity.profile == PAPER.name
        assert describer.identity.is_demonstration
    with describing(told.model_copy(update={"profile": "petar-release"})) as describer:
        assert describer.identity.profile == "petar-release"


def test_the_card_is_of_the_weights_that_ship() -> None:
    weights = (FOLDER / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() in (ROOT / "docs" / "model-card.md").read_text(
        "utf-8"
    )


def test_a_checkpoint_that_says_nothing_is_no_demonstration(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy")
    loaded = load_checkpoint(folder)
    assert (loaded.is_demonstration, loaded.profile) == (False, None)
    assert not is_demonstration(folder)
    assert not is_demonstration(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("stated", "sentence"),
    [({"demonstration": "yes"}, "true or false"), ({"profile": "mine"}, "petar-release or paper")],
)
def test_what_config_json_says_of_it_is_checked(
    stated: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    folder = make_checkpoint(tmp_path / "toy", stated=stated)
    with pytest.raises(UnusableCheckpoint, match=sentence):
        load_checkpoint(folder)
    code, said = run("model", "inspect", folder)
    assert code == 1
    assert sentence in said


@pytest.mark.parametrize("when_unable", ["wait", "template"])
def test_a_demonstration_writes_no_report_unless_it_is_allowed_to(
    when_unable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a copy elsewhere, under another name, is a demonstration too
    copy = shutil.copytree(ship_toy(tmp_path / "toy", monkeypatch), tmp_path / "my-petar")
    said: list[ModelStatus] = []
    told = Describe(describer="petar", model=copy, when_unable=when_unable)  # type: ignore[arg-type]
    with (
        pytest.raises(BadSettings, match=r"allow_demonstration = true"),
        describing(told, say=said.append),
    ):
        pytest.fail("nothing may run")
    assert [status.state for status in said] == ["refused"]
    with describing(told, may_wait=True, say=said.append) as stand_in:
        assert stand_in.identity.version == "not loaded"


@pytest.mark.slow
def test_replay_refuses_it_with_exit_code_2_and_names_it_where_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ship_toy(tmp_path / "demonstration", monkeypatch, says=SAYS)
    options = WorldOptions(spacing_mm=(6.0, 6.0, 6.0), findings=(1, 1))
    write_dicom(make_world_study(3, options), tmp_path / "in")
    command = ["pacsnode", "replay", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", [*command, "--model", "demo"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "describe.allow_demonstration = true" in " ".join(capsys.readouterr().err.split())
    monkeypatch.setenv("PACSNODE_DESCRIBE__ALLOW_DEMONSTRATION", "true")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    manifest = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))
    assert manifest["model"]["is_demonstration"] is True
    (path,) = (tmp_path / "out").glob("2.25.*/*.dcm")
    comments = [
        item.TextValue for item in dcmread(path).ContentSequence if item.ValueType == "TEXT"
    ]
    assert comments[0] == DEMONSTRATION


@pytest.mark.wire
def test_a_node_does_not_start_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = ship_toy(tmp_path / "demonstration", monkeypatch)
    ended = subprocess.run(
        [sys.executable, "-m", "pacsnode", "serve", "--home", tmp_path / "home", "--model", toy,
         "--port", "0"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    assert "allow_demonstration = true" in ended.stderr


@pytest.mark.wire
def test_without_a_model_a_node_says_that_the_template_writes(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "pacsnode", "serve", "--home", tmp_path / "home", "--port", "0"],
        stderr=subprocess.PIPE, text=True,
    ) as node:  # fmt: skip
        assert node.stderr is not None
        said = ""
        while "Listening" not in said:
            said += node.stderr.readline()
        node.send_signal(signal.SIGTERM)
        said += node.stderr.read()
    assert "No model is set: the template writes the words" in said


def test_a_demonstration_beside_its_code_reaches_the_wheel(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for package in ("pacsnode", "storage", "engine/petar"):
        (tree / package).mkdir(parents=True)
        (tree / package / "__init__.py").write_text("", "utf-8")
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, tree / name)
    toy = make_checkpoint(tree / "engine" / "petar" / FOLDER.name, stated=STATED)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    within = {f"engine/petar/demonstration/{path.name}" for path in toy.iterdir()}
    assert within <= set(zipfile.ZipFile(wheel).namelist())


def test_what_is_shipped_is_a_small_demonstration_that_names_its_profile() -> None:
    shipped = named_folder("demo")
    assert shipped == ROOT / "engine" / "petar" / "demonstration"
    loaded = load_checkpoint(shipped)
    assert loaded.is_demonstration
    assert loaded.profile == PAPER
    assert sum(path.stat().st_size for path in shipped.iterdir()) <= 25_000_000
    account = json.loads((shipped / "training.json").read_text("utf-8"))
    assert account["finished"] is True
