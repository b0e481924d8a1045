"""A trained network as a folder that serves, in the names of the released code."""

import json
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.cohort.stored import replacing
from engine.petar.weights import released_name
from engine.training.recipe import Recipe
from engine.training.starting import Student

VERSIONS = ("pacsnode", "torch", "transformers", "tokenizers", "accelerate", "peft", "numpy")


def publish(student: Student, out: Path, store: str, account: dict[str, Any]) -> None:
    """Write config.json, weights, tokenizer, generation_config.json and training.json."""
    dtype = torch.bfloat16 if store == "bfloat16" else torch.float32
    out.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {
        released_name(name): tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in student.network.state_dict().items()
    }
    with replacing(out / "model.safetensors") as part:
        save_file(tensors, part, metadata={"format": "pt"})
    with tempfile.TemporaryDirectory(dir=out, prefix=".part-") as made:
        folder = Path(made)
        student.write_tokenizer(folder)
        _write_json(folder / "config.json", student.config | {"torch_dtype": store})
        stops = list(student.stop_ids)
        _write_json(
            folder / "generation_config.json",
            {"bos_token_id": student.tokenizer.bos_token_id, "eos_token_id": stops},
        )
        _write_json(folder / "training.json", account)
        for path in sorted(folder.iterdir()):
            path.replace(out / path.name)


def account_of(recipe: Recipe, **told: Any) -> dict[str, Any]:
    """How the weights came about: the recipe and what it ran on; no path and no host's name."""
    said = recipe.model_dump(mode="json", exclude={"run": {"out"}})
    for section, key in (("model", "start"), ("data", "folder")):
        if said[section][key] is not None:
            said[section][key] = Path(said[section][key]).name
    return {
        "recipe": said,
        **told,
        "versions": {"python": platform.python_version()} | {n: version(n) for n in VERSIONS},
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
