"""One measurement group (PS3.16 TID 1411) for one finding."""

import math
from collections.abc import Iterator

from pydicom import Dataset
from pydicom.sr.coding import Code

from engine import codes
from engine.errors import InvalidReport
from engine.finding import Finding, Report
from engine.lesion import Measurements, Segment
from engine.report import items
from engine.report.quantities import QUANTITIES
from engine.report.sources import Sources, tracking_uid
from engine.report.style import ReportStyle
from engine.report.wording import comment_of, is_kebab, quality_flags, run_of

EDITABLE = "Cornerstone3DTools@^0.1.0:PlanarFreehandROI"


def group(
    finding: Finding, number: int, report: Report, sources: Sources, style: ReportStyle
) -> Dataset:
    """The group of `finding`, whose segment is number `number` in the referenced SEG."""
    lesion = finding.lesion
    return items.container(
        codes.MEASUREMENT_GROUP,
        [
            *_identification(lesion.segment, style),
            items.segment(codes.REFERENCED_SEGMENT, *sources.segmentation, number),
            items.uidref(
                codes.SOURCE_SERIES_FOR_SEGMENTATION, sources.segment_source_series_uid, "CONTAINS"
            ),
            *_site(finding),
            *_algorithm(finding, report, style),
            *_numbers(lesion.segment, lesion.measurements),
            *_evaluations(finding),
            items.text(codes.COMMENT, _comment(finding, report, style), "CONTAINS"),
        ],
        "CONTAINS",
    )


def tracking_identifier(segment: Segment, style: ReportStyle) -> str:
    """ "Lesion 1", or what makes OHIF take the group for one that can be edited."""
    if style.tracking_identifier == "editable":
        return EDITABLE
    return _name(segment)


def _name(segment: Segment) -> str:
    return f"{'Lesion' if segment.role == 'lesion' else 'Context'} {segment.number}"


def _comment(finding: Finding, report: Report, style: ReportStyle) -> str:
    """The words of a group; with its name in them where the identifier does not tell it."""
    name = _name(finding.lesion.segment) if style.tracking_identifier == "editable" else ""
    return comment_of(finding, is_demonstration=report.model.is_demonstration, name=name)


def finding_code(segment: Segment) -> Code:
    """What the mask object says the segment is."""
    if segment.property_type is not None:
        return segment.property_type
    return codes.LESION if segment.role == "lesion" else codes.SPATIAL_CONCEPT


def _identification(segment: Segment, style: ReportStyle) -> Iterator[Dataset]:
    yield items.text(
        codes.TRACKING_IDENTIFIER, tracking_identifier(segment, style), "HAS OBS CONTEXT"
    )
    yield items.uidref(codes.TRACKING_UNIQUE_IDENTIFIER, tracking_uid(segment), "HAS OBS CONTEXT")
    yield items.code(codes.FINDING, finding_code(segment), "CONTAINS")


def _site(finding: Finding) -> Iterator[Dataset]:
    site, side = finding.description.site, finding.description.laterality
    if site is None:
        return
    laterality = [items.code(codes.LATERALITY, side, "HAS CONCEPT MOD")] if side else []
    yield items.code(codes.FINDING_SITE, site, "HAS CONCEPT MOD", laterality)


def _algorithm(finding: Finding, report: Report, style: ReportStyle) -> Iterator[Dataset]:
    """TID 4019: who wrote these words, how it was run, and what measured."""
    writer = finding.writer or report.model
    measured_by = f"measured by {style.software_version}, definitions {report.measurement_version}"
    yield items.text(codes.ALGORITHM_NAME, writer.name, "HAS CONCEPT MOD")
    yield items.text(codes.ALGORITHM_VERSION, writer.version, "HAS CONCEPT MOD")
    for parameter in (*run_of(writer), measured_by):
        yield items.text(codes.ALGORITHM_PARAMETERS, parameter, "HAS CONCEPT MOD")


def _numbers(segment: Segment, measured: Measurements) -> Iterator[Dataset]:
    """The NUMs in the order viewers show them; those with children carry the outline.

    OHIF shows a report blank whose groups have no SCOORD, and drops the label of a NUM that has
    children and none, so that every NUM with a modifier gets it, the first one always among them.
    """
    outline = _outline(segment, measured)
    for quantity in QUANTITIES:
        value: float | None = getattr(measured, quantity.name)
        if value is None:
            continue
        if not math.isfinite(value):
            raise InvalidReport((f"segment {segment.number} has a {quantity.name} of {value}",))
        modifiers = [
            items.code(name, modifier, "HAS CONCEPT MOD")
            for name, modifier in (
                (codes.DERIVATION, quantity.derivation),
                (codes.MEASUREMENT_METHOD, quantity.method),
            )
            if modifier is not None
        ]
        about = [*modifiers, outline] if modifiers else []
        yield items.num(quantity.concept, value, quantity.unit, about)


def _outline(segment: Segment, measured: Measurements) -> Dataset:
    image, points = measured.hottest_slice, measured.hottest_slice_contour
    if image is None or not points:
        problem = f"segment {segment.number} has no outline in a PET slice to refer to"
        raise InvalidReport((problem,))
    return items.polyline(codes.IMAGE_REGION, points, items.slice_image(image), "INFERRED FROM")


def _evaluations(finding: Finding) -> Iterator[Dataset]:
    refusal = finding.lesion.measurements.suv_refusal
    if refusal is not None:
        yield items.code(codes.SUV_REFUSED, codes.private_code(refusal), "CONTAINS")
    if finding.unable is not None and is_kebab(finding.unable.code):
        unable = codes.private_code(finding.unable.code)
        yield items.code(codes.MODEL_UNABLE, unable, "CONTAINS")
    for flags, name in (
        (quality_flags(finding), codes.QUALITY_FLAG),
        (finding.description.warnings, codes.CONSISTENCY_FLAG),
    ):
        for flag in filter(is_kebab, dict.fromkeys(flags)):
            yield items.code(name, codes.private_code(flag), "CONTAINS")
