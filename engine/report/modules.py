"""The modules around an SR's or SEG's content: patient, study, equipment, evidence."""

from collections.abc import Sequence
from copy import deepcopy
from datetime import datetime, timezone

from pydicom import Dataset

from engine.acquisition import parse_offset
from engine.codes import PRIVATE_SCHEME, PRIVATE_SCHEME_NAME, PROCESSING_EQUIPMENT
from engine.finding import ModelIdentity, Report
from engine.report.items import code_sequence
from engine.report.sources import ReferencedSeries
from engine.report.style import MANUFACTURER, Predecessor, ReportStyle, derived_uid
from engine.report.wording import run_of

# type 2 of PS3.3 C.7.1.1 and C.7.2.1: present, empty where the PET has none
REQUIRED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
_COPIED = (
    *REQUIRED,
    "StudyInstanceUID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDsSequence",
    "PatientBirthTime",
    "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence",
    "PatientBreedDescription",
    "PatientBreedCodeSequence",
    "BreedRegistrationSequence",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "ResponsibleOrganization",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "StudyDescription",
    "IssuerOfAccessionNumberSequence",
    "ProcedureCodeSequence",
    "TimezoneOffsetFromUTC",  # what the copied times are stated in
)


def copy_patient_and_study(header: Dataset, into: Dataset) -> None:
    """The PET's Patient and General Study modules, in UTF-8."""
    copied = Dataset()
    if "SpecificCharacterSet" in header:
        copied.SpecificCharacterSet = header.SpecificCharacterSet
    for keyword in _COPIED:
        if keyword in header:
            copied[keyword] = deepcopy(header[keyword])
    copied.decode()
    for element in copied:
        into[element.tag] = element
    for keyword in REQUIRED:
        if keyword not in into:
            setattr(into, keyword, None)
    if len(str(into.StudyID or "")) > 16:
        into.StudyID = None  # too long for its VR; unlike AccessionNumber it links to nothing
    if _zone(into) is None and "TimezoneOffsetFromUTC" in into:
        del into.TimezoneOffsetFromUTC
    into.SpecificCharacterSet = "ISO_IR 192"


def set_equipment(into: Dataset, style: ReportStyle) -> None:
    """General and Enhanced General Equipment: us, by which our documents know their own."""
    into.Manufacturer = into.ManufacturerModelName = MANUFACTURER
    into.DeviceSerialNumber = style.device_serial_number
    into.SoftwareVersions = style.software_version


def set_content_time(into: Dataset, completed_at: datetime) -> None:
    """ContentDate and ContentTime, in the offset the copied header states, else in local time."""
    local = completed_at.astimezone(_zone(into))
    into.ContentDate = local.strftime("%Y%m%d")
    into.ContentTime = local.strftime("%H%M%S.%f")


def set_contributing_equipment(into: Dataset, report: Report, style: ReportStyle) -> None:
    """IHE AIR's account of the algorithm; its Device UID changes with version and weights."""
    model = report.model
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = code_sequence(PROCESSING_EQUIPMENT)
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = model.name[:64]
    item.DeviceSerialNumber = style.device_serial_number
    item.SoftwareVersions = [model.version[:64], style.software_version]
    item.DeviceUID = device_uid(report, style)
    item.ContributionDateTime = report.completed_at.strftime("%Y%m%d%H%M%S.%f%z")
    item.ContributionDescription = _contribution(model, report.measurement_version)
    into.ContributingEquipmentSequence = [item]


def device_uid(report: Report, style: ReportStyle) -> str:
    """One UID for one pacsnode with one model: other weights, another device."""
    model = report.model
    identity = [model.name, model.version, model.weights_sha256 or "", report.measurement_version]
    identity += [how for how in (model.profile, model.prompt) if how is not None]
    return derived_uid("/".join(identity), f"device/{style.device_serial_number}")


def coding_scheme() -> list[Dataset]:
    """Coding Scheme Identification Sequence (0008,0110): whose scheme 99PACSNODE is."""
    item = Dataset()
    item.CodingSchemeDesignator = PRIVATE_SCHEME
    item.CodingSchemeName = PRIVATE_SCHEME_NAME
    item.CodingSchemeResponsibleOrganization = MANUFACTURER
    return [item]


def references(series: Sequence[ReferencedSeries]) -> list[Dataset]:
    """Hierarchical SOP Instance Reference macro (PS3.3 C.17.2.1): studies, series, instances."""
    studies: dict[str, Dataset] = {}
    for one in series:
        study = studies.get(one.study_instance_uid)
        if study is None:
            study = studies[one.study_instance_uid] = Dataset()
            study.StudyInstanceUID = one.study_instance_uid
            study.ReferencedSeriesSequence = []
        item = Dataset()
        item.SeriesInstanceUID = one.series_instance_uid
        item.ReferencedSOPSequence = [sop_reference(*instance) for instance in one.instances]
        study.ReferencedSeriesSequence.append(item)
    return list(studies.values())


def predecessor_references(predecessors: Sequence[Predecessor]) -> list[Dataset]:
    """Predecessor Documents Sequence (0040,A360)."""
    return references(
        [
            ReferencedSeries(
                earlier.study_instance_uid,
                earlier.series_instance_uid,
                ((earlier.sop_class_uid, earlier.sop_instance_uid),),
            )
            for earlier in predecessors
        ]
    )


def sop_reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def _contribution(model: ModelIdentity, measurement_version: str) -> str:
    parts = [
        f"Words by {model.name} {model.version}",
        *run_of(model),
        f"numbers measured in the mask, definitions {measurement_version}",
    ]
    return "; ".join(parts)[:1024]


def _zone(document: Dataset) -> timezone | None:
    offset = parse_offset(str(document.get("TimezoneOffsetFromUTC", "")))
    return None if offset is None else timezone(offset)
