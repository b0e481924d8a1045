"""A head of the PET tower begins by looking at what the mask marks."""

import pytest
import torch
from torch import Tensor

from engine.petar.config import PetarConfig, VisionConfig
from engine.petar.model import PetarNetwork, Tower
from engine.training.looking import look_at_the_mask
from engine.training.new_weights import initialise
from engine.training.starting import student_of
from tests.model.schools import make_school, recipe_of, stage_of

VISION = VisionConfig((32, 24, 24), (8, 8, 8), width=96, depth=2, mlp_width=128, heads=3)
LANGUAGE = {
    "vocab_size": 60, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2,
    "pad_token_id": 2, "sliding_window": None,
}  # fmt: skip


def network(*, looks: bool) -> PetarNetwork:
    made = PetarNetwork(PetarConfig(VISION, 1, language=LANGUAGE)).eval()
    initialise(made, 5)
    if looks:
        look_at_the_mask(made, 5)
    return made


def looked_at(tower: Tower, pet: Tensor, mask: Tensor) -> Tensor:
    """(N + 1, N + 1): where the first head of the first block looks from each token."""
    x = tower.patch_embedding(pet) + tower.patch_embedding_mask(mask)
    x = torch.cat([tower.cls_token, x], dim=1)
    block = tower.blocks[0]
    head = VISION.width // VISION.heads
    query, key, _ = block.attn.qkv(block.norm1(x))[0].split(VISION.width, dim=-1)
    return torch.softmax(query[:, :head] @ key[:, :head].T / head**0.5, dim=-1)


def images() -> Tensor:
    return torch.rand((1, 1, *VISION.image_size), generator=torch.Generator().manual_seed(2))


@torch.no_grad()
@pytest.mark.parametrize("voxel", [(0, 0, 0), (9, 12, 23), (31, 7, 8)])
@pytest.mark.parametrize("side", [1, 4])  # voxels
def test_what_is_marked_is_seen_from_every_other_patch(voxel: tuple[int, ...], side: int) -> None:
    mask = torch.zeros((1, 1, *VISION.image_size))
    mask[(0, 0, *(slice(at // side * side, at // side * side + side) for at in voxel))] = 1
    grid = VISION.grid
    z, y, x = (at // step for at, step in zip(voxel, VISION.patch_size, strict=True))
    marked = 1 + (z * grid[1] + y) * grid[2] + x  # behind the class token
    shares = looked_at(network(looks=True).towers.vision_tower, images(), mask)
    others = [at for at in range(1, len(shares)) if at != marked]
    least = float(shares[others, marked].min())
    # one voxel already outweighs every other patch; a few leave nothing for them
    assert least > (0.9 if side > 1 else 0.1)
    assert bool((shares[others].argmax(dim=1) == marked).all())
    without = looked_at(network(looks=False).towers.vision_tower, images(), mask)
    assert float(without[others, marked].min()) < 0.5 * least  # else it would need no help


@torch.no_grad()
def test_without_a_mark_it_looks_everywhere_alike() -> None:
    tower = network(looks=True).towers.vision_tower
    shares = looked_at(tower, images(), torch.zeros((1, 1, *VISION.image_size)))[1:]
    torch.testing.assert_close(shares, torch.full_like(shares, 1 / shares.shape[1]))


@torch.no_grad()
def test_what_is_said_of_every_patch_depends_on_where_the_mark_is() -> None:
    here, there = torch.zeros((2, 1, 1, *VISION.image_size))
    here[0, 0, 4, 4, 4] = there[0, 0, 28, 20, 20] = 1
    changes = {}
    for looks in (False, True):
        tower = network(looks=looks).towers.vision_tower
        one, other = tower(images(), here), tower(images(), there)
        changes[looks] = (one - other).norm(dim=-1)[0].median()
    assert changes[True] > 5 * changes[False]


def test_the_same_seed_sets_the_same_look() -> None:
    first, second = network(looks=True), network(looks=True)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_recipe_asks_for_it(tmp_path) -> None:
    school = make_school(tmp_path, train=2, validation=0)
    told = {"stage": [stage_of()]}
    plain = student_of(recipe_of(school, **told)).network
    looking = student_of(recipe_of(school, model={"looks": True}, **told)).network
    look_at_the_mask(plain, recipe_of(school, **told).run.seed)
    for one, other in zip(plain.parameters(), looking.parameters(), strict=True):
        assert torch.equal(one, other)
