"""Replay of what came more than once: later saves of a mask, folders replayed again."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from pacsnode.replay import cases, planning, reporting
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


def emptied(mask: Dataset) -> Dataset:
    mask.PixelData = bytes(len(mask.PixelData))
    return mask


@pytest.mark.parametrize("sound", ["first", "second"])
def test_the_last_version_that_can_be_reported_is_reported(
    sound: str, study: SmallStudy, tmp_path: Path
) -> None:
    second = saved_again(study.seg, "second", ContentTime="120000")
    third = emptied(saved_again(study.seg, "third", ContentTime="130000"))
    if sound == "first":
        second = emptied(second)
    save([*study.everything, second, third], tmp_path / "in")
    out = tmp_path / "out"
    for resumed in (0, 2 if sound == "second" else 3):
        outcome = run(tmp_path / "in", out=out)
        assert (outcome.failed, outcome.resumed) == (False, resumed)
        manifest = manifest_of(out)
        reported = study.mask_uid if sound == "first" else str(second.SOPInstanceUID)
        assert {row["mask_sop_instance_uid"] for row in rows_of(out)} == {reported}
        assert [one["mask_sop_instance_uid"] for one in manifest["reports"]] == [reported]
        cases = manifest["cases"]
        counted = [cases[state] for state in ("found", "reported", "refused", "superseded")]
        assert counted == ([3, 1, 2, 0] if sound == "first" else [3, 1, 1, 1])
    shards = [run(tmp_path / "in", out=out, shard=(part, 2)) for part in (1, 2)]
    assert sorted(len(one.results) for one in shards) == [0, resumed]  # versions stay together
    assert sum(len(one.plan.not_planned) for one in shards) == 3 - resumed


def test_versions_are_looked_for_in_the_study_of_a_mask_as_in_the_live_node(
    study: SmallStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = saved_again(study.seg, "elsewhere", StudyInstanceUID=uid("another study"))
    save([*study.everything, elsewhere], tmp_path / "in")
    asked: list[tuple[Instance, Sequence[Instance]]] = []
    later_versions = planning.later_versions

    def noted(mask: Instance, others: Sequence[Instance], rules: Any) -> tuple[Instance, ...]:
        asked.append((mask, others))
        return later_versions(mask, others, rules)

    monkeypatch.setattr(planning, "later_versions", noted)
    assert len(run(tmp_path / "in", out=tmp_path / "out").results) == 2
    assert len(asked) == 2
    for mask, others in asked:  # not with every mask of the cohort
        assert {one.study_instance_uid for one in others} == {mask.study_instance_uid}


def test_a_cohort_that_was_moved_is_done_and_lies_where_it_lies_now(
    study: SmallStudy, tmp_path: Path
) -> None:
    save(study.everything, tmp_path / "in")
    run(tmp_path / "in", out=tmp_path / "out")
    (tmp_path / "in").rename(tmp_path / "moved")
    again = run(tmp_path / "moved", out=tmp_path / "out")
    assert again.resumed == 1
    told = [row["input_path"] for row in rows_of(tmp_path / "out")]
    told += [report["input_path"] for report in manifest_of(tmp_path / "out")["reports"]]
    assert all(Path(path).is_relative_to(tmp_path / "moved") for path in told)
    assert len(told) > 1


def test_rows_with_other_flags_do_not_stand(
    study: SmallStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(study.everything, tmp_path / "in")
    run(tmp_path / "in", out=tmp_path / "out")
    assess = planning.assess

    def flagged(*told: Any, **more: Any) -> Any:
        found = assess(*told, **more)
        return replace(found, flags=(*found.flags, "flagged-since"))

    monkeypatch.setattr(planning, "assess", flagged)
    assert run(tmp_path / "in", out=tmp_path / "out").resumed == 0
    assert all("flagged-since" in row["flags"] for row in rows_of(tmp_path / "out"))
    assert run(tmp_path / "in", out=tmp_path / "out").resumed == 1


def test_an_error_without_a_number_quotes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise OSError("DOE^JANE")

    monkeypatch.setattr(reporting, "_report", failing)
    style = {"seed": "0"}
    order = cases.Order("", "1", "2", "3", None, (), (), tmp_path, (), style, 0.5, tmp_path)
    told = reporting.report_one(order)
    assert (told.outcome, told.code) == ("failed", "disk-fault")
    assert told.sentence == "A file could not be read or written: OSError."


def test_a_refusal_does_not_outlive_the_version_that_refused(
    study: SmallStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = deepcopy(study.seg)
    cut.PixelData = cut.PixelData[:8]
    save([*study.pet, *study.ct, cut], tmp_path / "in")
    first = run(tmp_path / "in", out=tmp_path / "out")
    assert [result.outcome for result in first.results] == ["refused"]
    assert run(tmp_path / "in", out=tmp_path / "out").resumed == 1
    monkeypatch.setattr(cases, "__version__", "999")
    assert run(tmp_path / "in", out=tmp_path / "out").resumed == 0
    assert run(tmp_path / "in", out=tmp_path / "out").resumed == 1
