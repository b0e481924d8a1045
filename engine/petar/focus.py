"""From a scan and a mask to the six views that PETAR sees: global and focal PET, CT and mask.

Study work (head crop, 3 mm lattice, intensities) is done once; lesion work is a crop and a resize.
Arrays here are [z, y, x] with z from head to feet, y from front to back and x from the patient's
left to right, whatever the storage order of the slices.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from engine.acquisition import SuvRefusal
from engine.errors import GridMismatch, UnusableCase
from engine.geometry import Grid
from engine.petar.config import Profile, Size, VisionConfig
from engine.petar.lattice import (
    Kept,
    Lattice,
    Points,
    in_ras,
    lattice_of,
    nearest_points,
    towards_ras,
)
from engine.petar.model import Views
from engine.petar.sampling import sampled
from engine.volume import Mask, Scan

AIR_HU = -1000.0
HALF_A_VOXEL = 0.5  # how far beyond its outermost voxel centres a CT is known
HEAD_BOX = ((50, 50), (150, 50))  # voxels about the middle, to left and right, to back and front
OUTSIDE_GRID = "outside the part of the body that the network sees"
Box = tuple[slice, slice, slice]


class Unseeable(UnusableCase):
    """A study or a lesion that the network's views cannot hold; `code` says why."""

    code = "unseeable"


@dataclass(frozen=True, slots=True, eq=False)
class PreparedStudy:
    """A scan on the network's lattice: PET and CT in 0..1, float32 [z, y, x], on one device.

    `global_views` keeps the images of the last global view: the next lesion often shares them.
    """

    pet: Tensor
    ct: Tensor
    lattice: Lattice
    global_views: dict[tuple[int, int, Size], "_Images"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class _Images:
    """PET and CT (1, 1, z, y, x) of a box of the lattice, at the input size."""

    box: Box
    pet: Tensor
    ct: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LesionViews:
    """The views of one lesion (B = 1), and what a reader should know of them.

    `window` is the z range of the global view, `from_the_top` whether no plane was left out above
    it: lesions of one study that agree in both share its PET and CT. `warnings` are codes; where
    voxels were cut, a sentence with their number follows.
    """

    views: Views
    window: tuple[int, int]
    from_the_top: bool
    warnings: tuple[str, ...]


def prepare(
    scan: Scan,
    profile: Profile,
    device: torch.device,
    *,
    ct_of_air: bool = False,
    from_the_top: bool = False,
) -> PreparedStudy:
    """Study work. Raises Unseeable.

    `ct_of_air` lets air stand in for a CT that is not there; `from_the_top` keeps what lies above
    the top of the head.
    """
    if isinstance(scan.suv, SuvRefusal):
        raise Unseeable(f"The network sees SUV, and {scan.suv.sentence}", code="suv-refused")
    if scan.ct is None and not ct_of_air:
        raise Unseeable("The network sees a CT, and the study has none", code="no-ct")
    grid = scan.pet.grid
    suv, hu = _on_device(scan.pet.values, device), _hu_on_pet(scan, device)
    kept = _all_of(grid) if from_the_top else _below_top_of_head(scan.pet.values, hu, grid, profile)
    lattice = lattice_of(grid, kept, profile)
    return PreparedStudy(
        _scaled(_on_lattice(suv, lattice), profile.suv_range),
        _scaled(_on_lattice(hu, lattice), profile.hu_range),
        lattice,
    )


def lesion_views(
    mask: Mask,
    profile: Profile,
    vision: VisionConfig,
    prepared: Callable[[bool], PreparedStudy],
) -> LesionViews:
    """The six views of one mask on the PET's grid. Raises Unseeable.

    `prepared` gives the study, from the top or not: where the profile has it so, a mask says that
    what was taken for the top of the head, below it, is none. So it is in a scan without the brain.
    """
    study = prepared(False)
    if profile.mask_overrules_head and _reaches_above(mask, study.lattice):
        study = prepared(True)
    return views_of(study, mask, profile, vision)


def views_of(
    study: PreparedStudy, mask: Mask, profile: Profile, vision: VisionConfig
) -> LesionViews:
    """Lesion work: the six views of one mask in what was kept of the study. Raises Unseeable."""
    warnings: list[str] = []
    points = _on_shape(_below_the_head_crop(mask, study.lattice, warnings), study, warnings)
    window, points = _window(points, study.pet.shape[0], profile, warnings)
    _, rows, columns = study.pet.shape
    everywhere = (window, slice(0, rows), slice(0, columns))
    about = _focal_box(points, everywhere, profile)
    whole = _with_mask(_global(study, everywhere, vision), points, profile)
    focal = _with_mask(_resized(study, about, vision, "pet-empty-focal"), points, profile)
    for name, (_, _, marked) in (("global", whole), ("focal", focal)):
        if not bool(marked.any()):
            warnings.append(f"mask-vanished-in-{name}-view")
    return LesionViews(
        Views(*whole, *focal),
        (window.start, window.stop),
        study.lattice.kept == _all_of(study.lattice.pet),
        tuple(warnings),
    )


def _on_device(values: npt.NDArray[np.float32], device: torch.device) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32)).to(device)


def _hu_on_pet(scan: Scan, device: torch.device) -> Tensor:
    """The CT, linear, on the PET's grid; air outside."""
    grid, ct = scan.pet.grid, scan.ct
    if ct is None:
        return torch.full(grid.shape, AIR_HU, device=device)
    to_kji = np.linalg.inv(ct.grid.affine) @ grid.affine
    values = _on_device(ct.values, device)
    return sampled(values, to_kji, grid.shape, outside=AIR_HU, reach=HALF_A_VOXEL)


def _below_top_of_head(
    suv: npt.NDArray[np.float32], hu: Tensor, grid: Grid, profile: Profile
) -> Kept:
    """The PET's voxels without the planes above the first that is hot, or else dense."""
    axes, signs = towards_ras(grid)
    kept = list(_all_of(grid))
    top = _highest_plane(in_ras(suv, grid), profile.head_suv)
    if top is None:
        top = _highest_plane(in_ras(hu.cpu().numpy(), grid), profile.head_hu)
    if top is not None:
        length = kept[axes[2]]
        kept[axes[2]] = length[: top + 1] if signs[2] > 0 else length[len(length) - 1 - top :]
    return kept[0], kept[1], kept[2]


def _all_of(grid: Grid) -> Kept:
    slices, rows, columns = grid.shape
    return range(slices), range(rows), range(columns)


def _highest_plane(ras: npt.NDArray[np.float32], threshold: float) -> int | None:
    """The highest z whose central box exceeds the threshold."""
    x, y = (
        slice(max(n // 2 - before, 0), n // 2 + after)
        for n, (before, after) in zip(ras.shape[:2], HEAD_BOX, strict=True)
    )
    above = np.flatnonzero(ras[x, y].max(axis=(0, 1)) > threshold)
    return int(above[-1]) if len(above) else None


def _on_lattice(values: Tensor, lattice: Lattice) -> Tensor:
    """Linear; 0 strictly beyond the outermost kept centres, for HU as for SUV."""
    part = values[tuple(slice(voxels[0], voxels[-1] + 1) for voxels in lattice.kept)]
    to_part = lattice.to_kji.copy()
    to_part[:3, 3] -= [voxels[0] for voxels in lattice.kept]
    found = sampled(part, to_part, lattice.shape, outside=0.0)
    low, high = found.aminmax()  # a NaN is both
    if not math.isfinite(low) or not math.isfinite(high):
        raise Unseeable("A value of the PET or the CT is not a finite number", code="not-finite")
    return found


def _scaled(values: Tensor, bounds: tuple[float, float]) -> Tensor:
    low, high = bounds
    return values.clamp_(low, high).sub_(low).div_(high - low)


def _reaches_above(mask: Mask, lattice: Lattice) -> bool:
    """Whether the head crop would cut the mask."""
    kept = mask.voxels[tuple(slice(voxels[0], voxels[-1] + 1) for voxels in lattice.kept)]
    return int(np.count_nonzero(kept)) < int(np.count_nonzero(mask.voxels))


def _below_the_head_crop(mask: Mask, lattice: Lattice, warnings: list[str]) -> Points:
    """[k, j, i] of the mask's voxels that the head crop left."""
    if mask.voxels.shape != lattice.pet.shape:
        raise GridMismatch(f"A mask of {mask.voxels.shape} voxels on a PET of {lattice.pet.shape}")
    # the same as np.argwhere, ten times as fast
    marked = np.stack(np.unravel_index(np.flatnonzero(mask.voxels), mask.voxels.shape), axis=1)
    if len(marked) == 0:
        raise Unseeable("The mask marks no voxel of the PET", code="mask-empty-on-pet-grid")
    first, last = np.array([(voxels[0], voxels[-1]) for voxels in lattice.kept]).T
    kept: Points = marked[((marked >= first) & (marked <= last)).all(axis=1)]
    if len(kept) == 0:
        raise Unseeable("The mask lies above the top of the head", code="mask-above-head-crop")
    _count_cut(marked, kept, "head-crop", "above the top of the head", warnings)
    return kept


def _on_shape(marked: Points, study: PreparedStudy, warnings: list[str]) -> Points:
    """Lattice indices (z, y, x) of the mask, nearest."""
    points = nearest_points(study.lattice, marked)
    if len(points) == 0:
        sentence = "The mask falls between the points of the network's 3 mm grid"
        raise Unseeable(sentence, code="mask-lost-in-resampling")
    kept = points[((points >= 0) & (points < study.lattice.shape)).all(axis=1)]
    if len(kept) == 0:
        raise Unseeable(f"The mask lies {OUTSIDE_GRID}", code="mask-outside-grid")
    _count_cut(points, kept, "grid", OUTSIDE_GRID, warnings)
    return kept


def _window(
    points: Points, slices: int, profile: Profile, warnings: list[str]
) -> tuple[slice, Points]:
    """The z range of the global view, about the mask's middle, and the mask in it."""
    if profile.window is None:
        return slice(0, slices), points
    z = points[:, 0]
    centre = int(z.min() + z.max()) // 2
    window = slice(max(0, centre - profile.window), min(slices, centre + profile.window + 1))
    kept = points[(z >= window.start) & (z < window.stop)]
    if len(kept) == 0:
        sentence = "No part of the mask lies near its own middle, where the network looks"
        raise Unseeable(sentence, code="mask-outside-window")
    _count_cut(points, kept, "window", "outside the network's global view", warnings)
    return window, kept


def _count_cut(whole: Points, kept: Points, by: str, where: str, warnings: list[str]) -> None:
    if len(kept) < len(whole):
        cut = f"{len(whole) - len(kept)} of {len(whole)} voxels of the mask lie {where}"
        warnings += [f"mask-cut-by-{by}", cut]


def _focal_box(points: Points, volume: Box, profile: Profile) -> Box:
    """The mask's box and a margin, or a cube about it; inside the volume."""
    low, high = points.min(axis=0), points.max(axis=0) + 1
    low, high = low - profile.focal_margin, high + profile.focal_margin
    if profile.focal_is_cube:
        side = (high - low).max()
        first, last = np.array([(axis.start, axis.stop) for axis in volume]).T
        low = np.clip((low + high) // 2 - side // 2, first, np.maximum(last - side, first))
        high = low + side
    z, y, x = (
        slice(max(int(lo), axis.start), min(int(hi), axis.stop))
        for lo, hi, axis in zip(low, high, volume, strict=True)
    )
    return z, y, x


def _global(study: PreparedStudy, box: Box, vision: VisionConfig) -> _Images:
    """The images of a window, made once for the lesions that follow one another in it."""
    key = (box[0].start, box[0].stop, vision.image_size)
    images = study.global_views.get(key)
    if images is None:
        images = _resized(study, box, vision, "pet-empty")
        study.global_views.clear()
        study.global_views[key] = images
    return images


def _resized(study: PreparedStudy, box: Box, vision: VisionConfig, code_when_empty: str) -> _Images:
    """PET and CT of a box, cropped to where the PET is above zero, at the input size."""
    box = _occupied(study.pet, box, code_when_empty)
    size = list(vision.image_size)
    pet, ct = (
        F.interpolate(volume[box][None, None], size=size, mode="trilinear")
        for volume in (study.pet, study.ct)
    )
    return _Images(box, pet, ct)


def _with_mask(images: _Images, points: Points, profile: Profile) -> tuple[Tensor, Tensor, Tensor]:
    """PET, CT and the mask in their box, at their size."""
    first, last = np.array([(axis.start, axis.stop) for axis in images.box]).T
    size, device = images.pet.shape[2:], images.pet.device
    inside = torch.from_numpy(points[((points >= first) & (points < last)).all(axis=1)] - first)
    marked = torch.zeros(tuple(last - first), dtype=torch.uint8, device=device)
    marked[tuple(inside.to(device).T)] = 1
    mask = F.interpolate(marked[None, None], size=list(size), mode="nearest").to(images.pet.dtype)
    if profile.every_voxel_marks:
        at = (inside + HALF_A_VOXEL) * torch.tensor(size) / torch.from_numpy(last - first)
        mask[0, 0][tuple(at.long().to(device).T)] = 1
    return images.pet, images.ct, mask


def _occupied(pet: Tensor, box: Box, code_when_empty: str) -> Box:
    """The part of the box that bounds what is above zero."""
    part = pet[box]
    by_row = part.amax(dim=2)  # (z, y); one plane of maxima at a time is far faster than `any`
    highest = (by_row.amax(dim=1), by_row.amax(dim=0), part.amax(dim=0).amax(dim=0))
    slices = []
    for axis, line in zip(box, highest, strict=True):
        above = torch.nonzero(line > 0).flatten()
        if len(above) == 0:
            raise Unseeable("The PET is zero everywhere in the view", code=code_when_empty)
        first, last = above[[0, -1]].tolist()
        slices.append(slice(axis.start + first, axis.start + last + 1))
    return slices[0], slices[1], slices[2]
