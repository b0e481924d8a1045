"""Which objects of a study are label maps for the words about a mask."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

from pacsnode.assembly import assess
from pacsnode.assembly.label_maps import label_maps_of
from pacsnode.settings import Settings
from storage.archive import Archive
from tests.makers import make_pet, make_seg, save, written
from tests.peers import encoded_dataset

PETAR = Settings(describe={"describer": "petar", "model": "/models/petar"})
ANATOMY = "123037004"


def seg(name: str, *, is_anatomy: bool, frame_of_reference: str | None = None):  # type: ignore[no-untyped-def]
    pet = make_pet()
    voxels = np.zeros((len(pet), pet[0].Rows, pet[0].Columns), bool)
    voxels[3:6, 12:18, 12:18] = True
    made = make_seg({name: voxels}, deepcopy(pet), series=name)
    if is_anatomy:
        item = made.SegmentSequence[0]
        item.SegmentedPropertyCategoryCodeSequence[0].CodeValue = ANATOMY
    if frame_of_reference is not None:
        made.FrameOfReferenceUID = frame_of_reference
    return written(made)


@pytest.fixture
def archive(tmp_path: Path):  # type: ignore[no-untyped-def]
    objects = [
        *make_pet(), seg("lesion", is_anatomy=False), seg("organs", is_anatomy=True),
        seg("another lesion", is_anatomy=False),
        seg("elsewhere", is_anatomy=True, frame_of_reference="2.25.9"),
    ]  # fmt: skip
    with Archive.open(tmp_path / "archive") as archive:
        for path in save(objects, tmp_path / "objects"):
            encoded, syntax = encoded_dataset(path)
            archive.keep(encoded, transfer_syntax_uid=syntax, calling_ae="TEST")
        yield archive


def labels(instance) -> str:  # type: ignore[no-untyped-def]
    return str(instance.attributes["SegmentSequence"][0]["SegmentLabel"])


def test_organs_in_the_space_of_the_pet_are_and_lesions_are_not(archive: Archive) -> None:
    masks = archive.masks()
    assert len(masks) == 4
    mask = next(one for one in masks if labels(one) == "lesion")
    pet = assess(mask, archive.candidates(mask), quiet=True, rules=PETAR.assembly).pet
    found = label_maps_of(mask, pet, masks, PETAR)
    assert [labels(one) for one in found] == ["organs"]
    assert label_maps_of(mask, None, masks, PETAR) == ()
    assert label_maps_of(mask, pet, masks, Settings()) == ()  # nothing for it to judge
    rules = {"role_rules": [{"label": "organs", "role": "lesion"}]}
    settings = Settings(describe=PETAR.describe, assembly=rules)
    assert label_maps_of(mask, pet, masks, settings) == ()
