"""What a checkpoint folder is and whether it can serve, without building its network."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from transformers import PreTrainedTokenizerFast

from engine.petar.checkpoint import empty, name_of, refuse_misfits, version_of
from engine.petar.config import PetarConfig
from engine.petar.placement import chosen_device, chosen_dtype
from engine.petar.released_config import config_of, is_demonstration, profile_of, read_json
from engine.petar.tensor_files import UnusableCheckpoint
from engine.petar.tokenizing import PLACEHOLDER, read_tokenizer, stop_ids
from engine.petar.weights import Weights, digest, read_weights

P = ParamSpec("P")
Result = TypeVar("Result")
UNKNOWN_ROWS = 1 << 31


@dataclass(slots=True)
class Inspection:
    """What was found; fields that a refusal keeps from being known are absent from `found`."""

    name: str
    found: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    @property
    def can_serve(self) -> bool:
        return not self.refusals

    def attempt(
        self, step: Callable[P, Result], *args: P.args, **kwargs: P.kwargs
    ) -> Result | None:
        """What a step gives, or None, its refusal noted: the other steps still tell theirs."""
        try:
            return step(*args, **kwargs)
        except UnusableCheckpoint as exc:
            self.refusals.append(str(exc))
            return None


def inspect_folder(folder: Path) -> Inspection:
    """Read and check all that a load would, and say what it is. Reads every weight once."""
    told = Inspection(name_of(folder))
    stated = told.attempt(read_json, folder / "config.json")
    weights = told.attempt(read_weights, folder)
    config = sha256 = None
    if weights is not None:
        sha256 = digest(weights.tensors)
        _tell_weights(told, weights, sha256)
        if stated is not None:
            config = told.attempt(config_of, stated, weights.tensors)
    if stated is not None:
        _tell_origin(told, stated)
    if weights is not None and config is not None:
        network = told.attempt(empty, config)
        if network is not None:
            told.attempt(refuse_misfits, network, weights.tensors)
        _tell_network(told, config)
    rows = UNKNOWN_ROWS if config is None else int(config.language["vocab_size"])
    tokenizer = told.attempt(read_tokenizer, folder, rows)
    if tokenizer is None:
        return told
    _tell_tokenizer(told, tokenizer, rows)
    stops = told.attempt(stop_ids, folder, stated or {}, tokenizer, rows)
    if stops is not None:
        told.found["stop_ids"] = sorted(stops)
        if stated is not None and config is not None and sha256 is not None:
            told.found["version"] = version_of(stated, sha256, config, tokenizer, stops)
    if not (folder / "generation_config.json").is_file():
        told.notes.append("No generation_config.json: answers end at the ids shown")
    return told


def _tell_origin(told: Inspection, stated: dict[str, Any]) -> None:
    profile = told.attempt(profile_of, stated)
    if profile is not None:
        told.found["profile"] = profile.name
    if told.attempt(is_demonstration, stated):
        told.notes.append("A demonstration trained on synthetic phantoms, not for clinical use")


def _tell_weights(told: Inspection, weights: Weights, sha256: str) -> None:
    parameters = sum(tensor.numel() for tensor in weights.tensors.values())
    told.found |= {
        "files": [path.name for path in weights.files],
        "files_gb": round(sum(path.stat().st_size for path in weights.files) / 1e9, 3),
        "parameters": parameters,
        "stored_as": list(weights.dtypes),
        "weights_sha256": sha256,
    }
    if weights.adapters:
        told.notes.append(f"LoRA adapters of {weights.adapters} layers are merged while loading")
    if weights.ignored:
        told.notes.append(f"{weights.ignored} keys of the segmentation module are left out")
    _tell_placement(told, parameters)


def _tell_placement(told: Inspection, parameters: int) -> None:
    device = chosen_device("auto")
    dtype = chosen_dtype(None, device)
    told.found["would_run"] = {
        "device": device.type,
        "dtype": str(dtype).removeprefix("torch."),
        "weights_gb": round(parameters * dtype.itemsize / 1e9, 3),
    }
    if device.type == "cpu":
        told.notes.append("No GPU here: it would run on the CPU, which is slow at full size")


def _tell_network(told: Inspection, config: PetarConfig) -> None:
    vision, language = config.vision, config.language
    told.found["encoder"] = (
        "one tower for PET and CT" if config.has_shared_encoder else "a PET and a CT tower"
    )
    told.found["vision"] = {
        "image_size": list(vision.image_size),
        "patch_size": list(vision.patch_size),
        "width": vision.width,
        "depth": vision.depth,
        "mlp_width": vision.mlp_width,
        "heads": vision.heads,
        "visual_tokens": config.visual_tokens,
    }
    fields = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
    told.found["language"] = {field: language[field] for field in fields}


def _tell_tokenizer(told: Inspection, tokenizer: PreTrainedTokenizerFast, rows: int) -> None:
    told.found["tokenizer"] = {
        "entries": len(tokenizer),
        "bos_id": tokenizer.bos_token_id,
        "placeholder_id": tokenizer.get_vocab()[PLACEHOLDER],
    }
    if len(tokenizer) < rows < UNKNOWN_ROWS:
        told.notes.append(f"The language model has {rows} rows for {len(tokenizer)} entries")
