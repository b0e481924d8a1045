"""PETARSeg-11K, or another table of lesions with their images, as examples.

The data set is given to approved researchers alone. Public are: a CSV table; images of 3 mm,
192 x 192 x 352 voxels; and the authors' fields Region, Organ, Anatomic subsite, SUVmax, Slice and
Findings (paper, section 3). How the columns and files are named is not, hence COLUMNS are names
that may be met, others can be given, and every lesion has to prove itself: its mask lies on the
PET's grid and holds the SUVmax that its row states.
"""

import csv
import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from engine.acquisition import SuvConversion
from engine.cohort.dataset import Example, lesions_of
from engine.cohort.pairs_records import split_of, study_name
from engine.cohort.plain import plain_acquisition
from engine.cohort.record import NAME, SPLITS, Record, numbers_of
from engine.cohort.said import grade_in, side_in
from engine.cohort.stored import read_array
from engine.errors import EngineError, GridMismatch, Unreadable
from engine.geometry import Grid
from engine.grounding.sites import site_of
from engine.lesion import Segment
from engine.measuring.lesions import measure
from engine.volume import ImageReference, Mask, Scan, Volume

TOLERANCE_SUV = 0.1
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "pet": ("pet", "petpath", "petfile", "petimage", "suv", "suvpath", "suvfile", "suvimage"),
    "ct": ("ct", "ctpath", "ctfile", "ctimage"),
    "mask": ("mask", "maskpath", "maskfile", "label", "labelpath", "segmentation", "segpath",
             "seg", "contour", "contourpath"),
    "mask_value": ("maskvalue", "maskid", "labelid", "labelvalue"),
    "study": ("examid", "exam", "studyid", "study", "imageid", "petid", "caseid", "case"),
    "patient": ("patientid", "patient", "subjectid", "subject"),
    "text": ("findings", "finding", "description", "sentence", "text", "report"),
    "region": ("region", "bodyregion"),
    "organ": ("organ",),
    "subsite": ("anatomicsubsite", "anatomicalsubsite", "subsite"),
    "suv_max": ("suvmax", "suv"),
    "slice": ("slice", "axialslice", "slicenumber", "slicenum"),
    "tracer": ("tracer", "radiotracer", "radiopharmaceutical"),
    "split": ("split", "set", "subset", "fold"),
}  # fmt: skip
REQUIRED = ("pet", "mask", "text", "suv_max")
_SPLITS = {"val": "validation", "valid": "validation", "dev": "validation", "testing": "test",
           "training": "train"}  # fmt: skip

THERE_ALREADY, ANOTHER_LESION = "there-already", "another-lesion"


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the table under the names of COLUMNS, and the study's name in the dataset."""

    line: int
    cells: Mapping[str, str]
    study_id: str
    splits: frozenset[str]  # that lines of its patient, or study, state

    @property
    def lesion_id(self) -> str:
        return f"row-{self.line}"


@dataclass(frozen=True, slots=True)
class Passed:
    """A row that makes no example: its line in the table, and why."""

    line: int
    code: str
    sentence: str


def read_petarseg(
    table: Path, images: Path, named: Mapping[str, str] | None = None, out: Path | None = None,
    tracer: str | None = None,
) -> Iterator[Example | Passed]:  # fmt: skip
    """Every row as an example, or why not; rows of one PET together, one scan in memory.

    `named` gives the column of a field of COLUMNS. A lesion that the dataset `out` holds already is
    passed before any image is opened. `tracer` is that of lines that state none. Raises Unreadable
    when a required column is not known: the message lists those that are there.
    """
    rows = list(_named(list(_rows(table, named or {}))))
    for _, of_pet in groupby(
        sorted(rows, key=lambda one: one.cells["pet"]), lambda one: one.cells["pet"]
    ):
        left = []
        for row in of_pet:
            passed = _before(row, out) if out is not None else None
            if passed is not None:
                yield passed
            else:
                left.append(row)
        if left:
            yield from _of_one_pet(left, images, tracer)


def columns_of(header: Sequence[str], named: Mapping[str, str]) -> dict[str, str]:
    """The column of each field that is known. Raises Unreadable."""
    unknown = sorted(set(named) - set(COLUMNS))
    absent = sorted(set(named.values()) - set(header))
    if unknown or absent:
        raise Unreadable(f"No field is {unknown}, no column is {absent}; columns: {list(header)}")
    plain = {re.sub(r"[^a-z0-9]", "", column.lower()): column for column in header}
    found = dict(named)
    for field, names in COLUMNS.items():
        free = (plain[name] for name in names if name in plain)
        column = next((one for one in free if one not in found.values()), None)
        if field not in found and column is not None:
            found[field] = column
    lacking = [field for field in REQUIRED if field not in found]
    if lacking:
        raise Unreadable(
            f"Which columns hold {', '.join(lacking)} is not known; columns: {list(header)}"
        )
    return found


def _rows(table: Path, named: Mapping[str, str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    with table.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        columns = columns_of(reader.fieldnames or (), named)
        for number, row in enumerate(reader, start=2):
            yield number, {field: (row[name] or "").strip() for field, name in columns.items()}


def _named(rows: Sequence[tuple[int, Mapping[str, str]]]) -> Iterator[_Row]:
    """The rows with the names of their studies: of several PETs each is a study of its own."""
    pets: dict[str, set[str]] = defaultdict(set)
    splits: dict[str, set[str]] = defaultdict(set)
    for _, cells in rows:
        pets[_study(cells)].add(cells["pet"])
        if cells.get("split"):
            splits[_owner(cells)].add(_split(cells["split"]))
    for line, cells in rows:
        study, pet = _study(cells), cells["pet"]
        name, key = study, study
        if len(pets[study]) > 1:
            name = f"{study}-{hashlib.sha256(pet.encode()).hexdigest()[:8]}"
            key = f"{study} {pet}"
        stated = frozenset(splits[_owner(cells)])
        yield _Row(line, cells, name if NAME.fullmatch(name) else study_name(key), stated)


def _study(cells: Mapping[str, str]) -> str:
    return cells.get("study") or cells["pet"]


def _owner(cells: Mapping[str, str]) -> str:
    """Whose lesions are kept in one split."""
    return cells.get("patient") or _study(cells)


def _split(stated: str) -> str:
    return _SPLITS.get(stated.lower(), stated.lower())


def _before(row: _Row, out: Path) -> Passed | None:
    """Whether an earlier run brought in this row, or another one of its name."""
    there = lesions_of(out / row.study_id).get(row.lesion_id)
    if there is None:
        return None
    name = f"{row.study_id}/{row.lesion_id}"
    stated, measured = _number(row.cells["suv_max"]), there.measured.get("suv_max")
    is_near = (
        stated is not None
        and measured is not None
        and abs(stated - measured) <= TOLERANCE_SUV + 1e-6
    )
    if is_near and there.text == row.cells["text"]:
        return Passed(row.line, THERE_ALREADY, f"{name} is in the dataset already")
    return Passed(
        row.line, ANOTHER_LESION, f"{name} is in the dataset already, and is another lesion"
    )


def _of_one_pet(
    rows: Sequence[_Row], images: Path, tracer: str | None
) -> Iterator[Example | Passed]:
    try:
        scan = _scan(rows[0].cells, images, tracer)
    except EngineError as exc:
        yield from (Passed(row.line, exc.code, str(exc)) for row in rows)
        return
    for row in rows:
        try:
            yield _example(row, scan, images)
        except EngineError as exc:
            yield Passed(row.line, exc.code, str(exc))


def _scan(row: Mapping[str, str], images: Path, tracer: str | None) -> Scan:
    values, grid = read_array(_inside(images, row["pet"]))
    count = grid.shape[0]
    rises = grid.affine[2, 0] > 0
    slices = tuple(
        ImageReference("", "", None, count - k if rises else k + 1) for k in range(count)
    )
    pet = Volume(values.astype(np.float32), grid, "g/ml", slices, "")
    ct = _ct(row.get("ct", ""), images)
    suv = SuvConversion(np.ones(count), "bw", "the dataset holds SUV")
    return Scan(pet, ct, plain_acquisition(row.get("tracer") or tracer), suv)


def _ct(path: str, images: Path) -> Volume | None:
    if not path:
        return None
    values, grid = read_array(_inside(images, path))
    nowhere = (ImageReference("", "", None, None),) * grid.shape[0]
    return Volume(values.astype(np.float32), grid, "HU", nowhere, "")


def _example(told: _Row, scan: Scan, images: Path) -> Example:
    row = told.cells
    mask = _mask(row, scan.pet.grid, images)
    measured = numbers_of(measure(Segment(1, "lesion", "lesion", mask, "", ""), scan))
    _refuse_other_lesion(row["suv_max"], measured["suv_max"])
    located = site_of(row["text"])
    if located.name is None:
        located = site_of(", ".join(filter(None, (row.get("subsite"), row.get("organ")))))
    record = Record(
        study_id=told.study_id,
        lesion_id=told.lesion_id,
        split=_split_of(told),
        site=located.name,
        organ_group=located.organ_group,
        region=located.region or site_of(row.get("region", "")).region,
        laterality=side_in(located),
        uptake=grade_in(row["text"]),
        interpretation=None,
        text=row["text"],
        measured=measured,
        source="petarseg-11k",
    )
    return Example(record, scan, mask)


def _mask(row: Mapping[str, str], grid: Grid, images: Path) -> Mask:
    values, own = read_array(_inside(images, row["mask"]))
    if not own.coincides(grid, tolerance_mm=0.05):
        raise GridMismatch(f"Mask {Path(row['mask']).name} is not on the grid of its PET")
    stated = row.get("mask_value")
    wanted = _number(stated) if stated else None
    if stated and wanted is None:
        raise Unreadable("The row's mask value is no number", code="no-mask-value")
    voxels = values > 0 if wanted is None else values == wanted
    if not voxels.any():
        raise Unreadable(f"Mask {Path(row['mask']).name} is empty", code="empty-segment")
    return Mask(voxels, grid)


def _refuse_other_lesion(stated: str, measured: float) -> None:
    suv_max = _number(stated)
    if suv_max is None:
        raise Unreadable("The row's SUVmax is no number", code="no-suv")
    if abs(suv_max - measured) > TOLERANCE_SUV + 1e-6:
        raise Unreadable(
            f"The mask holds SUVmax {measured:.2f} and the row says {suv_max}", code="suv-differs"
        )


def _number(written: str) -> float | None:
    try:
        number = float(written.replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _split_of(told: _Row) -> str:
    """That of all lesions of a patient, or a study: what is learnt of one is not judged by it."""
    if len(told.splits) > 1:
        listed = ", ".join(sorted(told.splits))
        raise Unreadable(
            f"Lines of its study or patient state several splits: {listed}", code="splits-differ"
        )
    split = next(iter(told.splits), None) or split_of(_owner(told.cells))
    if split not in SPLITS:
        raise Unreadable(f"No split is {split!r}", code="no-such-split")
    return split


def _inside(images: Path, path: str) -> Path:
    """A file of the data set: the table may not name any other."""
    found = (images / path).resolve()
    if not path or not found.is_relative_to(images.resolve()):
        raise Unreadable("The row names no file in the folder of images")
    if not found.is_file():
        raise Unreadable(f"{found.name} is not among the images", code="no-such-file")
    return found
