"""How hot a finding is to be, and how a report calls what was measured of it."""

import math

import numpy as np
import numpy.typing as npt

from engine.cohort.said import GRADES, Grade
from engine.cohort.world_images import Float
from engine.cohort.world_places import Place
from engine.geometry import Grid
from engine.grounding.uptake import SPHERE_MM, grade_of

_SPHERES = 12
_OFTEN_REACTIVE = frozenset(
    {"hilar LN", "axillary LN", "inguinal LN", "level II LN", "level IB LN"}
)
_JOINTS = frozenset({"shoulder", "sacroiliac joint", "femoral head", "acetabulum"})


def wanted_suv(
    where: Place, suv: dict[str, float], surrounding: float, rng: np.random.Generator
) -> float:
    """An uptake by chance that stands out of its surroundings."""
    liver, blood = suv["liver"], suv["blood"]
    grade = rng.choice(3, p=(0.36, 0.27, 0.37))
    if where.site == "ureter":
        grade = 2
    ranges = (
        (1.1 * blood, max(0.95 * liver, 1.2 * blood)),
        (1.3 * liver, 2.0 * liver),
        (2.4 * liver, (4.5 if where.kind == "focus" else 8.0) * liver),
    )
    low, high = ranges[grade]
    drawn = math.exp(rng.uniform(math.log(low), math.log(high)))
    return max(drawn, 1.7 * surrounding + 0.6)


def interpretation_of(where: Place, grade: Grade) -> str:
    """What a report of the phantom world takes it for: a rule, so that it can be learnt.

    Normal uptake is physiologic; joints are inflammatory, so are nodes that often react, when mild;
    what else is mild is uncertain, all the rest malignant.
    """
    if where.kind in ("focus", "organ"):
        return "physiologic"
    if where.site in _JOINTS or (where.site in _OFTEN_REACTIVE and grade == "mild"):
        return "inflammatory"
    return "uncertain" if grade == "mild" else "malignant"


def grade_called(suv_max: float, liver: float) -> Grade:
    """The grade against the liver: docs/reference/phantom-world.md."""
    return GRADES[grade_of(suv_max, liver, None)]


def liver_reference(
    pet: Float, liver: npt.NDArray[np.bool_], grid: Grid, otherwise: float, rng: np.random.Generator
) -> float:
    """Mean + 2 SD of the evenest of some spheres of 15 mm in the liver; `otherwise` without one."""
    at = np.argwhere(liver)
    if len(at) < 500:
        return otherwise
    reach = [int(SPHERE_MM / spacing) for spacing in grid.spacing_mm]
    steps = np.stack(
        np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1
    ).reshape(-1, 3)
    steps = steps[((steps * grid.spacing_mm) ** 2).sum(axis=1) <= SPHERE_MM**2]
    found: list[tuple[float, float]] = []
    for centre in at[rng.choice(len(at), 8 * _SPHERES)]:
        kji = centre + steps
        if (kji < 0).any() or (kji >= pet.shape).any():
            continue
        where = tuple(kji.T)
        if liver[where].all():
            values = pet[where]
            found.append((float(values.std()), float(values.mean())))
        if len(found) == _SPHERES:
            break
    if not found:
        return otherwise
    deviation, mean = min(found)
    return mean + 2 * deviation
