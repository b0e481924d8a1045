"""Images as arrays. Every array is [k, j, i] = slice, row, column."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from engine.acquisition import PetAcquisition, SuvConversion, SuvRefusal
from engine.geometry import Grid


@dataclass(frozen=True, slots=True)
class ImageReference:
    """The instance (and frame, counted from 1) that one slice of a volume came from."""

    sop_class_uid: str
    sop_instance_uid: str
    frame_number: int | None
    instance_number: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """float32 values [k, j, i] in `unit`: "g/ml", "Bq/ml", "HU", or what Units (0054,1001) says."""

    values: npt.NDArray[np.float32]
    grid: Grid
    unit: str
    slices: tuple[ImageReference, ...]  # one for each k
    series_instance_uid: str


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """bool voxels [k, j, i] on a grid."""

    voxels: npt.NDArray[np.bool_]
    grid: Grid


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """One PET and, where there is one, its CT, each on its own grid.

    `pet` is in g/ml when `suv` is a conversion, and in the unit its header states when refused.
    """

    pet: Volume
    ct: Volume | None
    acquisition: PetAcquisition
    suv: SuvConversion | SuvRefusal


def unmarked(shape: Sequence[int]) -> npt.NDArray[np.bool_]:
    """An array of False; what is never written takes no memory (zeros from the heap would)."""
    pages = mmap.mmap(-1, prod(shape), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, np.bool_).reshape(shape)
