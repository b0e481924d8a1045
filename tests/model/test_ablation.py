"""The ablation from recipe to table, at a size that means nothing."""

import csv
import tomllib
from pathlib import Path

import pytest
import torch

from engine.training.recipe import read_recipe
from tests.bench.ablation import ARMS, Arm, run_ablation
from tests.conftest import ROOT

torch.set_num_threads(1)
RECIPE = ROOT / "deploy" / "train-ablation.toml"


def test_arms_differ_in_one_thing_alone() -> None:
    told = tomllib.loads(RECIPE.read_text("utf-8"))
    whole = ARMS[0].recipe(told)
    assert whole == read_recipe(RECIPE)
    assert [arm.recipe(told).model.blank for arm in ARMS[1:4]] == [("mask",), ("ct",), ("focal",)]
    for arm in ARMS[1:]:
        other = arm.recipe(told)
        assert (other.run, other.data) == (whole.run, whole.data)
        assert [one.steps for one in other.stage] == [one.steps for one in whole.stage]
        assert (other.model.blank, [one.asks for one in other.stage]) != (
            whole.model.blank, [one.asks for one in whole.stage],
        )  # fmt: skip
    without_anatomy = ARMS[-1].recipe(told)
    assert all(stage.asks == {"lesions": 1.0} for stage in without_anatomy.stage)


@pytest.mark.slow
def test_one_command_gives_the_table_and_trains_no_arm_twice(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    text = RECIPE.read_text("utf-8")
    for long, short in (
        ("width = 96", "width = 24"), ("depth = 3", "depth = 1"), ("heads = 3", "heads = 2"),
        ("steps = 300", "steps = 1"), ("steps = 700", "steps = 1"), ("batch = 16", "batch = 2"),
        ("studies = 4", "studies = 1"), ("block = 24", "block = 1"), ("workers = 1", "workers = 0"),
        ("findings = [3, 12]", "findings = [3, 3], spacing_mm = [6.0, 6.0, 6.0]"),
    ):  # fmt: skip
        assert long in text
        text = text.replace(long, short)
    recipe.write_text(text, "utf-8")
    arms = (Arm("whole", "all of it"), Arm("no-focal", "no focal view", blank=("focal",)))
    out, said = tmp_path / "out", list[str]()
    table = run_ablation(recipe, out, arms=arms, lesions=2, pairs=1, say=said.append)
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == [
        "| all of it", "| no focal view",
    ]  # fmt: skip
    assert (out / "ablation.md").read_text("utf-8") == table
    with (out / "ablation.csv").open(encoding="utf-8", newline="") as rows:
        assert [row["network"] for row in csv.DictReader(rows)] == ["whole", "no-focal"]
    assert "no-focal-without-focal" in (out / "report" / "report.md").read_text("utf-8")
    again = list[str]()
    run_ablation(recipe, out, arms=arms[:1], lesions=2, pairs=1, say=again.append)
    assert again == ["all of it: trained before", "all of it: judging"]
