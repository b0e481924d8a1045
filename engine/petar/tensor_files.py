"""Weights files of a Hugging Face style folder to tensors under the names they have there.

Tensors stay in their files (mapped) until somebody copies them. Nothing of a file is executed.
"""

import json
import pickle
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from engine.errors import UnusableCase

# whole or by an index, in the order in which they are looked for
FORMS = (
    ("model.safetensors.index.json", True),
    ("model.safetensors", False),
    ("pytorch_model.bin.index.json", True),
    ("pytorch_model.bin", False),
    ("model_with_lora.bin", False),
)
# what the readers were seen to raise for files with bytes changed or missing
READING_FAULTS = (
    SafetensorError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError,
    AssertionError, struct.error, zipfile.BadZipFile, MemoryError, ArithmeticError,
)  # fmt: skip


class UnusableCheckpoint(UnusableCase):
    """A folder that must not serve; the message names the file or the key."""

    code = "unusable-checkpoint"


@dataclass(frozen=True, slots=True, eq=False)
class FoundTensors:
    """All tensors of a folder by their names there, and the files they lie in."""

    tensors: dict[str, Tensor]
    files: tuple[Path, ...]


def read_tensors(folder: Path) -> FoundTensors:
    """Every tensor of a folder's weights files. Raises UnusableCheckpoint."""
    files = _weight_files(folder)
    tensors: dict[str, Tensor] = {}
    for path in files:
        for key, tensor in _read_file(path).items():
            if key in tensors:
                raise UnusableCheckpoint(f"{key} is in more than one weights file")
            tensors[key] = tensor
    return FoundTensors(tensors, files)


def _weight_files(folder: Path) -> tuple[Path, ...]:
    for name, is_index in FORMS:
        path = folder / name
        if path.is_file():
            return _shards(path) if is_index else (path,)
    raise UnusableCheckpoint(
        f"{folder.name} holds no weights: looked for {', '.join(name for name, _ in FORMS)}"
    )


def _shards(index: Path) -> tuple[Path, ...]:
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        paths = tuple(index.parent / Path(name).name for name in names)
    except (ValueError, KeyError, AttributeError, TypeError) as exc:
        raise UnusableCheckpoint(f"{index.name} is no index of weights files") from exc
    for name, path in zip(names, paths, strict=True):
        if path.name != name:
            raise UnusableCheckpoint(f"{index.name} names {name!r}, which is no file of the folder")
        if not path.is_file():
            raise UnusableCheckpoint(f"{index.name} names {name}, which is not in the folder")
    if not paths:
        raise UnusableCheckpoint(f"{index.name} names no weights file")
    return paths


def _read_file(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # only the zip form, torch's since 1.6, can be mapped
        mapped = zipfile.is_zipfile(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as exc:
        raise UnusableCheckpoint(
            f"{path.name} cannot be read as tensors alone, and is not read otherwise, since that "
            "could run code in it: convert it to safetensors, or fetch it again if it is damaged"
        ) from exc
    except OSError as exc:
        raise UnusableCheckpoint(f"{path.name} cannot be opened: {exc.strerror or exc}") from exc
    except READING_FAULTS as exc:
        raise UnusableCheckpoint(f"{path.name} is damaged or cut short: fetch it again") from exc
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise UnusableCheckpoint(f"{path.name} is no plain dict of tensors")
    return {str(key): tensor.detach() for key, tensor in content.items()}
