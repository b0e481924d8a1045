"""What breaks a rule of an SR's state: verified by a person who is named, or by nobody."""

from collections.abc import Iterator

from pydicom import Dataset

from engine import codes
from engine.report import walk
from engine.report.wording import UNVERIFIED, VERIFIED_BY

_PRELIMINARY = {"UNVERIFIED": "PRELIMINARY", "VERIFIED": "FINAL"}
_OF_AN_OBSERVER = ("VerifyingObserverName", "VerifyingOrganization", "VerificationDateTime")


def state_problems(sr: Dataset) -> Iterator[str]:
    """PS3.3 C.17.2: flags, observers, predecessor and wording must say one thing."""
    stated = sr.get("VerificationFlag")
    if stated not in _PRELIMINARY:
        yield f"VerificationFlag is {stated!r}, 'UNVERIFIED' or 'VERIFIED' expected"
        return
    wanted = _PRELIMINARY[stated]
    if sr.get("PreliminaryFlag") != wanted:
        yield f"PreliminaryFlag is {sr.get('PreliminaryFlag')!r}, {wanted!r} expected"
    yield from _unverified_problems(sr) if stated == "UNVERIFIED" else _verified_problems(sr)


def _unverified_problems(sr: Dataset) -> Iterator[str]:
    if sr.get("VerifyingObserverSequence") or _sentences(sr):
        yield "A person is named as having verified an unverified document"


def _verified_problems(sr: Dataset) -> Iterator[str]:
    observers = list(sr.get("VerifyingObserverSequence") or [])
    if not observers:
        yield "VerifyingObserverSequence is absent or empty in a verified document"
    for observer in observers:
        for keyword in _OF_AN_OBSERVER:
            if not observer.get(keyword):
                yield f"{keyword} is absent or empty in VerifyingObserverSequence"
        if "VerifyingObserverIdentificationCodeSequence" not in observer:
            yield "VerifyingObserverIdentificationCodeSequence is absent"
    if len(_sentences(sr)) != 1:
        yield "A verified document does not open with one sentence on who verified it"
    if not sr.get("PredecessorDocumentsSequence"):
        yield "PredecessorDocumentsSequence is absent or empty in a verified document"
    if UNVERIFIED.search(str(sr.get("SeriesDescription", ""))):
        yield "SeriesDescription calls a verified document unverified"


def _sentences(sr: Dataset) -> list[str]:
    return [text for text in _opening(sr) if text.startswith(VERIFIED_BY)]


def _opening(sr: Dataset) -> Iterator[str]:
    """The comments on the document as a whole that come before anything else."""
    for item in walk.children(sr):
        if not codes.same(walk.concept(item), codes.COMMENT):
            return
        yield str(item.get("TextValue", ""))
