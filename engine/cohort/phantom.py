"""A whole-body FDG PET/CT study with a segmentation, whose every lesion is known by formula."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.cohort.anatomy import EXTENT, LESIONS, Blob, Ellipsoid, LesionTruth, body, truth_of
from engine.cohort.headers import Series, uid_of, write_ct, write_pet, write_seg
from engine.geometry import Grid

Array = npt.NDArray[np.float32]

PET_SHAPE, PET_SPACING_MM = (275, 192, 192), (3.27, 3.6458, 3.6458)
CT_SHAPE, CT_SPACING_MM = (240, 512, 512), (3.75, 0.9765625, 0.9765625)
RESOLUTION_SIGMA_MM = 2.5  # about 6 mm full width at half maximum
PET_NOISE = 0.08  # of the local uptake
CT_NOISE_HU = 12.0
AIR_HU = -1000.0


@dataclass(frozen=True, slots=True)
class PhantomStudy:
    """The files of a made study, and what is true of its lesions."""

    study_instance_uid: str
    pet: tuple[Path, ...]
    ct: tuple[Path, ...]
    seg: Path
    lesions: tuple[LesionTruth, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        return (*self.pet, *self.ct, self.seg)


def make_study(folder: Path, seed: int = 1) -> PhantomStudy:
    """Write PET, CT and SEG of one made patient under `folder`; equal seeds give equal files.

    The seed moves noise, uptake of the lesions and UIDs, not the anatomy.
    """
    rng = np.random.default_rng(seed)
    pet_grid = _grid(PET_SHAPE, PET_SPACING_MM)
    ct_grid = _grid(CT_SHAPE, CT_SPACING_MM)
    blobs = tuple(_placed(blob, pet_grid, rng) for blob in LESIONS)

    suv, masks = _uptake(pet_grid, blobs, rng)
    hu = _density(ct_grid, blobs, rng)

    series = Series.of_seed(seed)
    pet = write_pet(folder / "PET", suv, pet_grid, series)
    ct = write_ct(folder / "CT", hu, ct_grid, series)
    truths = tuple(
        truth_of(blob, number, uid_of(seed, f"tracking {number}"))
        for number, blob in enumerate(blobs, start=1)
    )
    seg = write_seg(folder / "SEG" / "lesions.dcm", masks, truths, pet, series)
    return PhantomStudy(series.study_instance_uid, pet, ct, seg, truths)


def _grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Grid:
    """Axial slices from the thighs up, the table's middle at x = y = 0."""
    affine = np.zeros((4, 4))
    for axis, (row, spacing) in enumerate(zip((2, 1, 0), spacing_mm, strict=True)):
        affine[row, axis] = spacing
        if row != 2:
            affine[row, 3] = -spacing * (shape[axis] - 1) / 2
    affine[3, 3] = 1
    return Grid(shape, affine)


def _placed(blob: Blob, grid: Grid, rng: np.random.Generator) -> Blob:
    """The blob on the nearest voxel centre, so that its highest value is one that is sampled."""
    nearest = np.rint(grid.to_kji(blob.centre_lps_mm))
    x, y, z = (float(c) for c in grid.to_lps_mm(nearest))
    rise_suv = round(blob.rise_suv * float(rng.uniform(0.9, 1.1)), 2)
    return replace(blob, centre_lps_mm=(x, y, z), rise_suv=rise_suv)


def _uptake(
    grid: Grid, blobs: Sequence[Blob], rng: np.random.Generator
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """SUV [k, j, i], and the lesions' masks [lesion, k, j, i]: smooth, noisy outside lesions."""
    from scipy.ndimage import gaussian_filter  # heavy: only when a study is made

    suv = np.zeros(grid.shape, np.float32)
    for part in body():
        _paint(suv, grid, part, part.suv)
    sigma = [RESOLUTION_SIGMA_MM / spacing for spacing in grid.spacing_mm]
    suv = gaussian_filter(suv, sigma, truncate=3.0)
    noise = rng.standard_normal(grid.shape, np.float32) * np.float32(PET_NOISE)
    suv *= 1 + gaussian_filter(noise, 0.6, truncate=2.0) / np.float32(0.5)
    masks = np.zeros((len(blobs), *grid.shape), np.bool_)
    for mask, blob in zip(masks, blobs, strict=True):
        _raise(suv, mask, grid, blob)
    return np.maximum(suv, 0), masks


def _density(grid: Grid, blobs: Sequence[Blob], rng: np.random.Generator) -> Array:
    """HU [k, j, i]; a lesion is soft tissue."""
    hu = np.full(grid.shape, AIR_HU, np.float32)
    for part in body():
        _paint(hu, grid, part, part.hu)
    for blob in blobs:
        semi_axes_mm = tuple(EXTENT * sigma for sigma in blob.sigma_mm)
        _paint(hu, grid, Ellipsoid(blob.centre_lps_mm, semi_axes_mm, 0, 45), 45)  # type: ignore[arg-type]
    for plane in hu:
        plane += rng.standard_normal(plane.shape, np.float32) * np.float32(CT_NOISE_HU)
    return hu


def _paint(values: Array, grid: Grid, part: Ellipsoid, value: float) -> None:
    box, q = _distance(grid, part.centre_lps_mm, part.semi_axes_mm, reach=1.0)
    values[box][q <= 1] = value


def _raise(suv: Array, mask: npt.NDArray[np.bool_], grid: Grid, blob: Blob) -> None:
    """Put the blob in: by its formula alone where it is drawn, fading into the tissue beyond."""
    box, q = _distance(grid, blob.centre_lps_mm, blob.sigma_mm, reach=EXTENT + 2)
    drawn = q <= EXTENT**2
    own = np.clip(EXTENT + 1 - np.sqrt(q), 0, 1)
    tissue = own * blob.background_suv + (1 - own) * suv[box]
    suv[box] = tissue + blob.rise_suv * np.exp(-q / 2)
    mask[box] = drawn


def _distance(
    grid: Grid, centre_lps_mm: Sequence[float], radii_mm: Sequence[float], reach: float
) -> tuple[tuple[slice, slice, slice], npt.NDArray[np.float64]]:
    """The box of voxels within `reach` radii, and in it q = sum(((p - centre) / radius)^2)."""
    centre = grid.to_kji(centre_lps_mm)
    box: list[slice] = []
    parts: list[npt.NDArray[np.float64]] = []
    for axis, radius_mm in enumerate(reversed(radii_mm)):  # k, j, i run along z, y, x
        radius = radius_mm / grid.spacing_mm[axis]
        first = max(int(np.floor(centre[axis] - reach * radius)), 0)
        last = min(int(np.ceil(centre[axis] + reach * radius)) + 1, grid.shape[axis])
        box.append(slice(first, max(last, first)))
        parts.append(((np.arange(first, max(last, first)) - centre[axis]) / radius) ** 2)
    k, j, i = parts
    return (box[0], box[1], box[2]), k[:, None, None] + j[None, :, None] + i[None, None, :]
