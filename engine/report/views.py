"""Volumes seen along one axis of the patient, with places beside outlines for numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from engine.geometry import Grid

View = Literal["coronal", "sagittal"]
VIEWS: tuple[View, View] = ("coronal", "sagittal")
Point = tuple[float, float]  # x, y in mm of a view
Box = tuple[float, float, float, float]  # left, right, bottom, top in mm of a view


@dataclass(frozen=True, slots=True)
class Projection:
    """A volume or mask seen along one axis: rows go up to the head, columns as `extent_mm` says."""

    values: npt.NDArray[Any]
    extent_mm: Box


def project(values: npt.NDArray[Any], grid: Grid, view: View) -> Projection:
    """The maximum along the grid axis nearest to back-front (coronal) or right-left (sagittal).

    The result has the head up; columns go to the patient's left (coronal) or back (sagittal).
    """
    directions = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
    through, across = (1, 0) if view == "coronal" else (0, 1)
    axis_of = {lps: int(np.argmax(np.abs(directions[lps]))) for lps in (through, across, 2)}
    flat = values.max(axis=axis_of[through])
    remaining = [axis for axis in range(3) if axis != axis_of[through]]
    if remaining.index(axis_of[2]) == 1:
        flat = flat.T
    spacing = grid.spacing_mm
    for position, lps in enumerate((2, across)):
        if directions[lps, axis_of[lps]] < 0:
            flat = np.flip(flat, axis=position)
    height = flat.shape[0] * spacing[axis_of[2]]
    width = flat.shape[1] * spacing[axis_of[across]]
    return Projection(flat, (0.0, width, 0.0, height))


def free_place(
    box: Box,
    bounds: Box,
    boxes: Sequence[Box],
    taken: Sequence[Point],
    number_height_mm: float | None = None,
) -> Point:
    """Where the number of the outline in `box` is read best: (x, y) in mm.

    The nearest place around it, outward first, that lies in the view, in no outline and not on
    another number; where there is none, the last one tried.
    """
    unit = number_height_mm or number_mm(bounds)
    left, right, bottom, top = box
    centre = np.array([left + right, bottom + top]) / 2
    reach = np.array([right - left, top - bottom]) / 2
    outward = 0.0 if centre[0] > (bounds[0] + bounds[1]) / 2 else np.pi
    low = np.array([bounds[0], bounds[2]]) + unit * 0.6
    high = np.array([bounds[1], bounds[3]]) - unit * 0.6
    place = centre
    for ring in (1.0, 1.8, 2.8, 4.0, 5.4, 7.0, 9.0, 12.0):
        for turn in (0.3, -0.3, 0.7, -0.7, 1.1, -1.1, 1.6, -1.6, 2.2, -2.2, 2.8, -2.8):
            direction = np.array([np.cos(outward + turn), np.sin(outward + turn)])
            place = np.clip(centre + direction * (reach + ring * unit), low, high)
            spot = (float(place[0]), float(place[1]))
            if all(np.hypot(*(place - other)) >= 1.15 * unit for other in taken) and all(
                distance_mm(spot, other) >= 0.45 * unit for other in boxes
            ):
                return spot
    return float(place[0]), float(place[1])


def box_of(outline: Projection) -> Box:
    rows, columns = outline.values.shape
    step_y, step_x = outline.extent_mm[3] / rows, outline.extent_mm[1] / columns
    hit = np.argwhere(outline.values)
    (bottom, left), (top, right) = hit.min(axis=0), hit.max(axis=0) + 1
    return left * step_x, right * step_x, bottom * step_y, top * step_y


def nearest_point(place: Point, box: Box) -> Point:
    return min(max(place[0], box[0]), box[1]), min(max(place[1], box[2]), box[3])


def distance_mm(place: Point, box: Box) -> float:
    nearest = nearest_point(place, box)
    return float(np.hypot(place[0] - nearest[0], place[1] - nearest[1]))


def number_mm(bounds: Box) -> float:
    """The height of a number on the page, in mm of the patient."""
    return (bounds[3] - bounds[2]) / 40
