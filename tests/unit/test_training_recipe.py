"""Recipes: what ships can be followed, and what is wrong in one is named."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from engine.cohort.world import WorldOptions
from engine.training.recipe import BadRecipe, Recipe, read_recipe
from engine.training.studies import PhantomStudies
from pacsnode.cli import app

ROOT = Path(__file__).resolve().parents[2]
WHOLE = """
[model]
start = "somewhere"
[data]
folder = "dataset"
[[stage]]
name = "lesions"
asks = "lesions"
trains = ["lora"]
steps = 10
"""


def test_the_recipe_of_petar_4b_has_the_published_numbers() -> None:
    recipe = read_recipe(ROOT / "deploy" / "train-petar-4b.toml")
    last = recipe.stage[-1]
    assert (last.learning_rate, last.schedule, last.warmup) == (5e-5, "cosine", 0.03)
    assert (last.weight_decay, last.batch, recipe.run.max_length) == (0.0, 2, 512)
    assert (last.lora_rank, last.lora_alpha, last.lora_dropout) == (16, 32, 0.05)
    assert [stage.trains[0] for stage in recipe.stage] == ["mask_embedding", "mask_embedding",
                                                           "vision"]  # fmt: skip
    assert [list(stage.asks) for stage in recipe.stage] == [["regions"], ["regions"], ["lesions"]]


def test_the_published_numbers_are_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(WHOLE)
    mine = read_recipe(tmp_path / "r.toml").stage[0]
    theirs = read_recipe(ROOT / "deploy" / "train-petar-4b.toml").stage[-1]
    told = {"name", "trains", "steps", "asks"}
    assert mine.model_dump(exclude=told) == theirs.model_dump(exclude=told)


def test_the_recipes_of_the_demonstration_keep_their_studies_apart() -> None:
    firsts = []
    for turn in (1, 2, 3):
        recipe = read_recipe(ROOT / "deploy" / f"train-demonstration-{turn}.toml")
        assert recipe.model.start == (Path(f"demonstration-{turn - 1}") if turn > 1 else None)
        assert recipe.data.phantoms is not None
        firsts.append(recipe.data.phantoms.first_seed)
        assert firsts[-1] < recipe.held_out.first_seed < 9_000_000
        assert recipe.model.profile == "paper"
        assert recipe.data.mask_numbers
    assert firsts == sorted(set(firsts))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("steps = 10", "steps = 0"), "stage.0.steps: "),
        (("steps = 10", "steps = 10\nlerning_rate = 1"), "stage.0.lerning_rate: "),
        (('asks = "lesions"', 'asks = "organs"'), "stage.0.asks.organs"),
        (('asks = "lesions"', "asks = { lesions = 0.5 }"), "stage.0: the shares of asks"),
        (('["lora"]', '["lora", "language"]'), "stage.0: trains holds the language model"),
        (('["lora"]', '["eyes"]'), "stage.0.trains.0: "),
        (('start = "somewhere"', ""), "model: give either start, or both"),
        (('folder = "dataset"', ""), "data: give either phantoms or folder"),
        (('folder = "dataset"', "phantoms = { findings = [5, 2] }"), "data.phantoms.findings: "),
        (('folder = "dataset"', 'phantoms = { field = "knee" }'), "data.phantoms.field: one of"),
        (('folder = "dataset"', "phantoms = { first_seed = 900003 }"), "held-out seeds"),
        (("[data]", "[dta]"), "dta: "),
        (("[data]", "[data"), "is not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_key(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    (tmp_path / "mine.toml").write_text(WHOLE.replace(*change))
    with pytest.raises(BadRecipe) as told:
        read_recipe(tmp_path / "mine.toml")
    assert str(told.value).startswith("mine.toml")
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("section", "value", "said"),
    [
        ("vision", {"image": (10, 8, 8)}, "multiple of patch times pooling"),
        ("vision", {"width": 30}, "multiple of heads"),
        ("language", {"width": 6}, "even multiple of heads"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(section: str, value: dict[str, Any], said: str) -> None:
    told: dict[str, Any] = {
        "vision": {"image": (8, 8, 8), "patch": (4, 4, 4), "width": 32, "depth": 1, "heads": 4,
                   "mlp": 8},
        "language": {"width": 32, "depth": 1, "heads": 4, "mlp": 8},
    }  # fmt: skip
    told[section] |= value
    stage = {"name": "a", "asks": "regions", "trains": ["all"], "steps": 1}
    whole = {"model": told, "data": {"phantoms": {}}, "stage": [stage]}
    with pytest.raises(ValidationError, match=said):
        Recipe.model_validate(whole)


@pytest.mark.parametrize(
    ("phantoms", "held_out"), [(9_000_000, 900_000), (0, 8_999_995), (9_500_000, 9_400_000)]
)
def test_no_recipe_learns_from_what_evaluate_judges_by(
    tmp_path: Path, phantoms: int, held_out: int
) -> None:
    told = WHOLE.replace('folder = "dataset"', f"phantoms = {{ first_seed = {phantoms} }}")
    told += f"[held_out]\nfirst_seed = {held_out}\n"
    (tmp_path / "r.toml").write_text(told)
    with pytest.raises(BadRecipe, match="for `pacsnode evaluate` alone"):
        read_recipe(tmp_path / "r.toml")


def test_no_run_reaches_what_evaluate_judges_by() -> None:
    studies = PhantomStudies(WorldOptions(), first_seed=8_999_999, held_out=range(900_000, 900_008))
    with pytest.raises(BadRecipe, match="for `pacsnode evaluate` alone"):
        studies.study(0)  # eight seeds are left out before it


def test_the_command_ends_with_2_on_a_bad_recipe(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(WHOLE.replace("steps = 10", "steps = -1"))
    found = CliRunner().invoke(app, ["train", str(tmp_path / "bad.toml")])
    assert found.exit_code == 2
    assert "stage.0.steps" in found.output


def test_the_command_wants_to_know_where_to(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(WHOLE)
    found = CliRunner().invoke(app, ["train", str(tmp_path / "r.toml")])
    assert found.exit_code == 2
    assert "--out" in found.output
