"""The record of a sentence and the mask it was matched with."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from engine.cohort.pairs_sentences import Said
from engine.cohort.record import Record, numbers_of
from engine.cohort.said import grade_in, side_in
from engine.grounding.sites import site_of
from engine.lesion import Segment
from engine.measuring.lesions import measure
from engine.volume import Mask, Scan

SHARES = (("train", 80), ("validation", 10), ("test", 10))  # percent of the patients


@dataclass(frozen=True, slots=True)
class Exam:
    """An examination under the name it has in the dataset, and the split it belongs to.

    `interpret` reads what a sentence takes a lesion for; without it that is not known.
    """

    study_id: str
    split: str
    source: str = "report"
    interpret: Callable[[str], str | None] | None = None


def split_of(patient: str) -> str:
    """The split of all examinations of a patient: by digest, so that it never changes."""
    digest = hashlib.sha256(f"split {patient}".encode()).digest()
    at = int.from_bytes(digest[:8], "big") % 100
    for split, percent in SHARES:
        if at < percent:
            return split
        at -= percent
    return SHARES[0][0]


def study_name(key: str) -> str:
    """A name for a study that tells nothing of the key it is made from."""
    return "study-" + hashlib.sha256(f"study {key}".encode()).hexdigest()[:16]


def record_of_pair(said: Said, mask: Mask, scan: Scan, exam: Exam, number: int) -> Record:
    """Site, side, grade and interpretation by the words; every number by the mask."""
    located = site_of(said.text)
    segment = Segment(number, f"lesion {number}", "lesion", mask, "", "")
    return Record(
        study_id=exam.study_id,
        lesion_id=f"lesion-{number}",
        split=exam.split,
        site=located.name,
        organ_group=located.organ_group,
        region=located.region,
        laterality=side_in(located),
        uptake=grade_in(said.text),
        interpretation=exam.interpret(said.text) if exam.interpret else None,
        text=said.text,
        measured=numbers_of(measure(segment, scan)),
        source=exam.source,
    )
