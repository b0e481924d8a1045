"""First weights of a network that begins from nothing.

Truncated normal as usual, but for what says where a token and a voxel of the mask lie: sines and
cosines of their place, which then learn like all else. From noise alone a small network on few
examples finds out late that its tokens have an order in space.
"""

import torch
from torch import Tensor, nn

from engine.petar.config import Size, VisionConfig
from engine.petar.model import PetarNetwork, Tower

SPREAD = 0.02  # standard deviation of new weights
_OF_POSITION = 0.5  # height of the waves
_OF_MASK = 0.1
_OCTAVES = 4.0


def initialise(network: PetarNetwork, seed: int) -> None:
    """Fill every weight; equal seeds give equal weights."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim > 1:
                nn.init.trunc_normal_(weight, std=SPREAD, generator=generator)
            else:
                weight.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
        for tower in network.towers.children():
            if isinstance(tower, Tower):
                _place(tower, network.config.vision)


def _place(tower: Tower, config: VisionConfig) -> None:
    places = tower.patch_embedding.get_parameter("position_embeddings")  # (1, N, C)
    places.copy_(_OF_POSITION * waves(config.grid, config.width)[None])
    if tower.sees_mask:  # (C, voxels of a patch)
        marks = tower.patch_embedding_mask.get_parameter("patch_embeddings.1.weight")
        marks.copy_(_OF_MASK * waves(config.patch_size, config.width).T)


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
