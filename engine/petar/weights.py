"""Tensors under the names of the released code to tensors under ours; nothing is guessed.

Their names, and the aliases that are taken, stand in docs/guide/model.md: the mask embedding's name
before July 2025, patch projections stored as a convolution, and the trainer's LoRA form, which is
merged here.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from engine.petar.tensor_files import UnusableCheckpoint, read_tensors

PREFIX = "base_model.model."  # the adapter library's
LORA_ALPHA = 32  # the trainer's; the rank is the adapter's number of rows
IGNORED = re.compile(r"^model\.(seg_module|seg_projector)\.|rotary_emb\.inv_freq$")
OURS = (
    ("model.vision_tower.", "towers."),
    ("model.mm_projector.", "projector."),
    ("model.embed_tokens.", "language.model.embed_tokens."),
    ("model.layers.", "language.model.layers."),
    ("model.norm.", "language.model.norm."),
    ("lm_head.", "language.lm_head."),
)
Result = TypeVar("Result")
FLOATS = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Every weight by our name, and what was met on the way to it."""

    tensors: dict[str, Tensor]
    files: tuple[Path, ...]
    adapters: int  # linear layers whose adapter was merged
    ignored: int  # keys of the segmentation module and of what is computed anew

    @property
    def dtypes(self) -> tuple[str, ...]:
        return tuple(sorted({str(t.dtype).removeprefix("torch.") for t in self.tensors.values()}))


def read_weights(folder: Path) -> Weights:
    """Every tensor of a checkpoint folder, by our names, aliases resolved and LoRA merged.

    Raises UnusableCheckpoint: a key that is unknown or there twice, half an adapter, a damaged
    file, a value that is not finite or not floating point.
    """
    found = read_tensors(folder)
    theirs = _unique((key.removeprefix(PREFIX), tensor) for key, tensor in found.tensors.items())
    wanted = {key: tensor for key, tensor in theirs.items() if not IGNORED.search(key)}
    _refuse_other_types(wanted)
    adapters = _adapters(wanted)
    ours = _unique(_ours(key, tensor) for key, tensor in _merged(wanted, adapters))
    _refuse_not_finite(ours)
    return Weights(ours, found.files, len(adapters), len(theirs) - len(wanted))


def released_name(name: str) -> str:
    """The name that one of our weights has in a released checkpoint."""
    for theirs, ours in OURS:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


def digest(weights: dict[str, Tensor]) -> str:
    """sha256 over names, types, shapes and values: the same however the files were cut or named."""
    names = sorted(weights)
    sha = hashlib.sha256()
    values = _of_each(_values_digest, (weights[name] for name in names))
    for name, value in zip(names, values, strict=True):
        tensor = weights[name]
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {value}\n".encode())
    return sha.hexdigest()


def _values_digest(tensor: Tensor) -> str:
    plain = tensor.contiguous().view(-1).view(torch.uint8).numpy()
    return hashlib.sha256(plain.data).hexdigest()


def _of_each(task: Callable[[Tensor], Result], tensors: Iterable[Tensor]) -> list[Result]:
    """Whole files pass through here: hashing and torch let other threads run meanwhile."""
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(task, tensors))


def _unique(named: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    unique: dict[str, Tensor] = {}
    for name, tensor in named:
        if name in unique:
            raise UnusableCheckpoint(f"{released_name(name)} is there twice, under two names")
        unique[name] = tensor
    return unique


def _refuse_other_types(theirs: dict[str, Tensor]) -> None:
    for key, tensor in theirs.items():
        if tensor.dtype not in FLOATS or tensor.layout != torch.strided:
            raise UnusableCheckpoint(
                f"{key} is {tensor.dtype}: weights are floating point, neither quantised nor sparse"
            )


def _refuse_not_finite(ours: dict[str, Tensor]) -> None:
    finite = _of_each(lambda tensor: bool(torch.isfinite(tensor).all()), ours.values())
    for name, is_finite in zip(ours, finite, strict=True):
        if not is_finite:
            raise UnusableCheckpoint(f"{released_name(name)} holds values that are not finite")


def _adapters(theirs: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Base, A and B of every adapted linear layer, by the layer's name."""
    stems = {key.split(".lora_")[0] for key in theirs if ".lora_" in key}
    stems |= {key.split(".base_layer.")[0] for key in theirs if ".base_layer." in key}
    return {stem: _adapter(theirs, stem) for stem in sorted(stems)}


def _adapter(theirs: dict[str, Tensor], stem: str) -> tuple[Tensor, Tensor, Tensor]:
    parts = [f"{stem}.{part}.weight" for part in ("base_layer", "lora_A.default", "lora_B.default")]
    for key in parts:
        if key not in theirs:
            raise UnusableCheckpoint(f"{stem} has part of an adapter and lacks {key}")
    base, a, b = (theirs[key] for key in parts)
    if (
        not base.ndim == a.ndim == b.ndim == 2
        or a.shape[0] == 0
        or b.shape[1] != a.shape[0]
        or (b.shape[0], a.shape[1]) != base.shape
    ):
        raise UnusableCheckpoint(
            f"{stem}: lora_B {tuple(b.shape)} x lora_A {tuple(a.shape)} does not fit its "
            f"base_layer {tuple(base.shape)}"
        )
    return base, a, b


def _merged(
    theirs: dict[str, Tensor], adapters: dict[str, tuple[Tensor, Tensor, Tensor]]
) -> Iterator[tuple[str, Tensor]]:
    """W + (alpha / r) B A for every adapted linear layer, computed in float32."""
    merged_away = {
        f"{stem}.{part}.weight"
        for stem in adapters
        for part in ("base_layer", "lora_A.default", "lora_B.default")
    }
    for key, tensor in theirs.items():
        if key not in merged_away:
            yield key.replace(".base_layer.", "."), tensor
    for stem, (base, a, b) in adapters.items():
        update = (LORA_ALPHA / a.shape[0]) * (b.float() @ a.float())
        yield f"{stem}.weight", (base.float() + update).to(base.dtype)


def _ours(key: str, tensor: Tensor) -> tuple[str, Tensor]:
    name = key.replace("patch_embedding_contour.", "patch_embedding_mask.")
    convolution = re.search(r"\.patch_embeddings\.(weight|bias)$", name)
    if convolution is not None:
        name = name.replace(".patch_embeddings.", ".patch_embeddings.1.")
        if convolution[1] == "weight" and tensor.ndim > 2:
            tensor = tensor.reshape(tensor.shape[0], -1)
    for theirs, ours in OURS:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs), tensor
    raise UnusableCheckpoint(f"{key} is no weight of PETAR")
