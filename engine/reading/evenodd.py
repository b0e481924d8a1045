"""Polygons against the rows of a lattice, by the even-odd rule: holes and keyholes need no case."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Crossings:
    """Where closed polygons cross the rows: `x` in row `row`, two by two when ordered."""

    row: npt.NDArray[np.intp]
    x: Float


class TooManyCrossings(ValueError):
    """The polygons cross the rows more often than any drawing does."""


MAX_CROSSINGS = 20_000_000


def cross_rows(polygons: Sequence[Float], rows: int) -> Crossings:
    """Crossings with the rows y = 0 .. rows - 1 of polygons [n, (x, y)], closed by themselves.

    An edge takes part in a row where min(y) <= row < max(y): a vertex on a row counts once. The
    two directions of one edge cross at the very same x, so a keyhole's channel cancels out.
    """
    starts = np.concatenate(polygons)
    ends = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons])
    swap = starts[:, 1] > ends[:, 1]
    low = np.where(swap[:, None], ends, starts)
    high = np.where(swap[:, None], starts, ends)
    first = np.clip(np.ceil(low[:, 1]), 0, rows).astype(np.intp)
    count = np.clip(np.ceil(high[:, 1]), 0, rows).astype(np.intp) - first
    if count.sum() > MAX_CROSSINGS:
        raise TooManyCrossings(f"{count.sum()} crossings")
    edge = np.repeat(np.arange(len(count)), count)
    nth = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    row = first[edge] + nth
    run, rise = high[edge, 0] - low[edge, 0], high[edge, 1] - low[edge, 1]
    return Crossings(row, low[edge, 0] + (row - low[edge, 1]) * run / rise)


def filled(polygons: Sequence[Float], shape: tuple[int, int]) -> Bool:
    """Pixels [row, column] whose centre is inside; of borders the left is in, the right out."""
    rows, columns = shape
    crossings = cross_rows(polygons, rows)
    at = np.clip(np.ceil(crossings.x), 0, columns).astype(np.intp)
    toggles = np.bincount(crossings.row * (columns + 1) + at, minlength=rows * (columns + 1))
    parity = np.cumsum(toggles.reshape(rows, columns + 1), axis=1) & 1
    return np.asarray(parity[:, :columns].astype(np.bool_))


def area_and_centroid(polygons: Sequence[Float], rows: int = 256) -> tuple[float, float, float]:
    """Area and centroid (x, y) of the inside, integrated over `rows` scan lines."""
    points = np.concatenate(polygons)
    bottom, top = points[:, 1].min(), points[:, 1].max()
    step = (top - bottom) / rows
    if step <= 0:
        return 0.0, float(points[:, 0].mean()), float(bottom)
    scaled = [
        np.column_stack((polygon[:, 0], (polygon[:, 1] - bottom) / step - 0.5))
        for polygon in polygons
    ]
    crossings = cross_rows(scaled, rows)
    order = np.lexsort((crossings.x, crossings.row))
    left, right = crossings.x[order][0::2], crossings.x[order][1::2]
    length = right - left
    area = float(length.sum()) * step
    if area <= 0:
        return 0.0, float(points[:, 0].mean()), float(points[:, 1].mean())
    y = bottom + (crossings.row[order][0::2] + 0.5) * step
    weight = length * step / area
    return area, float(weight @ (left + right)) / 2, float(weight @ y)
