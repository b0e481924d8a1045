"""Phantoms of hot ellipsoids in tissues of different uptake, blurred and noisy, with reports."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from engine.volume import Mask, Scan
from tests.unit.boxes import a_grid, scan_of

SHAPE = (64, 76, 76)
BALL = np.ones((3, 3, 3), np.bool_)
_WORDINGS = (
    "Hypermetabolic focus, SUV max of {suv} (slice {slice}).",
    "There is intense uptake on axial slice {slice} with a maximum SUV of {suv}.",
    "Avid lesion measuring {size} cm, SUVmax: {suv}, PET/CT axial slice {slice}.",
    "FDG-avid mass on image {slice} with SUV max {suv}, previously SUV max 9.9.",
)


@dataclass(frozen=True, slots=True, eq=False)
class HotSpots:
    """A scan and the true masks of its lesions, with SUVmax and slice as a reader sees them."""

    scan: Scan
    masks: tuple[npt.NDArray[np.bool_], ...]
    said: tuple[tuple[float, int], ...]  # SUVmax to one decimal, InstanceNumber

    def report(self, rng: np.random.Generator) -> str:
        lines = ["FINDINGS:"]
        for suv, number in self.said:
            wording = _WORDINGS[int(rng.integers(len(_WORDINGS)))]
            lines.append(wording.format(suv=suv, slice=number, size="1.2 x 0.9"))
        return "\n".join(lines)


def hot_spots(
    seed: int, count: int = 10, spacing_mm: tuple[float, ...] = (3.27, 3.65, 3.65)
) -> HotSpots:
    """Lesions of 1 to 40 ml at least 10 mm apart, 2.5 to 12 above tissues of SUV 0.7 to 2.2."""
    rng = np.random.default_rng(seed)
    grid = a_grid(SHAPE, spacing_mm)
    place = np.indices(SHAPE) * np.reshape(spacing_mm, (3, 1, 1, 1))
    suv = np.full(SHAPE, 0.7, np.float32)
    suv[:, :, 40:] = 2.2
    suv[:, 52:, :] = 1.2
    masks: list[npt.NDArray[np.bool_]] = []
    taken: list[tuple[npt.NDArray[np.float64], float]] = []
    for _ in range(400):
        volume_ml = np.exp(rng.uniform(0, np.log(40)))
        axes = (3000 * volume_ml / 4 / np.pi) ** (1 / 3) * np.exp(rng.normal(0, 0.12, 3))
        low = axes + 12
        centre = rng.uniform(low, np.maximum(np.multiply(SHAPE, spacing_mm) - low, low + 1))
        reach = float(axes.max())
        if any(np.linalg.norm(centre - c) < reach + r + 10 for c, r in taken):
            continue
        taken.append((centre, reach))
        q = sum(((place[axis] - centre[axis]) / axes[axis]) ** 2 for axis in range(3))
        masks.append(np.asarray(q <= 1))
        suv[masks[-1]] = suv[masks[-1]].mean() + rng.uniform(2.5, 12)
        if len(masks) == count:
            break
    blurred = ndimage.gaussian_filter(suv, [2.7 / step for step in spacing_mm])
    noise = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 0.6) / 0.5
    scan = scan_of(blurred * (1 + 0.08 * noise), grid)
    return HotSpots(scan, tuple(masks), tuple(seen(mask, scan) for mask in masks))


def seen(mask: npt.NDArray[np.bool_], scan: Scan) -> tuple[float, int]:
    """SUVmax to one decimal, and the number of its slice."""
    values = np.where(mask, scan.pet.values, -1)
    k = int(np.unravel_index(values.argmax(), values.shape)[0])
    number = scan.pet.slices[k].instance_number
    assert number is not None
    return round(float(values.max()), 1), number


def is_within_a_voxel(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> bool:
    """Whether neither reaches further than one voxel, diagonals too, beyond the other."""
    return all(
        not (a & ~ndimage.binary_dilation(b, BALL)).any() for a, b in ((one, other), (other, one))
    )


def matched(mask: npt.NDArray[np.bool_], found: tuple[Mask, ...]) -> bool:
    return any(is_within_a_voxel(mask, one.voxels) for one in found)
