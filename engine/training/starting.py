"""The network that a run begins with: a new one and its tokenizer, or a checkpoint's."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from engine.cohort.dataset import read_records
from engine.evaluating.masking import masked
from engine.petar.checkpoint import load_checkpoint
from engine.petar.config import PROFILES, PetarConfig, VisionConfig
from engine.petar.model import PetarNetwork
from engine.petar.released_config import NO_IDS, read_json
from engine.training.looking import look_at_the_mask
from engine.training.new_weights import initialise
from engine.training.recipe import LanguageSizes, Phantoms, Recipe, VisionSizes
from engine.training.vocabulary import phantom_words, train_tokenizer

_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "added_tokens.json",
    "special_tokens_map.json", "chat_template.jinja",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Student:
    """What is to be trained, and what its folder will say of it."""

    network: PetarNetwork
    tokenizer: PreTrainedTokenizerFast
    stop_ids: tuple[int, ...]
    config: dict[str, Any]  # config.json
    tokenizer_from: Path | None  # the folder whose tokenizer it has; None: it is new

    def write_tokenizer(self, folder: Path) -> None:
        """The tokenizer's files, as they were or new."""
        if self.tokenizer_from is None:
            self.tokenizer.save_pretrained(folder)
            return
        for name in _TOKENIZER_FILES:
            if (self.tokenizer_from / name).is_file():
                shutil.copyfile(self.tokenizer_from / name, folder / name)


def student_of(recipe: Recipe) -> Student:
    """Begin. Raises UnusableCheckpoint, Unreadable."""
    sizes = recipe.model.sizes
    if sizes is None:
        student = _of_checkpoint(recipe.model.start or Path(), recipe)
    else:
        student = _new(recipe, *sizes)
    if recipe.model.looks:
        look_at_the_mask(student.network, recipe.run.seed)
    return student


def _new(recipe: Recipe, vision: VisionSizes, language: LanguageSizes) -> Student:
    tokenizer = _new_tokenizer(recipe, language.vocabulary)
    stop = int(tokenizer.eos_token_id)
    config = _new_config(recipe, vision, language, len(tokenizer), stop)
    network = _new_network(config, vision, recipe.run.seed)
    return Student(network, tokenizer, (stop,), config, None)


def _of_checkpoint(folder: Path, recipe: Recipe) -> Student:
    found = load_checkpoint(folder, device="cpu", dtype=torch.float32)
    config = read_json(folder / "config.json") | {"profile": recipe.model.profile}
    network = found.network.train()
    stops = tuple(sorted(found.stop_ids))
    eos = found.tokenizer.eos_token_id
    first = eos if eos in found.stop_ids else stops[0]
    return Student(
        network, found.tokenizer, (first, *(i for i in stops if i != first)), config, folder
    )


def _new_tokenizer(recipe: Recipe, vocabulary: int) -> PreTrainedTokenizerFast:
    source = recipe.data.source
    if isinstance(source, Phantoms):
        texts = list(phantom_words(recipe.run.seed, source.tracer))
    else:
        texts = [record.text for record in read_records(source, "train")]
    if recipe.data.mask_numbers:
        texts = [masked(text) for text in texts]
    prompts = (
        PROFILES[recipe.model.profile].prompt, recipe.model.region_prompt, recipe.model.site_prompt,
        recipe.model.uptake_prompt,
    )  # fmt: skip
    return train_tokenizer(texts, prompts, vocabulary)


def _new_config(
    recipe: Recipe, vision: VisionSizes, language: LanguageSizes, rows: int, stop: int
) -> dict[str, Any]:
    """config.json, in the words of the released one."""
    return {
        "architectures": ["LamedPhi3ForCausalLM"],
        "model_type": "lamed_phi3",
        "demonstration": _is_of_phantoms(recipe),
        "profile": recipe.model.profile,
        "image_channel": 1,
        "image_size": list(vision.image),
        "patch_size": list(vision.patch),
        "mm_hidden_size": vision.width,
        "vision_num_heads": vision.heads,
        "vision_tower": "vit3d",
        "vision_select_feature": "patch",
        "vision_select_layer": -1,
        "mm_projector_type": "spp",
        "proj_layer_num": 2,
        "proj_layer_type": "mlp",
        "proj_pooling_size": vision.pooling,
        "proj_pooling_type": "spatial",
        "hidden_act": "silu",
        "hidden_size": language.width,
        "intermediate_size": language.mlp,
        "num_hidden_layers": language.depth,
        "num_attention_heads": language.heads,
        "num_key_value_heads": language.heads,
        "max_position_embeddings": language.positions,
        "original_max_position_embeddings": language.positions,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "vocab_size": rows,
        "bos_token_id": 1,
        "eos_token_id": stop,
        "pad_token_id": stop,
    }


def _is_of_phantoms(recipe: Recipe) -> bool:
    """Whether what is learnt was made, here or by `pacsnode phantom` into a folder."""
    source = recipe.data.source
    return isinstance(source, Phantoms) or any(
        record.source == "phantom" for record in read_records(source, "train")
    )


def _new_network(config: dict[str, Any], sizes: VisionSizes, seed: int) -> PetarNetwork:
    names = (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads", "num_key_value_heads", "rms_norm_eps", "rope_theta",
        "max_position_embeddings", "original_max_position_embeddings", "hidden_act",
    )  # fmt: skip
    language = {name: config[name] for name in names}
    vision = VisionConfig(
        sizes.image, sizes.patch, sizes.width, sizes.depth, sizes.mlp, sizes.heads
    )
    network = PetarNetwork(
        PetarConfig(
            vision, sizes.pooling, sizes.shared,
            language | NO_IDS | {"tie_word_embeddings": False},
        )
    )  # fmt: skip
    initialise(network, seed)
    return network
