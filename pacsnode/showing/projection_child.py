"""Run as a program: draws one report, told on standard input, to its output: a PNG or a PDF.

Images are received bytes and drawing takes memory: both are done here, never in the node.
"""

import io
import json
import os
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.finding import Finding
    from engine.lesion import Segment

MEMORY_BYTES = 12 << 30
CPU_S = 120
DPI = 110


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
    from engine.case import Case
    from engine.finding import ModelIdentity, Report
    from engine.pipeline.reporting import read_scan
    from engine.reading.mask import read_mask
    from engine.report.page import PAPER
    from engine.report.picture import draw

    case = Case(pet=tuple(map(Path, errand["pet"])), ct=(), mask=Path(errand["mask"]))
    scan, _ = read_scan(case)
    told = {one["number"]: one for one in errand["lesions"]}
    content = read_mask(
        case.mask,
        scan.pet,
        lesion_numbers=list(told),
        fractional_threshold=errand["fractional_threshold"],
    )
    report = Report(
        findings=tuple(
            _finding(segment, told[segment.number])
            for segment in content.segments
            if segment.number in told
        ),
        unreported=(),
        model=ModelIdentity(errand["model"], errand["version"]),
        scan=scan,
        completed_at=datetime.now(UTC),
    )
    drawn = io.BytesIO()
    draw(report).savefig(drawn, format="png", dpi=DPI, facecolor=PAPER)
    return drawn.getvalue()


def _finding(segment: "Segment", told: dict[str, Any]) -> "Finding":
    """The numbers and the site as the document states them; only the outline is drawn anew."""
    from pydicom.sr.coding import Code

    from engine.finding import Description, Finding
    from engine.lesion import Lesion, Measurements

    site = Code("site", "99LOCAL", told["site"]) if told["site"] else None
    numbers = {"volume_cm3": 0.0} | told["measured"]
    return Finding(Lesion(segment, Measurements(**numbers)), Description("", site))


def main() -> int:
    """0 with the picture on standard output; otherwise the kind of error on standard error."""
    os.nice(5)  # reports go first
    for limit, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    try:
        picture = _draw(json.load(sys.stdin))
    except Exception as exc:  # noqa: BLE001  a foreign error may quote the dataset: its kind alone
        sys.stderr.write(type(exc).__name__)
        return 1
    sys.stdout.buffer.write(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
