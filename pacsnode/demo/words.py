"""A made patient for the demonstration model: its words beside what was measured and made."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.cohort.world import WorldOptions, WorldStudy
    from engine.finding import Describer, Description, ModelIdentity, Unable
    from engine.lesion import Lesion
    from engine.report.read import ReadFinding
    from engine.volume import Scan
    from pacsnode.settings import Describe

SEED = 9_900_000  # neither training nor `evaluate phantoms` comes so far
PLACE = ("region", "organ", "laterality", "site")


@dataclass(frozen=True, slots=True)
class Patient:
    """A study of the phantom world, and its files."""

    study: "WorldStudy"
    study_instance_uid: str
    files: tuple[Path, ...]
    seg: Path


@dataclass(frozen=True, slots=True)
class Described:
    """What the report says of one lesion, and where it was put."""

    number: int
    text: str
    measured: dict[str, float]
    made: str
    wrong: tuple[str, ...]  # of region, organ, laterality and site


def make_patient(folder: Path, options: "WorldOptions | None" = None) -> Patient:
    """Write PET, CT and SEG of one made patient; the segments are called Lesion 1, 2, ..."""
    from engine.cohort.world import make_world_study
    from engine.cohort.world_dicom import write_dicom

    study = make_world_study(SEED, options)
    written = write_dicom(study, folder)
    assert written.seg is not None  # noqa: S101 this seed has findings
    files = (*written.pet, *written.ct, written.seg)
    return Patient(study, written.study_instance_uid, files, written.seg)


def described(findings: "Sequence[ReadFinding]", patient: Patient) -> Iterator[Described]:
    """Each lesion of the report that came back."""
    from engine.evaluating.facts import facts_in, facts_of, mistakes
    from engine.report.wording import DEMONSTRATION

    for finding in findings:
        number = finding.segment_number or 0
        record = patient.study.records[number - 1]
        text = finding.text.removeprefix(DEMONSTRATION).strip()
        wrong = mistakes(facts_of(record), facts_in(text))
        made = " ".join(part for part in (record.laterality, record.site) if part)
        places = tuple(fact for fact in wrong if fact in PLACE)
        yield Described(number, text, dict(finding.measured), made, places)


def draw_with_words(patient: Patient, told: "Describe", path: Path) -> list[float]:
    """Draw the picture with the model's words; the seconds that each lesion took, one by one."""
    from engine.case import Case
    from engine.pipeline import report_case
    from engine.report.picture import save_picture
    from engine.report.style import ReportStyle

    case = Case(pet=_of(patient, "PET"), ct=_of(patient, "CT"), mask=patient.seg)
    with _one_by_one(told) as describer:
        made = report_case(case, describer, ReportStyle(seed="0" * 64))
        save_picture(made.report, path)
    return describer.seconds


def _of(patient: Patient, part: str) -> tuple[Path, ...]:
    return tuple(path for path in patient.files if path.parent.name == part)


class OneByOne:
    """A describer that is asked for one lesion at a time, and the seconds it takes."""

    def __init__(self, asked: "Describer") -> None:
        self._asked = asked
        self.seconds: list[float] = []

    @property
    def identity(self) -> "ModelIdentity":
        return self._asked.identity

    def describe(
        self, scan: "Scan", lesions: "Sequence[Lesion]"
    ) -> "Sequence[Description | Unable]":
        """The first lesion's seconds include what is prepared once for the study."""
        answers: list[Description | Unable] = []
        for lesion in lesions:
            began = time.perf_counter()
            answers += self._asked.describe(scan, [lesion])
            self.seconds.append(time.perf_counter() - began)
        return answers


@contextmanager
def _one_by_one(told: "Describe") -> Iterator[OneByOne]:
    from pacsnode.jobs.describers import describing

    with describing(told) as describer:
        yield OneByOne(describer)


def in_words(seconds: Sequence[float]) -> str:
    """How long a lesion took."""
    if not seconds:
        return "No lesion was described."
    mean_s, longest_s = sum(seconds) / len(seconds), max(seconds)
    return (
        f"A lesion took {mean_s:.1f} s, the slowest {longest_s:.1f} s, one by one on"
        f" {os.cpu_count()} processors."
    )
