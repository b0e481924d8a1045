"""A made body in memory with a label map of its organs, stored in any orientation."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations, product

import numpy as np
import numpy.typing as npt
from pydicom.sr.coding import Code

from engine.acquisition import SuvConversion, SuvRefusal
from engine.cohort.anatomy import ORGANS, Ellipsoid, body, spine
from engine.geometry import Grid
from engine.grounding.anatomy import flags_of
from engine.grounding.sites import site_of
from engine.lesion import Lesion, Measurements, Segment
from engine.volume import Mask, Scan, Volume
from tests.unit.reports import ACQUISITION, CONVERSION

VERTEBRAE = [
    "vertebrae_S1",
    *(f"vertebrae_L{n}" for n in range(5, 0, -1)),
    *(f"vertebrae_T{n}" for n in range(12, 0, -1)),
    *(f"vertebrae_C{n}" for n in range(7, 2, -1)),
]
ORGAN_LABELS = {
    0: "lung_left", 1: "lung_right", 5: "aorta", 6: "liver", 7: "spleen", 8: "stomach",
    9: "kidney_left", 10: "kidney_right", 16: "urinary_bladder", 18: "brain",
}  # fmt: skip
# a patient stored head first or feet first, supine or prone, and in every other order of axes
STORAGES = [
    (order, against)
    for order in permutations((0, 1, 2))
    for against in product((False, True), repeat=3)
]

Point = tuple[float, float, float]


def axial_grid(
    shape: tuple[int, int, int], spacing_mm: float = 6.0, first_lps_mm: Point = (0, 0, 0)
) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = np.fliplr(np.eye(3)) * spacing_mm
    affine[:3, 3] = first_lps_mm
    return Grid(shape, affine, "1.2.3")


def whole_body_grid(shift_x_mm: float = 0.0) -> Grid:
    """The made body from the thighs up; the image's middle is `shift_x_mm` from the body's."""
    return axial_grid((150, 60, 110), 6.0, (-327.0 + shift_x_mm, -177.0, -3.0))


def centres(grid: Grid) -> npt.NDArray[np.float64]:
    """LPS mm [k, j, i, 3] of every voxel."""
    return grid.to_lps_mm(np.moveaxis(np.indices(grid.shape), 0, -1))


def inside(grid: Grid, centre_lps_mm: Sequence[float], radii_mm: Sequence[float]) -> Mask:
    """An ellipsoid on an axial grid, whose k, j, i run along z, y, x."""
    z, y, x = (
        (grid.affine[2 - axis, 3] + grid.affine[2 - axis, axis] * np.arange(grid.shape[axis]) - at)
        / radius
        for axis, at, radius in zip(range(3), centre_lps_mm[::-1], radii_mm[::-1], strict=True)
    )
    q = (z**2)[:, None, None] + (y**2)[None, :, None] + (x**2)[None, None, :]
    return Mask(q <= 1, grid)


def painted(
    grid: Grid, parts: Sequence[Ellipsoid], value: str = "suv", outside: float = 0.0
) -> npt.NDArray[np.float32]:
    values = np.full(grid.shape, outside, np.float32)
    for part in parts:
        values[inside(grid, part.centre_lps_mm, part.semi_axes_mm).voxels] = getattr(part, value)
    return values


def volume(values: npt.NDArray[np.float32], grid: Grid, unit: str = "g/ml") -> Volume:
    return Volume(values, grid, unit, (), "1.2.4")


def scan_of(
    pet: Volume, ct: Volume | None = None, suv: SuvConversion | SuvRefusal = CONVERSION
) -> Scan:
    return Scan(pet, ct, ACQUISITION, suv)


def lesion_of(mask: Mask, suv_max: float | None = 5.0, **of_segment: object) -> Lesion:
    """A lesion with the centroid of its mask; the other numbers are made up."""
    fields = {"number": 1, "label": "lesion", "role": "lesion"} | of_segment
    segment = Segment(mask=mask, source_class_uid="1", source_instance_uid="2", **fields)  # type: ignore[arg-type]
    x, y, z = mask.grid.to_lps_mm(np.argwhere(mask.voxels).mean(axis=0)).tolist()
    measured = Measurements(volume_cm3=1.0, suv_max=suv_max, centroid_lps_mm=(x, y, z))
    return Lesion(segment, measured)


def ball(grid: Grid, centre_lps_mm: Point, radius_mm: float = 9.0) -> Mask:
    return inside(grid, centre_lps_mm, (radius_mm,) * 3)


def label_map(grid: Grid) -> list[Lesion]:
    """The organs and vertebrae of the made body as context, under TotalSegmentator's names."""
    parts = [(label, ORGANS[at]) for at, label in ORGAN_LABELS.items()]
    parts += zip(VERTEBRAE, spine(), strict=True)
    return [
        lesion_of(
            inside(grid, part.centre_lps_mm, part.semi_axes_mm),
            number=number,
            label=label,
            role="context",
        )
        for number, (label, part) in enumerate(parts, start=1)
    ]


def labelled_with(lesion: Lesion, code: Code) -> Lesion:
    return replace(lesion, segment=replace(lesion.segment, label="", property_type=code))


def whole_body(shift_x_mm: float = 0.0) -> Scan:
    grid = whole_body_grid(shift_x_mm)
    return scan_of(volume(painted(grid, list(body())), grid))


def stored(
    values: npt.NDArray[np.generic],
    grid: Grid,
    order: Sequence[int],
    against: Sequence[bool],
) -> tuple[npt.NDArray[np.generic], Grid]:
    """The same values at the same places in another order and direction of the axes."""
    affine = grid.affine[:, [*order, 3]].copy()
    values = values.transpose(order)
    for axis, is_against in enumerate(against):
        if is_against:
            affine[:, 3] += affine[:, axis] * (values.shape[axis] - 1)
            affine[:, axis] *= -1
            values = np.flip(values, axis)
    k, j, i = values.shape
    return np.ascontiguousarray(values), Grid((k, j, i), affine, grid.frame_of_reference_uid)


def flags(
    text: str,
    scan: Scan,
    lesion: Lesion | Point,
    context: list[Lesion] | None = None,
) -> tuple[str, ...]:
    if not isinstance(lesion, Lesion):
        lesion = lesion_of(ball(scan.pet.grid, lesion))
    return flags_of(text, site_of(text), lesion, scan, context or [])
