"""Where voxels lie: index [k, j, i] (slice, row, column) to patient LPS mm (PS3.3 C.7.6.2.1.1)."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engine.errors import GridMismatch

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A regular lattice of voxels.

    `affine` (4x4, float64) maps the homogeneous index (k, j, i, 1) of a voxel's centre to LPS mm:
    x grows to the patient's left, y to the back, z to the head.
    """

    shape: tuple[int, int, int]
    affine: Float
    frame_of_reference_uid: str | None = None
    _inverse: Float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        affine = np.asarray(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.all(np.isfinite(affine)):
            raise GridMismatch("A grid needs a finite 4x4 affine")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise GridMismatch("A grid needs three independent axes of non-zero spacing")
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "_inverse", np.linalg.inv(affine))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along k, j, i."""
        k, j, i = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(k), float(j), float(i)

    @property
    def voxel_volume_cm3(self) -> float:
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def to_lps_mm(self, kji: npt.ArrayLike) -> Float:
        """World positions [..., 3] in LPS mm of (fractional) indices [..., 3] in k, j, i order."""
        index = np.asarray(kji, dtype=np.float64)
        return np.asarray(index @ self.affine[:3, :3].T + self.affine[:3, 3])

    def to_kji(self, lps_mm: npt.ArrayLike) -> Float:
        """Fractional indices [..., 3] in k, j, i order of world positions [..., 3] in LPS mm."""
        world = np.asarray(lps_mm, dtype=np.float64)
        return np.asarray(world @ self._inverse[:3, :3].T + self._inverse[:3, 3])

    def coincides(self, other: "Grid", tolerance_mm: float = 0.01) -> bool:
        """Whether both grids put every voxel at the same place, to `tolerance_mm`."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        distance = np.abs(self.to_lps_mm(corners) - other.to_lps_mm(corners))
        return bool(distance.max() <= tolerance_mm)
