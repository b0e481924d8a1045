"""A first look: one head of the PET tower begins by looking at what the mask marks.

A lesion is a few voxels of one patch among hundreds. What a tower says of that patch is averaged
with its neighbours, and a small network takes long to find out that it is the one that matters.
So a head of the first block is set to look, from every patch, at the marked ones, and to add what
it finds there to all of them. Only the beginning is set: every weight learns on from there.

Three channels of the stream are kept clear for it where patches are embedded: one is raised by each
marked voxel, one is the same everywhere, one is nothing.
"""

import math
from typing import cast

import torch
from torch import Tensor

from engine.petar.model import Block, PatchEmbedding, PetarNetwork

_MARKED, _SAME, _NOTHING = -1, -2, -3  # channels
_CLEARED = [_NOTHING, _SAME, _MARKED]
_HEIGHT_OF_SAME = 5.0  # both in standard deviations of a token's other channels
_HEIGHT_OF_A_VOXEL = 0.25
# what one voxel adds to a patch's logit, before what else is in the patch lowers it: where several
# are marked, e to this is many times the patches of a view
_LOGIT = 8.0


def look_at_the_mask(network: PetarNetwork, seed: int) -> None:
    """Set the first head of the PET tower's first block; what it did before is lost."""
    generator = torch.Generator().manual_seed(seed)
    tower, vision = network.towers.vision_tower, network.config.vision
    block = cast(Block, tower.blocks[0])
    head, width = vision.width // vision.heads, vision.width
    with torch.no_grad():
        image, mask = tower.patch_embedding, tower.patch_embedding_mask
        for part in (image, mask):
            _clear(part)
        tower.cls_token[..., _CLEARED] = 0
        without_image = _constant(image) + _constant(mask)  # (N, C)
        deviation = float(without_image.std(dim=1).mean())
        image.position_embeddings[..., _SAME] = _HEIGHT_OF_SAME * deviation
        mask.get_parameter("patch_embeddings.1.weight")[_MARKED] = _HEIGHT_OF_A_VOXEL * deviation
        block.norm1.weight[_CLEARED], block.norm1.bias[_CLEARED] = 1, 0
        query, key, value = block.attn.qkv.weight.view(3, width, width)[:, :head]
        each = _LOGIT * math.sqrt(head) / (_HEIGHT_OF_SAME * _HEIGHT_OF_A_VOXEL)
        query.zero_()
        key.zero_()
        query[0, _SAME] = math.sqrt(each)
        key[0, _MARKED], key[0, _NOTHING] = math.sqrt(each), -math.sqrt(each)
        value.copy_(_spread((head, width), width, generator))
        block.attn.out_proj.weight[:, :head] = _spread((width, head), width, generator)


def _clear(part: PatchEmbedding) -> None:
    for name in ("weight", "bias"):
        part.get_parameter(f"patch_embeddings.1.{name}")[_CLEARED] = 0
    part.position_embeddings[..., _CLEARED] = 0


def _constant(part: PatchEmbedding) -> Tensor:
    """(N, C): what is said of a patch in which nothing is."""
    return part.position_embeddings[0] + part.get_parameter("patch_embeddings.1.bias")


def _spread(shape: tuple[int, int], inputs: int, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator) / math.sqrt(inputs)
