"""A Key Object Selection which says that a person rejected a report (PS3.16 TID 2010)."""

from collections.abc import Iterator

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, KeyObjectSelectionDocumentStorage

from engine import codes
from engine.errors import InvalidReport
from engine.report import items, modules, walk
from engine.report.attesting import Judgement, own_reference, short
from engine.report.style import derived_uid, installed_version
from engine.report.wording import report_rejected

DESCRIPTION = "Rejected PET/CT lesion report (AI)"
_OF_THE_EQUIPMENT = ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber")


def rejection_note(sr: Dataset, judgement: Judgement) -> Dataset:
    """The note on `sr`. Raises InvalidReport."""
    note = Dataset()
    note.file_meta = FileMetaDataset()
    note.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    modules.copy_patient_and_study(sr, note)
    for keyword in _OF_THE_EQUIPMENT:
        setattr(note, keyword, sr.get(keyword))
    note.SoftwareVersions = installed_version()
    modules.set_content_time(note, judgement.at)
    note.SOPClassUID = KeyObjectSelectionDocumentStorage
    note.SOPInstanceUID = note_uid(judgement.seed)
    note.SeriesInstanceUID = derived_uid(judgement.seed, "rejection-series")
    note.Modality = "KO"
    note.SeriesNumber = sr.SeriesNumber
    note.SeriesDescription = DESCRIPTION
    note.InstanceNumber = 1
    note.ReferencedPerformedProcedureStepSequence = []
    note.CurrentRequestedProcedureEvidenceSequence = modules.predecessor_references(
        [own_reference(sr)]
    )
    content = items.container(codes.REJECTED_FOR_QUALITY, list(_content(sr, judgement)))
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "2010"
    content.ContentTemplateSequence = [template]
    note.update(content)
    problems = tuple(note_problems(note, sr))
    if problems:
        raise InvalidReport(problems)
    return note


def note_uid(seed: str) -> str:
    """SOP Instance UID of the note."""
    return derived_uid(seed, "rejection")


def note_problems(note: Dataset, sr: Dataset) -> Iterator[str]:
    """Every rule that a note on `sr` breaks."""
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID"):
        if note.get(keyword) != sr.get(keyword):
            yield f"{keyword} of the note is not that of the report"
    about = [(str(sr.SOPClassUID), str(sr.SOPInstanceUID))]
    if [(one, uid) for _, one, uid in walk.evidence(note)] != about:
        yield "The evidence of the note is not the report alone"
    pointed = [
        (str(one.get("ReferencedSOPClassUID")), str(one.get("ReferencedSOPInstanceUID")))
        for one in walk.referenced(walk.of_type(note, "COMPOSITE"))
    ]
    if pointed != about:
        yield "The note does not point at the report alone"
    if not codes.same(walk.concept(note), codes.REJECTED_FOR_QUALITY):
        yield "The title of the note is not 'Rejected for Quality Reasons'"
    for name, keyword in (
        (codes.DOCUMENT_TITLE_MODIFIER, "ConceptCodeSequence"),
        (codes.PERSON_OBSERVER_NAME, "PersonName"),
        (codes.PERSON_OBSERVER_ORGANIZATION, "TextValue"),
        (codes.KEY_OBJECT_DESCRIPTION, "TextValue"),
    ):
        if [bool(item.get(keyword)) for item in walk.named(note, name)] != [True]:
            yield f"The note does not state {name.meaning!r} once"


def _content(sr: Dataset, judgement: Judgement) -> Iterator[Dataset]:
    observed: items.Relationship = "HAS OBS CONTEXT"
    yield items.code(codes.DOCUMENT_TITLE_MODIFIER, codes.OTHER_FAILURE, "HAS CONCEPT MOD")
    yield items.code(codes.LANGUAGE, codes.ENGLISH, "HAS CONCEPT MOD")
    yield items.code(codes.OBSERVER_TYPE, codes.PERSON, observed)
    yield items.pname(codes.PERSON_OBSERVER_NAME, judgement.observer, observed)
    yield items.text(codes.PERSON_OBSERVER_ORGANIZATION, short(judgement.organization), observed)
    said = report_rejected(judgement.name, judgement.organization, judgement.at, judgement.reason)
    yield items.text(codes.KEY_OBJECT_DESCRIPTION, said, "CONTAINS")
    yield items.composite(str(sr.SOPClassUID), str(sr.SOPInstanceUID))
