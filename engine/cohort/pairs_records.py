"""The record of a sentence and the mask it was matched with."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from engine.codes import BILATERAL, LEFT, RIGHT, same
from engine.cohort.pairs_sentences import Said
from engine.cohort.record import Record, numbers_of
from engine.grounding.site_table import table
from engine.grounding.sites import Located, site_of
from engine.grounding.uptake import INTENSE, MILD, MODERATE, grades_in
from engine.lesion import Segment
from engine.measuring.lesions import measure
from engine.volume import Mask, Scan

SHARES = (("train", 80), ("validation", 10), ("test", 10))  # percent of the patients

_SIDES = (("left", LEFT), ("right", RIGHT), ("bilateral", BILATERAL))
_GRADES = {MILD: "mild", MODERATE: "moderate", INTENSE: "intense"}


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
    located, grades = site_of(said.text), grades_in(said.text)
    segment = Segment(number, f"lesion {number}", "lesion", mask, "", "")
    grade = _GRADES.get(grades[0]) if grades else None
    return Record(
        study_id=exam.study_id,
        lesion_id=f"lesion-{number}",
        split=exam.split,
        site=located.name,
        organ_group=located.organ_group,
        region=located.region,
        laterality=side_in(located),
        uptake=grade,  # type: ignore[arg-type]
        interpretation=exam.interpret(said.text) if exam.interpret else None,
        text=said.text,
        measured=numbers_of(measure(segment, scan)),
        source=exam.source,
    )


def side_in(located: Located) -> str | None:
    """left, right or bilateral, as words or the only side of a site say."""
    if located.laterality is not None:
        return next((name for name, code in _SIDES if same(located.laterality, code)), None)
    site = table().get(located.name or "")
    return site.side if site is not None and site.side in ("left", "right") else None
