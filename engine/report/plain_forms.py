"""The same report for peers that take no Comprehensive 3D SR: made of the SR that is kept, alone.

A Comprehensive SR has the same content: what TID 1500 says of a lesion here needs no SCOORD3D
(PS3.3 A.35.3). A Basic Text SR (A.35.1) has no numbers and no graphics, so that its sentences,
in the sections of TID 2000, say everything. Both name the SR as a predecessor, for their content
is included in it (C.17.2); Identical Documents are copies in other studies (C.17.2.2).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Final, Literal

from pydicom import Dataset
from pydicom.uid import UID, BasicTextSRStorage, ComprehensiveSRStorage

from engine import codes
from engine.finding import printed, printed_cm, printed_cm3
from engine.report import items, modules, walk
from engine.report.read import ReadFinding, read_findings
from engine.report.style import Predecessor, derived_uid

Form = Literal["comprehensive", "text"]
CLASSES: Final[Mapping[Form, UID]] = {
    "comprehensive": ComprehensiveSRStorage,
    "text": BasicTextSRStorage,
}
_SERIES_AFTER: Final[Mapping[Form, int]] = {"comprehensive": 1, "text": 2}
NEW_LINE = "\r\n"  # PS3.5 6.1.3: in UT both belong together
_CONTEXT = (
    codes.LANGUAGE,
    codes.OBSERVER_TYPE,
    codes.DEVICE_OBSERVER_UID,
    codes.DEVICE_OBSERVER_NAME,
    codes.DEVICE_OBSERVER_MANUFACTURER,
    codes.DEVICE_OBSERVER_MODEL_NAME,
    codes.DEVICE_OBSERVER_SERIAL_NUMBER,
    codes.PROCEDURE_REPORTED,
)


def form_uid(sr_uid: str, form: Form) -> str:
    """SOP Instance UID of a form of the SR: the same again for the same report."""
    return derived_uid(sr_uid, form)


def in_form(sr: Dataset, form: Form, earlier: Sequence[Predecessor] = ()) -> Dataset:
    """The report of `sr` in another class; `earlier` are documents of this form it replaces."""
    other = deepcopy(sr)
    other.SOPClassUID = CLASSES[form]
    other.SOPInstanceUID = form_uid(sr.SOPInstanceUID, form)
    other.SeriesInstanceUID = derived_uid(sr.SOPInstanceUID, f"{form}-series")
    other.SeriesNumber = int(sr.SeriesNumber) + _SERIES_AFTER[form]
    other.PredecessorDocumentsSequence = modules.predecessor_references([_named(sr), *earlier])
    if form == "text":
        _tell(other, sr)
    return other


def _named(sr: Dataset) -> Predecessor:
    return Predecessor(
        str(sr.StudyInstanceUID), str(sr.SeriesInstanceUID), str(sr.SOPClassUID),
        str(sr.SOPInstanceUID),
    )  # fmt: skip


def _tell(text: Dataset, sr: Dataset) -> None:
    """Put sentences in the place of the content tree."""
    read = read_findings(sr)
    groups = [item for item in walk.descendants(sr) if _is_group(item)]
    opening, notes = _comments(sr)
    told = [_finding(finding, group) for finding, group in zip(read.findings, groups, strict=True)]
    sections = [
        (codes.SUMMARY, [_comment(each) for each in (standing(sr), *opening)]),
        (codes.FINDINGS, told),
        (codes.PROCEDURE_DESCRIPTIONS, [_procedure(each) for each in notes]),
    ]
    content = items.container(
        codes.DIAGNOSTIC_IMAGING_REPORT,
        [
            *(deepcopy(item) for name in _CONTEXT for item in walk.named(sr, name)),
            *(items.container(name, inside, "CONTAINS") for name, inside in sections if inside),
        ],
    )
    content.ContentTemplateSequence = [items.template("2000")]
    text.update(content)


def _comments(sr: Dataset) -> tuple[list[str], list[str]]:
    """What stands before the measurements, and is to be read first, and what stands after them."""
    before: list[str] = []
    after: list[str] = []
    told = before
    for item in walk.children(sr):
        if codes.same(walk.concept(item), codes.IMAGING_MEASUREMENTS):
            told = after
        elif codes.same(walk.concept(item), codes.COMMENT):
            told.append(str(item.TextValue))
    return before, after


def _is_group(item: Dataset) -> bool:
    return codes.same(walk.concept(item), codes.MEASUREMENT_GROUP)


def standing(sr: Dataset) -> str:
    """What a reader must know first: who wrote the document, and whether a person read it."""
    equipment = next(iter(sr.get("ContributingEquipmentSequence") or []), Dataset())
    model = str(equipment.get("ManufacturerModelName", "")) or "software"
    written = f"written by software (pacsnode {sr.get('SoftwareVersions', '')}, words by {model})"
    if sr.get("VerificationFlag") == "VERIFIED":
        return f"VERIFIED by a person; {written}. Numbers are measured in the mask."
    return (
        f"UNVERIFIED: {written}, and read by no person. Numbers are measured in the mask. Not a"
        " diagnosis."
    )


def _comment(sentence: str) -> Dataset:
    return items.text(codes.COMMENT, sentence, "CONTAINS")


def _procedure(sentence: str) -> Dataset:
    return items.text(codes.PROCEDURE_DESCRIPTION, sentence, "CONTAINS")


def _finding(finding: ReadFinding, group: Dataset) -> Dataset:
    """One TEXT that says all of a lesion, on the PET slice of its hottest voxel."""
    item = items.text(codes.FINDING, NEW_LINE.join(lesion_lines(finding)), "CONTAINS")
    scoords = (each for each in walk.descendants(group) if each.get("ValueType") == "SCOORD")
    slices = [image for scoord in scoords for image in walk.of_type(scoord, "IMAGE")][:1]
    if slices:
        image = deepcopy(slices[0])
        image.RelationshipType = "INFERRED FROM"
        image.ConceptNameCodeSequence = items.code_sequence(codes.SOURCE_IMAGE)
        item.ContentSequence = [image]
    return item


def lesion_lines(finding: ReadFinding) -> Iterator[str]:
    """Number, words, site, values and refusals of a lesion, a line each."""
    name = name_of(finding)
    yield finding.text if name in finding.text else f"{name}: {finding.text}"
    site = [code.meaning for code in (finding.laterality, finding.site) if code is not None]
    if site:
        yield f"Site: {' '.join(site)}."
    numbers = "; ".join(_numbers(finding.measured))
    if numbers:
        yield f"Measured: {numbers}."
    for question, answer in finding.evaluations:
        if question.scheme_designator == codes.PRIVATE_SCHEME:
            yield f"{question.meaning}: {answer.meaning}."


def name_of(finding: ReadFinding) -> str:
    """ "Lesion 3": as it is tracked, or as its words name it where that is a viewer's own."""
    for said in (finding.tracking_identifier or "", finding.text):
        named = re.search(r"\b(Lesion|Context) \d+\b", said)
        if named is not None:
            return named[0]
    return f"Segment {finding.segment_number}"


def _numbers(measured: Mapping[str, float]) -> Iterator[str]:
    suv = {"suv_max": "SUVmax", "suv_mean": "SUVmean", "suv_peak": "SUVpeak"}
    stated = [f"{word} {printed(measured[key], 1)}" for key, word in suv.items() if key in measured]
    if stated:
        yield f"{', '.join(stated)} g/ml (body weight)"
    if "volume_cm3" in measured:
        yield f"volume {printed_cm3(measured['volume_cm3'])} cm3"
    if "total_lesion_glycolysis_g" in measured:
        glycolysis = printed(measured["total_lesion_glycolysis_g"], 1)
        yield f"total lesion glycolysis {glycolysis} g"
    axes = [measured[key] for key in ("long_axis_mm", "short_axis_mm") if key in measured]
    if axes:
        yield f"{' x '.join(map(printed_cm, axes))} cm in the axial slice"
