"""build_sr: a report as one Comprehensive 3D SR (PS3.16 TID 1500)."""

from collections.abc import Iterator

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian

from engine import codes
from engine.case import Case
from engine.finding import Finding, Report
from engine.report import items, modules
from engine.report.groups import group
from engine.report.sources import Sources, grouped, read_sources, segment_numbers
from engine.report.style import MANUFACTURER, ReportStyle, derived_uid, sr_uid
from engine.report.wording import DEMONSTRATION, notes_of


def build_sr(report: Report, case: Case, style: ReportStyle) -> Dataset:
    """The SR of `report`. Raises Unreadable, and InvalidReport where a group lacks an outline."""
    sources = read_sources(report, case, style)
    sr = _document(report, sources, style)
    findings = grouped(report)
    numbers = segment_numbers(findings, sources.mask_header)
    groups = [
        group(finding, numbers[finding.lesion.segment.number], report, sources, style)
        for finding in findings
    ]
    without_voxels = tuple(finding for finding in report.findings if finding not in findings)
    content = items.container(
        codes.IMAGING_MEASUREMENT_REPORT,
        [
            *_opening(report),
            *_context(report, style),
            items.container(codes.IMAGING_MEASUREMENTS, groups, "CONTAINS"),
            *_notes(report, without_voxels),
        ],
    )
    content.ContentTemplateSequence = [items.template("1500")]
    sr.update(content)
    return sr


def _document(report: Report, sources: Sources, style: ReportStyle) -> Dataset:
    sr = Dataset()
    sr.file_meta = FileMetaDataset()
    sr.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    modules.copy_patient_and_study(sources.pet_header, sr)
    modules.set_equipment(sr, style)
    modules.set_contributing_equipment(sr, report, style)
    modules.set_content_time(sr, report.completed_at)
    sr.SOPClassUID = Comprehensive3DSRStorage
    sr.SOPInstanceUID = sr_uid(style)
    sr.SeriesInstanceUID = derived_uid(style.seed, "sr-series")
    sr.Modality = "SR"
    sr.SeriesNumber = style.series_number
    sr.SeriesDescription = style.series_description
    sr.InstanceNumber = 1
    sr.ReferencedPerformedProcedureStepSequence = []
    sr.PerformedProcedureCodeSequence = []
    sr.CompletionFlag = "COMPLETE"
    sr.PreliminaryFlag = "PRELIMINARY"
    sr.VerificationFlag = "UNVERIFIED"
    sr.CodingSchemeIdentificationSequence = modules.coding_scheme()
    _set_evidence(sr, sources)
    if style.predecessors:
        sr.PredecessorDocumentsSequence = modules.predecessor_references(style.predecessors)
    return sr


def _set_evidence(sr: Dataset, sources: Sources) -> None:
    """What lies in the reported study is current evidence, what lies elsewhere pertinent."""
    study = sources.study_instance_uid
    here = [one for one in sources.evidence if one.study_instance_uid == study]
    elsewhere = [one for one in sources.evidence if one.study_instance_uid != study]
    sr.CurrentRequestedProcedureEvidenceSequence = modules.references(here)
    if elsewhere:
        sr.PertinentOtherEvidenceSequence = modules.references(elsewhere)


def _opening(report: Report) -> Iterator[Dataset]:
    if report.model.is_demonstration:
        yield items.text(codes.COMMENT, DEMONSTRATION, "CONTAINS")


def _context(report: Report, style: ReportStyle) -> Iterator[Dataset]:
    """TID 1204 language, TID 1004 device observer, the imaging procedure (not the algorithm)."""
    observed: items.Relationship = "HAS OBS CONTEXT"
    uid, serial = modules.device_uid(report, style), style.device_serial_number
    name = f"{MANUFACTURER} {style.software_version}"
    yield items.code(codes.LANGUAGE, codes.ENGLISH, "HAS CONCEPT MOD")
    yield items.code(codes.OBSERVER_TYPE, codes.DEVICE, observed)
    yield items.uidref(codes.DEVICE_OBSERVER_UID, uid, observed)
    yield items.text(codes.DEVICE_OBSERVER_NAME, name, observed)
    yield items.text(codes.DEVICE_OBSERVER_MANUFACTURER, MANUFACTURER, observed)
    yield items.text(codes.DEVICE_OBSERVER_MODEL_NAME, MANUFACTURER, observed)
    yield items.text(codes.DEVICE_OBSERVER_SERIAL_NUMBER, serial, observed)
    yield items.code(codes.PROCEDURE_REPORTED, codes.PET_PROCEDURE, "HAS CONCEPT MOD")


def _notes(report: Report, without_voxels: tuple[Finding, ...]) -> Iterator[Dataset]:
    for note in notes_of(report, without_voxels):
        yield items.text(codes.COMMENT, note, "CONTAINS")
