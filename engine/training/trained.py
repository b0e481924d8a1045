"""What a stage trains, and how: groups of weights by name, adapters, optimisers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from peft import LoraConfig, LoraModel
from torch import nn
from torch.optim import AdamW, Muon, Optimizer
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
_ENDS = re.compile(r"\.(?:embed_tokens|lm_head)\.")  # where words come in and go out


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


@dataclass(slots=True, eq=False)
class Descent:
    """The optimisers of a stage, and their learning rate over its steps."""

    optimisers: list[Optimizer]
    schedules: list[LRScheduler]

    def step(self) -> None:
        """Follow the gradients, and forget them."""
        for optimiser, schedule in zip(self.optimisers, self.schedules, strict=True):
            optimiser.step()
            schedule.step()
            optimiser.zero_grad(set_to_none=True)

    @property
    def rate(self) -> float:
        return float(self.schedules[0].get_last_lr()[0])


def descent_of(network: nn.Module, stage: Stage) -> Descent:
    """How a stage learns; what is no matrix (norms, biases) does not decay."""
    optimisers = list(_optimisers(network, stage))
    return Descent(optimisers, [_schedule_of(one, stage) for one in optimisers])


def _optimisers(network: nn.Module, stage: Stage) -> Iterator[Optimizer]:
    """AdamW; or Muon (Jordan, 2024) for matrices within the network and AdamW for the rest.

    Muon's steps are scaled to the size of AdamW's (Liu et al., arXiv 2502.16982), so that one rate
    fits both.
    """
    trained = {name: w for name, w in network.named_parameters() if w.requires_grad}
    within: dict[str, nn.Parameter] = {}
    if stage.optimiser == "muon":
        within = {name: w for name, w in trained.items() if w.ndim == 2 and not _ENDS.search(name)}
    if within:
        yield Muon(
            within.values(), lr=stage.learning_rate, weight_decay=stage.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )  # fmt: skip
    rest = [w for name, w in trained.items() if name not in within]
    groups = [
        {"params": [w for w in rest if w.ndim > 1], "weight_decay": stage.weight_decay},
        {"params": [w for w in rest if w.ndim <= 1], "weight_decay": 0.0},
    ]
    if rest:
        yield AdamW([group for group in groups if group["params"]], lr=stage.learning_rate)


def _schedule_of(optimiser: Optimizer, stage: Stage) -> LRScheduler:
    """The learning rate over a stage's steps."""
    warmup = round(stage.warmup * stage.steps)
    made: LRScheduler
    if stage.schedule == "cosine":
        made = get_cosine_schedule_with_warmup(optimiser, warmup, stage.steps)
    else:
        made = get_constant_schedule_with_warmup(optimiser, warmup)
    return made
