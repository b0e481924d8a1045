"""Solids hold the volume that their formulas say, in the box that they name, on either side."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cohort.body_shapes import Cone, Cut, Ellipsoid, Lattice, Rod, mirrored, voxels_of
from engine.cohort.world_images import lying_grid

GRID = lying_grid([(-60, 60), (-60, 60), (-60, 60)], (1.0, 1.0, 1.0))
SOLIDS = {
    "ellipsoid": (Ellipsoid((5, 0, 3), (30, 20, 40)), 4 / 3 * math.pi * 30 * 20 * 40),
    "turned": (Ellipsoid((5, 0, 3), (30, 20, 40), 0.6), 4 / 3 * math.pi * 30 * 20 * 40),
    "half": (Ellipsoid((0, 0, 0), (30, 20, 40), low_mm=0.5), 2 / 3 * math.pi * 30 * 20 * 40),
    "hollow": (Ellipsoid((0, 0, 0), (40,) * 3, hollow=0.5), 4 / 3 * math.pi * 40**3 * 7 / 8),
    "cone": (
        Cone((0, 0, -30.2), (30, 30), (0, 0, 29.8), (15, 15)),
        math.pi * 60 / 3 * (30**2 + 30 * 15 + 15**2),
    ),
    "rod": (Rod((-20, 0, 0), (20, 10, 5), 12), math.pi * 144 * math.sqrt(1725) + 7238.2),
    "cut": (Cut(Ellipsoid((0, 0, 0), (40,) * 3), (0, 0, 0), (1, 1, 0.3)), 2 / 3 * math.pi * 40**3),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_volume_by_formula(name: str) -> None:
    solid, volume_mm3 = SOLIDS[name]
    box, inside = voxels_of(solid, Lattice.of(GRID))
    assert inside.sum() == pytest.approx(volume_mm3, rel=0.03)
    everywhere = np.zeros(GRID.shape, bool)
    everywhere[box] = inside
    whole = solid.holds(*Lattice.of(GRID).points((slice(None),) * 3))
    assert np.array_equal(everywhere, whole)  # the box leaves nothing out


@pytest.mark.parametrize("name", SOLIDS)
def test_mirrored_is_the_same_on_the_other_side(name: str) -> None:
    solid, _ = SOLIDS[name]
    points = Lattice.of(GRID).points((slice(None),) * 3)
    assert np.array_equal(mirrored(solid).holds(*points), solid.holds(*points)[:, :, ::-1])


@given(low=st.tuples(*[st.floats(-80, 80)] * 3), size=st.tuples(*[st.floats(0, 60)] * 3))
@settings(max_examples=60, deadline=None)
def test_a_box_holds_the_centres_between_its_corners(low, size) -> None:
    lattice = Lattice.of(GRID)
    high = tuple(a + b for a, b in zip(low, size, strict=True))
    box = lattice.box(low, high)
    for axis, part, first, last in zip(
        (lattice.z_mm, lattice.y_mm, lattice.x_mm), box, low[::-1], high[::-1], strict=True
    ):
        assert axis[part].tolist() == [v for v in axis.tolist() if first <= v <= last]
