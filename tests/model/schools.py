"""A tiny dataset from which a tiny network learns in seconds: six organs, a lesion in one."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.uid import PositronEmissionTomographyImageStorage

from engine.acquisition import SuvConversion
from engine.cohort.dataset import Example, Record, write_example, write_regions
from engine.cohort.plain import plain_acquisition
from engine.geometry import Grid
from engine.training.recipe import Recipe
from engine.volume import ImageReference, Mask, Scan, Volume

SHAPE = (36, 28, 28)
# by name: [k, j, i] of the middle (k from the feet; i from the patient's right to the left)
ORGANS = {
    "brain": (31, 14, 14), "heart": (22, 10, 16), "liver": (17, 12, 8),
    "left kidney": (13, 18, 20), "right kidney": (12, 18, 8), "urinary bladder": (4, 11, 14),
}  # fmt: skip
GRADES = {"mild": 3.0, "intense": 9.0}


def make_school(
    folder: Path, *, train: int = 12, validation: int = 4, source: str = "", regions: bool = True
) -> Path:
    """Write a dataset of these many studies, their lesions of a source, with or without anatomy."""
    for at in range(train + validation):
        _write(folder, at, "train" if at < train else "validation", source, has_regions=regions)
    return folder


def _write(folder: Path, seed: int, split: str, source: str, *, has_regions: bool) -> None:
    rng = np.random.default_rng([seed, 77])
    affine = np.diag([3.0, 3.0, 3.0, 1.0])[:, [2, 1, 0, 3]]  # k along z, j along y, i along x
    grid = Grid(SHAPE, affine, "1.2.3")
    at = np.stack(np.indices(SHAPE), axis=-1)
    body = (((at - (18, 14, 14)) / (17.5, 11.0, 13.0)) ** 2).sum(axis=-1) < 1
    suv, hu = 0.6 * body + 0.05 * rng.random(SHAPE), np.where(body, 20.0, -1000.0)
    regions = np.zeros(SHAPE, np.uint16)
    for number, (name, middle) in enumerate(ORGANS.items(), start=1):
        radius = 2.5 + rng.random() + (name == "liver")
        organ = _ball(at, np.add(middle, rng.uniform(-1, 1, 3)), radius)
        # a brain as hot as brains are: without it the head crop would begin at the lesion
        uptake = 7.0 if name == "brain" else 1.2 + 0.2 * number
        regions[organ], suv[organ], hu[organ] = number, uptake, 40.0 + 5 * number
    name = list(ORGANS)[seed % len(ORGANS)]
    grade = list(GRADES)[int(rng.integers(2))]
    lesion = _ball(at, np.array(ORGANS[name]), 1.8)
    suv[lesion] = GRADES[grade]
    references = tuple(
        ImageReference(PositronEmissionTomographyImageStorage, f"1.2.3.{seed}.{k}", None, k + 1)
        for k in range(SHAPE[0])
    )
    nowhere = tuple(ImageReference("", "", None, None) for _ in range(SHAPE[0]))
    scan = Scan(
        Volume(suv.astype(np.float32), grid, "g/ml", references, f"1.2.3.{seed}"),
        Volume(hu.astype(np.float32), grid, "HU", nowhere, f"1.2.4.{seed}"),
        plain_acquisition("FDG"),
        SuvConversion(np.ones(SHAPE[0]), "bw", "made"),
    )
    side, _, site = name.rpartition(" ") if name.endswith("kidney") else ("", "", name)
    record = Record(
        study_id=f"school-{seed:03d}", lesion_id="lesion-01", split=split, site=site,
        organ_group=None, region=None, laterality=side or None, uptake=grade,  # type: ignore[arg-type]
        interpretation=None,
        source=source,
        text=f"{grade.capitalize()} FDG uptake in the {name} with SUV max of {GRADES[grade]:.1f}.",
    )  # fmt: skip
    write_example(folder, Example(record, scan, Mask(lesion, grid)))
    names = dict(enumerate(ORGANS, start=1))
    if has_regions:
        write_regions(folder / record.study_id, regions, names, grid)


def _ball(at: Any, middle: Any, radius: float) -> Any:
    return ((at - middle) ** 2).sum(axis=-1) <= radius**2


def recipe_of(folder: Path | None, **changed: Any) -> Recipe:
    """A recipe of a network that fits a school; sections of `changed` are merged into it."""
    told: dict[str, Any] = {
        "model": {
            "vision": {"image": (16, 16, 16), "patch": (4, 4, 4), "width": 48, "depth": 2,
                       "heads": 2, "mlp": 96},
            "language": {"width": 48, "depth": 2, "heads": 2, "mlp": 96, "vocabulary": 200},
        },
        "data": {"folder": folder, "regions_per_study": 6},
        "stage": [stage_of()],
        "held_out": {"every": 1000, "studies": 4, "regions_per_study": 6, "max_new_tokens": 24},
        "run": {"workers": 0, "threads": 1, "block": 4, "device": "cpu", "say_every": 5},
    }  # fmt: skip
    for section, values in changed.items():
        told[section] = told[section] | values if isinstance(values, dict) else values
    return Recipe.model_validate(told)


def stage_of(**changed: Any) -> dict[str, Any]:
    """A short stage on regions."""
    return {
        "name": "regions", "asks": "regions", "trains": ["all"], "steps": 6, "batch": 8,
        "learning_rate": 2e-3,
    } | changed  # fmt: skip
