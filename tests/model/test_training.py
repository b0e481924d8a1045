"""A run from its recipe to a folder that serves: it learns, and it can be cut off."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from engine.petar.checkpoint import load_checkpoint
from engine.petar.inspection import inspect_folder
from engine.training.lesson import visual_tokens
from engine.training.progress import CannotGoOn
from engine.training.recipe import BadRecipe
from engine.training.run import Interrupted, Training, train
from engine.training.starting import student_of
from engine.training.studies import studies_to_learn
from tests.model.checkpoints import make_checkpoint
from tests.model.schools import make_school, recipe_of, stage_of

TWO_STAGES = [
    stage_of(steps=3, optimiser="muon"),
    stage_of(
        name="lesions", asks={"lesions": 0.5, "regions": 0.5}, steps=5, batch=4,
        trains=["vision", "projector", "lora"], drops_focal=0.4,
    ),
]  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_school(tmp_path_factory.mktemp("school"), train=24)


@pytest.fixture(scope="module")
def schooled(school: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of two stages, uninterrupted."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("runs") / "schooled"
    train(recipe_of(school, stage=TWO_STAGES), out)
    return out


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "loss.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.slow
def test_it_learns_to_name_what_it_has_not_seen(school: Path, tmp_path: Path) -> None:
    stage = stage_of(steps=120, batch=16, schedule="constant", learning_rate=1e-3, optimiser="muon")
    train(recipe_of(school, stage=[stage]), tmp_path / "run")
    rows = rows_of(tmp_path / "run")
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) / 4
    assert float(rows[-1]["region_exact"]) > 4 / 6  # six regions: a guess has one of six right
    drawn = (tmp_path / "run" / "loss.png").read_bytes()
    assert drawn.startswith(b"\x89PNG")


def test_a_run_that_was_cut_off_twice_ends_as_one_that_was_not(
    school: Path, schooled: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(school, stage=TWO_STAGES)
    out = tmp_path / "cut"
    for after in (2, 3):  # within the first stage, then within that with adapters
        left = iter([False] * (after - 1))
        with pytest.raises(Interrupted):
            train(recipe, out, resume=True, should_stop=lambda left=left: next(left, True))
    with pytest.raises(CannotGoOn, match="--resume"):
        train(recipe, out)
    ended = train(recipe, out, resume=True)
    assert ended.step == 8
    whole, cut = (load_file(one / "model.safetensors") for one in (schooled, out))
    assert whole.keys() == cut.keys()
    for key, tensor in whole.items():
        torch.testing.assert_close(cut[key], tensor, rtol=1e-6, atol=1e-7, msg=key)
    told = [
        [(r["step"], r["loss"], r["region_exact"]) for r in rows_of(o)] for o in (schooled, out)
    ]
    assert told[0] == told[1]
    assert not (out / "state").exists()


def test_a_run_goes_on_with_its_own_recipe_alone(school: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(recipe_of(school), tmp_path, should_stop=lambda: True)
    other = recipe_of(school, stage=[stage_of(steps=7)])
    with pytest.raises(CannotGoOn, match="another recipe"):
        train(other, tmp_path, resume=True)


def test_a_finished_run_is_not_overwritten(school: Path, schooled: Path) -> None:
    with pytest.raises(CannotGoOn, match="finished"):
        train(recipe_of(school, stage=TWO_STAGES), schooled, resume=True)


def test_the_folder_serves_and_computes_what_was_trained(school: Path, tmp_path: Path) -> None:
    training = Training(recipe_of(school, stage=TWO_STAGES), tmp_path / "run")
    training.follow()
    found = load_checkpoint(tmp_path / "run")
    assert inspect_folder(tmp_path / "run").can_serve
    assert found.profile is not None
    assert found.profile.name == "paper"
    assert not found.is_demonstration  # its examples were a folder's, not the phantom world's
    student, picked = training.student, _picked(training)
    batch = training.writer.batch(picked)
    assert found.stop_ids == frozenset(student.stop_ids)
    logits = []
    with torch.inference_mode():
        for network in (student.network.eval(), found.network):
            spliced = network.spliced(
                visual_tokens(network, batch.seen.on(torch.device("cpu"))),
                found.prompt_ids("What is the region highlighted by the mask?"),
            )
            logits.append(network.language(inputs_embeds=spliced).logits)
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=0)


def test_made_studies_in_a_folder_make_a_demonstration_too(school: Path, tmp_path: Path) -> None:
    made = make_school(tmp_path / "made", train=2, validation=1, source="phantom")
    assert student_of(recipe_of(made)).config["demonstration"]
    assert not student_of(recipe_of(school)).config["demonstration"]


def test_a_stage_on_regions_that_no_study_has_is_refused(tmp_path: Path) -> None:
    """Before a study is opened: at full size that takes hours."""
    school = make_school(tmp_path / "school", train=2, validation=1, regions=False)
    for pet in school.glob("*/pet.npz"):
        pet.write_bytes(b"not opened")
    with pytest.raises(BadRecipe, match="'regions' asks of regions alone"):
        studies_to_learn(recipe_of(school))
    studies_to_learn(recipe_of(school, stage=[stage_of(asks="lesions")]))


def test_the_account_tells_how_and_names_no_place(schooled: Path, school: Path) -> None:
    text = (schooled / "training.json").read_text("utf-8")
    told = json.loads(text)
    assert (told["finished"], told["steps"], told["skipped"]) == (True, 8, {})
    assert told["recipe"]["stage"][1]["name"] == "lesions"
    assert told["recipe"]["data"]["folder"] == school.name
    assert set(told["versions"]) >= {"torch", "peft", "accelerate", "transformers"}
    assert str(school.parent) not in text
    assert str(Path.home()) not in text


def test_weights_can_be_kept_in_half_the_bytes(
    school: Path, schooled: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(school, stage=TWO_STAGES, run={"store": "bfloat16"})
    train(recipe, tmp_path / "half")
    half, whole = (load_file(one / "model.safetensors") for one in (tmp_path / "half", schooled))
    assert {tensor.dtype for tensor in half.values()} == {torch.bfloat16}
    for key, tensor in whole.items():
        torch.testing.assert_close(half[key].float(), tensor, rtol=2**-7, atol=1e-6, msg=key)
    assert load_checkpoint(tmp_path / "half", dtype="float32").dtype == torch.float32


@pytest.mark.parametrize(
    ("trains", "begin"),
    [
        (["mask_embedding"], ("towers.vision_tower.patch_embedding_mask.",)),
        (["projector"], ("projector.",)),
        (["vision", "lora"], ("towers.", "language.model.layers.")),
        (["language"], ("language.",)),
    ],
)
def test_a_stage_changes_what_it_trains_and_nothing_else(
    school: Path, tmp_path: Path, trains: list[str], begin: tuple[str, ...]
) -> None:
    training = Training(recipe_of(school, stage=[stage_of(steps=2, trains=trains)]), tmp_path)
    before = {k: v.clone() for k, v in training.student.network.state_dict().items()}
    training.follow()
    after = training.student.network.state_dict()
    assert before.keys() == after.keys()
    changed = [key for key, tensor in after.items() if not torch.equal(tensor, before[key])]
    assert {next((b for b in begin if key.startswith(b)), key) for key in changed} == set(begin)


def test_it_goes_on_from_a_checkpoint_in_the_released_form(school: Path, tmp_path: Path) -> None:
    start = make_checkpoint(tmp_path / "start")
    model: Any = {"start": start, "vision": None, "language": None, "profile": "petar-release"}
    stage = stage_of(steps=2, batch=2, asks="lesions", trains=["vision", "projector", "lora"])
    train(recipe_of(school, model=model, stage=[stage], held_out={"studies": 1}), tmp_path / "out")
    ours, theirs = load_checkpoint(tmp_path / "out"), load_checkpoint(start)
    assert ours.stop_ids >= {min(theirs.stop_ids)}
    assert ours.prompt_ids("What is this?") == theirs.prompt_ids("What is this?")
    assert ours.weights_sha256 != theirs.weights_sha256
    assert ours.network.config == theirs.network.config


def _picked(training: Training) -> Any:
    return [(bundle, 0) for bundle in training.held_out[:3]]


@pytest.fixture
def new_state() -> Iterator[None]:
    """accelerate keeps the precision of a process's first run for the whole process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("new_state")
def test_half_the_precision_on_a_processor_learns_and_is_judged(
    school: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(school, stage=[stage_of(steps=4)], run={"precision": "bf16"})
    train(recipe, tmp_path / "run")  # float16 views under autocast were refused by torch
    rows = rows_of(tmp_path / "run")
    assert rows[-1]["region_exact"]
    told = json.loads((tmp_path / "run" / "training.json").read_text())
    assert told["precision"] == "bf16"
