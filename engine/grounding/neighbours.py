"""What the label map of a study says of a lesion's place: which organs are near, which region."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
import numpy.typing as npt

from engine.grounding.site_table import Site, is_within, site_coded, table
from engine.grounding.sites import site_of
from engine.lesion import Lesion, Segment
from engine.volume import Mask

NEAR_MM = 10.0
# TotalSegmentator's words that mean another thing in a report.
_LABELS = {"hip_left": "bony pelvis", "hip_right": "bony pelvis"}
INSIDE = 0.8  # of a lesion's voxels: it lies in that organ


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A labelled organ within NEAR_MM of a lesion."""

    site: Site
    distance_mm: float
    overlap: float  # fraction of the lesion's voxels


def site_of_segment(segment: Segment) -> Site | None:
    """The row of the table that a context segment is: by its codes, else by its label."""
    return site_stated(segment) or _site_labelled(segment.label.strip().lower())


def site_stated(segment: Segment) -> Site | None:
    """The row of the table that the codes of a segment state."""
    for code in (segment.property_type, segment.anatomic_region):
        site = site_coded(code) if code is not None else None
        if site is not None:
            return site
    return None


def labelled(context: Sequence[Lesion]) -> list[tuple[Site, Segment]]:
    """The context segments that are sites of the table, tissues that are everywhere left out."""
    found = [(site_of_segment(one.segment), one.segment) for one in context]
    return [(site, segment) for site, segment in found if site is not None and site.rank == 2]


def neighbours_of(lesion: Lesion, organs: Sequence[tuple[Site, Segment]]) -> list[Neighbour]:
    """The organs within NEAR_MM of the lesion's voxels, the nearest first."""
    from scipy import ndimage  # only a study with a label map needs it

    mask = lesion.segment.mask
    box = _box_around(mask)
    if box is None:
        return []
    voxels = mask.voxels[box]
    distance_mm = ndimage.distance_transform_edt(~voxels, sampling=mask.grid.spacing_mm)
    found = []
    for site, segment in organs:
        if segment.mask.voxels.shape != mask.voxels.shape:
            continue
        organ = segment.mask.voxels[box]
        nearest = float(distance_mm[organ].min()) if organ.any() else np.inf
        if nearest <= NEAR_MM:
            overlap = float((organ & voxels).sum() / voxels.sum())
            found.append(Neighbour(site, nearest, overlap))
    return sorted(found, key=lambda one: (one.distance_mm, -one.overlap))


def is_elsewhere(
    claimed: Site, neighbours: Sequence[Neighbour], organs: Sequence[tuple[Site, Segment]]
) -> bool:
    """Whether the claimed organ is labelled, and not near; or a node is claimed inside an organ."""
    if claimed.organ_group == "Lymph node":
        # hilar and intrapulmonary nodes may lie in what is labelled lung
        is_of_lung = is_within(claimed, table()["hilar LN"])
        without_nodes = ("Liver", "Brain") if is_of_lung else ("Lung", "Liver", "Brain")
        return any(
            one.overlap > INSIDE and one.site.organ_group in without_nodes for one in neighbours
        )
    labels = {site.name: site for site, _ in organs if is_within(site, claimed)}
    if not labels:
        labels = {site.name: site for site, _ in organs if is_within(claimed, site)}
    return bool(labels) and not any(one.site.name in labels for one in neighbours)


@lru_cache(maxsize=4096)
def _site_labelled(label: str) -> Site | None:
    return table().get(_LABELS.get(label) or site_of(label).name or "")


def _box_around(mask: Mask) -> tuple[slice, slice, slice] | None:
    """The mask's own box, wider by NEAR_MM on every side; None when it marks nothing."""
    slices = np.any(mask.voxels.reshape(len(mask.voxels), -1), axis=1)
    if not slices.any():
        return None
    plane = np.any(mask.voxels[slices], axis=0)
    marked = (slices, np.any(plane, axis=1), np.any(plane, axis=0))
    k, j, i = (
        _widened(np.flatnonzero(axis), ceil(NEAR_MM / spacing_mm))
        for axis, spacing_mm in zip(marked, mask.grid.spacing_mm, strict=True)
    )
    return k, j, i


def _widened(at: npt.NDArray[np.intp], margin: int) -> slice:
    return slice(max(int(at[0]) - margin, 0), int(at[-1]) + margin + 1)
