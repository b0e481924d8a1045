"""Arrays with their grid in files: NumPy's .npz as this project writes it, or NIfTI."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import GridMismatch, Unreadable
from engine.geometry import Grid

ENDINGS = (".npz", ".nii.gz", ".nii")
TO_XYZ = [2, 1, 0]  # from k, j, i


def stored_at(folder: Path, stem: str) -> Path | None:
    """The file of an array: `stem` with the first of ENDINGS that is there."""
    return next((path for end in ENDINGS if (path := folder / f"{stem}{end}").is_file()), None)


def read_array(path: Path) -> tuple[npt.NDArray[Any], Grid]:
    """Values [k, j, i] and their grid in LPS mm. Raises Unreadable."""
    return _read_npz(path) if path.name.endswith(".npz") else _read_nifti(path)


def write_array(path: Path, values: npt.NDArray[Any], grid: Grid) -> None:
    """Write values [k, j, i]; the ending of `path` says how. Raises GridMismatch."""
    if values.shape != grid.shape:
        raise GridMismatch(f"{path.name}: values have shape {values.shape}, the grid {grid.shape}")
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.name.endswith(".npz"):
        _write_nifti(path, values, grid)
    elif values.dtype.kind == "f":  # deflating noise takes long and saves little
        np.savez(path, values=values, affine=grid.affine)
    else:
        np.savez_compressed(path, values=values, affine=grid.affine)


def _read_npz(path: Path) -> tuple[npt.NDArray[Any], Grid]:
    try:
        with np.load(path, allow_pickle=False) as held:
            values, affine = held["values"], held["affine"]
    except (OSError, ValueError, KeyError, EOFError) as exc:
        raise Unreadable(f"{path.name} does not hold `values` and `affine`") from exc
    if values.ndim != 3:
        raise Unreadable(f"{path.name} holds {values.ndim} dimensions; it needs 3: k, j, i")
    return values, Grid(values.shape, affine)


def _read_nifti(path: Path) -> tuple[npt.NDArray[Any], Grid]:
    sitk = _sitk()
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as exc:
        raise Unreadable(f"{path.name} is no NIfTI image that can be read") from exc
    values = sitk.GetArrayFromImage(image)
    if values.ndim != 3:
        raise Unreadable(f"{path.name} holds {values.ndim} dimensions; it needs 3")
    direction = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine = np.eye(4)
    affine[:3, :3] = direction[:, TO_XYZ]
    affine[:3, 3] = image.GetOrigin()
    return values, Grid(values.shape, affine)


def _write_nifti(path: Path, values: npt.NDArray[Any], grid: Grid) -> None:
    sitk = _sitk()
    steps = grid.affine[:3, :3][:, TO_XYZ]
    spacing = np.linalg.norm(steps, axis=0)
    turn = steps / spacing
    if not np.allclose(turn.T @ turn, np.eye(3), atol=1e-5):
        raise GridMismatch(f"{path.name}: the axes of the grid are not at right angles; use .npz")
    image = sitk.GetImageFromArray(np.ascontiguousarray(values))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(grid.affine[:3, 3].tolist())
    image.SetDirection(turn.ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=True)


def _sitk() -> Any:
    return import_module("SimpleITK")  # heavy: not for those who keep to .npz; half typed
