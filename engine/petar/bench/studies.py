"""Made studies with a given number of lesions, at the sizes of a scanner or scaled down."""

from dataclasses import dataclass

import numpy as np
from pydicom.sr.codedict import codes

from engine.acquisition import PetAcquisition, SuvConversion
from engine.geometry import Grid
from engine.lesion import Lesion, Measurements, Segment
from engine.volume import Mask, Scan, Volume

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Voxels and mm along k, j, i."""

    pet: Shape
    pet_mm: Spacing
    ct: Shape
    ct_mm: Spacing


WHOLE_BODY = Sizes((275, 192, 192), (3.27, 3.65, 3.65), (275, 512, 512), (3.27, 0.98, 0.98))
SCALED_DOWN = Sizes((160, 100, 100), (5.0, 5.0, 5.0), (160, 160, 160), (5.0, 3.2, 3.2))


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """A scan and what is drawn in it."""

    scan: Scan
    lesions: tuple[Lesion, ...]


def make_study(sizes: Sizes, lesions: int, seed: int) -> Study:
    """A noisy trunk with hot ellipsoids; equal seeds give equal studies."""
    rng = np.random.default_rng(seed)
    pet_grid, ct_grid = _grid(sizes.pet, sizes.pet_mm), _grid(sizes.ct, sizes.ct_mm)
    suv = np.where(_trunk(sizes.pet), rng.uniform(0.3, 3, sizes.pet), 0).astype(np.float32)
    hu = np.where(_trunk(sizes.ct), rng.uniform(-150, 350, sizes.ct), -1000).astype(np.float32)
    drawn = []
    for number in range(1, lesions + 1):
        voxels = _blob(sizes.pet, rng)
        suv[voxels] += rng.uniform(3, 12)
        segment = Segment(
            number, f"Lesion {number}", "lesion", Mask(voxels, pet_grid), "1.2", "2.25.1"
        )
        volume_cm3 = float(voxels.sum()) * pet_grid.voxel_volume_cm3
        drawn.append(Lesion(segment, Measurements(volume_cm3=volume_cm3)))
    pet = Volume(suv, pet_grid, "g/ml", (), "2.25.2")
    ct = Volume(hu, ct_grid, "HU", (), "2.25.3")
    conversion = SuvConversion(np.ones(sizes.pet[0]), "bw", "made")
    return Study(Scan(pet, ct, _fdg(), conversion), tuple(drawn))


def _grid(shape: Shape, spacing_mm: Spacing) -> Grid:
    affine = np.zeros((4, 4))
    for axis, row in enumerate((2, 1, 0)):
        affine[row, axis] = spacing_mm[axis]
        affine[row, 3] = -spacing_mm[axis] * (shape[axis] - 1) / 2
    affine[3, 3] = 1
    return Grid(shape, affine)


def _trunk(shape: Shape) -> np.ndarray:
    j, i = (np.linspace(-1, 1, n) for n in shape[1:])
    plane = (j[:, None] / 0.55) ** 2 + (i[None, :] / 0.75) ** 2 < 1
    return np.broadcast_to(plane, shape)


def _blob(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    centre = [n * rng.uniform(0.35, 0.65) for n in shape[1:]]
    centre.insert(0, shape[0] * rng.uniform(0.1, 0.9))
    radii = rng.uniform(1.5, 5, 3)
    near = [np.arange(n) - c for n, c in zip(shape, centre, strict=True)]
    k, j, i = (((axis / r) ** 2) for axis, r in zip(near, radii, strict=True))
    return np.asarray(k[:, None, None] + j[None, :, None] + i[None, None, :] < 1)


def _fdg() -> PetAcquisition:
    return PetAcquisition(
        units="BQML", suv_type=None, decay_correction="START", corrected_image=(),
        rescale_intercepts=(0.0,), series_at=None, frames=(), patient_weight_kg=70.0,
        patient_size_m=None, patient_sex=None, radionuclide_total_dose_bq=None,
        radionuclide_half_life_s=None, injected_at=None, injected_at_is_time_only=False,
        has_radiopharmaceutical=True, tracer=codes.SCT.FluorodeoxyglucoseF18, tracer_name=None,
        ge_scan_at=None, ge_injected_at=None, philips_suv_factor=None, philips_activity_factor=None,
    )  # fmt: skip
