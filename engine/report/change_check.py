"""change_problems: whether a report that was written anew says what its predecessor said."""

from collections.abc import Collection, Iterator

from pydicom import Dataset

from engine import codes
from engine.report import walk
from engine.report.check import groups_of, problems_of
from engine.report.wording import FINDINGS_REJECTED_BY, VERIFIED_BY
from engine.volume import ImageReference

_MAY_CHANGE = frozenset({
    "SOPInstanceUID", "SeriesInstanceUID", "SeriesDescription", "ContentDate", "ContentTime",
    "PreliminaryFlag", "VerificationFlag", "VerifyingObserverSequence", "ContentSequence",
    "PredecessorDocumentsSequence", "IdenticalDocumentsSequence",
})  # fmt: skip


def change_problems(new: Dataset, old: Dataset, rejected: Collection[str] = ()) -> tuple[str, ...]:
    """Every rule that `new` breaks, by itself and beside `old`; empty when it may leave.

    Beside the opening sentences it must have every item of `old` but the groups of the tracking
    UIDs that are `rejected`, and every attribute.
    """
    found = list(problems_of(new, mask=None, images=tuple(_slices(old))))
    if new.get("SOPInstanceUID") == old.get("SOPInstanceUID"):
        found.append("The new document has the SOP Instance UID of its predecessor")
    named = {
        str(one.get("ReferencedSOPInstanceUID"))
        for study in new.get("PredecessorDocumentsSequence") or []
        for series in study.get("ReferencedSeriesSequence") or []
        for one in series.get("ReferencedSOPSequence") or []
    }
    if str(old.get("SOPInstanceUID")) not in named:
        found.append("PredecessorDocumentsSequence does not name the predecessor")
    found += _attribute_problems(new, old)
    if _content(new, ()) != _content(old, rejected):
        found.append("The content differs from that of the predecessor")
    if not set(rejected) <= {tracking_uid(group) for group in groups_of(old)}:
        found.append("A finding that was rejected is not in the predecessor")
    return tuple(dict.fromkeys(found))


def tracking_uid(group: Dataset) -> str | None:
    """The Tracking Unique Identifier of a measurement group."""
    stated = [item.get("UID") for item in walk.named(group, codes.TRACKING_UNIQUE_IDENTIFIER)]
    return str(stated[0]) if stated else None


def _attribute_problems(new: Dataset, old: Dataset) -> Iterator[str]:
    for keyword in sorted({one.keyword for each in (new, old) for one in each} - _MAY_CHANGE):
        if keyword and new.get(keyword) != old.get(keyword):
            yield f"{keyword} differs from that of the predecessor"


def _content(sr: Dataset, rejected: Collection[str]) -> list[Dataset]:
    """The items of a document, its groups in the place of what holds them; no judgements."""
    found = []
    for item in walk.children(sr):
        if str(item.get("TextValue", "")).startswith((VERIFIED_BY, FINDINGS_REJECTED_BY)):
            continue
        if not codes.same(walk.concept(item), codes.IMAGING_MEASUREMENTS):
            found.append(item)
            continue
        found += [one for one in walk.children(item) if tracking_uid(one) not in rejected]
    return found


def _slices(sr: Dataset) -> Iterator[ImageReference]:
    """The images that the coordinates of a document lie on."""
    selected = [
        item for item in walk.descendants(sr) if item.get("RelationshipType") == "SELECTED FROM"
    ]
    for one in walk.referenced(selected):
        yield ImageReference(
            str(one.get("ReferencedSOPClassUID")), str(one.get("ReferencedSOPInstanceUID")),
            one.get("ReferencedFrameNumber"), 0,
        )  # fmt: skip
