"""Where the middle of the body lies, and on which side of it a lesion is.

The middle is the centroid of the body (PET above 0.2 g/ml; CT above -500 HU where SUV is refused)
in the slices around the lesion. All is done in patient LPS, where x grows to the patient's left
whichever way the patient lay in the scanner.
"""

from dataclasses import dataclass
from itertools import permutations
from math import ceil

import numpy as np
import numpy.typing as npt
from pydicom.sr.coding import Code

from engine.acquisition import SuvRefusal
from engine.codes import LEFT, RIGHT
from engine.geometry import Grid
from engine.grounding.lasting import kept_with
from engine.volume import Scan, Volume

DEAD_ZONE_MM = 15.0  # nearer to the middle than this is neither left nor right
BAND_SLICES = 5  # on either side of the lesion's
BODY_SUV = 0.2
BODY_HU = -500.0
SAMPLE_MM = 4.0  # about: finer voxels tell nothing more of a centroid
LEAST_PART = 0.2  # of the largest component: both legs are the body, an arm or the table is not
CUT = 0.25  # of a mean column of the body on the image's border: the image cuts the body

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class BodyProfile:
    """The body in each slab along the axis nearest to the patient's z."""

    grid: Grid  # of the sampled voxels
    axis: int
    voxels: Float  # [slab]
    index_sum_kji: Float  # [slab, 3]
    border_voxels: Float  # [slab, 2]: on the two borders along x
    columns: int  # along x


def side_in_body(scan: Scan, lps_mm: tuple[float, float, float]) -> Code | None:
    """LEFT or RIGHT of the body's middle; None near it, or where the middle cannot be told."""
    volume = _body_image(scan)
    if volume is None:
        return None
    profile = kept_with([volume.values], "body profile", lambda: body_profile(volume))
    middle = middle_x_mm(profile, lps_mm, scan.pet.grid)
    if middle is None or abs(lps_mm[0] - middle) <= DEAD_ZONE_MM:
        return None
    return LEFT if lps_mm[0] > middle else RIGHT


def middle_x_mm(
    profile: BodyProfile, lps_mm: tuple[float, float, float], pet_grid: Grid
) -> float | None:
    """LPS x of the body's centroid near a position; None where an image border cuts the body."""
    slab_mm = profile.grid.spacing_mm[profile.axis]
    band = BAND_SLICES * pet_grid.spacing_mm[_axes_zyx(pet_grid)[0]] / slab_mm
    at = profile.grid.to_kji(lps_mm)[profile.axis]
    first, last = max(ceil(at - band - 1e-6), 0), int(at + band + 1e-6)
    voxels = profile.voxels[first : last + 1].sum()
    if not voxels:
        return None
    border = profile.border_voxels[first : last + 1].sum(axis=0).max()
    if border > CUT * voxels / profile.columns:
        return None
    centroid = profile.index_sum_kji[first : last + 1].sum(axis=0) / voxels
    return float(profile.grid.to_lps_mm(centroid)[0])


def body_profile(volume: Volume) -> BodyProfile:
    """Sums over the body, slab by slab; coarse voxels do."""
    steps = [max(1, round(SAMPLE_MM / spacing)) for spacing in volume.grid.spacing_mm]
    sampled = volume.values[:: steps[0], :: steps[1], :: steps[2]]
    body = _largest(sampled > (BODY_HU if volume.unit == "HU" else BODY_SUV))
    affine = volume.grid.affine.copy()
    affine[:3, :3] *= steps
    grid = Grid(sampled.shape, affine, volume.grid.frame_of_reference_uid)
    z, _, x = _axes_zyx(grid)
    others = tuple(axis for axis in range(3) if axis != z)
    sums = np.zeros((body.shape[z], 3))
    for axis in range(3):
        shape = [1, 1, 1]
        shape[axis] = -1
        sums[:, axis] = (body * np.arange(body.shape[axis]).reshape(shape)).sum(axis=others)
    border = np.stack([np.take(body, [at], axis=x).sum(axis=others) for at in (0, -1)], axis=1)
    return BodyProfile(
        grid=grid,
        axis=z,
        voxels=body.sum(axis=others).astype(np.float64),
        index_sum_kji=sums,
        border_voxels=border.astype(np.float64),
        columns=body.shape[x],
    )


def _body_image(scan: Scan) -> Volume | None:
    return scan.ct if isinstance(scan.suv, SuvRefusal) else scan.pet


def _largest(body: Bool) -> Bool:
    from scipy import ndimage  # only a report with words of a model needs it

    labels, count = ndimage.label(body)
    if count == 0:
        return body
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = sizes >= LEAST_PART * sizes.max()
    return np.asarray(kept[labels], dtype=np.bool_)


def _axes_zyx(grid: Grid) -> tuple[int, int, int]:
    """The index axes nearest to the patient's z, y and x."""
    along = np.abs(grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0))
    z, y, x = max(
        permutations((0, 1, 2)), key=lambda of: along[2, of[0]] + along[1, of[1]] + along[0, of[2]]
    )
    return z, y, x
