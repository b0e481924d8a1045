"""Findings put into a made body: where, how large, how hot; and their outlines in the PET."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.cohort.body import Habitus, place
from engine.cohort.body_parts import Part
from engine.cohort.body_shapes import Box, Ellipsoid, Lattice, Mm3
from engine.cohort.world_images import Float, Labels
from engine.cohort.world_places import Place
from engine.geometry import Grid

Bool = npt.NDArray[np.bool_]
OUTLINE = 0.42  # of the rise above the surroundings, as drawn by threshold
_LEAST_ML = 1.0
_TRIES = 6
_APART_MM = 12.0
_EDGE_MM = 20.0  # of the image, free of lesions


@dataclass(frozen=True, slots=True)
class Tumour:
    """A finding as put in. `organ` holds the voxels of a whole organ that is outlined instead."""

    place: Place
    shape: Ellipsoid
    suv: float
    morphology: str | None  # necrotic, lytic, sclerotic
    organ: frozenset[int] = frozenset()


def seat(
    where: Place,
    parts: Sequence[Part],
    labels: Labels,
    grid: Grid,
    habitus: Habitus,
    rng: np.random.Generator,
) -> Ellipsoid | None:
    """An ellipsoid of a size by chance in the organ or about the anchor; None without room."""
    volume_ml = math.exp(rng.uniform(math.log(_LEAST_ML), math.log(where.most_ml)))
    if where.kind == "focus":
        volume_ml = max(_LEAST_ML, 0.7 * volume_ml)
    radius = (3000 * volume_ml / (4 * math.pi)) ** (1 / 3)
    ratios = np.exp(rng.normal(0, 0.16, 3))
    a, b, c = (float(r) for r in radius * ratios / np.prod(ratios) ** (1 / 3))
    turned = float(rng.uniform(-0.6, 0.6))
    if where.anchor_mm is not None:
        x, y, z = place(habitus, where.anchor_mm)
        dx, dy, dz = (float(d) for d in np.clip(rng.normal(0, 4, 3), -7, 7))
        centre = (x + dx, y + dy, z + dz)
        return Ellipsoid(centre, (a, b, c), turned) if _is_inside(centre, grid) else None
    numbers = numbers_of_part(where, parts)
    at = np.flatnonzero(np.isin(labels, list(numbers)))
    if not len(at):
        return None
    drawn = rng.choice(at, _TRIES)
    kji = np.stack(np.unravel_index(drawn, labels.shape), axis=-1)
    seats = [
        Ellipsoid((float(x), float(y), float(z)), (a, b, c), turned)
        for x, y, z in grid.to_lps_mm(kji)
        if _is_inside((x, y, z), grid)
    ]
    return max(seats, key=lambda one: _share(one, numbers, labels, grid), default=None)


def numbers_of_part(where: Place, parts: Sequence[Part]) -> frozenset[int]:
    """The labels that are this place."""
    return frozenset(
        number
        for number, part in enumerate(parts, start=1)
        if part.site == where.site and (where.side is None or part.side == where.side)
    )


def collides(shape: Ellipsoid, others: Sequence[Ellipsoid]) -> bool:
    """Whether a shape comes too near to another to be told apart from it."""
    return any(
        math.dist(shape.centre_mm, other.centre_mm)
        < max(shape.radii_mm) + max(other.radii_mm) + _APART_MM
        for other in others
    )


def surroundings(values: Float, shape: Ellipsoid, grid: Grid) -> float:
    """The median in the shell from 1.4 to 2 times the shape's radii."""
    box, q = distance_of(shape, grid, 2.0)
    shell = values[box][(q > 1.4**2) & (q <= 4)]
    return float(np.median(shell)) if len(shell) else 0.0


def raise_uptake(uptake: Float, tumour: Tumour, grid: Grid) -> None:
    """Put a tumour's activity in: hottest at its centre, unless it is necrotic.

    A whole organ has its own activity already, and cavities in it.
    """
    if tumour.organ:
        return
    box, q = distance_of(tumour.shape, grid, 1.0)
    own = tumour.suv * (1 - 0.2 * q)
    if tumour.morphology == "necrotic":
        own[q < 0.3] = 0.3 * tumour.suv
    inside = q <= 1
    uptake[box][inside] = np.maximum(own, uptake[box])[inside]


def raise_density(hu: Float, tumour: Tumour, grid: Grid) -> None:
    """Put a tumour's density in; a focus of normal uptake shows nothing on CT."""
    value = {
        "nodule": 40.0, "mass": 42.0, "node": 45.0, "tissue": 45.0, "bone": 180.0,
    }.get(tumour.place.kind)  # fmt: skip
    value = {"lytic": 60.0, "sclerotic": 750.0}.get(tumour.morphology or "", value)
    if value is not None:
        box, q = distance_of(tumour.shape, grid, 1.0)
        hu[box][q <= 1] = value


def outline(pet: Float, tumour: Tumour, labels: Labels, grid: Grid) -> Bool | None:
    """The voxels above a threshold between the surroundings and the hottest voxel, in one piece.

    None where it does not stand out, or where something hotter lies next to it.
    """
    from scipy import ndimage  # heavy: only when a study is made

    if tumour.organ:
        inside = np.isin(labels, list(tumour.organ))
        box = _box_of(inside)
        near, core = ndimage.binary_dilation(inside[box]), inside[box]
        floor = 0.0
    else:
        box, q = distance_of(tumour.shape, grid, 1.35)
        near, core = q <= 1.35**2, q <= 1
        floor = surroundings(pet, tumour.shape, grid)
    values = pet[box]
    if not core.any():
        return None
    hottest = float(values[near].max())
    if values[core].max() < hottest or hottest < 1.4 * floor + 0.2:
        return None
    pieces, _ = ndimage.label(near & (values >= floor + OUTLINE * (hottest - floor)))
    at = np.unravel_index(int(np.argmax(np.where(near, values, -1))), values.shape)
    mask = np.zeros(pet.shape, np.bool_)
    mask[box] = pieces == pieces[at]
    return mask


def distance_of(shape: Ellipsoid, grid: Grid, reach: float) -> tuple[Box, npt.NDArray[np.float32]]:
    """The box within `reach` radii, and in it the squared distance in radii."""
    lattice = Lattice.of(grid)
    a, b, c = shape.radii_mm
    wide = Ellipsoid(
        shape.centre_mm, (reach * a, reach * b, reach * c), shape.turned_rad
    ).bounds_mm()
    box = lattice.box(*wide)
    x, y, z = lattice.points(box)
    (cx, cy, cz), turned = shape.centre_mm, shape.turned_rad
    cosine, sine = np.float32(math.cos(turned)), np.float32(math.sin(turned))
    u, w = cosine * (x - cx) + sine * (z - cz), cosine * (z - cz) - sine * (x - cx)
    return box, np.asarray((u / a) ** 2 + ((y - cy) / b) ** 2 + (w / c) ** 2, np.float32)


def _is_inside(centre_mm: Mm3, grid: Grid) -> bool:
    z0 = float(grid.affine[2, 3])
    z1 = z0 + grid.spacing_mm[0] * (grid.shape[0] - 1)
    return z0 + _EDGE_MM < centre_mm[2] < z1 - _EDGE_MM


def _share(shape: Ellipsoid, numbers: frozenset[int], labels: Labels, grid: Grid) -> float:
    """How much of a shape lies in the organ."""
    box, q = distance_of(shape, grid, 1.0)
    inside = labels[box][q <= 1]
    return float(np.isin(inside, list(numbers)).mean()) if len(inside) else 0.0


def _box_of(inside: Bool) -> Box:
    """The box of the marked voxels, one voxel larger all round."""
    sides = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        at = np.flatnonzero(inside.any(axis=others))
        sides.append(slice(max(int(at[0]) - 1, 0), int(at[-1]) + 2))
    return sides[0], sides[1], sides[2]
