"""The solids that a made body consists of, and how they are painted on a grid.

Positions are LPS mm [x, y, z]: x to the patient's left, y to the back, z to the head.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.geometry import Grid

Mm3 = tuple[float, float, float]
Box = tuple[slice, slice, slice]
Bool = npt.NDArray[np.bool_]
Float = npt.NDArray[np.float32]
ENDLESS = float("inf")


class Solid(Protocol):
    """A solid with a box around it."""

    def bounds_mm(self) -> tuple[Mm3, Mm3]:
        """The lowest and highest x, y, z that it reaches."""

    def holds(self, x: Float, y: Float, z: Float) -> Bool:
        """Whether it holds each point; the arguments broadcast to [k, j, i]."""


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """An ellipsoid along the axes, turned about y by `turned_rad`, cut to low_mm <= z <= high_mm.

    `hollow` is the part of its radii, from the centre, that is left out.
    """

    centre_mm: Mm3
    radii_mm: Mm3
    turned_rad: float = 0.0
    low_mm: float = -ENDLESS
    high_mm: float = ENDLESS
    hollow: float = 0.0

    def bounds_mm(self) -> tuple[Mm3, Mm3]:
        (x, y, z), (a, b, c) = self.centre_mm, self.radii_mm
        cosine, sine = abs(np.cos(self.turned_rad)), abs(np.sin(self.turned_rad))
        dx, dz = float(np.hypot(a * cosine, c * sine)), float(np.hypot(a * sine, c * cosine))
        return (
            (x - dx, y - b, max(z - dz, self.low_mm)),
            (x + dx, y + b, min(z + dz, self.high_mm)),
        )

    def holds(self, x: Float, y: Float, z: Float) -> Bool:
        (a, b, c), (cx, cy, cz) = self.radii_mm, self.centre_mm
        dx, dz = x - cx, z - cz
        if self.turned_rad:
            cosine, sine = np.float32(np.cos(self.turned_rad)), np.float32(np.sin(self.turned_rad))
            dx, dz = cosine * dx + sine * dz, cosine * dz - sine * dx
        q = (dx / a) ** 2 + ((y - cy) / b) ** 2 + (dz / c) ** 2
        held = (q <= 1) & (z >= self.low_mm) & (z <= self.high_mm)
        return np.asarray(held & (q >= self.hollow**2) if self.hollow else held)


@dataclass(frozen=True, slots=True)
class Cone:
    """An elliptic cone or cylinder along z, from one centre and pair of radii to another."""

    low_centre_mm: Mm3
    low_radii_mm: tuple[float, float]
    high_centre_mm: Mm3
    high_radii_mm: tuple[float, float]

    def bounds_mm(self) -> tuple[Mm3, Mm3]:
        ends = ((self.low_centre_mm, self.low_radii_mm), (self.high_centre_mm, self.high_radii_mm))
        return (
            (
                min(c[0] - r[0] for c, r in ends),
                min(c[1] - r[1] for c, r in ends),
                self.low_centre_mm[2],
            ),
            (
                max(c[0] + r[0] for c, r in ends),
                max(c[1] + r[1] for c, r in ends),
                self.high_centre_mm[2],
            ),
        )

    def holds(self, x: Float, y: Float, z: Float) -> Bool:
        (x0, y0, z0), (x1, y1, z1) = self.low_centre_mm, self.high_centre_mm
        (a0, b0), (a1, b1) = self.low_radii_mm, self.high_radii_mm
        t = (z - z0) / (z1 - z0)
        u = (x - (x0 + t * (x1 - x0))) / (a0 + t * (a1 - a0))
        v = (y - (y0 + t * (y1 - y0))) / (b0 + t * (b1 - b0))
        return np.asarray((u * u + v * v <= 1) & (t >= 0) & (t <= 1))


@dataclass(frozen=True, slots=True)
class Rod:
    """All points within `radius_mm` of the line between two points."""

    start_mm: Mm3
    end_mm: Mm3
    radius_mm: float

    def bounds_mm(self) -> tuple[Mm3, Mm3]:
        pairs = list(zip(self.start_mm, self.end_mm, strict=True))
        low = [min(pair) - self.radius_mm for pair in pairs]
        high = [max(pair) + self.radius_mm for pair in pairs]
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def holds(self, x: Float, y: Float, z: Float) -> Bool:
        along = np.subtract(self.end_mm, self.start_mm).astype(np.float32)
        dx, dy, dz = (c - np.float32(s) for c, s in zip((x, y, z), self.start_mm, strict=True))
        length2 = max(float(along @ along), 1e-6)
        t = np.clip((dx * along[0] + dy * along[1] + dz * along[2]) / length2, 0, 1)
        distance2 = (dx - t * along[0]) ** 2 + (dy - t * along[1]) ** 2 + (dz - t * along[2]) ** 2
        return np.asarray(distance2 <= self.radius_mm**2)


def tube(points_mm: Sequence[Mm3], radius_mm: float) -> tuple[Rod, ...]:
    """Rods from point to point: vessels, bowel, ribs."""
    return tuple(Rod(start, end, radius_mm) for start, end in pairwise(points_mm))


@dataclass(frozen=True, slots=True)
class Lattice:
    """The x, y and z of a grid along the patient's axes: i runs along x, j along y, k along z."""

    x_mm: Float
    y_mm: Float
    z_mm: Float

    @classmethod
    def of(cls, grid: Grid) -> "Lattice":
        """The axes of a grid that rises along all three."""
        k, j, i = (np.arange(n) for n in grid.shape)
        origin = grid.affine[:3, 3]
        dz, dy, dx = grid.spacing_mm
        return cls(
            (origin[0] + dx * i).astype(np.float32),
            (origin[1] + dy * j).astype(np.float32),
            (origin[2] + dz * k).astype(np.float32),
        )

    def box(self, low_mm: Mm3, high_mm: Mm3) -> Box:
        """The indices [k, j, i] of the voxels whose centres lie between two corners."""
        axes = (self.z_mm, self.y_mm, self.x_mm)
        k, j, i = (
            slice(int(np.searchsorted(axis, low)), int(np.searchsorted(axis, high, "right")))
            for axis, low, high in zip(axes, low_mm[::-1], high_mm[::-1], strict=True)
        )
        return k, j, i

    def points(self, box: Box) -> tuple[Float, Float, Float]:
        """x, y, z of the voxels of a box, ready to broadcast to [k, j, i]."""
        k, j, i = box
        return (
            self.x_mm[i][None, None, :],
            self.y_mm[j][None, :, None],
            self.z_mm[k][:, None, None],
        )


def voxels_of(solid: Solid, lattice: Lattice) -> tuple[Box, Bool]:
    """The box around a solid, and which of its voxels the solid holds."""
    box = lattice.box(*solid.bounds_mm())
    return box, solid.holds(*lattice.points(box))


@dataclass(frozen=True, slots=True)
class Cut:
    """The part of a solid on one side of a plane: normal . (p - point) >= 0."""

    solid: Solid
    point_mm: Mm3
    normal: Mm3

    def bounds_mm(self) -> tuple[Mm3, Mm3]:
        return self.solid.bounds_mm()

    def holds(self, x: Float, y: Float, z: Float) -> Bool:
        (px, py, pz), (nx, ny, nz) = self.point_mm, self.normal
        beyond = nx * (x - px) + ny * (y - py) + nz * (z - pz) >= 0
        return np.asarray(self.solid.holds(x, y, z) & beyond)


def mirrored(solid: Solid) -> Solid:
    """The same solid on the other side of the body."""
    match solid:
        case Ellipsoid():
            return replace(solid, centre_mm=_other(solid.centre_mm), turned_rad=-solid.turned_rad)
        case Cone():
            return replace(
                solid,
                low_centre_mm=_other(solid.low_centre_mm),
                high_centre_mm=_other(solid.high_centre_mm),
            )
        case Rod():
            return replace(solid, start_mm=_other(solid.start_mm), end_mm=_other(solid.end_mm))
        case Cut():
            return Cut(mirrored(solid.solid), _other(solid.point_mm), _other(solid.normal))
    raise TypeError(f"{type(solid).__name__} has no mirror image")


def _other(at: Mm3) -> Mm3:
    return (-at[0], at[1], at[2])
