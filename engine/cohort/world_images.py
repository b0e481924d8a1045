"""PET and CT of a made body: parts painted on a grid, tissues looked up, the scanner's blur."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.cohort.body_parts import Part
from engine.cohort.body_shapes import Lattice, voxels_of
from engine.geometry import Grid

Float = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint16]
AIR_HU = -1000.0


@dataclass(frozen=True, slots=True)
class Scanner:
    """What the scanner makes of the body."""

    resolution_mm: float  # full width at half maximum
    noise: float  # of an uptake of 1 g/ml, as its standard deviation
    ct_noise_hu: float


def draw_scanner(rng: np.random.Generator, *, is_shifted: bool = False) -> Scanner:
    """A scanner by chance; a shifted one is older and noisier."""
    low, high = (7.5, 9.5) if is_shifted else (4.5, 7.0)
    noisy = 1.8 if is_shifted else 1.0
    return Scanner(
        resolution_mm=float(rng.uniform(low, high)),
        noise=noisy * float(rng.uniform(0.05, 0.12)),
        ct_noise_hu=noisy * float(rng.uniform(8, 18)),
    )


def lying_grid(extent_mm: Sequence[tuple[float, float]], spacing_mm: Sequence[float]) -> Grid:
    """The grid of voxels [k, j, i] from the lowest to the highest x, y, z of an extent."""
    affine = np.zeros((4, 4))
    shape = []
    for axis, spacing in enumerate(spacing_mm):
        row = 2 - axis
        low, high = extent_mm[row]
        affine[row, axis], affine[row, 3] = spacing, low
        shape.append(round((high - low) / spacing) + 1)
    affine[3, 3] = 1
    return Grid((shape[0], shape[1], shape[2]), affine)


def paint(parts: Sequence[Part], grid: Grid) -> Labels:
    """For each voxel the number of the part that holds its centre, from 1; 0 in the air."""
    labels = np.zeros(grid.shape, np.uint16)
    lattice = Lattice.of(grid)
    for number, part in enumerate(parts, start=1):
        for solid in part.solids:
            box, inside = voxels_of(solid, lattice)
            labels[box][inside] = number
    return labels


def activity(labels: Labels, parts: Sequence[Part], suv: dict[str, float]) -> Float:
    """SUV before the scanner, each part even."""
    looked_up = np.array([0.0, *(suv[part.tissue] for part in parts)], np.float32)
    return np.asarray(looked_up[labels])


def density(labels: Labels, parts: Sequence[Part], hu: dict[str, float]) -> Float:
    """HU before the scanner, each part even."""
    looked_up = np.array([AIR_HU, *(hu[part.tissue] for part in parts)], np.float32)
    return np.asarray(looked_up[labels])


def as_pet(uptake: Float, grid: Grid, scanner: Scanner, rng: np.random.Generator) -> Float:
    """Blur, then noise that grows with the root of the uptake."""
    from scipy.ndimage import gaussian_filter  # heavy: only when a study is made

    sigma = [scanner.resolution_mm / 2.3548 / spacing for spacing in grid.spacing_mm]
    blurred = gaussian_filter(uptake, sigma, truncate=3.0)
    noise = gaussian_filter(rng.standard_normal(grid.shape, np.float32), 0.7, truncate=2.0)
    noise *= np.float32(scanner.noise / float(noise[:: max(1, len(noise) // 8)].std()))
    blurred += noise * np.sqrt(np.maximum(blurred, 0))
    return np.asarray(np.maximum(blurred, 0), np.float32)


def as_ct(hu: Float, scanner: Scanner, rng: np.random.Generator) -> Float:
    """Noise alone: the CT is sharper than its voxels here."""
    noisy = hu + rng.standard_normal(hu.shape, np.float32) * np.float32(scanner.ct_noise_hu)
    return np.asarray(np.maximum(noisy, -1024), np.float32)
