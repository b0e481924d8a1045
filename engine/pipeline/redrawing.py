"""report_of: the report that a kept SR tells, on its images again, for pictures of it.

Numbers, words, sites and flags are those of the document; only voxels are read anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydicom import Dataset
from pydicom.sr.coding import Code

from engine import codes
from engine.case import Case
from engine.errors import Unreadable
from engine.finding import Description, Finding, ModelIdentity, Report
from engine.lesion import Lesion, Measurements, Segment
from engine.pipeline.reporting import read_scan
from engine.reading.mask import read_mask
from engine.report import walk
from engine.report.plain_forms import name_of
from engine.report.read import ReadFinding, read_findings
from engine.report.wording import DEMONSTRATION
from engine.volume import ImageReference

_NUMBERS: Final = (
    "suv_max", "suv_mean", "suv_peak", "total_lesion_glycolysis_g", "long_axis_mm",
    "short_axis_mm",
)  # fmt: skip


def report_of(sr: Dataset, case: Case, *, fractional_threshold: float = 0.5) -> Report:
    """The report of `sr`. `case` holds the images it was made from; its mask is the SEG that the
    groups refer to.

    Raises UnusableCase where these cannot be read or do not hold what the document tells of.
    """
    scan, _ = read_scan(case)
    content = read_mask(
        case.mask, scan.pet, lesion_numbers=(), fractional_threshold=fractional_threshold
    )
    drawn = {segment.number: segment for segment in content.segments}
    read = read_findings(sr)
    groups = [
        item
        for item in walk.descendants(sr)
        if codes.same(walk.concept(item), codes.MEASUREMENT_GROUP)
    ]
    findings = [
        _finding(finding, group, drawn)
        for finding, group in zip(read.findings, groups, strict=True)
    ]
    return Report(
        findings=tuple(findings),
        unreported=(),
        model=_model(sr, read.comments),
        scan=scan,
        completed_at=datetime.now(UTC),
        notes=read.comments,
    )


def _finding(read: ReadFinding, group: Dataset, drawn: Mapping[int, Segment]) -> Finding:
    segment = drawn.get(read.segment_number or 0)
    if segment is None:
        raise Unreadable(
            f"The SEG holds no segment {read.segment_number}, which the report measured",
            code="segment-absent",
        )
    kind, _, number = name_of(read).partition(" ")
    role: Literal["lesion", "context"] = "context" if kind == "Context" else "lesion"
    told = replace(segment, role=role, number=int(number) if number.isdigit() else segment.number)
    description = Description(read.text, read.site, read.laterality)
    return Finding(Lesion(told, _measurements(read, group)), description)


def _measurements(read: ReadFinding, group: Dataset) -> Measurements:
    measured = read.measured
    if "volume_cm3" not in measured:
        raise Unreadable("A group of the report states no volume", code="no-volume")
    numbers: dict[str, Any] = {name: measured[name] for name in _NUMBERS if name in measured}
    image, points = _outline(group)
    refusals = [answer.value for question, answer in read.evaluations if _refuses(question)]
    return Measurements(
        volume_cm3=measured["volume_cm3"],
        **numbers,
        suv_refusal=refusals[0] if refusals else None,
        hottest_slice=image,
        hottest_slice_contour=points,
    )


def _refuses(question: Code) -> bool:
    return codes.same(question, codes.SUV_REFUSED)


def _outline(group: Dataset) -> tuple[ImageReference, tuple[tuple[float, float], ...]]:
    """The PET slice of the hottest voxel, and the outline in it, as the document has them."""
    for item in walk.descendants(group):
        if item.get("ValueType") == "SCOORD":
            reference = next(walk.referenced(walk.of_type(item, "IMAGE")))
            frame = reference.get("ReferencedFrameNumber")
            image = ImageReference(
                str(reference.ReferencedSOPClassUID), str(reference.ReferencedSOPInstanceUID),
                None if frame is None else int(frame), None,
            )  # fmt: skip
            numbers = [float(value) for value in item.GraphicData]
            return image, tuple(zip(numbers[::2], numbers[1::2], strict=True))
    raise Unreadable("A group of the report has no outline", code="no-outline")


def _model(sr: Dataset, comments: Sequence[str]) -> ModelIdentity:
    item = next(iter(sr.get("ContributingEquipmentSequence") or []), Dataset())
    versions = item.get("SoftwareVersions") or [""]
    version = versions if isinstance(versions, str) else versions[0]
    return ModelIdentity(
        str(item.get("ManufacturerModelName", "")), str(version),
        is_demonstration=DEMONSTRATION in comments,
    )  # fmt: skip
