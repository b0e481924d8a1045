"""A table of lesions with NIfTI images comes in as it proves itself, line by line."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.cohort.dataset import Example, read_dataset, write_example
from engine.cohort.petarseg import Passed, columns_of, read_petarseg
from engine.cohort.stored import write_array
from engine.errors import Unreadable
from pacsnode.cli import app
from tests.unit.boxes import a_grid

GRID = a_grid((20, 16, 16), (3, 3, 3))
FIRST = {
    "Exam_ID": "exam0001", "PET": "pet/1.nii.gz", "CT": "ct/1.nii.gz", "Label": "label/1a.nii.gz",
    "Region": "Chest", "Organ": "Lymph node", "Anatomic_Subsite": "left axilla", "SUVmax": "7.0",
    "Slice": "12", "Findings": "Intensely avid left axillary lymph node.", "Split": "val",
    "mask_value": "",
}  # fmt: skip


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    pet = np.full(GRID.shape, 0.5, np.float32)
    for name, at, suv in (("1a", 8, 7.0), ("1b", 3, 5.0)):
        voxels = np.zeros(GRID.shape, np.bool_)
        voxels[at : at + 3, 4:7, 4:7] = True
        pet[voxels] = suv
        write_array(folder / f"label/{name}.nii.gz", voxels, GRID)
    write_array(folder / "pet/1.nii.gz", pet, GRID)
    write_array(folder / "ct/1.nii.gz", np.zeros(GRID.shape, np.float32), GRID)
    return folder


def a_table(folder: Path, *changes: Mapping[str, str]) -> Path:
    table = folder / "table.csv"
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(FIRST))
        writer.writeheader()
        writer.writerows({**FIRST, **change} for change in changes)
    return table


def test_lesions_come_in_and_make_a_dataset(tmp_path: Path, images: Path) -> None:
    second = {"Label": "label/1b.nii.gz", "SUVmax": "5.04", "Findings": "Avid focus.",
              "Organ": "Liver", "Anatomic_Subsite": "segment VIII"}  # fmt: skip
    table = a_table(tmp_path, {}, second)
    one, two = read_petarseg(table, images)
    assert isinstance(one, Example)
    assert isinstance(two, Example)
    assert one.scan is two.scan
    assert (one.record.site, one.record.laterality) == ("axillary LN", "left")
    assert (one.record.uptake, one.record.split) == ("intense", "validation")
    assert (one.record.study_id, one.record.text) == ("exam0001", FIRST["Findings"])
    assert one.record.measured["suv_max"] == 7.0
    assert two.record.organ_group == "Liver"  # by its columns: the words name no place
    assert one.scan.ct is not None
    for example in (one, two):
        write_example(tmp_path / "out", example)
    assert [read.record for read in read_dataset(tmp_path / "out")] == [one.record, two.record]


@pytest.fixture
def late(images: Path) -> dict[str, str]:
    """A line of the same examination with a PET of its own, hot where no other is."""
    voxels = np.zeros(GRID.shape, np.bool_)
    voxels[14:17, 9:12, 9:12] = True
    write_array(images / "label/2a.nii.gz", voxels, GRID)
    write_array(images / "pet/2.nii.gz", np.where(voxels, 4.0, 0.5).astype(np.float32), GRID)
    return {"PET": "pet/2.nii.gz", "CT": "", "Label": "label/2a.nii.gz", "SUVmax": "4.0"}


def test_a_study_of_two_pets_makes_two_studies(
    tmp_path: Path, images: Path, late: dict[str, str]
) -> None:
    """A mask must never lie on the PET of another line."""
    for one in read_petarseg(a_table(tmp_path, {}, late, {**late, "Split": ""}), images):
        assert isinstance(one, Example)
        write_example(tmp_path / "out", one)
    read = list(read_dataset(tmp_path / "out"))
    assert len({one.record.study_id for one in read}) == 2
    assert all(one.record.study_id.startswith("exam0001-") for one in read)
    for one in read:
        highest = float(one.scan.pet.values[one.mask.voxels].max())
        assert highest == one.record.measured["suv_max"]
    (other,) = read_petarseg(a_table(tmp_path, {"Split": "", **late}), images)
    assert isinstance(other, Example)
    assert other.record.study_id == "exam0001"  # one PET alone: the study's own name


def test_a_run_that_broke_off_is_taken_up(
    tmp_path: Path, images: Path, late: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    called = ["dataset", "petarseg", str(tmp_path / "table.csv"), str(images), "--out", str(out)]

    def run() -> tuple[int, dict[str, int]]:
        ran = CliRunner().invoke(app, [*called, "--json"])
        return ran.exit_code, json.loads(ran.stdout)

    a_table(tmp_path, {})
    assert run() == (0, {"lesions": 1})
    late |= {"Exam_ID": "exam0002"}
    second = {"Label": "label/1b.nii.gz", "SUVmax": "5.04"}
    a_table(tmp_path, {}, second, late)
    assert run() == (0, {"there-already": 1, "lesions": 2})
    monkeypatch.setattr("engine.cohort.petarseg.read_array", None)  # no image is opened again
    assert run() == (0, {"there-already": 3})
    assert len(list(read_dataset(out))) == 3


@pytest.mark.parametrize("change", [{"Findings": "Another."}, {"SUVmax": "7.3"}])
def test_a_table_that_changed_is_no_run_to_be_taken_up(
    tmp_path: Path, images: Path, change: dict[str, str]
) -> None:
    (one,) = read_petarseg(a_table(tmp_path, {}), images)
    assert isinstance(one, Example)
    write_example(tmp_path / "out", one)
    (passed,) = read_petarseg(a_table(tmp_path, change), images, out=tmp_path / "out")
    assert isinstance(passed, Passed)
    assert (passed.code, passed.line) == ("another-lesion", 2)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"SUVmax": "7.2"}, "suv-differs"),
        ({"SUVmax": "high"}, "no-suv"),
        ({"SUVmax": "nan"}, "no-suv"),
        ({"Label": "label/none.nii.gz"}, "no-such-file"),
        ({"Label": "../table.csv"}, "unreadable"),
        ({"Label": ""}, "unreadable"),
        ({"PET": "/etc/passwd"}, "unreadable"),
        ({"Split": "holdout", "Exam_ID": "exam0009"}, "no-such-split"),
        ({"mask_value": "L1"}, "no-mask-value"),
    ],
)
def test_a_line_that_does_not_fit_says_why(
    tmp_path: Path, images: Path, change: Mapping[str, str], code: str
) -> None:
    told = list(read_petarseg(a_table(tmp_path, change, {}), images))
    passed = [one for one in told if isinstance(one, Passed)]
    assert [(one.line, one.code) for one in passed] == [(2, code)]
    assert len(told) == 2


def test_a_tracer_that_no_line_states_can_be_said(tmp_path: Path, images: Path) -> None:
    for tracer in (None, "FDG"):
        (one,) = read_petarseg(a_table(tmp_path, {}), images, tracer=tracer)
        assert isinstance(one, Example)
        assert one.scan.acquisition.tracer_name == tracer


def test_a_study_is_of_one_split(tmp_path: Path, images: Path) -> None:
    """What is learnt of a study is not judged by another lesion of it."""
    second = {"Label": "label/1b.nii.gz", "SUVmax": "5.04"}
    told = list(read_petarseg(a_table(tmp_path, {}, {**second, "Split": ""}), images))
    assert [one.record.split for one in told if isinstance(one, Example)] == ["validation"] * 2
    told = list(read_petarseg(a_table(tmp_path, {}, {**second, "Split": "train"}), images))
    assert [(one.line, one.code) for one in told if isinstance(one, Passed)] == [
        (2, "splits-differ"), (3, "splits-differ"),
    ]  # fmt: skip


def test_a_mask_off_the_grid_is_passed(tmp_path: Path, images: Path) -> None:
    grid = a_grid(GRID.shape, (3, 3, 2.9))
    write_array(images / "label/1a.nii.gz", np.ones(GRID.shape, np.bool_), grid)
    (one,) = read_petarseg(a_table(tmp_path, {}), images)
    assert isinstance(one, Passed)
    assert one.code == "grid-mismatch"


def test_columns_are_known_or_named_or_refused() -> None:
    assert columns_of(list(FIRST), {})["mask"] == "Label"
    header = ["scan", "roi", "words", "SUV max"]
    with pytest.raises(Unreadable, match=r"pet, mask, text is not known; columns: \['scan'"):
        columns_of(header, {})
    found = columns_of(header, {"pet": "scan", "mask": "roi", "text": "words"})
    assert found["suv_max"] == "SUV max"
    with pytest.raises(Unreadable, match="no column is"):
        columns_of(header, {"pet": "nowhere"})
