"""The benchmark compares like with like, and its bound is the published arithmetic."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from engine.petar.bench.bound import Peak, least_seconds, peak_of
from engine.petar.bench.chance import checkpoint_of_chance
from engine.petar.bench.run import run_bench
from engine.petar.bench.studies import SCALED_DOWN, make_study
from engine.petar.config import PETAR_4B, PETAR_RELEASE
from pacsnode.cli import app
from tests.model.checkpoints import make_checkpoint


def test_both_sides_say_the_same_of_the_same_lesions(tmp_path: Path) -> None:
    told = run_bench(make_checkpoint(tmp_path / "toy"), lesions=(1, 3), batch_size=4, rounds=1)
    assert told.same_words == 4
    assert told.distinct_words > 1
    assert told.lesions == (1, 3)
    assert (told.dtype, told.percent_of_bound, told.same_as_float32) == ("float32", None, None)
    profile_s = sum(told.naive_profile_s.values()) * 4
    assert profile_s == pytest.approx(told.naive_s, rel=0.2)  # the profile leaves nothing out
    assert told.ratio == told.naive_s / told.ours_s
    assert 0 < told.ours_latency_s["p50"] <= told.ours_latency_s["p95"] <= told.ours_s
    assert all(rate > 0 for rate in told.network_rate.values())


def test_the_command_prints_it(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "toy")
    arguments = ["bench", "--model", str(folder), "--lesions", "1", "--rounds", "1", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--batch-size", "2"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["model"]
    assert told["same_words"] == 1
    assert told["new_tokens"] == 60


def test_equal_seeds_give_equal_weights_and_other_seeds_others() -> None:
    cpu = torch.device("cpu")
    first, again, other = (
        checkpoint_of_chance("small", cpu, torch.float32, seed).network.state_dict()
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["language.lm_head.weight"], other["language.lm_head.weight"])
    assert all(bool(torch.isfinite(tensor).all()) for tensor in first.values())


def test_a_random_checkpoint_takes_the_prompt_as_a_real_one_does() -> None:
    made = checkpoint_of_chance("small", torch.device("cpu"), torch.float32)
    ids = made.prompt_ids(PETAR_RELEASE.prompt)
    visual = made.network.config.visual_tokens
    assert len(ids) == 1 + visual + len(PETAR_RELEASE.prompt.split())


def test_made_studies_are_repeatable_and_their_lesions_differ() -> None:
    one, again = make_study(SCALED_DOWN, 3, seed=5), make_study(SCALED_DOWN, 3, seed=5)
    assert (one.scan.pet.values == again.scan.pet.values).all()
    masks = [lesion.segment.mask.voxels for lesion in one.lesions]
    assert all(mask.sum() > 10 for mask in masks)
    assert all((a != b).any() for a, b in itertools.pairwise(masks))


@pytest.mark.parametrize(
    ("peak", "batch", "lesions_per_s"),
    [  # computed apart from this code, from the published sizes
        (Peak(989, 3.35), 1, 7.3),
        (Peak(989, 3.35), 8, 44),
        (Peak(989, 3.35), 32, 98),
        (Peak(989, 3.35), 64, 122),
        (Peak(756, 2.0), 1, 4.4),
        (Peak(756, 2.0), 32, 64),
        (Peak(362, 0.864), 1, 1.9),
        (Peak(362, 0.864), 32, 29),
    ],
)
def test_the_bound_is_that_of_the_full_network(
    peak: Peak, batch: int, lesions_per_s: float
) -> None:
    least_s = least_seconds(PETAR_4B, batch, prompt_tokens=270, new_tokens=60, peak=peak)
    assert batch / least_s == pytest.approx(lesions_per_s, rel=0.04)


def test_only_known_devices_have_a_bound() -> None:
    assert peak_of("NVIDIA H100 80GB HBM3") == Peak(989, 3.35)
    assert peak_of("NVIDIA H100 PCIe") == Peak(756, 2.0)
    assert peak_of("NVIDIA A100 80GB PCIe") == Peak(312, 1.94)
    assert peak_of("NVIDIA A100-SXM4-80GB") == Peak(312, 2.04)
    assert peak_of("AMD EPYC") is None


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA A100-SXM4-40GB",
        "NVIDIA A100-PCIE-40GB",
        "NVIDIA A100X",
        "NVIDIA GH200 480GB",
        "NVIDIA H200 NVL",
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
    ],
)
def test_a_device_of_another_bandwidth_has_no_bound_of_its_namesake(name: str) -> None:
    assert peak_of(name) is None
