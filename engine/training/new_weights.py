"""First weights of a network that begins from nothing.

Linear layers spread by the number of their inputs, those that add to the residual stream less with
its depth: the usual 0.02 for all suits widths near 2000, and a narrow network that begins so looks
at nothing for a long time. Where a token lies, and where in its patch the mask does, begins as
sines and cosines of the place, which then learn like all else: from noise a small network on few
examples finds out late that its tokens have an order in space.
"""

import math

import torch
from torch import Tensor, nn

from engine.petar.config import PetarConfig, Size, VisionConfig
from engine.petar.model import PetarNetwork, Tower

_OF_WORDS = 0.2  # standard deviation of their embeddings
_OF_CLASS = 0.02  # of the class token, and of positions until waves take their place
_OF_POSITION = 0.5  # height of the waves
_OF_MASK = 0.1
_OCTAVES = 4.0
_ONTO_THE_STREAM = (
    "out_proj.weight", "linear2.weight", "o_proj.weight", "down_proj.weight",
)  # fmt: skip


def initialise(network: PetarNetwork, seed: int) -> None:
    """Fill every weight; equal seeds give equal weights."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim == 1:
                weight.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
            else:
                std = _spread(name, weight, network.config)
                nn.init.trunc_normal_(weight, std=std, a=-3 * std, b=3 * std, generator=generator)
        for tower in network.towers.children():
            if isinstance(tower, Tower):
                _place(tower, network.config.vision, generator)


def _spread(name: str, weight: Tensor, config: PetarConfig) -> float:
    if "embed_tokens" in name:
        return _OF_WORDS
    if weight.ndim != 2:
        return _OF_CLASS
    spread = math.sqrt(1 / weight.shape[1])
    if name.endswith(_ONTO_THE_STREAM):
        in_tower = name.startswith("towers")
        depth = config.vision.depth if in_tower else int(config.language["num_hidden_layers"])
        spread *= math.sqrt(1 / (2 * depth))
    return spread


def _place(tower: Tower, config: VisionConfig, generator: torch.Generator) -> None:
    places = tower.patch_embedding.get_parameter("position_embeddings")  # (1, N, C)
    places.copy_(_OF_POSITION * waves(config.grid, config.width)[None])
    if tower.sees_mask:  # (C, voxels of a patch)
        marks = tower.patch_embedding_mask.get_parameter("patch_embeddings.1.weight")
        marks.copy_(_OF_MASK * waves(config.patch_size, config.width).T)
        # one direction for "marked", whichever the voxel: a lesion of four voxels is seen too
        marks.add_(torch.randn((len(marks), 1), generator=generator), alpha=_OF_MASK)


def waves(shape: Size, width: int) -> Tensor:
    """(points of a lattice, width): sines and cosines of z, y and x over four octaves."""
    axes = [(torch.arange(n) + 0.5) / n for n in shape]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
    each = width // 6
    frequencies = torch.pi * 2 ** torch.linspace(0, _OCTAVES, each)
    parts = [
        wave(points[:, axis : axis + 1] * frequencies)
        for axis in range(3)
        for wave in (torch.sin, torch.cos)
    ]
    return nn.functional.pad(torch.cat(parts, dim=1), (0, width - 6 * each))
