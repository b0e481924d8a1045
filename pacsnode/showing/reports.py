"""What a stored SR says, read back from its own bytes: findings, who wrote them, its standing."""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

from pydicom import Dataset, dcmread

from engine import codes
from engine.finding import printed, printed_cm, printed_cm3
from engine.reading.part10 import FOREIGN
from engine.report import walk
from engine.report.quantities import QUANTITIES
from engine.report.read import ReadFinding, read_findings
from storage.records import Instance

_PRINTED: Final[Mapping[str, Callable[[float], str]]] = {
    "volume_cm3": printed_cm3,
    "long_axis_mm": printed_cm,
    "short_axis_mm": printed_cm,
}
_NUMBERED: Final = re.compile(r"(Lesion|Context) (\d+)")


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement: `value` in `unit`, and `shown` as words show it (lengths in cm)."""

    name: str
    value: float
    unit: str
    shown: str


@dataclass(frozen=True, slots=True)
class FindingShown:
    """One measurement group. `flags` are kebab-case codes, the reasons for absent SUVs among them.

    `colour` is the place of a lesion among the lesions, as in the projection; None for context.
    """

    number: int | None
    tracking_uid: str | None
    name: str
    site: str
    is_context: bool
    colour: int | None
    text: str
    measured: dict[str, Measured]
    flags: tuple[str, ...]
    written_by: str


@dataclass(frozen=True, slots=True)
class ReportShown:
    """An SR of ours; `is_current` says that no later one takes its place."""

    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    kept_at: datetime  # aware, UTC
    title: str
    verification: str  # VerificationFlag (0040,A493)
    verified_by: tuple[str, ...]
    completion: str  # CompletionFlag (0040,A491)
    model: str
    model_version: str
    contribution: str
    predecessors: tuple[str, ...]
    findings: tuple[FindingShown, ...]
    comments: tuple[str, ...]
    download: str  # WADO-RS path of the object, from the root of this web side
    is_current: bool = True
    is_rejected: bool = False


def readable(instance: Instance) -> ReportShown | None:
    """What the SR says; None where its file cannot be read."""
    read = _read(instance.sha256, instance.path)
    if read is None:
        return None
    return replace(
        read,
        study_instance_uid=instance.study_instance_uid,
        series_instance_uid=instance.series_instance_uid,
        kept_at=instance.received_at,
        download=download_path(instance),
    )


@lru_cache(maxsize=64)
def _read(sha256: str, path: Path) -> ReportShown | None:
    """By digest: the bytes of a kept object never change."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values, which may be the patient's
            return _shown(dcmread(path))
    except FOREIGN:
        return None


def _shown(document: Dataset) -> ReportShown:
    report = read_findings(document)
    groups = [
        item
        for item in walk.descendants(document)
        if codes.same(walk.concept(item), codes.MEASUREMENT_GROUP)
    ]
    equipment = _first(document, "ContributingEquipmentSequence")
    versions = equipment.get("SoftwareVersions") or ""
    return ReportShown(
        sop_instance_uid=report.sop_instance_uid,
        series_instance_uid="",
        study_instance_uid=report.study_instance_uid,
        kept_at=datetime.now(UTC),
        title=str(document.get("SeriesDescription", "")) or "Structured report",
        verification=str(document.get("VerificationFlag", "UNVERIFIED")),
        verified_by=tuple(
            str(item.get("VerifyingObserverName") or item.get("VerifyingOrganization") or "")
            for item in document.get("VerifyingObserverSequence", ())
        ),
        completion=str(document.get("CompletionFlag", "")),
        model=str(equipment.get("ManufacturerModelName", "")),
        model_version=versions if isinstance(versions, str) else str(versions[0]),
        contribution=str(equipment.get("ContributionDescription", "")),
        predecessors=_predecessors(document),
        findings=_findings(report.findings, groups),
        comments=report.comments,
        download="",
    )


def _findings(read: Sequence[ReadFinding], groups: Sequence[Dataset]) -> tuple[FindingShown, ...]:
    lesions = 0
    shown = []
    for finding, group in zip(read, groups, strict=True):
        numbered = _NUMBERED.fullmatch(finding.tracking_identifier or "")
        is_context = numbered is not None and numbered[1] == "Context"
        shown.append(
            FindingShown(
                number=int(numbered[2]) if numbered else finding.segment_number,
                tracking_uid=finding.tracking_uid,
                name=finding.finding.meaning if finding.finding else "Finding",
                site=" ".join(
                    code.meaning for code in (finding.laterality, finding.site) if code
                ).capitalize(),
                is_context=is_context,
                colour=None if is_context else lesions,
                text=finding.text,
                measured=_measured(finding.measured),
                flags=finding.flags,
                written_by=_algorithm(group),
            )
        )
        lesions += not is_context
    return tuple(shown)


def _measured(stated: Mapping[str, float]) -> dict[str, Measured]:
    return {
        quantity.name: Measured(
            quantity.name,
            stated[quantity.name],
            quantity.unit.value,
            _PRINTED.get(quantity.name, _one_decimal)(stated[quantity.name]),
        )
        for quantity in QUANTITIES
        if quantity.name in stated
    }


def _one_decimal(value: float) -> str:
    return printed(value, 1)


def _algorithm(group: Dataset) -> str:
    said = [
        str(item.get("TextValue", ""))
        for concept in (codes.ALGORITHM_NAME, codes.ALGORITHM_VERSION)
        for item in walk.named(group, concept)[:1]
    ]
    return " ".join(part for part in said if part)


def _predecessors(document: Dataset) -> tuple[str, ...]:
    return tuple(
        str(item.get("ReferencedSOPInstanceUID", ""))
        for study in document.get("PredecessorDocumentsSequence", ())
        for series in study.get("ReferencedSeriesSequence", ())
        for item in series.get("ReferencedSOPSequence", ())
    )


def _first(document: Dataset, keyword: str) -> Dataset:
    return next(iter(document.get(keyword) or ()), Dataset())


def download_path(instance: Instance) -> str:
    """Where the object itself is had, alone and as a file (PS3.18 10.4.1.1, 8.3.3.1)."""
    return (
        f"/dicom-web/studies/{instance.study_instance_uid}/series/{instance.series_instance_uid}"
        f"/instances/{instance.sop_instance_uid}?accept=application/dicom"
    )
