"""PETAR's network equals an independent one built of MONAI's blocks and a plain Phi-3."""

import pytest
import torch
from monai.networks.blocks import PatchEmbeddingBlock, TransformerBlock
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import Phi3Config, Phi3ForCausalLM

from engine.petar.config import PETAR_4B, PetarConfig, VisionConfig
from engine.petar.generation import generate
from engine.petar.model import PetarNetwork, Views

VISION = VisionConfig((16, 64, 64), (4, 16, 16), width=64, depth=2, mlp_width=96, heads=2)
LANGUAGE = {
    "vocab_size": 120, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 4, "bos_token_id": 1, "eos_token_id": 2,
    "pad_token_id": 2, "sliding_window": None,
}  # fmt: skip
PROMPT = [1, *[3] * 8, 17, 25, 31]


def toy(shared: bool) -> PetarNetwork:
    torch.manual_seed(7)
    network = PetarNetwork(PetarConfig(VISION, 2, shared, LANGUAGE)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.2)
    return network


def random_views(lesions: int) -> Views:
    torch.manual_seed(11)
    coarse = (lesions, 1, 2, 3, 3)  # blobs as large as several patches, so that lesions differ
    pet, ct, focal_pet, focal_ct, mask, focal_mask = (
        F.interpolate(torch.rand(coarse), size=VISION.image_size, mode="nearest") for _ in range(6)
    )
    mask, focal_mask = (mask > 0.5).float(), (focal_mask > 0.5).float()
    return Views(pet, ct, mask, focal_pet, focal_ct, focal_mask)


class MonaiTower(nn.Module):
    """The published tower, of MONAI's parts; weights are copied from ours by name."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        weights = tower.state_dict()
        self.cls = weights.get("cls_token")
        self.image = self._embedding(weights, "patch_embedding.")
        self.mask = self._embedding(weights, "patch_embedding_mask.") if tower.sees_mask else None
        self.blocks = nn.ModuleList()
        for depth in range(VISION.depth):
            block = TransformerBlock(VISION.width, VISION.mlp_width, VISION.heads, qkv_bias=False)
            prefix = f"blocks.{depth}."
            own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
            missing, unexpected = block.load_state_dict(own, strict=False)
            assert not unexpected
            assert all("cross" in key for key in missing)  # MONAI's own, unused without a context
            self.blocks.append(block)
        self.norm = nn.LayerNorm(VISION.width)
        self.norm.load_state_dict({k: weights[f"norm.{k}"] for k in ("weight", "bias")})

    def _embedding(self, weights: dict[str, Tensor], prefix: str) -> nn.Module:
        block = PatchEmbeddingBlock(
            1, VISION.image_size, VISION.patch_size, VISION.width, VISION.heads,
            proj_type="perceptron",
        )  # fmt: skip
        own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        missing, unexpected = block.load_state_dict(own, strict=False)
        assert (missing, unexpected) in (([], []), (["cls_token"], []))
        return block

    def forward(self, view: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.image(view)
        if mask is not None:
            assert self.mask is not None
            x = x + self.mask(mask)
        if self.cls is not None:
            x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return x if self.cls is None else x[:, 1:]


def published_visual_tokens(network: PetarNetwork, views: Views) -> Tensor:
    """Concatenate, add focal to global, pool, project: the order of the paper."""
    pet_tower = MonaiTower(network.towers.vision_tower)
    ct_tower = pet_tower
    if not network.config.has_shared_encoder:
        ct_tower = MonaiTower(network.towers.ct_tower)
    whole = torch.cat([pet_tower(views.pet, views.mask), ct_tower(views.ct)], dim=-1)
    focal = torch.cat(
        [pet_tower(views.focal_pet, views.focal_mask), ct_tower(views.focal_ct)], dim=-1
    )
    fused = (whole + focal).transpose(1, 2).reshape(len(whole), -1, *VISION.grid)
    pooled = F.avg_pool3d(fused, 2).flatten(2).transpose(1, 2)
    visual: Tensor = network.projector.projector(pooled)
    return visual


@pytest.mark.parametrize("shared", [False, True], ids=["two-towers", "shared-encoder"])
def test_visual_tokens_equal_monai(shared: bool) -> None:
    network, views = toy(shared), random_views(2)
    with torch.no_grad():
        ours, theirs = network.visual_tokens(views), published_visual_tokens(network, views)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shared", [False, True], ids=["two-towers", "shared-encoder"])
def test_words_equal_a_plain_phi3_on_the_same_embeddings(shared: bool) -> None:
    network, views = toy(shared), random_views(3)
    plain = Phi3ForCausalLM(Phi3Config(**LANGUAGE)).eval()
    plain.load_state_dict(network.language.state_dict())
    with torch.no_grad():
        visual = published_visual_tokens(network, views)
        words = plain.get_input_embeddings()(torch.tensor(PROMPT))
        inputs = torch.cat([words[:1].expand(3, 1, -1), visual, words[9:].expand(3, -1, -1)], dim=1)
        theirs = plain.generate(
            inputs_embeds=inputs,
            attention_mask=torch.ones(inputs.shape[:2], dtype=torch.long),
            max_new_tokens=20,
            do_sample=False,
        ).tolist()
        ours = generate(network, network.visual_tokens(views), PROMPT, frozenset([2]), 20)
    assert ours == [row[: row.index(2)] if 2 in row else row for row in theirs]
    assert len({tuple(row) for row in ours}) > 1


@pytest.mark.parametrize("shared", [False, True], ids=["two-towers", "shared-encoder"])
def test_the_splice_and_its_first_logits_equal_a_plain_phi3(shared: bool) -> None:
    network, views = toy(shared), random_views(3)
    plain = Phi3ForCausalLM(Phi3Config(**LANGUAGE)).eval()
    plain.load_state_dict(network.language.state_dict())
    with torch.no_grad():
        visual = published_visual_tokens(network, views)
        words = plain.get_input_embeddings()(torch.tensor(PROMPT))
        theirs = torch.stack([torch.cat([words[:1], one, words[1 + len(one) :]]) for one in visual])
        ours = network.spliced(network.visual_tokens(views), PROMPT)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
        torch.testing.assert_close(
            network.language(inputs_embeds=ours).logits[:, -1],
            plain(inputs_embeds=theirs).logits[:, -1],
            atol=1e-5,
            rtol=0,
        )


def test_an_empty_mask_is_not_no_mask() -> None:
    tower = toy(shared=True).towers.vision_tower
    view = random_views(1).pet
    with torch.no_grad():
        assert not torch.allclose(tower(view), tower(view, torch.zeros_like(view)), atol=1e-3)


def test_the_full_shape_has_the_published_number_of_weights() -> None:
    with torch.device("meta"):
        network = PetarNetwork(PETAR_4B)
    assert len(network.state_dict()) == 477
    assert sum(parameter.numel() for parameter in network.parameters()) == 4_012_078_080
    towers = network.towers
    assert sum(p.numel() for p in towers.vision_tower.parameters()) == 89_749_248
    assert sum(p.numel() for p in towers.ct_tower.parameters()) == 87_388_416
    assert sum(p.numel() for p in network.projector.parameters()) == 14_161_920


def test_rows_that_finish_leave_and_the_others_are_unchanged() -> None:
    network, views = toy(shared=False), random_views(4)
    with torch.no_grad():
        visual = network.visual_tokens(views)
    together = generate(network, visual, PROMPT, frozenset([2]), 24)
    of_some_rows = {t for row in together for t in row if any(t not in r for r in together)}
    stop = frozenset([2, min(of_some_rows)])  # some rows leave early, others stay
    alone = [generate(network, row[None], PROMPT, stop, 24)[0] for row in visual]
    assert generate(network, visual, PROMPT, stop, 24) == alone
    assert len({len(row) for row in alone}) > 1


def test_an_overdue_row_leaves_with_what_it_has() -> None:
    network, views = toy(shared=False), random_views(2)
    with torch.no_grad():
        visual = network.visual_tokens(views)
    full = generate(network, visual, PROMPT, frozenset(), 12)
    cut = generate(network, visual, PROMPT, frozenset(), 12, overdue=lambda row: row == 0)
    assert cut == [full[0][:1], full[1]]
