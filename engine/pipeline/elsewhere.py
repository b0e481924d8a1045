"""Organs that other objects of a study mark: what a model's words are judged by, not reported."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.errors import UnusableCase
from engine.lesion import Lesion, Measurements, Segment
from engine.reading.mask import read_mask
from engine.report.sources import read_header
from engine.volume import Volume

MOST_BYTES = 2 << 30  # of masks on the PET grid: one byte a voxel and segment


def organs_of(
    label_maps: Sequence[Path], pet: Volume
) -> tuple[tuple[Lesion, ...], tuple[str, ...]]:
    """Every segment of the label maps that lies on the PET grid, and what could not be used."""
    organs: list[Lesion] = []
    notes: list[str] = []
    free_bytes = MOST_BYTES
    for path in label_maps:
        try:
            header = read_header(path)
            uid = header.SOPInstanceUID
            needed_bytes = len(header.get("SegmentSequence") or []) * pet.values.size
            if needed_bytes > free_bytes:
                notes.append(f"Label map {uid} was not used: too large for this PET grid.")
                continue
            free_bytes -= needed_bytes
            content = read_mask(path, pet, lesion_numbers=())
        except UnusableCase as exc:
            notes.append(f"A label map was not used ({exc.code}): {exc}")
        else:
            organs += (_placed(segment) for segment in content.segments)
    return tuple(organs), tuple(notes)


def _placed(segment: Segment) -> Lesion:
    """How much there is and where: all that a judgement on words asks of an organ."""
    k, j, i = np.nonzero(segment.mask.voxels)
    grid = segment.mask.grid
    volume_cm3 = len(k) * grid.voxel_volume_cm3
    if not len(k):
        return Lesion(segment, Measurements(volume_cm3=0.0))
    centre = np.array([[k.mean(), j.mean(), i.mean()]])
    x, y, z = (float(value) for value in grid.to_lps_mm(centre)[0])
    return Lesion(segment, Measurements(volume_cm3=volume_cm3, centroid_lps_mm=(x, y, z)))
