"""A page for the eye: the PET as two projections, with every lesion outlined and numbered."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from engine.finding import Finding, Report, printed_cm3
from engine.report.page import (
    FAINT,
    INK,
    MARGIN_IN,
    PAPER,
    RULE,
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
from engine.report.views import (
    VIEWS,
    Box,
    Point,
    Projection,
    View,
    box_of,
    free_place,
    project,
)
from engine.report.wording import tracer_of

AROUND_MM = 40.0  # room for numbers beside the body
GAP_IN, HEAD_IN, FOOT_IN, LIST_IN, ROW_IN = 0.15, 0.95, 0.7, 5.2, 0.36
VIEW_IN, VIEWS_IN = 8.0, 9.0  # the most a view may be high, and all views together wide


def save_picture(report: Report, path: Path) -> None:
    """Draw `report` into a PNG."""
    draw(report).savefig(path, format="png", dpi=160, facecolor=PAPER)


def draw(report: Report, standing: str = UNVERIFIED) -> Figure:
    """Coronal and sagittal maximum intensity projections, and the list of lesions beside them."""
    findings = lesions_of(report)
    pet = report.scan.pet
    window = window_of(report)
    seen = {view: project(pet.values, pet.grid, view) for view in VIEWS}
    bounds = {view: _bounds(seen[view], findings, view, 0.05 * window[1]) for view in VIEWS}
    height, widths = _sizes_in(bounds)
    page_width = MARGIN_IN + sum(width + GAP_IN for width in widths) + LIST_IN + MARGIN_IN
    page = (page_width, height + HEAD_IN + FOOT_IN)
    figure = Figure(figsize=page, facecolor=PAPER)
    left = MARGIN_IN
    for view, width in zip(VIEWS, widths, strict=True):
        axes = figure.add_axes(inches(page, left, FOOT_IN, (width, height)))
        image = _draw_view(axes, seen[view], findings, view, window, bounds[view])
        axes.set_xlim(*bounds[view][:2])
        axes.set_ylim(*bounds[view][2:])
        left += width + GAP_IN
    _draw_list(
        figure.add_axes(inches(page, left + GAP_IN, FOOT_IN, (LIST_IN - GAP_IN, height))),
        findings,
        height,
    )
    draw_scale(figure, page, image, report)
    tracer = tracer_of(report.scan.acquisition)
    what = f"PET, maximum intensity projection{f', {tracer}' if tracer else ''}"
    title = f"{len(findings)} lesion{'' if len(findings) == 1 else 's'}"
    draw_titles(figure, page, report, title, what, standing)
    as_written(figure)
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
        (finding, colour_of(index), outline)
        for index, finding in enumerate(findings)
        if (outline := _outline(finding, view)).values.any()
    ]
    boxes = [box_of(outline) for _, _, outline in outlines]
    taken: list[Point] = []
    for _, colour, outline in outlines:
        _draw_outline(axes, outline, colour)
    for (finding, colour, _), box in zip(outlines, boxes, strict=True):
        place = free_place(box, bounds, boxes, taken)
        draw_number(axes, box, place, str(finding.lesion.segment.number), colour, bounds)
        taken.append(place)
    draw_sides(axes, *(("R", "L") if view == "coronal" else ("A", "P")))
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


def _outline(finding: Finding, view: View) -> Projection:
    mask = finding.lesion.segment.mask
    return project(mask.voxels, mask.grid, view)


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
        _draw_row(axes, y, finding, colour_of(index))
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
    axes.text(0.06, y, place_of(finding), fontsize=9.5, color=INK, va="center")
    columns = ((0.67, suv_of(finding)), (0.80, printed_cm3(measured.volume_cm3)),
               (1.00, size_of(finding)))  # fmt: skip
    for x, said in columns:
        axes.text(x, y, said, fontsize=9.5, color=INK, ha="right", va="center")


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
