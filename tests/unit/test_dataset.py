"""A dataset read back is what was written, in both kinds of files; what is broken is refused."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.sr.codedict import codes

from engine.cohort.dataset import (
    Example,
    numbers_of,
    read_dataset,
    read_records,
    read_regions,
    write_example,
    write_regions,
)
from engine.cohort.record import line_of, record_of
from engine.cohort.stored import read_array, write_array
from engine.errors import GridMismatch, Unreadable
from engine.geometry import Grid
from engine.lesion import Segment
from engine.measuring.lesions import measure
from engine.volume import ImageReference, Mask
from tests.unit.boxes import a_record, a_scan

SHAPE = (6, 5, 4)


def _oblique() -> np.ndarray:
    """Turned by 0.1, -0.07 and 0.05 rad about x, y and z; a spacing of its own on each axis."""
    turn = np.eye(3)
    for axis, angle in enumerate((0.1, -0.07, 0.05)):
        one = np.eye(3)
        p, q = (axis + 1) % 3, (axis + 2) % 3
        one[[p, p, q, q], [p, q, p, q]] = (
            np.cos(angle),
            -np.sin(angle),
            np.sin(angle),
            np.cos(angle),
        )
        turn = turn @ one
    affine = np.eye(4)
    affine[:3, :3] = turn[:, ::-1] * [3.0, 4.1, 3.9]
    affine[:3, 3] = -70.0, 33.0, 812.5
    return affine


OBLIQUE = _oblique()


def an_example(lesion_id: str = "lesion-1", study_id: str = "study-1") -> Example:
    scan = a_scan(SHAPE, seed=len(lesion_id) + len(study_id), affine=OBLIQUE)
    voxels = np.zeros(SHAPE, np.bool_)
    voxels[2:4, 1:3, 1:3] = True
    return Example(a_record(study_id, lesion_id), scan, Mask(voxels, scan.pet.grid))


def test_a_code_of_the_tracer_survives_the_folder(tmp_path: Path) -> None:
    """A hospital that names its tracer `Solution` and codes it is understood from a folder too."""
    example = an_example()
    code = codes.SCT.FluorodeoxyglucoseF18
    named = replace(example.scan.acquisition, tracer_name="Solution", tracer=code)
    scan = replace(example.scan, acquisition=named)
    write_example(tmp_path, replace(example, scan=scan))
    (read,) = read_dataset(tmp_path)
    assert read.scan.acquisition.tracer_name == "Solution"
    assert read.scan.acquisition.tracer == code


@pytest.mark.parametrize("told", ["FDG", ["35321007", "SCT"], [1, "SCT", "FDG"], {"a": 1}])
def test_a_code_that_is_none_is_refused(tmp_path: Path, told: object) -> None:
    write_example(tmp_path, an_example())
    (study,) = tmp_path.glob("*/study.json")
    study.write_text(json.dumps(json.loads(study.read_text()) | {"tracer_code": told}))
    with pytest.raises(Unreadable, match="tracer_code is not value, scheme and meaning"):
        list(read_dataset(tmp_path))


@pytest.mark.parametrize("ending", [".npz", ".nii.gz"])
def test_what_is_written_is_read(tmp_path: Path, ending: str) -> None:
    example = an_example()
    write_example(tmp_path, example, ending)
    (read,) = read_dataset(tmp_path)
    assert read.record == example.record
    np.testing.assert_array_equal(read.mask.voxels, example.mask.voxels)
    assert read.scan.ct is not None
    assert example.scan.ct is not None
    np.testing.assert_array_equal(read.scan.pet.values, example.scan.pet.values)
    np.testing.assert_array_equal(read.scan.ct.values, example.scan.ct.values)
    assert read.scan.pet.grid.coincides(example.scan.pet.grid, 0.001)
    assert read.scan.ct.grid.coincides(example.scan.ct.grid, 0.001)
    assert read.scan.pet.grid.frame_of_reference_uid == "1.2.3"
    assert read.scan.acquisition.tracer_name == "FDG"
    before, after = (
        one.instance_number for one in (example.scan.pet.slices[3], read.scan.pet.slices[3])
    )
    assert before == after


def test_a_measurement_survives_the_folder(tmp_path: Path) -> None:
    example = an_example()
    write_example(tmp_path, example)
    (read,) = read_dataset(tmp_path)
    told = [numbers_of(measure(_segment(one.mask), one.scan)) for one in (example, read)]
    assert told[0] == told[1]
    assert told[0]["suv_max"] == float(example.scan.pet.values[example.mask.voxels].max())
    k = told[0]["hottest_voxel_kji"][0]
    assert told[0]["slice"] == example.scan.pet.slices[k].instance_number
    assert json.loads(json.dumps(told[0])) == told[0]


def test_nifti_means_to_others_what_it_means_to_us(tmp_path: Path) -> None:
    example = an_example()
    write_example(tmp_path, example, ".nii.gz")
    image = nibabel.load(tmp_path / "study-1" / "pet.nii.gz")
    ras = image.affine @ [1, 2, 3, 1]  # i, j, k
    lps = example.scan.pet.grid.to_lps_mm([3, 2, 1])
    np.testing.assert_allclose(ras[:3] * [-1, -1, 1], lps, atol=1e-4)
    assert float(np.asanyarray(image.dataobj)[1, 2, 3]) == float(example.scan.pet.values[3, 2, 1])


def test_one_study_is_in_memory_at_a_time(tmp_path: Path) -> None:
    first = an_example("a")
    for one in (first, replace(first, record=a_record("study-1", "b")), an_example("c", "study-2")):
        write_example(tmp_path, one)
    (tmp_path / "study-2" / "pet.npz").unlink()  # not looked at before the first study is done
    lesions = read_dataset(tmp_path)
    one, two = next(lesions), next(lesions)
    assert one.scan is two.scan
    with pytest.raises(Unreadable, match=r"study-2 has neither pet\.npz nor pet\.nii\.gz"):
        next(lesions)
    assert [record.lesion_id for record in read_records(tmp_path)] == ["a", "b", "c"]


def test_a_split_is_read_alone(tmp_path: Path) -> None:
    one = an_example("a")
    write_example(tmp_path, one)
    write_example(tmp_path, replace(one, record=replace(a_record("study-1", "b"), split="test")))
    assert [lesion.record.lesion_id for lesion in read_dataset(tmp_path, "test")] == ["b"]


def test_no_image_is_opened_for_what_is_not_wanted(tmp_path: Path) -> None:
    for number in (1, 2):
        write_example(tmp_path, an_example("a", f"study-{number}"))
    (tmp_path / "study-1" / "pet.npz").write_bytes(b"not to be opened")
    read = read_dataset(tmp_path, wanted=lambda one: one.study_id == "study-2")
    assert [one.record.study_id for one in read] == ["study-2"]
    with pytest.raises(Unreadable):
        list(read_dataset(tmp_path))


def test_slices_without_numbers_are_counted_from_the_head(tmp_path: Path) -> None:
    one = an_example()
    unnumbered = tuple(ImageReference("", "", None, None) for _ in one.scan.pet.slices)
    pet = replace(one.scan.pet, slices=unnumbered)
    write_example(tmp_path, replace(one, scan=replace(one.scan, pet=pet)))
    (read,) = read_dataset(tmp_path)
    numbers = [each.instance_number for each in read.scan.pet.slices]
    assert numbers == [6, 5, 4, 3, 2, 1]  # k rises to the head


def test_a_folder_of_niftis_by_hand_is_a_dataset(tmp_path: Path) -> None:
    example = an_example()
    study = tmp_path / "study-1"
    for name, values in (("pet", example.scan.pet.values), ("masks/lesion-1", example.mask.voxels)):
        (study / name).parent.mkdir(parents=True, exist_ok=True)
        affine = np.diag([-1, -1, 1, 1]) @ OBLIQUE[:, [2, 1, 0, 3]]
        stored = np.transpose(values, (2, 1, 0)).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(stored, affine), study / f"{name}.nii.gz")
    (study / "records.jsonl").write_text(line_of(example.record) + "\n")
    (read,) = read_dataset(tmp_path)
    assert read.scan.ct is None
    np.testing.assert_array_equal(read.mask.voxels, example.mask.voxels)
    assert read.scan.pet.grid.coincides(example.scan.pet.grid, 0.01)


def test_regions_are_kept_with_their_names(tmp_path: Path) -> None:
    example = an_example()
    write_example(tmp_path, example)
    study = tmp_path / "study-1"
    assert read_regions(study) is None
    labels = np.arange(120, dtype=np.uint16).reshape(SHAPE)
    write_regions(study, labels, {1: "liver", 2: "left lung"}, example.scan.pet.grid)
    regions = read_regions(study)
    assert regions is not None
    assert regions.names == {1: "liver", 2: "left lung"}
    np.testing.assert_array_equal(regions.labels, labels)
    assert len(list(read_dataset(tmp_path))) == 1


def test_a_mask_off_the_grid_is_refused(tmp_path: Path) -> None:
    example = an_example()
    moved = OBLIQUE.copy()
    moved[0, 3] += 1
    elsewhere = Mask(example.mask.voxels, Grid(SHAPE, moved))
    with pytest.raises(GridMismatch, match="study-1/lesion-1 is not on the PET"):
        write_example(tmp_path, replace(example, mask=elsewhere))
    write_example(tmp_path, example)
    write_array(tmp_path / "study-1/masks/lesion-1.npz", example.mask.voxels, elsewhere.grid)
    with pytest.raises(GridMismatch, match="study-1/lesion-1 is not on the PET"):
        list(read_dataset(tmp_path))


def test_a_sheared_grid_is_none_for_nifti(tmp_path: Path) -> None:
    sheared = OBLIQUE.copy()
    sheared[:3, 0] += 0.1 * sheared[:3, 1]
    with pytest.raises(GridMismatch, match="at right angles"):
        write_array(tmp_path / "a.nii.gz", np.zeros(SHAPE), Grid(SHAPE, sheared))


def test_a_lesion_is_written_once(tmp_path: Path) -> None:
    write_example(tmp_path, an_example())
    with pytest.raises(Unreadable, match="has a lesion lesion-1 already"):
        write_example(tmp_path, an_example())
    assert len(list(read_dataset(tmp_path))) == 1


@pytest.mark.parametrize("ending", [".npz", ".nii.gz"])
@pytest.mark.parametrize("told", [True, False])
def test_a_mask_goes_to_the_pet_it_was_drawn_on(tmp_path: Path, ending: str, told: bool) -> None:
    first = an_example()
    write_example(tmp_path, first, ending)
    study = tmp_path / "study-1"
    if not told:  # a folder made by hand names no digest
        (study / "study.json").unlink()
    other = a_scan(SHAPE, seed=99, affine=OBLIQUE)
    strange = Example(a_record("study-1", "lesion-2"), other, first.mask)
    with pytest.raises(Unreadable, match="study-1 holds another PET"):
        write_example(tmp_path, strange, ending)
    assert not (study / f"masks/lesion-2{ending}").exists()
    same = replace(first.scan, pet=replace(first.scan.pet, values=first.scan.pet.values.copy()))
    write_example(tmp_path, Example(a_record("study-1", "lesion-2"), same, first.mask), ending)
    read = list(read_dataset(tmp_path))
    write_example(tmp_path, replace(read[0], record=a_record("study-1", "lesion-3")), ending)
    assert len(list(read_dataset(tmp_path))) == 3


def test_a_pet_without_suv_is_refused(tmp_path: Path) -> None:
    one = an_example()
    scan = replace(one.scan, pet=replace(one.scan.pet, unit="Bq/ml"))
    with pytest.raises(Unreadable, match="this PET is Bq/ml"):
        write_example(tmp_path, replace(one, scan=scan))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"study_id": "../study"}, "study_id"),
        ({"lesion_id": "a/b"}, "lesion_id"),
        ({"lesion_id": ""}, "lesion_id"),
        ({"split": "dev"}, "split is 'dev', not of train, validation, test"),
        ({"laterality": "Left"}, "laterality is 'Left'"),
        ({"uptake": "hot"}, "uptake is 'hot'"),
    ],
)
def test_a_record_that_cannot_be_is_refused(change: dict[str, str], says: str) -> None:
    with pytest.raises(Unreadable, match=says):
        replace(a_record("study", "lesion"), **change)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 3 is no JSON"),
        ("[]", "no JSON object"),
        ('{"study_id": "a"}', "lacks interpretation, laterality"),
        (line_of(a_record("a", "b"))[:-1] + ', "patient": "x"}', "unknown: patient"),
        (line_of(a_record("a", "b")).replace('"liver"', "3"), "text is wanted for site"),
        (line_of(replace(a_record("a", "b"), text="t")).replace('"t"', "null"), "text is wanted"),
    ],
)
def test_a_line_that_is_no_record_is_refused(line: str, says: str) -> None:
    with pytest.raises(Unreadable, match=says):
        record_of(line, "study/records.jsonl, line 3")


@settings(max_examples=50, deadline=None)
@given(text=st.text(), number=st.floats(allow_nan=False, allow_infinity=False))
def test_any_text_makes_one_line_and_comes_back(text: str, number: float) -> None:
    record = replace(a_record("a", "b"), text=text, measured={"suv_max": number})
    line = line_of(record)
    assert "\n" not in line
    assert record_of(line, "here") == record


def test_files_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    for name in ("a.npz", "a.nii.gz"):
        (tmp_path / name).write_bytes(b"no array")
        with pytest.raises(Unreadable, match=name):
            read_array(tmp_path / name)
    np.savez(tmp_path / "b.npz", values=np.zeros((2, 2)), affine=np.eye(4))
    with pytest.raises(Unreadable, match="2 dimensions"):
        read_array(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", values=np.array([{}], dtype=object), affine=np.eye(4))
    with pytest.raises(Unreadable, match=r"c\.npz"):  # no pickle is opened
        read_array(tmp_path / "c.npz")


@pytest.mark.parametrize("name", ["pet.npz", "mask.npz", "pet.nii.gz", "mask.nii.gz", "pet.nii"])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    values = np.random.default_rng(3).gamma(2.0, 2.0, SHAPE)
    path = tmp_path / name
    write_array(path, values > 3 if name.startswith("mask") else values, Grid(SHAPE, OBLIQUE))
    whole = path.read_bytes()
    changed = bytearray(whole)
    at = len(whole) // 2  # within the values: a bit of them is not what it was
    changed[at : at + 8] = bytes(255 - one for one in whole[at : at + 8])
    pieces = [whole[: len(whole) // 2], whole[:-30], whole[:90], b""]
    if not name.endswith(".nii"):  # which has no digest
        pieces.append(bytes(changed))
    for piece in pieces:
        path.write_bytes(piece)
        with pytest.raises(Unreadable, match=name):
            read_array(path)


@pytest.mark.parametrize(
    ("name", "written_by"), [("a.npz", "numpy.savez"), ("a.nii.gz", "SimpleITK.WriteImage")]
)
def test_a_file_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, written_by: str
) -> None:
    grid, path = Grid(SHAPE, OBLIQUE), tmp_path / name
    write_array(path, np.ones(SHAPE), grid)

    def broken(*told: object, **_: object) -> None:
        place = next(Path(str(one)) for one in told if str(one).endswith(name))
        place.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(written_by, broken)
    with pytest.raises(OSError, match="no space"):
        write_array(path, np.zeros(SHAPE), grid)
    assert read_array(path)[0].all()
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_folders_without_studies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="holds no study"):
        list(read_records(tmp_path))
    with pytest.raises(Unreadable, match="There is no folder"):
        list(read_records(tmp_path / "nowhere"))


def _segment(mask: Mask) -> Segment:
    return Segment(1, "lesion", "lesion", mask, "", "")
