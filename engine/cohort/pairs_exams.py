"""A hospital's examinations with their reports: a table of folders, read one by one."""

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from engine.case import Case
from engine.cohort.pairs_records import split_of, study_name
from engine.cohort.record import NAME, SPLITS
from engine.errors import Unreadable
from engine.pipeline.reporting import read_scan
from engine.reading.ct import CT_CLASSES
from engine.reading.pet import PET_CLASSES
from engine.volume import Scan

REQUIRED = ("folder", "report")
OPTIONAL = ("study", "patient", "split", "pet_series", "ct_series")
_TAGS = ["SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID"]


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of the table: DICOM files under `folder`, the report in the text file `report`."""

    line: int
    folder: Path
    report: Path
    study: str | None = None  # the name in the dataset; by default a digest of StudyInstanceUID
    # by default PatientID, or StudyInstanceUID; its digest alone counts, for the split
    patient: str | None = None
    split: str | None = None
    pet_series: str | None = None  # SeriesInstanceUID, where there are several
    ct_series: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """An examination by its headers: its name and split, its report, the files of its images."""

    listed: Listed
    study_id: str
    split: str
    pet_uid: str  # SeriesInstanceUID
    pet: tuple[Path, ...]
    ct: tuple[Path, ...]
    report: str
    patient: str = field(repr=False)  # or the study, where nobody is named: in memory alone

    @property
    def made_from(self) -> str:
        """A digest of PET and report: what an examination of this name is made from."""
        return hashlib.sha256(f"{self.pet_uid}\n{self.report}".encode()).hexdigest()


def listed_exams(table: Path) -> list[Listed]:
    """The lines of a CSV table; paths are relative to its folder. Raises Unreadable."""
    with table.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        header = set(reader.fieldnames or ())
        if not header >= set(REQUIRED) or header - {*REQUIRED, *OPTIONAL}:
            raise Unreadable(
                f"{table.name} needs the columns {', '.join(REQUIRED)} and may have"
                f" {', '.join(OPTIONAL)}; it has {', '.join(sorted(header)) or 'none'}"
            )
        return [_listed(row, number, table.parent) for number, row in enumerate(reader, start=2)]


def find_exam(exam: Listed) -> Found:
    """Read report and headers. Raises UnusableCase, which names the line, and no patient."""
    series = _series_under(exam)
    pet_uid, pet = _one("pet", series, PET_CLASSES, exam.pet_series, exam.line)
    _, ct = _one("ct", series, CT_CLASSES, exam.ct_series, exam.line)
    if pet is None:
        raise Unreadable(f"Line {exam.line}: no PET series in its folder")
    try:
        report = exam.report.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise Unreadable(f"Line {exam.line}: its report is no text in UTF-8") from exc
    study_id = exam.study or study_name(pet.study_instance_uid)
    patient = exam.patient or pet.patient or pet.study_instance_uid
    split = exam.split or split_of(patient)
    return Found(exam, study_id, split, pet_uid, pet.paths, ct.paths if ct else (), report, patient)


def open_exam(found: Found) -> Scan:
    """Read PET and CT. Raises UnusableCase."""
    scan, _ = read_scan(Case(found.pet, found.ct, found.listed.report))
    return scan


@dataclass(frozen=True, slots=True)
class _Series:
    sop_class_uid: str
    study_instance_uid: str
    patient: str
    paths: tuple[Path, ...]


def _listed(row: Mapping[str, Any], line: int, beside: Path) -> Listed:
    if None in row:  # where DictReader puts what the header has no name for
        raise Unreadable(f"Line {line} has more cells than the table has columns")
    told = {name: (value or "").strip() or None for name, value in row.items()}
    folder, report = told["folder"], told["report"]
    if folder is None or report is None:
        raise Unreadable(f"Line {line} names no folder or no report")
    study, split = told.get("study"), told.get("split")
    if study is not None and not NAME.fullmatch(study):
        raise Unreadable(f"Line {line}: study may hold letters, digits, '.', '_', '-'")
    if split not in (*SPLITS, None):
        raise Unreadable(f"Line {line}: split is not of {', '.join(SPLITS)}")
    return Listed(
        line, beside / folder, beside / report, study, told.get("patient"), split,
        told.get("pet_series"), told.get("ct_series"),
    )  # fmt: skip


def _series_under(exam: Listed) -> dict[str, _Series]:
    if not exam.folder.is_dir():
        raise Unreadable(f"Line {exam.line}: its folder is not there")
    found: dict[str, list[tuple[Path, tuple[str, ...]]]] = defaultdict(list)
    for path, tags in _headers(exam.folder):
        found[tags[1]].append((path, tags))
    return {
        uid: _Series(files[0][1][0], files[0][1][2], files[0][1][3], tuple(one[0] for one in files))
        for uid, files in found.items()
    }


def _headers(folder: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name.upper() == "DICOMDIR":
            continue
        try:
            header = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        except (InvalidDicomError, OSError):  # a note beside the images
            continue
        yield path, tuple(str(header.get(keyword, "")) for keyword in _TAGS)


def _one(
    kind: str, series: Mapping[str, _Series], classes: frozenset[str], named: str | None, line: int
) -> tuple[str, _Series | None]:
    fit = {uid: one for uid, one in series.items() if one.sop_class_uid in classes}
    if named is not None:
        if named not in fit:
            raise Unreadable(f"Line {line}: its {kind}_series is not in its folder")
        return named, fit[named]
    if len(fit) > 1:
        listed = ", ".join(sorted(fit))
        raise Unreadable(f"Line {line}: several {kind} series; name one in {kind}_series: {listed}")
    return next(iter(fit.items()), ("", None))
