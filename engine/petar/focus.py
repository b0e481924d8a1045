"""From a scan and a mask to the six views that PETAR sees: global and focal PET, CT and mask.

Study work (orientation, head crop, 3 mm grid, intensities) is done once; lesion work is a crop and
a resize. Arrays here are [z, y, x] with z from head to feet, y from front to back and x from the
patient's left to right, whatever the storage order of the slices.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its own convention
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from engine.errors import UnusableCase
from engine.geometry import Float, Grid
from engine.petar.config import Profile, VisionConfig
from engine.petar.model import Views
from engine.volume import Mask, Scan, Volume

AIR_HU = -1000.0
# an index this near to the first or last voxel centre, or to a tie, counts as on it: rounding of an
# affine must not decide whether a plane exists
ON_CENTRE = 1e-6
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
Box = tuple[slice, slice, slice]


class Unseeable(UnusableCase):
    """A lesion that the network's views cannot hold; `code` says why."""

    code = "unseeable"


@dataclass(frozen=True, slots=True, eq=False)
class PreparedStudy:
    """A scan on the network's grid: PET and CT in 0..1, float32 [z, y, x], on the model's device.

    `to_pet_kji` maps a homogeneous index (z, y, x, 1) of this grid to a fractional [k, j, i] index
    of the PET grid. `above_head` is the half-space that the head crop removed, as a bool per PET
    voxel plane along the axis nearest to the patient's length.
    """

    pet: Tensor
    ct: Tensor
    to_pet_kji: Float
    pet_grid: Grid
    head_axis: int  # the PET index axis nearest to the patient's length
    kept_planes: range  # of that axis


@dataclass(frozen=True, slots=True, eq=False)
class LesionViews:
    """The views of one lesion, and what a reader should know of them."""

    views: Views  # B = 1
    window: tuple[int, int]  # z range of the global view: CT features of one window may be shared
    warnings: tuple[str, ...]


def prepare(scan: Scan, profile: Profile, device: torch.device) -> PreparedStudy:
    """Study work. The scan's PET is in g/ml; without a CT its place is taken by air."""
    grid = scan.pet.grid
    suv = scan.pet.values
    hu = _on_grid(scan.ct, grid) if scan.ct is not None else np.full(grid.shape, AIR_HU, np.float32)
    axis, up = _axis_towards_head(grid)
    kept = _below_top_of_head(suv, hu, grid, profile)
    to_kji, shape = _network_grid(grid, axis, up, kept, profile)
    pet = _sampled(suv, to_kji, shape, axis, kept, device)
    ct = _sampled(hu, to_kji, shape, axis, kept, device)
    return PreparedStudy(
        _scaled(pet, profile.suv_range), _scaled(ct, profile.hu_range), to_kji, grid, axis, kept
    )


def views_of(
    study: PreparedStudy, mask: Mask, profile: Profile, vision: VisionConfig
) -> LesionViews:
    """Lesion work: the six views of one mask on the PET grid. Raises Unseeable."""
    warnings: list[str] = []
    box, inside = _mask_on_grid(study, mask, warnings)
    z_lo, z_hi = box[0].start, box[0].stop - 1
    window = _window(z_lo, z_hi, study.pet.shape[0], profile)
    whole = torch.zeros(study.pet.shape, dtype=torch.bool, device=study.pet.device)
    whole[box] = inside
    pet, ct, marked = (volume[window] for volume in (study.pet, study.ct, whole))
    if not bool(marked.any()):
        raise Unseeable("No voxel of the mask lies in the view's window", code="mask-lost")
    global_views = _resized(pet, ct, marked, vision, "pet-empty")
    focal = _focal_box(marked, profile)
    focal_views = _resized(pet[focal], ct[focal], marked[focal], vision, "pet-empty-focal")
    if not bool(global_views[2].any()):
        warnings.append("mask-vanished-in-global-view")
    views = Views(*global_views, *focal_views)
    return LesionViews(views, (window.start, window.stop), tuple(warnings))


def _on_grid(volume: Volume, grid: Grid) -> np.ndarray:
    """The volume, linear, on another grid; air outside."""
    image = sitk.GetImageFromArray(volume.values)
    _place(image, volume.grid)
    target = sitk.Image([int(n) for n in grid.shape[::-1]], sitk.sitkFloat32)
    _place(target, grid)
    resampled = sitk.Resample(image, target, sitk.Transform(), sitk.sitkLinear, AIR_HU)
    return np.asarray(sitk.GetArrayFromImage(resampled))


def _place(image: sitk.Image, grid: Grid) -> None:
    axes = grid.affine[:3, 2::-1]  # columns i, j, k
    spacing = np.linalg.norm(axes, axis=0)
    image.SetSpacing([float(s) for s in spacing])
    image.SetOrigin([float(o) for o in grid.affine[:3, 3]])
    image.SetDirection([float(d) for d in (axes / spacing).ravel()])


def _axes_towards_rpi(grid: Grid) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """For world x, y, z: the index axis (of k, j, i) nearest to it, and the sign of its RAS step."""
    ras = (LPS_TO_RAS @ grid.affine)[:3, :3] / np.array(grid.spacing_mm)
    free = [0, 1, 2]
    chosen: dict[int, int] = {}
    for world in np.argsort(-np.abs(ras).max(axis=1)):
        index = max(free, key=lambda axis: abs(ras[world, axis]))
        free.remove(index)
        chosen[int(world)] = index
    axes = (chosen[0], chosen[1], chosen[2])
    signs = tuple(1 if ras[world, axes[world]] > 0 else -1 for world in range(3))
    return axes, (signs[0], signs[1], signs[2])


def _axis_towards_head(grid: Grid) -> tuple[int, int]:
    axes, signs = _axes_towards_rpi(grid)
    return axes[2], signs[2]


def _in_ras(values: np.ndarray, grid: Grid) -> np.ndarray:
    """A view of [k, j, i] values as [x, y, z] with indices growing to right, front and head."""
    axes, signs = _axes_towards_rpi(grid)
    return np.asarray(values.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)])


def _below_top_of_head(suv: np.ndarray, hu: np.ndarray, grid: Grid, profile: Profile) -> range:
    """Planes kept along the axis towards the head, in storage order."""
    axis, up = _axis_towards_head(grid)
    n = grid.shape[axis]
    top = n - 1
    for values, threshold in ((suv, profile.head_suv), (hu, profile.head_hu)):
        ras = _in_ras(values, grid)
        mid_x, mid_y = ras.shape[0] // 2, ras.shape[1] // 2
        central = ras[max(mid_x - 50, 0) : mid_x + 50, max(mid_y - 150, 0) : mid_y + 50]
        above = np.flatnonzero(central.max(axis=(0, 1), initial=-np.inf) > threshold)
        if len(above):
            top = int(above[-1])
            break
    return range(0, top + 1) if up > 0 else range(n - 1 - top, n)


def _network_grid(
    grid: Grid, axis: int, up: int, kept: range, profile: Profile
) -> tuple[Float, tuple[int, int, int]]:
    """The 3 mm grid, cropped: its index (z, y, x, 1) to PET [k, j, i], and its shape.

    Along each RAS axis it begins at the lowest voxel centre and has ceil(extent / 3 mm) + 1 points.
    """
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape])).reshape(3, -1).T
    corners[:, axis] = np.where(corners[:, axis] == 0, kept.start, kept.stop - 1)
    ras = grid.to_lps_mm(corners) * (-1.0, -1.0, 1.0)
    low, extent = ras.min(axis=0), np.ptp(ras, axis=0)
    count = np.ceil(extent / profile.spacing_mm - ON_CENTRE).astype(int) + 1
    first = np.maximum(count - (profile.plane, profile.plane, profile.slices), 0)
    first[:2] //= 2  # the plane about its middle, the slices from the top
    count = np.minimum(count, (profile.plane, profile.plane, profile.slices))
    x0, y0, z0 = low + profile.spacing_mm * first
    y1, z1 = (low + profile.spacing_mm * (first + count - 1))[1:]
    step = profile.spacing_mm
    to_ras = np.array([[0, 0, step, x0], [0, -step, 0, y1], [-step, 0, 0, z1], [0, 0, 0, 1.0]])
    del y0, z0, up
    to_kji = np.linalg.inv(grid.affine) @ LPS_TO_RAS @ to_ras
    return to_kji, (int(count[2]), int(count[1]), int(count[0]))


def _sampled(
    values: np.ndarray,
    to_kji: Float,
    shape: tuple[int, int, int],
    axis: int,
    kept: range,
    device: torch.device,
) -> Tensor:
    """Linear sampling; 0 strictly beyond the outermost voxel centres, for HU as for SUV."""
    selection = [slice(None)] * 3
    selection[axis] = slice(kept.start, kept.stop)
    source = torch.from_numpy(np.ascontiguousarray(values[tuple(selection)])).to(device)
    offset = to_kji[:3, 3].copy()
    offset[axis] -= kept.start
    out = torch.empty(shape, dtype=torch.float32, device=device)
    plane = [torch.arange(n, dtype=torch.float64, device=device) for n in shape[1:]]
    for z in range(shape[0]):
        index = [
            (to_kji[a, 0] * z + offset[a] + to_kji[a, 1] * plane[0])[:, None]
            + (to_kji[a, 2] * plane[1])[None, :]
            for a in range(3)
        ]
        out[z] = _linear(source, index)
    return out


def _linear(source: Tensor, index: list[Tensor]) -> Tensor:
    inside = torch.ones_like(index[0], dtype=torch.bool)
    lower, weight = [], []
    for position, n in zip(index, source.shape, strict=True):
        inside &= (position >= -ON_CENTRE) & (position <= n - 1 + ON_CENTRE)
        clamped = position.clamp(0, n - 1)
        floor = clamped.floor().clamp(max=max(n - 2, 0))
        lower.append(floor.long())
        weight.append(clamped - floor)
    total = torch.zeros_like(index[0])
    for corner in range(8):
        bits = ((corner >> 2) & 1, (corner >> 1) & 1, corner & 1)
        share = torch.ones_like(total)
        at = []
        for bit, low, w, n in zip(bits, lower, weight, source.shape, strict=True):
            at.append((low + bit).clamp(max=n - 1))
            share = share * (w if bit else 1 - w)
        total += share * source[at[0], at[1], at[2]]
    return torch.where(inside, total, torch.zeros_like(total)).to(torch.float32)


def _scaled(values: Tensor, bounds: tuple[float, float]) -> Tensor:
    low, high = bounds
    return (values.clamp(low, high) - low) / (high - low)


def _mask_on_grid(study: PreparedStudy, mask: Mask, warnings: list[str]) -> tuple[Box, Tensor]:
    """The mask, nearest, on the network's grid: its bounding box there, and the voxels inside."""
    marked = np.argwhere(mask.voxels)
    if len(marked) == 0:
        raise Unseeable("The mask marks no voxel of the PET", code="mask-empty-on-pet-grid")
    along = marked[:, study.head_axis]
    cut = int(np.count_nonzero((along < study.kept_planes.start) | (along >= study.kept_planes.stop)))
    if cut == len(marked):
        raise Unseeable("The lesion lies above the top of the head", code="mask-above-head-crop")
    if cut:
        warnings.append(f"mask-cut-by-head-crop:{cut}")
    box = _box_around(marked, study)
    z, y, x = (np.arange(s.start, s.stop) for s in box)
    voxels = mask.voxels
    index = [
        study.to_pet_kji[a, 0] * z[:, None, None]
        + study.to_pet_kji[a, 1] * y[None, :, None]
        + study.to_pet_kji[a, 2] * x[None, None, :]
        + study.to_pet_kji[a, 3]
        for a in range(3)
    ]
    nearest, valid = _nearest(index, study)
    inside = np.zeros(valid.shape, dtype=bool)
    inside[valid] = voxels[nearest[0][valid], nearest[1][valid], nearest[2][valid]]
    where = np.argwhere(inside)
    if len(where) == 0:
        outside = any(s.stop <= s.start for s in box)
        code = "mask-outside-grid" if outside else "mask-lost-in-resampling"
        raise Unseeable("No voxel of the mask lies on the network's 3 mm grid", code=code)
    low, high = where.min(axis=0), where.max(axis=0) + 1
    tight = tuple(slice(lo, hi) for lo, hi in zip(low, high, strict=True))
    z, y, x = (
        slice(s.start + int(lo), s.start + int(hi))
        for s, lo, hi in zip(box, low, high, strict=True)
    )
    return (z, y, x), torch.from_numpy(inside[tight]).to(study.pet.device)


def _nearest(index: list[np.ndarray], study: PreparedStudy) -> tuple[list[np.ndarray], np.ndarray]:
    """Nearest PET voxel, ties towards right, front and head; and where that voxel exists."""
    axes, signs = _axes_towards_rpi(study.pet_grid)
    rising = {axes[world]: signs[world] for world in range(3)}
    nearest = []
    valid = np.ones(np.broadcast_shapes(*[i.shape for i in index]), dtype=bool)
    for axis, position in enumerate(index):
        kept = study.kept_planes if axis == study.head_axis else range(study.pet_grid.shape[axis])
        if rising[axis] > 0:
            rounded = np.floor(position + 0.5 + ON_CENTRE)
        else:
            rounded = np.ceil(position - 0.5 - ON_CENTRE)
        valid &= (position >= kept.start - ON_CENTRE) & (position <= kept.stop - 1 + ON_CENTRE)
        nearest.append(np.broadcast_to(rounded.astype(np.int64), valid.shape))
    return nearest, valid


def _box_around(marked: np.ndarray, study: PreparedStudy) -> Box:
    """The part of the network's grid that can hold these PET voxels."""
    low, high = marked.min(axis=0) - 1.0, marked.max(axis=0) + 1.0
    corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1)
    inverse = np.linalg.inv(study.to_pet_kji)
    there = inverse[:3, :3] @ corners + inverse[:3, 3:]
    first, last = np.floor(there.min(axis=1)), np.ceil(there.max(axis=1)) + 1
    z, y, x = (
        slice(int(max(lo, 0)), int(max(min(hi, n), 0)))
        for lo, hi, n in zip(first, last, study.pet.shape, strict=True)
    )
    return z, y, x


def _window(z_lo: int, z_hi: int, slices: int, profile: Profile) -> slice:
    if profile.window is None:
        return slice(0, slices)
    centre = (z_lo + z_hi) // 2
    return slice(max(0, centre - profile.window), min(slices, centre + profile.window + 1))


def _focal_box(marked: Tensor, profile: Profile) -> Box:
    where = torch.nonzero(marked)
    low, high = where.amin(dim=0).tolist(), where.amax(dim=0).tolist()
    margin = profile.focal_margin
    side = max(hi - lo + 1 for lo, hi in zip(low, high, strict=True)) + 2 * margin
    slices = []
    for lo, hi, n in zip(low, high, marked.shape, strict=True):
        start, stop = lo - margin, hi + 1 + margin
        if profile.focal_is_cube:
            start = min(max((lo + hi + 1) // 2 - side // 2, 0), max(n - side, 0))
            stop = start + side
        slices.append(slice(max(start, 0), min(stop, n)))
    return slices[0], slices[1], slices[2]


def _resized(
    pet: Tensor, ct: Tensor, marked: Tensor, vision: VisionConfig, code_when_empty: str
) -> tuple[Tensor, Tensor, Tensor]:
    """PET, CT and mask, cropped to where the PET is above zero, at the network's input size."""
    occupied = torch.nonzero(pet > 0)
    if len(occupied) == 0:
        raise Unseeable("The PET is zero everywhere in the view", code=code_when_empty)
    low, high = occupied.amin(dim=0).tolist(), occupied.amax(dim=0).tolist()
    crop = tuple(slice(lo, hi + 1) for lo, hi in zip(low, high, strict=True))
    size = list(vision.image_size)
    sized = [
        F.interpolate(volume[crop][None, None], size=size, mode="trilinear")
        for volume in (pet, ct)
    ]
    mask = F.interpolate(marked[crop][None, None].to(pet.dtype), size=size, mode="nearest")
    return sized[0], sized[1], mask
