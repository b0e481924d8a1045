"""read_findings: what any TID 1500 SR says, ours or another tool's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite

from pydicom import Dataset
from pydicom.sr.coding import Code

from engine import codes
from engine.report import walk
from engine.report.quantities import QUANTITIES, Quantity

# how tools before 2020 wrote the unit of SUVbw
_OLD_UNITS = {"{SUVbw}g/ml": codes.GRAM_PER_ML_SUVBW}
_NOT_QUESTIONS = (codes.FINDING, codes.FINDING_SITE, codes.MEASUREMENT_METHOD)
_PER_CM3 = {"cm3": 1, "ml": 1, "mL": 1, "mm3": 1000}


@dataclass(frozen=True, slots=True)
class ReadValue:
    """One measurement as the document states it; `value` is None where it states none."""

    concept: Code
    value: float | None
    unit: Code | None
    derivation: Code | None = None
    method: Code | None = None


@dataclass(frozen=True, slots=True)
class ReadFinding:
    """One measurement group. `evaluations` are (question, answer) codes, our flags among them."""

    tracking_identifier: str | None
    tracking_uid: str | None
    finding: Code | None
    site: Code | None
    laterality: Code | None
    segmentation_uid: str | None
    segment_number: int | None
    text: str
    values: tuple[ReadValue, ...]
    evaluations: tuple[tuple[Code, Code], ...]

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags and refusals of our own scheme."""
        return tuple(
            answer.value
            for _, answer in self.evaluations
            if answer.scheme_designator == codes.PRIVATE_SCHEME
        )

    @property
    def measured(self) -> Mapping[str, float]:
        """The values that Measurements knows, under its field names and in their units."""
        stated: dict[str, float] = {}
        for read in self.values:
            name, value = _as_measured(read)
            if name and value is not None:
                stated.setdefault(name, value)
        return stated


@dataclass(frozen=True, slots=True)
class ReadReport:
    """What an SR says: its groups in order, and the comments on the whole."""

    title: Code | None
    sop_instance_uid: str
    study_instance_uid: str
    findings: tuple[ReadFinding, ...]
    comments: tuple[str, ...]


def read_findings(sr: Dataset) -> ReadReport:
    """The groups of a TID 1500 SR; a document without any gives none."""
    groups = [
        item
        for item in walk.descendants(sr)
        if codes.same(walk.concept(item), codes.MEASUREMENT_GROUP)
    ]
    return ReadReport(
        title=walk.concept(sr),
        sop_instance_uid=str(sr.get("SOPInstanceUID", "")),
        study_instance_uid=str(sr.get("StudyInstanceUID", "")),
        findings=tuple(_finding(group) for group in groups),
        comments=tuple(_texts(sr)),
    )


def _finding(group: Dataset) -> ReadFinding:
    site = _first(group, codes.FINDING_SITE)
    segmentation_uid, segment_number = _segment(group)
    return ReadFinding(
        tracking_identifier=_value(group, codes.TRACKING_IDENTIFIER, "TextValue"),
        tracking_uid=_value(group, codes.TRACKING_UNIQUE_IDENTIFIER, "UID"),
        finding=_code(_first(group, codes.FINDING)),
        site=_code(site),
        laterality=_code(_first(site, codes.LATERALITY)) if site is not None else None,
        segmentation_uid=segmentation_uid,
        segment_number=segment_number,
        text=" ".join(_texts(group)),
        values=tuple(_values(group)),
        evaluations=tuple(_evaluations(group)),
    )


def _values(group: Dataset) -> Iterator[ReadValue]:
    for item in walk.of_type(group, "NUM"):
        name = walk.concept(item)
        if name is None:
            continue
        measured = next(iter(item.get("MeasuredValueSequence") or []), Dataset())
        unit = walk.code_in(measured, "MeasurementUnitsCodeSequence")
        yield ReadValue(
            concept=name,
            value=_number(measured),
            unit=_OLD_UNITS.get(unit.value, unit) if unit is not None else None,
            derivation=_code(_first(item, codes.DERIVATION)),
            method=_code(_first(item, codes.MEASUREMENT_METHOD)),
        )


def _number(measured: Dataset) -> float | None:
    """The exact float where there is one, else the decimal string."""
    for keyword in ("FloatingPointValue", "NumericValue"):
        try:
            value = float(measured[keyword].value)
        except (KeyError, TypeError, ValueError):
            continue
        if isfinite(value):
            return value
    return None


def _as_measured(read: ReadValue) -> tuple[str | None, float | None]:
    unit = read.unit.value if read.unit is not None else ""
    if any(codes.same(read.concept, one) for one in (codes.METABOLIC_VOLUME, codes.VOLUME)):
        if unit not in _PER_CM3 or read.value is None:
            return None, None
        return "volume_cm3", read.value / _PER_CM3[unit]
    for quantity in QUANTITIES:
        if codes.same(quantity.concept, read.concept) and _same_derivation(quantity, read):
            return (quantity.name, read.value) if unit == quantity.unit.value else (None, None)
    return None, None


def _same_derivation(quantity: Quantity, read: ReadValue) -> bool:
    if quantity.derivation is None:
        return read.derivation is None
    return codes.same(quantity.derivation, read.derivation)


def _segment(group: Dataset) -> tuple[str | None, int | None]:
    for reference in walk.referenced(walk.of_type(group, "IMAGE")):
        number = reference.get("ReferencedSegmentNumber")
        if number is not None:
            first = number if isinstance(number, int) else next(iter(number), None)
            return str(reference.get("ReferencedSOPInstanceUID", "")), first
    return None, None


def _evaluations(group: Dataset) -> Iterator[tuple[Code, Code]]:
    for item in walk.of_type(group, "CODE"):
        name, answer = walk.concept(item), _code(item)
        if name is None or answer is None or any(codes.same(name, one) for one in _NOT_QUESTIONS):
            continue
        yield name, answer


def _texts(item: Dataset) -> Iterator[str]:
    for child in walk.of_type(item, "TEXT"):
        if child.get("RelationshipType") == "CONTAINS" and child.get("TextValue"):
            yield str(child.TextValue)


def _first(item: Dataset, name: Code) -> Dataset | None:
    return next(iter(walk.named(item, name)), None)


def _code(item: Dataset | None) -> Code | None:
    return walk.code_in(item, "ConceptCodeSequence") if item is not None else None


def _value(group: Dataset, name: Code, keyword: str) -> str | None:
    item = _first(group, name)
    value = item.get(keyword) if item is not None else None
    return str(value) if value else None
