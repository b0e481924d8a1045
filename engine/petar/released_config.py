"""config.json of a released folder and the shapes of its weights to the network's sizes.

The keys decide the encoder (one shared tower or two), the shapes decide the sizes, and config.json
says what neither can.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from engine.petar.config import PROFILES, PetarConfig, Profile, Size, VisionConfig
from engine.petar.shipped import FIELD
from engine.petar.tensor_files import UnusableCheckpoint
from engine.petar.weights import released_name

MODEL_TYPES = ("lamed_phi3", "petar_phi3")
LANGUAGE_SIZES = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
)  # fmt: skip
LANGUAGE_FIELDS = (
    *LANGUAGE_SIZES,
    "num_key_value_heads", "rms_norm_eps", "rope_theta", "rope_scaling", "rope_parameters",
    "partial_rotary_factor", "max_position_embeddings", "original_max_position_embeddings",
    "sliding_window", "hidden_act",
)  # fmt: skip
# what no key or shape shows, and what it would change
ONLY = (
    ("vision_select_feature", "patch", "any other feature drops the CT"),
    ("vision_select_layer", -1, "only the last layer ever worked"),
    ("mm_projector_type", "spp", "only the spatial pooling projector is PETAR's"),
    ("proj_pooling_type", "spatial", "tokens are pooled in space, not in sequence"),
    ("classification", True, "without a class token the first patch is dropped"),
    ("use_mask", True, "this is an ablation, not PETAR"),
    ("use_ct", True, "this is an ablation, not PETAR"),
    ("tie_word_embeddings", False, "PETAR's lm_head has weights of its own"),
)
# ids come from the tokenizer and generation_config.json alone
NO_IDS: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
HEAD_WIDTH = 64  # no field of the released config gives the number of heads
PET_TOWER = "towers.vision_tower."
CT_TOWER = "towers.ct_tower."


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a checkpoint folder."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as exc:
        raise UnusableCheckpoint(f"{path.name} cannot be read: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise UnusableCheckpoint(f"{path.name} is not valid JSON") from exc
    if not isinstance(content, dict):
        raise UnusableCheckpoint(f"{path.name} is not a JSON object")
    return content


def config_of(stated: dict[str, Any], weights: dict[str, Tensor]) -> PetarConfig:
    """The network's sizes, from config.json and the shapes of the weights."""
    model_type = stated.get("model_type")
    if model_type not in MODEL_TYPES:
        raise UnusableCheckpoint(
            f"config.json: model_type is {model_type!r}, not {' or '.join(MODEL_TYPES)}"
        )
    for field, only, why in ONLY:
        value = stated.get(field)
        if value is not None and value != only:
            raise UnusableCheckpoint(f"config.json: {field} is {value!r}, not {only!r}: {why}")
    _refuse_untuned_m3d(weights)
    vision = _vision(stated, weights)
    return PetarConfig(
        vision=vision,
        pooling=_pooling(stated, vision),
        has_shared_encoder=not any(key.startswith(CT_TOWER) for key in weights),
        language=_language(stated, weights),
    )


def profile_of(stated: dict[str, Any]) -> Profile | None:
    """How the views were cut that the weights were trained on, where config.json says so."""
    name = stated.get("profile")
    if name is None:
        return None
    for profile in PROFILES.values():
        if profile.name == name:
            return profile
    raise UnusableCheckpoint(f"config.json: profile is {name!r}, not {' or '.join(PROFILES)}")


def is_demonstration(stated: dict[str, Any]) -> bool:
    """Whether config.json calls the weights a demonstration."""
    value = stated.get(FIELD, False)
    if not isinstance(value, bool):
        raise UnusableCheckpoint(f"config.json: {FIELD} is true or false, not {value!r}")
    return value


def needed(weights: dict[str, Tensor], name: str) -> Tensor:
    """A weight by our name; the refusal calls it by the folder's."""
    if name not in weights:
        raise UnusableCheckpoint(f"The weights lack {released_name(name)}")
    return weights[name]


def _refuse_untuned_m3d(weights: dict[str, Tensor]) -> None:
    first = weights.get("projector.projector.0.weight")
    position = weights.get(f"{PET_TOWER}patch_embedding.position_embeddings")
    petars_own = (f"{PET_TOWER}patch_embedding_mask.", CT_TOWER)
    if first is None or position is None or any(key.startswith(petars_own) for key in weights):
        return
    if first.shape[-1] == position.shape[-1]:
        raise UnusableCheckpoint(
            "This is a base M3D checkpoint, not PETAR: it has neither a mask embedding nor a CT "
            "tower, and its projector takes one tower"
        )


def _vision(stated: dict[str, Any], weights: dict[str, Tensor]) -> VisionConfig:
    embedding = _matrix(weights, f"{PET_TOWER}patch_embedding.patch_embeddings.1.weight")
    linear1 = _matrix(weights, f"{PET_TOWER}blocks.0.mlp.linear1.weight")
    width = int(embedding.shape[0])
    image = _size(stated, "image_size", (32, 256, 256))
    patch = _size(stated, "patch_size", (4, 16, 16))
    if math.prod(patch) != embedding.shape[1]:
        raise UnusableCheckpoint(
            f"config.json: patch_size {patch} has {math.prod(patch)} voxels; "
            f"patch_embeddings.1.weight takes {embedding.shape[1]}"
        )
    if any(n % p for n, p in zip(image, patch, strict=True)):
        raise UnusableCheckpoint(f"config.json: image_size {image} is no multiple of {patch}")
    heads = _positive(stated, "vision_num_heads", max(width // HEAD_WIDTH, 1))
    if width % heads:
        raise UnusableCheckpoint(f"A tower's width {width} is no multiple of its {heads} heads")
    return VisionConfig(image, patch, width, _depth(weights), int(linear1.shape[0]), heads)


def _matrix(weights: dict[str, Tensor], name: str) -> Tensor:
    tensor = needed(weights, name)
    if tensor.ndim != 2:
        raise UnusableCheckpoint(f"{released_name(name)} is {tuple(tensor.shape)}, not a matrix")
    return tensor


def _depth(weights: dict[str, Tensor]) -> int:
    """How many blocks there are; where one is missing among them, its key will be."""
    pattern = re.compile(rf"{re.escape(PET_TOWER)}blocks\.(\d{{1,4}})\.")
    found = (pattern.match(key) for key in weights)
    return len({int(match[1]) for match in found if match is not None})


def _pooling(stated: dict[str, Any], vision: VisionConfig) -> int:
    pooling = _positive(stated, "proj_pooling_size", 2)
    if any(n % pooling for n in vision.grid):
        raise UnusableCheckpoint(
            f"config.json: proj_pooling_size {pooling} does not divide the grid {vision.grid}"
        )
    return pooling


def _language(stated: dict[str, Any], weights: dict[str, Tensor]) -> dict[str, Any]:
    language = {key: stated[key] for key in LANGUAGE_FIELDS if stated.get(key) is not None}
    for field in LANGUAGE_SIZES:
        _positive(stated, field, None)
    rows, layers = language["vocab_size"], language["num_hidden_layers"]
    for name in ("language.model.embed_tokens.weight", "language.lm_head.weight"):
        found = len(_matrix(weights, name))
        if found != rows:
            raise UnusableCheckpoint(
                f"config.json: vocab_size is {rows}; {released_name(name)} has {found} rows"
            )
    needed(weights, f"language.model.layers.{layers - 1}.input_layernorm.weight")
    return language | NO_IDS | {"tie_word_embeddings": False}


def _size(stated: dict[str, Any], field: str, default: Size) -> Size:
    value = stated.get(field) or default
    match value:
        case [int(z), int(y), int(x)] if min(z, y, x) > 0:
            return z, y, x
    raise UnusableCheckpoint(f"config.json: {field} is three numbers (z, y, x), not {value!r}")


def _positive(stated: dict[str, Any], field: str, default: int | None) -> int:
    value = stated.get(field)
    if value is None:
        value = default
    if value is None:
        raise UnusableCheckpoint(f"config.json lacks {field}")
    if type(value) is not int or value < 1:
        raise UnusableCheckpoint(f"config.json: {field} is a whole number above 0, not {value!r}")
    return value
