"""A page for the eye: the PET as two projections, with every lesion outlined and numbered."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from engine.acquisition import SuvRefusal
from engine.finding import Finding, Report, printed, printed_cm
from engine.geometry import Grid
from engine.report.wording import DEMONSTRATION

View = Literal["coronal", "sagittal"]
VIEWS: tuple[View, View] = ("coronal", "sagittal")

SUV_WINDOW = (0.0, 10.0)
MAX_ROWS = 24
INK, FAINT, PAPER = "#1b1f24", "#6b7480", "#ffffff"
COLOURS = (
    "#d7263d", "#1b6ca8", "#2a9d5c", "#e07a00", "#7b3fb5", "#00889a", "#b8407c", "#7a6200",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Projection:
    """A volume or mask seen along one axis: rows go up to the head, columns as `extent_mm` says."""

    values: npt.NDArray[Any]
    extent_mm: tuple[float, float, float, float]  # left, right, bottom, top


def save_picture(report: Report, path: Path) -> None:
    """Draw `report` into a PNG."""
    draw(report).savefig(path, format="png", dpi=160, facecolor=PAPER)


def draw(report: Report) -> Figure:
    """Coronal and sagittal maximum intensity projections, and the list of lesions beside them."""
    findings = [one for one in report.findings if one.lesion.segment.role == "lesion"]
    figure = Figure(figsize=(13.5, 9.0), facecolor=PAPER)
    grid = figure.add_gridspec(
        1, 3, width_ratios=_widths(report.scan.pet.grid), left=0.03, right=0.985, top=0.915,
        bottom=0.075, wspace=0.04,
    )  # fmt: skip
    window = _window(report)
    for column, view in enumerate(VIEWS):
        axes = figure.add_subplot(grid[0, column])
        image = _draw_view(axes, report, findings, view, window)
    _draw_scale(figure, image, report)
    _draw_list(figure.add_subplot(grid[0, 2]), findings)
    _draw_titles(figure, report, len(findings))
    return figure


def project(values: npt.NDArray[Any], grid: Grid, view: View) -> Projection:
    """The maximum along the grid axis nearest to back-front (coronal) or right-left (sagittal).

    The result has the head up; columns go to the patient's left (coronal) or back (sagittal).
    """
    directions = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
    through, across = (1, 0) if view == "coronal" else (0, 1)
    axis_of = {lps: int(np.argmax(np.abs(directions[lps]))) for lps in (through, across, 2)}
    flat = values.max(axis=axis_of[through])
    remaining = [axis for axis in range(3) if axis != axis_of[through]]
    if remaining.index(axis_of[2]) == 1:
        flat = flat.T
    spacing = grid.spacing_mm
    for position, lps in enumerate((2, across)):
        if directions[lps, axis_of[lps]] < 0:
            flat = np.flip(flat, axis=position)
    height = flat.shape[0] * spacing[axis_of[2]]
    width = flat.shape[1] * spacing[axis_of[across]]
    return Projection(flat, (0.0, width, 0.0, height))


def _draw_view(
    axes: Axes, report: Report, findings: Sequence[Finding], view: View, window: tuple[float, float]
) -> Any:
    pet = report.scan.pet
    seen = project(pet.values, pet.grid, view)
    image = axes.imshow(
        seen.values, cmap="gray_r", vmin=window[0], vmax=window[1], origin="lower",
        extent=seen.extent_mm, interpolation="bilinear", aspect="equal",
    )  # fmt: skip
    taken: list[tuple[float, float]] = []
    for index, finding in enumerate(findings):
        segment = finding.lesion.segment
        outline = project(segment.mask.voxels, segment.mask.grid, view)
        if outline.values.any():
            colour = COLOURS[index % len(COLOURS)]
            _draw_outline(axes, outline, colour)
            taken.append(_draw_number(axes, outline, str(segment.number), colour, taken))
    left, right = ("R", "L") if view == "coronal" else ("A", "P")
    for x, letter in ((0.025, left), (0.975, right)):
        axes.text(x, 0.975, letter, transform=axes.transAxes, color=FAINT, fontsize=11,
                  ha="left" if x < 0.5 else "right", va="top", fontweight="bold")  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_edgecolor("#d5dae0")
    return image


def _draw_outline(axes: Axes, outline: Projection, colour: str) -> None:
    padded = np.pad(outline.values.astype(np.float32), 1)
    rows, columns = outline.values.shape
    step_y = outline.extent_mm[3] / rows
    step_x = outline.extent_mm[1] / columns
    axes.contour(
        (np.arange(columns + 2) - 0.5) * step_x,
        (np.arange(rows + 2) - 0.5) * step_y,
        padded,
        levels=[0.5],
        colors=[colour],
        linewidths=1.3,
    )


def _draw_number(
    axes: Axes, outline: Projection, number: str, colour: str, taken: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """The number beside the outline, at the nearest free place around it."""
    rows, columns = outline.values.shape
    hit = np.argwhere(outline.values)
    scale = np.array([outline.extent_mm[3] / rows, outline.extent_mm[1] / columns])
    low, high = hit.min(axis=0) * scale, (hit.max(axis=0) + 1) * scale
    centre, reach = (low + high) / 2, (high - low) / 2
    y, x = _free_place(centre, reach, outline.extent_mm, taken)
    axes.annotate(
        number, xy=(centre[1], centre[0]), xytext=(x, y), color=colour, fontsize=10,
        fontweight="bold", ha="center", va="center",
        path_effects=[withStroke(linewidth=2.6, foreground=PAPER)],
        arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.7, "shrinkA": 5, "shrinkB": 3},
    )  # fmt: skip
    return y, x


def _free_place(
    centre: npt.NDArray[np.float64],
    reach: npt.NDArray[np.float64],
    extent_mm: tuple[float, float, float, float],
    taken: Sequence[tuple[float, float]],
) -> tuple[float, float]:
    """(y, x) in mm, at least 22 mm from every other number and inside the picture."""
    outward = 0.0 if centre[1] > extent_mm[1] / 2 else np.pi  # away from the trunk first
    place = centre
    for distance in (20.0, 34.0, 48.0, 66.0, 90.0):
        for turn in (0.3, -0.3, 0.9, -0.9, 1.6, -1.6, 2.4, -2.4, np.pi):
            angle = outward + turn
            offset = np.array([np.sin(angle), np.cos(angle)]) * (reach + distance)
            place = np.clip(
                centre + offset, (10.0, 10.0), (extent_mm[3] - 10.0, extent_mm[1] - 10.0)
            )
            if all(np.hypot(*(place - other)) >= 22.0 for other in taken):
                return float(place[0]), float(place[1])
    return float(place[0]), float(place[1])


def _draw_scale(figure: Figure, image: Any, report: Report) -> None:
    axes = figure.add_axes((0.03, 0.045, 0.17, 0.012))
    figure.colorbar(image, cax=axes, orientation="horizontal")
    axes.tick_params(labelsize=8, colors=FAINT, length=2)
    unit = "SUV (body weight)"
    if isinstance(report.scan.suv, SuvRefusal):
        unit = f"{report.scan.pet.unit}: SUV refused ({report.scan.suv.code})"
    figure.text(0.21, 0.046, unit, fontsize=8.5, color=FAINT, va="center")


def _draw_list(axes: Axes, findings: Sequence[Finding]) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    for x, heading, side in _COLUMNS:
        axes.text(x, 0.985, heading, fontsize=9, color=FAINT, ha=side, va="top")
    axes.plot([0, 1], [0.958, 0.958], color="#d5dae0", lw=0.8)
    step = min(0.056, 0.94 / max(min(len(findings), MAX_ROWS) + 1, 1))
    for index, finding in enumerate(findings[:MAX_ROWS]):
        _draw_row(axes, 0.925 - index * step, finding, COLOURS[index % len(COLOURS)])
    if len(findings) > MAX_ROWS:
        y = 0.925 - MAX_ROWS * step
        axes.text(0.07, y, f"and {len(findings) - MAX_ROWS} more", fontsize=9, color=FAINT)


_COLUMNS = (
    (0.07, "Lesion", "left"),
    (0.60, "SUVmax", "right"),
    (0.76, "cm3", "right"),
    (1.00, "cm", "right"),
)


def _draw_row(axes: Axes, y: float, finding: Finding, colour: str) -> None:
    segment, measured = finding.lesion.segment, finding.lesion.measurements
    axes.text(
        0.0, y, str(segment.number), fontsize=10, color=colour, fontweight="bold", va="center"
    )
    axes.text(0.07, y, _name(finding), fontsize=9.5, color=INK, va="center")
    suv = "-" if measured.suv_max is None else printed(measured.suv_max, 1)
    axes.text(0.60, y, suv, fontsize=9.5, color=INK, ha="right", va="center")
    volume = printed(measured.volume_cm3, 1)
    axes.text(0.76, y, volume, fontsize=9.5, color=INK, ha="right", va="center")
    lengths = (measured.long_axis_mm, measured.short_axis_mm)
    size = " x ".join("-" if one is None else printed_cm(one) for one in lengths)
    axes.text(1.00, y, size, fontsize=9.5, color=INK, ha="right", va="center")


def _name(finding: Finding) -> str:
    site, side = finding.description.site, finding.description.laterality
    words = [] if site is None else [one.meaning for one in (side, site) if one is not None]
    name = " ".join(words).capitalize() or finding.lesion.segment.label
    return name if len(name) <= 30 else f"{name[:29]}..."


def _draw_titles(figure: Figure, report: Report, lesions: int) -> None:
    tracer = report.scan.acquisition.tracer
    name = tracer.meaning if tracer else report.scan.acquisition.tracer_name
    figure.text(0.03, 0.955, f"{lesions} lesion{'' if lesions == 1 else 's'}", fontsize=17,
                color=INK, fontweight="bold", va="center")  # fmt: skip
    figure.text(0.03, 0.93, f"Maximum intensity projection of the PET{f', {name}' if name else ''}",
                fontsize=9.5, color=FAINT, va="center")  # fmt: skip
    words_by = f"{report.model.name} {report.model.version}"
    words = f"Unverified. Numbers measured in the mask, words by {words_by}."
    figure.text(0.985, 0.046, words, fontsize=8.5, color=FAINT, ha="right", va="center")
    if report.model.is_demonstration:
        figure.text(0.985, 0.955, DEMONSTRATION, fontsize=11, color=COLOURS[0], ha="right",
                    va="center", fontweight="bold")  # fmt: skip


def _window(report: Report) -> tuple[float, float]:
    if not isinstance(report.scan.suv, SuvRefusal):
        return SUV_WINDOW
    return 0.0, float(np.percentile(report.scan.pet.values, 99.8)) or 1.0


def _widths(grid: Grid) -> tuple[float, float, float]:
    """Column widths that let both projections fill their height."""
    empty = np.zeros(grid.shape, bool)
    ratios = []
    for view in VIEWS:
        extent = project(empty, grid, view).extent_mm
        ratios.append(min(max(extent[1] / extent[3], 0.35), 0.8) * 8.0)
    return ratios[0], ratios[1], max(13.0 - sum(ratios), 4.2)
