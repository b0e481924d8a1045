"""Index to patient millimetres and back, under any affine that a grid may have."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.errors import GridMismatch
from engine.geometry import Grid

SPACINGS = st.floats(0.1, 20)
ANGLES = st.floats(-3.14159, 3.14159)
ORIGINS = st.floats(-2000, 2000)


def _turn(axis: int, angle: float) -> np.ndarray:
    turn = np.eye(3)
    a, b = [n for n in range(3) if n != axis]
    turn[a, a] = turn[b, b] = np.cos(angle)
    turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
    return turn


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Turned, scaled, mirrored, sheared by up to a third of the spacing."""
    turned = _turn(0, draw(ANGLES)) @ _turn(1, draw(ANGLES)) @ _turn(2, draw(ANGLES))
    spacing = np.array([draw(SPACINGS) for _ in range(3)])
    shear = np.eye(3)
    shear[1, 0] = draw(st.floats(-0.3, 0.3))
    mirror = np.diag([draw(st.sampled_from([-1.0, 1.0])), 1.0, 1.0])
    affine = np.eye(4)
    affine[:3, :3] = turned @ mirror @ shear @ np.diag(spacing)
    affine[:3, 3] = [draw(ORIGINS) for _ in range(3)]
    shape = tuple(draw(st.integers(1, 600)) for _ in range(3))
    return Grid((shape[0], shape[1], shape[2]), affine)


@given(grid=grids(), kji=arrays(float, (7, 3), elements=st.floats(-50, 650)))
def test_there_and_back(grid: Grid, kji: np.ndarray) -> None:
    assert grid.to_kji(grid.to_lps_mm(kji)) == pytest.approx(kji, abs=1e-6)


@given(grid=grids())
def test_volume_is_the_box_of_the_three_steps(grid: Grid) -> None:
    origin = grid.to_lps_mm((0, 0, 0))
    steps = [grid.to_lps_mm(one) - origin for one in np.eye(3)]
    box_mm3 = abs(float(np.dot(np.cross(steps[0], steps[1]), steps[2])))
    assert grid.voxel_volume_cm3 * 1000 == pytest.approx(box_mm3, rel=1e-6)
    assert grid.spacing_mm == pytest.approx([np.linalg.norm(s) for s in steps], rel=1e-6)


@given(grid=grids(), apart_mm=st.floats(0.02, 5), axis=st.integers(0, 2))
def test_a_grid_coincides_with_itself_and_not_beside_itself(
    grid: Grid, apart_mm: float, axis: int
) -> None:
    assert grid.coincides(Grid(grid.shape, grid.affine.copy()))
    moved = grid.affine.copy()
    moved[axis, 3] += apart_mm
    assert not grid.coincides(Grid(grid.shape, moved))
    assert grid.coincides(Grid(grid.shape, moved), tolerance_mm=apart_mm + 0.01)


def test_grids_of_other_shapes_do_not_coincide() -> None:
    assert not Grid((2, 3, 4), np.eye(4)).coincides(Grid((2, 3, 5), np.eye(4)))


def test_a_small_error_of_spacing_adds_up_over_the_grid() -> None:
    wider = np.diag([1.0001, 1, 1, 1])
    assert Grid((50, 2, 2), np.eye(4)).coincides(Grid((50, 2, 2), wider))
    assert not Grid((500, 2, 2), np.eye(4)).coincides(Grid((500, 2, 2), wider))


@pytest.mark.parametrize(
    "affine",
    [
        np.eye(3),
        np.zeros((4, 4)),
        np.diag([1.0, 0.0, 1.0, 1.0]),
        np.full((4, 4), np.nan),
        np.diag([1.0, 1.0, np.inf, 1.0]),
    ],
)
def test_no_grid_without_three_directions(affine: np.ndarray) -> None:
    with pytest.raises(GridMismatch):
        Grid((2, 2, 2), affine)


def test_the_smallest_animal_scanners_have_a_grid() -> None:
    assert Grid((2, 2, 2), np.diag([0.05, 0.05, 0.05, 1])).voxel_volume_cm3 == pytest.approx(
        1.25e-7
    )
