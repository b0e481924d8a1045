"""Lesions with their images and their words in a folder: docs/reference/dataset.md."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.sr.coding import Code
from pydicom.uid import PositronEmissionTomographyImageStorage, generate_uid

from engine.acquisition import SuvConversion
from engine.cohort.plain import plain_acquisition
from engine.cohort.record import Record, line_of, numbers_of, record_of
from engine.cohort.stored import read_array, replacing, stored_at, write_array
from engine.errors import GridMismatch, Unreadable
from engine.geometry import Grid
from engine.grounding.lasting import kept_with
from engine.volume import ImageReference, Mask, Scan, Volume

__all__ = [
    "Example", "Record", "Regions", "has_regions", "lesions_of", "numbered_from_the_head",
    "numbers_of",
    "read_dataset", "read_records", "read_regions", "read_scan", "read_study", "studies_of",
    "write_example", "write_regions",
]  # fmt: skip

VERSION = 1
_RECORDS, _STUDY = "records.jsonl", "study.json"


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A lesion: its record, the study's scan (one object for all its lesions), and its mask."""

    record: Record
    scan: Scan
    mask: Mask


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """Anatomy of a study: labels [k, j, i] on the PET's grid, 0 where none, and their names."""

    labels: npt.NDArray[np.uint16]
    names: dict[int, str]


def read_dataset(
    folder: Path, split: str | None = None, wanted: Callable[[Record], bool] = lambda _: True
) -> Iterator[Example]:
    """Every lesion of a folder, of one split if given; one study in memory at a time.

    No image of a study is opened where no record is `wanted`.
    Raises Unreadable, GridMismatch: they name the study.
    """
    for study in studies_of(folder):
        yield from read_study(study, split, wanted)


def read_study(
    study: Path, split: str | None = None, wanted: Callable[[Record], bool] = lambda _: True
) -> Iterator[Example]:
    """The lesions of one study's folder, of one split if given. Raises as read_dataset does."""
    records = [one for one in _records_of(study) if split in (None, one.split) and wanted(one)]
    if not records:
        return
    scan = read_scan(study)
    for record in records:
        yield Example(record, scan, _mask(study, record.lesion_id, scan.pet.grid))


def read_records(folder: Path, split: str | None = None) -> Iterator[Record]:
    """Every record of a folder, and no image."""
    for study in studies_of(folder):
        yield from (one for one in _records_of(study) if split in (None, one.split))


def read_scan(study: Path) -> Scan:
    """The images of one study's folder. Raises Unreadable, GridMismatch."""
    told = _told_of(study)
    values, grid = _found(study, "pet")
    frame = told.get("frame_of_reference_uid")
    pet_grid = Grid(grid.shape, grid.affine, frame)
    numbers = told.get("instance_numbers") or numbered_from_the_head(pet_grid)
    if len(numbers) != grid.shape[0]:
        raise Unreadable(f"Study {study.name} numbers {len(numbers)} of {grid.shape[0]} slices")
    slices = tuple(
        ImageReference(
            PositronEmissionTomographyImageStorage, _uid(study.name, "pet", k), None, number
        )
        for k, number in enumerate(numbers)
    )
    pet = _volume(values, pet_grid, "g/ml", slices, _uid(study.name, "pet"))
    acquisition = plain_acquisition(told.get("tracer"), _code(study, told.get("tracer_code")))
    suv = SuvConversion(np.ones(grid.shape[0]), "bw", "the dataset holds SUV")
    return Scan(pet, _ct(study, frame), acquisition, suv)


def has_regions(study: Path) -> bool:
    """Whether a study's folder holds its anatomy."""
    return bool(_told_of(study).get("regions"))


def read_regions(study: Path) -> Regions | None:
    """The anatomy of one study's folder, where it holds one."""
    names = _told_of(study).get("regions")
    if not names:
        return None
    labels, _ = _found(study, "regions")
    return Regions(labels.astype(np.uint16), {int(key): name for key, name in names.items()})


def write_example(folder: Path, example: Example, ending: str = ".npz") -> None:
    """Add a lesion; its study's images are written with the first. `ending`: .npz or .nii.gz.

    Raises Unreadable when the study has a lesion of this name or another PET, GridMismatch when the
    mask is not on the PET's grid.
    """
    record, scan = example.record, example.scan
    study = folder / record.study_id
    if not example.mask.grid.coincides(scan.pet.grid):
        raise GridMismatch(f"The mask of {record.study_id}/{record.lesion_id} is not on the PET")
    if (study / _RECORDS).is_file():
        if record.lesion_id in lesions_of(study):
            raise Unreadable(f"Study {record.study_id} has a lesion {record.lesion_id} already")
        _refuse_other_pet(study, scan.pet)
    else:
        _write_study(study, scan, ending)
    write_array(study / "masks" / f"{record.lesion_id}{ending}", example.mask.voxels, scan.pet.grid)
    with (study / _RECORDS).open("a", encoding="utf-8") as lines:
        lines.write(line_of(record) + "\n")


def lesions_of(study: Path) -> dict[str, Record]:
    """The records of one study's folder by lesion_id; none where there is no such folder."""
    if not (study / _RECORDS).is_file():
        return {}
    return {one.lesion_id: one for one in _records_of(study)}


def write_regions(
    study: Path, labels: npt.NDArray[Any], names: Mapping[int, str], grid: Grid,
    ending: str = ".npz",
) -> None:  # fmt: skip
    """Add the anatomy to a study's folder that holds a lesion already."""
    told = _told_of(study)
    write_array(study / f"regions{ending}", labels.astype(np.uint16), grid)
    told["regions"] = {str(label): name for label, name in names.items()}
    _write_told(study, told)


def studies_of(folder: Path) -> Iterator[Path]:
    """The folder of every study, by name. Raises Unreadable."""
    if not folder.is_dir():
        raise Unreadable(f"There is no folder {folder.name}")
    studies = sorted(one for one in folder.iterdir() if (one / _RECORDS).is_file())
    if not studies:
        raise Unreadable(f"{folder.name} holds no study: no folder in it has {_RECORDS}")
    yield from studies


def _records_of(study: Path) -> list[Record]:
    lines = (study / _RECORDS).read_text("utf-8").splitlines()
    records = [
        record_of(line, f"{study.name}/{_RECORDS}, line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    for record in records:
        if record.study_id != study.name:
            raise Unreadable(f"Study {study.name} holds a record of {record.study_id}")
    return records


def _told_of(study: Path) -> dict[str, Any]:
    path = study / _STUDY
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text("utf-8"))
    except ValueError as exc:
        raise Unreadable(f"{study.name}/{_STUDY} is no JSON") from exc
    if not isinstance(told, dict) or told.get("version") != VERSION:
        raise Unreadable(f"{study.name}/{_STUDY} is not of version {VERSION}")
    return told


def _found(study: Path, stem: str) -> tuple[npt.NDArray[Any], Grid]:
    path = stored_at(study, stem)
    if path is None:
        raise Unreadable(f"Study {study.name} has neither {stem}.npz nor {stem}.nii.gz")
    return read_array(path)


def _code(study: Path, told: Any) -> Code | None:
    """[value, scheme, meaning]."""
    if told is None:
        return None
    if not isinstance(told, list) or [type(part) for part in told] != [str] * 3:
        raise Unreadable(f"{study.name}/{_STUDY}: tracer_code is not value, scheme and meaning")
    return Code(*told)


def _ct(study: Path, frame: str | None) -> Volume | None:
    if stored_at(study, "ct") is None:
        return None
    values, grid = _found(study, "ct")
    placed = Grid(grid.shape, grid.affine, frame)
    nowhere = tuple(ImageReference("", "", None, None) for _ in range(grid.shape[0]))
    return _volume(values, placed, "HU", nowhere, _uid(study.name, "ct"))


def _volume(
    values: npt.NDArray[Any], grid: Grid, unit: str, slices: tuple[ImageReference, ...], uid: str
) -> Volume:
    return Volume(np.ascontiguousarray(values, np.float32), grid, unit, slices, uid)


def _mask(study: Path, lesion_id: str, grid: Grid) -> Mask:
    values, own = _found(study, f"masks/{lesion_id}")
    if not own.coincides(grid, tolerance_mm=0.05):  # NIfTI keeps its geometry in float32
        raise GridMismatch(f"The mask of {study.name}/{lesion_id} is not on the PET's grid")
    voxels = values > 0
    if not voxels.any():
        raise Unreadable(f"The mask of {study.name}/{lesion_id} is empty")
    return Mask(voxels, grid)


def numbered_from_the_head(grid: Grid) -> list[int]:
    """Slices numbered from 1 at the head, as reports count them."""
    count = grid.shape[0]
    rises = grid.affine[2, 0] > 0
    return list(range(count, 0, -1)) if rises else list(range(1, count + 1))


def _uid(study_id: str, kind: str, k: int = -1) -> str:
    return str(generate_uid(entropy_srcs=[study_id, kind, str(k)]))


def _refuse_other_pet(study: Path, pet: Volume) -> None:
    stored = _told_of(study).get("pet_sha256") or _digest(_found(study, "pet")[0])
    if stored != kept_with([pet.values], "digest", lambda: _digest(pet.values)):
        raise Unreadable(f"Study {study.name} holds another PET than this lesion was drawn on")


def _digest(values: npt.NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values, "<f4").tobytes()).hexdigest()


def _write_study(study: Path, scan: Scan, ending: str) -> None:
    if scan.pet.unit != "g/ml":
        raise Unreadable(
            f"Study {study.name}: a dataset holds SUV, and this PET is {scan.pet.unit}"
        )
    write_array(study / f"pet{ending}", scan.pet.values, scan.pet.grid)
    if scan.ct is not None:
        write_array(study / f"ct{ending}", scan.ct.values, scan.ct.grid)
    tracer = scan.acquisition.tracer_name
    code = scan.acquisition.tracer
    told: dict[str, Any] = {
        "version": VERSION,
        "tracer": tracer or (code.meaning if code else None),
        "tracer_code": [code.value, code.scheme_designator, code.meaning] if code else None,
        "pet_sha256": _digest(scan.pet.values),
    }
    told["frame_of_reference_uid"] = scan.pet.grid.frame_of_reference_uid
    numbers = [one.instance_number for one in scan.pet.slices]
    if None not in numbers:
        told["instance_numbers"] = numbers
    _write_told(study, told)


def _write_told(study: Path, told: Mapping[str, Any]) -> None:
    study.mkdir(parents=True, exist_ok=True)
    with replacing(study / _STUDY) as part:
        part.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
