"""A page for the eye: the PET as two projections, with every lesion outlined and numbered."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from engine.acquisition import SuvRefusal
from engine.finding import Finding, Report, printed, printed_cm, printed_cm3
from engine.report.views import (
    VIEWS,
    Box,
    Point,
    Projection,
    View,
    box_of,
    distance_mm,
    free_place,
    nearest_point,
    number_mm,
    project,
)
from engine.report.wording import DEMONSTRATION, tracer_of

SUV_WINDOW = (0.0, 10.0)
AROUND_MM = 40.0  # room for numbers beside the body
MARGIN_IN, GAP_IN, HEAD_IN, FOOT_IN, LIST_IN, ROW_IN = 0.4, 0.15, 0.95, 0.7, 5.2, 0.36
VIEW_IN, VIEWS_IN = 8.0, 9.0  # the most a view may be high, and all views together wide
INK, FAINT, RULE, PAPER = "#1b1f24", "#6b7480", "#d5dae0", "#ffffff"
COLOURS = (
    "#d7263d", "#1b6ca8", "#2a9d5c", "#e07a00", "#7b3fb5", "#00889a", "#b8407c", "#7a6200",
)  # fmt: skip


def save_picture(report: Report, path: Path) -> None:
    """Draw `report` into a PNG."""
    draw(report).savefig(path, format="png", dpi=160, facecolor=PAPER)


def draw(report: Report) -> Figure:
    """Coronal and sagittal maximum intensity projections, and the list of lesions beside them."""
    findings = [one for one in report.findings if one.lesion.segment.role == "lesion"]
    pet = report.scan.pet
    window = _window(report)
    seen = {view: project(pet.values, pet.grid, view) for view in VIEWS}
    bounds = {view: _bounds(seen[view], findings, view, 0.05 * window[1]) for view in VIEWS}
    height, widths = _sizes_in(bounds)
    page_width = MARGIN_IN + sum(width + GAP_IN for width in widths) + LIST_IN + MARGIN_IN
    page = (page_width, height + HEAD_IN + FOOT_IN)
    figure = Figure(figsize=page, facecolor=PAPER)
    left = MARGIN_IN
    for view, width in zip(VIEWS, widths, strict=True):
        axes = figure.add_axes(_box(page, left, width, height))
        image = _draw_view(axes, seen[view], findings, view, window, bounds[view])
        axes.set_xlim(*bounds[view][:2])
        axes.set_ylim(*bounds[view][2:])
        left += width + GAP_IN
    _draw_list(
        figure.add_axes(_box(page, left + GAP_IN, LIST_IN - GAP_IN, height)), findings, height
    )
    _draw_scale(figure, page, image, report)
    _draw_titles(figure, page, report, len(findings))
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # labels come from elsewhere
    return figure


def _draw_view(
    axes: Axes,
    seen: Projection,
    findings: Sequence[Finding],
    view: View,
    window: tuple[float, float],
    bounds: Box,
) -> Any:
    image = axes.imshow(
        seen.values, cmap="gray_r", vmin=window[0], vmax=window[1], origin="lower",
        extent=seen.extent_mm, interpolation="bilinear", aspect="equal",
    )  # fmt: skip
    outlines = [
        (finding, COLOURS[index % len(COLOURS)], outline)
        for index, finding in enumerate(findings)
        if (outline := _outline(finding, view)).values.any()
    ]
    boxes = [box_of(outline) for _, _, outline in outlines]
    taken: list[Point] = []
    for _, colour, outline in outlines:
        _draw_outline(axes, outline, colour)
    for (finding, colour, _), box in zip(outlines, boxes, strict=True):
        place = free_place(box, bounds, boxes, taken)
        _draw_number(axes, box, place, str(finding.lesion.segment.number), colour, bounds)
        taken.append(place)
    left, right = ("R", "L") if view == "coronal" else ("A", "P")
    for x, letter in ((0.025, left), (0.975, right)):
        axes.text(x, 0.975, letter, transform=axes.transAxes, color=FAINT, fontsize=11,
                  ha="left" if x < 0.5 else "right", va="top", fontweight="bold",
                  path_effects=[withStroke(linewidth=2.6, foreground=PAPER)])  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_edgecolor(RULE)
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


def _draw_number(axes: Axes, box: Box, place: Point, number: str, colour: str, bounds: Box) -> None:
    """The number at its place, with a line to the outline where that is not next to it."""
    is_near = distance_mm(place, box) < 1.6 * number_mm(bounds)
    leader = {"arrowstyle": "-", "color": colour, "lw": 0.8, "shrinkA": 6, "shrinkB": 2}
    axes.annotate(
        number, xy=nearest_point(place, box), xytext=place, color=colour, fontsize=10,
        fontweight="bold", ha="center", va="center",
        path_effects=[withStroke(linewidth=2.6, foreground=PAPER)],
        arrowprops=None if is_near else leader,
    )  # fmt: skip


def _outline(finding: Finding, view: View) -> Projection:
    mask = finding.lesion.segment.mask
    return project(mask.voxels, mask.grid, view)


def _draw_scale(figure: Figure, page: tuple[float, float], image: Any, report: Report) -> None:
    width, height = page
    axes = figure.add_axes((MARGIN_IN / width, 0.36 / height, 1.9 / width, 0.10 / height))
    figure.colorbar(image, cax=axes, orientation="horizontal")
    axes.tick_params(labelsize=8, colors=FAINT, length=2)
    unit = "SUV (body weight)"
    if isinstance(report.scan.suv, SuvRefusal):
        unit = f"{report.scan.pet.unit}, SUV refused: {report.scan.suv.code.replace('-', ' ')}"
    x, y = (MARGIN_IN + 2.0) / width, 0.40 / height
    figure.text(x, y, unit, fontsize=8.5, color=FAINT, va="center")


def _draw_list(axes: Axes, findings: Sequence[Finding], height_in: float) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(height_in, 0)  # inches from the top
    for x, heading, side in _COLUMNS:
        axes.text(x, 0.12, heading, fontsize=9, color=FAINT, ha=side, va="center")
    axes.plot([0, 1], [0.28, 0.28], color=RULE, lw=0.8)
    shown = findings[: int((height_in - 0.8) / ROW_IN)]
    for index, finding in enumerate(shown):
        y = 0.52 + index * ROW_IN
        _draw_row(axes, y, finding, COLOURS[index % len(COLOURS)])
    if len(findings) > len(shown):
        more = f"and {len(findings) - len(shown)} more, in the report"
        axes.text(0.06, 0.52 + len(shown) * ROW_IN, more, fontsize=9, color=FAINT, va="center")


_COLUMNS = (
    (0.06, "Lesion", "left"),
    (0.67, "SUVmax", "right"),
    (0.80, "cm3", "right"),
    (1.00, "cm", "right"),
)


def _draw_row(axes: Axes, y: float, finding: Finding, colour: str) -> None:
    segment, measured = finding.lesion.segment, finding.lesion.measurements
    axes.text(
        0.0, y, str(segment.number), fontsize=10, color=colour, fontweight="bold", va="center"
    )
    axes.text(0.06, y, _name(finding), fontsize=9.5, color=INK, va="center")
    suv = "-" if measured.suv_max is None else printed(measured.suv_max, 1)
    axes.text(0.67, y, suv, fontsize=9.5, color=INK, ha="right", va="center")
    volume = printed_cm3(measured.volume_cm3)
    axes.text(0.80, y, volume, fontsize=9.5, color=INK, ha="right", va="center")
    lengths = (measured.long_axis_mm, measured.short_axis_mm)
    size = " x ".join("-" if one is None else printed_cm(one) for one in lengths)
    axes.text(1.00, y, size, fontsize=9.5, color=INK, ha="right", va="center")


def _name(finding: Finding) -> str:
    site, side = finding.description.site, finding.description.laterality
    words = [] if site is None else [one.meaning for one in (side, site) if one is not None]
    name = " ".join(words).capitalize() or finding.lesion.segment.label
    return name if len(name) <= 36 else f"{name[:34]}..."


def _draw_titles(figure: Figure, page: tuple[float, float], report: Report, lesions: int) -> None:
    width, height = page
    left, right = MARGIN_IN / width, 1 - MARGIN_IN / width
    tracer = tracer_of(report.scan.acquisition)
    what = f"PET, maximum intensity projection{f', {tracer}' if tracer else ''}"
    title = f"{lesions} lesion{'' if lesions == 1 else 's'}"
    figure.text(
        left, 1 - 0.38 / height, title, fontsize=17, color=INK, fontweight="bold", va="center"
    )
    figure.text(left, 1 - 0.68 / height, what, fontsize=9.5, color=FAINT, va="center")
    words_by = f"{report.model.name} {report.model.version}"
    words = f"Unverified. Numbers measured in the mask, words by {words_by}."
    figure.text(right, 0.40 / height, words, fontsize=8.5, color=FAINT, ha="right", va="center")
    if report.model.is_demonstration:
        figure.text(right, 1 - 0.38 / height, DEMONSTRATION, fontsize=9.5, color=COLOURS[0],
                    ha="right", va="center", fontweight="bold")  # fmt: skip


def _window(report: Report) -> tuple[float, float]:
    if not isinstance(report.scan.suv, SuvRefusal):
        return SUV_WINDOW
    return 0.0, float(np.percentile(report.scan.pet.values, 99.8)) or 1.0


def _bounds(seen: Projection, findings: Sequence[Finding], view: View, threshold: float) -> Box:
    """What is worth showing: the body and every lesion."""
    body = seen.values > threshold
    for finding in findings:
        body = body | _outline(finding, view).values
    columns = np.flatnonzero(body.any(axis=0))
    width, height = seen.extent_mm[1], seen.extent_mm[3]
    if not len(columns):
        return 0.0, width, 0.0, height
    step = width / body.shape[1]
    left, right = columns[0] * step - AROUND_MM, (columns[-1] + 1) * step + AROUND_MM
    return max(left, 0.0), min(right, width), 0.0, height


def _sizes_in(
    bounds: Mapping[View, Box],
) -> tuple[float, tuple[float, ...]]:
    """Height of the views, and the width of each, so that both have one scale and fit the page."""
    wide = [right - left for left, right, _, _ in bounds.values()]
    tall = max(top - bottom for _, _, bottom, top in bounds.values())
    inches_per_mm = min(VIEW_IN / tall, VIEWS_IN / sum(wide))
    return max(tall * inches_per_mm, 2.5), tuple(max(one * inches_per_mm, 1.2) for one in wide)


def _box(
    page: tuple[float, float], left: float, width: float, height: float
) -> tuple[float, float, float, float]:
    return left / page[0], FOOT_IN / page[1], width / page[0], height / page[1]
