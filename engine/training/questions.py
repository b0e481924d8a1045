"""What is asked of a study, and the views and answers that go with it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from engine.evaluating.masking import masked
from engine.petar.blanking import blanked
from engine.petar.config import PROFILES, VisionConfig
from engine.petar.focus import LesionViews, Unseeable, prepare, views_of
from engine.training.recipe import Ask, Recipe
from engine.training.studies import Study
from engine.volume import Mask


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
    skipped: dict[str, int] = field(default_factory=dict)  # by the code of Unseeable

    def __len__(self) -> int:
        return len(self.answers)


def bundle_of(
    study: Study,
    recipe: Recipe,
    vision: VisionConfig,
    shares: Mapping[Ask, float],
    regions_alone: int,
    rng: np.random.Generator,
) -> Bundle:
    """Every example that a study gives for these shares of questions."""
    asked = list(_lesions(study, recipe)) if "lesions" in shares else []
    asked += _regions(study, _wanted(shares, len(asked), regions_alone, rng), rng)
    profile, skipped = PROFILES[recipe.model.profile], Counter[str]()
    seen: list[tuple[Ask, str, LesionViews]] = []
    with torch.no_grad():
        try:
            prepared = prepare(study.scan, profile, torch.device("cpu"))
        except Unseeable as exc:
            return _empty(vision, {exc.code: len(asked)})
        for ask, mask, answer in asked:
            try:
                seen.append((ask, answer, views_of(prepared, mask, profile, vision)))
            except Unseeable as exc:
                skipped[exc.code] += 1
        return _bundled(seen, recipe, skipped) if seen else _empty(vision, skipped)


def _lesions(study: Study, recipe: Recipe) -> Iterator[tuple[Ask, Mask, str]]:
    for mask, text in study.lesions:
        yield "lesions", mask, masked(text) if recipe.data.mask_numbers else text


def _wanted(
    shares: Mapping[Ask, float], lesions: int, regions_alone: int, rng: np.random.Generator
) -> int:
    """How many regions to ask of, so that on average their share is what it should be."""
    share = shares.get("regions", 0.0)
    if "lesions" not in shares:
        return regions_alone
    wanted = lesions * share / (1 - share)
    return int(wanted) + int(rng.random() < wanted % 1)


def _regions(study: Study, wanted: int, rng: np.random.Generator) -> list[tuple[Ask, Mask, str]]:
    if study.regions is None or not wanted:
        return []
    sizes = np.bincount(study.regions.ravel(), minlength=max(study.region_names, default=0) + 1)
    present = [label for label in study.region_names if sizes[label]]
    chosen = rng.permutation(len(present))[:wanted]
    return [
        (
            "regions",
            Mask(study.regions == present[at], study.scan.pet.grid),
            study.region_names[present[at]],
        )
        for at in chosen
    ]


def _bundled(
    seen: list[tuple[Ask, str, LesionViews]], recipe: Recipe, skipped: Mapping[str, int]
) -> Bundle:
    rows: dict[tuple[int, int], int] = {}
    whole, window, focal, masks = [], [], [], []
    for _, _, found in seen:
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
        tuple(ask for ask, _, _ in seen),
        tuple(answer for _, answer, _ in seen),
        dict(skipped),
    )


def _empty(vision: VisionConfig, skipped: Mapping[str, int]) -> Bundle:
    none = torch.zeros((0, 2, *vision.image_size))
    return Bundle(none.half(), (), none.half(), none.to(torch.uint8), (), (), dict(skipped))
