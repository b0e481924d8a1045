"""The 0.5 iso-contour of one slice of a mask: through the middle between in and out."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from contourpy import FillType, contour_generator

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

# Just below one half, so that pixels which touch at a corner are one part.
LEVEL = 0.5 - 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """One connected part of a slice: closed rings [n, (column, row)], the outer one first.

    Pixel centres have whole coordinates; the first point of a ring is repeated at its end.
    """

    rings: tuple[Float, ...]

    @property
    def outer(self) -> Float:
        return self.rings[0]

    def holds(self, row: int, column: int) -> bool:
        """Whether the centre of this pixel lies inside: even-odd along its row, to the right."""
        ends = [(ring[:-1], ring[1:]) for ring in self.rings]
        start, end = (np.concatenate(each) for each in zip(*ends, strict=True))
        # Rings cross a row of centres in their corners or not at all: look just beside it.
        beside = row + 0.25
        crosses = (start[:, 1] > beside) != (end[:, 1] > beside)
        (x1, y1), (x2, y2) = start[crosses].T, end[crosses].T
        return bool(np.sum(x1 + (beside - y1) * (x2 - x1) / (y2 - y1) > column) % 2)


def outlines(pixels: Bool) -> list[Outline]:
    """Each connected part (corners connect) of a slice [row, column], zero-padded on all sides."""
    rows, columns = np.nonzero(pixels)
    if not len(rows):
        return []
    first = np.array((columns.min(), rows.min()))
    box = pixels[first[1] : rows.max() + 1, first[0] : columns.max() + 1]
    padded = np.pad(box, 1).astype(np.float64)
    generator = contour_generator(z=padded, name="serial", fill_type=FillType.OuterOffset)
    filled: Any = generator.filled(LEVEL, np.inf)  # OuterOffset: points, ring offsets of each part
    points, offsets = filled
    return [
        Outline(tuple(_ring(part[start:end], first) for start, end in pairwise(ends.tolist())))
        for part, ends in zip(points, offsets, strict=True)
    ]


def _ring(points: Float, first: npt.NDArray[np.intp]) -> Float:
    exact = np.round(points * 2) / 2 - 1 + first  # the level's small offset, and the padding
    open_ring = exact[:-1]
    before, after = np.roll(open_ring, 1, axis=0), np.roll(open_ring, -1, axis=0)
    (x1, y1), (x2, y2) = (open_ring - before).T, (after - open_ring).T
    corners = open_ring[x1 * y2 != y1 * x2]
    return np.concatenate((corners, corners[:1]))
