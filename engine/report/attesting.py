"""A report written anew because a person judged it: verified, or without what was rejected."""

from collections.abc import Collection, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from engine import codes
from engine.errors import InvalidReport
from engine.report import items, modules, walk
from engine.report.change_check import change_problems, tracking_uid
from engine.report.style import Predecessor, derived_uid
from engine.report.wording import (
    DEMONSTRATION,
    UNVERIFIED,
    VERIFIED,
    VERIFIED_BY,
    findings_rejected,
    plain,
    verified_by,
)

LONGEST_NAME = 64  # of a component group of PN, and of LO (PS3.5 6.2)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Who judged a report, when and why. All UIDs of what is written derive from `seed`."""

    seed: str
    name: str
    organization: str
    at: datetime  # aware
    reason: str

    @property
    def observer(self) -> str:
        """The name as a PN value."""
        return short(self.name)


def short(text: str) -> str:
    """Text as a value of PN or LO."""
    return plain(text.replace("\\", " ").replace("=", " "))[:LONGEST_NAME].strip()


def verified(sr: Dataset, judgement: Judgement) -> Dataset:
    """The same content, VERIFIED and FINAL (PS3.3 C.17.2). Raises InvalidReport."""
    new = _anew(sr, judgement)
    new.VerificationFlag = "VERIFIED"
    new.PreliminaryFlag = "FINAL"
    observer = Dataset()
    observer.VerifyingOrganization = short(judgement.organization)
    observer.VerificationDateTime = judgement.at.strftime("%Y%m%d%H%M%S.%f%z")
    observer.VerifyingObserverName = judgement.observer
    observer.VerifyingObserverIdentificationCodeSequence = []  # type 2: no code is known
    new.VerifyingObserverSequence = [observer]
    new.SeriesDescription = UNVERIFIED.sub("verified", str(new.SeriesDescription))
    _open_with(new, verified_by(judgement.name, judgement.organization, judgement.at,
                                judgement.reason))  # fmt: skip
    return _sound(new, sr)


def without(sr: Dataset, rejected: Collection[str], judgement: Judgement) -> Dataset:
    """The report without the findings of these tracking UIDs, unverified. Raises InvalidReport."""
    new = _anew(sr, judgement)
    new.VerificationFlag = "UNVERIFIED"
    new.PreliminaryFlag = "PRELIMINARY"
    if "VerifyingObserverSequence" in new:
        del new.VerifyingObserverSequence
    new.SeriesDescription = VERIFIED.sub("unverified", str(new.SeriesDescription))
    new.ContentSequence = [
        item
        for item in new.ContentSequence
        if not str(item.get("TextValue", "")).startswith(VERIFIED_BY)
    ]
    gone: list[Dataset] = []
    for measurements in walk.named(new, codes.IMAGING_MEASUREMENTS):
        is_rejected = partial(_is_of, rejected)
        gone += filter(is_rejected, walk.children(measurements))
        measurements.ContentSequence = [
            group for group in walk.children(measurements) if not is_rejected(group)
        ]
    _open_with(new, findings_rejected([name_of(group) for group in gone], judgement.name,
                                      judgement.organization, judgement.at,
                                      judgement.reason))  # fmt: skip
    return _sound(new, sr, rejected)


def name_of(group: Dataset) -> str:
    """A finding as a sentence calls it: "Lesion 3 (segment 3)"."""
    named = next(iter(walk.named(group, codes.TRACKING_IDENTIFIER)), Dataset())
    numbers = [
        reference.get("ReferencedSegmentNumber")
        for reference in walk.referenced(walk.named(group, codes.REFERENCED_SEGMENT))
    ]
    segment = f" (segment {numbers[0]})" if numbers else ""
    return f"{plain(str(named.get('TextValue', 'Finding')))}{segment}"


def _is_of(rejected: Collection[str], group: Dataset) -> bool:
    return tracking_uid(group) in rejected


def _anew(sr: Dataset, judgement: Judgement) -> Dataset:
    """The same document under UIDs of its own, naming its predecessors (PS3.3 C.17.2.2)."""
    new = Dataset()
    for element in sr:
        if element.tag.group > 2:
            new[element.tag] = deepcopy(element)
    new.file_meta = FileMetaDataset()
    new.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    new.SOPInstanceUID = judged_uid(judgement.seed)
    new.SeriesInstanceUID = derived_uid(judgement.seed, "sr-series")
    new.PredecessorDocumentsSequence = modules.predecessor_references(
        [own_reference(sr), *_identical(sr)]
    )
    if "IdenticalDocumentsSequence" in new:
        del new.IdenticalDocumentsSequence
    modules.set_content_time(new, judgement.at)
    return new


def judged_uid(seed: str) -> str:
    """SOP Instance UID of the report that is written anew."""
    return derived_uid(seed, "sr")


def own_reference(sr: Dataset) -> Predecessor:
    """A document as others refer to it."""
    return Predecessor(
        str(sr.StudyInstanceUID), str(sr.SeriesInstanceUID), str(sr.SOPClassUID),
        str(sr.SOPInstanceUID),
    )  # fmt: skip


def _identical(sr: Dataset) -> Iterator[Predecessor]:
    for study in sr.get("IdenticalDocumentsSequence") or []:
        for series in study.get("ReferencedSeriesSequence") or []:
            for one in series.get("ReferencedSOPSequence") or []:
                yield Predecessor(
                    str(study.StudyInstanceUID), str(series.SeriesInstanceUID),
                    str(one.ReferencedSOPClassUID), str(one.ReferencedSOPInstanceUID),
                )  # fmt: skip


def _open_with(sr: Dataset, sentence: str) -> None:
    """Put a comment before everything else; only what says 'demonstration' stands before it."""
    content = list(sr.ContentSequence)
    at = 1 if content and content[0].get("TextValue") == DEMONSTRATION else 0
    content.insert(at, items.text(codes.COMMENT, sentence, "CONTAINS"))
    sr.ContentSequence = content


def _sound(new: Dataset, old: Dataset, rejected: Collection[str] = ()) -> Dataset:
    problems = change_problems(new, old, rejected)
    if problems:
        raise InvalidReport(problems)
    return new
