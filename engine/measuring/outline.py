"""The 0.5 iso-contour of one slice of a mask: through the middle between in and out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from contourpy import FillType, contour_generator

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]

# Just below one half, so that pixels which touch at a corner are one part.
LEVEL = 0.5 - 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """One connected part of a slice: closed rings one after another, the outer one first.

    Points are [n, (column, row)]; pixel centres have whole coordinates. Ring r is
    points[ends[r]:ends[r + 1]], its first point repeated at its end.
    """

    points: Float
    ends: Index

    @property
    def outer(self) -> Float:
        return self.points[: self.ends[1]]

    def edges(self) -> tuple[Float, Float]:
        """Starts and ends [n, (column, row)] of the edges of all rings."""
        starts = np.delete(self.points, self.ends[1:] - 1, axis=0)
        return starts, np.delete(self.points, self.ends[:-1], axis=0)

    def holds(self, row: int, column: int) -> bool:
        """Whether the centre of this pixel lies inside, by the even-odd rule."""
        start, end = self.edges()
        beside = row + 0.25  # inside a marked pixel too, and no corner of a ring lies there
        crosses = (start[:, 1] > beside) != (end[:, 1] > beside)
        (x1, y1), (x2, y2) = start[crosses].T, end[crosses].T
        return bool(np.sum(x1 + (beside - y1) * (x2 - x1) / (y2 - y1) > column) % 2)


def outlines(pixels: Bool) -> list[Outline]:
    """Each connected part (corners connect) of a slice [row, column], zero-padded on all sides."""
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if not len(rows):
        return []
    box = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    padded = np.zeros((box.shape[0] + 2, box.shape[1] + 2))
    padded[1:-1, 1:-1] = box
    generator = contour_generator(z=padded, name="serial", fill_type=FillType.OuterOffset)
    filled: Any = generator.filled(LEVEL, np.inf)  # points, and the ring offsets, of each part
    corner = np.array((columns[0] - 1, rows[0] - 1))
    return [  # rounded: the level lies a little off the middle
        Outline(np.round(points * 2) / 2 + corner, ends.astype(np.intp))
        for points, ends in zip(*filled, strict=True)
    ]


def corners(ring: Float) -> Float:
    """A closed ring without the points on its straight lines."""
    points = ring[:-1]
    (x1, y1), (x2, y2) = (points - np.roll(points, 1, 0)).T, (np.roll(points, -1, 0) - points).T
    kept = points[x1 * y2 != y1 * x2]
    return np.concatenate((kept, kept[:1]))
