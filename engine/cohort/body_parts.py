"""One part of the body: which site it is, what it is made of, and its solids."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from engine.cohort.body_shapes import Ellipsoid, Mm3, Solid, mirrored, tube

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")


@dataclass(frozen=True, slots=True)
class Part:
    """`site` is a row of the table of sites, or a tissue between the organs; `tissue` a row of
    body_tissues. Solids stand in reference coordinates: z = 0 at the crotch, adult of 1.75 m.
    """

    site: str
    tissue: str
    solids: tuple[Solid, ...]
    side: Side | None = None
    grows: float = 1.0  # by how much more or less than its neighbours it may vary in size
    is_loose: bool = True  # whether it moves on its own


def pair(
    site: str, tissue: str, *solids: Solid, grows: float = 1.0, is_loose: bool = True
) -> Iterator[Part]:
    """A part of the left side, as given, and the same on the right."""
    yield Part(site, tissue, solids, "left", grows, is_loose)
    yield Part(site, tissue, tuple(map(mirrored, solids)), "right", grows, is_loose)


def single(site: str, tissue: str, *solids: Solid, grows: float = 1.0) -> Part:
    """A part in the middle, or one that has no side."""
    return Part(site, tissue, solids, None, grows)


def ball(centre_mm: Mm3, *radii_mm: float) -> Ellipsoid:
    """An ellipsoid of three radii, or a sphere of one."""
    if len(radii_mm) == 1:
        return Ellipsoid(centre_mm, (radii_mm[0],) * 3)
    a, b, c = radii_mm
    return Ellipsoid(centre_mm, (a, b, c))


__all__ = ["SIDES", "Part", "Side", "ball", "pair", "single", "tube"]
