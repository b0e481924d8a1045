"""Studies by their number: made ones without end, or those of a folder, shuffled anew each time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.cohort.dataset import has_regions, read_records, read_regions, read_study, studies_of
from engine.cohort.record import Record
from engine.cohort.world import WorldOptions, make_world_study, name_with_side
from engine.errors import Unreadable
from engine.evaluating.held_out import FIRST_SEED
from engine.training.recipe import BadRecipe, Fact, Phantoms, Recipe
from engine.volume import Mask, Scan


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """A lesion's outline, the sentence said of it, and what is known of it by itself."""

    mask: Mask
    text: str
    facts: Mapping[Fact, str]  # a site with its side, as regions are named


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """A scan, what is said of its lesions, and its anatomy."""

    name: str
    scan: Scan
    lesions: tuple[Described, ...]
    regions: npt.NDArray[np.uint16] | None  # labels on the PET's grid
    region_names: dict[int, str]


class Studies(Protocol):
    """A source of studies; equal numbers give equal studies."""

    def study(self, number: int) -> Study: ...


@dataclass(frozen=True, slots=True)
class PhantomStudies:
    """The phantom world, seed by seed, but for the seeds that are held out.

    Raises BadRecipe where they reach those that `pacsnode evaluate` judges by.
    """

    options: WorldOptions
    first_seed: int
    held_out: range

    def study(self, number: int) -> Study:
        seed = self.first_seed + number
        if seed >= self.held_out.start:
            seed += len(self.held_out)
        if seed >= FIRST_SEED:
            raise BadRecipe(f"Seeds from {FIRST_SEED} on are for `pacsnode evaluate` alone")
        return phantom_study(seed, self.options)


def phantom_study(seed: int, options: WorldOptions) -> Study:
    """The made study of a seed."""
    made = make_world_study(seed, options)
    lesions = tuple(_described(one.record, one.mask) for one in made.findings)
    return Study(made.study_id, made.scan, lesions, made.regions, made.region_names)


@dataclass(frozen=True, slots=True)
class FolderStudies:
    """The studies of a dataset's folder with a lesion of one split."""

    studies: Sequence[Path]
    split: str
    seed: int

    def study(self, number: int) -> Study:
        turn, place = divmod(number, len(self.studies))
        order = np.random.default_rng([self.seed, 2, turn]).permutation(len(self.studies))
        return folder_study(self.studies[int(order[place])], self.split)


def folder_study(study: Path, split: str) -> Study:
    """One study of a dataset's folder. Raises Unreadable, GridMismatch."""
    examples = list(read_study(study, split))
    regions = read_regions(study)
    return Study(
        study.name,
        examples[0].scan,
        tuple(_described(one.record, one.mask) for one in examples),
        None if regions is None else regions.labels,
        {} if regions is None else regions.names,
    )


def _described(record: Record, mask: Mask) -> Described:
    facts: dict[Fact, str] = {}
    if record.site is not None:
        facts["site"] = name_with_side(record.site, record.laterality)
    if record.uptake is not None:
        facts["uptake"] = record.uptake
    return Described(mask, record.text, facts)


def studies_to_learn(recipe: Recipe) -> Studies:
    """Where a recipe's examples come from. Raises BadRecipe, Unreadable."""
    source, held_out = recipe.data.source, recipe.held_out
    _refuse_unanswerable(recipe)
    if isinstance(source, Phantoms):
        apart = range(held_out.first_seed, held_out.first_seed + held_out.studies)
        return PhantomStudies(source.options(), source.first_seed, apart)
    return FolderStudies(_with(source, "train"), "train", recipe.run.seed)


def _refuse_unanswerable(recipe: Recipe) -> None:
    folder = recipe.data.folder
    if folder is None or any(has_regions(study) for study in _with(folder, "train")):
        return
    for stage in recipe.stage:
        if set(stage.asks) == {"regions"}:
            raise BadRecipe(
                f"The stage {stage.name!r} asks of regions alone, and no study of {folder.name}"
                " has any (regions.npz): leave the stage out, or ask of lesions in it"
            )


def studies_held_out(recipe: Recipe) -> list[Study]:
    """The few studies that progress is judged on; none where a folder has no validation split."""
    source, count = recipe.data.source, recipe.held_out.studies
    if isinstance(source, Phantoms):
        first = recipe.held_out.first_seed
        return [phantom_study(first + at, source.options()) for at in range(count)]
    if not any(True for _ in read_records(source, "validation")):
        return []
    return [folder_study(study, "validation") for study in _with(source, "validation")[:count]]


def _with(folder: Path, split: str) -> list[Path]:
    having = {record.study_id for record in read_records(folder, split)}
    studies = [study for study in studies_of(folder) if study.name in having]
    if not studies:
        raise Unreadable(f"{folder.name} holds no lesion of the split {split}")
    return studies
