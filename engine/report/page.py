"""What every page of pictures has: paper, colours, title, scale, and what to know first."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from pydicom import Dataset

from engine.acquisition import SuvRefusal
from engine.finding import Finding, Report, printed, printed_cm
from engine.report.views import Box, Point, distance_mm, nearest_point, number_mm
from engine.report.wording import DEMONSTRATION

SUV_WINDOW = (0.0, 10.0)
MARGIN_IN = 0.4
UNVERIFIED = "UNVERIFIED"
INK, FAINT, RULE, PAPER = "#1b1f24", "#6b7480", "#d5dae0", "#ffffff"
COLOURS = (
    "#d7263d", "#1b6ca8", "#2a9d5c", "#e07a00", "#7b3fb5", "#00889a", "#b8407c", "#7a6200",
)  # fmt: skip


def standing_of(sr: Dataset) -> str:
    """Whether a person stands behind the report that a page shows, in a word for it."""
    return "VERIFIED" if sr.get("VerificationFlag") == "VERIFIED" else UNVERIFIED


def lesions_of(report: Report) -> list[Finding]:
    """What a page numbers and outlines."""
    return [one for one in report.findings if one.lesion.segment.role == "lesion"]


def colour_of(index: int) -> str:
    """The colour of the lesion at this place among `lesions_of`."""
    return COLOURS[index % len(COLOURS)]


def window_of(report: Report) -> tuple[float, float]:
    """What is drawn as least and most, in the unit of the PET."""
    if not isinstance(report.scan.suv, SuvRefusal):
        return SUV_WINDOW
    return 0.0, float(np.percentile(report.scan.pet.values, 99.8)) or 1.0


def place_of(finding: Finding) -> str:
    """Where a lesion is in a few words: its site, or its label."""
    site, side = finding.description.site, finding.description.laterality
    words = [] if site is None else [one.meaning for one in (side, site) if one is not None]
    name = " ".join(words).capitalize() or finding.lesion.segment.label
    return name if len(name) <= 36 else f"{name[:34]}..."


def suv_of(finding: Finding) -> str:
    suv_max = finding.lesion.measurements.suv_max
    return "-" if suv_max is None else printed(suv_max, 1)


def size_of(finding: Finding) -> str:
    """Long and short axis in cm."""
    measured = finding.lesion.measurements
    lengths = (measured.long_axis_mm, measured.short_axis_mm)
    return " x ".join("-" if one is None else printed_cm(one) for one in lengths)


def draw_number(
    axes: Axes, box: Box, place: Point, number: str, colour: str, bounds: Box, size: float = 10
) -> None:
    """The number at its place, with a line to the outline where that is not next to it."""
    is_near = distance_mm(place, box) < 1.6 * number_mm(bounds)
    leader = {"arrowstyle": "-", "color": colour, "lw": 0.8, "shrinkA": 6, "shrinkB": 2}
    axes.annotate(
        number, xy=nearest_point(place, box), xytext=place, color=colour, fontsize=size,
        fontweight="bold", ha="center", va="center",
        path_effects=[withStroke(linewidth=2.6, foreground=PAPER)],
        arrowprops=None if is_near else leader,
    )  # fmt: skip


def draw_sides(
    axes: Axes, left: str, right: str, colours: tuple[str, str] = (FAINT, PAPER)
) -> None:
    """Which side of the patient is where, in a colour and that of its rim."""
    for x, letter in ((0.025, left), (0.975, right)):
        axes.text(x, 0.975, letter, transform=axes.transAxes, color=colours[0],
                  ha="left" if x < 0.5 else "right", va="top", fontweight="bold", fontsize=11,
                  path_effects=[withStroke(linewidth=2.6, foreground=colours[1])])  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_edgecolor(RULE)


def draw_scale(figure: Figure, page: tuple[float, float], image: Any, report: Report) -> None:
    width, height = page
    axes = figure.add_axes((MARGIN_IN / width, 0.36 / height, 1.9 / width, 0.10 / height))
    figure.colorbar(image, cax=axes, orientation="horizontal")
    axes.tick_params(labelsize=8, colors=FAINT, length=2)
    unit = "SUV (body weight)"
    if isinstance(report.scan.suv, SuvRefusal):
        unit = f"{report.scan.pet.unit}, SUV refused: {report.scan.suv.code.replace('-', ' ')}"
    x, y = (MARGIN_IN + 2.0) / width, 0.40 / height
    figure.text(x, y, unit, fontsize=8.5, color=FAINT, va="center")


def draw_titles(
    figure: Figure,
    page: tuple[float, float],
    report: Report,
    title: str,
    what: str,
    standing: str = UNVERIFIED,
) -> None:
    """Title, what is seen, whose words these are, and that they are no diagnosis where so."""
    width, height = page
    left, right = MARGIN_IN / width, 1 - MARGIN_IN / width
    figure.text(
        left, 1 - 0.38 / height, title, fontsize=17, color=INK, fontweight="bold", va="center"
    )
    figure.text(left, 1 - 0.68 / height, what, fontsize=9.5, color=FAINT, va="center")
    words_by = f"{report.model.name} {report.model.version}"
    words = f"{standing}. Numbers measured in the mask, words by {words_by}."
    figure.text(right, 0.40 / height, words, fontsize=9, color=INK, ha="right", va="center")
    if report.model.is_demonstration:
        figure.text(right, 1 - 0.38 / height, DEMONSTRATION, fontsize=9.5, color=COLOURS[0],
                    ha="right", va="center", fontweight="bold")  # fmt: skip


def as_written(figure: Figure) -> None:
    """No text is read as mathematics: labels come from elsewhere."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)


def inches(
    page: tuple[float, float], left: float, bottom: float, size: Sequence[float]
) -> tuple[float, float, float, float]:
    """A box of the page in inches as matplotlib wants it."""
    return left / page[0], bottom / page[1], size[0] / page[0], size[1] / page[1]
