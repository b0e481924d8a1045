"""A checkpoint folder to a network that may serve, or a refusal that names the key.

No code of the folder is ever run.
"""

import hashlib
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from engine.errors import ModelFault
from engine.finding import ModelIdentity
from engine.petar.config import PetarConfig, Profile
from engine.petar.model import PetarNetwork
from engine.petar.placement import chosen_device, chosen_dtype
from engine.petar.released_config import config_of, is_demonstration, needed, profile_of, read_json
from engine.petar.tensor_files import UnusableCheckpoint
from engine.petar.tokenizing import prompt_ids, read_tokenizer, stop_ids
from engine.petar.weights import digest, read_weights, released_name

__all__ = ["Checkpoint", "UnusableCheckpoint", "build", "load_checkpoint"]


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A network in evaluation mode with all it needs to serve."""

    network: PetarNetwork
    tokenizer: PreTrainedTokenizerFast
    stop_ids: frozenset[int]
    name: str
    version: str  # changes with whatever decides the words: weights, sizes, tokenizer, stop ids
    weights_sha256: str
    profile: Profile | None = None  # how its views were cut in training, where config.json says so
    is_demonstration: bool = False

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.network.parameters()).dtype

    def prompt_ids(self, prompt: str) -> list[int]:
        """What visual tokens are spliced into. Raises UnusableCheckpoint."""
        return prompt_ids(self.tokenizer, prompt, self.network.config.visual_tokens)

    def identity(self, *, profile: str, prompt: str) -> ModelIdentity:
        """Who writes the words, as reports and jobs name it."""
        return ModelIdentity(
            name=self.name,
            version=self.version,
            weights_sha256=self.weights_sha256,
            device=self.device.type,
            dtype=str(self.dtype).removeprefix("torch."),
            is_demonstration=self.is_demonstration,
            profile=profile,
            prompt=prompt,
        )


def load_checkpoint(
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | str | None = None,
) -> Checkpoint:
    """Read, check, build. `device` may be `auto`; `dtype` None is what suits the device.

    Raises UnusableCheckpoint, and ModelFault where the device is absent or too small.
    """
    device = chosen_device(device)
    dtype = chosen_dtype(dtype, device)
    stated = read_json(folder / "config.json")
    weights = read_weights(folder).tensors
    config = config_of(stated, weights)
    rows = int(config.language["vocab_size"])
    tokenizer = read_tokenizer(folder, rows)
    stops = stop_ids(folder, stated, tokenizer, rows)
    sha256 = digest(weights)
    return Checkpoint(
        network=build(config, weights, device, dtype),
        tokenizer=tokenizer,
        stop_ids=stops,
        name=name_of(folder),
        version=version_of(stated, sha256, config, tokenizer, stops),
        weights_sha256=sha256,
        profile=profile_of(stated),
        is_demonstration=is_demonstration(stated),
    )


def name_of(folder: Path) -> str:
    """The folder's own name: config.json names whatever the training began with."""
    return re.sub(r"[^A-Za-z0-9._+-]", "_", folder.resolve().name)[:48]


def version_of(
    stated: dict[str, Any],
    weights_sha256: str,
    config: PetarConfig,
    tokenizer: PreTrainedTokenizerFast,
    stops: frozenset[int],
) -> str:
    """The stated version, if any, and a digest of everything that decides the words."""
    sha = hashlib.sha256(f"{weights_sha256}\n{sorted(asdict(config).items())}\n".encode())
    sha.update(f"{sorted(stops)}\n{tokenizer.bos_token_id}\n".encode())
    sha.update(tokenizer.backend_tokenizer.to_str().encode())
    version = re.sub(r"[^A-Za-z0-9._-]", "_", str(stated.get("version") or ""))[:32]
    return f"{version}+{sha.hexdigest()[:12]}" if version else sha.hexdigest()[:12]


def empty(config: PetarConfig) -> PetarNetwork:
    """The network without memory for its weights: shapes alone."""
    try:
        with torch.device("meta"):
            return PetarNetwork(config)
    except (StrictDataclassError, ValueError, TypeError, KeyError, RuntimeError) as exc:
        raise UnusableCheckpoint(
            f"config.json describes no Phi-3: {' '.join(str(exc).split())}"
        ) from exc


def refuse_misfits(network: PetarNetwork, weights: dict[str, Tensor]) -> None:
    """Every weight is there, in its shape, and no other."""
    expected = network.state_dict()
    for name, tensor in expected.items():
        found = needed(weights, name)
        if found.shape != tensor.shape:
            raise UnusableCheckpoint(
                f"{released_name(name)} is {tuple(found.shape)}; "
                f"the network needs {tuple(tensor.shape)}"
            )
    for name in weights:
        if name not in expected:
            raise UnusableCheckpoint(f"{released_name(name)} is no weight of this network")


def build(
    config: PetarConfig, weights: dict[str, Tensor], device: torch.device, dtype: torch.dtype
) -> PetarNetwork:
    """A network that holds copies: its files may change or go. Empties `weights` on the way."""
    network = empty(config)
    refuse_misfits(network, weights)
    try:
        copies = {name: weights.pop(name).to(device, dtype, copy=True) for name in list(weights)}
    except torch.OutOfMemoryError as exc:
        raise ModelFault(
            f"The weights do not fit into the memory of {device}", code="model-out-of-memory"
        ) from exc
    network.load_state_dict(copies, strict=True, assign=True)
    # rotary frequencies are no weights: made anew, and in float32 whatever the network's type is
    rotary = network.language.model.rotary_emb
    network.language.model.rotary_emb = type(rotary)(config=network.language.config).to(device)
    return network.requires_grad_(False).eval()
