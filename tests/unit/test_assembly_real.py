"""Assembly on real headers, through the real index."""

import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from pacsnode.assembly import Assessment, assess
from pacsnode.settings import Assembly
from storage.archive import Archive
from storage.errors import Unkeepable
from storage.records import Instance
from tests.makers import make_ct, make_pet, make_rtstruct, make_seg, save

RULES = Assembly()


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with Archive.open_in_place(tmp_path / "index") as opened:
        yield opened


def register(archive: Archive, paths: Sequence[Path]) -> None:
    for path in paths:
        try:
            archive.register(path)
        except Unkeepable:
            continue  # licences, tables and NIfTI masks lie beside the objects


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def judged(archive: Archive, mask: Instance, *, quiet: bool = True) -> Assessment:
    return assess(mask, archive.candidates(mask), quiet=quiet, rules=RULES)


@pytest.mark.slow
def test_qin0139_is_ready_with_eleven_lesions_and_no_ct(data: Path, archive: Archive) -> None:
    register(archive, files(data / "qin0139"))
    (mask,) = archive.masks()
    found = judged(archive, mask)
    assert found.state == "ready"
    assert found.lesion_numbers == tuple(range(1, 12))
    assert found.flags == ("no-ct",)
    assert found.pet is not None
    assert len(found.pet.instances) == 545
    assert any("refers to 66 of its objects" in reason for reason in found.reasons)
    assert judged(archive, mask, quiet=False).code == "waiting-for-ct"


@pytest.mark.parametrize("study", ["STS_002", "STS_003", "STS_010", "STS_035"])
def test_ibsi_structure_sets_find_their_pet_and_ct(
    data: Path, archive: Archive, study: str
) -> None:
    register(archive, files(data / "ibsi_sts" / study))
    masks = archive.masks()
    assert len(masks) == 2
    for mask in masks:
        waiting = judged(archive, mask, quiet=False)
        assert (waiting.state, waiting.code) == ("waiting", "waiting-for-references")
        found = judged(archive, mask)
        assert found.state == "ready", found.reasons
        assert found.flags == ("references-missing",)
        assert found.reasons[0] == "ROI 1 (lesion): RT ROI Interpreted Type is GTV."
        assert found.lesion_numbers == (1,)
        assert found.pet is not None
        assert found.ct is not None
        assert {one.path.parent.name for one in found.pet.instances} == {"PET"}
        assert {one.path.parent.name for one in found.ct.instances} == {"CT"}
        assert len(found.pet.instances) == len(files(data / "ibsi_sts" / study / "PET"))


def test_each_reference_object_finds_its_own_of_nine_pets_in_one_space(
    data: Path, archive: Archive, tmp_path: Path
) -> None:
    with tarfile.open(data / "suv_dro" / "dro_open.tar.xz") as packed:
        packed.extractall(tmp_path / "dro", filter="data")
    register(archive, files(tmp_path / "dro"))
    masks = archive.masks()
    assert len(masks) == 9
    for mask in masks:
        found = judged(archive, mask)
        assert found.state == "ready", found.reasons
        assert found.pet is not None
        own = mask.path.parent.parent / "PT"  # .../DRO_0_0/RS/RS_dro_0_0.dcm
        assert {one.path.parent for one in found.pet.instances} == {own}


@pytest.mark.parametrize("folder", ["seg_variety", "rtstruct_variety"])
def test_masks_of_every_kind_end_in_a_stated_outcome(
    data: Path, archive: Archive, folder: str
) -> None:
    register(archive, files(data / folder))
    masks = archive.masks()
    assert masks
    for mask in masks:
        found = judged(archive, mask)
        # none of them has a PET: work without a PET is refused, everything else is context
        assert (found.state, found.code) in {("context", "no-lesion"), ("refused", "no-pet")}
        assert found.reasons
        assert (found.code == "no-pet") == bool(found.lesion_numbers)


def test_an_index_of_made_objects_gives_the_same_inputs_in_both_orders(tmp_path: Path) -> None:
    pet, ct = make_pet(), make_ct()
    seg = lesion_on(pet)
    square = ((-10.0, -10.0, 12.0), (10.0, -10.0, 12.0), (10.0, 10.0, 12.0), (-10.0, 10.0, 12.0))
    structures = make_rtstruct({"tumour": [np.array(square)]}, pet)
    digests = []
    for name, objects in (
        ("forward", [*pet, *ct, seg, structures]),
        ("backward", [structures, seg, *reversed(ct), *reversed(pet)]),
    ):
        paths = save(objects, tmp_path / name)
        with Archive.open_in_place(tmp_path / f"{name}-index") as archive:
            register(archive, paths)
            found = [judged(archive, mask) for mask in archive.masks()]
        assert [one.state for one in found] == ["ready", "ready"]
        assert all(one.ct is not None for one in found)
        digests.append({one.inputs_sha256 for one in found})
    assert digests[0] == digests[1]
    assert len(digests[0]) == 2


def lesion_on(pet: Sequence[Dataset]) -> Dataset:
    voxels = np.zeros((8, 32, 32), dtype=np.bool_)
    voxels[3:6, 12:18, 12:18] = True
    return make_seg({"lesion": voxels}, pet)


def kept_pet(tmp_path: Path, pet: list[Dataset], mask: Dataset) -> Assessment:
    with Archive.open_in_place(tmp_path / "kept-index") as archive:
        register(archive, save([*pet, mask], tmp_path / "kept"))
        (kept,) = archive.masks()
        return judged(archive, kept)


def test_another_patient_is_told_by_the_digests_of_the_index(tmp_path: Path) -> None:
    mask = lesion_on(make_pet())
    other = make_pet(PatientID="SOMEBODY-ELSE")
    assert kept_pet(tmp_path, other, mask).code == "patient-mismatch"
    shutil.rmtree(tmp_path / "kept")
    shutil.rmtree(tmp_path / "kept-index")
    renamed = make_pet(PatientName="Somebody^Else")
    assert kept_pet(tmp_path, renamed, mask).code == "patient-mismatch"


def test_a_made_pet_with_a_lost_slice_has_gaps(tmp_path: Path) -> None:
    pet = make_pet()
    mask = lesion_on(pet)
    del pet[3]
    found = kept_pet(tmp_path, pet, mask)
    assert (found.state, found.code) == ("refused", "pet-has-gaps")
    assert "references-missing" in found.flags
