"""`pacsnode train` as one types it: a process of its own, with a worker, stopped by Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.errors import Unreadable
from engine.training.recipe import read_recipe
from engine.training.run import train as learn
from tests.model.schools import make_school, recipe_of, stage_of
from tests.peers import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # processes that import torch

STAGE = stage_of(steps=12, batch=8)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe as a file: a worker makes the examples, and the first block is a long one."""
    folder = tmp_path_factory.mktemp("school")
    school = make_school(folder / "school", train=24)
    told = json.loads(
        recipe_of(school, stage=[STAGE], run={"workers": 1, "block": 24}).model_dump_json(
            exclude_none=True
        )
    )
    stages = told.pop("stage")
    lines = [f"[{name}]\n{_keys(section)}" for name, section in told.items()]
    lines += [f"[[stage]]\n{_keys(stage)}" for stage in stages]
    path = folder / "recipe.toml"
    path.write_text("\n".join(lines), "utf-8")
    return path


def _keys(section: dict[str, object]) -> str:
    return "".join(f"{name} = {_value(value)}\n" for name, value in section.items())


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


def train(recipe: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pacsnode", "train", str(recipe), "--out", str(out), *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def _group(leader: int) -> list[str]:
    """The processes that a Ctrl-C reaches."""
    listed = subprocess.run(
        ["ps", "-e", "-o", "pgid="], capture_output=True, text=True, check=True
    )  # fmt: skip
    return [one for one in listed.stdout.split() if int(one) == leader]


def test_ctrl_c_saves_whatever_the_run_is_at_and_resume_ends_as_if_nothing_had_been(
    recipe: Path, tmp_path: Path
) -> None:
    learn(read_recipe(recipe), tmp_path / "whole")

    cut = train(recipe, tmp_path / "cut")
    assert cut.stdout is not None
    for line in cut.stdout:
        if line.startswith("stage regions"):
            break
    # itself, what hands out processes, what clears up behind them, and the one that makes examples
    wait_until(lambda: len(_group(cut.pid)) == 4, what="the worker")
    os.killpg(cut.pid, signal.SIGINT)  # as a terminal does: every process of the group gets it
    code, _, err = ended(cut)
    assert code == 1
    assert err.strip() == "stopped at step 1; go on with --resume"

    code, out, err = ended(train(recipe, tmp_path / "cut", "--resume"))
    assert (code, err) == (0, "")
    assert "going on at step 1" in out
    assert "12 steps" in out
    whole, resumed = (load_file(tmp_path / one / "model.safetensors") for one in ("whole", "cut"))
    for key, tensor in whole.items():
        torch.testing.assert_close(resumed[key], tensor, rtol=1e-5, atol=1e-6, msg=key)


def test_a_study_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    """The worker that met it hands over the sentence, not a traceback."""
    school = make_school(tmp_path / "school", train=4)
    (school / "school-001" / "pet.npz").write_bytes(b"no array")
    with pytest.raises(Unreadable) as refused:
        learn(recipe_of(school, stage=[STAGE], run={"workers": 1}), tmp_path / "out")
    assert "pet.npz" in str(refused.value)
    assert "Traceback" not in str(refused.value)
