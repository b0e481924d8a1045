"""Whether a lesion can lie in a body region, by the vertebrae of a label map."""

from collections.abc import Sequence

import numpy as np

from engine.grounding.neighbours import INSIDE, Neighbour, site_of_segment
from engine.grounding.site_table import table
from engine.lesion import Lesion

MARGIN_MM = 20.0
NECK_TOP_MM = 60.0  # from C1 to the skull base: the nasopharynx and the parotids
PELVIS_MM = 40.0  # from L5 down, where organs of the abdomen still lie
# The lowest and the highest vertebra whose level still belongs to a region, with room for both.
_SPANS: dict[str, tuple[tuple[str, float] | None, tuple[str, float] | None]] = {
    "Head": (("C5", 0.0), None),
    "Neck": (("T3", 0.0), ("C1", NECK_TOP_MM)),
    "Chest": (("L2", 0.0), ("C6", 0.0)),
    "Abdomen": (("L5", PELVIS_MM), ("T7", 0.0)),
    "Pelvis": (None, ("L3", 0.0)),
}
_DOWNWARDS = ("Head", "Neck", "Chest", "Abdomen", "Pelvis")


def is_outside(region: str, z_mm: float, context: Sequence[Lesion]) -> bool:
    """Whether a height is that of another region; False where no labelled vertebra tells."""
    if region not in _SPANS:
        return False
    low, high = _SPANS[region]
    if low is not None:
        bound_mm = _height_mm(low[0], context)
        if bound_mm is not None and z_mm < bound_mm - low[1] - MARGIN_MM:
            return True
    if high is not None:
        bound_mm = _height_mm(high[0], context)
        return bound_mm is not None and z_mm > bound_mm + high[1] + MARGIN_MM
    return False


def is_far_from(region: str, neighbours: Sequence[Neighbour]) -> bool:
    """Whether every organ near the lesion lies in a region that does not touch this one."""
    if region not in _DOWNWARDS:
        return False
    placed = [one for one in neighbours if one.site.region in _DOWNWARDS]
    return bool(placed) and all(_is_apart(region, one) for one in placed)


def _is_apart(region: str, neighbour: Neighbour) -> bool:
    steps = abs(_DOWNWARDS.index(region) - _DOWNWARDS.index(neighbour.site.region or region))
    return steps > 1 or (steps == 1 and neighbour.overlap > INSIDE)


def _height_mm(vertebra: str, context: Sequence[Lesion]) -> float | None:
    """LPS z of a vertebra, between those labelled; None beyond them, or where they make no row."""
    order = _vertebrae()
    heights = {}
    for one in context:
        site, centroid = site_of_segment(one.segment), one.measurements.centroid_lps_mm
        if site is not None and site.name in order and centroid is not None:
            heights[order[site.name]] = centroid[2]
    at = order[f"{vertebra} vertebra"]
    levels = sorted(heights)
    z_mm = [heights[level] for level in levels]
    if not levels or not levels[0] <= at <= levels[-1] or any(np.diff(z_mm) >= 0):
        return None
    return float(np.interp(at, levels, z_mm))


def _vertebrae() -> dict[str, int]:
    """C1 to L5, counted downwards as the table lists them."""
    names = [name for name in table() if name.endswith(" vertebra")]
    return {name: place for place, name in enumerate(names)}
