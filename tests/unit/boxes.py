"""Small scans and records for tests of datasets."""

import numpy as np
import numpy.typing as npt

from engine.acquisition import SuvConversion
from engine.cohort.dataset import Record
from engine.cohort.plain import plain_acquisition
from engine.geometry import Grid
from engine.volume import ImageReference, Scan, Volume


def a_grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Grid:
    """Axial slices, k rising to the head."""
    k, j, i = spacing_mm
    affine = np.array([[0, 0, i, 0.0], [0, j, 0, 0], [k, 0, 0, 0], [0, 0, 0, 1]])
    return Grid(shape, affine, "1.2.3")


def scan_of(pet: npt.NDArray[np.floating], grid: Grid, ct: Volume | None = None) -> Scan:
    """SUV as a scan; slices are numbered from the head."""
    count = grid.shape[0]
    slices = tuple(ImageReference("1.2", f"1.2.{k}", None, count - k) for k in range(count))
    volume = Volume(pet.astype(np.float32), grid, "g/ml", slices, "1.2.3.4")
    return Scan(volume, ct, plain_acquisition("FDG"), SuvConversion(np.ones(count), "bw", "made"))


def a_scan(shape: tuple[int, int, int], seed: int, affine: npt.NDArray[np.floating]) -> Scan:
    """Noise on a grid of any axes, and a CT of twice the slices."""
    rng = np.random.default_rng(seed)
    fine = affine.copy()
    fine[:, 0] /= 2
    ct_grid = Grid((2 * shape[0], *shape[1:]), fine, "1.2.3")
    ct = Volume(
        rng.normal(0, 100, ct_grid.shape).astype(np.float32), ct_grid, "HU",
        tuple(ImageReference("", "", None, None) for _ in range(ct_grid.shape[0])), "1.2.3.5",
    )  # fmt: skip
    return scan_of(rng.gamma(2.0, 2.0, shape), Grid(shape, affine, "1.2.3"), ct)


def a_record(study_id: str, lesion_id: str) -> Record:
    return Record(
        study_id=study_id, lesion_id=lesion_id, split="train", site="liver", organ_group="Liver",
        region="Abdomen", laterality=None, uptake="intense", interpretation="malignant",
        text="A liver lesion, SUV max 6.3 on slice 4.", measured={"suv_max": 6.3, "slice": 4},
        source="made",
    )  # fmt: skip
