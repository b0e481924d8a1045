"""Pages of axial slices, PET over CT: one through each lesion, outlined and numbered."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from scipy.ndimage import map_coordinates

from engine.finding import Finding, Report, printed_cm3
from engine.geometry import Grid
from engine.lesion import Segment
from engine.report.page import (
    FAINT,
    INK,
    MARGIN_IN,
    PAPER,
    UNVERIFIED,
    as_written,
    colour_of,
    draw_number,
    draw_scale,
    draw_sides,
    draw_titles,
    inches,
    lesions_of,
    place_of,
    size_of,
    suv_of,
    window_of,
)
from engine.report.views import Box, Point, Projection, box_of, free_place
from engine.volume import ImageReference, Volume

ACROSS, DOWN = 3, 2
ON_A_PAGE = ACROSS * DOWN
MOST_PAGES = 20
FEW = DOWN  # lesions that have a row each, with PET and CT alone beside both together
SIDE_MM, AROUND_LESION = 240.0, 1.6
SAMPLES = 480  # along each side of a slice
CT_WINDOW_HU = (-160.0, 240.0)
AIR_HU = -1000.0
PANEL_IN, GAP_IN, CAPTION_IN, HEAD_IN, FOOT_IN = 4.5, 0.22, 0.66, 0.95, 0.62
WIDTH_IN = 2 * MARGIN_IN + ACROSS * PANEL_IN + (ACROSS - 1) * GAP_IN
HOT, GREY = "inferno", "gray_r"
MOST_OPAQUE, OPAQUE_FROM = 0.85, 0.35  # of the PET over the CT, from this part of the window on
BAR_MM = 50.0


Kind = Literal["PET on CT", "PET", "CT"]


@dataclass(frozen=True, slots=True)
class Plane:
    """A square of the axial plane at `z_mm`, around a point: x to the left, y to the front."""

    x_mm: float
    y_mm: float  # LPS
    z_mm: float
    side_mm: float

    @property
    def lps_mm(self) -> npt.NDArray[np.float64]:
        """[row, column, 3]: the lowest row lies at the back, the first column to the right."""
        steps = (np.arange(SAMPLES) + 0.5) / SAMPLES * self.side_mm - self.side_mm / 2
        y, x = np.meshgrid(self.y_mm - steps, self.x_mm + steps, indexing="ij")
        return np.stack([x, y, np.full_like(x, self.z_mm)], axis=-1)

    @property
    def corners_mm(self) -> npt.NDArray[np.float64]:
        """[4, 3]"""
        half = self.side_mm / 2
        apart = [(x, y) for x in (-half, half) for y in (-half, half)]
        return np.array([(self.x_mm + x, self.y_mm + y, self.z_mm) for x, y in apart])

    @property
    def extent_mm(self) -> Box:
        return 0.0, self.side_mm, 0.0, self.side_mm


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and the images that are seen on it."""

    figure: Figure
    images: tuple[ImageReference, ...]


def slice_pages(report: Report, standing: str = UNVERIFIED) -> Iterator[Page]:
    """The pages, six lesions each, in ascending number; what comes after 120 is named only.

    Of one or two lesions, the PET and the CT alone are seen as well.
    """
    drawn = [
        (one, colour_of(place))
        for place, one in enumerate(lesions_of(report))
        if one.lesion.segment.mask.voxels.any()
    ]
    lesions = [one for one, _ in drawn]
    shown = lesions[: MOST_PAGES * ON_A_PAGE]
    kinds = _kinds(report, len(lesions))
    crops = [_Crop(one.lesion.segment, colour) for one, colour in drawn]
    for first in range(0, len(shown), ON_A_PAGE):
        part = range(first, min(first + ON_A_PAGE, len(shown)))
        title = f"Lesion{'s' if len(part) > 1 else ''} {', '.join(map(_number, shown[first:][:6]))}"
        if part.stop == len(shown) < len(lesions):
            title += f"; {len(lesions) - len(shown)} more in the report"
        cells = [(index, kind) for index in part for kind in kinds]
        yield _page(report, lesions, crops, cells, title, standing)


def _kinds(report: Report, lesions: int) -> tuple[Kind, ...]:
    if report.scan.ct is None:
        return ("PET",)
    return ("PET on CT", "PET", "CT") if lesions <= FEW else ("PET on CT",)


def _number(finding: Finding) -> str:
    return str(finding.lesion.segment.number)


def _page(
    report: Report,
    lesions: Sequence[Finding],
    crops: Sequence["_Crop"],
    cells: Sequence[tuple[int, Kind]],
    title: str,
    standing: str,
) -> Page:
    rows = -(-len(cells) // ACROSS)
    page = (WIDTH_IN, HEAD_IN + FOOT_IN + rows * (PANEL_IN + CAPTION_IN))
    figure = Figure(figsize=page, facecolor=PAPER)
    window = window_of(report)
    images: dict[ImageReference, None] = {}
    for place, (index, kind) in enumerate(cells):
        down, across = divmod(place, ACROSS)
        left = MARGIN_IN + across * (PANEL_IN + GAP_IN)
        bottom = page[1] - HEAD_IN - down * (PANEL_IN + CAPTION_IN) - PANEL_IN
        axes = figure.add_axes(inches(page, left, bottom, (PANEL_IN, PANEL_IN)))
        plane = _plane(lesions[index], report.scan.pet, crops[index])
        _draw_slice(axes, report, plane, kind, window)
        _draw_lesions(axes, plane, lesions, crops, index)
        ink = (FAINT, PAPER) if kind == "PET" else (PAPER, INK)
        draw_sides(axes, "R", "L", ink)
        _draw_bar(axes, plane, ink)
        _draw_caption(figure, page, (left, bottom), lesions[index], crops[index].colour, kind)
        images |= dict.fromkeys(_seen(report, lesions[index], plane))
    scale = ScalarMappable(Normalize(*window), GREY if report.scan.ct is None else HOT)
    draw_scale(figure, page, scale, report)
    what = f"Axial {cells[0][1]}, through the hottest voxel of each lesion"
    draw_titles(figure, page, report, title, what, standing)
    as_written(figure)
    return Page(figure, tuple(images))


class _Crop:
    """The part of a mask that is marked, with a margin of one voxel: most of a body is not.

    Its colour is the one that the lesion has on the projections.
    """

    def __init__(self, segment: Segment, colour: str) -> None:
        self.colour = colour
        voxels = segment.mask.voxels
        spans = []
        for axis in range(3):
            others = tuple(each for each in range(3) if each != axis)
            marked = np.flatnonzero(voxels.any(axis=others))
            spans.append((int(marked[0]), int(marked[-1]) + 1))
        part = voxels[tuple(slice(*span) for span in spans)].astype(np.float32)
        self.grid: Grid = segment.mask.grid
        self.first = np.array([start - 1 for start, _ in spans])
        self.values = np.pad(part, 1)

    def on(self, plane: Plane) -> Projection | None:
        """The outline in a plane; None where it does not cross it."""
        corners = self.grid.to_kji(plane.corners_mm) - self.first
        far = np.array(self.values.shape) - 1
        if (corners.max(axis=0) < 0).any() or (corners.min(axis=0) > far).any():
            return None
        index = self.grid.to_kji(plane.lps_mm) - self.first
        inside = map_coordinates(self.values, np.moveaxis(index, -1, 0), order=1, mode="constant")
        return Projection(inside, plane.extent_mm) if (inside > 0.5).any() else None

    def reach_mm(self, plane_point: npt.NDArray[np.float64]) -> float:
        """How far the marked part reaches from a point, sideways or in depth."""
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.values.shape])).reshape(3, -1).T
        apart = np.abs(self.grid.to_lps_mm(corners + self.first) - plane_point)[:, :2]
        return float(apart.max())


def _plane(finding: Finding, pet: Volume, crop: _Crop) -> Plane:
    """Around the outline of the report, in the slice of the hottest voxel."""
    measured = finding.lesion.measurements
    k = _index_of(pet, measured.hottest_slice)
    points = np.array(measured.hottest_slice_contour) - 0.5  # column, row of pixel centres
    column, row = (points.min(axis=0) + points.max(axis=0)) / 2
    x, y, z = pet.grid.to_lps_mm((k, row, column))
    side = max(SIDE_MM, 2 * AROUND_LESION * crop.reach_mm(np.array([x, y, z])))
    return Plane(float(x), float(y), float(z), side)


def _index_of(volume: Volume, image: ImageReference | None) -> int:
    if image is not None:
        for k, one in enumerate(volume.slices):
            if (one.sop_instance_uid, one.frame_number) == (
                image.sop_instance_uid, image.frame_number,
            ):  # fmt: skip
                return k
    return len(volume.slices) // 2


def _seen(report: Report, finding: Finding, plane: Plane) -> Iterator[ImageReference]:
    """The PET slice, and the CT slice next to it."""
    pet, ct = report.scan.pet, report.scan.ct
    yield pet.slices[_index_of(pet, finding.lesion.measurements.hottest_slice)]
    if ct is not None:
        k = round(float(ct.grid.to_kji((plane.x_mm, plane.y_mm, plane.z_mm))[0]))
        if 0 <= k < len(ct.slices):
            yield ct.slices[k]


def _sampled(volume: Volume, plane: Plane, outside: float) -> npt.NDArray[np.float32]:
    index = np.moveaxis(volume.grid.to_kji(plane.lps_mm), -1, 0)
    found = map_coordinates(volume.values, index, order=1, mode="constant", cval=outside)
    return np.asarray(found, np.float32)


def _draw_slice(
    axes: Axes, report: Report, plane: Plane, kind: Kind, window: tuple[float, float]
) -> None:
    """CT in grey and the PET over it, or one of them; the PET alone as on the projections."""
    shown: dict[str, Any] = {
        "origin": "lower",
        "extent": plane.extent_mm,
        "interpolation": "bilinear",
    }
    pet = _sampled(report.scan.pet, plane, 0.0)
    if kind == "PET" or report.scan.ct is None:
        axes.imshow(pet, cmap=GREY, vmin=window[0], vmax=window[1], **shown)
        return
    ct = _sampled(report.scan.ct, plane, AIR_HU)
    axes.imshow(ct, cmap="gray", vmin=CT_WINDOW_HU[0], vmax=CT_WINDOW_HU[1], **shown)
    if kind == "PET on CT":
        level = np.clip((pet - window[0]) / (window[1] - window[0]), 0, 1)
        coloured = colormaps[HOT](level)
        coloured[..., 3] = np.clip(level / OPAQUE_FROM, 0, 1) * MOST_OPAQUE
        axes.imshow(coloured, **shown)


def _draw_lesions(
    axes: Axes,
    plane: Plane,
    lesions: Sequence[Finding],
    crops: Sequence[_Crop],
    about: int,
) -> None:
    """Every lesion that the plane crosses; the one it is about with a wider line."""
    crossed = {
        index: outline
        for index, crop in enumerate(crops)
        if (outline := crop.on(plane)) is not None
    }
    order = sorted(crossed, key=lambda index: index != about)
    boxes = {index: box_of(_marked(crossed[index])) for index in order}
    taken: list[Point] = []
    centres = (np.arange(SAMPLES) + 0.5) / SAMPLES * plane.side_mm
    for index in order:
        lines = axes.contour(
            centres, centres, crossed[index].values, levels=[0.5], colors=[crops[index].colour],
            linewidths=2.0 if index == about else 1.0,
        )  # fmt: skip
        lines.set_path_effects([withStroke(linewidth=3.6 if index == about else 2.2,
                                           foreground=PAPER)])  # fmt: skip
    for index in order:
        size = 14.0 if index == about else 10.0
        height_mm = size / 72 / PANEL_IN * plane.side_mm
        place = free_place(
            boxes[index], plane.extent_mm, list(boxes.values()), taken, height_mm
        )  # fmt: skip
        number = _number(lesions[index])
        draw_number(axes, boxes[index], place, number, crops[index].colour, plane.extent_mm, size)
        taken.append(place)
    axes.set_xlim(0, plane.side_mm)
    axes.set_ylim(0, plane.side_mm)


def _marked(outline: Projection) -> Projection:
    return Projection(outline.values > 0.5, outline.extent_mm)


def _draw_bar(axes: Axes, plane: Plane, ink: tuple[str, str]) -> None:
    left, bottom = 0.035 * plane.side_mm, 0.04 * plane.side_mm
    effects = [withStroke(linewidth=3.2, foreground=ink[1])]
    axes.plot([left, left + BAR_MM], [bottom, bottom], color=ink[0], lw=1.8, path_effects=effects)
    axes.text(left, bottom + 0.02 * plane.side_mm, "5 cm", color=ink[0], fontsize=8.5,
              path_effects=effects)  # fmt: skip


def _draw_caption(
    figure: Figure,
    page: tuple[float, float],
    corner_in: tuple[float, float],
    finding: Finding,
    colour: str,
    kind: Kind,
) -> None:
    """Number, place and numbers of a lesion under its slice; what else is seen of it, by name."""
    measured = finding.lesion.measurements
    x, y = corner_in[0] / page[0], (corner_in[1] - 0.18) / page[1]
    number = _number(finding)
    figure.text(x, y, number, fontsize=12, color=colour, fontweight="bold", va="center")
    beside = x + (0.14 + 0.1 * len(number)) / page[0]
    suv = f"SUVmax {suv_of(finding)}" if measured.suv_max is not None else "no SUV"
    said = f"{suv}    {printed_cm3(measured.volume_cm3)} cm3    {size_of(finding)} cm"
    figure.text(beside, y, place_of(finding), fontsize=11, color=INK, va="center")
    right = x + PANEL_IN / page[0]
    figure.text(right, y, kind, fontsize=9.5, color=FAINT, va="center", ha="right")
    figure.text(beside, y - 0.23 / page[1], said, fontsize=10, color=INK, va="center")
