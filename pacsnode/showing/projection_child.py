"""Run as a program: draws one report, told on standard input, to its output: a PNG or the PDF.

Images are received bytes and drawing takes memory: both are done here, never in the node.
"""

import io
import json
import os
import resource
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEMORY_BYTES = 12 << 30
CPU_S = 120
DPI = 110


def figure_of(errand: dict[str, Any]) -> "Figure":
    """The page that the errand's report is told by, without its CT: nothing here shows that."""
    from pydicom import dcmread

    from engine.case import Case
    from engine.pipeline.redrawing import report_of
    from engine.report.page import standing_of
    from engine.report.picture import draw

    sr = dcmread(errand["sr"])
    case = Case(pet=tuple(map(Path, errand["pet"])), ct=(), mask=Path(errand["mask"]))
    report = report_of(sr, case, fractional_threshold=errand["fractional_threshold"])
    return draw(report, standing_of(sr))


def _draw(errand: dict[str, Any]) -> bytes:
    return _pdf(errand) if errand["what"] == "pdf" else _projections(errand)


def _pdf(errand: dict[str, Any]) -> bytes:
    from pydicom import dcmread

    from engine.case import Case
    from engine.pipeline.redrawing import report_of
    from engine.report.illustrations import encapsulated_pdf

    case = Case(
        pet=tuple(map(Path, errand["pet"])),
        ct=tuple(map(Path, errand["ct"])),
        mask=Path(errand["mask"]),
    )
    sr = dcmread(errand["sr"])
    report = report_of(sr, case, fractional_threshold=errand["fractional_threshold"])
    document = encapsulated_pdf(report, sr)
    return bytes(document.EncapsulatedDocument[: document.EncapsulatedDocumentLength])


def _projections(errand: dict[str, Any]) -> bytes:
    from engine.report.page import PAPER

    drawn = io.BytesIO()
    figure_of(errand).savefig(drawn, format="png", dpi=DPI, facecolor=PAPER)
    return drawn.getvalue()


def main() -> int:
    """0 with the drawing on standard output; otherwise the kind of error on standard error."""
    os.nice(5)  # reports go first
    for limit, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    warnings.simplefilter("ignore")  # they quote values, and the node logs how this ends
    try:
        picture = _draw(json.load(sys.stdin))
    except Exception as exc:  # noqa: BLE001  a foreign error may quote the dataset: its kind alone
        sys.stderr.write(type(exc).__name__)
        return 1
    sys.stdout.buffer.write(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
