"""Scans and lesions made in memory, small, with uptake that differs from place to place."""

from dataclasses import replace

import numpy as np
from pydicom.sr.coding import Code

from engine.acquisition import PetAcquisition, SuvConversion
from engine.geometry import Grid
from engine.lesion import Lesion, Measurements, Segment
from engine.volume import Mask, Scan, Volume

FDG = Code("35321007", "SCT", "Fluorodeoxyglucose F^18^")
PET_SHAPE, CT_SHAPE = (48, 40, 40), (40, 60, 60)
TALL_SHAPE = (150, 24, 24)  # more than a global view holds
PET_SPACING_MM, CT_SPACING_MM = (4.0, 5.0, 5.0), (5.0, 3.4, 3.4)


def make_scan(
    seed: int = 0,
    *,
    tracer: Code | None = FDG,
    tracer_name: str | None = None,
    shape: tuple[int, int, int] = PET_SHAPE,
) -> Scan:
    """A PET in g/ml and its CT: a noisy ellipsoid with hot spots, bone and air."""
    rng = np.random.default_rng(seed)
    pet_grid, ct_grid = grid_of(shape, PET_SPACING_MM), grid_of(CT_SHAPE, CT_SPACING_MM)
    suv = np.where(_inside(shape), rng.uniform(0.3, 3.0, shape), 0.0)
    for _ in range(12):
        k, j, i = (int(rng.integers(6, n - 6)) for n in shape)
        suv[k - 2 : k + 3, j - 2 : j + 3, i - 2 : i + 3] += rng.uniform(3, 12)
    hu = np.where(_inside(CT_SHAPE), rng.uniform(-150, 350, CT_SHAPE), -1000.0)
    pet = Volume(suv.astype(np.float32), pet_grid, "g/ml", (), f"2.25.{seed + 1}1")
    ct = Volume(hu.astype(np.float32), ct_grid, "HU", (), f"2.25.{seed + 1}2")
    acquisition = replace(EMPTY_HEADER, tracer=tracer, tracer_name=tracer_name)
    return Scan(pet, ct, acquisition, SuvConversion(np.ones(shape[0]), "bw", "made"))


def make_lesions(
    count: int, seed: int = 0, shape: tuple[int, int, int] = PET_SHAPE
) -> list[Lesion]:
    """Boxes of several voxels each, at different places."""
    rng = np.random.default_rng(1000 + seed)
    lesions = []
    for number in range(1, count + 1):
        voxels = np.zeros(shape, bool)
        k, j, i = (int(rng.integers(8, n - 12)) for n in shape)
        deep, high, wide = (int(n) for n in rng.integers(2, 6, 3))
        voxels[k : k + deep, j : j + high, i : i + wide] = True
        lesions.append(lesion_of(voxels, number))
    return lesions


def lesion_of(voxels: np.ndarray, number: int = 1, **of_segment: object) -> Lesion:
    """A lesion with this mask."""
    mask = Mask(voxels, grid_of(voxels.shape, PET_SPACING_MM))
    segment = Segment(number, f"Lesion {number}", "lesion", mask, "1.2.3", "2.25.9")
    return Lesion(replace(segment, **of_segment), Measurements(volume_cm3=1.0))


def grid_of(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Grid:
    """Axial slices upwards, the middle of the volume at the origin."""
    affine = np.zeros((4, 4))
    for axis, row in enumerate((2, 1, 0)):
        affine[row, axis] = spacing_mm[axis]
        affine[row, 3] = -spacing_mm[axis] * (shape[axis] - 1) / 2
    affine[3, 3] = 1
    return Grid(shape, affine)


def _inside(shape: tuple[int, int, int]) -> np.ndarray:
    axes = [np.linspace(-1, 1, n) for n in shape]
    k, j, i = np.meshgrid(*axes, indexing="ij")
    return np.asarray(j**2 + i**2 + 0 * k < 0.8)


EMPTY_HEADER = PetAcquisition(
    units="BQML", suv_type=None, decay_correction="START", corrected_image=(),
    rescale_intercepts=(0.0,), series_at=None, frames=(), patient_weight_kg=70.0,
    patient_size_m=None, patient_sex=None, radionuclide_total_dose_bq=None,
    radionuclide_half_life_s=None, injected_at=None, injected_at_is_time_only=False,
    has_radiopharmaceutical=True, tracer=None, tracer_name=None, ge_scan_at=None,
    ge_injected_at=None, philips_suv_factor=None, philips_activity_factor=None,
)  # fmt: skip
