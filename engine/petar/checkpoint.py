"""A checkpoint folder to a network that may serve, or a refusal that names the key.

The keys decide the encoder (one shared tower or two), the shapes decide the sizes, and config.json
says what shapes cannot. No code of the folder is ever run.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from engine.petar.config import PetarConfig, Size, VisionConfig
from engine.petar.model import PetarNetwork
from engine.petar.weights import UnusableCheckpoint, digest, read_weights

MODEL_TYPES = ("lamed_phi3", "petar_phi3")
LANGUAGE_FIELDS = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "rms_norm_eps", "rope_theta", "rope_scaling", "rope_parameters",
    "max_position_embeddings", "original_max_position_embeddings", "sliding_window", "hidden_act",
    "tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id", "attention_bias",
)  # fmt: skip
STOP_WORDS = ("<|endoftext|>", "<|assistant|>", "<|end|>")
HEAD_WIDTH = 64  # no field of the released config gives the number of heads


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A network in evaluation mode with all it needs to serve."""

    network: PetarNetwork
    tokenizer: PreTrainedTokenizerBase
    stop_ids: frozenset[int]
    name: str
    version: str
    weights_sha256: str


def load_checkpoint(
    folder: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> Checkpoint:
    """Read, check, build. `dtype` None keeps bfloat16 on a GPU and float32 on a CPU.

    Raises UnusableCheckpoint.
    """
    stated = _read_json(folder / "config.json")
    weights = read_weights(folder)
    config = config_of(stated, weights)
    network = _built(config, weights)
    tokenizer = _tokenizer(folder, config)
    device = torch.device(device)
    if dtype is None:
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    sha256 = digest(weights)
    return Checkpoint(
        network.to(device=device, dtype=dtype).eval(),
        tokenizer,
        _stop_ids(folder, stated, tokenizer),
        str(stated.get("_name_or_path") or folder.name).rstrip("/").rsplit("/", 1)[-1],
        str(stated.get("version", sha256[:12])),
        sha256,
    )


def config_of(stated: dict[str, Any], weights: dict[str, Tensor]) -> PetarConfig:
    """The network's sizes, from config.json and the shapes of the weights."""
    if stated.get("model_type") not in MODEL_TYPES:
        raise UnusableCheckpoint(
            f"config.json says model_type {stated.get('model_type')!r}; PETAR is one of {MODEL_TYPES}"
        )
    _refuse_other_features(stated)
    _refuse_base_m3d(weights)
    language = {key: stated[key] for key in LANGUAGE_FIELDS if stated.get(key) is not None}
    if "hidden_size" not in language:
        raise UnusableCheckpoint("config.json lacks hidden_size")
    return PetarConfig(
        vision=_vision(stated, weights),
        pooling=int(stated.get("proj_pooling_size", 2)),
        has_shared_encoder=not any(key.startswith("towers.ct_tower.") for key in weights),
        language=language,
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise UnusableCheckpoint(f"{path.parent} lacks {path.name}") from exc
    except ValueError as exc:
        raise UnusableCheckpoint(f"{path.name} is not valid JSON") from exc
    if not isinstance(content, dict):
        raise UnusableCheckpoint(f"{path.name} is not a JSON object")
    return content


def _refuse_other_features(stated: dict[str, Any]) -> None:
    if stated.get("vision_select_feature", "patch") != "patch":
        raise UnusableCheckpoint("vision_select_feature is not 'patch': the CT would be dropped")
    if stated.get("vision_select_layer", -1) != -1:
        raise UnusableCheckpoint("vision_select_layer is not -1: only the last layer is supported")
    for field in ("use_mask", "use_ct"):
        if stated.get(field, True) is False:
            raise UnusableCheckpoint(f"{field} is false: this is an ablation, not PETAR")


def _refuse_base_m3d(weights: dict[str, Tensor]) -> None:
    first = weights.get("projector.projector.0.weight")
    position = weights.get("towers.vision_tower.patch_embedding.position_embeddings")
    has_mask = any(".patch_embedding_mask." in key for key in weights)
    if first is None or position is None or has_mask:
        return
    if first.shape[1] == position.shape[2]:
        raise UnusableCheckpoint(
            "This is a base M3D checkpoint, not PETAR: it has no mask embedding and "
            "projector.0 takes one tower"
        )


def _vision(stated: dict[str, Any], weights: dict[str, Tensor]) -> VisionConfig:
    tower = "towers.vision_tower."
    embedding = _needed(weights, f"{tower}patch_embedding.patch_embeddings.1.weight")
    linear1 = _needed(weights, f"{tower}blocks.0.mlp.linear1.weight")
    width = int(embedding.shape[0])
    image = _size(stated, "image_size", (32, 256, 256))
    patch = _size(stated, "patch_size", (4, 16, 16))
    if math.prod(patch) != embedding.shape[1]:
        raise UnusableCheckpoint(
            f"patch_size {patch} has {math.prod(patch)} voxels; patch_embeddings.1.weight takes "
            f"{embedding.shape[1]}"
        )
    return VisionConfig(
        image_size=image,
        patch_size=patch,
        width=width,
        depth=_depth(weights, tower),
        mlp_width=int(linear1.shape[0]),
        heads=int(stated.get("vision_num_heads", max(width // HEAD_WIDTH, 1))),
    )


def _size(stated: dict[str, Any], field: str, default: Size) -> Size:
    value = stated.get(field, default)
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise UnusableCheckpoint(f"config.json: {field} is three numbers (z, y, x), not {value!r}")
    z, y, x = (int(n) for n in value)
    return z, y, x


def _depth(weights: dict[str, Tensor], tower: str) -> int:
    prefix = f"{tower}blocks."
    return 1 + max(
        int(key.removeprefix(prefix).split(".")[0]) for key in weights if key.startswith(prefix)
    )


def _needed(weights: dict[str, Tensor], key: str) -> Tensor:
    if key not in weights:
        raise UnusableCheckpoint(f"The weights lack {key}")
    return weights[key]


def _built(config: PetarConfig, weights: dict[str, Tensor]) -> PetarNetwork:
    with torch.device("meta"):
        network = PetarNetwork(config)
    expected = network.state_dict()
    for key, tensor in expected.items():
        found = _needed(weights, key)
        if found.shape != tensor.shape:
            raise UnusableCheckpoint(
                f"{key} is {tuple(found.shape)}; the network needs {tuple(tensor.shape)}"
            )
    for key in weights:
        if key not in expected:
            raise UnusableCheckpoint(f"{key} is no weight of this network")
    network.load_state_dict(weights, strict=True, assign=True)
    # what is no weight was made on no device: rotary frequencies are computed again
    network.language.model.rotary_emb = type(network.language.model.rotary_emb)(
        config=network.language.config
    )
    return network


def _tokenizer(folder: Path, config: PetarConfig) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder,
            config=PreTrainedConfig(),  # config.json names code that is not run, and says no more
            trust_remote_code=False,
            local_files_only=True,
        )
    except (OSError, ValueError, ImportError, KeyError, TypeError) as exc:
        raise UnusableCheckpoint(f"{folder.name} holds no tokenizer that can be read") from exc
    rows = int(config.language["vocab_size"])
    if len(tokenizer) > rows:
        raise UnusableCheckpoint(
            f"The tokenizer has {len(tokenizer)} entries and the embedding {rows} rows"
        )
    ids = list(tokenizer("<im_patch>" * 2 + "What").input_ids)
    patch = tokenizer.convert_tokens_to_ids("<im_patch>")
    if not ids or ids[0] != tokenizer.bos_token_id:
        raise UnusableCheckpoint("The tokenizer does not begin with BOS: visual tokens would shift")
    if patch is None or patch == tokenizer.unk_token_id or ids[1:3] != [patch, patch]:
        raise UnusableCheckpoint("The tokenizer does not know <im_patch> as one token")
    return tokenizer


def _stop_ids(
    folder: Path, stated: dict[str, Any], tokenizer: PreTrainedTokenizerBase
) -> frozenset[int]:
    generation = folder / "generation_config.json"
    sources = [_read_json(generation)] if generation.is_file() else []
    for source in [*sources, stated]:
        eos = source.get("eos_token_id")
        if eos is not None:
            return frozenset(int(i) for i in (eos if isinstance(eos, list) else [eos]))
    known = tokenizer.get_vocab()
    ids = frozenset(known[word] for word in STOP_WORDS if word in known)
    if not ids:
        raise UnusableCheckpoint("No eos_token_id in generation_config.json, config.json or tokens")
    return ids
