"""SR content items (PS3.3 C.17.3), one function a value type."""

from collections.abc import Sequence
from typing import Literal

from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.valuerep import format_number_as_ds

from engine.volume import ImageReference

Relationship = Literal[
    "CONTAINS",
    "HAS OBS CONTEXT",
    "HAS CONCEPT MOD",
    "INFERRED FROM",
    "SELECTED FROM",
]


def code_sequence(code: Code) -> list[Dataset]:
    """A code as a sequence of one item; a value over 16 characters is a Long Code Value."""
    item = Dataset()
    if len(code.value) > 16:
        item.LongCodeValue = code.value
    else:
        item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    if code.scheme_version:
        item.CodingSchemeVersion = code.scheme_version
    item.CodeMeaning = code.meaning
    return [item]


def template(identifier: str) -> Dataset:
    """Content Template Sequence item (PS3.3 C.18.8) of a template of DICOM's own."""
    item = Dataset()
    item.MappingResource = "DCMR"
    item.TemplateIdentifier = identifier
    return item


def container(
    name: Code, children: Sequence[Dataset], relationship: Relationship | None = None
) -> Dataset:
    """A heading; SEPARATE, since Weasis drops the labels of CONTINUOUS ones."""
    item = _item("CONTAINER", name, relationship)
    item.ContinuityOfContent = "SEPARATE"
    item.ContentSequence = list(children)
    return item


def code(
    name: Code, value: Code, relationship: Relationship, children: Sequence[Dataset] = ()
) -> Dataset:
    item = _item("CODE", name, relationship)
    item.ConceptCodeSequence = code_sequence(value)
    if children:
        item.ContentSequence = list(children)
    return item


def text(name: Code, value: str, relationship: Relationship) -> Dataset:
    item = _item("TEXT", name, relationship)
    item.TextValue = value
    return item


def pname(name: Code, value: str, relationship: Relationship) -> Dataset:
    item = _item("PNAME", name, relationship)
    item.PersonName = value
    return item


def composite(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    """A document that a key object selection points at."""
    item = _item("COMPOSITE", None, "CONTAINS")
    item.ReferencedSOPSequence = [_reference(sop_class_uid, sop_instance_uid)]
    return item


def uidref(name: Code, value: str, relationship: Relationship) -> Dataset:
    item = _item("UIDREF", name, relationship)
    item.UID = value
    return item


def num(name: Code, value: float, unit: Code, children: Sequence[Dataset] = ()) -> Dataset:
    """A number with its unit: as a decimal string, and as the exact float64 beside it."""
    measured = Dataset()
    measured.NumericValue = format_number_as_ds(float(value))
    measured.FloatingPointValue = float(value)
    measured.MeasurementUnitsCodeSequence = code_sequence(unit)
    item = _item("NUM", name, "CONTAINS")
    item.MeasuredValueSequence = [measured]
    if children:
        item.ContentSequence = list(children)
    return item


def polyline(
    name: Code, points: Sequence[tuple[float, float]], image: Dataset, relationship: Relationship
) -> Dataset:
    """Image-relative (column, row) points on the image that the item is SELECTED FROM."""
    item = _item("SCOORD", name, relationship)
    item.GraphicType = "POLYLINE"
    item.GraphicData = [float(value) for point in points for value in point]
    item.ContentSequence = [image]
    return item


def slice_image(reference: ImageReference) -> Dataset:
    """The image, and its frame where it has several, that coordinates are SELECTED FROM."""
    item = _item("IMAGE", None, "SELECTED FROM")
    referenced = _reference(reference.sop_class_uid, reference.sop_instance_uid)
    if reference.frame_number is not None:
        referenced.ReferencedFrameNumber = reference.frame_number
    item.ReferencedSOPSequence = [referenced]
    return item


def segment(name: Code, sop_class_uid: str, sop_instance_uid: str, number: int) -> Dataset:
    """A segment of a SEG, without frame numbers (dciodvfy wants none)."""
    item = _item("IMAGE", name, "CONTAINS")
    referenced = _reference(sop_class_uid, sop_instance_uid)
    referenced.ReferencedSegmentNumber = number
    item.ReferencedSOPSequence = [referenced]
    return item


def _item(value_type: str, name: Code | None, relationship: Relationship | None) -> Dataset:
    item = Dataset()
    if relationship is not None:
        item.RelationshipType = relationship
    item.ValueType = value_type
    if name is not None:
        item.ConceptNameCodeSequence = code_sequence(name)
    return item


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item
