"""PETAR, top to bottom: two 3D ViT towers, focal fusion, pooling, a projector, Phi-3.

    PET  --> tower (+ mask embedding) --\
                                         concat --> (+ focal) --> pool --> projector --> splice
    CT   --> tower ---------------------/                                                  |
    "<bos>" + 256 visual tokens + "What structure is highlighted by the mask?" --> Phi-3 --> words

B is the number of lesions, N the tokens of a view (2048), C a tower's width (768), V the visual
tokens a lesion takes (256), D the language model's width (3072). Views are (B, 1, z, y, x) in 0..1,
z from head to feet, y from front to back, x from the patient's left to right.
Sizes and the order of operations follow the authors' released code; where the paper differs, the
configuration says so (docs/reference/petar.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everyone knows
from transformers import Phi3Config, Phi3ForCausalLM

from engine.petar.config import PetarConfig, VisionConfig


class Patches(nn.Module):
    """Cut a view into flattened patches."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, view: Tensor) -> Tensor:
        b = view.shape[0]
        (d, h, w), (pd, ph, pw) = self.config.grid, self.config.patch_size
        view = view.reshape(b, d, pd, h, ph, w, pw)  # one channel
        view = view.permute(0, 1, 3, 5, 2, 4, 6)  # (B, d, h, w, pd, ph, pw)
        return view.reshape(b, d * h * w, pd * ph * pw)  # (B, N, voxels of a patch)


class PatchEmbedding(nn.Module):
    """A linear map of every patch, plus a learned position."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.patch_embeddings = nn.Sequential(
            Patches(config), nn.Linear(config.patch_voxels, config.width)
        )
        self.position_embeddings = nn.Parameter(torch.zeros(1, config.tokens, config.width))

    def forward(self, view: Tensor) -> Tensor:
        embedded: Tensor = self.patch_embeddings(view) + self.position_embeddings
        return embedded  # (B, N, C)


class Attention(nn.Module):
    """Self-attention over all tokens of a view."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out_proj = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, N, C / heads)
        x = F.scaled_dot_product_attention(q, k, v)
        attended: Tensor = self.out_proj(x.transpose(1, 2).reshape(b, n, c))
        return attended


class Mlp(nn.Module):
    """Two layers with exact GELU."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.linear1 = nn.Linear(config.width, config.mlp_width)
        self.linear2 = nn.Linear(config.mlp_width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        mapped: Tensor = self.linear2(F.gelu(self.linear1(x)))
        return mapped


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.width)
        self.mlp = Mlp(config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        added: Tensor = x + self.mlp(self.norm2(x))
        return added


class Tower(nn.Module):
    """A 3D ViT. The PET's has a class token and a mask embedding; a separate CT's has neither."""

    def __init__(self, config: VisionConfig, *, sees_mask: bool) -> None:
        super().__init__()
        self.sees_mask = sees_mask
        self.patch_embedding = PatchEmbedding(config)
        if sees_mask:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
            self.patch_embedding_mask = PatchEmbedding(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, view: Tensor, mask: Tensor | None = None) -> Tensor:
        """Features (B, N, C) of a view. An empty mask is not the same as no mask."""
        x = self.patch_embedding(view)
        if mask is not None:
            x = x + self.patch_embedding_mask(mask)
        if self.sees_mask:
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        features: Tensor = self.norm(x)
        return features[:, 1:] if self.sees_mask else features


class Towers(nn.Module):
    """Both towers; where the checkpoint has one, the PET's encodes the CT too, without a mask."""

    def __init__(self, config: PetarConfig) -> None:
        super().__init__()
        self.vision_tower = Tower(config.vision, sees_mask=True)
        if not config.has_shared_encoder:
            self.ct_tower = Tower(config.vision, sees_mask=False)

    def ct_features(self, ct: Tensor) -> Tensor:
        """(B, N, C): independent of the mask, so it may be kept for all lesions of one window."""
        tower = self.ct_tower if hasattr(self, "ct_tower") else self.vision_tower
        features: Tensor = tower(ct)
        return features

    def pet_features(self, pet: Tensor, mask: Tensor) -> Tensor:
        features: Tensor = self.vision_tower(pet, mask)
        return features


class Projector(nn.Module):
    """Average-pool the token grid, then two layers into the language model's space."""

    def __init__(self, config: PetarConfig) -> None:
        super().__init__()
        self.grid = config.vision.grid
        self.pooling = config.pooling
        d_v, d = 2 * config.vision.width, config.language_width
        self.projector = nn.Sequential(nn.Linear(d_v, d), nn.GELU(), nn.Linear(d, d))

    def pool(self, features: Tensor) -> Tensor:
        """(B, N, F) -> (B, V, F)."""
        b, _, f = features.shape
        (d, h, w), p = self.grid, self.pooling
        # a mean over blocks: avg_pool3d knows no bfloat16 on a CPU
        blocks = features.reshape(b, d // p, p, h // p, p, w // p, p, f)
        return blocks.mean(dim=(2, 4, 6)).flatten(1, 3)

    def forward(self, pooled: Tensor) -> Tensor:
        projected: Tensor = self.projector(pooled)  # (B, V, D)
        return projected


@dataclass(frozen=True, slots=True)
class Views:
    """Six views of a batch of lesions, each (B, 1, z, y, x)."""

    pet: Tensor
    ct: Tensor
    mask: Tensor
    focal_pet: Tensor
    focal_ct: Tensor
    focal_mask: Tensor


class PetarNetwork(nn.Module):
    """Views and a prompt in, tokens out."""

    def __init__(self, config: PetarConfig) -> None:
        super().__init__()
        self.config = config
        self.towers = Towers(config)
        self.projector = Projector(config)
        self.language = Phi3ForCausalLM(Phi3Config(**config.language))

    def pooled_features(self, views: Views, ct_global: Tensor | None = None) -> Tensor:
        """(B, V, 2C): global plus focal features, PET first, then pooled.

        `ct_global` (B, V, C) are pooled CT features already known for these windows. Pooling is
        linear, so pooling each part and adding equals the published order to rounding.
        """
        pool, towers = self.projector.pool, self.towers
        if ct_global is None:
            ct_global = self.pooled_ct(views.ct)
        pet = pool(towers.pet_features(views.pet, views.mask))
        pet = pet + pool(towers.pet_features(views.focal_pet, views.focal_mask))
        ct = ct_global + self.pooled_ct(views.focal_ct)
        return torch.cat([pet, ct], dim=-1)

    def pooled_ct(self, ct: Tensor) -> Tensor:
        """(B, V, C) CT features alone."""
        return self.projector.pool(self.towers.ct_features(ct))

    def visual_tokens(self, views: Views, ct_global: Tensor | None = None) -> Tensor:
        """(B, V, D): what the language model sees of a lesion."""
        visual: Tensor = self.projector(self.pooled_features(views, ct_global))
        return visual

    def spliced(self, visual: Tensor, prompt_ids: Sequence[int]) -> Tensor:
        """(B, T, D) input of the language model: BOS, the visual tokens, the prompt.

        `prompt_ids` is the tokenised prompt, BOS first, with V placeholders behind it; they are
        replaced by position, as in training.
        """
        ids = torch.tensor(list(prompt_ids), device=visual.device)
        words = self.language.get_input_embeddings()(ids).to(visual.dtype)
        words = words.expand(len(visual), -1, -1)
        v = visual.shape[1]
        return torch.cat([words[:, :1], visual, words[:, 1 + v :]], dim=1)
