"""What is asked of a study, and the views and answers that go with it."""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.evaluating.masking import masked
from engine.petar.blanking import blanked
from engine.petar.config import PROFILES, VisionConfig
from engine.petar.focus import LesionViews, PreparedStudy, Unseeable, lesion_views, prepare
from engine.training.recipe import Ask, Fact, Recipe
from engine.training.studies import Study
from engine.volume import Mask

_LARGEST_PIECE_ML = 40.0


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """The examples of one study (n of them, w global windows), as small as they keep.

    Pairs along axis 1 are PET, CT and global mask, focal mask.
    """

    whole: Tensor  # (w, 2, z, y, x) float16
    window: tuple[int, ...]  # of each example, its row in `whole`
    focal: Tensor  # (n, 2, z, y, x) float16
    masks: Tensor  # (n, 2, z, y, x) uint8
    asks: tuple[Ask, ...]
    answers: tuple[str, ...]
    facts: tuple[Mapping[Fact, str], ...]  # answers to more questions on the same views
    skipped: dict[str, int] = field(default_factory=dict)  # by the code of Unseeable

    def __len__(self) -> int:
        return len(self.answers)


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    ask: Ask
    mask: Mask
    answer: str
    facts: Mapping[Fact, str] = field(default_factory=dict)


def bundle_of(
    study: Study,
    recipe: Recipe,
    vision: VisionConfig,
    shares: Mapping[Ask, float],
    regions_alone: int,
    rng: np.random.Generator,
    *,
    facts: Collection[Fact] = (),
) -> Bundle:
    """Every example that a study gives for these shares of questions."""
    asked = list(_lesions(study, recipe, facts)) if "lesions" in shares else []
    wanted = _wanted(shares, len(asked), regions_alone, rng)
    asked += _regions(study, wanted, recipe.data.pieces, rng)
    profile, skipped = PROFILES[recipe.model.profile], Counter[str]()
    found: list[tuple[_Asked, LesionViews]] = []

    @cache
    def prepared(from_the_top: bool) -> PreparedStudy:
        return prepare(study.scan, profile, torch.device("cpu"), from_the_top=from_the_top)

    with torch.no_grad():
        for one in asked:
            try:
                found.append((one, lesion_views(one.mask, profile, vision, prepared)))
            except Unseeable as exc:
                skipped[exc.code] += 1
        return _bundled(found, recipe, skipped) if found else _empty(vision, skipped)


def _lesions(study: Study, recipe: Recipe, facts: Collection[Fact]) -> Iterator[_Asked]:
    for one in study.lesions:
        text = masked(one.text) if recipe.data.mask_numbers else one.text
        told = {fact: one.facts[fact] for fact in facts if fact in one.facts}
        yield _Asked("lesions", one.mask, text, told)


def _wanted(
    shares: Mapping[Ask, float], lesions: int, regions_alone: int, rng: np.random.Generator
) -> int:
    """How many regions to ask of, so that on average their share is what it should be."""
    share = shares.get("regions", 0.0)
    if "lesions" not in shares:
        return regions_alone
    wanted = lesions * share / (1 - share)
    return int(wanted) + int(rng.random() < wanted % 1)


def _regions(study: Study, wanted: int, pieces: float, rng: np.random.Generator) -> list[_Asked]:
    if study.regions is None or not wanted:
        return []
    sizes = np.bincount(study.regions.ravel(), minlength=max(study.region_names, default=0) + 1)
    present = [label for label in study.region_names if sizes[label]]
    asked = []
    for at in rng.permutation(len(present))[:wanted]:
        inside = study.regions == present[at]
        if rng.random() < pieces:
            inside = _piece(inside, study.scan.pet.grid.spacing_mm, rng)
        mask = Mask(inside, study.scan.pet.grid)
        asked.append(_Asked("regions", mask, study.region_names[present[at]]))
    return asked


def _piece(
    inside: npt.NDArray[np.bool_], spacing_mm: tuple[float, float, float], rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """What of a region lies in a ball of 1 to 40 ml about one of its voxels."""
    volume_mm3 = 1000 * math.exp(rng.uniform(0, math.log(_LARGEST_PIECE_ML)))
    radius = (3 * volume_mm3 / (4 * math.pi)) ** (1 / 3)
    at = np.flatnonzero(inside)
    middle = np.unravel_index(int(at[rng.integers(len(at))]), inside.shape)
    box, squared = [], np.zeros((1, 1, 1))
    for axis, (centre, step, n) in enumerate(zip(middle, spacing_mm, inside.shape, strict=True)):
        reach = int(radius / step)
        part = slice(max(0, int(centre) - reach), min(n, int(centre) + reach + 1))
        shape = [1, 1, 1]
        shape[axis] = -1
        offsets = step * (np.arange(part.start, part.stop) - int(centre))
        squared = squared + (offsets**2).reshape(shape)
        box.append(part)
    piece = np.zeros_like(inside)
    piece[tuple(box)] = inside[tuple(box)] & (squared <= radius**2)
    return piece


def _bundled(
    seen: list[tuple[_Asked, LesionViews]], recipe: Recipe, skipped: Mapping[str, int]
) -> Bundle:
    rows: dict[tuple[int, int], int] = {}
    whole, window, focal, masks = [], [], [], []
    for _, found in seen:
        views = blanked(found.views, recipe.model.blank)
        if found.window not in rows:
            rows[found.window] = len(rows)
            whole.append(torch.cat([views.pet, views.ct], dim=1))
        window.append(rows[found.window])
        focal.append(torch.cat([views.focal_pet, views.focal_ct], dim=1))
        masks.append(torch.cat([views.mask, views.focal_mask], dim=1))
    return Bundle(
        torch.cat(whole).half(),
        tuple(window),
        torch.cat(focal).half(),
        torch.cat(masks).to(torch.uint8),
        tuple(one.ask for one, _ in seen),
        tuple(one.answer for one, _ in seen),
        tuple(one.facts for one, _ in seen),
        dict(skipped),
    )


def _empty(vision: VisionConfig, skipped: Mapping[str, int]) -> Bundle:
    none = torch.zeros((0, 2, *vision.image_size))
    return Bundle(none.half(), (), none.half(), none.to(torch.uint8), (), (), (), dict(skipped))
