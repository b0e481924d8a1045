"""report_case: one case in, one checked report out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isfinite

from pydicom import Dataset

from engine.acquisition import SuvRefusal
from engine.case import Case
from engine.describing.template import Template
from engine.errors import EmptySegment, GridMismatch, InvalidReport, UnusableCase
from engine.finding import Describer, Report, Unreported
from engine.lesion import Lesion, Measurements, Segment
from engine.measuring import MEASUREMENT_VERSION
from engine.measuring.lesions import measure
from engine.measuring.suv import suv_conversion, to_suv
from engine.pipeline.elsewhere import organs_of
from engine.pipeline.words import Worded, describe_all
from engine.reading.ct import read_ct
from engine.reading.mask import read_mask
from engine.reading.pet import read_pet
from engine.report.check import problems_of
from engine.report.quantities import QUANTITIES
from engine.report.seg_check import seg_problems
from engine.report.sources import grouped, has_voxels_to_show, is_rtstruct, read_header
from engine.report.sr import build_sr
from engine.report.style import ReportStyle, is_uid
from engine.volume import Scan, Volume


@dataclass(frozen=True, slots=True, eq=False)
class Documents:
    """A report, and the DICOM objects that carry it; `seg` where the mask is an RTSTRUCT.

    `worded` are its findings with the raw words of a model, which no document holds.
    """

    report: Report
    sr: Dataset
    seg: Dataset | None
    worded: tuple[Worded, ...] = ()


def report_case(
    case: Case, describer: Describer, style: ReportStyle, *, fractional_threshold: float = 0.5
) -> Documents:
    """Read, measure, describe, write and check one case.

    Raises UnusableCase (never to be tried again), InvalidReport among them, and ModelFault.
    """
    scan, notes = read_scan(case)
    content = read_mask(
        case.mask,
        scan.pet,
        lesion_numbers=case.lesion_numbers,
        fractional_threshold=fractional_threshold,
    )
    lesions, unmeasured = measure_all(told_apart(content.segments), scan)
    unreported = (*content.failed, *unmeasured)
    if not any(has_voxels_to_show(lesion.segment) for lesion in lesions):
        raise _nothing_to_report(unreported)
    roles = [lesion.segment.role for lesion in lesions] + [one.role for one in unreported]
    if "lesion" not in roles:
        raise UnusableCase("No segment of the mask object is a lesion", code="no-lesion")
    organs, about_organs = _organs(case, scan, describer)
    described = describe_all(scan, lesions, describer, organs)
    of_mask = (f"Mask object: {flag.replace('-', ' ')}." for flag in content.flags)
    report = Report(
        findings=tuple(one.finding for one in described.worded),
        unreported=tuple(sorted(unreported, key=lambda one: one.number)),
        model=described.model,
        scan=scan,
        completed_at=datetime.now(UTC),
        notes=(*notes, *of_mask, *about_organs, *described.notes),
        measurement_version=MEASUREMENT_VERSION,
    )
    return replace(write_documents(report, case, style), worded=described.worded)


def read_scan(case: Case) -> tuple[Scan, tuple[str, ...]]:
    """The PET in SUV where it can be stated, the CT where one is usable, and what to say of it."""
    pet, acquisition = read_pet(case.pet)
    suv = suv_conversion(acquisition)
    if not isinstance(suv, SuvRefusal):
        pet = to_suv(pet, suv)
    ct, notes = _read_ct(case, pet)
    return Scan(pet, ct, acquisition, suv), notes


def told_apart(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Segments without the tracking UIDs that several share or that are none: they tell nothing."""
    stated = [segment.tracking_uid for segment in segments]
    kept = []
    for segment in segments:
        uid = segment.tracking_uid
        if uid is not None and not is_uid(uid):
            flags = (*segment.flags, "invalid-tracking-uid")
            segment = replace(segment, tracking_uid=None, flags=flags)
        elif uid is not None and stated.count(uid) > 1:
            flags = (*segment.flags, "shared-tracking-uid")
            segment = replace(segment, tracking_uid=None, flags=flags)
        kept.append(segment)
    return tuple(kept)


def measure_all(
    segments: Sequence[Segment], scan: Scan
) -> tuple[tuple[Lesion, ...], tuple[Unreported, ...]]:
    """Every segment measured, in ascending number; those that cannot be, with the reason."""
    lesions, failed = [], []
    for segment in sorted(segments, key=lambda one: one.number):
        try:
            measured = measure(segment, scan)
            _refuse_unfit(measured)
        except UnusableCase as exc:
            failed.append(
                Unreported(segment.number, segment.label, exc.code, str(exc), segment.role)
            )
        else:
            lesions.append(Lesion(segment, measured))
    return tuple(lesions), tuple(failed)


def write_documents(report: Report, case: Case, style: ReportStyle) -> Documents:
    """The SR, and the SEG an RTSTRUCT needs. Raises InvalidReport where a rule is broken."""
    seg = None
    problems: list[str] = []
    mask = read_header(case.mask)
    if is_rtstruct(mask):
        from engine.report.seg import build_seg  # loads highdicom: only an RTSTRUCT needs it

        seg = mask = build_seg(report, case, style)
        segments = [finding.lesion.segment for finding in grouped(report)]
        problems += seg_problems(seg, segments, report.scan.pet.grid)
    sr = build_sr(report, case, style)
    problems += problems_of(sr, mask=mask, images=report.scan.pet.slices, report=report)
    if problems:
        raise InvalidReport(tuple(problems))
    return Documents(report, sr, seg)


def _read_ct(case: Case, pet: Volume) -> tuple[Volume | None, tuple[str, ...]]:
    if not case.ct:
        return None, ("No CT: reported from the PET alone.",)
    try:
        ct = read_ct(case.ct)
        spaces = {ct.grid.frame_of_reference_uid, pet.grid.frame_of_reference_uid} - {None}
        if len(spaces) > 1:
            raise GridMismatch(
                "CT and PET lie in two frames of reference", code="frame-of-reference-differs"
            )
        return ct, ()
    except UnusableCase as exc:
        return None, (f"CT not usable ({exc.code}), reported from the PET alone: {exc}",)


def _organs(
    case: Case, scan: Scan, describer: Describer
) -> tuple[tuple[Lesion, ...], tuple[str, ...]]:
    """The label maps' organs, where words of a model are to be judged by them."""
    if isinstance(describer, Template) or isinstance(scan.suv, SuvRefusal):
        return (), ()
    return organs_of(case.label_maps, scan.pet)


def _refuse_unfit(measured: Measurements) -> None:
    values = [getattr(measured, quantity.name) for quantity in QUANTITIES]
    if any(value is not None and not isfinite(value) for value in values):
        raise UnusableCase("A measurement is not a finite number", code="not-finite")
    if measured.hottest_slice is None or not measured.hottest_slice_contour:
        raise EmptySegment("The segment has no outline on a PET slice", code="no-outline")


def _nothing_to_report(unreported: Sequence[Unreported]) -> UnusableCase:
    reasons = [f"segment {one.number}, {one.code}: {one.sentence}" for one in unreported]
    return EmptySegment(f"No segment could be measured. {'; '.join(reasons) or 'There is none.'}")
