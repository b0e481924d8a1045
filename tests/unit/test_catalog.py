"""What is found again: studies, masks, candidates, changes, and the journal."""

import struct
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from storage.archive import Archive
from storage.catalog.gateway import _Ticket
from storage.catalog.rows import Entry, microseconds, moment
from storage.catalog.searching import OneOf, Search
from storage.header import Queried
from storage.records import Decision, Instance
from tests.encoded import encoded
from tests.makers import make_ct, make_pet, make_rtstruct, make_seg, uid

SQUARE = np.array([[-20.0, -20.0, 6.0], [4.0, -20.0, 6.0], [4.0, 12.0, 6.0], [-20.0, 12.0, 6.0]])
BLOCK = np.zeros((8, 32, 32), bool)
BLOCK[2:5, 10:20, 10:20] = True


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with Archive.open(tmp_path / "archive") as opened:
        yield opened


def keep_all(archive: Archive, *datasets: Dataset) -> list[Instance]:
    return [
        archive.keep(encoded(one), transfer_syntax_uid=ExplicitVRLittleEndian).instance
        for one in datasets
    ]


def named(dataset: Dataset, **attributes: Any) -> Dataset:
    copy = deepcopy(dataset)
    for keyword, value in attributes.items():
        setattr(copy, keyword, value)
    return copy


def series_of(archive: Archive, mask: Instance) -> set[tuple[str, str, int]]:
    return {
        (one.series_instance_uid, one.modality, len(one.instances))
        for one in archive.candidates(mask)
    }


def test_a_study_is_its_series_in_an_order_of_its_own(archive: Archive) -> None:
    pet, ct = make_pet(), make_ct()
    seg = make_seg({"lesion": BLOCK}, pet)
    keep_all(archive, *ct[::-1], seg, *pet[1::2], *pet[::2])
    study = archive.study(pet[0].StudyInstanceUID)
    assert study is not None
    by_modality = {series.modality: series for series in study.series}
    assert set(by_modality) == {"PT", "CT", "SEG"}
    assert [one.sop_instance_uid for one in by_modality["PT"].instances] == [
        one.SOPInstanceUID for one in pet
    ]
    assert by_modality["CT"].frame_of_reference_uid == ct[0].FrameOfReferenceUID
    assert study.last_received_at == archive.last_received_at(study.study_instance_uid)
    (row,) = archive.studies()
    assert (row.modalities, row.series, row.instances) == (("CT", "PT", "SEG"), 3, 17)
    assert row.last_received_at == study.last_received_at
    assert archive.study("1.2.3") is None
    assert archive.last_received_at("1.2.3") is None


def test_an_rtstruct_may_share_the_series_of_its_ct(archive: Archive) -> None:
    ct = make_ct()
    shared = named(make_rtstruct({"GTV": [SQUARE]}, ct), SeriesInstanceUID=ct[0].SeriesInstanceUID)
    *_, mask = keep_all(archive, *ct, shared)
    study = archive.study(ct[0].StudyInstanceUID)
    assert study is not None
    assert sorted(len(series.instances) for series in study.series) == [1, 8]
    assert series_of(archive, mask) == {(ct[0].SeriesInstanceUID, "CT", 8)}


def test_candidates_are_found_in_every_way(archive: Archive) -> None:
    own = make_pet()
    seg = make_seg({"lesion": BLOCK}, own)
    same_study = make_ct(series="other space", frame_of_reference="another")
    same_space = make_ct(study="later", series="later ct")
    strangers = make_ct(study="stranger", series="stranger", frame_of_reference="far away")
    (mask,) = keep_all(archive, seg)
    assert series_of(archive, mask) == set()
    keep_all(archive, *own, *same_study, *same_space, *strangers)
    assert series_of(archive, mask) == {
        (own[0].SeriesInstanceUID, "PT", 8),
        (same_study[0].SeriesInstanceUID, "CT", 8),
        (same_space[0].SeriesInstanceUID, "CT", 8),
    }


def test_candidates_are_found_by_reference_alone(archive: Archive) -> None:
    drawn_on = make_pet(study="images", frame_of_reference="theirs")
    seg = named(
        make_seg({"lesion": BLOCK}, drawn_on),
        StudyInstanceUID=uid("masks"),
        FrameOfReferenceUID=uid("nobody's"),
    )
    (mask,) = keep_all(archive, seg)
    assert series_of(archive, mask) == set()
    keep_all(archive, drawn_on[0])  # the mask names slices 2 to 4, and their series
    assert series_of(archive, mask) == {(drawn_on[0].SeriesInstanceUID, "PT", 1)}
    copied = [named(one, SeriesInstanceUID=uid("copied")) for one in drawn_on[3:]]
    keep_all(archive, *copied)
    assert (uid("copied"), "PT", 5) in series_of(archive, mask)


def test_a_mask_that_names_more_series_than_sql_has_variables_finds_its_own(
    archive: Archive,
) -> None:
    drawn_on = make_pet(study="images", frame_of_reference="theirs")
    mask, *_ = keep_all(archive, named(make_rtstruct({"GTV": [SQUARE]}, drawn_on)), *drawn_on)
    strangers = tuple(f"2.25.{number}" for number in range(250_010))
    many = replace(mask, referenced_series=(*strangers, drawn_on[0].SeriesInstanceUID))
    assert series_of(archive, many) == {(drawn_on[0].SeriesInstanceUID, "PT", 8)}


def test_who_has_masks_on_a_study_is_the_inverse_of_candidates(archive: Archive) -> None:
    drawn_on = make_pet(study="images", frame_of_reference="theirs")
    by_frame = named(
        make_seg(
            {"lesion": BLOCK}, make_ct(study="other", series="x", frame_of_reference="theirs")
        ),
        StudyInstanceUID=uid("by frame"),
    )
    by_reference = named(
        make_seg({"lesion": BLOCK}, drawn_on, series="seg 2"),
        StudyInstanceUID=uid("by reference"), FrameOfReferenceUID=uid("nobody's"),
    )  # fmt: skip
    by_series = named(
        make_rtstruct({"GTV": [SQUARE]}, drawn_on), StudyInstanceUID=uid("by series"),
        FrameOfReferenceUID=uid("nobody's"),
    )  # fmt: skip
    own = make_seg({"lesion": BLOCK}, drawn_on, series="seg 3")
    stranger = named(
        make_seg({"lesion": BLOCK}, make_pet(study="s", series="s", frame_of_reference="s")),
        StudyInstanceUID=uid("stranger"),
    )
    masks = keep_all(archive, by_frame, by_reference, by_series, own, stranger)
    images = drawn_on[0].StudyInstanceUID
    assert archive.studies_with_masks_on(images) == ()
    keep_all(archive, drawn_on[7])  # no mask names this slice: its series and frame are enough
    found = set(archive.studies_with_masks_on(images))
    assert found >= {uid("by frame")}
    keep_all(archive, *drawn_on)
    found = set(archive.studies_with_masks_on(images))
    assert found == {
        mask.study_instance_uid
        for mask in masks
        if mask.study_instance_uid != images
        and any(one.study_instance_uid == images for one in archive.candidates(mask))
    }
    assert found == {uid("by frame"), uid("by reference"), uid("by series")}


def test_masks_and_the_reports_about_them(archive: Archive, data: Path) -> None:
    pet = make_pet()
    seg, rtstruct = make_seg({"lesion": BLOCK}, pet), make_rtstruct({"GTV": [SQUARE]}, pet)
    label_map = make_seg({"lesion": BLOCK}, pet, series="label map", kind="LABELMAP")
    elsewhere = named(rtstruct, StudyInstanceUID=uid("else"), SOPInstanceUID=uid("else"))
    kept = keep_all(archive, *pet, seg, rtstruct, label_map, elsewhere)
    assert [one.sha256 for one in archive.masks()] == [one.sha256 for one in kept[8:]]
    assert len(archive.masks(pet[0].StudyInstanceUID)) == 3
    folder = data / "sr_other_tools" / "dcmqi_ct_liver"
    for path in sorted(folder.rglob("*.dcm")):
        archive.keep_file(path)
    reports = {
        mask.sop_instance_uid: [one.sop_class_uid for one in reports]
        for mask in archive.masks()
        if (reports := archive.reports_of(mask.sop_instance_uid))
    }
    assert reports
    assert all(one.startswith("1.2.840.10008.5.1.4.1.1.88") for r in reports.values() for one in r)


def test_changes_are_counted_once_and_in_order(archive: Archive) -> None:
    pet, later = make_pet(), make_ct(study="later", series="later")
    assert archive.changed_since(0) == (0, ())
    keep_all(archive, pet[0], later[0])
    cursor, changed = archive.changed_since(0)
    assert changed == (pet[0].StudyInstanceUID, later[0].StudyInstanceUID)
    assert archive.changed_since(cursor) == (cursor, ())
    keep_all(archive, pet[0])  # the same again changes nothing
    assert archive.changed_since(cursor) == (cursor, ())
    keep_all(archive, later[1])
    newer, changed = archive.changed_since(cursor)
    assert newer > cursor
    assert changed == (later[0].StudyInstanceUID,)
    assert archive.changed_since(newer + 1000)[1] == (
        pet[0].StudyInstanceUID,
        later[0].StudyInstanceUID,
    )


def test_a_number_that_is_none_breaks_no_search(archive: Archive) -> None:
    body = encoded(make_ct(KVP="120")[0])
    as_text, as_nan = (
        b"\x18\x00\x60\x00DS\x04\x00120 ",
        struct.pack("<HH2sHd", 0x18, 0x60, b"FD", 8, nan),
    )
    assert body.count(as_text) == 1
    bad = archive.keep(body.replace(as_text, as_nan), transfer_syntax_uid=ExplicitVRLittleEndian)
    assert "KVP" not in bad.instance.attributes
    numbered = Search("instance", (OneOf("InstanceNumber", ("1",)),), limit=10)
    found = archive.search(numbered)
    assert len(found) == 1


def test_one_bad_row_fails_none_of_those_that_share_its_commit(archive: Archive) -> None:
    pattern, *_ = keep_all(archive, make_pet()[0])
    first, bad, last = (
        Entry(
            replace(pattern, sha256=f"{number:064x}", sop_instance_uid=f"2.25.{number}"),
            is_image=True,
            queried=Queried({}, {"SeriesNumber": number}),
        )
        for number in (1, 10**20, 3)
    )
    tickets = [_Ticket(first), _Ticket(bad)]
    archive._catalog._queue.extend(tickets)  # they came while another committed
    assert archive._catalog.add(last) is None
    assert [ticket.done for ticket in tickets] == [True, True]
    assert tickets[0].error is None
    assert isinstance(tickets[1].error, OverflowError)
    found = [archive.instance(one.instance.sop_instance_uid) for one in (first, bad, last)]
    assert [one is not None for one in found] == [True, False, True]


def _decision(**changes: Any) -> Decision:
    line = Decision(
        study_instance_uid="1.2",
        mask_instance_uid="1.2.3",
        state="waiting",
        code="no-pet",
        reasons=("No PET has come yet.", "Läsion"),
        decided_at=datetime(2024, 1, 2, 3, 4, 5, 678901, UTC),
        facts={"pet": None, "nested": {"b": [1, 2], "a": 0.1}},
    )
    return replace(line, **changes)


def test_the_journal_gives_back_what_was_written(archive: Archive) -> None:
    line = _decision()
    assert archive.write_down(line)
    (read,) = archive.decisions("1.2")
    for name in ("mask_instance_uid", "state", "code", "reasons", "decided_at"):
        assert getattr(read, name) == getattr(line, name)
    assert read.facts["nested"]["b"] == (1, 2)
    assert read.facts["nested"]["a"] == 0.1


def test_the_journal_only_grows_and_never_repeats_itself(archive: Archive) -> None:
    first, later = _decision(), timedelta(seconds=1)
    assert archive.write_down(first)
    assert not archive.write_down(replace(first, decided_at=first.decided_at + later))
    again = replace(first, facts={"nested": {"a": 0.1, "b": (1, 2)}, "pet": None})
    assert not archive.write_down(again)
    assert archive.write_down(_decision(state="ready", code="ready"))
    assert archive.write_down(first), "an older state may come back"
    assert archive.write_down(_decision(mask_instance_uid=None))
    assert archive.write_down(_decision(mask_instance_uid="1.2.4", state="refused"))
    assert archive.write_down(_decision(study_instance_uid="9.9", state="delivered"))
    assert [one.state for one in archive.decisions("1.2", "1.2.3")] == [
        "waiting", "ready", "waiting",
    ]  # fmt: skip
    assert len(archive.decisions("1.2")) == 5
    # the line about the whole study is over: one about a mask came after it
    assert [one.state for one in archive.latest_decisions()] == ["waiting", "refused", "delivered"]
    assert archive.write_down(_decision(mask_instance_uid=None, state="failed"))
    assert [one.state for one in archive.latest_decisions()] == [
        "waiting", "refused", "delivered", "failed",
    ]  # fmt: skip
    assert [one.mask_instance_uid for one in archive.latest_decisions(("refused",))] == ["1.2.4"]
    assert archive.latest_decisions(()) == ()


def test_a_line_that_yields_leaves_the_mask_where_it_stands(archive: Archive) -> None:
    stands = _decision(state="superseded")
    late = _decision(state="reported", code="delivered-to", decided_at=datetime.now(UTC))
    assert archive.write_down(late, yields_to=lambda _: True), "there is nothing to yield to"
    assert archive.write_down(stands)
    assert archive.write_down(late, yields_to=lambda last: last.state == "superseded")
    lines = archive.decisions("1.2", "1.2.3")
    assert [one.state for one in lines] == ["reported", "superseded", "reported", "superseded"]
    assert replace(lines[3], decided_at=stands.decided_at) == lines[1]
    assert lines[3].decided_at == late.decided_at
    assert archive.write_down(late, yields_to=lambda last: last.code == "other")
    assert [one.state for one in archive.decisions("1.2", "1.2.3")][4:] == ["reported"]


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_survive_to_the_microsecond(stamp: datetime) -> None:
    assert moment(microseconds(stamp)) == stamp


def test_records_cannot_be_changed_by_who_reads_them(archive: Archive) -> None:
    (kept,) = keep_all(archive, make_pet()[0])
    found = archive.instance(kept.sop_instance_uid)
    assert found is not None
    with pytest.raises(TypeError):
        found.attributes["Units"] = "GML"  # type: ignore[index]


def test_a_line_is_not_written_behind_another_than_it_follows(archive: Archive) -> None:
    first, second = _decision(facts={}), _decision(state="ready", code="ready", facts={})
    assert archive.write_down(first, follows=lambda last: last is None)
    assert not archive.write_down(second, follows=lambda last: last is None)
    assert archive.decisions("1.2") == (first,)
    assert archive.write_down(second, follows=lambda last: last == first)


def test_lines_of_some_codes_are_found_from_a_cursor_on(archive: Archive) -> None:
    start, nothing = archive.decisions_since(0, ["asked"])
    archive.write_down(_decision())
    archive.write_down(asked := _decision(code="asked", facts={}))
    archive.write_down(_decision(code="other"))
    assert (start, nothing) == (0, ())
    cursor, found = archive.decisions_since(start, ["asked"])
    assert found == (asked,)
    assert archive.decisions_since(cursor, ["asked"]) == (cursor, ())
