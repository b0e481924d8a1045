"""The rows of TID 1500 and 1411 as we write them: what, how often, how related."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.sr.coding import Code

from engine import codes
from engine.report import walk

MANY = 10_000


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a template: a concept, its value type, its relationship, how often it may be."""

    concept: Code
    value_type: str
    relationship: str
    least: int = 1
    most: int = 1


ROOT = (
    Row(codes.LANGUAGE, "CODE", "HAS CONCEPT MOD"),
    Row(codes.OBSERVER_TYPE, "CODE", "HAS OBS CONTEXT"),
    Row(codes.DEVICE_OBSERVER_UID, "UIDREF", "HAS OBS CONTEXT"),
    Row(codes.DEVICE_OBSERVER_NAME, "TEXT", "HAS OBS CONTEXT"),
    Row(codes.DEVICE_OBSERVER_MANUFACTURER, "TEXT", "HAS OBS CONTEXT"),
    Row(codes.DEVICE_OBSERVER_MODEL_NAME, "TEXT", "HAS OBS CONTEXT"),
    Row(codes.DEVICE_OBSERVER_SERIAL_NUMBER, "TEXT", "HAS OBS CONTEXT"),
    # one: the standard allows more, PixelMed's validator, which IHE tests with, does not
    Row(codes.PROCEDURE_REPORTED, "CODE", "HAS CONCEPT MOD"),
    Row(codes.IMAGING_MEASUREMENTS, "CONTAINER", "CONTAINS"),
    Row(codes.COMMENT, "TEXT", "CONTAINS", least=0, most=MANY),
)
MEASUREMENTS = (Row(codes.MEASUREMENT_GROUP, "CONTAINER", "CONTAINS", most=MANY),)
GROUP = (
    Row(codes.TRACKING_IDENTIFIER, "TEXT", "HAS OBS CONTEXT"),
    Row(codes.TRACKING_UNIQUE_IDENTIFIER, "UIDREF", "HAS OBS CONTEXT"),
    Row(codes.FINDING, "CODE", "CONTAINS"),
    Row(codes.REFERENCED_SEGMENT, "IMAGE", "CONTAINS"),
    Row(codes.SOURCE_SERIES_FOR_SEGMENTATION, "UIDREF", "CONTAINS"),
    Row(codes.FINDING_SITE, "CODE", "HAS CONCEPT MOD", least=0),
    Row(codes.ALGORITHM_NAME, "TEXT", "HAS CONCEPT MOD"),
    Row(codes.ALGORITHM_VERSION, "TEXT", "HAS CONCEPT MOD"),
    Row(codes.ALGORITHM_PARAMETERS, "TEXT", "HAS CONCEPT MOD", least=0, most=MANY),
    Row(codes.SUV_BODY_WEIGHT, "NUM", "CONTAINS", least=0, most=3),
    Row(codes.METABOLIC_VOLUME, "NUM", "CONTAINS"),
    Row(codes.TOTAL_LESION_GLYCOLYSIS, "NUM", "CONTAINS", least=0),
    Row(codes.LONG_AXIS, "NUM", "CONTAINS", least=0),
    Row(codes.SHORT_AXIS, "NUM", "CONTAINS", least=0),
    Row(codes.SUV_REFUSED, "CODE", "CONTAINS", least=0),
    Row(codes.MODEL_UNABLE, "CODE", "CONTAINS", least=0),
    Row(codes.QUALITY_FLAG, "CODE", "CONTAINS", least=0, most=MANY),
    Row(codes.CONSISTENCY_FLAG, "CODE", "CONTAINS", least=0, most=MANY),
    Row(codes.COMMENT, "TEXT", "CONTAINS"),
)
SITE = (Row(codes.LATERALITY, "CODE", "HAS CONCEPT MOD", least=0),)
NUM = (
    Row(codes.DERIVATION, "CODE", "HAS CONCEPT MOD", least=0),
    Row(codes.MEASUREMENT_METHOD, "CODE", "HAS CONCEPT MOD", least=0),
    Row(codes.IMAGE_REGION, "SCOORD", "INFERRED FROM", least=0),
)

_VALUE = {
    "CODE": "ConceptCodeSequence",
    "CONTAINER": "ContentSequence",
    "IMAGE": "ReferencedSOPSequence",
    "NUM": "MeasuredValueSequence",
    "SCOORD": "GraphicData",
    "TEXT": "TextValue",
    "UIDREF": "UID",
}


def row_problems(parent: Dataset, rows: tuple[Row, ...], where: str) -> Iterator[str]:
    """What breaks the rows under one item: missing, too many, misplaced, empty, or unknown."""
    for row in rows:
        found = walk.named(parent, row.concept)
        name = row.concept.meaning
        if not row.least <= len(found) <= row.most:
            yield f"{where}: {len(found)} items {name!r}, {row.least} to {row.most} expected"
        for item in found:
            yield from _item_problems(item, row, f"{where}: {name!r}")
    for item in walk.children(parent):
        name_code = walk.concept(item)
        if not any(codes.same(name_code, row.concept) for row in rows):
            meaning = name_code.meaning if name_code is not None else "an item without a name"
            yield f"{where}: {meaning!r} has no place here"


def _item_problems(item: Dataset, row: Row, what: str) -> Iterator[str]:
    if item.get("ValueType") != row.value_type:
        yield f"{what} is {item.get('ValueType')}, {row.value_type} expected"
    if item.get("RelationshipType") != row.relationship:
        yield f"{what} is related by {item.get('RelationshipType')}, {row.relationship} expected"
    if not item.get(_VALUE[row.value_type]):
        yield f"{what} has no value"
