"""One made patient: the parts of an adult's body at that patient's size, posture and uptake."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from engine.cohort.body_bones import bones
from engine.cohort.body_head import head
from engine.cohort.body_parts import Part, ball, pair, single, tube
from engine.cohort.body_shapes import Cone, Cut, Ellipsoid, Mm3, Rod, Solid
from engine.cohort.body_trunk import abdomen, chest, pelvic_organs

Sex = Literal["F", "M"]
_NECK_MM = 690.0


@dataclass(frozen=True, slots=True)
class Habitus:
    """What differs between patients; factors are against the reference adult."""

    sex: Sex
    stature: float  # along z
    build: float  # across, within the fat
    fat_mm: float  # under the skin
    arms_up: bool
    organ_spread: float  # standard deviation of the logarithm of an organ's size
    shift_mm: float  # standard deviation of an organ's place

    @property
    def height_m(self) -> float:
        return round(1.75 * self.stature, 2)

    @property
    def weight_kg(self) -> float:
        """By the volume of the made body, near enough for a dose."""
        return round(58 * self.stature * self.build**2 + 1.75 * self.fat_mm * self.stature, 1)


def draw_habitus(rng: np.random.Generator, *, is_shifted: bool = False) -> Habitus:
    """A patient by chance; a shifted one is smaller, larger or fatter than the usual."""
    sex: Sex = "F" if rng.random() < 0.5 else "M"
    stature = rng.normal(0.93 if sex == "F" else 1.0, 0.035)
    build = rng.normal(0.95 if sex == "F" else 1.0, 0.05)
    if is_shifted:
        stature += rng.choice([-0.09, 0.07])
        build += rng.choice([-0.1, 0.12])
    fat_mm = math.exp(rng.normal(2.6 + 0.5 * is_shifted, 0.4))
    return Habitus(
        sex=sex,
        stature=float(np.clip(stature, 0.8, 1.15)),
        build=float(np.clip(build, 0.8, 1.25)),
        fat_mm=float(np.clip(fat_mm, 4, 60)),
        arms_up=bool(rng.random() < 0.65),
        organ_spread=0.09 if is_shifted else 0.06,
        shift_mm=5.0 if is_shifted else 3.0,
    )


def make_body(habitus: Habitus, rng: np.random.Generator) -> tuple[Part, ...]:
    """Every part in painting order, at the patient's size: later parts cover earlier ones."""
    is_female = habitus.sex == "F"
    inside = [
        *head(),
        *chest(is_female),
        *abdomen(rng),
        *pelvic_organs(is_female, rng),
        *bones(),
    ]
    breasts = [part for part in inside if part.site == "breast"]
    rest = [part for part in inside if part.site != "breast"]
    fitted = (_varied(part, habitus, rng) for part in (*breasts, *rest))
    return (*_layer("subcutaneous tissue", "fat", habitus, habitus.fat_mm),
            *_layer("skeletal muscle", "muscle", habitus, 0.0),
            *arm_bones(habitus), *fitted)  # fmt: skip


def place(habitus: Habitus, at: Mm3) -> Mm3:
    """Where a point of the reference adult lies in this patient."""
    across = _across(habitus, at[2])
    return (at[0] * across, at[1] * across, at[2] * habitus.stature)


def _across(habitus: Habitus, z_mm: float) -> float:
    """Heads differ less in width than trunks."""
    return habitus.build if z_mm < _NECK_MM else 1 + 0.35 * (habitus.build - 1)


def _varied(part: Part, habitus: Habitus, rng: np.random.Generator) -> Part:
    """The part with a size and place of its own."""
    size = math.exp(rng.normal(0, habitus.organ_spread * part.grows)) if part.is_loose else 1.0
    shift = rng.normal(0, habitus.shift_mm, 3) * (0.5 * part.is_loose)
    by = (float(shift[0]), float(shift[1]), float(shift[2]))
    return replace(part, solids=tuple(_fitted(one, habitus, size, by) for one in part.solids))


def _fitted(solid: Solid, habitus: Habitus, size: float, by: Mm3, more_mm: float = 0.0) -> Solid:
    """A solid of the reference adult in this patient, `more_mm` thicker all round."""

    def at(point: Mm3) -> Mm3:
        x, y, z = place(habitus, point)
        return (x + by[0], y + by[1], z + by[2])

    match solid:
        case Ellipsoid():
            across = _across(habitus, solid.centre_mm[2]) * size
            a, b, c = solid.radii_mm
            return replace(
                solid,
                centre_mm=at(solid.centre_mm),
                radii_mm=(
                    a * across + more_mm, b * across + more_mm,
                    c * size * habitus.stature + more_mm,
                ),
                low_mm=solid.low_mm * habitus.stature + by[2],
                high_mm=solid.high_mm * habitus.stature + by[2],
            )  # fmt: skip
        case Cone():
            low, high = (
                _across(habitus, z) for z in (solid.low_centre_mm[2], solid.high_centre_mm[2])
            )
            (a0, b0), (a1, b1) = solid.low_radii_mm, solid.high_radii_mm
            return Cone(
                at(solid.low_centre_mm), (a0 * low * size + more_mm, b0 * low * size + more_mm),
                at(solid.high_centre_mm), (a1 * high * size + more_mm, b1 * high * size + more_mm),
            )  # fmt: skip
        case Rod():
            radius = solid.radius_mm * _across(habitus, solid.start_mm[2]) * size
            return Rod(at(solid.start_mm), at(solid.end_mm), radius + more_mm)
        case Cut():
            across = _across(habitus, solid.point_mm[2])
            nx, ny, nz = solid.normal
            normal = (nx / across, ny / across, nz / habitus.stature)
            inner = _fitted(solid.solid, habitus, size, by, more_mm)
            return Cut(inner, at(solid.point_mm), normal)
    raise TypeError(f"{type(solid).__name__} cannot be fitted")


def _layer(site: str, tissue: str, habitus: Habitus, more_mm: float) -> Iterator[Part]:
    """Skin or muscle: trunk, neck, head, legs and arms as a whole."""
    for part in (*_outline(), *_limbs(habitus)):
        # the head has little fat
        more = min(more_mm, 5.0) if part.site == "head" else more_mm
        solids = tuple(_fitted(one, habitus, 1.0, (0, 0, 0), more) for one in part.solids)
        yield replace(part, site=site, tissue=tissue, solids=solids)


def _outline() -> Iterator[Part]:
    levels = [(0, 172, 96), (60, 176, 104), (210, 160, 102), (320, 152, 106), (480, 166, 112),
              (590, 172, 100), (665, 165, 76), (712, 62, 60), (800, 58, 62)]  # fmt: skip
    for (z0, a0, b0), (z1, a1, b1) in pairwise(levels):
        y0, y1 = (2.0 if z < 700 else 6.0 for z in (z0, z1))
        yield single("trunk", "muscle", Cone((0, y0, z0), (a0, b0), (0, y1, z1), (a1, b1)))
    yield single("head", "muscle", ball((0, 0, 868), 76, 97, 82), ball((0, -28, 796), 60, 68, 62))
    yield from pair("leg", "muscle", Cone((86, 6, -400), (58, 62), (88, 2, 30), (82, 88)),
                    Cone((82, 10, -800), (38, 44), (86, 6, -400), (56, 60)))  # fmt: skip
    yield from pair("buttock", "muscle", ball((82, 78, 55), 70, 45, 75))


def _limbs(habitus: Habitus) -> Iterator[Part]:
    yield from _arms(habitus, 38, 30)


def arm_bones(habitus: Habitus) -> Iterator[Part]:
    """Humerus and forearm, wherever the arm is held."""
    for part in _arms(habitus, 12, 10):
        solids = tuple(_fitted(one, habitus, 1.0, (0, 0, 0)) for one in part.solids)
        for site, solid in zip(("humerus", "radius"), solids, strict=True):
            yield Part(site, "bone", (solid,), part.side, is_loose=False)
        yield Part("humerus", "marrow", (_shoulder(habitus, part),), part.side, is_loose=False)


def _shoulder(habitus: Habitus, part: Part) -> Solid:
    x = 168.0 if part.side == "left" else -168.0
    return _fitted(ball((x, 14, 645), 22), habitus, 1.0, (0, 0, 0))


def _arms(habitus: Habitus, upper_mm: float, lower_mm: float) -> Iterator[Part]:
    if habitus.arms_up:
        points: list[Mm3] = [(172, 14, 648), (190, 25, 910), (70, 40, 1080)]
    else:
        points = [(172, 14, 645), (222, 24, 360), (214, -10, 110)]
    upper, lower = tube(points, upper_mm)
    yield from pair("arm", "muscle", upper, replace(lower, radius_mm=lower_mm))
