"""PETAR's six views by other people's programs: nibabel, SimpleITK, nilearn and MONAI.

The published steps one after another, on whole arrays, without a thought for speed.
"""

from dataclasses import dataclass
from functools import cached_property

import nibabel
import numpy as np
import numpy.typing as npt
import SimpleITK
from monai.transforms import Compose, CropForegroundd, Resized, ScaleIntensityRanged
from nibabel.orientations import io_orientation, ornt_transform
from nilearn.image import resample_img

from engine.volume import Scan, Volume

Array = npt.NDArray[np.float32]
KEYS = ("pet", "ct", "mask")


def nifti(values: npt.ArrayLike, grid) -> nibabel.Nifti1Image:
    """[k, j, i] values as NIfTI: the same storage order, positions in RAS."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine[:, [2, 1, 0, 3]]
    return nibabel.Nifti1Image(np.ascontiguousarray(np.transpose(values, (2, 1, 0))), affine)


def on_pet_grid(ct: Volume, pet: Volume) -> Array:
    """CT on the PET's grid by SimpleITK, linear; air outside."""
    still = SimpleITK.Transform()
    resampled = SimpleITK.Resample(
        _simpleitk(ct), _simpleitk(pet), still, SimpleITK.sitkLinear, -1000.0
    )
    return SimpleITK.GetArrayFromImage(resampled)


def _simpleitk(volume: Volume) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(volume.values)
    axes = volume.grid.affine[:3, [2, 1, 0]]
    spacing = np.sqrt((axes**2).sum(axis=0))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((axes / spacing).flatten().tolist())
    image.SetOrigin(volume.grid.affine[:3, 3].tolist())
    return image


@dataclass
class Reference:
    """One scan; masks are handed in one at a time.

    `inward_mm` moves the 3 mm grid inward by a hair, so that rounding drops no plane.
    """

    scan: Scan
    inward_mm: float = 0.0

    @cached_property
    def hu(self) -> Array:
        return on_pet_grid(self.scan.ct, self.scan.pet)

    @cached_property
    def planes_dropped(self) -> int:
        """How many planes lie above the first, from the top, that is hot (or else dense)."""
        for values, threshold in ((self.scan.pet.values, 5.0), (self.hu, 1000.0)):
            canonical = nibabel.as_closest_canonical(nifti(values, self.scan.pet.grid))
            ras = np.asarray(canonical.dataobj)
            mid_x, mid_y = ras.shape[0] // 2, ras.shape[1] // 2
            for z in range(ras.shape[2] - 1, -1, -1):
                plane = ras[max(0, mid_x - 50) : mid_x + 50, max(0, mid_y - 150) : mid_y + 50, z]
                if plane.size and plane.max() > threshold:
                    return ras.shape[2] - 1 - z
        return 0

    def at_3_mm(self, values: npt.ArrayLike, interpolation: str) -> Array:
        """RAS [x, y, z] at 3 mm, resampled from the storage order of the scan."""
        image = nifti(values, self.scan.pet.grid)
        canonical = nibabel.as_closest_canonical(image)
        canonical = canonical.slicer[:, :, : canonical.shape[2] - self.planes_dropped]
        back = ornt_transform(io_orientation(canonical.affine), io_orientation(image.affine))
        image = canonical.as_reoriented(back)
        resampled = resample_img(
            image, np.diag([3.0, 3.0, 3.0]), interpolation=interpolation, copy_header=True
        )
        if self.inward_mm:
            affine = resampled.affine.copy()
            affine[:3, 3] += self.inward_mm
            resampled = resample_img(
                image, affine, resampled.shape, interpolation=interpolation, copy_header=True
            )
        return np.asarray(resampled.dataobj)

    @cached_property
    def pet_and_ct(self) -> tuple[Array, Array]:
        return self.at_3_mm(self.scan.pet.values, "linear"), self.at_3_mm(self.hu, "linear")

    def mask(self, voxels) -> Array:
        return self.at_3_mm(np.asarray(voxels, np.uint8), "nearest")

    def views(self, mask: Array, profile: str, image_size, *, pads: bool = False):
        """The six views, by the names of `Views`, each [z, y, x]; `mask` as `mask()` gives it."""
        plane, slices = (200, 350) if profile == "petar-release" else (192, 352)
        volumes = (*self.pet_and_ct, mask)
        fills = (0.0, -1000.0, 0)
        pet, ct, mask = (
            np.ascontiguousarray(_cropped(v, plane, slices, fill, pads)[:, ::-1, ::-1].T)
            for v, fill in zip(volumes, fills, strict=True)
        )
        if profile == "petar-release":
            height = np.flatnonzero(mask.any(axis=(1, 2)))
            centre = (height[0] + height[-1]) // 2
            window = slice(max(0, centre - 80), min(len(mask), centre + 81))
            pet, ct, mask = pet[window], ct[window], mask[window]
        focal = _focal_box(mask, is_cube=profile == "paper")
        keeps = profile == "paper"
        whole_views = _finished(pet, ct, mask, image_size, keeps)
        focal_views = _finished(pet[focal], ct[focal], mask[focal], image_size, keeps)
        return whole_views | {f"focal_{name}": view for name, view in focal_views.items()}


def _cropped(volume: Array, plane: int, slices: int, fill: float, pads: bool) -> Array:
    """RAS [x, y, z]: the middle of x and y, the top of z; padded where asked to."""
    for axis in (0, 1):
        n = volume.shape[axis]
        if n > plane:
            volume = volume.take(range((n - plane) // 2, (n - plane) // 2 + plane), axis)
        elif pads:
            lack = [(0, 0)] * 3
            lack[axis] = ((plane - n) // 2, plane - n - (plane - n) // 2)
            volume = np.pad(volume, lack, constant_values=fill)
    volume = volume[:, :, -slices:]
    lack_z = slices - volume.shape[2]
    if pads and lack_z:
        volume = np.pad(volume, [(0, 0), (0, 0), (lack_z, 0)], constant_values=fill)
    return volume


def _focal_box(mask: Array, *, is_cube: bool) -> tuple[slice, ...]:
    where = np.nonzero(mask)
    low, high = [int(w.min()) for w in where], [int(w.max()) for w in where]
    if not is_cube:
        return tuple(
            slice(max(0, a - 20), min(n, b + 21))
            for a, b, n in zip(low, high, mask.shape, strict=True)
        )
    r = max(b - a + 1 for a, b in zip(low, high, strict=True)) + 40
    box = []
    for a, b, n in zip(low, high, mask.shape, strict=True):
        start = (a + b + 1) // 2 - r // 2
        if start + r > n:
            start = n - r
        start = max(start, 0)
        box.append(slice(start, min(start + r, n)))
    return tuple(box)


def _finished(pet: Array, ct: Array, mask: Array, image_size, keeps: bool) -> dict[str, Array]:
    """`keeps`: no voxel of the mask is passed by."""
    crop = Compose(
        [
            ScaleIntensityRanged("pet", 0, 12, 0, 1, clip=True),
            ScaleIntensityRanged("ct", -300, 400, 0, 1, clip=True),
            CropForegroundd(KEYS, source_key="pet", margin=0, allow_smaller=True),
        ]
    )
    resize = Resized(KEYS, image_size, mode=("trilinear", "trilinear", "nearest"))
    arrays = (pet, ct, mask.astype(np.float32))
    cropped = crop({key: array[None] for key, array in zip(KEYS, arrays, strict=True)})
    finished = resize(cropped)
    views = {key: np.asarray(finished[key])[0].copy() for key in KEYS}
    if keeps:
        part = np.asarray(cropped["mask"])[0]
        for voxel in np.argwhere(part):  # where its middle lies
            at = [
                (2 * i + 1) * size // (2 * n)
                for i, size, n in zip(voxel, image_size, part.shape, strict=True)
            ]
            views["mask"][tuple(at)] = 1
    return views
