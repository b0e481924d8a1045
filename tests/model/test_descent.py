"""Which optimiser moves which weights, and by how much."""

from pathlib import Path

import pytest
import torch
from torch.optim import AdamW, Muon

from engine.petar.model import PetarNetwork
from engine.training.recipe import Stage
from engine.training.starting import student_of
from engine.training.trained import descent_of, open_stage
from tests.model.schools import make_school, recipe_of, stage_of


@pytest.fixture
def network(tmp_path: Path) -> PetarNetwork:
    torch.set_num_threads(1)
    return student_of(recipe_of(make_school(tmp_path, train=1, validation=1))).network


def opened(network: PetarNetwork, **changed: object) -> Stage:
    stage = Stage(**(stage_of(weight_decay=0.1) | changed))
    open_stage(network, stage)
    return stage


def test_muon_has_the_matrices_within_and_adamw_all_else(network: PetarNetwork) -> None:
    descent = descent_of(network, opened(network, optimiser="muon"))
    kinds = {type(one): one for one in descent.optimisers}
    assert list(kinds) == [Muon, AdamW]
    names = {id(weight): name for name, weight in network.named_parameters()}
    has = {
        kind: {names[id(w)] for group in one.param_groups for w in group["params"]}
        for kind, one in kinds.items()
    }
    assert has[Muon] | has[AdamW] == set(names.values())
    assert not has[Muon] & has[AdamW]
    assert "projector.projector.0.weight" in has[Muon]
    ends = {"language.model.embed_tokens.weight", "language.lm_head.weight"}
    assert ends <= has[AdamW]
    decaying = [group for group in kinds[AdamW].param_groups if group["weight_decay"]]
    assert {names[id(w)] for group in decaying for w in group["params"]} >= ends
    assert all(w.ndim > 1 for group in decaying for w in group["params"])


def test_adamw_alone_has_everything_that_learns(network: PetarNetwork) -> None:
    [only] = descent_of(network, opened(network, trains=["projector"])).optimisers
    assert type(only) is AdamW
    learnt = {id(w) for group in only.param_groups for w in group["params"]}
    assert learnt == {id(w) for name, w in network.named_parameters() if "projector" in name}


def test_one_rate_moves_a_matrix_about_as_far_by_either(network: PetarNetwork) -> None:
    weight = network.get_parameter("projector.projector.0.weight")
    moved = {}
    for optimiser in ("adamw", "muon"):
        stage = opened(
            network, optimiser=optimiser, weight_decay=0.0, schedule="constant", warmup=0.0
        )
        before = weight.detach().clone()
        torch.manual_seed(1)
        descent = descent_of(network, stage)
        for parameter in network.parameters():
            parameter.grad = torch.randn_like(parameter)
        descent.step()
        assert weight.grad is None
        assert descent.rate == stage.learning_rate
        moved[optimiser] = float((weight.detach() - before).square().mean().sqrt())
    assert 0.1 < moved["muon"] / moved["adamw"] < 1.0  # 0.2 to 0.4: what AdamW's steps come to
