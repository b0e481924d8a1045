"""What a stage trains: groups of weights by name, and the language model's adapters."""

import re

import torch
from peft import LoraConfig, LoraModel
from torch import nn
from torch.optim.lr_scheduler import LRScheduler
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
)

from engine.petar.model import PetarNetwork
from engine.training.recipe import Group, Stage

_WHERE: dict[Group, str] = {
    "mask_embedding": r"towers\.vision_tower\.patch_embedding_mask\.",
    "vision": r"towers\.",
    "projector": r"projector\.",
    "language": r"language\.",
    "lora": r"language\..*\.lora_[AB]\.",
    "all": r"",
}
_ADAPTED = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]  # every linear layer but lm_head


def open_stage(network: PetarNetwork, stage: Stage) -> LoraModel | None:
    """Leave gradients to what the stage trains; the adapters, where it trains them."""
    adapted = None
    if "lora" in stage.trains:
        config = LoraConfig(
            r=stage.lora_rank,
            lora_alpha=stage.lora_alpha,
            lora_dropout=stage.lora_dropout,
            target_modules=_ADAPTED,
            bias="none",
        )
        adapted = LoraModel(network.language, config, "default")
    wanted = re.compile("|".join(f"(?:{_WHERE[group]})" for group in stage.trains))
    for name, weight in network.named_parameters():
        weight.requires_grad_(wanted.match(name) is not None)
    return adapted


def close_stage(network: PetarNetwork, adapted: LoraModel | None) -> None:
    """Add the adapters to the layers they adapt."""
    if adapted is not None:
        adapted.merge_and_unload()


def optimiser_of(network: nn.Module, stage: Stage) -> torch.optim.AdamW:
    """AdamW; what is no matrix (norms, biases) does not decay."""
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in trained if w.ndim > 1], "weight_decay": stage.weight_decay},
        {"params": [w for w in trained if w.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=stage.learning_rate)


def schedule_of(optimiser: torch.optim.Optimizer, stage: Stage) -> LRScheduler:
    """The learning rate over a stage's steps."""
    warmup = round(stage.warmup * stage.steps)
    made: LRScheduler
    if stage.schedule == "cosine":
        made = get_cosine_schedule_with_warmup(optimiser, warmup, stage.steps)
    else:
        made = get_constant_schedule_with_warmup(optimiser, warmup)
    return made
