"""`pacsnode evaluate` with a model, on a made whole body: a toy that says one sentence."""

import json
from pathlib import Path

import torch
from typer.testing import CliRunner

from engine.cohort.world import make_world_study, write_arrays
from pacsnode.cli import app
from tests.model.checkpoints import make_checkpoint

torch.set_num_threads(1)
SAYS = "Intense uptake in the liver."


def test_a_model_is_judged_beside_the_template(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_arrays(make_world_study(seed), tmp_path / "data")
    model = make_checkpoint(tmp_path / "toy", says=SAYS)
    told = CliRunner().invoke(
        app,
        ["evaluate", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--model", str(model),
         "--lesions", "6", "--mask-swap", "2", "--json"],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    figures = json.loads(told.stdout)
    template, toy = figures["describers"]
    assert (template["describer"]["name"], toy["describer"]["name"]) == ("template", "toy")
    assert toy["without_words"] == 0
    # what it says of every lesion is right for those that are in the liver and intense
    assert toy["mask_swap"]["passed"] == 0
    assert toy["facts"]["uptake"]["right"] > template["facts"]["uptake"]["right"] == 0
    assert "| toy " in (tmp_path / "out" / "report.md").read_text("utf-8")


def test_a_model_that_cannot_be_loaded_is_an_error_not_a_template(tmp_path: Path) -> None:
    write_arrays(make_world_study(0), tmp_path / "data")
    model = make_checkpoint(tmp_path / "toy")
    (model / "config.json").write_text("{}", "utf-8")
    told = CliRunner().invoke(
        app,
        ["evaluate", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--no-template",
         "--model", str(model)],
    )  # fmt: skip
    assert "cannot serve" in str(told.exception)
    assert not (tmp_path / "out").exists()


def test_no_model_is_asked_before_the_last_is_known_to_load(tmp_path: Path) -> None:
    write_arrays(make_world_study(0), tmp_path / "data")
    good, broken = make_checkpoint(tmp_path / "good", says=SAYS), make_checkpoint(tmp_path / "bad")
    (broken / "config.json").write_text("{}", "utf-8")
    told = CliRunner().invoke(
        app,
        ["evaluate", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--model", str(good),
         "--model", str(broken)],
    )  # fmt: skip
    assert "cannot serve" in str(told.exception)
    assert not (tmp_path / "out").exists()
