"""Weights files to one dict of tensors under our names; nothing is guessed, nothing is executed.

Their names are those of the released code (docs/reference/petar.md). Accepted aliases: the name of
the mask embedding before July 2025, patch projections stored as a convolution, and the trainer's
LoRA form, which is merged here.
"""

import hashlib
import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from engine.errors import UnusableCase

LORA_ALPHA = 32  # the trainer's; the rank is the adapter's number of rows
IGNORED = re.compile(r"^model\.(seg_module|seg_projector)\.|rotary_emb\.inv_freq$")
OURS = (
    (re.compile(r"^model\.vision_tower\."), "towers."),
    (re.compile(r"^model\.mm_projector\."), "projector."),
    (re.compile(r"^model\.(embed_tokens|layers|norm)\."), r"language.model.\1."),
    (re.compile(r"^lm_head\."), "language.lm_head."),
)


class UnusableCheckpoint(UnusableCase):
    """A folder that must not serve; the message names the file or the key."""

    code = "unusable-checkpoint"


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Every tensor of a checkpoint folder, by our names, aliases resolved and LoRA merged."""
    theirs = _merged(_without_prefix(_read_files(folder)))
    ours: dict[str, Tensor] = {}
    for key, tensor in theirs.items():
        if IGNORED.search(key):
            continue
        name, value = _ours(key, tensor)
        if name in ours:
            raise UnusableCheckpoint(f"{key} is there twice, under two of its names")
        ours[name] = value
    for name, tensor in ours.items():
        if not bool(torch.isfinite(tensor).all()):
            raise UnusableCheckpoint(f"{name} holds values that are not finite")
    return ours


def digest(weights: dict[str, Tensor]) -> str:
    """sha256 over names, types, shapes and values: the same however the files were sharded."""
    sha = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(memoryview(tensor.view(-1).view(torch.uint8).numpy()))
    return sha.hexdigest()


def _read_files(folder: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for path in _weight_files(folder):
        for key, tensor in _read_file(path).items():
            if key in tensors:
                raise UnusableCheckpoint(f"{key} is in more than one weights file of {folder.name}")
            tensors[key] = tensor
    return tensors


def _weight_files(folder: Path) -> list[Path]:
    for index_name in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        index = folder / index_name
        if index.is_file():
            return _shards(index)
    for name in ("model.safetensors", "pytorch_model.bin", "model_with_lora.bin"):
        if (folder / name).is_file():
            return [folder / name]
    raise UnusableCheckpoint(
        f"{folder} holds no weights: model.safetensors (or its index), pytorch_model.bin "
        "or model_with_lora.bin"
    )


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError) as exc:
        raise UnusableCheckpoint(f"{index.name} is no index of weights files") from exc
    paths = [index.parent / str(name) for name in names]
    for path in paths:
        if path.name != path.relative_to(index.parent).as_posix() or not path.is_file():
            raise UnusableCheckpoint(f"{index.name} names {path.name}, which is not in the folder")
    return paths


def _read_file(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as exc:
        raise UnusableCheckpoint(
            f"{path.name} holds more than tensors (it would run code): convert it to safetensors"
        ) from exc
    except (SafetensorError, RuntimeError, EOFError, ValueError, OSError) as exc:
        raise UnusableCheckpoint(f"{path.name} is damaged or truncated: {exc}") from exc
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise UnusableCheckpoint(f"{path.name} is no plain dict of tensors")
    return content


def _without_prefix(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix("base_model.model."): tensor for key, tensor in theirs.items()}


def _merged(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """W + (alpha / r) B A for every adapted linear layer, in float32."""
    merged = {
        key.replace(".base_layer.", "."): tensor
        for key, tensor in theirs.items()
        if ".lora_" not in key
    }
    for stem, a, b in _adapters(theirs):
        base = theirs.get(f"{stem}.base_layer.weight")
        if base is None:
            raise UnusableCheckpoint(f"{stem} has an adapter and no base_layer.weight")
        if b.shape[1] != a.shape[0] or (b.shape[0], a.shape[1]) != tuple(base.shape):
            raise UnusableCheckpoint(f"{stem}: its adapter does not fit {tuple(base.shape)}")
        update = (LORA_ALPHA / a.shape[0]) * (b.float() @ a.float())
        merged[f"{stem}.weight"] = (base.float() + update).to(base.dtype)
    return merged


def _adapters(theirs: dict[str, Tensor]) -> Iterator[tuple[str, Tensor, Tensor]]:
    stems = {key.split(".lora_")[0] for key in theirs if ".lora_" in key}
    for stem in sorted(stems):
        a = theirs.get(f"{stem}.lora_A.default.weight")
        b = theirs.get(f"{stem}.lora_B.default.weight")
        if a is None or b is None:
            raise UnusableCheckpoint(f"{stem} has one half of an adapter: lora_A and lora_B belong")
        yield stem, a, b


def _ours(key: str, tensor: Tensor) -> tuple[str, Tensor]:
    name = key.replace("patch_embedding_contour.", "patch_embedding_mask.")
    convolution = re.search(r"\.patch_embeddings\.(weight|bias)$", name)
    if convolution is not None:
        name = name.replace(".patch_embeddings.", ".patch_embeddings.1.")
        if convolution[1] == "weight":
            tensor = tensor.reshape(tensor.shape[0], -1)
    for pattern, replacement in OURS:
        if pattern.search(name):
            return pattern.sub(replacement, name), tensor
    raise UnusableCheckpoint(f"{key} is no weight of PETAR")
