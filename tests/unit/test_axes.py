"""Axes and outlines against the definitions written out by brute force."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from engine.measuring.axes import axes
from engine.measuring.outline import corners, outlines

Bool = npt.NDArray[np.bool_]
CORNERS_CONNECT = np.ones((3, 3))


def midpoints(part: Bool) -> npt.NDArray[np.float64]:
    """All points (column, row) half way between a marked pixel and an unmarked neighbour."""
    padded = np.pad(part, 1)
    points = []
    for axis in (0, 1):
        for step in (-1, 1):
            row, column = np.nonzero(padded & ~np.roll(padded, -step, axis=axis))
            points.append(np.column_stack((column, row)) - 1.0)
            points[-1][:, 1 - axis] += step / 2
    return np.concatenate(points)


masks = st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=6, max_size=6).map(
    lambda rows: np.array(rows, np.bool_)
)


@settings(max_examples=60, deadline=None)
@given(masks.filter(np.any), st.floats(0.5, 6), st.floats(0.5, 6))
def test_long_axis_is_the_largest_distance_of_contour_points(
    mask: Bool, spacing_j: float, spacing_i: float
) -> None:
    parts, count = label(mask, CORNERS_CONNECT)
    longest = 0.0
    for number in range(1, count + 1):
        points = midpoints(parts == number) * (spacing_i, spacing_j)
        away = points[:, None] - points[None]
        longest = max(longest, float(np.hypot(away[..., 0], away[..., 1]).max()))
    ours = axes(mask[None], (3.0, spacing_j, spacing_i))
    assert ours.long_mm == pytest.approx(longest, rel=1e-9)
    assert 0 < ours.short_mm <= ours.long_mm * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(masks)
def test_one_outline_a_connected_part_holding_its_pixels_alone(mask: Bool) -> None:
    parts, count = label(mask, CORNERS_CONNECT)
    found = outlines(mask)
    assert len(found) == count
    for outline in found:
        held = np.array([[outline.holds(row, column) for column in range(7)] for row in range(6)])
        numbers = set(parts[held].tolist())
        assert len(numbers) == 1
        assert np.array_equal(held, parts == numbers.pop())
        ring = corners(outline.outer)
        assert np.array_equal(ring[0], ring[-1])
        assert len(ring) >= 5


@settings(max_examples=30, deadline=None)
@given(masks.filter(np.any), st.integers(0, 3), st.booleans())
def test_turning_and_mirroring_change_no_length(mask: Bool, turns: int, mirror: bool) -> None:
    turned = np.rot90(mask[:, ::-1] if mirror else mask, turns)
    first, second = axes(mask[None], (1.0, 2.0, 2.0)), axes(turned[None], (1.0, 2.0, 2.0))
    assert (first.long_mm, first.short_mm) == pytest.approx((second.long_mm, second.short_mm))


@pytest.mark.parametrize(
    ("rows", "columns", "long_mm", "short_mm"),
    [(1, 9, 9.0, 1.0), (1, 1, 1.0, 1.0), (9, 1, 9.0, 1.0)],
)
def test_bars(rows: int, columns: int, long_mm: float, short_mm: float) -> None:
    mask = np.zeros((3, 12, 12), np.bool_)
    mask[1, 1 : 1 + rows, 1 : 1 + columns] = True
    ours = axes(mask, (1.0, 1.0, 1.0))
    assert (ours.long_mm, ours.short_mm) == pytest.approx((long_mm, short_mm))


def test_the_short_axis_stays_inside() -> None:
    """A ring of 21 pixels with a hole of 11: no line across the hole counts."""
    j, i = np.indices((31, 31)) - 15
    ring = (np.hypot(j, i) <= 10) & (np.hypot(j, i) > 5)
    ours = axes(ring[None], (1.0, 1.0, 1.0))
    assert ours.long_mm == pytest.approx(21.0)
    assert ours.short_mm < 21.0 - 2
    assert ours.short_mm == pytest.approx(2 * np.sqrt(10.25**2 - 5.5**2), abs=1.0)


def test_the_longest_slice_wins_wherever_it_is() -> None:
    mask = np.zeros((5, 20, 20), np.bool_)
    mask[0, 2:8, 2:8] = True
    mask[3, 2:4, 2:16] = True
    ours = axes(mask, (1.0, 1.0, 1.0))
    assert ours.long_mm == pytest.approx(np.hypot(14, 1))
