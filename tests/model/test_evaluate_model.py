"""`pacsnode evaluate` with a model, on a made whole body: a toy that says one sentence."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from engine.cohort.world import make_world_study, write_arrays
from engine.evaluating.asking import Answer
from engine.evaluating.evaluation import judge
from engine.evaluating.held_out import FIRST_SEED, held_out
from engine.evaluating.tables import markdown_of
from engine.finding import ModelIdentity, Unable
from pacsnode.cli import app
from tests.model.checkpoints import make_checkpoint
from tests.model.shipped import ship_toy

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


def test_a_model_that_had_words_for_no_lesion_is_told_and_no_success(tmp_path: Path) -> None:
    """A dataset that names no tracer would else end as a model that is always wrong."""
    write_arrays(make_world_study(0), tmp_path / "data")
    for study in (tmp_path / "data").glob("*/study.json"):
        told = json.loads(study.read_text("utf-8"))
        study.write_text(json.dumps(told | {"tracer": None, "tracer_code": None}), "utf-8")
    model = make_checkpoint(tmp_path / "toy", says=SAYS)
    ran = CliRunner().invoke(
        app,
        ["evaluate", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--model", str(model),
         "--lesions", "2"],
    )  # fmt: skip
    assert ran.exit_code == 1
    assert "toy had words for no lesion: untrained-tracer 2" in ran.stderr
    assert (tmp_path / "out" / "report.md").is_file()


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


def test_held_out_phantoms_are_made_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship_toy(tmp_path / "demonstration", monkeypatch, says=SAYS)
    told = CliRunner().invoke(
        app,
        ["evaluate", "phantoms", "--out", str(tmp_path / "out"), "--model", "demo", "--no-template",
         "--lesions", "2", "--json"],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    figures = json.loads(told.stdout)
    assert figures["dataset"] == "the phantom world, seeds from 9000000"
    (toy,) = figures["describers"]
    assert toy["describer"]["is_demonstration"] is True
    assert (figures["lesions"], toy["reasons"]) == (2, {})
    with (tmp_path / "out" / "lesions.csv").open(encoding="utf-8", newline="") as rows:
        studies = {row["study_id"] for row in csv.DictReader(rows)}
    assert all(int(study.removeprefix("world-")) >= 9_000_000 for study in studies)
    with (tmp_path / "out" / "figures.csv").open(encoding="utf-8", newline="") as rows:
        by_name = {row["figure"]: row for row in csv.DictReader(rows)}
    assert float(by_name["region exact"]["value"]) == toy["facts"]["region"]["exact"]
    assert by_name["without words"]["value"] == "0"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (["phantoms", "--split", "test"], "--split is for a folder"),
        (["nowhere"], "is not there, or is no folder"),
        (["phantoms", "--without", "pet"], "not of focal, mask, ct"),
        (["phantoms", "--model", "nowhere"], "is not there"),
    ],
)
def test_what_cannot_be_judged_is_a_wrong_argument(
    wrong: list[str], sentence: str, tmp_path: Path
) -> None:
    told = CliRunner().invoke(app, ["evaluate", "--out", str(tmp_path / "out"), *wrong])
    assert told.exit_code == 2
    assert sentence in " ".join(told.output.split())
    assert not (tmp_path / "out").exists()


def test_refused_lesions_count_as_wrong_and_are_told() -> None:
    record = next(held_out(1)).record
    silent = Answer(record, "", Unable("head-crop", "The crop leaves the lesion out."))
    judged = judge(ModelIdentity("toy", "1"), [silent, Answer(record, record.text)])
    region = next(score for score in judged.facts if score.fact == "region")
    assert (region.judged, region.right, judged.reasons) == (2, 1, {"head-crop": 1})
    assert "| toy 1 | 2 | 1 (head-crop 1) |" in markdown_of([judged], "phantoms")


def test_held_out_lesions_are_the_same_every_time_and_the_shifted_are_others() -> None:
    here, ahead = next(held_out(1)), next(held_out())  # made here, and in processes of their own
    assert (here.record, here.record.split) == (ahead.record, "test")
    assert np.array_equal(here.scan.pet.values, ahead.scan.pet.values)
    assert here.record.study_id == f"world-{FIRST_SEED}"
    assert next(held_out(1, is_shifted=True)).record.study_id == f"world-{FIRST_SEED}-shifted"
