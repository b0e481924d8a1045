"""Every size and constant of PETAR, frozen. Sizes are (z, y, x) = slices, rows, columns."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

Size = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """One 3D ViT tower; the defaults are M3D-CLIP's ViT-B."""

    image_size: Size = (32, 256, 256)  # voxels of a view
    patch_size: Size = (4, 16, 16)  # voxels of a token
    width: int = 768
    depth: int = 12
    mlp_width: int = 3072
    heads: int = 12

    @property
    def grid(self) -> Size:
        """Tokens along z, y, x."""
        z, y, x = (n // p for n, p in zip(self.image_size, self.patch_size, strict=True))
        return z, y, x

    @property
    def tokens(self) -> int:
        return math.prod(self.grid)

    @property
    def patch_voxels(self) -> int:
        return math.prod(self.patch_size)


@dataclass(frozen=True, slots=True)
class PetarConfig:
    """The whole network. `language` holds the fields of transformers' Phi3Config."""

    vision: VisionConfig = field(default_factory=VisionConfig)
    pooling: int = 2  # average pooling of the token grid, each axis
    has_shared_encoder: bool = False  # the PET tower, without a mask, encodes the CT as well
    language: dict[str, Any] = field(default_factory=dict)

    @property
    def visual_tokens(self) -> int:
        """How many tokens one lesion takes in the prompt: the pooled token grid."""
        return math.prod(n // self.pooling for n in self.vision.grid)

    @property
    def language_width(self) -> int:
        return int(self.language["hidden_size"])


@dataclass(frozen=True, slots=True)
class Profile:
    """How views are cut from a study. Lengths are voxels of the 3 mm grid, unless named."""

    name: Literal["petar-release", "paper"]
    spacing_mm: float = 3.0
    plane: int = 200  # rows and columns kept, about the middle
    slices: int = 350  # kept from the top
    window: int | None = 80  # slices each side of the lesion's centre; None: the whole volume
    focal_margin: int = 20  # each side of the lesion's box
    focal_is_cube: bool = False
    every_voxel_marks: bool = False  # the voxel of a view it lies in; nearest may pass it by
    suv_range: tuple[float, float] = (0.0, 12.0)  # g/ml
    hu_range: tuple[float, float] = (-300.0, 400.0)
    head_suv: float = 5.0  # the first slice from the top above this is the top of the head
    head_hu: float = 1000.0  # ... or, where no slice is, above this
    mask_overrules_head: bool = False  # what lies below a mask is no top of the head: keep all
    prompt: str = "What structure is highlighted by the mask?"


PETAR_RELEASE = Profile("petar-release")
PAPER = Profile(
    "paper",
    plane=192,
    slices=352,
    window=None,
    focal_is_cube=True,
    every_voxel_marks=True,
    mask_overrules_head=True,
)
PROFILES = {profile.name: profile for profile in (PETAR_RELEASE, PAPER)}

# Phi-3-mini-4k-instruct with the four tokens that PETAR's training added (32011 + 4)
PHI3_MINI: dict[str, Any] = {
    "vocab_size": 32015,
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "max_position_embeddings": 4096,
    "original_max_position_embeddings": 4096,
    "sliding_window": 2047,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 32000,
    "pad_token_id": 32000,
}
PETAR_4B = PetarConfig(language=PHI3_MINI)
