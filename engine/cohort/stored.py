"""Arrays with their grid in files: NumPy's .npz as this project writes it, or NIfTI."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from engine.errors import GridMismatch, Unreadable
from engine.geometry import Grid

ENDINGS = (".npz", ".nii.gz", ".nii")
TO_XYZ = [2, 1, 0]  # from k, j, i
_CHUNK_BYTES = 1 << 22
_PART = ".part-"  # before the name of a file that is being written: no stem begins so


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
    with replacing(path) as part:
        if not path.name.endswith(".npz"):
            _write_nifti(part, values, grid)
        elif values.dtype.kind == "f":  # deflating noise takes long and saves little
            np.savez(part, values=values, affine=grid.affine)
        else:
            np.savez_compressed(part, values=values, affine=grid.affine)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; what is written there becomes `path` once it is whole."""
    part = path.with_name(_PART + path.name)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _read_npz(path: Path) -> tuple[npt.NDArray[Any], Grid]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
            values, affine = held["values"], held["affine"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as exc:
        raise Unreadable(f"{path.name} does not hold `values` and `affine`, whole") from exc
    if values.ndim != 3:
        raise Unreadable(f"{path.name} holds {values.ndim} dimensions; it needs 3: k, j, i")
    return values, Grid(values.shape, affine)


def _read_nifti(path: Path) -> tuple[npt.NDArray[Any], Grid]:
    sitk = _sitk()
    try:
        if path.name.endswith(".gz"):
            _read_to_the_end(path)
        image = sitk.ReadImage(str(path))
        if not path.name.endswith(".gz"):
            _refuse_short(path, image)
    except (OSError, EOFError, zlib.error, RuntimeError) as exc:
        raise Unreadable(f"{path.name} is no NIfTI image that can be read, or is damaged") from exc
    values = sitk.GetArrayFromImage(image)
    if values.ndim != 3:
        raise Unreadable(f"{path.name} holds {values.ndim} dimensions; it needs 3")
    direction = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine = np.eye(4)
    affine[:3, :3] = direction[:, TO_XYZ]
    affine[:3, 3] = image.GetOrigin()
    return values, Grid(values.shape, affine)


def _read_to_the_end(path: Path) -> None:
    """Check length and digest of a gzip file: ITK fills up what is cut off. Raises OSError."""
    with gzip.open(path) as stream:
        while stream.read(_CHUNK_BYTES):
            pass


def _refuse_short(path: Path, image: Any) -> None:
    bits, offset = (float(image.GetMetaData(name)) for name in ("bitpix", "vox_offset"))
    if path.stat().st_size < offset + image.GetNumberOfPixels() * bits / 8:
        raise EOFError(path.name)


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
