"""Replay of what came more than once: later saves of a mask, folders replayed again."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from pacsnode.replay import planning
from storage.records import Instance
from tests.makers import save, uid
from tests.story.small import SmallStudy, small_study
from tests.story.test_replay import manifest_of, rows_of, run


def saved_again(mask: Dataset, name: str, **attributes: str) -> Dataset:
    """The next save of a mask in a viewer: new instance, new series, later, the same lesions."""
    again = deepcopy(mask)
    again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = uid(f"again {name}")
    again.SeriesInstanceUID = uid(f"again series {name}")
    again.ContentDate, again.ContentTime = "20990101", "120000"
    for keyword, value in attributes.items():
        setattr(again, keyword, value)
    return again


@pytest.fixture
def study() -> SmallStudy:
    return small_study("saved twice")


def test_of_two_saves_of_one_mask_the_later_is_reported(study: SmallStudy, tmp_path: Path) -> None:
    later = saved_again(study.seg, "later")
    save([*study.everything, later], tmp_path / "in")
    out = tmp_path / "out"
    assert not run(tmp_path / "in", out=out).failed
    manifest = manifest_of(out)
    cases = manifest["cases"]
    assert (cases["found"], cases["reported"], cases["superseded"]) == (2, 1, 1)
    [reported] = manifest["reports"]
    assert reported["mask_sop_instance_uid"] == later.SOPInstanceUID
    [superseded] = manifest["superseded"]
    assert superseded["mask_sop_instance_uid"] == study.mask_uid
    assert superseded["code"] == "superseded"
    assert superseded["reasons"] == [
        f"The mask {later.SOPInstanceUID} is a later version of this one."
    ]
    assert {row["mask_sop_instance_uid"] for row in rows_of(out)} == {str(later.SOPInstanceUID)}
    assert manifest["refusals"] == manifest["context"] == []
    counted = [
        manifest_of(out, f"run.{part}-of-2.json")["cases"]
        for part in (1, 2)
        if not run(tmp_path / "in", out=out, shard=(part, 2)).failed
    ]
    assert sum(each["reported"] for each in counted) == 1
    assert sum(each["superseded"] for each in counted) == 1
    assert all(each["reported"] + each["superseded"] == each["found"] for each in counted)


def test_versions_are_looked_for_in_the_study_of_a_mask_as_in_the_live_node(
    study: SmallStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = saved_again(study.seg, "elsewhere", StudyInstanceUID=uid("another study"))
    save([*study.everything, elsewhere], tmp_path / "in")
    asked: list[tuple[Instance, Sequence[Instance]]] = []
    later_version = planning.later_version

    def noted(mask: Instance, others: Sequence[Instance], rules: Any) -> Instance | None:
        asked.append((mask, others))
        return later_version(mask, others, rules)

    monkeypatch.setattr(planning, "later_version", noted)
    assert len(run(tmp_path / "in", out=tmp_path / "out").results) == 2
    assert len(asked) == 2
    for mask, others in asked:  # not with every mask of the cohort
        assert {one.study_instance_uid for one in others} == {mask.study_instance_uid}
