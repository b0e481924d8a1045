"""A self-test of a checkpoint on made views: does it compute, and does it look at the mask."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from engine.errors import EngineError
from engine.finding import Description, ModelIdentity, Unable
from engine.petar.checkpoint import Checkpoint, load_checkpoint
from engine.petar.config import PETAR_RELEASE, Size
from engine.petar.model import Views
from engine.petar.options import Options, settled
from engine.petar.writing import Seen, Writer

Result = TypeVar("Result")
NOTICEABLE = 1e-4  # of the largest visual token: far above rounding in float32, exact where equal
NEW_TOKENS = 24
NOT_FINITE = "not-finite"


@dataclass(frozen=True, slots=True)
class Check:
    """One question, and its answer in words."""

    question: str
    passed: bool
    said: str


@dataclass(slots=True)
class Verification:
    """What the self-test asked; `words` are about a made view and mean nothing."""

    identity: ModelIdentity | None = None
    checks: list[Check] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    words: str = ""

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def ask(self, question: str, passed: bool, said: str) -> None:
        self.checks.append(Check(question, passed, said))

    def timed(self, name: str, step: Callable[[], Result]) -> Result:
        """What a step gives; its seconds are noted."""
        began = time.perf_counter()
        result = step()
        self.seconds[name] = round(time.perf_counter() - began, 3)
        return result


def verify_folder(folder: Path, *, device: str = "auto", dtype: str = "auto") -> Verification:
    """Load a folder as a worker would, and put it to the test."""
    told = Verification()
    try:
        checkpoint = told.timed("load", lambda: load_checkpoint(folder, device=device, dtype=dtype))
        profile = checkpoint.profile or PETAR_RELEASE
        checkpoint.prompt_ids(profile.prompt)
    except EngineError as exc:
        told.ask("loads", False, str(exc))
        return told
    told.identity = checkpoint.identity(profile=profile.name, prompt=profile.prompt)
    told.ask("loads", True, f"{checkpoint.name} {checkpoint.version}")
    told.ask("prompt comes back", True, profile.prompt)
    try:
        with torch.inference_mode():
            views = made_views(checkpoint)
            visual = _look(told, checkpoint, views)
            _speak(told, checkpoint, visual, views, profile.prompt)
    except RuntimeError as exc:  # torch's: out of memory, a type that a device cannot compute
        told.ask("computes", False, " ".join(str(exc).split()))
    return told


def _look(told: Verification, checkpoint: Checkpoint, views: Views) -> Tensor:
    """Visual tokens of a made lesion, after asking what changes them."""
    see = checkpoint.network.visual_tokens
    visual = told.timed("vision_of_one_lesion", lambda: _done(see(views)))
    told.ask("visual tokens are finite", bool(torch.isfinite(visual).all()), f"{visual.shape[1]}")
    again = _change(visual, see(views))
    told.ask("the same lesion gives the same visual tokens", again == 0, f"change {again:.2g}")
    elsewhere = replace(views, mask=views.mask.flip(-1), focal_mask=views.focal_mask.flip(-1))
    _ask_change(told, "another mask", _change(visual, see(elsewhere)))
    other_ct = replace(views, ct=views.ct.flip(-1), focal_ct=views.focal_ct.flip(-1))
    _ask_change(told, "another CT", _change(visual, see(other_ct)))
    other_pet = replace(views, pet=views.pet.flip(-1), focal_pet=views.focal_pet.flip(-1))
    _ask_change(told, "another PET", _change(visual, see(other_pet)))
    return visual


def _ask_change(told: Verification, what: str, change: float) -> None:
    told.ask(f"{what} gives other visual tokens", change > NOTICEABLE, f"change {change:.2g}")


def _speak(
    told: Verification, checkpoint: Checkpoint, visual: Tensor, views: Views, prompt: str
) -> None:
    """Words of the made lesion, by the way that serves on this device."""
    options = settled(Options(max_new_tokens=NEW_TOKENS, deadline_s=None), checkpoint.device)
    writer = Writer(checkpoint, prompt, options)
    network = checkpoint.network
    spliced = network.spliced(visual, writer.prompt_ids)
    logits = network.language(inputs_embeds=spliced, logits_to_keep=1).logits
    first, again = (
        told.timed("words_of_one_lesion", lambda: writer.write([Seen(views, "made")])[0])
        for _ in range(2)  # the first prepares buffers and graphs: the second's seconds stay
    )
    is_finite = bool(torch.isfinite(logits).all()) and NOT_FINITE not in map(_code, (first, again))
    told.ask("logits are finite", is_finite, f"{logits.shape[-1]}")
    told.words = first.text if isinstance(first, Description) else ""
    said = first.sentence if isinstance(first, Unable) else f"{len(first.text.split())} words"
    told.ask("the same lesion gives the same words", first == again, said)


def _code(answer: Description | Unable) -> str | None:
    return answer.code if isinstance(answer, Unable) else None


def made_views(checkpoint: Checkpoint) -> Views:
    """One made lesion, the same on every machine: smooth volumes, a block for a mask."""
    size = checkpoint.network.config.vision.image_size
    generator = torch.Generator().manual_seed(1)
    pet, ct, focal_pet, focal_ct = (_smooth(size, generator) for _ in range(4))
    mask = torch.zeros(1, 1, *size)
    mask[..., : size[0] // 2, : size[1] // 2, : size[2] // 2] = 1
    views = (pet, ct, mask, focal_pet, focal_ct, mask)
    return Views(*(view.to(checkpoint.device, checkpoint.dtype) for view in views))


def _smooth(size: Size, generator: torch.Generator) -> Tensor:
    coarse = torch.rand((1, 1, 4, 6, 6), generator=generator)
    return F.interpolate(coarse, size=list(size), mode="trilinear")


def _change(before: Tensor, after: Tensor) -> float:
    """The largest difference, as a part of the largest value."""
    scale = float(before.float().abs().max()) or 1.0
    return float((after.float() - before.float()).abs().max()) / scale


def _done(tensor: Tensor) -> Tensor:
    """The tensor once it is computed: a GPU answers before it has."""
    if tensor.is_cuda:
        torch.cuda.synchronize()
    return tensor
